/* SPDX-License-Identifier: MIT */
/* mmapfs where: image, offset and length behind mounted files, from the mount's own table. */
#include "cli.h"

#include "cleanup.h"
#include "mmapfs/layout.h"
#include "mounts.h"

#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>

struct printing {
	const char *file;
	uint64_t left; /* bytes of the file that extents so far do not cover */
};

static int print_extent(void *context, const char *image, uint64_t offset, uint64_t length)
{
	struct printing *printing = context;

	if (length == EXTENT_TAIL)
		length = printing->left;
	printing->left -= length;
	table_write_escaped(printing->file, stdout);
	putchar(' ');
	table_write_escaped(image ? image : "-", stdout);
	printf(" %" PRIu64 " %" PRIu64 "\n", offset, length);
	return 0;
}

/* Read the table of the mount at mountpoint into builder; says what is wrong. */
static int read_mounted_table(const char *mountpoint, struct tree_builder *builder)
{
	_cleanup_(cleanup_free) char *path = NULL;
	_cleanup_(cleanup_fclose) FILE *table = NULL;
	struct error error = ERROR_INIT;
	int result;

	if (asprintf(&path, "%s/%s/table", mountpoint, TREE_RESERVED) < 0) {
		path = NULL;
		return -ENOMEM;
	}
	table = fopen(path, "re");
	if (!table) {
		complain("%s: %s", path, strerror(errno));
		return -EINVAL;
	}
	result = table_read(table, "/", builder, &error);
	complain_all(&error);
	return result;
}

static int print_file(const char *file)
{
	_cleanup_(cleanup_free) char *path = realpath(file, NULL);
	_cleanup_(cleanup_free) char *mountpoint = NULL;
	_cleanup_(cleanup_builder) struct tree_builder *builder = tree_builder_new("table");
	struct printing printing = { .file = file };
	struct mount mount;
	struct stat status;

	if (!builder)
		return -ENOMEM;
	if (!path || stat(path, &status) < 0) {
		complain("%s: %s", file, strerror(errno));
		return -EINVAL;
	}
	if (mount_find_above(path, &mount, &mountpoint) < 0) {
		complain("%s: is not in an mmapfs mount", file);
		return -EINVAL;
	}
	if (!S_ISREG(status.st_mode)) {
		complain("%s: is not a slice", file);
		return -EINVAL;
	}
	if (read_mounted_table(mountpoint, builder) < 0)
		return -EINVAL;
	printing.left = status.st_size;
	if (tree_builder_visit(builder, path + strlen(mountpoint) + 1, print_extent, &printing) <
	    0) {
		complain("%s: is not a slice", file);
		return -EINVAL;
	}
	return 0;
}

int verb_where(const struct options *options)
{
	int status = EXIT_DONE;

	if (options->argument_count == 0) {
		complain("where: no FILE given; see 'mmapfs --help'");
		return EXIT_USAGE;
	}
	for (int i = 0; i < options->argument_count; i++)
		if (print_file(options->arguments[i]) < 0)
			status = EXIT_FAILED;
	return finish_output() ?: status;
}
