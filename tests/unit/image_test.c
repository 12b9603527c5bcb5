/* SPDX-License-Identifier: MIT */
/* Opening images: what is refused, locks, identity, and how changes and errors are noticed. */
#include "support.h"

#include "image_internal.h"
#include "log.h"
#include "mmapfs/image.h"

#include <dirent.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* The clock as image_generation() reads it, ahead of the true one by so much. */
static int64_t clock_ahead_ms;

int __real_clock_gettime(clockid_t clock, struct timespec *ret);
int __wrap_clock_gettime(clockid_t clock, struct timespec *ret);
int __wrap_clock_gettime(clockid_t clock, struct timespec *ret)
{
	int result = __real_clock_gettime(clock, ret);

	ret->tv_sec += clock_ahead_ms / 1000;
	return result;
}

static const enum image_access accesses[] = { IMAGE_ACCESS_AUTO, IMAGE_ACCESS_RO, IMAGE_ACCESS_RW };

static struct image *open_image(const char *path, enum image_access access)
{
	struct image *image = NULL;

	assert_result(image_open(path, access, 0, &image), 0);
	assert_non_null(image);
	return image;
}

/* The open fails so with every access, and leaves its output alone. */
static void assert_refused(const char *path, int error)
{
	for (size_t i = 0; i < COUNT(accesses); i++) {
		struct image *image = (struct image *)&image;

		assert_result(image_open(path, accesses[i], 0, &image), error);
		assert_result(image_open(path, accesses[i], IMAGE_INSPECT, &image), error);
		assert_ptr_equal(image, &image);
	}
}

static void missing_image_is_refused(void **state)
{
	assert_refused("missing", -ENOENT);
	assert_refused("", -ENOENT);
	assert_refused("missing/image", -ENOENT);
	assert_return_code(symlink("missing", "dangling"), errno);
	assert_refused("dangling", -ENOENT);
	assert_return_code(symlink("loop", "loop"), errno);
	assert_refused("loop", -ELOOP);
}

static void directory_is_refused(void **state)
{
	assert_refused(".", -EISDIR);
	file_fill("file", 10);
	assert_refused("file/below", -ENOTDIR);
}

static void fifo_is_refused_without_opening_it(void **state)
{
	alarm(30); /* opening one waits for its other end */
	assert_return_code(mkfifo("fifo", 0666), errno);
	assert_refused("fifo", -ENOTSUP);
	alarm(0);
}

static void device_and_socket_are_refused(void **state)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX, .sun_path = "socket" };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_return_code(bind(fd, (struct sockaddr *)&address, sizeof(address)), errno);
	close(fd);
	assert_refused("socket", -ENOTSUP);
	assert_refused("/dev/null", -ENOTSUP);
}

static void empty_image_opens(void **state)
{
	struct image *image;
	uint64_t size = 1;

	file_resize("empty", 0);
	image = open_image("empty", IMAGE_ACCESS_RW);
	assert_result(image_size(image, &size), 0);
	assert_int_equal(size, 0);
	image_unref(image);
}

static void attributes_are_those_of_the_file(void **state)
{
	const struct timespec times[2] = { { 1000000000, 5 }, { 1234567890, 123456789 } };
	struct image *image;
	uint64_t size;
	uint64_t available = 0;

	file_fill("image", 12345);
	assert_return_code(chmod("image", 0640), errno);
	assert_return_code(utimensat(AT_FDCWD, "image", times, 0), errno);
	image = open_image("image", IMAGE_ACCESS_AUTO);
	assert_true(image_writable(image));
	assert_false(image_is_block_device(image));
	assert_int_equal(image_mode(image), 0640);
	assert_int_equal(image_opened_mtime(image).tv_sec, times[1].tv_sec);
	assert_int_equal(image_opened_mtime(image).tv_nsec, times[1].tv_nsec);
	assert_result(image_size(image, &size), 0);
	assert_int_equal(size, 12345);
	assert_result(image_available(image, &available), 0);
	assert_true(available > 0);
	image_unref(image);
}

static void size_is_that_of_the_moment(void **state)
{
	struct image *image;
	uint64_t size;

	file_resize("image", 1000);
	image = open_image("image", IMAGE_ACCESS_RO);
	file_resize("image", 10000000);
	assert_result(image_size(image, &size), 0);
	assert_int_equal(size, 10000000);
	file_resize("image", 10);
	assert_result(image_size(image, &size), 0);
	assert_int_equal(size, 10);
	image_unref(image);
}

static void read_only_access_is_read_only(void **state)
{
	struct image *image;

	file_fill("image", 5000);
	image = open_image("image", IMAGE_ACCESS_RO);
	assert_false(image_writable(image));
	assert_int_equal(fcntl(image->fd, F_GETFL) & O_ACCMODE, O_RDONLY);
	assert_result(image_flush(image), 0);
	image_unref(image);
}

static void check_write_protected(void *context)
{
	struct image *image = NULL;

	become_ordinary_user();
	assert_result(image_open("image", IMAGE_ACCESS_RW, 0, &image), -EACCES);
	assert_result(image_open("image", IMAGE_ACCESS_RW, IMAGE_INSPECT, &image), -EACCES);
	image = open_image("image", IMAGE_ACCESS_AUTO);
	assert_false(image_writable(image));
	image_unref(image);
	assert_result(image_open("image", IMAGE_ACCESS_AUTO, IMAGE_INSPECT, &image), 0);
	assert_false(image_writable(image));
	image_unref(image);
}

static void write_protected_image_opens_to_read(void **state)
{
	file_fill("image", 5000);
	assert_return_code(chmod("image", 0444), errno);
	assert_in_child(check_write_protected, NULL);
}

static void check_unreadable(void *context)
{
	become_ordinary_user();
	assert_refused("image", -EACCES);
}

static void unreadable_image_is_refused(void **state)
{
	file_fill("image", 5000);
	assert_return_code(chmod("image", 0), errno);
	assert_in_child(check_unreadable, NULL);
	/* Permission to write alone is no use either. */
	assert_return_code(chmod("image", 0222), errno);
	assert_in_child(check_unreadable, NULL);
}

static unsigned count_descriptors(void)
{
	DIR *folder = opendir("/proc/self/fd");
	unsigned count = 0;

	assert_non_null(folder);
	while (readdir(folder))
		count++;
	closedir(folder);
	return count;
}

static void refusal_leaves_nothing_open(void **state)
{
	unsigned before = count_descriptors();
	struct image *writer;
	struct image *image = NULL;

	file_fill("image", 5000);
	assert_refused("missing", -ENOENT);
	assert_refused(".", -EISDIR);
	writer = open_image("image", IMAGE_ACCESS_RW);
	for (size_t i = 0; i < COUNT(accesses); i++)
		assert_result(image_open("image", accesses[i], 0, &image), -EBUSY);
	image_unref(writer);
	assert_int_equal(count_descriptors(), before);
}

static void readers_share_an_image(void **state)
{
	struct image *first;
	struct image *second;

	file_fill("image", 5000);
	first = open_image("image", IMAGE_ACCESS_RO);
	second = open_image("image", IMAGE_ACCESS_RO);
	image_unref(first);
	image_unref(second);
}

static void writer_excludes_all_others(void **state)
{
	struct image *writer;
	struct image *other = NULL;

	file_fill("image", 5000);
	writer = open_image("image", IMAGE_ACCESS_RW);
	for (size_t i = 0; i < COUNT(accesses); i++)
		assert_result(image_open("image", accesses[i], 0, &other), -EBUSY);
	assert_null(other);
	image_unref(writer);
}

static void readers_exclude_a_writer(void **state)
{
	struct image *reader;
	struct image *writer = NULL;

	file_fill("image", 5000);
	reader = open_image("image", IMAGE_ACCESS_RO);
	assert_result(image_open("image", IMAGE_ACCESS_RW, 0, &writer), -EBUSY);
	assert_result(image_open("image", IMAGE_ACCESS_AUTO, 0, &writer), -EBUSY);
	assert_null(writer);
	image_unref(reader);
}

static void lock_ends_with_the_last_reference(void **state)
{
	struct image *image;

	file_fill("image", 5000);
	image = open_image("image", IMAGE_ACCESS_RW);
	assert_ptr_equal(image_ref(image), image);
	image_unref(image);
	assert_result(image_open("image", IMAGE_ACCESS_RO, 0, &(struct image *){ NULL }), -EBUSY);
	image_unref(image);
	image_unref(open_image("image", IMAGE_ACCESS_RW));
	image_unref(NULL);
}

static void lock_can_be_left_out(void **state)
{
	struct image *writer;
	struct image *other = NULL;

	file_fill("image", 5000);
	writer = open_image("image", IMAGE_ACCESS_RW);
	assert_result(image_open("image", IMAGE_ACCESS_RW, IMAGE_NO_LOCK, &other), 0);
	image_unref(writer);
	/* Nor does it hold one itself. */
	image_unref(open_image("image", IMAGE_ACCESS_RW));
	image_unref(other);
}

static void lock_of_another_program_is_respected(void **state)
{
	struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 100, .l_len = 1 };
	struct image *image = NULL;
	int fd;

	file_fill("image", 5000);
	fd = open("image", O_RDWR | O_CLOEXEC);
	assert_return_code(fcntl(fd, F_OFD_SETLK, &lock), errno);
	assert_result(image_open("image", IMAGE_ACCESS_RO, 0, &image), -EBUSY);
	assert_result(image_open("image", IMAGE_ACCESS_RW, 0, &image), -EBUSY);
	close(fd);
	image_unref(open_image("image", IMAGE_ACCESS_RW));
}

/* As QEMU locks an image that it reads, or reads and writes: single bytes, from 100 on. */
static int lock_as_qemu(const char *path, bool write)
{
	struct flock lock = { .l_type = F_RDLCK, .l_whence = SEEK_SET, .l_start = 100, .l_len = 1 };
	int fd = open(path, O_RDWR | O_CLOEXEC);

	assert_return_code(fcntl(fd, F_OFD_SETLK, &lock), errno);
	lock.l_start = 101;
	if (write)
		assert_return_code(fcntl(fd, F_OFD_SETLK, &lock), errno);
	return fd;
}

static void image_that_qemu_writes_is_refused(void **state)
{
	struct image *image = NULL;
	int fd;

	file_fill("image", 5000);
	fd = lock_as_qemu("image", true);
	for (size_t i = 0; i < COUNT(accesses); i++)
		assert_result(image_open("image", accesses[i], 0, &image), -EBUSY);
	assert_null(image);
	close(fd);
}

static void image_that_qemu_reads_can_be_read(void **state)
{
	struct image *first;
	struct image *second;
	struct image *writer = NULL;
	int fd;

	file_fill("image", 5000);
	fd = lock_as_qemu("image", false);
	first = open_image("image", IMAGE_ACCESS_RO);
	second = open_image("image", IMAGE_ACCESS_RO);
	assert_result(image_open("image", IMAGE_ACCESS_RW, 0, &writer), -EBUSY);
	image_unref(first);
	image_unref(second);
	close(fd);
}

static void inspection_neither_locks_nor_maps(void **state)
{
	struct image *writer;
	struct image *looker = NULL;

	file_fill("image", 5000);
	writer = open_image("image", IMAGE_ACCESS_RW);
	assert_result(image_open("image", IMAGE_ACCESS_RW, IMAGE_INSPECT, &looker), 0);
	assert_true(image_writable(looker));
	assert_null(looker->map.base);
	assert_int_equal(fcntl(looker->fd, F_GETFL) & O_ACCMODE, O_RDONLY);
	image_unref(writer);
	image_unref(open_image("image", IMAGE_ACCESS_RW));
	image_unref(looker);
	assert_result(image_open("image", IMAGE_ACCESS_RO, IMAGE_INSPECT, &looker), 0);
	assert_false(image_writable(looker));
	image_unref(looker);
}

static bool names_image(const struct image *image, const char *path)
{
	struct stat status;

	assert_return_code(stat(path, &status), errno);
	return image_is(image, &status);
}

static void same_inode_of_another_device_is_another_file(void **state)
{
	struct image *image;
	struct stat status;

	file_fill("image", 5000);
	image = open_image("image", IMAGE_ACCESS_RO);
	assert_return_code(stat("image", &status), errno);
	assert_true(image_is(image, &status));
	status.st_dev++;
	assert_false(image_is(image, &status));
	status.st_dev--;
	status.st_ino++;
	assert_false(image_is(image, &status));
	image_unref(image);
}

static void identity_is_that_of_the_file(void **state)
{
	struct image *image;

	file_fill("image", 5000);
	file_fill("other", 5000);
	assert_return_code(link("image", "hard"), errno);
	assert_return_code(symlink("image", "soft"), errno);
	image = open_image("soft", IMAGE_ACCESS_RO);
	assert_true(names_image(image, "image"));
	assert_true(names_image(image, "hard"));
	assert_true(names_image(image, "soft"));
	assert_false(names_image(image, "other"));
	assert_false(names_image(image, "."));
	assert_return_code(rename("other", "image"), errno);
	assert_false(names_image(image, "image"));
	assert_true(names_image(image, "hard"));
	image_unref(image);
}

/* Let so much time pass that the image's stamps can be trusted; and a little in truth, since the
 * clock that stamps files ticks slowly before Linux 6.13.
 */
static void let_stamps_settle(void)
{
	usleep(20000);
	clock_ahead_ms += 10000;
}

static void generation_rests_while_the_image_does(void **state)
{
	struct image *image;
	uint32_t generation;

	file_fill("image", 5000);
	image = open_image("image", IMAGE_ACCESS_RO);
	let_stamps_settle();
	generation = image_generation(image);
	for (int i = 0; i < 10; i++)
		assert_int_equal(image_generation(image), generation);
	image_unref(image);
}

/* What happened has moved the generation, which then comes to rest again. */
static void assert_generation_moved(struct image *image, uint32_t *generation)
{
	uint32_t now = image_generation(image);

	assert_int_not_equal(now, *generation);
	let_stamps_settle();
	*generation = image_generation(image);
	assert_int_equal(image_generation(image), *generation);
}

static void generation_moves_with_every_change(void **state)
{
	const struct timespec times[2] = { { 0, UTIME_NOW }, { 1234567890, 0 } };
	struct image *image;
	uint32_t generation;

	file_fill("image", 5000);
	image = open_image("image", IMAGE_ACCESS_RO);
	let_stamps_settle();
	generation = image_generation(image);

	file_write_at("image", 7, "x", 1);
	assert_generation_moved(image, &generation);
	file_resize("image", 4999);
	assert_generation_moved(image, &generation);
	file_resize("image", 9000);
	assert_generation_moved(image, &generation);
	assert_return_code(utimensat(AT_FDCWD, "image", times, 0), errno);
	assert_generation_moved(image, &generation);
	/* Written, and its mtime put back: only ctime tells. */
	file_write_at("image", 7, "y", 1);
	assert_return_code(utimensat(AT_FDCWD, "image", times, 0), errno);
	assert_generation_moved(image, &generation);
	image_unref(image);
}

static void generation_moves_until_the_stamps_settle(void **state)
{
	struct image *image;
	uint32_t generation;

	file_fill("image", 5000);
	image = open_image("image", IMAGE_ACCESS_RO);
	let_stamps_settle();
	clock_ahead_ms = -60000; /* long before the change: no stamp is old */
	generation = image_generation(image);
	for (int i = 0; i < 3; i++) {
		uint32_t now = image_generation(image);

		assert_int_not_equal(now, generation);
		generation = now;
	}
	image_unref(image);
}

/* Record errors without their lines on standard error, which are returned. */
static char *record_error(struct image *image, int error)
{
	stderr_begin();
	image_error_record(image, error);
	return stderr_end();
}

static void recorded_error_is_told_to_older_cursors_only(void **state)
{
	struct image *image;
	uint64_t before;
	uint64_t after;

	file_fill("image", 5000);
	image = open_image("image", IMAGE_ACCESS_RO);
	before = image_error_count();
	assert_result(image_error_since(image, before), 0);
	free(record_error(image, -ENOSPC));
	after = image_error_count();
	assert_int_equal(after, before + 1);
	assert_result(image_error_since(image, before), -ENOSPC);
	assert_result(image_error_since(image, before), -ENOSPC);
	assert_result(image_error_since(image, after), 0);
	image_unref(image);
}

static void error_is_untold_until_somebody_asks(void **state)
{
	struct image *image;
	uint64_t before = image_error_count();

	file_fill("image", 5000);
	image = open_image("image", IMAGE_ACCESS_RO);
	assert_int_equal(image_error_untold(image), 0);
	free(record_error(image, -EIO));
	assert_int_equal(image_error_untold(image), image_error_count());
	assert_result(image_error_since(image, image_error_count()), 0);
	assert_int_equal(image_error_untold(image), image_error_count());
	assert_result(image_error_since(image, before), -EIO);
	assert_int_equal(image_error_untold(image), 0);
	/* A second error is news again. */
	free(record_error(image, -EDQUOT));
	assert_int_equal(image_error_untold(image), image_error_count());
	assert_result(image_error_since(image, before), -EDQUOT);
	image_unref(image);
}

static void error_belongs_to_its_image(void **state)
{
	struct image *failing;
	struct image *healthy;
	uint64_t before = image_error_count();

	file_fill("failing", 5000);
	file_fill("healthy", 5000);
	failing = open_image("failing", IMAGE_ACCESS_RO);
	healthy = open_image("healthy", IMAGE_ACCESS_RO);
	free(record_error(failing, -EIO));
	assert_result(image_error_since(healthy, before), 0);
	assert_int_equal(image_error_untold(healthy), 0);
	image_unref(failing);
	image_unref(healthy);
}

static void log_says_which_image_failed(void **state)
{
	struct image *image;
	char *said;

	file_fill("image", 5000);
	image = open_image("image", IMAGE_ACCESS_RO);
	let_stamps_settle(); /* the log's own limit counts from now */
	said = record_error(image, -EIO);
	assert_non_null(strstr(said, "image 'image': flush failed: Input/output error\n"));
	free(said);
	image_unref(image);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		scratch_test(missing_image_is_refused),
		scratch_test(directory_is_refused),
		scratch_test(fifo_is_refused_without_opening_it),
		scratch_test(device_and_socket_are_refused),
		scratch_test(empty_image_opens),
		scratch_test(attributes_are_those_of_the_file),
		scratch_test(size_is_that_of_the_moment),
		scratch_test(read_only_access_is_read_only),
		scratch_test(write_protected_image_opens_to_read),
		scratch_test(unreadable_image_is_refused),
		scratch_test(refusal_leaves_nothing_open),
		scratch_test(readers_share_an_image),
		scratch_test(writer_excludes_all_others),
		scratch_test(readers_exclude_a_writer),
		scratch_test(lock_ends_with_the_last_reference),
		scratch_test(lock_can_be_left_out),
		scratch_test(lock_of_another_program_is_respected),
		scratch_test(image_that_qemu_writes_is_refused),
		scratch_test(image_that_qemu_reads_can_be_read),
		scratch_test(inspection_neither_locks_nor_maps),
		scratch_test(same_inode_of_another_device_is_another_file),
		scratch_test(identity_is_that_of_the_file),
		scratch_test(generation_rests_while_the_image_does),
		scratch_test(generation_moves_with_every_change),
		scratch_test(generation_moves_until_the_stamps_settle),
		scratch_test(recorded_error_is_told_to_older_cursors_only),
		scratch_test(error_is_untold_until_somebody_asks),
		scratch_test(error_belongs_to_its_image),
		scratch_test(log_says_which_image_failed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
