/* SPDX-License-Identifier: MIT */
#ifndef TREE_TREE_INTERNAL_H
#define TREE_TREE_INTERNAL_H

#include "mmapfs/tree.h"
#include "names.h"
#include "vec.h"

/* A directory's entries are the nodes first to first + count - 1; a file's slice is first, and its
 * count is NODE_FILE.
 */
#define NODE_FILE UINT32_MAX

struct node {
	uint32_t name; /* where its component begins in tree->paths */
	uint32_t parent;
	uint32_t first;
	uint32_t count;
	uint8_t name_length;
};

enum slot_explicit {
	SLOT_MODE = 1 << 0,
	SLOT_UID = 1 << 1,
	SLOT_GID = 1 << 2,
};

struct slot {
	uint32_t path;    /* in tree->paths */
	uint8_t explicit; /* enum slot_explicit */
};

struct image_slot {
	char *path;
	struct image *image;
};

struct tree {
	struct node *nodes;   /* [0] is unused */
	size_t node_count;    /* with [0] */
	struct slice *slices; /* in the order of the table, as are slots */
	struct slot *slots;
	size_t slice_count;
	struct extent *extents;
	char *paths; /* NUL-terminated names of all slices */
	struct names image_names;
	struct image_slot *images; /* by number of the name */
	uint32_t *images_sorted;   /* their numbers, by address of the image, then number */
};

/* Sort the names of tree->slots into tree->nodes, of which there may be max besides the root.
 * Conflicts go to error, at lines[slice] of file. 0, -EINVAL, -E2BIG or -ENOMEM.
 */
int tree_grow_nodes(struct tree *tree, size_t max, const char *file, const uint32_t *lines,
		    struct error *error);

#endif
