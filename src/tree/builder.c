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

	if (!builder)
		return NULL;
	builder->file = file;
	builder->limits = (struct tree_limits)TREE_LIMITS;
	if (vec_push(&builder->paths, '\0') < 0) {
		free(builder);
		return NULL;
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
	free(builder->items.data);
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

static int add_image(struct tree_builder *builder, const char *name, const char *path,
		     const struct image_request *wanted, struct error *error)
{
	struct image_request request = *wanted;
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
	request.line = builder->line;
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

int tree_builder_image(struct tree_builder *builder, const char *name, const char *path,
		       enum image_access access, struct error *error)
{
	const struct image_request request = { .access = access };

	return add_image(builder, name, path, &request, error);
}

int tree_builder_memory(struct tree_builder *builder, const char *name, uint64_t size,
			enum image_access access, struct error *error)
{
	const struct image_request request = { .access = access,
					       .memory = true,
					       .memory_size = size };
	_cleanup_(cleanup_free) char *path = NULL;

	if (asprintf(&path, "memory:%s", name) < 0) {
		path = NULL;
		return -ENOMEM;
	}
	return add_image(builder, name, path, &request, error);
}

void tree_builder_policy(struct tree_builder *builder, struct memory_policy policy)
{
	builder->images.data[builder->images.count - 1].policy = policy;
}

/* Append a text to the arena of names. */
static int add_text(struct tree_builder *builder, const char *text, size_t size,
		    struct error *error)
{
	int result;

	if (builder->paths.count - 1 + size > builder->limits.names)
		return too_many(builder, error, names, "bytes of names");
	result = vec_reserve(&builder->paths, size);
	if (result < 0)
		return result;
	memcpy(builder->paths.data + builder->paths.count, text, size);
	builder->paths.count += size;
	return 0;
}

/* The bytes of a list of attributes, with the empty one at its end. */
static size_t attributes_size(const char *list)
{
	const char *at = list;

	while (*at)
		at += strlen(at) + 1;
	return at + 1 - list;
}

void share_attributes(struct tree_builder *builder)
{
	struct item_request *last;
	const char *before = builder->paths.data + builder->attributes;
	const char *list;
	size_t size;

	if (builder->items.count == 0)
		return;
	last = &builder->items.data[builder->items.count - 1];
	if (!last->attributes || last->attributes == builder->attributes)
		return;
	list = builder->paths.data + last->attributes;
	size = attributes_size(list);
	if (builder->attributes && attributes_size(before) == size &&
	    memcmp(before, list, size) == 0) {
		builder->paths.count -= size;
		last->attributes = builder->attributes;
	}
	builder->attributes = last->attributes;
}

static int begin_item(struct tree_builder *builder, enum tree_kind kind, const char *name,
		      const struct slice_options *options, struct error *error)
{
	struct item_request request = {
		.line = builder->line,
		.first_extent = builder->extents.count,
		.kind = kind,
		.options = *options,
	};
	const char *fault = name_fault(name);
	int result;

	if (fault)
		return fail_here(builder, error, "%s '%.300s': name %s", kind_name(kind), name,
				 fault);
	if (builder->items.count >= builder->limits.nodes)
		return too_many(builder, error, nodes, "slices");
	share_attributes(builder);
	request.path = builder->paths.count;
	result = add_text(builder, name, strlen(name) + 1, error);
	return result ?: vec_push(&builder->items, request);
}

int tree_builder_slice(struct tree_builder *builder, const char *name,
		       const struct slice_options *options, struct error *error)
{
	return begin_item(builder, TREE_SLICE, name, options, error);
}

int tree_builder_directory(struct tree_builder *builder, const char *name,
			   const struct slice_options *options, struct error *error)
{
	return begin_item(builder, TREE_DIRECTORY, name, options, error);
}

static int begin_with_target(struct tree_builder *builder, enum tree_kind kind, const char *name,
			     const char *target, const struct slice_options *options,
			     struct error *error)
{
	int result = begin_item(builder, kind, name, options, error);
	uint32_t place = builder->paths.count;

	result = result ?: add_text(builder, target, strlen(target) + 1, error);
	if (result == 0)
		builder->items.data[builder->items.count - 1].target = place;
	return result;
}

int tree_builder_symlink(struct tree_builder *builder, const char *name, const char *target,
			 const struct slice_options *options, struct error *error)
{
	size_t length = strlen(target);

	if (length == 0 || length > TREE_PATH_MAX)
		return fail_here(builder, error, "symlink '%.300s': target %s", name,
				 length ? "is longer than 4095 bytes" : "is empty");
	return begin_with_target(builder, TREE_SYMLINK, name, target, options, error);
}

int tree_builder_link(struct tree_builder *builder, const char *name, const char *target,
		      struct error *error)
{
	const struct slice_options none = { 0 };
	const char *fault = name_fault(target);

	if (fault)
		return fail_here(builder, error, "link '%.300s': target %s", name, fault);
	return begin_with_target(builder, TREE_LINK, name, target, &none, error);
}

static bool is_key(const char *key)
{
	size_t length = strlen(key);

	return length > 0 && length <= TREE_KEY_MAX &&
	       strspn(key, "abcdefghijklmnopqrstuvwxyz0123456789_-.") == length;
}

/* What can be asked of every slice under these names is where it lies. */
static bool is_place(const char *key)
{
	return strcmp(key, "image") == 0 || strcmp(key, "offset") == 0 ||
	       strcmp(key, "length") == 0 || strcmp(key, "access") == 0;
}

int tree_builder_attribute(struct tree_builder *builder, const char *key, const char *value,
			   struct error *error)
{
	struct item_request *last;
	uint32_t place = builder->paths.count;
	int result;

	if (builder->items.count == 0)
		return fail_here(builder, error, "attribute without a slice before it");
	last = &builder->items.data[builder->items.count - 1];
	if (last->kind != TREE_SLICE)
		return fail_here(builder, error, "attribute without a slice before it");
	if (!is_key(key))
		return fail_here(builder, error, "attribute '%.300s': not a name for an attribute",
				 key);
	if (is_place(key))
		return fail_here(builder, error, "attribute '%s': every slice has its own", key);
	if (strlen(value) > TREE_VALUE_MAX)
		return fail_here(builder, error, "attribute '%s': value is longer than %d bytes",
				 key, TREE_VALUE_MAX);
	if (last->attributes)
		builder->paths.count = --place; /* the empty one that ended the list */
	result = add_text(builder, key, strlen(key), error)
			 ?: add_text(builder, "=", 1, error)
			 ?: add_text(builder, value, strlen(value) + 1, error)
			 ?: add_text(builder, "", 1, error);
	if (result == 0 && !last->attributes)
		last->attributes = place;
	return result;
}

/* What is wrong with an extent on its own line, as a message; 0 when nothing is. */
static int check_extent(struct tree_builder *builder, const struct item_request *slice,
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
	struct item_request *slice;
	int result;

	if (builder->items.count == 0 ||
	    builder->items.data[builder->items.count - 1].kind != TREE_SLICE)
		return fail_here(builder, error, "extent without a slice before it");
	slice = &builder->items.data[builder->items.count - 1];
	result = check_extent(builder, slice, image, length, error, &request.image);
	if (result == 0)
		result = vec_push(&builder->extents, request);
	slice->refused |= result == -EINVAL;
	return result;
}

void tree_builder_extent_unread(struct tree_builder *builder)
{
	if (builder->items.count > 0)
		builder->items.data[builder->items.count - 1].refused = true;
}

static int compare_requests(const void *left, const void *right, void *context)
{
	const struct tree_builder *builder = context;
	uint32_t a = *(const uint32_t *)left;
	uint32_t b = *(const uint32_t *)right;

	return strcmp(request_name(builder, &builder->items.data[a]),
		      request_name(builder, &builder->items.data[b]))
		       ?: (a > b) - (a < b);
}

static int sort_requests(struct tree_builder *builder)
{
	size_t count = builder->items.count;
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

		if (strcmp(request_name(builder, &builder->items.data[index]), name) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	if (low == builder->sorted_count)
		return -ENOENT;
	*ret = builder->sorted[low];
	return strcmp(request_name(builder, &builder->items.data[*ret]), name) == 0 ? 0 : -ENOENT;
}

int tree_builder_visit(struct tree_builder *builder, const char *name, extent_visitor visit,
		       void *context)
{
	size_t found = 0;
	int result = 0;

	if (builder->sorted_count != builder->items.count)
		result = sort_requests(builder);
	if (result == 0)
		result = find_request(builder, name, &found);
	if (result == 0 && builder->items.data[found].kind == TREE_LINK)
		result = find_request(
			builder, builder->paths.data + builder->items.data[found].target, &found);
	if (result == 0 && builder->items.data[found].kind != TREE_SLICE)
		result = -ENOENT;
	if (result < 0)
		return result;
	for (size_t i = builder->items.data[found].first_extent;
	     i < extents_end(builder, found) && result == 0; i++) {
		const struct extent_request *extent = &builder->extents.data[i];
		struct extent_view view = {
			.offset = extent->offset,
			.length = extent->length,
			.access = builder->items.data[found].options.access,
		};

		if (extent->image != ZEROS) {
			view.image = builder->image_names.strings[extent->image];
			view.path = builder->images.data[extent->image].path;
			view.memory = builder->images.data[extent->image].memory;
		}
		result = visit(context, &view);
	}
	return result;
}

int tree_builder_visit_image(struct tree_builder *builder, const char *name, extent_visitor visit,
			     void *context)
{
	struct extent_view view = { .length = EXTENT_TAIL };
	uint32_t number;
	int result = names_find(&builder->image_names, name, &number);

	if (result < 0)
		return result;
	view.image = builder->image_names.strings[number];
	view.path = builder->images.data[number].path;
	view.memory = builder->images.data[number].memory;
	view.access = builder->images.data[number].access;
	return visit(context, &view);
}
