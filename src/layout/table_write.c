/* SPDX-License-Identifier: MIT */
/* Writing a tree as the table that it came from. */
#include "mmapfs/layout.h"

#include "cleanup.h"
#include "overflow.h"
#include "size.h"

#include <string.h>

/* Columns are as wide as their widest entry, up to here. */
#define COLUMN_WIDTH_MAX 40

static bool must_escape(char c)
{
	return (unsigned char)c <= ' ' || c == '#' || c == '\\' || c == 0x7f;
}

static size_t escaped_length(const char *text)
{
	size_t length = 0;

	for (; *text; text++)
		length += must_escape(*text) ? 4 : 1;
	return length;
}

void table_write_escaped(const char *text, FILE *out)
{
	for (; *text; text++) {
		if (must_escape(*text))
			fprintf(out, "\\%03o", (unsigned char)*text);
		else
			putc_unlocked(*text, out);
	}
}

static void write_column(const char *text, size_t width, FILE *out)
{
	size_t length = escaped_length(text);

	table_write_escaped(text, out);
	do
		putc_unlocked(' ', out);
	while (length++ < width);
}

struct widths {
	size_t name;
	size_t image;
};

static struct widths measure(const struct tree *tree)
{
	struct widths widths = { 0 };

	for (size_t i = 0; i < tree_image_count(tree); i++)
		widths.image = max_u64(widths.image, escaped_length(tree_image_at(tree, i).name));
	for (size_t i = 0; i < tree_slice_count(tree); i++)
		widths.name = max_u64(widths.name, escaped_length(tree_slice_at(tree, i).name));
	widths.image = min_u64(widths.image, COLUMN_WIDTH_MAX);
	widths.name = min_u64(widths.name, COLUMN_WIDTH_MAX);
	return widths;
}

static void write_image(const struct tree_image *image, const struct widths *widths, FILE *out)
{
	fputs("image   ", out);
	write_column(image->name, widths->image, out);
	table_write_escaped(image->path, out);
	fputs(image->access == IMAGE_ACCESS_RW ? " rw\n" : " ro\n", out);
}

static void write_extent(const struct tree *tree, const struct extent *extent,
			 const struct widths *widths, FILE *out)
{
	char offset[SIZE_TEXT_MAX];
	char length[SIZE_TEXT_MAX] = "-";
	const char *image = "-";

	if (extent->image)
		image = tree_image_at(tree, tree_image_index(tree, extent->image)).name;
	if (extent->length != EXTENT_TAIL)
		size_format(extent->length, length);
	write_column(image, widths->image, out);
	fprintf(out, "%11s %11s", size_format(extent->offset, offset), length);
}

static void write_slice(const struct tree *tree, const struct tree_slice *entry,
			const struct widths *widths, FILE *out)
{
	const struct slice *slice = entry->slice;

	fputs("slice   ", out);
	write_column(entry->name, widths->name, out);
	write_extent(tree, &slice->extents[0], widths, out);
	fputs(slice->writable ? " rw" : " ro", out);
	if (slice->resize)
		fputs(",resize", out);
	if (entry->has_mode)
		fprintf(out, ",mode=%04o", (unsigned)slice->mode);
	if (entry->has_uid)
		fprintf(out, ",uid=%u", (unsigned)slice->uid);
	if (entry->has_gid)
		fprintf(out, ",gid=%u", (unsigned)slice->gid);
	putc('\n', out);
	for (uint32_t i = 1; i < slice->extent_count; i++) {
		fprintf(out, "extent  %*s", (int)widths->name + 1, "");
		write_extent(tree, &slice->extents[i], widths, out);
		putc('\n', out);
	}
}

int table_write(const struct tree *tree, FILE *out)
{
	struct widths widths = measure(tree);

	for (size_t i = 0; i < tree_image_count(tree); i++) {
		struct tree_image image = tree_image_at(tree, i);

		write_image(&image, &widths, out);
	}
	for (size_t i = 0; i < tree_slice_count(tree); i++) {
		struct tree_slice slice = tree_slice_at(tree, i);

		write_slice(tree, &slice, &widths, out);
	}
	return ferror(out) ? -EIO : 0;
}
