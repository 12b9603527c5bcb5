/* SPDX-License-Identifier: MIT */
/* mmapfs where: image, offset and length behind mounted files, from the mount's own table. */
#include "cli.h"

#include "cleanup.h"
#include "mmapfs/layout.h"
#include "mounts.h"

#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>

/* The table of the mount that was asked last: mostly all files are of one. */
struct mounted_table {
	char *mountpoint;
	struct tree_builder *builder;
};

static void table_clear(struct mounted_table *table)
{
	free(table->mountpoint);
	tree_builder_free(table->builder);
	*table = (struct mounted_table){ 0 };
}

struct printing {
	const char *file;
	uint64_t left; /* bytes of the file that extents so far do not cover */
};

static int print_extent(void *context, const struct extent_view *extent)
{
	struct printing *printing = context;
	uint64_t length = extent->length;

	if (length == EXTENT_TAIL)
		length = printing->left;
	printing->left -= length;
	table_write_escaped(printing->file, stdout);
	putchar(' ');
	table_write_escaped(extent->path ?: "-", stdout);
	printf(" %" PRIu64 " %" PRIu64 "\n", extent->offset, length);
	return 0;
}

/* Read the table of the mount at mountpoint, unless that is done; says what is wrong. */
static int read_mounted_table(const char *mountpoint, struct mounted_table *mounted)
{
	_cleanup_(cleanup_free) char *path = NULL;
	_cleanup_(cleanup_fclose) FILE *table = NULL;
	struct error error = ERROR_INIT;
	int result;

	if (mounted->mountpoint && strcmp(mounted->mountpoint, mountpoint) == 0)
		return 0;
	table_clear(mounted);
	if (asprintf(&path, "%s/%s/table", mountpoint, TREE_RESERVED) < 0) {
		path = NULL;
		return -ENOMEM;
	}
	table = fopen(path, "re");
	if (!table) {
		complain("%s: %s", path, strerror(errno));
		return -EINVAL;
	}
	mounted->builder = tree_builder_new("table");
	if (!mounted->builder)
		return -ENOMEM;
	result = table_read(table, "/", NULL, mounted->builder, &error);
	complain_all(&error);
	if (result < 0)
		return result;
	mounted->mountpoint = strdup(mountpoint);
	return mounted->mountpoint ? 0 : -ENOMEM;
}

static int print_file(const char *file, struct mounted_table *table)
{
	_cleanup_(cleanup_free) char *path = realpath(file, NULL);
	_cleanup_(cleanup_free) char *mountpoint = NULL;
	struct printing printing = { .file = file };
	struct mount mount;
	struct stat status;
	int result;

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
	result = read_mounted_table(mountpoint, table);
	if (result < 0)
		return result;
	printing.left = status.st_size;
	result = tree_builder_visit(table->builder, path + strlen(mountpoint) + 1, print_extent,
				    &printing);
	if (result == -ENOENT)
		complain("%s: is not a slice", file);
	return result;
}

int verb_where(const struct options *options)
{
	_cleanup_(table_clear) struct mounted_table table = { 0 };
	int status = EXIT_DONE;

	if (options->argument_count == 0) {
		complain("where: no FILE given; see 'mmapfs --help'");
		return EXIT_USAGE;
	}
	for (int i = 0; i < options->argument_count; i++) {
		int result = print_file(options->arguments[i], &table);

		if (result == -ENOMEM)
			complain("%s: %s", options->arguments[i], strerror(ENOMEM));
		if (result < 0)
			status = EXIT_FAILED;
	}
	return finish_output() ?: status;
}
