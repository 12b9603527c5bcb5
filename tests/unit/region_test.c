/* SPDX-License-Identifier: MIT */
/* Regions of a mapping: which are in use, and that dropping them loses nothing. */
#include "support.h"

#include "map.h"
#include "stats.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/statfs.h>
#include <unistd.h>

#define REGIONS 200

static uint64_t region_size(void)
{
	return 1ULL << region_shift();
}

/* --- in front of madvise(2) and mremap(2); regions are mapped again unless prepared --- */

struct call {
	const char *start;
	uint64_t length;
};

static struct call remapped[REGIONS];
static unsigned remapped_count;
static bool advice_is_lost; /* as if the kernel freed no tables by it */

int __real_madvise(void *start, size_t length, int advice);
int __wrap_madvise(void *start, size_t length, int advice);
void *__real_mremap(void *start, size_t old_length, size_t length, int flags, void *target);
void *__wrap_mremap(void *start, size_t old_length, size_t length, int flags, void *target);

int __wrap_madvise(void *start, size_t length, int advice)
{
	if (advice == MADV_DONTNEED && advice_is_lost)
		return 0;
	return __real_madvise(start, length, advice);
}

void *__wrap_mremap(void *start, size_t old_length, size_t length, int flags, void *target)
{
	if (remapped_count < REGIONS)
		remapped[remapped_count++] = (struct call){ target, length };
	return __real_mremap(start, old_length, length, flags, target);
}

static void forget_calls(void)
{
	remapped_count = 0;
}

struct mapped {
	struct map map;
	int fd;
};

static struct mapped map_sparse(uint64_t regions, bool writable)
{
	struct mapped mapped = { 0 };

	file_resize("image", regions * region_size());
	mapped.fd = open("image", (writable ? O_RDWR : O_RDONLY) | O_CLOEXEC);
	assert_true(mapped.fd >= 0);
	assert_result(map_create(mapped.fd, regions * region_size(), writable, &mapped.map), 0);
	forget_calls();
	return mapped;
}

static void unmap(struct mapped *mapped)
{
	/* Whatever the test has left: counts are of all maps. */
	for (int i = 0; i < 2; i++)
		for (uint64_t word = 0; (word = map_next_word(&mapped->map, word)) != UINT64_MAX;
		     word++)
			(void)map_sweep(&mapped->map, word);
	map_destroy(&mapped->map);
	close(mapped->fd);
	assert_int_equal(map_regions_present(), 0);
	assert_int_equal(map_words_present(), 0);
}

static void touch_regions(struct map *map, uint64_t first, uint64_t count)
{
	map_touch(map, first * region_size(), count * region_size());
}

static void assert_call(const struct call *call, const struct map *map, uint64_t first,
			uint64_t count)
{
	assert_ptr_equal(call->start, map->base + first * region_size());
	assert_int_equal(call->length, count * region_size());
}

/* --- the clock --- */

static void region_is_dropped_by_the_second_sweep_after_its_last_use(void **state)
{
	struct mapped mapped = map_sparse(REGIONS, true);
	struct map *map = &mapped.map;

	touch_regions(map, 3, 1);
	assert_int_equal(map_sweep(map, 0), 0);
	touch_regions(map, 3, 1);
	assert_int_equal(map_sweep(map, 0), 0);
	assert_int_equal(map_sweep(map, 0), 1);
	assert_int_equal(map_sweep(map, 0), 0);
	unmap(&mapped);
}

static void bytes_mark_the_regions_that_they_lie_in(void **state)
{
	struct mapped mapped = map_sparse(REGIONS, true);
	struct map *map = &mapped.map;

	map_touch(map, 5 * region_size() - 1, 2);
	assert_int_equal(map_regions_present(), 2);
	map_touch(map, 5 * region_size(), 1);
	map_touch(map, 5 * region_size(), 0);
	map_touch(map, map->length, 10);
	assert_int_equal(map_regions_present(), 2);
	map_touch(map, map->length - 1, 10);
	assert_int_equal(map_regions_present(), 3);
	touch_regions(map, 20, 60); /* of three words */
	assert_int_equal(map_regions_present(), 63);
	assert_int_equal(map_words_present(), 4);
	unmap(&mapped);
}

static void neighbours_are_dropped_in_one_call(void **state)
{
	struct mapped mapped = map_sparse(REGIONS, false);
	struct map *map = &mapped.map;

	touch_regions(map, 2, 3);
	touch_regions(map, 8, 2);
	touch_regions(map, 31, 1);
	assert_int_equal(map_sweep(map, 0), 0);
	touch_regions(map, 9, 1);
	assert_int_equal(map_sweep(map, 0), 5);
	/* What lies between has nothing to lose; what is in use stays. */
	assert_int_equal(remapped_count, 2);
	assert_call(&remapped[0], map, 2, 7);
	assert_call(&remapped[1], map, 31, 1);
	unmap(&mapped);
}

static void next_word_is_the_next_that_has_regions(void **state)
{
	struct mapped mapped = map_sparse(REGIONS, true);
	struct map *map = &mapped.map;

	assert_int_equal(map_next_word(map, 0), UINT64_MAX);
	touch_regions(map, 70, 1);
	assert_int_equal(map_next_word(map, 0), 2);
	assert_int_equal(map_next_word(map, 2), 2);
	assert_int_equal(map_next_word(map, 3), UINT64_MAX);
	(void)map_sweep(map, 2);
	(void)map_sweep(map, 2);
	assert_int_equal(map_next_word(map, 0), UINT64_MAX);
	unmap(&mapped);
}

/* Against two generations of bools a region. */
static void sweeps_agree_with_a_model(void **state)
{
	struct mapped mapped = map_sparse(REGIONS, true);
	bool young[REGIONS] = { 0 };
	bool old[REGIONS] = { 0 };

	random_begin();
	for (int i = 0; i < 20000; i++) {
		uint64_t first = random_below(REGIONS);
		uint64_t count = random_below(random_chance(90) ? 3 : REGIONS - first + 1);
		uint64_t word = random_below(REGIONS / MAP_WORD_REGIONS);
		unsigned dropped = 0;
		unsigned present = 0;

		count = first + count > REGIONS ? REGIONS - first : count;
		if (random_chance(50)) {
			touch_regions(&mapped.map, first, count);
			for (uint64_t j = first; j < first + count; j++)
				young[j] = true;
		} else {
			for (uint64_t j = word * MAP_WORD_REGIONS;
			     j < (word + 1) * MAP_WORD_REGIONS; j++) {
				dropped += old[j] && !young[j];
				old[j] = young[j];
				young[j] = false;
			}
			assert_int_equal(map_sweep(&mapped.map, word), dropped);
		}
		for (uint64_t j = 0; j < REGIONS; j++)
			present += young[j] || old[j];
		assert_int_equal(map_regions_present(), present);
	}
	unmap(&mapped);
}

/* --- what goes, and what stays --- */

static uint64_t page_tables(void)
{
	struct process_memory memory;

	assert_result(process_memory(&memory), 0);
	return memory.page_tables;
}

static void sweep_all(struct map *map)
{
	for (uint64_t word = 0; (word = map_next_word(map, word)) != UINT64_MAX; word++)
		(void)map_sweep(map, word);
}

/* A byte in each region, through the mapping. */
static void write_each(struct map *map, char byte)
{
	for (uint64_t i = 0; i < REGIONS; i++)
		map->base[i * region_size() + i] = byte;
	map_touch(map, 0, REGIONS * region_size());
}

static void assert_each(const struct mapped *mapped, char byte)
{
	for (uint64_t i = 0; i < REGIONS; i++) {
		char found = 0;

		assert_int_equal(pread(mapped->fd, &found, 1, i * region_size() + i), 1);
		assert_int_equal(found, byte);
		assert_int_equal(mapped->map.base[i * region_size() + i], byte);
	}
}

static void check_that_tables_go_and_bytes_stay(void)
{
	struct mapped mapped = map_sparse(REGIONS, true);
	const uint64_t page = 1ULL << page_shift();
	uint64_t before = page_tables();
	uint64_t with;

	/* Else the kernel may read large folios ahead, and map them without such tables. */
	assert_return_code(madvise(mapped.map.base, mapped.map.length, MADV_RANDOM), errno);
	write_each(&mapped.map, 'x');
	with = page_tables();
	assert_true(with >= before + (REGIONS - 2) * page);
	sweep_all(&mapped.map);
	assert_int_equal(page_tables(), with);
	sweep_all(&mapped.map);
	assert_true(page_tables() < with - (REGIONS - 10) * page);
	/* Dirty entries have become dirty pages. */
	assert_each(&mapped, 'x');
	assert_result(map_flush(&mapped.map, 0, REGIONS * region_size()), 0);
	write_each(&mapped.map, 'y');
	assert_each(&mapped, 'y');
	unmap(&mapped);
}

/* A byte of each region out of the page cache. What is dirty or mapped stays. */
static void evict(const struct mapped *mapped)
{
	assert_int_equal(posix_fadvise(mapped->fd, 0, 0, POSIX_FADV_DONTNEED), 0);
}

static unsigned resident(const struct mapped *mapped)
{
	unsigned count = 0;

	for (uint64_t i = 0; i < REGIONS; i++) {
		unsigned char page = 0;

		assert_return_code(mincore(mapped->map.base + i * region_size(), 1, &page), errno);
		count += page & 1;
	}
	return count;
}

static void flush_reaches_what_was_dropped(void **state)
{
	struct mapped mapped;
	struct statfs status;

	assert_return_code(statfs(".", &status), errno);
	mapped = map_sparse(REGIONS, true);
	assert_return_code(madvise(mapped.map.base, mapped.map.length, MADV_RANDOM), errno);
	write_each(&mapped.map, 'x');
	sweep_all(&mapped.map);
	sweep_all(&mapped.map);
	assert_result(map_flush(&mapped.map, 0, REGIONS * region_size()), 0);
	evict(&mapped);
	/* All were clean, and so could go. */
	assert_int_equal(resident(&mapped), status.f_type == TMPFS_MAGIC ? REGIONS : 0);
	assert_each(&mapped, 'x');
	unmap(&mapped);
}

static void prepare(void *context)
{
	assert_result(map_sweep_prepare(), 0);
	check_that_tables_go_and_bytes_stay();
}

static void dropping_frees_the_tables_and_keeps_the_bytes(void **state)
{
	assert_in_child(prepare, NULL);
}

static void prepare_with_lost_advice(void *context)
{
	advice_is_lost = true;
	assert_result(map_sweep_prepare(), 0);
	check_that_tables_go_and_bytes_stay();
	assert_true(remapped_count > 0);
}

static void kernels_that_keep_the_tables_are_made_to_free_them(void **state)
{
	assert_in_child(prepare_with_lost_advice, NULL);
}

static unsigned areas_of(const char *base, uint64_t length)
{
	FILE *maps = fopen("/proc/self/maps", "re");
	unsigned long start;
	unsigned long end;
	unsigned count = 0;
	char line[4096];

	assert_non_null(maps);
	while (fgets(line, sizeof(line), maps))
		if (sscanf(line, "%lx-%lx", &start, &end) == 2)
			count += start < (uintptr_t)base + length && end > (uintptr_t)base;
	fclose(maps);
	return count;
}

static void mapping_again_leaves_one_mapping(void **state)
{
	struct mapped mapped = map_sparse(REGIONS, true);
	struct map *map = &mapped.map;

	write_each(map, 'x');
	for (uint64_t i = 0; i < REGIONS; i += 3)
		assert_result(map_again(map, i * region_size(), region_size()), 0);
	assert_each(&mapped, 'x');
	assert_int_equal(areas_of(map->base, map->length), 1);
	unmap(&mapped);
}

static void failing_to_map_again_leaves_what_was_mapped(void **state)
{
	struct mapped mapped = map_sparse(REGIONS, true);
	int fd = mapped.map.fd;

	write_each(&mapped.map, 'x');
	mapped.map.fd = -1;
	assert_result(map_again(&mapped.map, 0, region_size()), -EBADF);
	mapped.map.fd = fd;
	assert_each(&mapped, 'x');
	unmap(&mapped);
}

static void upper_tables_go_where_nothing_is_in_use(void **state)
{
	const uint64_t below = 1ULL << (page_shift() - 3); /* regions below one page of them */
	struct mapped mapped = map_sparse(8 * below, true);
	struct map *map = &mapped.map;
	uint64_t first = -((uintptr_t)map->base >> region_shift()) & (below - 1);

	for (uint64_t i = first; i + below <= 8 * below; i += below)
		touch_regions(map, i, 1);
	sweep_all(map);
	touch_regions(map, first + below, 1);
	sweep_all(map);
	forget_calls();
	map_sweep_tables(map);
	for (unsigned i = 0; i < remapped_count; i++) {
		assert_int_equal((uintptr_t)remapped[i].start % (below * region_size()), 0);
		assert_ptr_not_equal(remapped[i].start,
				     map->base + (first + below) * region_size());
	}
	/* As far as was ever used. */
	assert_true(remapped_count >= 5 && remapped_count <= 7);
	assert_int_equal(areas_of(map->base, map->length), 1);
	unmap(&mapped);
}

static void dropped_pages_are_cold(void **state)
{
	struct mapped mapped = map_sparse(REGIONS, true);
	struct map *map = &mapped.map;

	map_set_hot(map, 0, 2 * region_size());
	touch_regions(map, 0, 2);
	sweep_all(map);
	touch_regions(map, 1, 1);
	sweep_all(map);
	assert_false(map_is_hot(map, 0, 1));
	assert_false(map_is_hot(map, region_size() - 1, 1));
	assert_true(map_is_hot(map, region_size(), region_size()));
	unmap(&mapped);
}

static void bitmap_of_hot_pages_is_given_back_with_the_last_region(void **state)
{
	struct mapped mapped = map_sparse(REGIONS, true);
	struct map *map = &mapped.map;
	unsigned char resident = 0;

	/* Both words that share a page of it. */
	map_set_hot(map, 0, 1);
	touch_regions(map, 0, 1);
	touch_regions(map, MAP_WORD_REGIONS, 1);
	(void)map_sweep(map, 0);
	(void)map_sweep(map, 0);
	assert_return_code(mincore((void *)map->hot, 1, &resident), errno);
	assert_int_equal(resident & 1, 1);
	(void)map_sweep(map, 1);
	(void)map_sweep(map, 1);
	assert_return_code(mincore((void *)map->hot, 1, &resident), errno);
	assert_int_equal(resident & 1, 0);
	unmap(&mapped);
}

/* As if much were in use: a region of each of as many words as are open to all. */
static void region_must_knock_where_much_is_in_use(void **state)
{
	const uint64_t open = 1024;
	struct mapped mapped = map_sparse((open + 100) * MAP_WORD_REGIONS, true);
	struct map *map = &mapped.map;
	const uint64_t idle = (open + 7) * MAP_WORD_REGIONS * region_size();

	for (uint64_t word = 0; word < open; word++) {
		assert_true(map_may_be_hot(map, idle));
		assert_true(map_knock(map, idle));
		touch_regions(map, word * MAP_WORD_REGIONS, 1);
	}
	assert_false(map_may_be_hot(map, idle));
	assert_false(map_knock(map, idle));
	assert_false(map_knock(map, idle + region_size()));
	assert_true(map_knock(map, idle + region_size() - 1));
	assert_true(map_knock(map, idle + region_size()));
	/* Of what is in use nothing is asked. */
	assert_true(map_may_be_hot(map, 0));
	assert_true(map_knock(map, region_size() - 1));
	/* It is written, and hot from then on. */
	map_set_hot(map, idle, 1);
	assert_false(map_is_hot(map, idle, 1));
	map_touch(map, idle, 1);
	assert_true(map_is_hot(map, idle, 1));
	unmap(&mapped);
}

static void regions_that_knock_are_forgotten_behind_many_others(void **state)
{
	const uint64_t regions = 1024 * MAP_WORD_REGIONS;
	struct mapped mapped = map_sparse(2 * regions, true);
	struct map *map = &mapped.map;
	unsigned known = 0;

	for (uint64_t word = 0; word < 1024; word++)
		touch_regions(map, word * MAP_WORD_REGIONS, 1);
	for (int i = 0; i < 2; i++)
		for (uint64_t region = regions; region < 2 * regions; region++)
			known += map_knock(map, region * region_size());
	/* There are 4096 places for eight times as many. */
	assert_true(known < regions / 8);
	unmap(&mapped);
}

/* --- all at once --- */

#define WRITERS 3
#define WRITES 3000

static struct mapped shared;
static atomic_bool writers_done;

/* Each writer has its own byte of every region, and reads back what it wrote there last. */
static void *write_and_check(void *context)
{
	unsigned seed = (unsigned)(uintptr_t)context;
	unsigned char last[REGIONS] = { 0 };

	for (unsigned i = 0; i < WRITES; i++) {
		uint64_t region = (uint64_t)rand_r(&seed) % REGIONS;
		uint64_t offset = region * region_size() + (uintptr_t)context * 4096;
		volatile char *byte = shared.map.base + offset;

		if ((unsigned char)*byte != last[region])
			return (void *)1;
		*byte = (char)(last[region] = (unsigned char)i);
		map_set_hot(&shared.map, offset, 1);
		map_touch(&shared.map, offset, 1);
	}
	for (uint64_t region = 0; region < REGIONS; region++) {
		char found;

		if (pread(shared.fd, &found, 1,
			  (off_t)(region * region_size() + (uintptr_t)context * 4096)) != 1 ||
		    (unsigned char)found != last[region])
			return (void *)1;
	}
	return NULL;
}

static void *sweep_until_done(void *context)
{
	while (!atomic_load(&writers_done)) {
		sweep_all(&shared.map);
		map_sweep_tables(&shared.map);
	}
	return NULL;
}

static void writers_and_hands_do_not_harm_each_other(void **state)
{
	pthread_t hands[2];
	pthread_t writers[WRITERS];
	void *failed;

	shared = map_sparse(REGIONS, true);
	atomic_store(&writers_done, false);
	for (int i = 0; i < 2; i++)
		assert_int_equal(pthread_create(&hands[i], NULL, sweep_until_done, NULL), 0);
	for (uintptr_t i = 0; i < WRITERS; i++)
		assert_int_equal(pthread_create(&writers[i], NULL, write_and_check, (void *)i), 0);
	for (int i = 0; i < WRITERS; i++) {
		pthread_join(writers[i], &failed);
		assert_null(failed);
	}
	atomic_store(&writers_done, true);
	for (int i = 0; i < 2; i++)
		pthread_join(hands[i], NULL);
	unmap(&shared); /* the counts were right all the way */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		scratch_test(region_is_dropped_by_the_second_sweep_after_its_last_use),
		scratch_test(bytes_mark_the_regions_that_they_lie_in),
		scratch_test(neighbours_are_dropped_in_one_call),
		scratch_test(next_word_is_the_next_that_has_regions),
		scratch_test(sweeps_agree_with_a_model),
		scratch_test(dropping_frees_the_tables_and_keeps_the_bytes),
		scratch_test(kernels_that_keep_the_tables_are_made_to_free_them),
		scratch_test(flush_reaches_what_was_dropped),
		scratch_test(mapping_again_leaves_one_mapping),
		scratch_test(failing_to_map_again_leaves_what_was_mapped),
		scratch_test(upper_tables_go_where_nothing_is_in_use),
		scratch_test(dropped_pages_are_cold),
		scratch_test(bitmap_of_hot_pages_is_given_back_with_the_last_region),
		scratch_test(region_must_knock_where_much_is_in_use),
		scratch_test(regions_that_knock_are_forgotten_behind_many_others),
		scratch_test(writers_and_hands_do_not_harm_each_other),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
