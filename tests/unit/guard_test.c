/* SPDX-License-Identifier: MIT */
/* Copies through the guard: lost pages are an errno there, and still fatal anywhere else. */
#include "support.h"

#include "guard.h"
#include "map.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define PAGES 64

static size_t page_size(void)
{
	return (size_t)1 << page_shift();
}

/* A file of PAGES pages, mapped; the second half of it is then cut off. */
static char *map_half_lost(void)
{
	const size_t size = PAGES * page_size();
	char *base;
	int fd;

	file_fill("image", size);
	fd = open("image", O_RDWR | O_CLOEXEC);
	base = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	assert_ptr_not_equal(base, MAP_FAILED);
	close(fd);
	file_resize("image", size / 2);
	/* cmocka catches SIGBUS itself, anew for each test. */
	assert_result(guard_install(), 0);
	return base;
}

static void unmap(char *base)
{
	munmap(base, PAGES * page_size());
}

static void copy_is_a_copy(void **state)
{
	char *base = map_half_lost();
	char source[3000];
	char target[3000];

	random_begin();
	for (int i = 0; i < 1000; i++) {
		size_t size = 1 + random_below(sizeof(source));
		size_t offset = random_below(PAGES / 2 * page_size() - size + 1);

		random_bytes(source, size);
		assert_result(guard_copy(base + offset, source, size), 0);
		assert_memory_equal(base + offset, source, size);
		assert_result(guard_copy(target, base + offset, size), 0);
		assert_memory_equal(target, source, size);
	}
	unmap(base);
}

static void lost_pages_are_an_errno_in_both_directions(void **state)
{
	char *base = map_half_lost();
	char *lost = base + PAGES / 2 * page_size();
	char buf[64] = { 1 };

	for (int i = 0; i < 1000; i++) {
		assert_result(guard_copy(buf, lost + i, sizeof(buf)), -EFAULT);
		assert_result(guard_copy(lost + i, buf, sizeof(buf)), -EFAULT);
		assert_result(guard_copy(buf, base + i, sizeof(buf)), 0);
		assert_result(guard_copy(base + i, buf, sizeof(buf)), 0);
	}
	unmap(base);
}

static void fault_at_any_byte_of_the_range_counts(void **state)
{
	char *base = map_half_lost();
	char *lost = base + PAGES / 2 * page_size();
	char *last = base + PAGES * page_size() - 1;
	char *buf = malloc(4 * page_size());

	assert_non_null(buf);
	memset(buf, 1, 4 * page_size());
	assert_result(guard_copy(buf, lost - 1, 1), 0);
	assert_result(guard_copy(buf, lost - 1, 2), -EFAULT);
	assert_result(guard_copy(lost - 1, buf, 2), -EFAULT);
	assert_result(guard_copy(buf, lost, 1), -EFAULT);
	assert_result(guard_copy(buf, last, 1), -EFAULT);
	assert_result(guard_copy(last, buf, 1), -EFAULT);
	assert_result(guard_copy(buf, lost - 2 * page_size(), 4 * page_size()), -EFAULT);
	assert_result(guard_copy(lost - 2 * page_size(), buf, 4 * page_size()), -EFAULT);
	/* From one mapping into itself: either side may be the lost one. */
	assert_result(guard_copy(base, lost, 100), -EFAULT);
	assert_result(guard_copy(lost, base, 100), -EFAULT);
	free(buf);
	unmap(base);
}

static void lost_pages_work_again_when_they_are_back(void **state)
{
	char *base = map_half_lost();
	size_t lost = PAGES / 2 * page_size();
	char buf[10] = "back again";
	char found[10];

	assert_result(guard_copy(base + lost, buf, sizeof(buf)), -EFAULT);
	file_resize("image", PAGES * page_size());
	assert_result(guard_copy(base + lost, buf, sizeof(buf)), 0);
	file_read_at("image", lost, found, sizeof(found));
	assert_memory_equal(found, buf, sizeof(buf));
	unmap(base);
}

#define THREADS 4
#define ROUNDS 2000

struct worker {
	pthread_t thread;
	char *base;
	unsigned index;
	unsigned faults;
	unsigned copies;
};

/* Good and lost pages in turn, each thread on pages of its own. */
static void *copy_back_and_forth(void *context)
{
	struct worker *worker = context;
	char *good = worker->base + worker->index * page_size();
	char *lost = good + PAGES / 2 * page_size();
	char buf[256];
	char back[256];

	for (unsigned i = 0; i < ROUNDS; i++) {
		memset(buf, worker->index + i, sizeof(buf));
		if (guard_copy(good, buf, sizeof(buf)) == 0 &&
		    guard_copy(back, good, sizeof(back)) == 0 &&
		    memcmp(buf, back, sizeof(buf)) == 0)
			worker->copies++;
		worker->faults += guard_copy(buf, lost + i, 200) == -EFAULT;
		worker->faults += guard_copy(lost + i, back, 200) == -EFAULT;
	}
	return NULL;
}

static void threads_fault_side_by_side(void **state)
{
	char *base = map_half_lost();
	struct worker workers[THREADS] = { 0 };

	for (unsigned i = 0; i < THREADS; i++) {
		workers[i].base = base;
		workers[i].index = i;
		assert_int_equal(pthread_create(&workers[i].thread, NULL, copy_back_and_forth,
						&workers[i]),
				 0);
	}
	for (unsigned i = 0; i < THREADS; i++) {
		pthread_join(workers[i].thread, NULL);
		assert_int_equal(workers[i].copies, ROUNDS);
		assert_int_equal(workers[i].faults, 2 * ROUNDS);
	}
	unmap(base);
}

/* --- what must still end the process --- */

static void touch(const volatile char *byte)
{
	(void)*byte;
}

static void assert_killed_by_sigbus(void (*body)(void *context))
{
	char *base = map_half_lost();
	int status = in_child(body, base);

	if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGBUS)
		fail_msg("wait status 0x%x", status);
	unmap(base);
}

static char *lost_page(void *base)
{
	/* cmocka has caught SIGBUS once more in the child. */
	guard_install();
	return (char *)base + PAGES / 2 * page_size();
}

static void touch_unguarded(void *base)
{
	touch(lost_page(base));
}

static void touch_after_a_copy(void *base)
{
	char *lost = lost_page(base);
	char buf[16];

	file_resize("image", PAGES * page_size());
	assert_result(guard_copy(buf, lost, sizeof(buf)), 0);
	file_resize("image", PAGES / 2 * page_size());
	touch(lost);
}

static void touch_after_a_fault(void *base)
{
	char *lost = lost_page(base);
	char buf[16];

	assert_result(guard_copy(buf, lost, sizeof(buf)), -EFAULT);
	touch(lost);
}

static void *copy_forever(void *context)
{
	char *good = context;
	char buf[4096];

	for (;;)
		guard_copy(buf, good, sizeof(buf));
	return NULL;
}

static void touch_beside_a_copying_thread(void *base)
{
	char *lost = lost_page(base);
	pthread_t thread;

	assert_int_equal(pthread_create(&thread, NULL, copy_forever, base), 0);
	usleep(10000);
	touch(lost);
}

static void receive_from_outside(void *base)
{
	lost_page(base);
	kill(getpid(), SIGBUS);
	usleep(100000);
}

static void fault_outside_a_copy_ends_the_process(void **state)
{
	assert_killed_by_sigbus(touch_unguarded);
}

static void guard_is_off_after_a_copy(void **state)
{
	assert_killed_by_sigbus(touch_after_a_copy);
}

static void guard_is_off_after_a_fault(void **state)
{
	assert_killed_by_sigbus(touch_after_a_fault);
}

static void guard_is_for_its_own_thread(void **state)
{
	assert_killed_by_sigbus(touch_beside_a_copying_thread);
}

static void signal_from_outside_ends_the_process(void **state)
{
	assert_killed_by_sigbus(receive_from_outside);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		scratch_test(copy_is_a_copy),
		scratch_test(lost_pages_are_an_errno_in_both_directions),
		scratch_test(fault_at_any_byte_of_the_range_counts),
		scratch_test(lost_pages_work_again_when_they_are_back),
		scratch_test(threads_fault_side_by_side),
		scratch_test(fault_outside_a_copy_ends_the_process),
		scratch_test(guard_is_off_after_a_copy),
		scratch_test(guard_is_off_after_a_fault),
		scratch_test(guard_is_for_its_own_thread),
		scratch_test(signal_from_outside_ends_the_process),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
