/* SPDX-License-Identifier: MIT */
/* What a table says, line by line. Only the form of a line can be checked here; tree_build() checks
 * what lines have to do with each other, and with the images.
 */
#include "builder_internal.h"
#include "cleanup.h"
#include "overflow.h"

#include <string.h>

struct tree_builder *tree_builder_new(const char *file)
{
	struct tree_builder *builder = calloc(1, sizeof(*builder));

	if (builder) {
		builder->file = file;
		builder->limits = (struct tree_limits)TREE_LIMITS;
	}
	return builder;
}

void tree_builder_free(struct tree_builder *builder)
{
	if (!builder)
		return;
	for (size_t i = 0; i < builder->images.count; i++)
		free(builder->images.data[i].path);
	free(builder->images.data);
	names_clear(&builder->image_names);
	free(builder->slices.data);
	free(builder->extents.data);
	free(builder->paths.data);
	free(builder->sorted);
	free(builder);
}

const char *tree_builder_file(const struct tree_builder *builder)
{
	return builder->file;
}

struct tree_limits *tree_builder_limits(struct tree_builder *builder)
{
	return &builder->limits;
}

void tree_builder_set_line(struct tree_builder *builder, unsigned long line)
{
	builder->line = min_u64(line, UINT32_MAX);
}

int tree_builder_image(struct tree_builder *builder, const char *name, const char *path,
		       enum image_access access, struct error *error)
{
	struct image_request request = { .access = access, .line = builder->line };
	uint32_t number;
	int result;

	if (!*name || strcmp(name, "-") == 0)
		return fail_here(builder, error, "image '%s': not a name for an image", name);
	if (!*path)
		return fail_here(builder, error, "image '%s': empty path", name);
	if (strlen(name) > TREE_PATH_MAX)
		return fail_here(builder, error, "image '%.300s': name is longer than 4095 bytes",
				 name);
	if (builder->images.count >= builder->limits.images)
		return too_many(builder, error, images, "images");
	/* Room first: a number without its image would shift all that follow. */
	result = vec_reserve(&builder->images, 1);
	if (result < 0)
		return result;
	request.path = strdup(path);
	if (!request.path)
		return -ENOMEM;
	result = names_add(&builder->image_names, name, &number);
	if (result == 0) {
		builder->images.data[builder->images.count++] = request;
		return 0;
	}
	free(request.path);
	if (result == -EEXIST)
		return fail_here(builder, error, "image '%s': name given twice", name);
	return result;
}

int tree_builder_slice(struct tree_builder *builder, const char *name,
		       const struct slice_options *options, struct error *error)
{
	struct slice_request request = {
		.path = builder->paths.count,
		.line = builder->line,
		.first_extent = builder->extents.count,
		.options = *options,
	};
	const char *fault = name_fault(name);
	size_t size = strlen(name) + 1;
	int result;

	if (fault)
		return fail_here(builder, error, "slice '%.300s': name %s", name, fault);
	if (builder->slices.count >= builder->limits.nodes)
		return too_many(builder, error, nodes, "slices");
	if (builder->paths.count + size > builder->limits.names)
		return too_many(builder, error, names, "bytes of names");
	result = vec_reserve(&builder->paths, size) ?: vec_push(&builder->slices, request);
	if (result < 0)
		return result;
	memcpy(builder->paths.data + builder->paths.count, name, size);
	builder->paths.count += size;
	return 0;
}

/* What is wrong with an extent on its own line, as a message; 0 when nothing is. */
static int check_extent(struct tree_builder *builder, const struct slice_request *slice,
			const char *image, uint64_t length, struct error *error, uint32_t *ret)
{
	const char *name = request_name(builder, slice);

	if (image && names_find(&builder->image_names, image, ret) < 0)
		return fail_here(builder, error, "slice '%s': unknown image '%s'", name, image);
	if (!image && length == EXTENT_TAIL)
		return fail_here(builder, error, "slice '%s': zeros need a length", name);
	if (builder->extents.count > slice->first_extent &&
	    builder->extents.data[builder->extents.count - 1].length == EXTENT_TAIL)
		return fail_here(builder, error, "slice '%s': nothing can follow a tail extent",
				 name);
	if (builder->extents.count >= builder->limits.extents)
		return too_many(builder, error, extents, "extents");
	return 0;
}

int tree_builder_extent(struct tree_builder *builder, const char *image, uint64_t offset,
			uint64_t length, struct error *error)
{
	struct extent_request request = {
		.offset = offset,
		.length = length,
		.image = ZEROS,
		.line = builder->line,
	};
	struct slice_request *slice;
	int result;

	if (builder->slices.count == 0)
		return fail_here(builder, error, "extent without a slice before it");
	slice = &builder->slices.data[builder->slices.count - 1];
	result = check_extent(builder, slice, image, length, error, &request.image);
	if (result == 0)
		result = vec_push(&builder->extents, request);
	slice->refused |= result == -EINVAL;
	return result;
}

void tree_builder_extent_unread(struct tree_builder *builder)
{
	if (builder->slices.count > 0)
		builder->slices.data[builder->slices.count - 1].refused = true;
}

static int compare_requests(const void *left, const void *right, void *context)
{
	const struct tree_builder *builder = context;
	uint32_t a = *(const uint32_t *)left;
	uint32_t b = *(const uint32_t *)right;

	return strcmp(request_name(builder, &builder->slices.data[a]),
		      request_name(builder, &builder->slices.data[b]))
		       ?: (a > b) - (a < b);
}

static int sort_requests(struct tree_builder *builder)
{
	size_t count = builder->slices.count;
	uint32_t *sorted = malloc(count * sizeof(*sorted) + 1);

	if (!sorted)
		return -ENOMEM;
	for (size_t i = 0; i < count; i++)
		sorted[i] = i;
	qsort_r(sorted, count, sizeof(*sorted), compare_requests, builder);
	free(builder->sorted);
	builder->sorted = sorted;
	builder->sorted_count = count;
	return 0;
}

/* The first slice called name, in *ret. 0 or -ENOENT. */
static int find_request(const struct tree_builder *builder, const char *name, size_t *ret)
{
	size_t low = 0;
	size_t high = builder->sorted_count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;
		size_t index = builder->sorted[middle];

		if (strcmp(request_name(builder, &builder->slices.data[index]), name) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	if (low == builder->sorted_count)
		return -ENOENT;
	*ret = builder->sorted[low];
	return strcmp(request_name(builder, &builder->slices.data[*ret]), name) == 0 ? 0 : -ENOENT;
}

int tree_builder_visit(struct tree_builder *builder, const char *name, extent_visitor visit,
		       void *context)
{
	size_t found = 0;
	int result = 0;

	if (builder->sorted_count != builder->slices.count)
		result = sort_requests(builder);
	if (result == 0)
		result = find_request(builder, name, &found);
	if (result < 0)
		return result;
	for (size_t i = builder->slices.data[found].first_extent;
	     i < extents_end(builder, found) && result == 0; i++) {
		const struct extent_request *extent = &builder->extents.data[i];

		result = visit(context,
			       extent->image == ZEROS ? NULL
						      : builder->images.data[extent->image].path,
			       extent->offset, extent->length);
	}
	return result;
}
