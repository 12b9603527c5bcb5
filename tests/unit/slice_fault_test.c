/* SPDX-License-Identifier: MIT */
/* What slices make of system calls that fail, are interrupted, or do less than they were asked. */
#include "slices.h"

#include "guard.h"
#include "image_internal.h"
#include "stats.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#define LEFT_ALONE ((size_t)12345)

/* What becomes of the next calls: first so many are interrupted, then bytes are taken as long as
 * there is room, at most so many a call, and then there is the error. Zeroed: nothing happens.
 */
static struct {
	unsigned interruptions;
	unsigned good;  /* so many of the calls that take no bytes do their work before the error */
	size_t at_most; /* 0: no limit */
	bool full;      /* only room bytes are taken */
	size_t room;
	int error; /* errno, when full or for calls that take no bytes */
	/* After so many true answers fstat and statx say so many times that it has this size. */
	unsigned truths;
	unsigned lies;
	uint64_t lie;
	bool blind; /* fstat and statx fail */
	/* During so many reads the file is cut to this size and grown again by what it had. */
	unsigned cuts;
	uint64_t cut;
} faults;

static unsigned calls; /* of the functions below, but those */

static int without_faults(void **state)
{
	memset(&faults, 0, sizeof(faults));
	calls = 0;
	return scratch_enter(state);
}

static bool interrupted(void)
{
	calls++;
	if (faults.interruptions == 0)
		return false;
	faults.interruptions--;
	errno = EINTR;
	return true;
}

/* How much of size is done; -1 and errno when nothing. */
static ssize_t take(size_t size)
{
	if (interrupted())
		return -1;
	if (faults.at_most && size > faults.at_most)
		size = faults.at_most;
	if (faults.full && size > faults.room)
		size = faults.room;
	if (faults.full && size == 0) {
		errno = faults.error;
		return -1;
	}
	faults.room -= faults.full ? size : 0;
	return size;
}

static bool fails(void)
{
	if (interrupted())
		return true;
	if (faults.good > 0) {
		faults.good--;
		return false;
	}
	errno = faults.error;
	return faults.error != 0;
}

ssize_t __real_pwrite64(int fd, const void *buf, size_t size, off_t offset);
ssize_t __wrap_pwrite64(int fd, const void *buf, size_t size, off_t offset);
ssize_t __wrap_pwrite64(int fd, const void *buf, size_t size, off_t offset)
{
	ssize_t taken = take(size);

	return taken < 0 ? -1 : __real_pwrite64(fd, buf, taken, offset);
}

ssize_t __real_pwritev64v2(int fd, const struct iovec *ranges, int count, off_t offset, int flags);
ssize_t __wrap_pwritev64v2(int fd, const struct iovec *ranges, int count, off_t offset, int flags);
ssize_t __wrap_pwritev64v2(int fd, const struct iovec *ranges, int count, off_t offset, int flags)
{
	struct iovec range = ranges[0];
	ssize_t taken = take(range.iov_len);

	assert_int_equal(count, 1);
	range.iov_len = taken;
	return taken < 0 ? -1 : __real_pwritev64v2(fd, &range, 1, offset, flags);
}

ssize_t __real_copy_file_range(int from, off_t *from_offset, int to, off_t *to_offset, size_t size,
			       unsigned flags);
ssize_t __wrap_copy_file_range(int from, off_t *from_offset, int to, off_t *to_offset, size_t size,
			       unsigned flags);
ssize_t __wrap_copy_file_range(int from, off_t *from_offset, int to, off_t *to_offset, size_t size,
			       unsigned flags)
{
	if (fails())
		return -1;
	if (faults.at_most && size > faults.at_most)
		size = faults.at_most;
	return __real_copy_file_range(from, from_offset, to, to_offset, size, flags);
}

/* As somebody else does it, within a moment. */
static void cut_and_grow(const char *path, uint64_t cut)
{
	const uint64_t size = file_size(path);
	char *rest = malloc(size - cut);

	assert_non_null(rest);
	file_read_at(path, cut, rest, size - cut);
	file_resize(path, cut);
	file_write_at(path, cut, rest, size - cut);
	free(rest);
}

ssize_t __real_pread64(int fd, void *buf, size_t size, off_t offset);
ssize_t __wrap_pread64(int fd, void *buf, size_t size, off_t offset);
ssize_t __wrap_pread64(int fd, void *buf, size_t size, off_t offset)
{
	ssize_t got = __real_pread64(fd, buf, size, offset);
	uint64_t kept = faults.cut - offset;
	unsigned cuts = faults.cuts;

	if (cuts == 0 || got <= 0 || faults.cut < (uint64_t)offset || kept >= (uint64_t)got)
		return got;
	memset((char *)buf + kept, 0, got - kept);
	faults.cuts = 0;
	cut_and_grow("image", faults.cut);
	faults.cuts = cuts - 1;
	return got;
}

int __real_ftruncate64(int fd, off_t size);
int __wrap_ftruncate64(int fd, off_t size);
int __wrap_ftruncate64(int fd, off_t size)
{
	return fails() ? -1 : __real_ftruncate64(fd, size);
}

int __real_fallocate64(int fd, int mode, off_t offset, off_t length);
int __wrap_fallocate64(int fd, int mode, off_t offset, off_t length);
int __wrap_fallocate64(int fd, int mode, off_t offset, off_t length)
{
	return fails() ? -1 : __real_fallocate64(fd, mode, offset, length);
}

/* What a look at the file's size says. 0, or -1 and errno. */
static int look(uint64_t *size)
{
	if (faults.blind) {
		errno = EIO;
		return -1;
	}
	if (faults.truths > 0) {
		faults.truths--;
	} else if (faults.lies > 0) {
		faults.lies--;
		*size = faults.lie;
	}
	return 0;
}

int __real_fstat64(int fd, struct stat *status);
int __wrap_fstat64(int fd, struct stat *status);
int __wrap_fstat64(int fd, struct stat *status)
{
	int result = __real_fstat64(fd, status);
	uint64_t size = status->st_size;

	result = result ?: look(&size);
	status->st_size = size;
	return result;
}

int __real_statx(int fd, const char *path, int flags, unsigned mask, struct statx *status);
int __wrap_statx(int fd, const char *path, int flags, unsigned mask, struct statx *status);
int __wrap_statx(int fd, const char *path, int flags, unsigned mask, struct statx *status)
{
	int result = __real_statx(fd, path, flags, mask, status);
	uint64_t size = status->stx_size;

	result = result ?: look(&size);
	status->stx_size = size;
	return result;
}

int __real_fcntl64(int fd, int command, ...);
int __wrap_fcntl64(int fd, int command, struct flock *lock);
int __wrap_fcntl64(int fd, int command, struct flock *lock)
{
	if (command == F_OFD_SETLK && fails())
		return -1;
	return __real_fcntl64(fd, command, lock);
}

/* A new image; what it took to make it is not counted. */
static struct image *fresh_image(const char *path, size_t size)
{
	struct image *image = new_image(path, size);

	calls = 0;
	return image;
}

static int write_some(const struct made *made, uint64_t offset, size_t size, size_t *ret_written)
{
	char *buf = malloc(size);
	int result;

	assert_non_null(buf);
	memset(buf, 'x', size);
	result = slice_write(&made->slice, offset, buf, size, ret_written);
	free(buf);
	return result;
}

/* --- writing --- */

static void interrupted_write_goes_on(void **state)
{
	struct image *image = fresh_image("image", 10000);
	struct made made;

	make(&made, true, RANGE(image, 100, 5000));
	faults.interruptions = 3;
	assert_writes(&made, 10, "hello", 5);
	assert_int_equal(calls, 4);
	assert_slice_holds(&made, 10, "hello", 5);
	image_unref(image);
}

static void short_writes_are_continued(void **state)
{
	struct image *image = fresh_image("image", 10000);
	struct made made;
	char buf[4000];

	make(&made, true, RANGE(image, 100, 2000), RANGE(image, 5000, 2000));
	random_bytes(buf, sizeof(buf));
	faults.at_most = 300;
	assert_writes(&made, 0, buf, sizeof(buf));
	assert_slice_holds(&made, 0, buf, sizeof(buf));
	assert_int_equal(calls, 14);
	image_unref(image);
}

static void disk_that_fills_up_makes_a_write_short(void **state)
{
	struct image *image = fresh_image("image", 10000);
	size_t written = LEFT_ALONE;
	struct made made;

	make(&made, true, RANGE(image, 100, 2000), RANGE(image, 5000, 2000));
	faults.full = true;
	faults.room = 1234;
	faults.error = ENOSPC;
	assert_result(write_some(&made, 0, 4000, &written), 0);
	assert_int_equal(written, 1234);
	written = LEFT_ALONE;
	assert_result(write_some(&made, 1234, 100, &written), -ENOSPC);
	assert_int_equal(written, LEFT_ALONE);
	/* Also in a later extent. */
	faults.room = 2500;
	assert_result(write_some(&made, 0, 4000, &written), 0);
	assert_int_equal(written, 2500);
	image_unref(image);
}

static void failed_write_says_why(void **state)
{
	static const int errors[] = { ENOSPC, EDQUOT, EIO, EFBIG, EROFS };
	struct image *image = fresh_image("image", 10000);
	size_t written = LEFT_ALONE;
	struct made made;

	make(&made, true, RANGE(image, 100, 2000));
	faults.full = true;
	for (size_t i = 0; i < COUNT(errors); i++) {
		faults.error = errors[i];
		assert_result(write_some(&made, 0, 4000, &written), -errors[i]);
	}
	assert_int_equal(written, LEFT_ALONE);
	image_unref(image);
}

/* An image whose second page is hot and then lost, which fstat(2) will not admit yet. */
static struct image *new_lying_image(struct made *made, unsigned lies)
{
	const size_t page = (size_t)1 << page_shift();
	struct image *image = fresh_image("image", 4 * page);
	size_t written;

	assert_result(guard_install(), 0);
	make(made, true, RANGE(image, 0, 4 * page));
	assert_result(write_some(made, page, 100, &written), 0);
	file_resize("image", page);
	calls = 0;
	faults.lies = lies;
	faults.lie = 4 * page;
	return image;
}

static void fault_in_a_hot_page_gets_its_errno_from_pwrite(void **state)
{
	const size_t page = (size_t)1 << page_shift();
	size_t written = LEFT_ALONE;
	struct made made;
	struct image *image = new_lying_image(&made, 1000);
	uint64_t before = atomic_load(&stats.faults);

	faults.full = true;
	faults.error = EDQUOT;
	assert_result(write_some(&made, page + 10, 50, &written), -EDQUOT);
	assert_int_equal(written, LEFT_ALONE);
	assert_int_equal(calls, 1);
	assert_int_equal(atomic_load(&stats.faults), before + 1);
	image_unref(image);
}

static void hot_page_lost_during_the_write_is_not_regrown(void **state)
{
	const size_t page = (size_t)1 << page_shift();
	size_t written = LEFT_ALONE;
	struct made made;
	struct image *image = new_lying_image(&made, 1);

	assert_result(write_some(&made, page + 10, 50, &written), -EIO);
	assert_int_equal(written, LEFT_ALONE);
	assert_int_equal(calls, 0);
	assert_int_equal(file_size("image"), page);
	image_unref(image);
}

static void page_lost_during_the_read_is_an_error(void **state)
{
	const size_t page = (size_t)1 << page_shift();
	size_t got = LEFT_ALONE;
	struct made made;
	struct image *image = new_lying_image(&made, 1000);
	char buf[100];

	for (int partial = 0; partial < 2; partial++)
		assert_result(slice_read(&made.slice, page, buf, sizeof(buf), partial, &got), -EIO);
	assert_int_equal(got, LEFT_ALONE);
	image_unref(image);
}

/* As if it had been cut after the look at its size, and before the kernel's own copy. */
static void what_is_cut_while_it_is_read_is_read_again(void **state)
{
	const size_t page = (size_t)1 << page_shift();
	struct image *image = fresh_image("image", 4 * page);
	struct made made;

	make(&made, false, RANGE(image, 0, 4 * page));
	for (size_t size = 10; size <= 4 * page; size *= 7) {
		char *buf = malloc(size);
		size_t got = LEFT_ALONE;

		assert_non_null(buf);
		faults.truths = 1;
		faults.lies = 2;
		faults.lie = size - 1;
		assert_result(slice_read(&made.slice, 0, buf, size, false, &got), -EIO);
		assert_int_equal(faults.lies, 0);
		faults.truths = 1;
		faults.lies = 1;
		assert_result(read_as_reply(&made.slice, 0, buf, size, false, &got), 0);
		assert_int_equal(faults.lies, 0);
		assert_int_equal(got, size);
		free(buf);
	}
	image_unref(image);
}

/* What is read in that moment ends in zeros, and the size says nothing. */
static void what_is_cut_and_grown_while_it_is_read_is_read_again(void **state)
{
	const size_t page = (size_t)1 << page_shift();
	const uint64_t cuts[] = { 4 * page - 1, 3 * page + 17, 3 * page, page + 5, 0 };
	struct image *image = fresh_image("image", 4 * page);
	char *want = malloc(4 * page);
	char *buf = malloc(4 * page);
	struct made made;

	assert_non_null(want);
	assert_non_null(buf);
	file_read_at("image", 0, want, 4 * page);
	make(&made, false, RANGE(image, 0, 4 * page));
	for (size_t i = 0; i < COUNT(cuts); i++) {
		size_t got = LEFT_ALONE;

		for (unsigned times = 1; times <= 2; times++) {
			faults.cut = cuts[i];
			faults.cuts = times;
			assert_result(slice_read(&made.slice, 0, buf, 4 * page, false, &got), 0);
			assert_int_equal(faults.cuts, 0);
			assert_int_equal(got, 4 * page);
			assert_memory_equal(buf, want, 4 * page);
		}
		if (cuts[i] <= 3 * page) /* only the last page is read by a call */
			continue;
		faults.cuts = 1;
		assert_result(read_as_reply(&made.slice, 0, buf, 4 * page, false, &got), 0);
		assert_int_equal(faults.cuts, 0);
		assert_memory_equal(buf, want, 4 * page);
	}
	free(buf);
	free(want);
	image_unref(image);
}

/* Each image of a read is looked at again after its last byte, not only the last one. */
static void every_image_of_a_read_is_looked_at_again(void **state)
{
	struct image *a = fresh_image("a", 1000);
	struct image *b = fresh_image("b", 1000);
	size_t got = LEFT_ALONE;
	struct made made;
	char buf[400];

	make(&made, false, RANGE(a, 0, 100), RANGE(a, 500, 100), RANGE(b, 0, 200));
	faults.truths = 1;
	faults.lies = 2;
	faults.lie = 550;
	assert_result(slice_read(&made.slice, 0, buf, sizeof(buf), false, &got), -EIO);
	assert_int_equal(faults.lies, 0);
	image_unref(a);
	image_unref(b);
}

static void tail_that_is_cut_between_two_looks_has_lost_nothing(void **state)
{
	struct image *image = fresh_image("image", 5000);
	struct made made;

	make(&made, true, RANGE(image, 0, 1000), TAIL(image, 2000));
	faults.lies = 1;
	faults.lie = 9000;
	assert_result(slice_check_held(&made.slice, 0, UINT64_MAX), 0);
	faults.lies = 1;
	faults.lie = 999;
	assert_result(slice_check_held(&made.slice, 0, UINT64_MAX), -EIO);
	image_unref(image);
}

static void image_of_unknown_size_is_an_error(void **state)
{
	struct image *image = fresh_image("image", 10000);
	struct made fixed;
	struct made tail;
	size_t done = LEFT_ALONE;
	uint64_t size = LEFT_ALONE;
	char buf[100];

	make(&fixed, true, RANGE(image, 0, 5000));
	make(&tail, true, TAIL(image, 0));
	tail.slice.resize = true;
	faults.blind = true;
	assert_result(slice_size(&tail.slice, &size), -EIO);
	assert_result(slice_read(&fixed.slice, 0, buf, 100, true, &done), -EIO);
	assert_result(slice_read(&tail.slice, 0, buf, 100, true, &done), -EIO);
	assert_result(write_some(&fixed, 0, 100, &done), -EIO);
	assert_result(write_some(&tail, 0, 100, &done), -EIO);
	assert_result(slice_append(&tail.slice, buf, 100, &done), -EIO);
	assert_result(slice_allocate(&fixed.slice, 0, 0, 100), -EIO);
	assert_result(slice_copy(&fixed.slice, 0, &tail.slice, 0, 100, &done), -EIO);
	assert_result(slice_seek(&tail.slice, 0, SEEK_DATA, &size), -EIO);
	assert_int_equal(done, LEFT_ALONE);
	assert_int_equal(size, LEFT_ALONE);
	assert_int_equal(calls, 0);
	image_unref(image);
}

/* --- appending, resizing, allocating --- */

static void append_is_repeated_when_interrupted(void **state)
{
	struct image *image = fresh_image("image", 1000);
	size_t written;
	struct made made;

	make(&made, true, TAIL(image, 500));
	made.slice.resize = true;
	faults.interruptions = 3;
	faults.at_most = 4;
	assert_result(slice_append(&made.slice, "hello", 5, &written), 0);
	assert_int_equal(written, 4);
	assert_slice_holds(&made, 500, "hell", 4);
	faults.full = true;
	faults.error = ENOSPC;
	assert_result(slice_append(&made.slice, "o", 1, &written), -ENOSPC);
	image_unref(image);
}

static void resize_is_repeated_when_interrupted(void **state)
{
	struct image *image = fresh_image("image", 1000);
	struct made made;

	make(&made, true, TAIL(image, 500));
	made.slice.resize = true;
	faults.interruptions = 3;
	assert_result(slice_resize(&made.slice, 700), 0);
	assert_int_equal(file_size("image"), 1200);
	faults.error = EDQUOT;
	assert_result(slice_resize(&made.slice, 800), -EDQUOT);
	assert_int_equal(file_size("image"), 1200);
	image_unref(image);
}

static void allocation_is_repeated_when_interrupted(void **state)
{
	struct image *image = fresh_image("image", 10000);
	struct made made;

	make(&made, true, RANGE(image, 0, 10000));
	faults.interruptions = 3;
	assert_result(slice_allocate(&made.slice, 0, 0, 5000), 0);
	assert_int_equal(calls, 4);
	faults.error = ENOSPC;
	assert_result(slice_allocate(&made.slice, 0, 0, 5000), -ENOSPC);
	image_unref(image);
}

static void allocation_never_moves_the_end_of_a_shrunken_image(void **state)
{
	const size_t page = (size_t)1 << page_shift();
	struct made made;
	struct image *image = new_lying_image(&made, 1000);

	assert_result(slice_allocate(&made.slice, 0, 0, 4 * page), 0);
	faults.lies = 0;
	assert_int_equal(file_size("image"), page);
	image_unref(image);
}

/* "Not supported" must not be said once some bytes are zeros already. */
static void zeroing_is_finished_once_it_has_begun(void **state)
{
	static const int modes[] = {
		FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
		FALLOC_FL_ZERO_RANGE,
		FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE,
	};
	struct image *a = fresh_image("a", 200000);
	struct image *b = fresh_image("b", 200000);
	char *zeros = calloc(1, 300000);
	struct made made;

	assert_non_null(zeros);
	make(&made, true, RANGE(a, 10, 150000), RANGE(b, 20, 150000));
	for (size_t i = 0; i < COUNT(modes); i++) {
		file_fill("a", 200000);
		file_fill("b", 200000);
		faults.good = 1;
		faults.error = EOPNOTSUPP;
		assert_result(slice_allocate(&made.slice, modes[i], 0, 300000), 0);
		faults.error = 0;
		assert_slice_holds(&made, 0, zeros, 300000);
		assert_int_equal(file_size("b"), 200000);
	}
	free(zeros);
	image_unref(a);
	image_unref(b);
}

static void zeroing_that_is_finished_by_writing_keeps_the_size(void **state)
{
	struct image *a = fresh_image("a", 10000);
	struct image *b = fresh_image("b", 10000);
	struct made made;

	make(&made, true, RANGE(a, 0, 10000), TAIL(b, 0));
	made.slice.resize = true;
	faults.good = 1;
	faults.error = EOPNOTSUPP;
	assert_result(slice_allocate(&made.slice, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0,
				     50000),
		      0);
	faults.error = 0;
	assert_int_equal(file_size("b"), 10000);
	image_unref(a);
	image_unref(b);
}

static void what_the_image_cannot_do_is_not_supported(void **state)
{
	struct image *image = fresh_image("image", 10000);
	struct made made;

	make(&made, true, RANGE(image, 0, 10000));
	faults.error = EOPNOTSUPP;
	assert_result(slice_allocate(&made.slice, 0, 0, 5000), -EOPNOTSUPP);
	image_unref(image);
}

/* --- copying --- */

static void copy_is_done_by_hand_where_the_kernel_will_not(void **state)
{
	static const int errors[] = { EXDEV, EOPNOTSUPP, ENOSYS, EINVAL, EINTR, EIO };
	struct image *a = fresh_image("a", 100000);
	struct image *b = fresh_image("b", 100000);
	struct made source;
	struct made target;
	char bytes[50000];

	make(&source, false, RANGE(a, 10, 99990));
	make(&target, true, RANGE(b, 0, 100000));
	for (size_t i = 0; i < COUNT(errors); i++) {
		size_t copied;

		faults.error = errors[i];
		assert_result(slice_copy(&source.slice, i, &target.slice, 777, 50000, &copied), 0);
		assert_int_equal(copied, 50000);
		file_read_at("a", 10 + i, bytes, sizeof(bytes));
		assert_slice_holds(&target, 777, bytes, sizeof(bytes));
	}
	image_unref(a);
	image_unref(b);
}

static void copy_goes_on_where_the_kernel_stops(void **state)
{
	struct image *a = fresh_image("a", 100000);
	struct image *b = fresh_image("b", 100000);
	struct made source;
	struct made target;
	size_t copied;
	char bytes[50000];

	make(&source, false, RANGE(a, 10, 99990));
	make(&target, true, RANGE(b, 0, 100000));
	faults.at_most = 777;
	assert_result(slice_copy(&source.slice, 0, &target.slice, 5, 50000, &copied), 0);
	assert_int_equal(copied, 50000);
	file_read_at("a", 10, bytes, sizeof(bytes));
	assert_slice_holds(&target, 5, bytes, sizeof(bytes));
	image_unref(a);
	image_unref(b);
}

static void copy_onto_a_full_disk_is_short(void **state)
{
	struct image *image = fresh_image("image", 100000);
	size_t copied = LEFT_ALONE;
	struct made source;
	struct made target;

	make(&source, false, ZEROS(50000));
	make(&target, true, RANGE(image, 0, 100000));
	faults.full = true;
	faults.room = 1000;
	faults.error = ENOSPC;
	assert_result(slice_copy(&source.slice, 0, &target.slice, 0, 50000, &copied), 0);
	assert_int_equal(copied, 1000);
	copied = LEFT_ALONE;
	assert_result(slice_copy(&source.slice, 0, &target.slice, 1000, 50000, &copied), -ENOSPC);
	assert_int_equal(copied, LEFT_ALONE);
	image_unref(image);
}

/* --- opening --- */

static void file_system_without_locks_is_served(void **state)
{
	static const int errors[] = { ENOLCK, ENOSYS, EOPNOTSUPP };
	struct image *image = NULL;

	file_fill("image", 1000);
	for (size_t i = 0; i < COUNT(errors); i++) {
		faults.error = errors[i];
		image_unref(image_at("image", IMAGE_ACCESS_RW));
	}
	faults.error = EIO;
	assert_result(image_open("image", IMAGE_ACCESS_RW, 0, &image), -EIO);
	assert_null(image);
}

#define fault_test(function)                                                                       \
	cmocka_unit_test_setup_teardown(function, without_faults, scratch_leave)

int main(void)
{
	const struct CMUnitTest tests[] = {
		fault_test(interrupted_write_goes_on),
		fault_test(short_writes_are_continued),
		fault_test(disk_that_fills_up_makes_a_write_short),
		fault_test(failed_write_says_why),
		fault_test(fault_in_a_hot_page_gets_its_errno_from_pwrite),
		fault_test(hot_page_lost_during_the_write_is_not_regrown),
		fault_test(page_lost_during_the_read_is_an_error),
		fault_test(what_is_cut_while_it_is_read_is_read_again),
		fault_test(what_is_cut_and_grown_while_it_is_read_is_read_again),
		fault_test(every_image_of_a_read_is_looked_at_again),
		fault_test(tail_that_is_cut_between_two_looks_has_lost_nothing),
		fault_test(image_of_unknown_size_is_an_error),
		fault_test(append_is_repeated_when_interrupted),
		fault_test(resize_is_repeated_when_interrupted),
		fault_test(allocation_is_repeated_when_interrupted),
		fault_test(allocation_never_moves_the_end_of_a_shrunken_image),
		fault_test(zeroing_is_finished_once_it_has_begun),
		fault_test(zeroing_that_is_finished_by_writing_keeps_the_size),
		fault_test(what_the_image_cannot_do_is_not_supported),
		fault_test(copy_is_done_by_hand_where_the_kernel_will_not),
		fault_test(copy_goes_on_where_the_kernel_stops),
		fault_test(copy_onto_a_full_disk_is_short),
		fault_test(file_system_without_locks_is_served),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
