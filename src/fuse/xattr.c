/* SPDX-License-Identifier: MIT */
/* Extended attributes, user.mmapfs.*: where a slice lies, and what its table or layout says of it. */
#include "fs.h"

#include "cleanup.h"

#include <inttypes.h>
#include <string.h>

#define PREFIX "user.mmapfs."

/* The kernel's XATTR_SIZE_MAX and XATTR_LIST_MAX: xattr(7). */
#define XATTR_SIZE_LIMIT 65536

enum place {
	PLACE_IMAGE,
	PLACE_OFFSET,
	PLACE_LENGTH,
	PLACE_ACCESS,
	PLACE_COUNT, /* none of them */
};

/* What every slice has; one line of an extent, the last without a newline. */
static const char *const places[] = {
	[PLACE_IMAGE] = "image",
	[PLACE_OFFSET] = "offset",
	[PLACE_LENGTH] = "length",
	[PLACE_ACCESS] = "access",
};

static void write_extent(const struct fs *fs, const struct slice *slice,
			 const struct extent *extent, enum place place, FILE *out)
{
	uint64_t length = extent->length;
	uint64_t size = 0;

	switch (place) {
	case PLACE_IMAGE:
		fputs(extent->image
			      ? tree_image_at(fs->tree, tree_image_index(fs->tree, extent->image))
					.path
			      : "-",
		      out);
		break;
	case PLACE_OFFSET:
		fprintf(out, "%" PRIu64, extent->offset);
		break;
	case PLACE_LENGTH:
		if (length == EXTENT_TAIL) {
			(void)slice_size(slice, &size);
			length = size - extent->start;
		}
		fprintf(out, "%" PRIu64, length);
		break;
	default:
		fputs(slice->writable ? "rw" : "ro", out);
	}
}

/* 0, or -ENODATA: nobody has said anything of that name. */
static int write_value(const struct fs *fs, const struct tree_item *item, const char *name,
		       FILE *out)
{
	enum place place = PLACE_IMAGE;
	const char *value;

	while (place < PLACE_COUNT && strcmp(places[place], name) != 0)
		place++;
	if (place < PLACE_COUNT) {
		for (uint32_t i = 0; i < item->slice->extent_count; i++) {
			if (i > 0)
				putc('\n', out);
			write_extent(fs, item->slice, &item->slice->extents[i], place, out);
		}
		return 0;
	}
	value = tree_item_attribute(item, name);
	if (!value)
		return -ENODATA;
	fputs(value, out);
	return 0;
}

static void write_names(const struct tree_item *item, FILE *out)
{
	for (enum place place = PLACE_IMAGE; place < PLACE_COUNT; place++) {
		fputs(PREFIX, out);
		fputs(places[place], out);
		putc('\0', out);
	}
	for (const char *at = item->attributes; at && *at; at += strlen(at) + 1) {
		fputs(PREFIX, out);
		fwrite(at, strcspn(at, "="), 1, out);
		putc('\0', out);
	}
}

/* Answer with data, or with its size where the caller asks for that (size 0). */
static void reply_sized(fuse_req_t request, const char *data, size_t length, size_t size)
{
	if (length > XATTR_SIZE_LIMIT)
		reply_status(request, -E2BIG);
	else if (size == 0)
		count_reply(fuse_reply_xattr(request, length));
	else if (length > size)
		reply_status(request, -ERANGE);
	else
		count_reply(fuse_reply_buf(request, data, length));
}

static bool find_slice(const struct fs *fs, fuse_ino_t inode, struct tree_item *ret)
{
	return !is_control(inode) && tree_slice(fs->tree, inode) && tree_item(fs->tree, inode, ret);
}

void on_getxattr(fuse_req_t request, fuse_ino_t inode, const char *name, size_t size)
{
	struct fs *fs = request_fs(request);
	_cleanup_(cleanup_free) char *text = NULL;
	struct tree_item item;
	size_t length = 0;
	FILE *out;
	int result;

	if (!fs->xattr) {
		/* Once, and the kernel stops asking: see the option xattr in mmapfs(1). */
		reply_status(request, -ENOSYS);
		return;
	}
	if (strncmp(name, PREFIX, strlen(PREFIX)) != 0 || !find_slice(fs, inode, &item)) {
		reply_status(request, -ENODATA);
		return;
	}
	out = open_memstream(&text, &length);
	if (!out) {
		reply_status(request, -ENOMEM);
		return;
	}
	result = write_value(fs, &item, name + strlen(PREFIX), out);
	if (fclose(out) != 0)
		result = -ENOMEM;
	if (result < 0)
		reply_status(request, result);
	else
		reply_sized(request, text, length, size);
}

void on_listxattr(fuse_req_t request, fuse_ino_t inode, size_t size)
{
	struct fs *fs = request_fs(request);
	_cleanup_(cleanup_free) char *list = NULL;
	struct tree_item item;
	size_t length = 0;
	FILE *out;

	if (!fs->xattr) {
		reply_status(request, -ENOSYS);
		return;
	}
	if (!find_slice(fs, inode, &item)) {
		reply_sized(request, NULL, 0, size);
		return;
	}
	out = open_memstream(&list, &length);
	if (out)
		write_names(&item, out);
	if (!out || fclose(out) != 0)
		reply_status(request, -ENOMEM);
	else
		reply_sized(request, list, length, size);
}
