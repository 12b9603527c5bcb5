/* SPDX-License-Identifier: MIT */
/* From what a table says to a checked tree.
 *
 * tree_build() opens the images, checks every extent against its image, settles accesses and modes,
 * sorts the names, and marks aliases; each step goes through everything, so that all that is wrong
 * is said at once.
 */
#include "builder_internal.h"
#include "cleanup.h"
#include "extent.h"
#include "overflow.h"
#include "overlap.h"
#include "size.h"

#include <string.h>

/* Everything that tree_build() works with. */
struct building {
	struct tree_builder *builder;
	const struct tree_defaults *defaults;
	struct error *error;
	struct tree *tree;
	uint64_t *image_sizes; /* by number */
	bool inspect;
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

/* An image that is open already under another name: shared, since one file is mapped once. 1 when
 * it was, 0, or -EINVAL.
 */
static int share_image(struct building *b, size_t index)
{
	struct image_request *request = &b->builder->images.data[index];
	struct image_request *first = &b->builder->images.data[request->first];
	struct image_slot *slots = b->tree->images;
	struct stat status;

	if (first == request || !slots[request->first].image || stat(request->path, &status) < 0 ||
	    !image_is(slots[request->first].image, &status))
		return 0;
	if ((wanted_access(b, first) == IMAGE_ACCESS_RO) !=
	    (wanted_access(b, request) == IMAGE_ACCESS_RO))
		return fail_at(b->builder, b->error, request->line,
			       "image '%s': the same file as image '%s'; give both the same access",
			       b->tree->image_names.strings[index],
			       b->tree->image_names.strings[request->first]);
	if (request->policy.said != first->policy.said || request->policy.on != first->policy.on)
		return fail_at(
			b->builder, b->error, request->line,
			"image '%s': the same file as image '%s'; give both the same options",
			b->tree->image_names.strings[index],
			b->tree->image_names.strings[request->first]);
	slots[index].image = image_ref(slots[request->first].image);
	b->image_sizes[index] = b->image_sizes[request->first];
	return 1;
}

static int open_image(const struct building *b, const struct image_request *request,
		      struct image **ret)
{
	enum image_access access = wanted_access(b, request);
	unsigned flags = (b->defaults->no_lock ? IMAGE_NO_LOCK : 0) |
			 (b->inspect ? IMAGE_INSPECT : 0) |
			 (request->for_resize ? IMAGE_RESIZE : 0);
	int result = request->memory
			     ? image_create(request->path, request->memory_size, access, flags, ret)
			     : image_open(request->path, access, flags, ret);

	if (result == 0)
		image_set_policy(*ret, policy_over(request->policy, b->defaults->policy));
	return result;
}

static int open_one(struct building *b, size_t index)
{
	struct image_request *request = &b->builder->images.data[index];
	struct image_slot *slot = &b->tree->images[index];
	const char *name = b->tree->image_names.strings[index];
	int result = share_image(b, index);

	if (result != 0)
		return result < 0 ? result : 0;
	result = open_image(b, request, &slot->image);
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
	for (size_t i = 0; i < builder->items.count; i++) {
		const struct slice_options *options = &builder->items.data[i].options;

		for (size_t j = builder->items.data[i].first_extent; j < extents_end(builder, i);
		     j++) {
			uint32_t image = builder->extents.data[j].image;

			if (image == ZEROS)
				continue;
			builder->images.data[image].for_write |= options->access != IMAGE_ACCESS_RO;
			builder->images.data[image].for_resize |= options->resize;
		}
	}
}

/* What tells files and devices apart, and whose it is. */
struct file_key {
	bool block_device;
	dev_t device;
	ino_t inode;
	uint32_t image;
};

static int compare_files(const struct file_key *a, const struct file_key *b)
{
	if (a->block_device != b->block_device)
		return a->block_device ? 1 : -1;
	if (a->device != b->device)
		return a->device < b->device ? -1 : 1;
	return (a->inode > b->inode) - (a->inode < b->inode);
}

static int compare_keys(const void *left, const void *right)
{
	const struct file_key *a = left;
	const struct file_key *b = right;

	return compare_files(a, b) ?: (a->image > b->image) - (a->image < b->image);
}

/* The keys [start, end) are of one file, in order of their images. */
static void join_run(struct image_request *images, const struct file_key *keys, size_t start,
		     size_t end)
{
	bool for_write = false;
	bool for_resize = false;

	for (size_t i = start; i < end; i++) {
		const struct image_request *image = &images[keys[i].image];

		for_write |= image->for_write || image->access == IMAGE_ACCESS_RW;
		for_resize |= image->for_resize;
	}
	for (size_t i = start; i < end && end - start > 1; i++) {
		images[keys[i].image].for_write = for_write;
		images[keys[i].image].for_resize = for_resize;
		images[keys[i].image].first = keys[start].image;
	}
}

/* Names of one file share its image, so what one wants all get. */
static int join_uses(struct tree_builder *builder)
{
	struct image_request *images = builder->images.data;
	size_t count = 0;
	_cleanup_(cleanup_free) struct file_key *keys =
		calloc(builder->images.count + 1, sizeof(*keys));

	if (!keys)
		return -ENOMEM;
	for (size_t i = 0; i < builder->images.count; i++) {
		struct stat status;
		bool block_device;

		images[i].first = i;
		if (images[i].memory || stat(images[i].path, &status) < 0)
			continue;
		block_device = S_ISBLK(status.st_mode);
		keys[count++] = (struct file_key){
			.block_device = block_device,
			.device = block_device ? status.st_rdev : status.st_dev,
			.inode = block_device ? 0 : status.st_ino,
			.image = i,
		};
	}
	qsort(keys, count, sizeof(*keys), compare_keys);
	for (size_t start = 0, end; start < count; start = end) {
		for (end = start + 1; end < count && compare_files(&keys[start], &keys[end]) == 0;)
			end++;
		join_run(images, keys, start, end);
	}
	return 0;
}

static void open_images(struct building *b)
{
	struct tree_builder *builder = b->builder;

	for (size_t i = 0; i < builder->images.count; i++) {
		b->tree->images[i].memory_size = builder->images.data[i].memory_size;
		b->tree->images[i].policy = builder->images.data[i].policy;
		builder->images.data[i].failed = open_one(b, i) < 0;
		b->tree->images[i].path = steal_pointer(&builder->images.data[i].path);
	}
}

static int compare_images(const void *left, const void *right, void *context)
{
	const struct image_slot *slots = context;
	uint32_t a = *(const uint32_t *)left;
	uint32_t b = *(const uint32_t *)right;

	if (slots[a].image != slots[b].image)
		return slots[a].image < slots[b].image ? -1 : 1;
	return (a > b) - (a < b);
}

static void sort_images(struct tree *tree)
{
	for (size_t i = 0; i < tree->image_names.count; i++)
		tree->images_sorted[i] = i;
	qsort_r(tree->images_sorted, tree->image_names.count, sizeof(*tree->images_sorted),
		compare_images, tree->images);
}

static void report_outside(struct building *b, const struct item_request *slice,
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
			"slice '%s': offset %s + length %s exceeds image '%s' (%s)%s",
			request_name(b->builder, slice), offset,
			size_format(request->length, length), image, size,
			slice->options.found ? "; -o lenient mounts it all the same" : "");
}

/* What lies past the end of its image is for plans to show, and else for those who ask for it. */
static bool may_be_outside(const struct building *b, const struct item_request *slice,
			   const struct extent_request *request)
{
	uint64_t end;

	return (b->defaults->lenient || (b->inspect && slice->options.found)) &&
	       request->length != EXTENT_TAIL &&
	       !add_overflows(request->offset, request->length, &end) && end <= SIZE_LIMIT;
}

/* What the images of a slice allow. */
struct allowed {
	mode_t mode;
	bool outside;
	bool images;           /* any at all */
	bool writable;         /* all of them */
	bool failed;           /* some could not be opened, or an extent is wrong */
	const char *read_only; /* the name of one that is */
};

/* Check one extent and turn it into its final form at *start, which moves on. */
static void resolve_extent(struct building *b, const struct item_request *slice,
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
			allowed->outside = true;
			if (!may_be_outside(b, slice, request)) {
				report_outside(b, slice, request);
				allowed->failed = true;
				return;
			}
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
	if (b->defaults->writeback)
		extent->length = length;
	if (add_overflows(*start, length, start) || *start > SIZE_LIMIT) {
		fail_at(b->builder, b->error, request->line, "slice '%s': is too large",
			request_name(b->builder, slice));
		allowed->failed = true;
		*start = 0;
	}
}

/* Owner and mode. What the command line gives explicitly also holds for what layouts have found, but
 * not over what the user's table says of one slice.
 */
static void resolve_owner(const struct building *b, const struct item_request *request,
			  mode_t fallback, struct slice *slice, struct slot *slot)
{
	const struct slice_options *options = &request->options;
	const struct tree_defaults *defaults = b->defaults;
	bool has_mode = options->has_mode && !(options->found && defaults->has_mode);
	bool has_uid = options->has_uid && !(options->found && defaults->has_uid);
	bool has_gid = options->has_gid && !(options->found && defaults->has_gid);

	slice->uid = has_uid ? options->uid : defaults->uid;
	slice->gid = has_gid ? options->gid : defaults->gid;
	slice->mode = has_mode ? options->mode : defaults->has_mode ? defaults->mode : fallback;
	slot->flags |= (has_mode ? SLOT_MODE : 0) | (has_uid ? SLOT_UID : 0) |
		       (has_gid ? SLOT_GID : 0) | (options->has_mtime ? SLOT_MTIME : 0);
	if (options->has_mtime &&
	    (multiply_overflows_i64(options->mtime.tv_sec, NSEC_PER_SEC, &slot->mtime) ||
	     add_overflows_i64(slot->mtime, options->mtime.tv_nsec, &slot->mtime)))
		slot->mtime = options->mtime.tv_sec < 0 ? INT64_MIN : INT64_MAX;
}

/* Access, once the extents are known. */
static void resolve_access(struct building *b, const struct item_request *request,
			   const struct allowed *allowed, struct slice *slice)
{
	const struct slice_options *options = &request->options;
	const struct tree_defaults *defaults = b->defaults;
	const char *name = request_name(b->builder, request);
	const struct extent *last = &slice->extents[slice->extent_count - 1];

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
	if (defaults->writeback)
		fail_at(b->builder, b->error, request->line,
			"slice '%s': resize does not go with writeback", name);
	else if (!slice->tail || !slice->writable || image_is_block_device(last->image))
		fail_at(b->builder, b->error, request->line,
			"slice '%s': resize needs a writable tail slice of a regular file", name);
}

/* What of its own policy and those of its images comes to hold. */
static void resolve_policy(const struct item_request *request, struct slice *slice)
{
	slice->policy = request->options.policy;
	for (uint32_t i = 0; i < slice->extent_count; i++)
		if (slice->extents[i].image)
			slice->effects |=
				policy_over(slice->policy, image_policy(slice->extents[i].image)).on;
}

static void resolve_slice(struct building *b, size_t index)
{
	struct tree_builder *builder = b->builder;
	const struct item_request *request = &builder->items.data[index];
	struct slice *slice = &b->tree->slices[index];
	size_t end = extents_end(builder, index);
	struct allowed allowed = { .mode = 0666, .writable = true };
	uint64_t start = 0;

	if (request->first_extent == end) {
		if (!request->refused)
			fail_at(builder, b->error, request->line, "slice '%s': has no extent",
				request_name(builder, request));
		return;
	}
	for (size_t i = request->first_extent; i < end; i++)
		resolve_extent(b, request, &builder->extents.data[i], &b->tree->extents[i], &start,
			       &allowed);
	slice->extents = &b->tree->extents[request->first_extent];
	slice->extent_count = end - request->first_extent;
	resolve_owner(b, request, allowed.mode, slice, &b->tree->slots[index]);
	resolve_access(b, request, &allowed, slice);
	resolve_policy(request, slice);
	if (allowed.outside)
		b->tree->slots[index].flags |= SLOT_OUTSIDE;
}

static void resolve_item(struct building *b, size_t index)
{
	const struct item_request *request = &b->builder->items.data[index];

	b->tree->slots[index] = (struct slot){
		.path = request->path,
		.target = request->target,
		.attributes = request->attributes,
		.kind = request->kind,
	};
	b->tree->slice_count += request->kind == TREE_SLICE;
	if (request->kind == TREE_SLICE)
		resolve_slice(b, index);
	else
		resolve_owner(b, request, 0777, &b->tree->slices[index], &b->tree->slots[index]);
}

static int sort_names(struct building *b)
{
	_cleanup_(cleanup_free) uint32_t *lines = NULL;
	size_t count = b->tree->item_count;

	lines = malloc(count * sizeof(*lines) + 1);
	if (!lines)
		return -ENOMEM;
	for (size_t i = 0; i < count; i++)
		lines[i] = b->builder->items.data[i].line;
	return tree_grow_nodes(b->tree, b->builder->limits.nodes, b->builder->file, lines,
			       b->error);
}

static int allocate_tree(struct building *b)
{
	struct tree_builder *builder = b->builder;
	struct tree *tree = b->tree;

	tree->item_count = builder->items.count;
	tree->slices = calloc(tree->item_count + 1, sizeof(*tree->slices));
	tree->slots = calloc(tree->item_count + 1, sizeof(*tree->slots));
	tree->extents = calloc(builder->extents.count + 1, sizeof(*tree->extents));
	tree->images = calloc(builder->images.count + 1, sizeof(*tree->images));
	tree->images_sorted = calloc(builder->images.count + 1, sizeof(*tree->images_sorted));
	b->image_sizes = calloc(builder->images.count + 1, sizeof(*b->image_sizes));
	if (!tree->slices || !tree->slots || !tree->extents || !tree->images ||
	    !tree->images_sorted || !b->image_sizes)
		return -ENOMEM;
	tree->image_names = builder->image_names;
	builder->image_names = (struct names){ 0 };
	return 0;
}

static int mark_aliases(struct building *b)
{
	struct alias_pair pair;
	int result = overlap_mark_aliases(b->tree->slices, b->tree->item_count, &pair);
	const char *first;
	const char *second;

	if (result < 0 || !pair.found || !b->defaults->writeback)
		return result;
	first = tree_item_at(b->tree, pair.first).name;
	second = tree_item_at(b->tree, pair.second).name;
	if (pair.first == pair.second)
		error_add(b->error, NULL,
			  "slice '%s': holds some bytes twice, which does not go with writeback",
			  first);
	else
		error_add(b->error, NULL,
			  "slices '%s' and '%s': share bytes, which does not go with writeback",
			  first, second);
	return -EINVAL;
}

static int build(struct building *b)
{
	int result = allocate_tree(b);

	if (result < 0)
		return result;
	share_attributes(b->builder);
	mark_uses(b->builder);
	result = join_uses(b->builder);
	if (result < 0)
		return result;
	open_images(b);
	sort_images(b->tree);
	for (size_t i = 0; i < b->tree->item_count && result == 0; i++) {
		resolve_item(b, i);
		result = slice_note_images(&b->tree->slices[i]);
	}
	if (result < 0)
		return result;
	b->tree->paths = steal_pointer(&b->builder->paths.data);
	/* What comes now takes memory of its own, of as many slices. */
	free(steal_pointer(&b->builder->extents.data));
	result = sort_names(b);
	free(steal_pointer(&b->builder->items.data));
	if (result == 0 && (b->error->count > 0 || b->error->omitted > 0))
		result = -EINVAL;
	return result ?: mark_aliases(b);
}

int tree_build(struct tree_builder *builder, const struct tree_defaults *defaults, bool inspect,
	       struct error *error, struct tree **ret)
{
	struct tree *tree = calloc(1, sizeof(*tree));
	struct building b = { builder, defaults, error, tree, NULL, inspect };
	int result = tree ? build(&b) : -ENOMEM;

	free(b.image_sizes);
	if (result < 0) {
		tree_free(tree);
		return result;
	}
	*ret = tree;
	return 0;
}
