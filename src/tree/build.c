/* SPDX-License-Identifier: MIT */
/* From what a table says to a checked tree.
 *
 * tree_build() has the images opened, checks every extent against its image, settles accesses and
 * modes, sorts the names, and marks aliases; each step goes through everything, so that all that is
 * wrong is said at once.
 */
#include "building.h"

#include "cleanup.h"
#include "extent.h"
#include "overflow.h"
#include "overlap.h"
#include "size.h"

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
	result = build_images(b);
	if (result < 0)
		return result;
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
