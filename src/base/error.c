/* SPDX-License-Identifier: MIT */
/* Messages for the user, collected for the command line to print. */
#include "mmapfs/error.h"

#include "cleanup.h"

#include <stdarg.h>
#include <string.h>

/* A copy of text in which control bytes are \ooo, so that a message stays one line. NULL when out
 * of memory.
 */
static char *escape_controls(const char *text)
{
	char *escaped = malloc(strlen(text) * 4 + 1);
	char *out = escaped;

	if (!escaped)
		return NULL;
	for (; *text; text++) {
		unsigned char c = *text;

		if (c < 0x20 || c == 0x7f)
			out += sprintf(out, "\\%03o", c);
		else
			*out++ = *text;
	}
	*out = '\0';
	return escaped;
}

__attribute__((format(printf, 2, 0))) static char *
message_format(const struct location *at, const char *format, va_list arguments)
{
	_cleanup_(cleanup_free) char *message = NULL;
	_cleanup_(cleanup_free) char *located = NULL;

	if (vasprintf(&message, format, arguments) < 0) {
		message = NULL;
		return NULL;
	}
	if (!at || !at->file)
		return escape_controls(message);
	if ((at->line ? asprintf(&located, "%s:%lu: %s", at->file, at->line, message)
		      : asprintf(&located, "%s: %s", at->file, message)) < 0) {
		located = NULL;
		return NULL;
	}
	return escape_controls(located);
}

void error_add(struct error *error, const struct location *at, const char *format, ...)
{
	va_list arguments;
	char *message;

	if (!error->messages)
		error->messages = calloc(ERROR_MESSAGES_MAX, sizeof(*error->messages));
	if (!error->messages || error->count == ERROR_MESSAGES_MAX) {
		error->omitted++;
		return;
	}
	va_start(arguments, format);
	message = message_format(at, format, arguments);
	va_end(arguments);
	if (message)
		error->messages[error->count++] = message;
	else
		error->omitted++;
}

void error_clear(struct error *error)
{
	for (size_t i = 0; i < error->count; i++)
		free(error->messages[i]);
	free(error->messages);
	*error = (struct error)ERROR_INIT;
}
