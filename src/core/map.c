/* SPDX-License-Identifier: MIT */
/* The single over-long mapping of an image, and the bitmap of its hot pages.
 *
 * A hot bit is advice for the write engine (slice.c) and nothing else depends on it: a stale one
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

static void *map_anonymous(uint64_t length)
{
	return mmap(NULL, length, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
}

int map_create(int fd, uint64_t size, bool writable, struct map *ret)
{
	const uint64_t page = 1ULL << page_shift();
	const int protection = PROT_READ | (writable ? PROT_WRITE : 0);
	uint64_t headroom = max_u64(MAP_HEADROOM, size);
	struct map map = { 0 };

	if (size > SIZE_MAX / 4)
		return -EFBIG;
	for (;; headroom /= 2) {
		map.length = (size + headroom + page - 1) & ~(page - 1);
		map.base = mmap(NULL, map.length, protection, MAP_SHARED | MAP_NORESERVE, fd, 0);
		if (map.base != MAP_FAILED)
			break;
		if (headroom < page)
			return -errno;
	}
	/* A core dump is for the daemon's own memory, not for terabytes of image; and a child that
	 * inherited the mapping would keep the image locked.
	 */
	(void)madvise(map.base, map.length, MADV_DONTDUMP);
	(void)madvise(map.base, map.length, MADV_DONTFORK);
	if (writable) {
		map.hot = map_anonymous(hot_bytes(&map));
		if ((void *)map.hot == MAP_FAILED) {
			munmap(map.base, map.length);
			return -ENOMEM;
		}
	}
	*ret = map;
	return 0;
}

void map_destroy(struct map *map)
{
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

	while (hot_walk_next(map, &walk, &word, &bits))
		if ((atomic_load_explicit(word, memory_order_relaxed) & bits) != bits)
			return false;
	return map->hot != NULL;
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
