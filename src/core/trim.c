/* SPDX-License-Identifier: MIT */
/* The trimmer. A clock: its hand goes round the words of regions of all maps, and drops what was not
 * touched since it came by last.
 *
 *     0 ............................... low ......... high ......... limit
 *                                        |<--- drop ---|<--- a step --->|
 *
 * From the first time that it drops until less than a quarter is held, what can be read without the
 * mapping mostly is, where the mapping is not in use: only some of what does not fit is let in, for
 * the hand to choose from.
 *
 * How much is held the kernel says, and it is asked whenever a step of bytes may have been mapped
 * since. Each thread that finds too much drops until it is little enough: the more threads map, the
 * more trim.
 */
#include "trim.h"

#include "available.h"
#include "overflow.h"
#include "stats.h"

#include <pthread.h>
#include <stdbool.h>

static struct {
	/* Constant while threads run. */
	uint64_t limit;    /* bytes; 0: off */
	uint64_t step;     /* an eighth */
	uint64_t baseline; /* bytes that were held before there was anything to trim */
	struct map *maps;

	/* Relaxed: estimates, and any thread may be late. */
	_Atomic uint64_t charged; /* bytes that may have been mapped since the last look */
	_Atomic uint64_t floor;   /* nothing is to be gained before so many bytes are held; or 0 */
	_Atomic uint64_t upper;   /* bytes of other tables that the last sweep of them left */
	atomic_bool pressed;      /* more is in use than there is room for */

	pthread_mutex_t lock;
	struct map *hand; /* guarded by lock */
	uint64_t word;    /* guarded by lock */
} trim = { .step = UINT64_MAX, .lock = PTHREAD_MUTEX_INITIALIZER };

/* Of what is not in use while there is no room. */
#define ADMITTED_SHARE 16

struct holding {
	uint64_t held;  /* bytes that count */
	uint64_t upper; /* of them, tables above those of regions, and others' */
};

/* Nothing, where nobody can tell. */
static struct holding look(void)
{
	const uint64_t page = 1ULL << page_shift();
	struct process_memory memory = { 0 };
	uint64_t lower = map_regions_present() * page;
	uint64_t held;

	(void)process_memory(&memory);
	held = memory.page_tables + memory.mapped + map_words_present() * page;
	return (struct holding){
		.held = held - min_u64(held, trim.baseline),
		.upper = memory.page_tables - min_u64(memory.page_tables, lower),
	};
}

/* Move the hand on to the next word with regions. NULL: there is none. */
static struct map *advance(uint64_t *ret_word)
{
	struct map *found = NULL;
	bool round = false;

	pthread_mutex_lock(&trim.lock);
	for (const struct map *first = trim.hand; trim.hand && !found;) {
		uint64_t word = map_next_word(trim.hand, trim.word);

		if (word != UINT64_MAX) {
			found = trim.hand;
			trim.word = word + 1;
			*ret_word = word;
		} else if (round && trim.hand == first) {
			break;
		} else {
			trim.hand = trim.hand->next ?: trim.maps;
			trim.word = 0;
			round = true;
		}
	}
	pthread_mutex_unlock(&trim.lock);
	return found;
}

/* Drop so many regions, or fewer where there are no more idle ones. */
static uint64_t sweep(uint64_t count, uint64_t *words)
{
	uint64_t dropped = 0;

	while (*words > 0 && dropped < count) {
		uint64_t word;
		struct map *map = advance(&word);

		if (!map)
			break;
		dropped += map_sweep(map, word);
		*words -= 1;
	}
	stats_add(trimmed_regions, dropped);
	return dropped;
}

static struct holding sweep_tables(void)
{
	struct holding holding;

	for (struct map *map = trim.maps; map; map = map->next)
		map_sweep_tables(map);
	holding = look();
	atomic_store_explicit(&trim.upper, holding.upper, memory_order_relaxed);
	return holding;
}

static void trim_down(void)
{
	const uint64_t low = trim.limit - 2 * trim.step;
	const uint64_t high = trim.limit - trim.step;
	uint64_t floor = atomic_load_explicit(&trim.floor, memory_order_relaxed);
	/* Twice round, since at first all may be young. */
	uint64_t words = 2 * map_words_present() + 2;
	struct holding holding = look();
	uint64_t dropped;

	if (holding.held <= trim.limit / 4)
		atomic_store_explicit(&trim.pressed, false, memory_order_relaxed);
	if (holding.held <= max_u64(high, floor)) {
		/* What could not be dropped may have gone. */
		atomic_store_explicit(&trim.floor, min_u64(floor, holding.held + trim.step),
				      memory_order_relaxed);
		return;
	}
	stats_add(trims, 1);
	atomic_store_explicit(&trim.pressed, true, memory_order_relaxed);
	if (holding.upper >
	    atomic_load_explicit(&trim.upper, memory_order_relaxed) + trim.limit / 2)
		holding = sweep_tables();
	do {
		uint64_t excess = holding.held - min_u64(holding.held, low);

		dropped = sweep(excess * map_regions_present() / (holding.held + 1) + 1, &words);
		holding = look();
	} while (dropped > 0 && holding.held > low);
	floor = holding.held > low ? holding.held + trim.step : 0;
	atomic_store_explicit(&trim.floor, floor, memory_order_relaxed);
}

void trim_charge(uint64_t bytes)
{
	atomic_fetch_add_explicit(&trim.charged, bytes, memory_order_relaxed);
}

bool trim_admits(const struct map *map, uint64_t offset)
{
	static _Thread_local unsigned refused;

	if (!atomic_load_explicit(&trim.pressed, memory_order_relaxed) ||
	    map_is_in_use(map, offset))
		return true;
	return refused++ % ADMITTED_SHARE == 0;
}

void trim_run(void)
{
	if (atomic_load_explicit(&trim.charged, memory_order_relaxed) >= trim.step &&
	    atomic_exchange_explicit(&trim.charged, 0, memory_order_relaxed) >= trim.step)
		trim_down();
}

int trim_start(uint64_t limit)
{
	struct process_memory memory;
	int result = map_sweep_prepare() ?: process_memory(&memory);

	if (result < 0)
		return result;
	trim.limit = max_u64(limit, TRIM_LIMIT_MIN);
	trim.step = trim.limit / 8;
	trim.baseline = memory.page_tables + memory.mapped;
	trim.upper = memory.page_tables;
	trim.charged = 0;
	trim.floor = 0;
	trim.pressed = false;
	return 0;
}

void trim_stop(void)
{
	trim.limit = 0;
	trim.step = UINT64_MAX;
}

uint64_t trim_limit_default(void)
{
	return available_memory().limit / TRIM_DEFAULT_PART;
}

uint64_t trim_limit(void)
{
	return trim.limit;
}

void trim_add(struct map *map)
{
	pthread_mutex_lock(&trim.lock);
	map->next = trim.maps;
	trim.maps = map;
	trim.hand = trim.hand ?: map;
	pthread_mutex_unlock(&trim.lock);
}

void trim_remove(struct map *map)
{
	struct map **link = &trim.maps;

	pthread_mutex_lock(&trim.lock);
	while (*link && *link != map)
		link = &(*link)->next;
	if (*link)
		*link = map->next;
	if (trim.hand == map) {
		trim.hand = trim.maps;
		trim.word = 0;
	}
	pthread_mutex_unlock(&trim.lock);
}
