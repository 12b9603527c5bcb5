/* SPDX-License-Identifier: MIT */
/* Leases: who gets in, who has to wait, and what becomes of the file. */
#include "support.h"

#include "lease.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SIZE (1UL << 20)

/* A lease on a new file. */
static void new_lease(struct lease *lease)
{
	file_resize("file", SIZE);
	lease_init(lease, open("file", O_RDWR | O_CLOEXEC), true);
	assert_true(lease->fd >= 0);
}

static void end_lease(struct lease *lease)
{
	close(lease->fd);
	lease_destroy(lease);
}

/* open(2) that does not wait. */
static bool others_may_open(void)
{
	int fd = open("file", O_RDONLY | O_NONBLOCK | O_CLOEXEC);

	if (fd < 0)
		assert_int_equal(errno, EWOULDBLOCK);
	else
		close(fd);
	return fd >= 0;
}

static void keeps_others_out_while_somebody_is_inside(void **state)
{
	struct lease lease;

	new_lease(&lease);
	assert_true(others_may_open());
	assert_true(lease_enter(&lease));
	assert_true(lease_enter(&lease));
	lease_leave(&lease);
	assert_false(others_may_open());
	lease_leave(&lease);
	assert_true(others_may_open());
	end_lease(&lease);
}

static void is_refused_while_others_have_the_file_open(void **state)
{
	struct lease lease;
	int fd;

	new_lease(&lease);
	for (int write = 0; write < 2; write++) {
		fd = open("file", (write ? O_RDWR : O_RDONLY) | O_CLOEXEC);
		assert_true(fd >= 0);
		assert_false(lease_enter(&lease));
		close(fd);
		assert_true(lease_enter(&lease));
		lease_leave(&lease);
	}
	end_lease(&lease);
}

static void lets_nobody_in_while_somebody_waits(void **state)
{
	struct lease lease;

	new_lease(&lease);
	assert_true(lease_enter(&lease));
	assert_false(others_may_open()); /* does not wait, but has broken it */
	assert_false(lease_enter(&lease));
	lease_leave(&lease);
	assert_true(lease_enter(&lease));
	lease_leave(&lease);
	end_lease(&lease);
}

static void is_not_needed_where_nothing_grows(void **state)
{
	struct lease lease;
	int fd;

	file_resize("file", SIZE);
	fd = open("file", O_RDWR | O_CLOEXEC);
	lease_init(&lease, fd, false);
	assert_true(lease_enter(&lease));
	assert_true(others_may_open());
	lease_leave(&lease);
	end_lease(&lease);
}

static void is_given_up_where_it_is_never_granted(void **state)
{
	struct lease lease;
	int ends[2];

	/* What is no regular file has no leases. */
	assert_int_equal(pipe(ends), 0);
	lease_init(&lease, ends[1], true);
	assert_false(lease_enter(&lease));
	assert_true(lease.refused);
	assert_false(lease_enter(&lease));
	close(ends[0]);
	end_lease(&lease);
}

/* --- threads --- */

struct writer {
	pthread_t thread;
	struct lease *lease;
	atomic_bool *stop;
	unsigned seed;
	unsigned writes;
};

/* As write.c does it: look at the size inside. */
static void *write_on(void *context)
{
	struct writer *writer = context;
	char buf[8192];

	memset(buf, 'w', sizeof(buf));
	while (!atomic_load(writer->stop)) {
		off_t offset = rand_r(&writer->seed) % (SIZE - sizeof(buf));
		struct stat status;

		if (!lease_enter(writer->lease))
			continue;
		if (fstat(writer->lease->fd, &status) == 0 &&
		    status.st_size >= (off_t)(offset + sizeof(buf))) {
			assert_int_equal(pwrite(writer->lease->fd, buf, sizeof(buf), offset),
					 sizeof(buf));
			writer->writes++;
		}
		lease_leave(writer->lease);
	}
	return NULL;
}

#define WRITERS 3

/* Cuts the file again and again, by its path or through the descriptor of the lease. */
static void cut_under_writers(bool ours)
{
	struct writer writers[WRITERS];
	atomic_bool stop = false;
	struct lease lease;
	unsigned writes = 0;

	new_lease(&lease);
	for (unsigned i = 0; i < WRITERS; i++) {
		writers[i] = (struct writer){ .lease = &lease, .stop = &stop, .seed = i };
		assert_int_equal(pthread_create(&writers[i].thread, NULL, write_on, &writers[i]),
				 0);
	}
	for (int round = 0; round < 300; round++) {
		off_t size = random_below(SIZE / 2);

		usleep(random_below(200));
		if (ours) {
			lease_close(&lease);
			assert_int_equal(ftruncate(lease.fd, size), 0);
			lease_reopen(&lease);
		} else {
			assert_int_equal(truncate("file", size), 0);
		}
		usleep(random_below(200));
		assert_int_equal(file_size("file"), size);
		assert_int_equal(truncate("file", SIZE), 0);
	}
	atomic_store(&stop, true);
	for (unsigned i = 0; i < WRITERS; i++) {
		pthread_join(writers[i].thread, NULL);
		writes += writers[i].writes;
	}
	assert_true(writes > 0);
	end_lease(&lease);
}

static void file_that_others_cut_is_never_grown_again(void **state)
{
	random_begin();
	cut_under_writers(false);
}

static void file_that_we_cut_is_never_grown_again(void **state)
{
	random_begin();
	cut_under_writers(true);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		scratch_test(keeps_others_out_while_somebody_is_inside),
		scratch_test(is_refused_while_others_have_the_file_open),
		scratch_test(lets_nobody_in_while_somebody_waits),
		scratch_test(is_not_needed_where_nothing_grows),
		scratch_test(is_given_up_where_it_is_never_granted),
		scratch_test(file_that_others_cut_is_never_grown_again),
		scratch_test(file_that_we_cut_is_never_grown_again),
	};

	signal(SIGIO, SIG_IGN);
	scratch_use(NULL);
	return cmocka_run_group_tests_name("on $TMPDIR", tests, NULL, NULL) +
	       (scratch_use("/dev/shm"),
		cmocka_run_group_tests_name("on tmpfs", tests, NULL, NULL));
}
