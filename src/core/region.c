/* SPDX-License-Identifier: MIT */
/* Which regions of a mapping are in use, and dropping those that are not.
 *
 *     word:   63        old         32 31       young        0      a bit a region in each half
 *
 *     map_touch, after the use:   young = 1
 *     map_sweep:                  what is old and not young is dropped; what is young becomes old
 *
 * A region that may hold page-table entries or hot bits is young or old, or will be soon: its bit
 * comes after what it stands for, and is gone before that is dropped. Relaxed atomics do: an entry
 * that the kernel did not meet when it dropped a region was made after the bit had gone, by the locks
 * of the page tables; so who made it sees no bit, and sets it.
 */
#include "map.h"

#include "overflow.h"
#include "stats.h"
#include "trim.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static _Atomic uint64_t words_present;
static _Atomic uint64_t regions_present;

/* MADV_DONTNEED of whole regions frees their tables (Linux 6.14, on x86-64). Else only mapping them
 * again does.
 */
static bool advice_frees_tables;

/* Nobody forks between mapping again and its advice against being inherited. */
static pthread_rwlock_t fork_lock = PTHREAD_RWLOCK_INITIALIZER;

/* A page of page tables has as many entries of 8 bytes as fit. */
unsigned region_shift(void)
{
	return 2 * page_shift() - 3;
}

uint64_t map_words_present(void)
{
	return atomic_load_explicit(&words_present, memory_order_relaxed);
}

uint64_t map_regions_present(void)
{
	return atomic_load_explicit(&regions_present, memory_order_relaxed);
}

static void raise_to(_Atomic uint64_t *value, uint64_t least)
{
	uint64_t now = atomic_load_explicit(value, memory_order_relaxed);

	while (now < least &&
	       !atomic_compare_exchange_weak_explicit(value, &now, least, memory_order_relaxed,
						      memory_order_relaxed))
		;
}

static void touch_word(struct map *map, uint64_t word, uint64_t young)
{
	uint64_t before = atomic_load_explicit(&map->regions[word], memory_order_relaxed);

	if ((before & young) == young)
		return;
	raise_to(&map->words_end, word + 1);
	before = atomic_fetch_or_explicit(&map->regions[word], young, memory_order_relaxed);
	atomic_fetch_add_explicit(&words_present, before == 0, memory_order_relaxed);
	young &= ~before;
	/* However much of it will be mapped. */
	trim_charge((uint64_t)__builtin_popcountll(young) << region_shift());
	young &= ~(before >> MAP_WORD_REGIONS);
	atomic_fetch_add_explicit(&regions_present, __builtin_popcountll(young),
				  memory_order_relaxed);
}

void map_touch(struct map *map, uint64_t offset, uint64_t length)
{
	uint64_t end = min_u64(offset + length, map->length);
	uint64_t region = offset >> region_shift();

	if (offset >= end)
		return;
	end = ((end - 1) >> region_shift()) + 1;
	while (region < end) {
		uint64_t first = region % MAP_WORD_REGIONS;
		uint64_t count = min_u64(end - region, MAP_WORD_REGIONS - first);

		touch_word(map, region / MAP_WORD_REGIONS, ((1ULL << count) - 1) << first);
		region += count;
	}
}

/* Words of regions up to which no memory is saved: they take 4 MiB with their hot pages. */
#define WORDS_OPEN 1024

bool map_is_in_use(const struct map *map, uint64_t offset)
{
	const uint64_t bits = 1 | 1ULL << MAP_WORD_REGIONS;
	uint64_t region = offset >> region_shift();
	uint64_t word = atomic_load_explicit(&map->regions[region / MAP_WORD_REGIONS],
					     memory_order_relaxed);

	return word & bits << region % MAP_WORD_REGIONS;
}

bool map_may_be_hot(const struct map *map, uint64_t offset)
{
	return map_words_present() < WORDS_OPEN || offset >= map->length ||
	       map_is_in_use(map, offset);
}

/* Which regions have knocked last, of all maps: each place has room for one. */
#define KNOCKS_SHIFT 12

bool map_knock(const struct map *map, uint64_t offset)
{
	static _Atomic uint32_t knocks[1 << KNOCKS_SHIFT];
	uint64_t region = offset >> region_shift();
	uint64_t hash = (region ^ (uintptr_t)map) * 0x9e3779b97f4a7c15u; /* 2^64 / golden ratio */
	_Atomic uint32_t *place = &knocks[hash >> (64 - KNOCKS_SHIFT)];
	uint32_t name = (uint32_t)(hash >> 20) | 1;

	if (map_may_be_hot(map, offset) ||
	    atomic_load_explicit(place, memory_order_relaxed) == name)
		return true;
	atomic_store_explicit(place, name, memory_order_relaxed);
	return false;
}

static void drop_tables(struct map *map, uint64_t offset, uint64_t length)
{
	pthread_rwlock_rdlock(&fork_lock);
	(void)map_again(map, offset, length);
	pthread_rwlock_unlock(&fork_lock);
}

static void drop(struct map *map, uint64_t offset, uint64_t length)
{
	length = min_u64(length, map->length - offset);
	if (advice_frees_tables || map->advised)
		(void)madvise(map->base + offset, length, MADV_DONTNEED);
	else
		drop_tables(map, offset, length);
	map_clear_hot(map, offset, length);
}

/* Drop the idle regions of a word, in as few calls as those in use allow. */
static void drop_idle(struct map *map, uint64_t word, uint32_t idle, uint32_t used)
{
	while (idle) {
		unsigned first = __builtin_ctz(idle);
		uint32_t next = used & (UINT32_MAX << first);
		uint32_t run = idle & (next ? (next & -next) - 1 : UINT32_MAX);
		unsigned count = 32 - __builtin_clz(run) - first;

		drop(map, (word * MAP_WORD_REGIONS + first) << region_shift(),
		     (uint64_t)count << region_shift());
		idle &= ~run;
	}
}

/* The hot page that a word shares with its neighbour, once neither has a region. */
static void drop_hot_page(struct map *map, uint64_t word)
{
	const uint64_t page = 1ULL << page_shift();
	uint64_t neighbour = word ^ 1;

	/* Sequentially consistent, as is the exchange that made this one 0: of two at once the last
	 * one does it.
	 */
	if (map->hot && (neighbour >= atomic_load(&map->words_end) ||
			 atomic_load(&map->regions[neighbour]) == 0))
		(void)madvise((char *)map->hot + word / 2 * page, page, MADV_DONTNEED);
}

unsigned map_sweep(struct map *map, uint64_t word)
{
	uint64_t before = atomic_load(&map->regions[word]);
	unsigned count;
	uint32_t young;
	uint32_t idle;

	while (!atomic_compare_exchange_weak(&map->regions[word], &before,
					     before << MAP_WORD_REGIONS))
		;
	young = (uint32_t)before;
	idle = (uint32_t)(before >> MAP_WORD_REGIONS) & ~young;
	count = __builtin_popcount(idle);
	if (count == 0)
		return 0;
	atomic_fetch_sub_explicit(&regions_present, count, memory_order_relaxed);
	drop_idle(map, word, idle, young);
	if (young == 0) {
		atomic_fetch_sub_explicit(&words_present, 1, memory_order_relaxed);
		drop_hot_page(map, word);
	}
	return count;
}

uint64_t map_next_word(const struct map *map, uint64_t word)
{
	uint64_t end = atomic_load_explicit(&map->words_end, memory_order_relaxed);

	for (; word < end; word++)
		if (atomic_load_explicit(&map->regions[word], memory_order_relaxed))
			return word;
	return UINT64_MAX;
}

void map_sweep_tables(struct map *map)
{
	/* As many words as one page of those tables is about, and where such begin. */
	const uint64_t step = (1ULL << (page_shift() - 3)) / MAP_WORD_REGIONS;
	const unsigned shift = region_shift() + __builtin_ctz(MAP_WORD_REGIONS);
	uint64_t end = atomic_load_explicit(&map->words_end, memory_order_relaxed);
	uint64_t word = -((uintptr_t)map->base >> shift) & (step - 1);
	uint64_t next = 0; /* that has a region, as far as is known */

	for (; word < end && !map->advised; word += step) {
		uint64_t offset = word << shift;

		if (next < word || word == 0)
			next = map_next_word(map, word);
		if (next >= word + step && offset < map->length)
			drop_tables(map, offset, min_u64(step << shift, map->length - offset));
	}
}

static void before_fork(void)
{
	pthread_rwlock_wrlock(&fork_lock);
}

static void after_fork(void)
{
	pthread_rwlock_unlock(&fork_lock);
}

static uint64_t page_tables(void)
{
	struct process_memory memory = { 0 };

	(void)process_memory(&memory);
	return memory.page_tables;
}

/* Whether a region's table goes when the region is dropped, by trying it. In memory that is no file's,
 * which RLIMIT_FSIZE would be about.
 */
static int try_advice(void)
{
	const uint64_t region = 1ULL << region_shift();
	char *start = mmap(NULL, 2 * region, PROT_READ, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE,
			   -1, 0);
	char *whole = start + (-(uintptr_t)start & (region - 1));
	uint64_t before;

	if (start == MAP_FAILED)
		return -errno;
	(void)*(volatile char *)whole;
	before = page_tables();
	(void)madvise(whole, region, MADV_DONTNEED);
	advice_frees_tables = page_tables() < before;
	munmap(start, 2 * region);
	return 0;
}

int map_sweep_prepare(void)
{
	static bool prepared;
	int result = prepared ? 0 : try_advice();

	if (result == 0 && !prepared)
		result = -pthread_atfork(before_fork, after_fork, after_fork);
	prepared = result == 0;
	return result;
}
