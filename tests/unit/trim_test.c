/* SPDX-License-Identifier: MIT */
/* The trimmer: when it drops, how much, and what the limit is by default. */
#include "support.h"

#include "available.h"
#include "map.h"
#include "stats.h"
#include "trim.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#define MIB (1ULL << 20)
#define REGIONS 1024ULL
#define LIMIT (64 * MIB)
#define STEP (LIMIT / 8)

/* --- in front of the kernel --- */

static uint64_t region_bytes; /* that each region holds */
static uint64_t others;       /* bytes that cannot be dropped */
static uint64_t upper;        /* bytes of page tables above those of regions */
static unsigned looks;
static unsigned table_sweeps;

int __wrap_process_memory(struct process_memory *ret);
void __wrap_map_sweep_tables(struct map *map);

int __wrap_process_memory(struct process_memory *ret)
{
	uint64_t tables = map_regions_present() << page_shift();

	looks++;
	*ret = (struct process_memory){
		.page_tables = 10 * MIB + tables + upper,
		.mapped = others + map_regions_present() * (region_bytes - (1ULL << page_shift())) -
			  (map_words_present() << page_shift()),
	};
	return 0;
}

struct available_memory __wrap_available_memory(void);

struct available_memory __wrap_available_memory(void)
{
	return (struct available_memory){ .left = 1000 * MIB, .limit = 8192 * MIB };
}

void __wrap_map_sweep_tables(struct map *map)
{
	table_sweeps++;
	upper = 0;
}

/* --- a mapping under a limit --- */

static struct map map;
static int fd;

static void start(uint64_t limit)
{
	region_bytes = MIB;
	others = 1ULL << 30; /* whatever is held before does not count */
	upper = 0;
	file_resize("image", REGIONS << region_shift());
	fd = open("image", O_RDWR | O_CLOEXEC);
	assert_result(map_create(fd, REGIONS << region_shift(), true, &map), 0);
	trim_add(&map);
	if (limit > 0)
		assert_result(trim_start(limit), 0);
	memset(&stats, 0, sizeof(stats));
	looks = table_sweeps = 0;
}

static void stop(void)
{
	trim_stop();
	for (int i = 0; i < 2; i++)
		for (uint64_t word = 0; (word = map_next_word(&map, word)) != UINT64_MAX; word++)
			(void)map_sweep(&map, word);
	trim_remove(&map);
	map_destroy(&map);
	close(fd);
}

/* As a request that uses this region does. */
static void use(uint64_t region)
{
	map_touch(&map, region << region_shift(), 1);
	trim_run();
}

static uint64_t held(void)
{
	return map_regions_present() * region_bytes;
}

static void nothing_is_dropped_below_the_limit(void **state)
{
	start(LIMIT);
	for (uint64_t i = 0; i < 56; i++)
		use(i);
	assert_int_equal(map_regions_present(), 56);
	assert_int_equal(stats.trims, 0);
	stop();
}

static void what_is_held_stays_below_the_limit(void **state)
{
	start(LIMIT);
	for (uint64_t i = 0; i < 10 * REGIONS; i++) {
		use(i * 7 % REGIONS);
		assert_true(held() <= LIMIT);
	}
	/* And it is used: what is below three quarters is left. */
	assert_true(held() >= LIMIT / 2);
	assert_true(stats.trims > 0);
	assert_true(stats.trimmed_regions > 9 * REGIONS);
	stop();
}

static unsigned admitted(uint64_t region, unsigned times)
{
	unsigned count = 0;

	for (unsigned i = 0; i < times; i++)
		count += trim_admits(&map, region << region_shift());
	return count;
}

static void when_it_is_full_only_some_are_admitted(void **state)
{
	start(LIMIT);
	for (uint64_t i = 0; i < 56; i++)
		use(i);
	assert_int_equal(admitted(900, 160), 160);
	for (uint64_t i = 0; i < 200; i++)
		use(i);
	assert_int_equal(admitted(900, 160), 10);
	assert_int_equal(admitted(199, 160), 160); /* in use */
	/* Less than a quarter is held. */
	for (int i = 0; i < 2; i++)
		for (uint64_t word = 0; (word = map_next_word(&map, word)) != UINT64_MAX; word++)
			(void)map_sweep(&map, word);
	for (uint64_t i = 0; i < 10; i++)
		use(i);
	assert_int_equal(admitted(900, 160), 160);
	stop();
}

static void what_is_in_use_is_not_dropped(void **state)
{
	unsigned lost = 0;

	start(LIMIT);
	for (uint64_t i = 0; i < 10 * REGIONS; i++) {
		use(100 + i * 7 % (REGIONS - 100));
		for (uint64_t hot = 0; hot < 4; hot++) {
			uint64_t before = map_regions_present();

			map_touch(&map, hot << region_shift(), 1);
			lost += map_regions_present() - before;
		}
	}
	/* Without a second chance it would be a thousand. */
	assert_true(lost < 100);
	stop();
}

static void the_kernel_is_asked_once_a_step(void **state)
{
	start(LIMIT);
	for (uint64_t i = 0; i < 40; i++)
		for (int again = 0; again < 10; again++)
			use(i);
	assert_int_equal(looks, 40 / (STEP >> region_shift()));
	stop();
}

static void no_limit_is_no_work(void **state)
{
	start(0);
	for (uint64_t i = 0; i < REGIONS; i++)
		use(i);
	assert_int_equal(map_regions_present(), REGIONS);
	assert_int_equal(looks, 0);
	assert_int_equal(trim_limit(), 0);
	stop();
}

static void tiny_limit_is_the_least_one(void **state)
{
	start(1);
	assert_int_equal(trim_limit(), TRIM_LIMIT_MIN);
	stop();
}

/* Others' memory, or pages that are locked. */
static void what_cannot_be_dropped_is_not_tried_for_ever(void **state)
{
	uint64_t trims;

	start(LIMIT);
	others += 2 * LIMIT;
	for (uint64_t i = 0; i < 8; i++)
		use(i);
	assert_int_equal(stats.trims, 1);
	trims = stats.trims;
	/* Something now and then, and not at each step. */
	for (uint64_t i = 0; i < REGIONS; i++) {
		use(i);
		assert_true(held() <= LIMIT / 2);
	}
	assert_true(stats.trims - trims < REGIONS / 6);
	/* They are gone. */
	others -= 2 * LIMIT;
	for (uint64_t i = 0; i < 10 * REGIONS; i++) {
		use(i % REGIONS);
		assert_true(held() <= LIMIT);
	}
	stop();
}

static void upper_tables_are_freed_when_they_have_grown(void **state)
{
	start(LIMIT);
	for (uint64_t i = 0; i < 100; i++)
		use(i);
	assert_int_equal(table_sweeps, 0);
	upper = 3 * STEP;
	for (uint64_t i = 0; i < 100; i++)
		use(i);
	assert_int_equal(table_sweeps, 0);
	upper = 5 * STEP;
	for (uint64_t i = 0; i < 100; i++)
		use(i);
	assert_int_equal(table_sweeps, 1);
	stop();
}

static void all_maps_are_trimmed(void **state)
{
	struct map other;

	start(LIMIT);
	assert_result(map_create(fd, REGIONS << region_shift(), true, &other), 0);
	trim_add(&other);
	map_touch(&other, 0, 1);
	for (uint64_t i = 0; i < 10 * REGIONS; i++)
		use(i % REGIONS);
	assert_int_equal(map_next_word(&other, 0), UINT64_MAX);
	map_touch(&other, 0, 1);
	trim_remove(&map);
	others += LIMIT;
	for (uint64_t i = 0; i < 100; i++)
		use(i);
	assert_int_equal(map_next_word(&other, 0), UINT64_MAX);
	trim_remove(&other);
	trim_remove(&other);
	map_destroy(&other);
	stop();
}

static void default_is_a_part_of_what_there_is(void **state)
{
	assert_int_equal(trim_limit_default(), 1024 * MIB);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		scratch_test(nothing_is_dropped_below_the_limit),
		scratch_test(what_is_held_stays_below_the_limit),
		scratch_test(when_it_is_full_only_some_are_admitted),
		scratch_test(what_is_in_use_is_not_dropped),
		scratch_test(the_kernel_is_asked_once_a_step),
		scratch_test(no_limit_is_no_work),
		scratch_test(tiny_limit_is_the_least_one),
		scratch_test(what_cannot_be_dropped_is_not_tried_for_ever),
		scratch_test(upper_tables_are_freed_when_they_have_grown),
		scratch_test(all_maps_are_trimmed),
		cmocka_unit_test(default_is_a_part_of_what_there_is),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
