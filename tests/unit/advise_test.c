/* SPDX-License-Identifier: MIT */
/* Which ranges of an image are fetched, dropped, populated and locked, by which call. */
#include "slices.h"

#include "image_internal.h"

#include <fcntl.h>
#include <sys/mman.h>

#define KIB 1024UL
#define MIB (1024 * KIB)
#define WINDOW (4 * MIB)

/* What was asked for, neighbours joined. */
static struct asked {
	int advice;
	uint64_t offset;
	uint64_t length;
} fetched[32], dropped[32], advised[32], locked[4];

static size_t fetched_count;
static size_t dropped_count;
static size_t advised_count;
static size_t locked_count;
static struct image *image; /* that advice on mappings is about */
static int madvise_error;
static int mlock_error;

static void note(struct asked *list, size_t *count, int advice, uint64_t offset, uint64_t length)
{
	struct asked *last = *count > 0 ? &list[*count - 1] : NULL;

	if (last && last->advice == advice && last->offset + last->length == offset) {
		last->length += length;
		return;
	}
	assert_true(*count < 32);
	list[(*count)++] = (struct asked){ advice, offset, length };
}

int __wrap_posix_fadvise64(int fd, off_t offset, off_t length, int advice);
int __wrap_posix_fadvise64(int fd, off_t offset, off_t length, int advice)
{
	assert_int_equal(fd, image->fd);
	if (advice == POSIX_FADV_WILLNEED) {
		assert_true(length <= (off_t)(128 * KIB)); /* the kernel cuts longer ones */
		note(fetched, &fetched_count, advice, offset, length);
	} else {
		assert_int_equal(advice, POSIX_FADV_DONTNEED);
		note(dropped, &dropped_count, advice, offset, length);
	}
	return 0;
}

int __real_madvise(void *start, size_t length, int advice);
int __wrap_madvise(void *start, size_t length, int advice);
int __wrap_madvise(void *start, size_t length, int advice)
{
	if (!image || advice == MADV_DONTDUMP || advice == MADV_DONTFORK)
		return __real_madvise(start, length, advice);
	if (madvise_error) {
		errno = madvise_error;
		return -1;
	}
	note(advised, &advised_count, advice, (char *)start - image->map.base, length);
	return 0;
}

int __wrap_mlock2(const void *start, size_t length, unsigned flags);
int __wrap_mlock2(const void *start, size_t length, unsigned flags)
{
	assert_int_equal(flags, 0);
	if (mlock_error) {
		errno = mlock_error;
		return -1;
	}
	note(locked, &locked_count, 0, (const char *)start - image->map.base, length);
	return 0;
}

static void forget(void)
{
	fetched_count = dropped_count = advised_count = locked_count = 0;
	madvise_error = mlock_error = 0;
}

static int enter(void **state)
{
	image = NULL;
	forget();
	return scratch_enter(state);
}

#define advise_test(function) cmocka_unit_test_setup_teardown(function, enter, scratch_leave)

/* A sparse image, and a slice of it from 1 MiB on, with the policy. */
static void begin(struct made *made, uint64_t size, uint8_t bits)
{
	struct image *opened;

	file_resize("disk", size + 2 * MIB);
	opened = image_at("disk", IMAGE_ACCESS_RW);
	make(made, true, RANGE(opened, MIB, size));
	made->slice.policy = (struct memory_policy){ bits, bits };
	made->slice.effects = bits;
	image = opened;
}

static void end(void)
{
	image_unref(image);
	image = NULL;
}

#define assert_asked(list, ...)                                                                    \
	assert_asked_(list, list##_count, (const struct asked[]){ __VA_ARGS__ },                   \
		      COUNT(((const struct asked[]){ __VA_ARGS__ })))
static void assert_asked_(const struct asked *list, size_t count, const struct asked *wanted,
			  size_t wanted_count)
{
	assert_int_equal(count, wanted_count);
	for (size_t i = 0; i < count; i++) {
		assert_int_equal(list[i].advice, wanted[i].advice);
		assert_int_equal(list[i].offset, wanted[i].offset);
		assert_int_equal(list[i].length, wanted[i].length);
	}
}

static void random_reads_fetch_what_they_read(void **state)
{
	struct made made;

	begin(&made, 64 * MIB, POLICY_RANDOM);
	slice_advise(&made.slice, 12345, 300 * KIB);
	assert_asked(fetched, { POSIX_FADV_WILLNEED, MIB + 12345, 300 * KIB });
	end();
}

static void random_reads_end_with_the_slice(void **state)
{
	struct made made;

	begin(&made, 5 * MIB, POLICY_RANDOM);
	slice_advise(&made.slice, 5 * MIB - 4096, MIB);
	assert_asked(fetched, { POSIX_FADV_WILLNEED, 6 * MIB - 4096, 4096 });
	forget();
	slice_advise(&made.slice, 9 * MIB, MIB);
	assert_int_equal(fetched_count, 0);
	end();
}

static void normal_reads_fetch_nothing(void **state)
{
	struct made made;

	begin(&made, 64 * MIB, POLICY_WILLNEED | POLICY_POPULATE | POLICY_DROP_BEHIND);
	slice_advise(&made.slice, 0, MIB);
	slice_advise(&made.slice, 8 * MIB, MIB);
	assert_int_equal(fetched_count, 0);
	end();
}

/* Whatever the size of the reads: each byte once, and at least a window ahead. */
static void a_sequential_stream_fetches_each_byte_once_and_ahead(void **state)
{
	static const uint64_t sizes[] = { 4096, 128 * KIB, MIB, 5000 };
	const uint64_t size = 41 * MIB + 123;
	struct made made;

	begin(&made, size, POLICY_SEQUENTIAL);
	for (size_t i = 0; i < COUNT(sizes); i++) {
		forget();
		for (uint64_t at = 0; at < size; at += sizes[i]) {
			uint64_t wanted = at + WINDOW < size ? at + WINDOW : size;

			slice_advise(&made.slice, at, sizes[i]);
			assert_int_equal(fetched_count, 1);
			assert_true(sizes[i] + fetched[0].length >= wanted);
		}
		assert_asked(fetched, { POSIX_FADV_WILLNEED, MIB + sizes[i], size - sizes[i] });
	}
	end();
}

static void pieces_follow_their_own_image(void **state)
{
	struct image *other;
	struct made made;

	file_resize("disk", 8 * MIB);
	file_resize("other", 8 * MIB);
	image = image_at("disk", IMAGE_ACCESS_RW);
	other = image_at("other", IMAGE_ACCESS_RW);
	image_set_policy(image, (struct memory_policy){ POLICY_ADVICE, POLICY_RANDOM });
	make(&made, true, RANGE(other, 0, MIB), RANGE(image, 2 * MIB, MIB), ZEROS(MIB),
	     RANGE(image, 5 * MIB, MIB));
	made.slice.effects = POLICY_RANDOM;
	slice_advise(&made.slice, 0, 4 * MIB);
	assert_asked(fetched, { POSIX_FADV_WILLNEED, 2 * MIB, MIB },
		     { POSIX_FADV_WILLNEED, 5 * MIB, MIB });
	forget();
	made.slice.policy = (struct memory_policy){ POLICY_ADVICE, 0 }; /* goes before the image */
	slice_advise(&made.slice, 0, 4 * MIB);
	assert_int_equal(fetched_count, 0);
	image_unref(other);
	end();
}

static void a_stream_drops_two_windows_at_the_end_of_each(void **state)
{
	struct made made;

	begin(&made, 64 * MIB, POLICY_DROP_BEHIND);
	slice_passed(&made.slice, 0, WINDOW - 1);
	assert_int_equal(dropped_count, 0);
	slice_passed(&made.slice, WINDOW - 1, 1);
	assert_asked(dropped, { POSIX_FADV_DONTNEED, MIB, WINDOW });
	assert_asked(advised, { MADV_DONTNEED, MIB, WINDOW });
	forget();
	slice_passed(&made.slice, 5 * WINDOW - 100, MIB);
	assert_asked(dropped, { POSIX_FADV_DONTNEED, MIB + 3 * WINDOW, 2 * WINDOW });
	forget();
	slice_passed(&made.slice, 5 * WINDOW, WINDOW - 1);
	slice_passed(&made.slice, 5 * WINDOW, 0);
	assert_int_equal(dropped_count, 0);
	end();
}

static void pages_are_dropped_whole(void **state)
{
	struct made made;

	begin(&made, 64 * MIB, POLICY_DROP_BEHIND);
	slice_drop(&made.slice, 5000, 100);
	assert_asked(dropped, { POSIX_FADV_DONTNEED, MIB + 4096, 4096 });
	end();
}

/* What is hot is written into the mapping, which must not bring dropped pages back from the disk. */
static void dropped_pages_are_cold(void **state)
{
	struct made made;

	begin(&made, 64 * MIB, POLICY_DROP_BEHIND);
	map_set_hot(&image->map, MIB, 2 * WINDOW);
	slice_drop(&made.slice, 0, WINDOW);
	assert_false(map_is_hot(&image->map, MIB, 4096));
	assert_true(map_is_hot(&image->map, MIB + WINDOW, 4096));
	end();
}

/* As the kernel refuses it where memory is locked. */
static void what_cannot_leave_the_mapping_stays(void **state)
{
	struct made made;

	begin(&made, 64 * MIB, POLICY_DROP_BEHIND);
	map_set_hot(&image->map, MIB, WINDOW);
	madvise_error = EINVAL;
	slice_drop(&made.slice, 0, WINDOW);
	assert_int_equal(dropped_count, 0);
	assert_true(map_is_hot(&image->map, MIB, WINDOW));
	end();
}

static void without_drop_behind_nothing_is_dropped(void **state)
{
	struct made made;

	begin(&made, 64 * MIB, POLICY_SEQUENTIAL);
	slice_passed(&made.slice, 0, 2 * WINDOW);
	slice_drop(&made.slice, 0, WINDOW);
	assert_int_equal(dropped_count + advised_count, 0);
	end();
}

static bool stop_later(void *context)
{
	return --*(int *)context < 0;
}

static void willneed_fetches_all_until_it_is_stopped(void **state)
{
	int windows = 3;
	struct made made;

	begin(&made, 30 * MIB, POLICY_WILLNEED);
	slice_fetch(&made.slice, NULL, NULL);
	assert_asked(fetched, { POSIX_FADV_WILLNEED, MIB, 30 * MIB });
	forget();
	slice_fetch(&made.slice, stop_later, &windows);
	assert_asked(fetched, { POSIX_FADV_WILLNEED, MIB, 3 * WINDOW });
	end();
}

static void populate_leaves_holes_out(void **state)
{
	struct made made;

	begin(&made, 64 * MIB, POLICY_POPULATE);
	file_write_at("disk", 8 * MIB, "x", 1);
	file_write_at("disk", 40 * MIB, "x", 1);
	assert_int_equal(image_data(image, MIB, 64 * MIB), 8192);
	assert_int_equal(image_data(image, 8 * MIB + 4096, 8 * MIB), 0);
	assert_result(image_populate(image, MIB, 64 * MIB), 0);
	assert_asked(advised, { MADV_POPULATE_READ, 8 * MIB, 4096 },
		     { MADV_POPULATE_READ, 40 * MIB, 4096 });
	end();
}

static void populate_and_lock_say_why_they_cannot(void **state)
{
	struct made made;

	begin(&made, MIB, POLICY_POPULATE);
	file_write_at("disk", MIB, "x", 1);
	madvise_error = EFAULT;
	assert_result(image_populate(image, MIB, MIB), -EFAULT);
	mlock_error = EPERM;
	assert_result(image_lock(image, MIB, MIB), -EPERM);
	mlock_error = 0;
	assert_result(image_lock(image, MIB, MIB), 0);
	assert_asked(locked, { 0, MIB, MIB });
	end();
}

static void hugepages_reach_to_the_end_of_the_mapping(void **state)
{
	struct made made;

	begin(&made, MIB, POLICY_HUGEPAGES);
	assert_result(image_use_hugepages(image, 2 * MIB, UINT64_MAX - 4 * MIB), 0);
	assert_asked(advised, { MADV_HUGEPAGE, 2 * MIB, image->map.length - 2 * MIB });
	end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		advise_test(random_reads_fetch_what_they_read),
		advise_test(random_reads_end_with_the_slice),
		advise_test(normal_reads_fetch_nothing),
		advise_test(a_sequential_stream_fetches_each_byte_once_and_ahead),
		advise_test(pieces_follow_their_own_image),
		advise_test(a_stream_drops_two_windows_at_the_end_of_each),
		advise_test(pages_are_dropped_whole),
		advise_test(dropped_pages_are_cold),
		advise_test(what_cannot_leave_the_mapping_stays),
		advise_test(without_drop_behind_nothing_is_dropped),
		advise_test(willneed_fetches_all_until_it_is_stopped),
		advise_test(populate_leaves_holes_out),
		advise_test(populate_and_lock_say_why_they_cannot),
		advise_test(hugepages_reach_to_the_end_of_the_mapping),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
