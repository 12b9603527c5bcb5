/* SPDX-License-Identifier: MIT */
/* The single over-long mapping of an image, and the bitmap of its hot pages. Regions: region.c.
 *
 * A hot bit is advice for the write engine (write.c) and nothing else depends on it: a stale one
 * costs a page fault, never a byte. That is why relaxed atomics do, and why a flush may clear
 * bits that a racing write has just set.
 */
#include "map.h"

#include "overflow.h"

#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

#define WORD_BITS 64

unsigned page_shift(void)
{
	return __builtin_ctzl(sysconf(_SC_PAGESIZE));
}

static uint64_t hot_bytes(const struct map *map)
{
	uint64_t pages = map->length >> page_shift();

	return (pages + WORD_BITS - 1) / WORD_BITS * sizeof(uint64_t);
}

static uint64_t regions_bytes(const struct map *map)
{
	uint64_t last = (map->length - 1) >> region_shift();

	return (last / MAP_WORD_REGIONS + 1) * sizeof(uint64_t);
}

/* Zeros that cost nothing until they are set; in single pages, since that is how they are. */
static void *map_zeros(uint64_t length)
{
	void *bits = mmap(NULL, length, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (bits != MAP_FAILED)
		(void)madvise(bits, length, MADV_NOHUGEPAGE);
	return bits != MAP_FAILED ? bits : NULL;
}

static int map_bitmaps(struct map *map, bool writable)
{
	map->regions = map_zeros(regions_bytes(map));
	if (writable)
		map->hot = map_zeros(hot_bytes(map));
	return map->regions && (map->hot || !writable) ? 0 : -ENOMEM;
}

/* MAP_FAILED and errno on failure; start: where, or NULL for anywhere. */
static char *map_part(const struct map *map, char *start, uint64_t offset, uint64_t length)
{
	start = mmap(start, length, map->protection,
		     MAP_SHARED | MAP_NORESERVE | (start ? MAP_FIXED : 0), map->fd, (off_t)offset);
	if (start == MAP_FAILED)
		return start;
	/* A core dump is for the daemon's own memory, not for terabytes of image; and a child that
	 * inherited the mapping would keep the image locked.
	 */
	(void)madvise(start, length, MADV_DONTDUMP);
	(void)madvise(start, length, MADV_DONTFORK);
	return start;
}

int map_again(const struct map *map, uint64_t offset, uint64_t length)
{
	/* What can fail fails beside it: kernels before 6.12 unmap before they ask the file system,
	 * and leave a hole.
	 */
	char *start = map_part(map, NULL, offset, length);
	int error;

	if (start == MAP_FAILED)
		return -errno;
	if (mremap(start, length, length, MREMAP_MAYMOVE | MREMAP_FIXED, map->base + offset) !=
	    MAP_FAILED)
		return 0;
	error = errno;
	munmap(start, length);
	return -error;
}

/* Map map->length bytes at a multiple of what a page of the hot bitmap is about. */
static int map_aligned(struct map *map)
{
	const uint64_t step = 1ULL << (2 * page_shift() + 3);
	const uint64_t room = map->length + step;
	char *start =
		mmap(NULL, room, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	uint64_t before = -(uintptr_t)start & (step - 1);
	int error;

	if (start == MAP_FAILED)
		return -errno;
	map->base = map_part(map, start + before, 0, map->length);
	if (map->base == MAP_FAILED) {
		error = errno;
		munmap(start, room);
		map->base = NULL;
		return -error;
	}
	if (before > 0)
		munmap(start, before);
	munmap(map->base + map->length, step - before);
	return 0;
}

int map_create(int fd, uint64_t size, bool writable, struct map *ret)
{
	const uint64_t page = 1ULL << page_shift();
	uint64_t headroom = max_u64(MAP_HEADROOM, size);
	struct map map = { .fd = fd, .protection = PROT_READ | (writable ? PROT_WRITE : 0) };
	int result;

	if (size > SIZE_MAX / 4)
		return -EFBIG;
	for (;; headroom /= 2) {
		map.length = (size + headroom + page - 1) & ~(page - 1);
		result = map_aligned(&map);
		if (result == 0)
			break;
		if (headroom < page)
			return result;
	}
	result = map_bitmaps(&map, writable);
	if (result < 0) {
		map_destroy(&map);
		return result;
	}
	*ret = map;
	return 0;
}

void map_destroy(struct map *map)
{
	if (map->regions)
		munmap((void *)map->regions, regions_bytes(map));
	if (map->hot)
		munmap((void *)map->hot, hot_bytes(map));
	if (map->base)
		munmap(map->base, map->length);
	*map = (struct map){ 0 };
}

int map_flush(struct map *map, uint64_t offset, uint64_t length)
{
	const uint64_t mask = (1ULL << page_shift()) - 1;
	uint64_t end;

	if (offset >= map->length || length == 0)
		return 0;
	if (add_overflows(offset, length, &end) || end > map->length)
		end = map->length;
	/* Before the msync: a write that comes in between is cold again and goes by pwrite. */
	map_clear_hot(map, offset, end - offset);
	offset &= ~mask;
	return msync(map->base + offset, end - offset, MS_SYNC) == 0 ? 0 : -errno;
}

/* Walks the words of the bitmap that hold the pages of a range. */
struct hot_walk {
	uint64_t page;
	uint64_t end;
};

static struct hot_walk hot_walk_begin(const struct map *map, uint64_t offset, uint64_t length)
{
	uint64_t end = min_u64(offset + length, map->length);

	if (!map->hot || length == 0 || offset >= end)
		return (struct hot_walk){ 0 };
	return (struct hot_walk){ offset >> page_shift(), ((end - 1) >> page_shift()) + 1 };
}

/* The next word and the bits of it that are in the range; false at the end. */
static bool hot_walk_next(const struct map *map, struct hot_walk *walk, _Atomic uint64_t **ret_word,
			  uint64_t *ret_bits)
{
	uint64_t first = walk->page % WORD_BITS;
	uint64_t count = min_u64(walk->end - walk->page, WORD_BITS - first);

	if (walk->page == walk->end)
		return false;
	*ret_word = &map->hot[walk->page / WORD_BITS];
	*ret_bits = (count == WORD_BITS ? UINT64_MAX : (1ULL << count) - 1) << first;
	walk->page += count;
	return true;
}

bool map_is_hot(const struct map *map, uint64_t offset, uint64_t length)
{
	struct hot_walk walk = hot_walk_begin(map, offset, length);
	_Atomic uint64_t *word;
	uint64_t bits;

	/* Else a page of zeros would be mapped of the bitmap, to say so. */
	if (!map->hot || !map_may_be_hot(map, offset))
		return false;
	while (hot_walk_next(map, &walk, &word, &bits))
		if ((atomic_load_explicit(word, memory_order_relaxed) & bits) != bits)
			return false;
	return true;
}

void map_set_hot(struct map *map, uint64_t offset, uint64_t length)
{
	struct hot_walk walk = hot_walk_begin(map, offset, length);
	uint64_t end = atomic_load_explicit(&map->hot_end, memory_order_relaxed);
	uint64_t reached = walk.end << page_shift();
	_Atomic uint64_t *word;
	uint64_t bits;

	while (end < reached &&
	       !atomic_compare_exchange_weak_explicit(&map->hot_end, &end, reached,
						      memory_order_relaxed, memory_order_relaxed))
		;
	while (hot_walk_next(map, &walk, &word, &bits))
		atomic_fetch_or_explicit(word, bits, memory_order_relaxed);
}

void map_clear_hot(struct map *map, uint64_t offset, uint64_t length)
{
	uint64_t end = atomic_load_explicit(&map->hot_end, memory_order_relaxed);
	struct hot_walk walk =
		hot_walk_begin(map, offset, offset < end ? min_u64(length, end - offset) : 0);
	_Atomic uint64_t *word;
	uint64_t bits;

	while (hot_walk_next(map, &walk, &word, &bits))
		/* Reading first keeps untouched parts of a terabyte's bitmap unallocated. */
		if (atomic_load_explicit(word, memory_order_relaxed) & bits)
			atomic_fetch_and_explicit(word, ~bits, memory_order_relaxed);
}
