/* SPDX-License-Identifier: MIT */
#ifndef TREE_TREE_INTERNAL_H
#define TREE_TREE_INTERNAL_H

#include "mmapfs/tree.h"
#include "names.h"
#include "vec.h"

#define NO_SLOT UINT32_MAX
#define NSEC_PER_SEC 1000000000

struct node {
	uint32_t name; /* where its component begins in tree->paths */
	uint32_t parent;
	uint32_t slot;  /* that describes it, a link's is that of its slice; or NO_SLOT */
	uint32_t first; /* a directory's entries are the nodes first to first + count - 1; */
	uint32_t count; /* a link's first is the node of its slice */
	uint8_t name_length;
	uint8_t kind; /* enum tree_kind */
};

enum slot_flags {
	SLOT_MODE = 1 << 0, /* the table gave it itself; so the next three */
	SLOT_UID = 1 << 1,
	SLOT_GID = 1 << 2,
	SLOT_MTIME = 1 << 3,
	SLOT_OUTSIDE = 1 << 4,
};

/* What there is of an item besides its struct slice. */
struct slot {
	int64_t mtime;       /* nanoseconds */
	uint32_t path;       /* in tree->paths, as are the next two */
	uint32_t target;     /* 0: none */
	uint32_t attributes; /* 0: none */
	uint16_t links;      /* stays at its largest */
	uint8_t flags;       /* enum slot_flags */
	uint8_t kind;        /* enum tree_kind */
};

struct image_slot {
	char *path;
	uint64_t memory_size; /* of an image in memory */
	struct memory_policy policy;
	struct image *image;
};

struct tree {
	struct node *nodes;   /* [0] is unused */
	size_t node_count;    /* with [0] */
	struct slice *slices; /* in the order of the table, as are slots */
	struct slot *slots;
	size_t item_count;
	size_t slice_count; /* of the items */
	struct extent *extents;
	char *paths; /* NUL-terminated names, targets and attributes */
	struct names image_names;
	struct image_slot *images; /* by number of the name */
	uint32_t *images_sorted;   /* their numbers, by address of the image, then number */
};

/* Sort the names of tree->slots into tree->nodes, of which there may be max besides the root, and
 * let links find their slices. Conflicts go to error, at lines[item] of file. 0, -EINVAL, -E2BIG
 * or -ENOMEM.
 */
int tree_grow_nodes(struct tree *tree, size_t max, const char *file, const uint32_t *lines,
		    struct error *error);

/* "slice", "directory", ... for messages. */
const char *kind_name(enum tree_kind kind);

#endif
