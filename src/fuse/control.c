/* SPDX-License-Identifier: MIT */
/* .mmapfs: there when named, not listed. Its files are made when they are opened. */
#include "fs.h"

#include "cleanup.h"
#include "overflow.h"
#include "stats.h"

#include <string.h>

bool is_control(fuse_ino_t inode)
{
	return inode >= CONTROL_DIRECTORY;
}

fuse_ino_t control_lookup(fuse_ino_t parent, const char *name)
{
	if (parent == TREE_ROOT && strcmp(name, TREE_RESERVED) == 0)
		return CONTROL_DIRECTORY;
	if (parent == CONTROL_DIRECTORY && strcmp(name, "table") == 0)
		return CONTROL_TABLE;
	if (parent == CONTROL_DIRECTORY && strcmp(name, "stats") == 0)
		return CONTROL_STATS;
	return 0;
}

/* Size 0, as in proc(5): the text is not known before it is opened. */
void control_attributes(const struct fs *fs, fuse_ino_t inode, struct stat *ret)
{
	ret->st_mode = inode == CONTROL_DIRECTORY ? S_IFDIR | 0500 : S_IFREG | 0400;
	ret->st_nlink = 1;
	ret->st_uid = fs->owner;
	ret->st_gid = fs->group;
	ret->st_mtim = ret->st_ctim = ret->st_atim = fs->mounted;
}

static void write_stats(const struct fs *fs, FILE *out)
{
	fprintf(out, "version %s\n", MMAPFS_VERSION);
	fprintf(out, "pid %ld\n", (long)getpid());
	fprintf(out, "images %zu\n", tree_image_count(fs->tree));
	fprintf(out, "slices %zu\n", tree_slice_count(fs->tree));
	stats_write(out);
}

int control_open(struct fs *fs, fuse_req_t request, fuse_ino_t inode, struct handle *handle)
{
	uid_t caller = fuse_req_ctx(request)->uid;
	FILE *out;
	int result = 0;

	/* The mode says so already; root gets in where the kernel lets it through. */
	if (caller != fs->owner && caller != 0)
		return -EACCES;
	out = open_memstream(&handle->text, &handle->text_size);
	if (!out)
		return -ENOMEM;
	if (inode == CONTROL_TABLE)
		result = fs->options->write_table(fs->tree, out);
	else
		write_stats(fs, out);
	if (fclose(out) != 0)
		return -ENOMEM;
	return result;
}

void control_read(fuse_req_t request, const struct handle *handle, size_t size, off_t offset)
{
	size_t start = min_u64(offset, handle->text_size);
	size_t length = min_u64(size, handle->text_size - start);
	/* A copy: once the kernel has the bytes, a close may free the handle's text before the call
	 * that gave them has returned.
	 */
	_cleanup_(cleanup_free) char *copy = malloc(length + 1);

	if (!copy) {
		reply_status(request, -ENOMEM);
		return;
	}
	memcpy(copy, handle->text + start, length);
	count_reply(fuse_reply_buf(request, copy, length));
}
