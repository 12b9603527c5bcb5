/* SPDX-License-Identifier: MIT */
#ifndef TREE_BUILDER_INTERNAL_H
#define TREE_BUILDER_INTERNAL_H

#include "tree_internal.h"

/* What the builder has been told (builder.c), and makes a tree of (build.c). */

struct image_request {
	char *path;
	enum image_access access;
	uint32_t line;
	bool for_resize; /* some slice may resize it, so it may be empty */
	bool for_write;  /* some slice is not ro */
	bool memory;     /* of memory_size bytes, and path only names it */
	uint64_t memory_size;
	struct memory_policy policy;
	uint32_t first; /* the first image that is the same file; itself, mostly */
	bool failed;
};

struct item_request {
	uint32_t path;       /* in paths, as are the next two */
	uint32_t target;     /* 0: none */
	uint32_t attributes; /* 0: none */
	uint32_t line;
	uint32_t first_extent;
	uint8_t kind; /* enum tree_kind */
	bool refused; /* an extent of it was, which is an error already */
	struct slice_options options;
};

#define ZEROS UINT32_MAX

struct extent_request {
	uint64_t offset;
	uint64_t length;
	uint32_t image; /* number of its name, or ZEROS */
	uint32_t line;
};

struct tree_builder {
	const char *file;
	uint32_t line;
	struct tree_limits limits;
	struct names image_names;
	VEC(struct image_request) images;
	VEC(struct item_request) items;
	VEC(struct extent_request) extents;
	VEC(char) paths;     /* begins with a NUL, so that 0 is nobody's place */
	uint32_t attributes; /* the last ones that differ from those before; 0: none */
	uint32_t *sorted;    /* items by name, for tree_builder_visit() */
	size_t sorted_count;
};

/* Items in a row mostly have the same attributes: the last one then takes those before it. To be
 * called before anything goes behind its own, which are the end of paths.
 */
void share_attributes(struct tree_builder *builder);

/* Report at the given line and return -EINVAL. */
#define fail_at(builder, error, at_line, ...)                                                      \
	({                                                                                         \
		struct location at_ = { (builder)->file, (at_line) };                              \
		error_add((error), &at_, __VA_ARGS__);                                             \
		-EINVAL;                                                                           \
	})

/* Report that a limit is passed and return -E2BIG. */
#define too_many(builder, error, limit, what)                                                      \
	({                                                                                         \
		(void)fail_here(builder, error, "more than %zu %s", (builder)->limits.limit,       \
				what);                                                             \
		-E2BIG;                                                                            \
	})

#define fail_here(builder, error, ...) fail_at(builder, error, (builder)->line, __VA_ARGS__)

static inline const char *request_name(const struct tree_builder *builder,
				       const struct item_request *request)
{
	return builder->paths.data + request->path;
}

/* Where the extents of item number index end. */
static inline size_t extents_end(const struct tree_builder *builder, size_t index)
{
	return index + 1 < builder->items.count ? builder->items.data[index + 1].first_extent
						: builder->extents.count;
}

#endif
