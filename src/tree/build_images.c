/* SPDX-License-Identifier: MIT */
/* The images of a tree that is built, opened.
 *
 * First what the slices want of each, then all at once: one file is opened, locked and mapped once,
 * however many names it has.
 */
#include "building.h"

#include "cleanup.h"

#include <string.h>
#include <sys/stat.h>

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

int build_images(struct building *b)
{
	int result;

	mark_uses(b->builder);
	result = join_uses(b->builder);
	if (result < 0)
		return result;
	open_images(b);
	sort_images(b->tree);
	return 0;
}
