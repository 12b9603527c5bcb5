/* SPDX-License-Identifier: MIT */
/* Clipping, splitting and searching of extents; tested against a plain byte array. */
#include "extent.h"

#include "overflow.h"

size_t extent_find(const struct extent *extents, size_t count, uint64_t offset)
{
	size_t low = 0;
	size_t high = count;

	/* extents[low].start <= offset < extents[high].start */
	while (high - low > 1) {
		size_t middle = low + (high - low) / 2;

		if (extents[middle].start <= offset)
			low = middle;
		else
			high = middle;
	}
	return low;
}

struct extent_walk extent_walk_begin(const struct extent *extents, size_t count, uint64_t offset,
				     uint64_t length)
{
	struct extent_walk walk = {
		.extents = extents,
		.count = count,
		.index = extent_find(extents, count, offset),
		.position = offset,
	};

	if (add_overflows(offset, length, &walk.end))
		walk.end = UINT64_MAX;
	return walk;
}

bool extent_walk_next(struct extent_walk *walk, struct piece *ret)
{
	for (; walk->index < walk->count && walk->position < walk->end; walk->index++) {
		const struct extent *extent = &walk->extents[walk->index];
		uint64_t skip = walk->position - extent->start;
		uint64_t length = min_u64(walk->end - walk->position, extent->length - skip);

		if (skip >= extent->length)
			continue;
		*ret = (struct piece){
			.image = extent->image,
			.offset = extent->image ? extent->offset + skip : 0,
			.position = walk->position,
			.length = length,
		};
		walk->position += length;
		return true;
	}
	return false;
}

bool extent_fits(uint64_t offset, uint64_t length, uint64_t size)
{
	uint64_t end;

	if (length == EXTENT_TAIL)
		return offset <= size;
	return !add_overflows(offset, length, &end) && end <= size;
}
