/* SPDX-License-Identifier: MIT */
/* From what a table says to a checked tree.
 *
 * While lines come in, only their form can be checked. tree_build() then opens the images, checks
 * every extent against its image, settles accesses and modes, sorts the names, and marks aliases;
 * each step goes through everything, so that all that is wrong is said at once.
 */
#include "cleanup.h"
#include "extent.h"
#include "overflow.h"
#include "overlap.h"
#include "size.h"
#include "tree_internal.h"

#include <string.h>

struct image_request {
	char *path;
	enum image_access access;
	uint32_t line;
	bool for_resize; /* some slice may resize it, so it may be empty */
	bool for_write;  /* some slice is not ro */
	bool failed;
};

struct slice_request {
	uint32_t path; /* in paths */
	uint32_t line;
	uint32_t first_extent;
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
	struct names image_names;
	VEC(struct image_request) images;
	VEC(struct slice_request) slices;
	VEC(struct extent_request) extents;
	VEC(char) paths;
};

struct tree_builder *tree_builder_new(const char *file)
{
	struct tree_builder *builder = calloc(1, sizeof(*builder));

	if (builder)
		builder->file = file;
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
	free(builder);
}

const char *tree_builder_file(const struct tree_builder *builder)
{
	return builder->file;
}

void tree_builder_set_line(struct tree_builder *builder, unsigned long line)
{
	builder->line = min_u64(line, UINT32_MAX);
}

/* Report at the given line and return -EINVAL. */
#define fail_at(builder, error, at_line, ...)                                                      \
	({                                                                                         \
		struct location at_ = { (builder)->file, (at_line) };                              \
		error_add((error), &at_, __VA_ARGS__);                                             \
		-EINVAL;                                                                           \
	})

#define fail_here(builder, error, ...) fail_at(builder, error, (builder)->line, __VA_ARGS__)

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
	if (builder->slices.count >= TREE_COUNT_MAX || builder->paths.count + size > TREE_NAMES_MAX)
		return fail_here(builder, error, "slice '%s': too many slices", name);
	result = vec_reserve(&builder->paths, size) ?: vec_push(&builder->slices, request);
	if (result < 0)
		return result;
	memcpy(builder->paths.data + builder->paths.count, name, size);
	builder->paths.count += size;
	return 0;
}

static const char *request_name(const struct tree_builder *builder,
				const struct slice_request *request)
{
	return builder->paths.data + request->path;
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
	if (builder->extents.count >= TREE_COUNT_MAX)
		return fail_here(builder, error, "slice '%s': too many extents", name);
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

/* The extents of slice number index. */
static size_t extents_end(const struct tree_builder *builder, size_t index)
{
	return index + 1 < builder->slices.count ? builder->slices.data[index + 1].first_extent
						 : builder->extents.count;
}

int tree_builder_visit(const struct tree_builder *builder, const char *name, extent_visitor visit,
		       void *context)
{
	for (size_t i = 0; i < builder->slices.count; i++) {
		const struct slice_request *slice = &builder->slices.data[i];

		if (strcmp(request_name(builder, slice), name) != 0)
			continue;
		for (size_t j = slice->first_extent; j < extents_end(builder, i); j++) {
			const struct extent_request *extent = &builder->extents.data[j];
			int result = visit(context,
					   extent->image == ZEROS
						   ? NULL
						   : builder->images.data[extent->image].path,
					   extent->offset, extent->length);

			if (result != 0)
				return result;
		}
		return 0;
	}
	return -ENOENT;
}

/* Everything that tree_build() works with. */
struct building {
	struct tree_builder *builder;
	const struct tree_defaults *defaults;
	struct error *error;
	struct tree *tree;
	uint64_t *image_sizes; /* by number */
};

static const char *open_fault(int error)
{
	switch (error) {
	case -EBUSY:
		return "in use by another program (lock=off overrides a lock)";
	case -ENOTSUP:
		return "neither a regular file nor a block device";
	case -ENOMEM:
		return "no memory or address space to map it";
	default:
		return strerror(-error);
	}
}

/* What nobody is to write is opened, locked and mapped to read. */
static enum image_access wanted_access(const struct building *b,
				       const struct image_request *request)
{
	if (b->defaults->read_only || (request->access == IMAGE_ACCESS_AUTO && !request->for_write))
		return IMAGE_ACCESS_RO;
	return request->access;
}

/* An image that is open already under another name: shared, since one file is mapped once. */
static int share_image(struct building *b, size_t index, const struct stat *status)
{
	struct image_request *requests = b->builder->images.data;
	struct image_slot *slots = b->tree->images;

	for (size_t i = 0; i < index; i++) {
		if (!slots[i].image || !image_is(slots[i].image, status))
			continue;
		if ((wanted_access(b, &requests[i]) == IMAGE_ACCESS_RO) !=
		    (wanted_access(b, &requests[index]) == IMAGE_ACCESS_RO))
			return fail_at(b->builder, b->error, requests[index].line,
				       "image '%s': the same file as image '%s'; give both the "
				       "same access",
				       b->tree->image_names.strings[index],
				       b->tree->image_names.strings[i]);
		slots[index].image = image_ref(slots[i].image);
		b->image_sizes[index] = b->image_sizes[i];
		return 1;
	}
	return 0;
}

static int open_one(struct building *b, size_t index, bool inspect)
{
	struct image_request *request = &b->builder->images.data[index];
	struct image_slot *slot = &b->tree->images[index];
	const char *name = b->tree->image_names.strings[index];
	struct stat status;
	int result;

	if (stat(request->path, &status) == 0) {
		result = share_image(b, index, &status);
		if (result != 0)
			return result < 0 ? result : 0;
	}
	result = image_open(request->path, wanted_access(b, request),
			    (b->defaults->no_lock ? IMAGE_NO_LOCK : 0) |
				    (inspect ? IMAGE_INSPECT : 0),
			    &slot->image);
	if (result == 0)
		result = image_size(slot->image, &b->image_sizes[index]);
	if (result < 0)
		return fail_at(b->builder, b->error, request->line, "image '%s': %s: %s", name,
			       request->path, open_fault(result));
	if (b->image_sizes[index] == 0 && (!request->for_resize || b->defaults->read_only))
		return fail_at(b->builder, b->error, request->line,
			       "image '%s': %s: is empty; only a tail slice with resize can use it",
			       name, request->path);
	return 0;
}

/* What the slices want of their images. */
static void mark_uses(struct tree_builder *builder)
{
	for (size_t i = 0; i < builder->slices.count; i++) {
		const struct slice_options *options = &builder->slices.data[i].options;

		for (size_t j = builder->slices.data[i].first_extent; j < extents_end(builder, i);
		     j++) {
			uint32_t image = builder->extents.data[j].image;

			if (image == ZEROS)
				continue;
			builder->images.data[image].for_write |= options->access != IMAGE_ACCESS_RO;
			builder->images.data[image].for_resize |= options->resize;
		}
	}
}

/* Names of one file share its image, so what one wants all get. */
static int join_uses(struct tree_builder *builder)
{
	struct image_request *images = builder->images.data;
	_cleanup_(cleanup_free) struct stat *status =
		calloc(builder->images.count + 1, sizeof(*status));

	if (!status)
		return -ENOMEM;
	for (size_t i = 0; i < builder->images.count; i++) {
		if (stat(images[i].path, &status[i]) < 0)
			status[i] = (struct stat){ 0 };
		for (size_t j = 0; j < i; j++) {
			if (status[i].st_ino != status[j].st_ino ||
			    status[i].st_dev != status[j].st_dev)
				continue;
			images[j].for_write |= images[i].for_write ||
					       images[i].access == IMAGE_ACCESS_RW;
			images[i].for_write |= images[j].for_write ||
					       images[j].access == IMAGE_ACCESS_RW;
			images[j].for_resize |= images[i].for_resize;
			images[i].for_resize |= images[j].for_resize;
		}
	}
	return 0;
}

static void open_images(struct building *b, bool inspect)
{
	struct tree_builder *builder = b->builder;

	for (size_t i = 0; i < builder->images.count; i++) {
		builder->images.data[i].failed = open_one(b, i, inspect) < 0;
		b->tree->images[i].path = steal_pointer(&builder->images.data[i].path);
	}
}

static void report_outside(struct building *b, const struct slice_request *slice,
			   const struct extent_request *request)
{
	char offset[SIZE_TEXT_MAX];
	char length[SIZE_TEXT_MAX];
	char size[SIZE_TEXT_MAX];
	const char *image = b->tree->image_names.strings[request->image];

	size_format(request->offset, offset);
	size_format(b->image_sizes[request->image], size);
	if (request->length == EXTENT_TAIL)
		fail_at(b->builder, b->error, request->line,
			"slice '%s': offset %s is past the end of image '%s' (%s)",
			request_name(b->builder, slice), offset, image, size);
	else
		fail_at(b->builder, b->error, request->line,
			"slice '%s': offset %s + length %s exceeds image '%s' (%s)",
			request_name(b->builder, slice), offset,
			size_format(request->length, length), image, size);
}

/* What the images of a slice allow. */
struct allowed {
	mode_t mode;
	bool images;           /* any at all */
	bool writable;         /* all of them */
	bool failed;           /* some could not be opened, or an extent is wrong */
	const char *read_only; /* the name of one that is */
};

/* Check one extent and turn it into its final form at *start, which moves on. */
static void resolve_extent(struct building *b, const struct slice_request *slice,
			   const struct extent_request *request, struct extent *extent,
			   uint64_t *start, struct allowed *allowed)
{
	uint64_t length;

	*extent = (struct extent){ .start = *start, .length = request->length };
	if (request->image != ZEROS) {
		struct image *image = b->tree->images[request->image].image;

		if (b->builder->images.data[request->image].failed) {
			allowed->failed = true;
			return;
		}
		if (!extent_fits(request->offset, request->length,
				 b->image_sizes[request->image])) {
			report_outside(b, slice, request);
			allowed->failed = true;
			return;
		}
		extent->image = image;
		extent->offset = request->offset;
		allowed->mode &= image_mode(image);
		allowed->images = true;
		if (!image_writable(image)) {
			allowed->writable = false;
			allowed->read_only = b->tree->image_names.strings[request->image];
		}
	}
	length = request->length;
	if (length == EXTENT_TAIL && request->image != ZEROS)
		length = b->image_sizes[request->image] - request->offset;
	if (add_overflows(*start, length, start) || *start > SIZE_LIMIT) {
		fail_at(b->builder, b->error, request->line, "slice '%s': is too large",
			request_name(b->builder, slice));
		allowed->failed = true;
		*start = 0;
	}
}

/* Access, mode and owner, once the extents are known. */
static void resolve_attributes(struct building *b, const struct slice_request *request,
			       const struct allowed *allowed, struct slice *slice)
{
	const struct slice_options *options = &request->options;
	const struct tree_defaults *defaults = b->defaults;
	const char *name = request_name(b->builder, request);
	const struct extent *last = &slice->extents[slice->extent_count - 1];

	slice->uid = options->has_uid ? options->uid : defaults->uid;
	slice->gid = options->has_gid ? options->gid : defaults->gid;
	slice->mode = options->has_mode    ? options->mode
		      : defaults->has_mode ? defaults->mode
					   : allowed->mode;
	slice->tail = last->length == EXTENT_TAIL;
	if (allowed->failed)
		return;
	if (options->access == IMAGE_ACCESS_AUTO)
		slice->writable = allowed->images && allowed->writable;
	else
		slice->writable = options->access == IMAGE_ACCESS_RW && !defaults->read_only;
	if (slice->writable && !allowed->writable)
		fail_at(b->builder, b->error, request->line,
			"slice '%s': rw, but image '%s' is read-only", name, allowed->read_only);
	if (!options->resize || defaults->read_only)
		return;
	slice->resize = true;
	if (!slice->tail || !slice->writable || image_is_block_device(last->image))
		fail_at(b->builder, b->error, request->line,
			"slice '%s': resize needs a writable tail slice of a regular file", name);
}

static void resolve_slice(struct building *b, size_t index)
{
	struct tree_builder *builder = b->builder;
	const struct slice_request *request = &builder->slices.data[index];
	size_t end = extents_end(builder, index);
	struct allowed allowed = { .mode = 0666, .writable = true };
	uint64_t start = 0;

	b->tree->slots[index] = (struct slot){
		.path = request->path,
		.explicit = (request->options.has_mode ? SLOT_MODE : 0) |
			    (request->options.has_uid ? SLOT_UID : 0) |
			    (request->options.has_gid ? SLOT_GID : 0),
	};
	if (request->first_extent == end) {
		if (!request->refused)
			fail_at(builder, b->error, request->line, "slice '%s': has no extent",
				request_name(builder, request));
		return;
	}
	for (size_t i = request->first_extent; i < end; i++)
		resolve_extent(b, request, &builder->extents.data[i], &b->tree->extents[i], &start,
			       &allowed);
	b->tree->slices[index].extents = &b->tree->extents[request->first_extent];
	b->tree->slices[index].extent_count = end - request->first_extent;
	resolve_attributes(b, request, &allowed, &b->tree->slices[index]);
}

static int sort_names(struct building *b)
{
	_cleanup_(cleanup_free) uint32_t *lines = NULL;
	size_t count = b->tree->slice_count;

	lines = malloc(count * sizeof(*lines) + 1);
	if (!lines)
		return -ENOMEM;
	for (size_t i = 0; i < count; i++)
		lines[i] = b->builder->slices.data[i].line;
	return tree_grow_nodes(b->tree, b->builder->file, lines, b->error);
}

static int allocate_tree(struct building *b)
{
	struct tree_builder *builder = b->builder;
	struct tree *tree = b->tree;

	tree->slice_count = builder->slices.count;
	tree->slices = calloc(tree->slice_count + 1, sizeof(*tree->slices));
	tree->slots = calloc(tree->slice_count + 1, sizeof(*tree->slots));
	tree->extents = calloc(builder->extents.count + 1, sizeof(*tree->extents));
	tree->images = calloc(builder->images.count + 1, sizeof(*tree->images));
	b->image_sizes = calloc(builder->images.count + 1, sizeof(*b->image_sizes));
	if (!tree->slices || !tree->slots || !tree->extents || !tree->images || !b->image_sizes)
		return -ENOMEM;
	tree->image_names = builder->image_names;
	builder->image_names = (struct names){ 0 };
	return 0;
}

static int build(struct building *b, bool inspect)
{
	int result = allocate_tree(b);

	if (result < 0)
		return result;
	mark_uses(b->builder);
	result = join_uses(b->builder);
	if (result < 0)
		return result;
	open_images(b, inspect);
	for (size_t i = 0; i < b->tree->slice_count; i++)
		resolve_slice(b, i);
	b->tree->paths = b->builder->paths.data;
	b->builder->paths.data = NULL;
	result = sort_names(b);
	if (result == 0 && (b->error->count > 0 || b->error->omitted > 0))
		result = -EINVAL;
	return result ?: overlap_mark_aliases(b->tree->slices, b->tree->slice_count);
}

int tree_build(struct tree_builder *builder, const struct tree_defaults *defaults, bool inspect,
	       struct error *error, struct tree **ret)
{
	struct tree *tree = calloc(1, sizeof(*tree));
	struct building b = { builder, defaults, error, tree, NULL };
	int result = tree ? build(&b, inspect) : -ENOMEM;

	free(b.image_sizes);
	if (result < 0) {
		tree_free(tree);
		return result;
	}
	*ret = tree;
	return 0;
}
