/* SPDX-License-Identifier: MIT */
#ifndef MMAPFS_TREE_H
#define MMAPFS_TREE_H

#include "mmapfs/error.h"
#include "mmapfs/slice.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

/* The names of a mount: directories, slices as their files, symbolic links, and further names of
 * slices.
 *
 * A builder takes images and slices in any order of names and checks them all; what it builds is
 * immutable, and shared by all threads without a lock. Nodes are numbered level by level, the
 * entries of a directory in a row and in order of their bytes, so that a number depends on the
 * table alone, a listing resumes at any entry, and a lookup is a binary search.
 */
struct tree;
struct tree_builder;

/* Ownership and permission bits that the command line gives to all slices. */
struct tree_defaults {
	uid_t uid;
	gid_t gid;
	bool has_uid; /* given, so that they also hold for what comes from inside of an image */
	bool has_gid;
	bool has_mode; /* else each slice has its images' bits */
	mode_t mode;
	bool read_only; /* every image and slice, whatever they ask for */
	bool no_lock;
	bool lenient; /* slices may lie outside of their image, and fail there with EIO */
	struct memory_policy policy; /* for images that say nothing else */
	/* For a kernel that writes later, and so believes its own idea of a file: no slices that share
	 * a byte, none with resize; and tail slices keep the size that they have now.
	 */
	bool writeback;
};

/* What a table may say of a slice; of a directory or symbolic link all but access, resize and
 * policy.
 */
struct slice_options {
	enum image_access access; /* AUTO: as its images allow */
	bool resize;
	bool has_mode;
	bool has_uid;
	bool has_gid;
	bool has_mtime;
	bool found; /* by a layout, and not given by the user */
	struct memory_policy policy;
	mode_t mode;
	uid_t uid;
	gid_t gid;
	struct timespec mtime;
};

enum tree_kind {
	TREE_DIRECTORY,
	TREE_SLICE,
	TREE_SYMLINK,
	TREE_LINK, /* another name of a slice */
};

/* A component of a slice's name, and the whole name, in bytes. */
#define TREE_COMPONENT_MAX 255
#define TREE_PATH_MAX 4095
/* The key of an attribute, of a-z, 0-9, '_', '-' and '.'; and its value, in bytes. */
#define TREE_KEY_MAX 64
#define TREE_VALUE_MAX 1024
/* The name at the root that the mount keeps for itself. */
#define TREE_RESERVED ".mmapfs"

/* What one mount may have, so that a hostile table ends in an error and not in a machine without
 * memory. docs/architecture.md says what it costs to go to the limits. 32 bits hold all of them.
 */
struct tree_limits {
	size_t images;
	size_t nodes; /* slices, folders and the like */
	size_t extents;
	size_t names;  /* bytes of all names, targets and attributes, and a NUL for each */
	size_t errors; /* until a reader gives up */
	size_t lines;
	size_t text; /* bytes of a table */
};

#define TREE_LIMITS                                                                                \
	{                                                                                          \
		.images = 1024, .nodes = 1 << 25, .extents = 1 << 25, .names = 1 << 30,            \
		.errors = 1000000, .lines = 1 << 26, .text = 16UL << 30                            \
	}

/* NULL when out of memory. file is named in messages; NULL on the command line. Borrowed. */
struct tree_builder *tree_builder_new(const char *file);
void tree_builder_free(struct tree_builder *builder); /* takes NULL */

const char *tree_builder_file(const struct tree_builder *builder);

/* TREE_LIMITS at first; to be changed before anything is added. */
struct tree_limits *tree_builder_limits(struct tree_builder *builder);

/* The line that the following calls stand on. */
void tree_builder_set_line(struct tree_builder *builder, unsigned long line);

/* Each adds one thing, and puts what is wrong with it into error. 0, or -EINVAL, and the builder
 * stays usable, to find further errors; or -ENOMEM; or -E2BIG when a limit is passed: error says
 * which, and the builder is only to be freed. Strings are copied.
 *
 * tree_builder_image: name is what extents refer to; path as open(2) takes it.
 * tree_builder_memory: an image in memory, of size bytes of zeros. Its path is "memory:NAME".
 * tree_builder_policy: of the image that was added last.
 * tree_builder_slice: begins a slice; the extents that follow belong to it. A slice without a
 * valid extent is an error of its own line.
 * tree_builder_extent: image NULL means zeros; length EXTENT_TAIL reaches to the image's end.
 * tree_builder_directory: for its attributes, or because it is empty; others are there by their
 * entries.
 * tree_builder_link: target is the name of a slice, which may come later.
 * tree_builder_attribute: of the slice that was begun last. A key has its last value.
 */
int tree_builder_image(struct tree_builder *builder, const char *name, const char *path,
		       enum image_access access, struct error *error);
int tree_builder_memory(struct tree_builder *builder, const char *name, uint64_t size,
			enum image_access access, struct error *error);
void tree_builder_policy(struct tree_builder *builder, struct memory_policy policy);
int tree_builder_slice(struct tree_builder *builder, const char *name,
		       const struct slice_options *options, struct error *error);
int tree_builder_extent(struct tree_builder *builder, const char *image, uint64_t offset,
			uint64_t length, struct error *error);
int tree_builder_directory(struct tree_builder *builder, const char *name,
			   const struct slice_options *options, struct error *error);
int tree_builder_symlink(struct tree_builder *builder, const char *name, const char *target,
			 const struct slice_options *options, struct error *error);
int tree_builder_link(struct tree_builder *builder, const char *name, const char *target,
		      struct error *error);
int tree_builder_attribute(struct tree_builder *builder, const char *key, const char *value,
			   struct error *error);

/* An extent of the slice that was begun last could not even be read, and error says so already. */
void tree_builder_extent_unread(struct tree_builder *builder);

/* An extent as the table has it, unchecked. Strings are the builder's, until something is added. */
struct extent_view {
	const char *image; /* the image's name, NULL: zeros */
	const char *path;  /* and its path, or NULL */
	bool memory;       /* it is none that could be opened */
	uint64_t offset;
	uint64_t length;          /* or EXTENT_TAIL */
	enum image_access access; /* what its slice wants */
};

/* Calls visit for each extent of the slice called name (a path within the mount), or, the second
 * one, for the one extent that is all of the image called name; nothing is opened. -ENOENT when
 * there is none, -ENOMEM; else the first nonzero value that visit returns, or 0. The first call
 * sorts the names, each is a binary search.
 */
typedef int (*extent_visitor)(void *context, const struct extent_view *extent);
int tree_builder_visit(struct tree_builder *builder, const char *name, extent_visitor visit,
		       void *context);
int tree_builder_visit_image(struct tree_builder *builder, const char *name, extent_visitor visit,
			     void *context);

/* Open the images, check every extent against them, and build. inspect: for a look only
 * (IMAGE_INSPECT). The builder is used up, whatever the outcome, but still to be freed.
 *
 * *ret is the caller's (tree_free) and untouched on failure: -EINVAL or -E2BIG with messages, or
 * -ENOMEM.
 */
int tree_build(struct tree_builder *builder, const struct tree_defaults *defaults, bool inspect,
	       struct error *error, struct tree **ret);
void tree_free(struct tree *tree); /* takes NULL */

/* Do what memory policies ask for at the mount: huge pages, populate, lock. Reads images, and takes
 * its time. note is called for what is advice, and cannot be had. 0; -EINVAL with messages; -ENOMEM.
 */
int tree_prepare(const struct tree *tree, void (*note)(const char *text), struct error *error);

/* Nodes are 1 (the root directory) to tree_node_count(). */
#define TREE_ROOT 1U

size_t tree_node_count(const struct tree *tree);
enum tree_kind tree_kind(const struct tree *tree, uint32_t node);
uint32_t tree_parent(const struct tree *tree, uint32_t node);           /* the root's is the root */
const struct slice *tree_slice(const struct tree *tree, uint32_t node); /* NULL: not a slice */

/* The entry of directory that is called name: its node, 0 if there is none. A link's is the node of
 * its slice.
 */
uint32_t tree_lookup(const struct tree *tree, uint32_t directory, const char *name);

/* Entry index of directory, in order of names: its node, and its name into name. 0 past the end. */
uint32_t tree_entry(const struct tree *tree, uint32_t directory, uint64_t index,
		    char name[TREE_COMPONENT_MAX + 1]);

/* What went in, in the order of the table, for those who print it. */
struct tree_image {
	const char *name;
	const char *path;
	enum image_access access;    /* as it was opened, never AUTO */
	struct image *image;         /* borrowed */
	uint64_t memory_size;        /* of an image in memory, as it was given */
	struct memory_policy policy; /* what the table gave itself */
};

struct tree_item {
	enum tree_kind kind;
	const char *name;          /* the whole one, "data/a" */
	const struct slice *slice; /* mode, uid and gid are of any kind; the rest of a slice */
	const char *target;        /* a symbolic link's text, the name of a link's slice; or NULL */
	const char *attributes;    /* "key=value", one behind the other, ends with ""; or NULL */
	unsigned links;            /* of a slice: how many names it has besides its own */
	/* What the table gave itself. */
	bool has_mode;
	bool has_uid;
	bool has_gid;
	bool has_mtime;
	bool outside; /* some of it lies outside of its image */
	struct timespec mtime;
};

size_t tree_image_count(const struct tree *tree);
struct tree_image tree_image_at(const struct tree *tree, size_t index);
size_t tree_item_count(const struct tree *tree);
size_t tree_slice_count(const struct tree *tree); /* of these */
struct tree_item tree_item_at(const struct tree *tree, size_t index);

/* The item behind a node. False: a directory that nobody has described. */
bool tree_item(const struct tree *tree, uint32_t node, struct tree_item *ret);

/* The value of one of an item's attributes, borrowed; NULL when it has none of that key. */
const char *tree_item_attribute(const struct tree_item *item, const char *key);

/* The index of the image behind an extent. */
size_t tree_image_index(const struct tree *tree, const struct image *image);

/* Bytes of all slices together, saturating. */
uint64_t tree_total_size(const struct tree *tree);

#endif
