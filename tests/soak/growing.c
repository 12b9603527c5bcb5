/* SPDX-License-Identifier: MIT
 *
 * The slice with `resize`, which moves the end of image ONE as a file does its own. Only its owner
 * looks at it, with a new open file each time.
 */
#include "soak.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static uint8_t buf[TAIL_MAX];

static uint8_t *model(void)
{
	return shared->model[ONE] + GROWING->extents[0].offset;
}

static uint64_t size_now(void)
{
	return shared->size_one - GROWING->extents[0].offset;
}

/* What is between the old end and the new one becomes zeros. */
static void model_resize(uint64_t size)
{
	uint64_t old = size_now();

	if (size > old)
		memset(model() + old, 0, size - old);
	shared->size_one = GROWING->extents[0].offset + size;
}

static void check(int fd)
{
	uint64_t size = size_now();
	struct stat st;
	ssize_t got;

	if (fstat(fd, &st) || (uint64_t)st.st_size != size)
		die("fstat of the growing slice: %jd bytes, not %ju", (intmax_t)st.st_size,
		    (uintmax_t)size);
	got = pread(fd, buf, sizeof(buf), 0);
	if (got != (ssize_t)size)
		die("read of the growing slice gave %zd, not %ju: %s", got, (uintmax_t)size,
		    got < 0 ? strerror(errno) : "");
	for (uint64_t i = 0; i < size; i++)
		if (buf[i] != model()[i])
			die("the growing slice, byte %ju of %ju: 0x%02x, not 0x%02x", (uintmax_t)i,
			    (uintmax_t)size, buf[i], model()[i]);
}

static void put(int fd, uint64_t offset, uint64_t length, bool append)
{
	uint64_t end = offset + length;
	ssize_t done;

	chance_fill(buf, length);
	done = append ? write(fd, buf, length) : pwrite(fd, buf, length, (off_t)offset);
	if (done != (ssize_t)length)
		die("write of the growing slice at %ju, length %ju, gave %zd: %s",
		    (uintmax_t)offset, (uintmax_t)length, done, done < 0 ? strerror(errno) : "");
	if (end > size_now())
		model_resize(end);
	memcpy(model() + offset, buf, length);
}

void growing_step(int number)
{
	struct client *me = &shared->clients[number];
	uint64_t size = size_now();
	uint64_t length = 1 + chance(2 * PAGE);
	uint64_t offset = chance(size + 100);
	uint64_t way = chance(10);
	int flags = O_RDWR;
	int fd;

	if (way < 4) {
		flags = one_in(2) ? O_WRONLY | O_APPEND : O_RDWR | O_APPEND;
		offset = size;
	} else if (way == 9) {
		flags |= O_TRUNC;
	}
	if (way < 6 && offset + length > TAIL_MAX)
		way = 6;
	me->grow_low = way < 6 ? size : 0;
	me->grow_high = way < 6 && offset + length > size ? offset + length : size;
	if (way == 6)
		me->grow_high = TAIL_MAX;
	me->growing = true;
	fd = slice_open(GROWING, flags);
	if (way < 6) {
		put(fd, offset, length, way < 4);
	} else if (way == 6) {
		size = chance(TAIL_MAX);
		if (ftruncate(fd, (off_t)size))
			die("ftruncate of the growing slice: %s", strerror(errno));
		model_resize(size);
	} else if (way == 9) {
		model_resize(0);
	} else if (way == 8 && fsync(fd)) {
		die("fsync of the growing slice: %s", strerror(errno));
	}
	if ((flags & O_ACCMODE) == O_RDWR)
		check(fd);
	if (close(fd))
		die("close of the growing slice: %s", strerror(errno));
	me->growing = false;
	me->counts[KIND_GROW]++;
	me->bytes[KIND_GROW] += way < 6 ? length : 0;
}

void growing_recover(int number)
{
	struct client *me = &shared->clients[number];
	uint64_t size = size_now();
	int fd = slice_open(GROWING, O_RDWR);
	struct stat st;

	if (fstat(fd, &st) || (uint64_t)st.st_size < me->grow_low ||
	    (uint64_t)st.st_size > me->grow_high)
		die("the growing slice has %jd bytes after a kill, want %ju to %ju",
		    (intmax_t)st.st_size, (uintmax_t)me->grow_low, (uintmax_t)me->grow_high);
	if (ftruncate(fd, (off_t)size) || pwrite(fd, model(), size, 0) != (ssize_t)size)
		die("mending the growing slice: %s", strerror(errno));
	check(fd);
	close(fd);
	me->growing = false;
}
