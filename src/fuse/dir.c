/* SPDX-License-Identifier: MIT */
/* Names and listings. The tree is immutable, so the kernel may keep both as long as it likes. */
#include "fs.h"

#include "cleanup.h"
#include "stats.h"

#include <string.h>

#define ENTRY_TIMEOUT 86400.0 /* seconds */

/* Offsets of a listing: what comes after "." is 1, after ".." 2, after entry i is 3 + i. */
#define OFFSET_ENTRIES 2

static fuse_ino_t find_entry(const struct fs *fs, fuse_ino_t parent, const char *name)
{
	if (strcmp(name, ".") == 0) /* these two come from NFS exports */
		return parent;
	if (strcmp(name, "..") == 0)
		return is_control(parent) ? TREE_ROOT : tree_parent(fs->tree, parent);
	if (is_control(parent))
		return control_lookup(parent, name);
	return control_lookup(parent, name) ?: tree_lookup(fs->tree, parent, name);
}

static int fill_entry(struct fs *fs, fuse_ino_t inode, struct fuse_entry_param *ret)
{
	*ret = (struct fuse_entry_param){
		.ino = inode,
		.entry_timeout = ENTRY_TIMEOUT,
	};
	return attributes_get(fs, inode, &ret->attr, &ret->attr_timeout);
}

/* File handles of NFS and open_by_handle_at(2) outlive mounts, and may come from anywhere; they
 * reach us as look-ups in a node that they name.
 */
static bool is_node(const struct fs *fs, fuse_ino_t inode)
{
	return is_control(inode) ? inode <= CONTROL_STATS
				 : inode >= TREE_ROOT && inode <= tree_node_count(fs->tree);
}

void on_lookup(fuse_req_t request, fuse_ino_t parent, const char *name)
{
	struct fs *fs = request_fs(request);
	struct fuse_entry_param entry = { .entry_timeout = ENTRY_TIMEOUT };
	fuse_ino_t inode;
	int result = 0;

	stats_add(lookups, 1);
	if (!is_node(fs, parent)) {
		reply_status(request, -ESTALE);
		return;
	}
	inode = find_entry(fs, parent, name);
	if (strlen(name) > TREE_COMPONENT_MAX)
		result = -ENAMETOOLONG;
	else if (inode) /* else inode 0: "there is none", which the kernel remembers */
		result = fill_entry(fs, inode, &entry);
	if (result < 0) {
		reply_status(request, result);
		return;
	}
	if (inode && !S_ISDIR(entry.attr.st_mode) && !is_control(parent))
		lister_asked(request, parent);
	count_reply(fuse_reply_entry(request, &entry));
}

void on_opendir(fuse_req_t request, fuse_ino_t inode, struct fuse_file_info *info)
{
	/* From the kernel's cache come names only, and then a request for each. */
	info->cache_readdir = !lister_asks(request);
	info->keep_cache = 1;
	count_reply(fuse_reply_open(request, info));
}

/* The entry at offset: its inode, and its name into name. 0 at the end. */
static fuse_ino_t entry_at(const struct fs *fs, fuse_ino_t directory, off_t offset,
			   char name[TREE_COMPONENT_MAX + 1])
{
	if (offset < OFFSET_ENTRIES) {
		strcpy(name, offset == 0 ? "." : "..");
		return find_entry(fs, directory, name);
	}
	if (is_control(directory)) {
		if (offset >= OFFSET_ENTRIES + 2)
			return 0;
		strcpy(name, offset == OFFSET_ENTRIES ? "stats" : "table");
		return control_lookup(directory, name);
	}
	return tree_entry(fs->tree, directory, offset - OFFSET_ENTRIES, name);
}

static mode_t entry_type(const struct fs *fs, fuse_ino_t inode)
{
	static const mode_t types[] = {
		[TREE_DIRECTORY] = S_IFDIR,
		[TREE_SLICE] = S_IFREG,
		[TREE_SYMLINK] = S_IFLNK,
		[TREE_LINK] = S_IFREG,
	};

	if (is_control(inode))
		return inode == CONTROL_DIRECTORY ? S_IFDIR : S_IFREG;
	return types[tree_kind(fs->tree, inode)];
}

/* Whether a listing may carry the entry's attributes. Not those of a tail slice: its size is true for
 * the moment only, so the kernel would ask again. And a listing waits for no image: one that does
 * not answer would keep its whole folder from being listed.
 */
static bool is_listable(const struct fs *fs, fuse_ino_t inode)
{
	const struct slice *slice = is_control(inode) ? NULL : tree_slice(fs->tree, inode);

	return !slice || (!slice->tail && slice_is_prompt(slice));
}

void on_readlink(fuse_req_t request, fuse_ino_t inode)
{
	struct fs *fs = request_fs(request);
	struct tree_item item;

	if (is_control(inode) || tree_kind(fs->tree, inode) != TREE_SYMLINK ||
	    !tree_item(fs->tree, inode, &item))
		reply_status(request, -EINVAL);
	else
		count_reply(fuse_reply_readlink(request, item.target));
}

enum listing {
	LISTING_PLAIN,
	LISTING_NAMES,      /* as one with attributes, which are left out */
	LISTING_ATTRIBUTES, /* where they are to be had */
};

/* Add one entry to the buffer: the bytes it takes, more than left when it does not fit. */
static size_t add_entry(fuse_req_t request, char *buf, size_t left, const char *name,
			fuse_ino_t inode, off_t next, enum listing kind)
{
	struct fs *fs = request_fs(request);
	struct fuse_entry_param entry = { 0 };
	struct stat attributes = { .st_ino = inode, .st_mode = entry_type(fs, inode) };

	if (kind == LISTING_PLAIN)
		return fuse_add_direntry(request, buf, left, name, &attributes, next);
	/* Without a node the kernel looks the name up by itself: for "." and ".." it never does,
	 * and for an entry whose image fails the error belongs there, not to the listing.
	 */
	if (kind == LISTING_NAMES || next <= OFFSET_ENTRIES || !is_listable(fs, inode) ||
	    fill_entry(fs, inode, &entry) < 0)
		entry = (struct fuse_entry_param){ .attr = attributes };
	return fuse_add_direntry_plus(request, buf, left, name, &entry, next);
}

static void reply_listing(fuse_req_t request, fuse_ino_t inode, size_t size, off_t offset,
			  enum listing kind)
{
	struct fs *fs = request_fs(request);
	_cleanup_(cleanup_free) char *buf = malloc(size);
	char name[TREE_COMPONENT_MAX + 1];
	size_t used = 0;
	unsigned count = 0;
	fuse_ino_t entry;

	stats_add(listings, 1);
	if (!buf) {
		reply_status(request, -ENOMEM);
		return;
	}
	while ((entry = entry_at(fs, inode, offset, name)) != 0) {
		size_t added =
			add_entry(request, buf + used, size - used, name, entry, offset + 1, kind);

		if (added > size - used)
			break;
		used += added;
		offset++;
		count++;
	}
	if (kind == LISTING_NAMES && !is_control(inode))
		lister_told(request, inode, count);
	count_reply(fuse_reply_buf(request, buf, used));
}

void on_readdir(fuse_req_t request, fuse_ino_t inode, size_t size, off_t offset,
		struct fuse_file_info *info)
{
	reply_listing(request, inode, size, offset, LISTING_PLAIN);
}

void on_readdirplus(fuse_req_t request, fuse_ino_t inode, size_t size, off_t offset,
		    struct fuse_file_info *info)
{
	reply_listing(request, inode, size, offset,
		      lister_asks(request) ? LISTING_ATTRIBUTES : LISTING_NAMES);
}

int flush_images(const struct tree *tree)
{
	int result = 0;

	for (size_t i = 0; i < tree_image_count(tree); i++)
		result = image_flush(tree_image_at(tree, i).image) ?: result;
	return result;
}

/* fsync of any directory flushes the whole mount. */
void on_fsyncdir(fuse_req_t request, fuse_ino_t inode, int datasync, struct fuse_file_info *info)
{
	stats_add(fsyncs, 1);
	worker_will_wait();
	reply_status(request, flush_images(request_fs(request)->tree));
}
