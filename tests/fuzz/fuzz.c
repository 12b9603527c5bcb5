/* SPDX-License-Identifier: MIT */
/* What the fuzz targets share. */
#include "fuzz.h"

#include "mmapfs/layout.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

void check_failed(const char *condition, const char *file, int line)
{
	fflush(stdout);
	fprintf(stderr, "%s:%d: does not hold: %s\n", file, line, condition);
	abort();
}

void check_messages(int result, const struct error *error)
{
	check(result == 0 || result == -EINVAL || result == -E2BIG);
	check((result < 0) == (error->count > 0));
	check(error->count <= ERROR_MESSAGES_MAX);
	check(error->omitted == 0 || error->count == ERROR_MESSAGES_MAX);
	for (size_t i = 0; i < error->count; i++) {
		check(*error->messages[i]);
		for (const char *at = error->messages[i]; *at; at++)
			check((unsigned char)*at >= 0x20 && *at != 0x7f);
	}
}

char *copy_text(const uint8_t *data, size_t size)
{
	char *text = malloc(size + 1);

	check(text);
	if (size > 0)
		memcpy(text, data, size);
	text[size] = '\0';
	return text;
}

size_t split_text(char *text, size_t size, char **ret, size_t max)
{
	size_t count = 0;

	for (char *at = text; at <= text + size && count < max; at += strlen(at) + 1)
		ret[count++] = at;
	return count;
}

char *table_of(const struct tree *tree)
{
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	check(out);
	check(table_write(tree, out) == 0);
	check(fclose(out) == 0);
	check(strlen(text) == size);
	return text;
}
