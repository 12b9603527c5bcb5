/* SPDX-License-Identifier: MIT */
/* From a tree to what people look at: pieces by image, holes, and a line for each item. */
#include "view.h"

#include "cleanup.h"
#include "listing.h"
#include "mmapfs/image.h"
#include "overflow.h"
#include "vec.h"

#include <string.h>

/* An image is looked at in so many parts, and in each of them for so many holes; what lies behind
 * those counts as data. So a look ends soon in any image, and sees all of it.
 */
#define HOLE_PARTS 1024
#define HOLES_PER_PART 64

/* A symbolic link's text and some words, or all flags. */
#define FLAGS_MAX (TREE_PATH_MAX + 64)

struct view_image {
	struct picture_input input;
	struct view *view;
	VEC(struct picture_piece) pieces;
	VEC(uint32_t) items; /* of the tree; the index is the slice's number in the picture */
	VEC(struct picture_range) holes;
};

struct view {
	const struct tree *tree;
	struct view_image *images;
	size_t image_count;
	char flags[FLAGS_MAX]; /* of the item that was described last */
};

/* --- holes ---------------------------------------------------------------------------------- */

/* Holes that begin before end. *offset moves behind the last of them. */
static int find_holes(struct view_image *image, const struct image *of, uint64_t end,
		      uint64_t *offset)
{
	for (int i = 0; i < HOLES_PER_PART; i++) {
		struct picture_range hole;

		if (image_next_hole(of, *offset, &hole.start, &hole.end) < 0) {
			*offset = UINT64_MAX;
			return 0;
		}
		*offset = hole.start;
		if (hole.start >= end)
			return 0;
		if (vec_push(&image->holes, hole) < 0)
			return -ENOMEM;
		*offset = hole.end;
	}
	image->input.more_holes |= *offset < end;
	return 0;
}

static int find_all_holes(struct view_image *image, const struct image *of)
{
	uint64_t size = image->input.size;
	uint64_t step = max_u64(size / HOLE_PARTS, 1);
	uint64_t offset = 0;
	int result = 0;

	while (result == 0 && offset < size) {
		uint64_t end = size - offset > step ? offset - offset % step + step : size;

		result = find_holes(image, of, end, &offset);
		offset = max_u64(offset, end);
	}
	image->input.holes = image->holes.data;
	image->input.hole_count = image->holes.count;
	return result;
}

static bool meets_hole(const struct view_image *image, uint64_t start, uint64_t end)
{
	size_t low = 0;
	size_t high = image->holes.count;

	while (low < high) { /* the first hole that ends behind start */
		size_t middle = low + (high - low) / 2;

		if (image->holes.data[middle].end <= start)
			low = middle + 1;
		else
			high = middle;
	}
	return start < end && low < image->holes.count && image->holes.data[low].start < end;
}

/* --- slices --------------------------------------------------------------------------------- */

/* Where the extent lies on its image. */
static struct picture_range extent_range(const struct extent *extent, uint64_t slice_size)
{
	uint64_t length = extent->length == EXTENT_TAIL ? slice_size - extent->start
							: extent->length;

	return (struct picture_range){ extent->offset, extent->offset + length };
}

static const char *slice_flags(struct view *view, const struct tree_item *item, uint64_t size)
{
	const struct slice *slice = item->slice;
	bool outside = item->outside;
	bool sparse = false;
	bool zeros = false;
	char *end = view->flags;

	for (uint32_t i = 0; i < slice->extent_count; i++) {
		const struct extent *extent = &slice->extents[i];
		struct picture_range range = extent_range(extent, size);
		const struct view_image *image;

		zeros |= !extent->image;
		if (!extent->image)
			continue;
		image = &view->images[tree_image_index(view->tree, extent->image)];
		outside |= range.end > image->input.size;
		sparse |= meets_hole(image, range.start, range.end);
	}
	*end = '\0';
	if (slice->tail)
		end = stpcpy(end, slice->resize ? ",resize" : ",tail");
	if (item->links > 0)
		end += sprintf(end, ",%u names", item->links + 1);
	if (slice->extent_count > 1)
		end += sprintf(end, ",%u parts", slice->extent_count);
	if (zeros)
		end = stpcpy(end, ",zeros");
	if (slice->alias)
		end = stpcpy(end, ",alias");
	if (sparse)
		end = stpcpy(end, ",sparse");
	if (outside)
		end = stpcpy(end, ",outside");
	return view->flags + (end > view->flags);
}

/* An item that lies on no image by itself. */
static void describe_other(struct view *view, const struct tree_item *item,
			   struct picture_slice *ret)
{
	static const char *const words[] = {
		[TREE_DIRECTORY] = "folder",
		[TREE_SYMLINK] = "symbolic link to ",
		[TREE_LINK] = "another name of ",
	};

	snprintf(view->flags, sizeof(view->flags), "%s%s", words[item->kind], item->target ?: "");
	*ret = (struct picture_slice){
		.name = item->name,
		.flags = view->flags,
		.no_size = true,
		.no_offset = true,
	};
}

/* The words for it rather than the number. */
static const char *item_type(const struct tree_item *item)
{
	static const char *const keys[] = { "type-name", "type", "dtype" };
	const char *type = NULL;

	for (size_t i = 0; !type && i < sizeof(keys) / sizeof(*keys); i++)
		type = tree_item_attribute(item, keys[i]);
	return type;
}

static void describe_item(struct view *view, const struct tree_item *item,
			  struct picture_slice *ret)
{
	const struct slice *slice = item->slice;
	const struct extent *extent = slice->extents;
	uint64_t size = 0;

	if (item->kind != TREE_SLICE) {
		describe_other(view, item, ret);
		return;
	}
	(void)slice_size(slice, &size);
	for (uint32_t i = 0; i + 1 < slice->extent_count && !extent->image; i++)
		extent++;
	*ret = (struct picture_slice){
		.name = item->name,
		.type = item_type(item),
		.label = tree_item_attribute(item, "label"),
		.access = slice->writable ? "rw" : "ro",
		.flags = slice_flags(view, item, size),
		.size = size,
		.offset = extent->offset,
		.no_offset = !extent->image,
	};
	if (extent->image && view->image_count > 1)
		ret->image = view->images[tree_image_index(view->tree, extent->image)].input.name;
}

static void describe(void *context, uint32_t slice, struct picture_slice *ret)
{
	struct view_image *image = context;
	struct tree_item item = tree_item_at(image->view->tree, image->items.data[slice]);

	describe_item(image->view, &item, ret);
}

/* --- gathering ------------------------------------------------------------------------------ */

static int add_piece(struct view_image *image, uint32_t index, const struct picture_range *range)
{
	size_t count = image->items.count;
	struct picture_piece piece = { range->start, range->end, count - 1 };

	if (count == 0 || image->items.data[count - 1] != index) {
		if (vec_push(&image->items, index) < 0)
			return -ENOMEM;
		piece.slice = count;
	}
	return vec_push(&image->pieces, piece);
}

static int gather_slice(struct view *view, uint32_t index, const struct slice *slice)
{
	uint64_t size = 0;
	int result = 0;

	(void)slice_size(slice, &size);
	for (uint32_t i = 0; i < slice->extent_count && result == 0; i++) {
		const struct extent *extent = &slice->extents[i];
		struct picture_range range = extent_range(extent, size);

		if (extent->image)
			result = add_piece(
				&view->images[tree_image_index(view->tree, extent->image)], index,
				&range);
	}
	return result;
}

static int gather_image(struct view *view, size_t index)
{
	struct tree_image of = tree_image_at(view->tree, index);
	struct view_image *image = &view->images[index];

	image->view = view;
	image->input = (struct picture_input){
		.name = of.name,
		.path = of.path,
		.writable = of.access == IMAGE_ACCESS_RW,
		.describe = describe,
		.context = image,
	};
	(void)image_size(of.image, &image->input.size);
	return find_all_holes(image, of.image);
}

static int gather(struct view *view)
{
	int result = 0;

	for (size_t i = 0; i < view->image_count && result == 0; i++)
		result = gather_image(view, i);
	for (size_t i = 0; i < tree_item_count(view->tree) && result == 0; i++) {
		struct tree_item item = tree_item_at(view->tree, i);

		if (item.kind == TREE_SLICE)
			result = gather_slice(view, i, item.slice);
	}
	for (size_t i = 0; i < view->image_count; i++) {
		struct view_image *image = &view->images[i];

		image->input.pieces = image->pieces.data;
		image->input.piece_count = image->pieces.count;
		image->input.slice_count = image->items.count;
	}
	return result;
}

int view_new(const struct tree *tree, struct view **ret)
{
	struct view *view = calloc(1, sizeof(*view));
	int result;

	if (!view)
		return -ENOMEM;
	view->tree = tree;
	view->image_count = tree_image_count(tree);
	view->images = calloc(view->image_count + 1, sizeof(*view->images));
	result = view->images ? gather(view) : -ENOMEM;
	if (result < 0) {
		view_free(view);
		return result;
	}
	*ret = view;
	return 0;
}

void view_free(struct view *view)
{
	if (!view)
		return;
	for (size_t i = 0; view->images && i < view->image_count; i++) {
		free(view->images[i].pieces.data);
		free(view->images[i].items.data);
		free(view->images[i].holes.data);
	}
	free(view->images);
	free(view);
}

size_t view_image_count(const struct view *view)
{
	return view->image_count;
}

const struct picture_input *view_image(const struct view *view, size_t index)
{
	return &view->images[index].input;
}

void view_list(struct view *view, bool utf8, FILE *out)
{
	struct listing listing = { .form = utf8 ? TEXT_UTF8 : TEXT_ASCII };
	struct picture_slice slice;
	struct listing_row row;

	for (int pass = 0; pass < 2; pass++) {
		if (pass == 1 && tree_item_count(view->tree) > 0)
			listing_print(&listing, NULL, out);
		for (size_t i = 0; i < tree_item_count(view->tree); i++) {
			struct tree_item item = tree_item_at(view->tree, i);

			describe_item(view, &item, &slice);
			listing_fill(&slice, &row);
			if (pass == 0)
				listing_measure(&listing, &row);
			else
				listing_print(&listing, &row, out);
		}
	}
}
