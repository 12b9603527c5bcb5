/* SPDX-License-Identifier: MIT
 *
 * call: does one system call on a file and says how it ended.
 *
 *     call [-f FLAG,...] [-m MODE] [-o FILE] CALL ARGUMENT...
 *
 * Prints "OK VALUE" and exits 0, or the name of the errno ("ENOSPC") and exits 1, so that a test
 * never matches the text of a message. Wrong usage exits 2. A FILE of the form "fd:N" is the
 * descriptor N that the caller has open. -f gives the flags of open(2), -m its mode, -o takes the
 * bytes that were read. Numbers may be written 0x10, 4K, 1M or 2G.
 *
 * A store or load that raises SIGBUS prints "SIGBUS".
 */
#include "call.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BUFFER_ALIGN 4096

int open_flags = -1;
static mode_t open_mode = 0644;
static const char *out_path;

static const struct word flag_words[] = {
	{ "rdonly", O_RDONLY },       { "wronly", O_WRONLY },
	{ "rdwr", O_RDWR },           { "append", O_APPEND },
	{ "direct", O_DIRECT },       { "sync", O_SYNC },
	{ "dsync", O_DSYNC },         { "trunc", O_TRUNC },
	{ "creat", O_CREAT },         { "excl", O_EXCL },
	{ "directory", O_DIRECTORY }, { "noatime", O_NOATIME },
	{ "tmpfile", O_TMPFILE },     { NULL, 0 },
};

void usage(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	fputs("call: ", stderr);
	vfprintf(stderr, format, args);
	fputc('\n', stderr);
	va_end(args);
	exit(2);
}

int words_parse(const struct word *words, const char *text)
{
	char *copy = strdup(text), *save = NULL, *name;
	int value = 0;

	if (!copy)
		usage("out of memory");
	for (name = strtok_r(copy, ",", &save); name; name = strtok_r(NULL, ",", &save)) {
		const struct word *word = words;

		while (word->name && strcmp(word->name, name))
			word++;
		if (!word->name)
			usage("unknown word '%s'", name);
		value |= word->value;
	}
	free(copy);
	return value;
}

long long number_parse(const char *text)
{
	char *end = NULL;
	long long value;

	errno = 0;
	value = strtoll(text, &end, 0);
	if (errno || end == text)
		usage("bad number '%s'", text);
	switch (*end) {
	case 'G':
		value *= 1024;
		__attribute__((fallthrough));
	case 'M':
		value *= 1024;
		__attribute__((fallthrough));
	case 'K':
		value *= 1024;
		end++;
		break;
	default:
		break;
	}
	if (*end)
		usage("bad number '%s'", text);
	return value;
}

void *buffer_new(size_t size)
{
	void *buf = NULL;

	if (posix_memalign(&buf, BUFFER_ALIGN, size ? size : 1))
		usage("out of memory");
	return buf;
}

/* Opens path with the flags of -f, else with fallback. */
int file_open(const char *path, int fallback)
{
	int flags = open_flags >= 0 ? open_flags : fallback;
	int fd;

	if (!strncmp(path, "fd:", 3))
		return (int)number_parse(path + 3);
	fd = open(path, flags | O_CLOEXEC, open_mode);
	if (fd < 0)
		fprintf(stderr, "call: open: %s\n", strerrorname_np(errno));
	return fd;
}

int file_close(int fd, int status)
{
	int saved = errno;

	if (close(fd) && !status)
		return -1;
	errno = saved;
	return status;
}

FILE *out_open(void)
{
	FILE *out;

	if (!out_path)
		return NULL;
	out = fopen(out_path, "w");
	if (!out)
		usage("cannot write '%s'", out_path);
	return out;
}

void out_write(FILE *out, const void *data, size_t size)
{
	if (out && fwrite(data, 1, size, out) != size)
		usage("cannot write '%s'", out_path);
}

void out_close(FILE *out)
{
	if (out && fclose(out))
		usage("cannot write '%s'", out_path);
}

static const struct {
	const char *name;
	int (*run)(struct call *call);
	int min, max;
} calls[] = {
#define CALL_ROW(name, function, min, max) { name, function, min, max },
	CALLS(CALL_ROW)
#undef CALL_ROW
};

static void call_print(const struct call *call)
{
	fputs("OK ", stdout);
	if (call->text)
		fwrite(call->text, 1, call->text_length, stdout);
	else
		printf("%lld", call->value);
	putchar('\n');
}

static int call_run(struct call *call)
{
	size_t i = 0;

	while (i < sizeof(calls) / sizeof(calls[0]) && strcmp(calls[i].name, call->argv[0]))
		i++;
	if (i == sizeof(calls) / sizeof(calls[0]))
		usage("unknown call '%s'", call->argv[0]);
	if (call->argc - 1 < calls[i].min || call->argc - 1 > calls[i].max)
		usage("wrong number of arguments for '%s'", call->argv[0]);
	if (calls[i].run(call)) {
		puts(strerrorname_np(errno));
		return 1;
	}
	call_print(call);
	free(call->text);
	return 0;
}

int main(int argc, char **argv)
{
	struct call call = { 0 };
	int option;

	while ((option = getopt(argc, argv, "+f:m:o:")) != -1) {
		switch (option) {
		case 'f':
			open_flags = words_parse(flag_words, optarg);
			break;
		case 'm':
			open_mode = (mode_t)strtoul(optarg, NULL, 8);
			break;
		case 'o':
			out_path = optarg;
			break;
		default:
			return 2;
		}
	}
	if (optind == argc)
		usage("which call?");
	call.argc = argc - optind;
	call.argv = argv + optind;
	return call_run(&call);
}
