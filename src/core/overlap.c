/* SPDX-License-Identifier: MIT */
/* Which slices share bytes with which.
 *
 * Listing the pairs would be quadratic (a whole-disk slice over a million members), and only one
 * bit a slice is wanted. So the ranges are sorted by where they begin, and then
 *
 *     an earlier range reaches into this one   <=>  the largest end before it is behind its start
 *     a later range begins inside this one     <=>  the next start after it is before its end
 *
 * where "before" and "after" skip ranges of the same slice. Keeping the best candidate and the
 * best one of any other slice makes that skip constant-time. One pass over all ranges finds who
 * must be marked for being writable, one over the writable ones who for meeting a writer.
 */
#include "overlap.h"

#include "cleanup.h"
#include "overflow.h"
#include "vec.h"

struct range {
	struct image *image;
	uint64_t start;
	uint64_t end; /* exclusive */
	size_t slice;
	bool writable;
};

typedef VEC(struct range) range_vec;

static int compare_ranges(const void *left, const void *right)
{
	const struct range *a = left;
	const struct range *b = right;

	if (a->image != b->image)
		return a->image < b->image ? -1 : 1;
	return a->start < b->start ? -1 : a->start > b->start;
}

/* The best and the best of another slice: of ends the largest, of starts the smallest. */
struct best {
	struct image *image;
	uint64_t value[2];
	size_t slice[2];
	int count;
};

static void best_add(struct best *best, const struct range *range, uint64_t value, bool largest)
{
	if (best->image != range->image)
		*best = (struct best){ .image = range->image };
	for (int i = 0; i < 2; i++) {
		if (i < best->count &&
		    (largest ? value <= best->value[i] : value >= best->value[i])) {
			if (best->slice[i] == range->slice)
				return;
			continue;
		}
		/* A better value: the one it displaces moves down unless it is the same slice's. */
		if (i == 0 && best->count > 0 && best->slice[0] != range->slice) {
			best->value[1] = best->value[0];
			best->slice[1] = best->slice[0];
			best->count = 2;
		}
		best->value[i] = value;
		best->slice[i] = range->slice;
		if (best->count <= i)
			best->count = i + 1;
		return;
	}
}

static bool best_of_other(const struct best *best, const struct range *range, uint64_t *ret,
			  size_t *ret_slice)
{
	for (int i = 0; i < best->count && best->image == range->image; i++)
		if (best->slice[i] != range->slice) {
			*ret = best->value[i];
			*ret_slice = best->slice[i];
			return true;
		}
	return false;
}

/* Of all pairs that are met, the first in order of slices is kept. */
static void note_pair(struct alias_pair *pair, size_t a, size_t b)
{
	size_t first = a < b ? a : b;
	size_t second = a < b ? b : a;

	if (pair->found &&
	    (pair->first < first || (pair->first == first && pair->second <= second)))
		return;
	*pair = (struct alias_pair){ .found = true, .first = first, .second = second };
}

/* Mark the slices of ranges that meet a range of another slice, where one of the two satisfies:
 * with writers_only, the other is writable; without, the range itself is.
 */
static void mark_meetings(const range_vec *ranges, struct slice *slices, bool writers_only,
			  struct alias_pair *pair)
{
	struct best ends = { 0 };
	struct best starts = { 0 };
	uint64_t value;
	size_t other;

	for (size_t i = 0; i < ranges->count; i++) {
		const struct range *range = &ranges->data[i];

		if ((writers_only || range->writable) &&
		    best_of_other(&ends, range, &value, &other) && value > range->start) {
			slices[range->slice].alias = true;
			note_pair(pair, range->slice, other);
		}
		if (!writers_only || range->writable)
			best_add(&ends, range, range->end, true);
	}
	for (size_t i = ranges->count; i-- > 0;) {
		const struct range *range = &ranges->data[i];

		if ((writers_only || range->writable) &&
		    best_of_other(&starts, range, &value, &other) && value < range->end) {
			slices[range->slice].alias = true;
			note_pair(pair, range->slice, other);
		}
		if (!writers_only || range->writable)
			best_add(&starts, range, range->start, false);
	}
}

/* The ranges of a slice in its images. */
static int add_ranges(range_vec *ranges, const struct slice *slice, size_t index)
{
	for (uint32_t i = 0; i < slice->extent_count; i++) {
		const struct extent *extent = &slice->extents[i];
		struct range range = {
			.image = extent->image,
			.start = extent->offset,
			.slice = index,
			.writable = slice->writable,
		};
		int result;

		if (!extent->image || extent->length == 0)
			continue;
		if (extent->length == EXTENT_TAIL)
			range.end = UINT64_MAX;
		else
			range.end = extent->offset + extent->length;
		result = vec_push(ranges, range);
		if (result < 0)
			return result;
	}
	return 0;
}

/* Whether two extents of one slice hold the same byte. */
static int check_self(const struct slice *slice, bool *ret)
{
	range_vec ranges = { 0 };
	uint64_t end = 0;
	int result = add_ranges(&ranges, slice, 0);

	*ret = false;
	if (result == 0 && ranges.count > 1) {
		qsort(ranges.data, ranges.count, sizeof(*ranges.data), compare_ranges);
		for (size_t i = 0; i < ranges.count; i++) {
			if (i > 0 && ranges.data[i].image != ranges.data[i - 1].image)
				end = 0;
			*ret |= ranges.data[i].start < end;
			end = max_u64(end, ranges.data[i].end);
		}
	}
	free(ranges.data);
	return result;
}

int overlap_mark_aliases(struct slice *slices, size_t count, struct alias_pair *ret_pair)
{
	struct alias_pair pair = { 0 };
	range_vec ranges = { 0 };
	int result = 0;

	for (size_t i = 0; i < count && result == 0; i++) {
		slices[i].alias = false;
		result = add_ranges(&ranges, &slices[i], i);
		if (result == 0 && slices[i].writable && slices[i].extent_count > 1)
			result = check_self(&slices[i], &slices[i].alias);
		if (slices[i].alias)
			note_pair(&pair, i, i);
	}
	if (result == 0 && ranges.count > 1) {
		qsort(ranges.data, ranges.count, sizeof(*ranges.data), compare_ranges);
		mark_meetings(&ranges, slices, false, &pair);
		mark_meetings(&ranges, slices, true, &pair);
	}
	free(ranges.data);
	if (result == 0)
		*ret_pair = pair;
	return result;
}
