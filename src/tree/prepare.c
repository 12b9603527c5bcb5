/* SPDX-License-Identifier: MIT */
/* What memory policies ask for at the mount: huge pages, populate, lock.
 *
 * Each is done for the bytes that slices show, and nobody else can reach. Their ranges are joined
 * where they share a page or touch, so that a million members side by side are one range. A range
 * of huge pages, or of locked memory, splits the image's mapping; there may be RANGES_MAX.
 */
#include "available.h"
#include "cleanup.h"
#include "overflow.h"
#include "size.h"
#include "tree_internal.h"

#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

/* Each takes two mappings at most, of the 65,530 that a process may have (vm.max_map_count), and
 * memory can be both.
 */
#define RANGES_MAX 8192

#define HUGE_PAGE (2UL << 20)

struct range {
	struct image *image;
	uint64_t start;
	uint64_t end;
};

typedef VEC(struct range) range_vec;

static int compare_ranges(const void *left, const void *right)
{
	const struct range *a = left;
	const struct range *b = right;

	if (a->image != b->image)
		return a->image < b->image ? -1 : 1;
	return (a->start > b->start) - (a->start < b->start);
}

/* The bytes of an extent, as far as its image has them, outwards to units of so many bytes. */
static int add_extent(range_vec *ranges, const struct extent *extent, uint64_t unit)
{
	struct range range = { .image = extent->image, .start = extent->offset / unit * unit };
	uint64_t size;
	int result = image_size(extent->image, &size);

	if (result < 0)
		return result;
	if (add_overflows(extent->offset, extent->length, &range.end) || range.end > size)
		range.end = size;
	if (range.end <= extent->offset)
		return 0;
	range.end = min_u64((range.end + unit - 1) / unit * unit, max_u64(size, range.end));
	if (ranges->count > 0) {
		struct range *last = &ranges->data[ranges->count - 1];

		/* Mostly they come in order: a million need no room then. */
		if (last->image == range.image && range.start >= last->start &&
		    range.start <= last->end) {
			last->end = max_u64(last->end, range.end);
			return 0;
		}
	}
	return vec_push(ranges, range);
}

static void join(range_vec *ranges)
{
	size_t count = 0;

	if (ranges->count == 0)
		return;
	qsort(ranges->data, ranges->count, sizeof(*ranges->data), compare_ranges);
	for (size_t i = 1; i < ranges->count; i++) {
		struct range *last = &ranges->data[count];
		const struct range *next = &ranges->data[i];

		if (next->image == last->image && next->start <= last->end)
			last->end = max_u64(last->end, next->end);
		else
			ranges->data[++count] = *next;
	}
	ranges->count = count + 1;
}

/* All that bit holds for. */
static int collect(const struct tree *tree, uint8_t bit, uint64_t unit, range_vec *ret)
{
	int result = 0;

	for (size_t i = 0; i < tree->item_count && result == 0; i++) {
		const struct slice *slice = &tree->slices[i];

		if (tree->slots[i].kind != TREE_SLICE || !(slice->effects & bit))
			continue;
		for (uint32_t j = 0; j < slice->extent_count && result == 0; j++) {
			const struct extent *extent = &slice->extents[j];

			if (extent->image &&
			    (policy_over(slice->policy, image_policy(extent->image)).on & bit))
				result = add_extent(ret, extent, unit);
		}
	}
	join(ret);
	return result;
}

static const char *name_of(const struct tree *tree, const struct range *range)
{
	return tree->image_names.strings[tree_image_index(tree, range->image)];
}

static int too_many(const char *word, size_t count, struct error *error)
{
	error_add(error, NULL, "%s: of %zu ranges that lie apart; there may be %d", word, count,
		  RANGES_MAX);
	return -EINVAL;
}

static int check_fits(const char *word, uint64_t bytes, struct error *error)
{
	uint64_t left = available_memory().left;
	char wanted[SIZE_TEXT_MAX];
	char available[SIZE_TEXT_MAX];

	if (bytes <= left)
		return 0;
	size_round(bytes, wanted);
	size_round(left, available);
	error_add(error, NULL, "%s: wants %s of memory, and %s are available", word, wanted,
		  available);
	return -EINVAL;
}

static int use_hugepages(const struct tree *tree, const range_vec *ranges,
			 void (*note)(const char *text), struct error *error)
{
	bool noted = false;

	if (ranges->count > RANGES_MAX)
		return too_many("hugepages", ranges->count, error);
	for (size_t i = 0; i < ranges->count; i++) {
		const struct range *range = &ranges->data[i];
		int result =
			image_use_hugepages(range->image, range->start, range->end - range->start);
		char text[256];

		if (result == 0 || noted)
			continue;
		snprintf(text, sizeof(text), "image '%.100s': hugepages: %s", name_of(tree, range),
			 image_is_memory(range->image)
				 ? "this system has none for memory (shmem_enabled)"
				 : strerror(-result));
		note(text);
		noted = true;
	}
	return 0;
}

static int populate(const struct tree *tree, const range_vec *ranges, struct error *error)
{
	uint64_t bytes = 0;
	int result;

	for (size_t i = 0; i < ranges->count; i++)
		bytes += image_data(ranges->data[i].image, ranges->data[i].start,
				    ranges->data[i].end - ranges->data[i].start);
	result = check_fits("populate", bytes, error);
	for (size_t i = 0; i < ranges->count && result == 0; i++) {
		const struct range *range = &ranges->data[i];

		result = image_populate(range->image, range->start, range->end - range->start);
		if (result < 0) {
			/* EFAULT: a page could not be read, or is gone. */
			error_add(error, NULL, "image '%s': populate: %s", name_of(tree, range),
				  result == -EINVAL ? "this kernel cannot"
						    : strerror(result == -EFAULT ? EIO : -result));
			result = -EINVAL;
		}
	}
	return result;
}

static uint64_t raise_lock_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_MEMLOCK, &limit) < 0)
		return 0;
	limit.rlim_cur = limit.rlim_max;
	(void)setrlimit(RLIMIT_MEMLOCK, &limit);
	return limit.rlim_cur;
}

static int lock_memory(const struct tree *tree, const range_vec *ranges, struct error *error)
{
	uint64_t limit = ranges->count > 0 ? raise_lock_limit() : 0;
	uint64_t bytes = 0;
	char wanted[SIZE_TEXT_MAX];
	char permitted[SIZE_TEXT_MAX];
	int result;

	if (ranges->count > RANGES_MAX)
		return too_many("lock-memory", ranges->count, error);
	for (size_t i = 0; i < ranges->count; i++)
		bytes += ranges->data[i].end - ranges->data[i].start;
	result = check_fits("lock-memory", bytes, error);
	for (size_t i = 0; i < ranges->count && result == 0; i++) {
		const struct range *range = &ranges->data[i];

		result = image_lock(range->image, range->start, range->end - range->start);
		if (result == 0)
			continue;
		size_round(bytes, wanted);
		size_round(limit, permitted);
		if (bytes > limit && (result == -ENOMEM || result == -EPERM))
			error_add(error, NULL,
				  "lock-memory: wants %s, and RLIMIT_MEMLOCK permits %s: see "
				  "ulimit -l",
				  wanted, permitted);
		else
			error_add(error, NULL, "image '%s': lock-memory: %s", name_of(tree, range),
				  strerror(-result));
		result = -EINVAL;
	}
	return result;
}

int tree_prepare(const struct tree *tree, void (*note)(const char *text), struct error *error)
{
	const uint64_t page = sysconf(_SC_PAGESIZE);
	range_vec huge = { 0 };
	range_vec populated = { 0 };
	range_vec locked = { 0 };
	int result = collect(tree, POLICY_HUGEPAGES, HUGE_PAGE, &huge)
			     ?: collect(tree, POLICY_POPULATE, page, &populated)
			     ?: collect(tree, POLICY_LOCK, page, &locked)
			     ?: use_hugepages(tree, &huge, note, error)
			     ?: populate(tree, &populated, error)
			     ?: lock_memory(tree, &locked, error);

	free(huge.data);
	free(populated.data);
	free(locked.data);
	return result;
}
