/* SPDX-License-Identifier: MIT */
/* mmapfs: byte ranges of images as files. */
#include "cli.h"

#include "cleanup.h"
#include "session.h"

#include <fcntl.h>
#include <stdarg.h>
#include <string.h>

void complain_all(struct error *error)
{
	for (size_t i = 0; i < error->count; i++)
		fprintf(stderr, "mmapfs: %s\n", error->messages[i]);
	if (error->omitted > 0)
		fprintf(stderr, "mmapfs: and %zu more errors\n", error->omitted);
	error_clear(error);
}

void complain(const char *format, ...)
{
	_cleanup_(cleanup_free) char *message = NULL;
	struct error error = ERROR_INIT;
	va_list arguments;

	va_start(arguments, format);
	if (vasprintf(&message, format, arguments) < 0)
		message = NULL;
	va_end(arguments);
	/* Through the list, which keeps a name with a newline in one line. */
	error_add(&error, NULL, "%s", message ?: "out of memory");
	complain_all(&error);
}

int finish_output(void)
{
	if (fflush(stdout) == 0 && !ferror(stdout))
		return EXIT_DONE;
	complain("standard output: %s", strerror(errno));
	return EXIT_FAILED;
}

static int print_help(void)
{
	fputs("Usage:\n"
	      "  mmapfs [mount] [OPTIONS] IMAGE MOUNTPOINT\n"
	      "  mmapfs [mount] [OPTIONS] -s SLICE... [IMAGE] MOUNTPOINT\n"
	      "  mmapfs [mount] [OPTIONS] --table FILE MOUNTPOINT\n"
	      "  mmapfs plan    [--json | --map | -h] [--svg FILE]\n"
	      "                 IMAGE | -s SLICE... [IMAGE] | --table FILE\n"
	      "  mmapfs where   FILE...\n"
	      "  mmapfs umount  MOUNTPOINT\n"
	      "\n"
	      "Mount byte ranges of disk images and other big files as ordinary files.\n"
	      "\n"
	      "  mount    serve the slices in MOUNTPOINT, in the background\n"
	      "  plan     print the table that would be mounted, or draw it\n"
	      "  where    print image, offset and length behind mounted files\n"
	      "  umount   flush, unmount, wait, and fail if anything did not reach the disk\n"
	      "\n"
	      "Sizes: bytes; K M G T P E and KiB MiB ... are powers of 1024, KB MB ... powers\n"
	      "of 1000, s is sectors of 512 bytes, 0x hexadecimal.\n"
	      "\n",
	      stdout);
	options_print_help(stdout);
	fputs("\nExit status: 0 done, 1 failed, 2 wrong usage.\n", stdout);
	return finish_output();
}

static int print_version(void)
{
	printf("mmapfs %s (libfuse %s)\n", MMAPFS_VERSION, session_libfuse_version());
	return finish_output();
}

static int run(const struct options *options)
{
	if (options->help)
		return print_help();
	if (options->version)
		return print_version();
	switch (options->verb) {
	case VERB_PLAN:
		return verb_plan(options);
	case VERB_WHERE:
		return verb_where(options);
	case VERB_UMOUNT:
		return verb_umount(options);
	default:
		return verb_mount(options);
	}
}

/* Standard input, output and error are there, be it as /dev/null: else an image would get the
 * number of one, and with it what is meant for that.
 */
static bool open_standard_descriptors(void)
{
	int fd;

	do
		fd = open("/dev/null", O_RDWR);
	while (fd >= 0 && fd <= STDERR_FILENO);
	if (fd < 0)
		return false;
	close(fd);
	return true;
}

int main(int argc, char **argv)
{
	_cleanup_(options_clear) struct options options;
	struct error error = ERROR_INIT;
	int result;

	if (!open_standard_descriptors())
		return EXIT_FAILED;
	result = options_parse(argc, argv, &options, &error);
	if (result < 0) {
		if (result != -EINVAL)
			error_add(&error, NULL, "%s", strerror(-result));
		complain_all(&error);
		return EXIT_USAGE;
	}
	return run(&options);
}
