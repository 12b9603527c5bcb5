/* SPDX-License-Identifier: MIT
 *
 * One client: random calls on its own slices, and looks at those of others, until it is told to
 * stop or killed.
 */
#include "client.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int self;
struct client *me;
struct slice *own[SLICES];
int own_count;

static uint8_t buf[LENGTH_MAX];

/* --- reading
 * ------------------------------------------------------------------------------------
 */

/* *ret_size bytes of buf were read, 0 after an error that is allowed. */
static size_t read_once(struct hand *hand, uint64_t offset, size_t want, bool load)
{
	const struct slice *slice = hand->slice;
	uint64_t from = shared->moment;
	ssize_t got = (ssize_t)want;

	me->look = (struct record){ (uint32_t)(slice - layout.slices), KIND_READ, offset, want };
	if (load) {
		if (!copy_guarded(buf, hand->map + offset, want)) {
			got = -1;
			errno = EIO;
		}
	} else {
		got = pread(hand->fd, buf, want, (off_t)offset);
	}
	if (got >= 0 && (hand->flags & O_DIRECT) && !slice->tail)
		refute_lost(slice, offset, want, from);
	if (got == (ssize_t)want)
		return want;
	if ((got >= 0 || errno == EIO) &&
	    met_trouble(slice, offset, want, from, shared->moment, CUT)) {
		me->eio += got < 0;
		return got < 0 ? 0 : (size_t)got;
	}
	die("%s of slice %s, offset %ju length %zu gave %zd: %s", me->doing, slice->name,
	    (uintmax_t)offset, want, got, got < 0 ? strerror(errno) : "short");
}

static void read_and_check(struct slice *slice, int flags, bool load, enum kind kind)
{
	static struct glance glance;
	uint64_t offset = some_offset(slice->size);
	size_t want = clip(slice, offset, some_length());
	struct hand *hand = hand_get(slice, flags);
	uint64_t from = shared->moment;

	if (load && !hand_map(hand))
		return;
	for (int try = 0; try < 4; try++) {
		size_t got;

		glance_begin(&glance, slice, offset, want);
		got = read_once(hand, offset, want, load);
		count(kind, got);
		/* The page with the tail's end has zeros behind it. */
		if (slice->tail && met_trouble(slice, offset, want, from, shared->moment, CUT))
			break;
		if (slice->owner == self) {
			check_own(slice, offset, got, buf);
			break;
		}
		if (glance_check(&glance, slice, offset, got, buf))
			break;
		me->unchecked += try == 3;
	}
	if (slice->tail)
		hand_drop(hand);
}

static void op_read(void)
{
	me->doing = "read";
	read_and_check(some_own(), one_in(2) ? O_RDONLY : O_RDWR, false, KIND_READ);
}

static void op_read_direct(void)
{
	me->doing = "read, O_DIRECT";
	read_and_check(one_in(2) ? some_own() : some_slice(), O_RDONLY | O_DIRECT, false,
		       KIND_READ_DIRECT);
}

static void op_read_other(void)
{
	me->doing = "read of any slice";
	read_and_check(some_slice(), O_RDONLY, false, KIND_READ_OTHER);
}

static void op_load(void)
{
	struct slice *slice = one_in(2) ? some_own() : some_slice();

	me->doing = "load";
	if (slice->mappable && !slice->tail)
		read_and_check(slice, O_RDONLY, true, KIND_LOAD);
}

/* --- other calls
 * --------------------------------------------------------------------------------
 */

static void op_sync(void)
{
	struct slice *slice = some_own();
	uint64_t from;
	int fd;

	me->doing = "fsync";
	count(KIND_SYNC, 0);
	if (one_in(8)) {
		fd = open(shared->mountpoint, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (fd < 0 || fsync(fd))
			die("fsync of the mount: %s", strerror(errno));
		close(fd);
		return;
	}
	fd = hand_get(slice, one_in(2) ? O_RDWR : O_WRONLY)->fd;
	from = shared->moment;
	if (one_in(2) ? fsync(fd) : fdatasync(fd)) {
		if (!may_fail_sync(slice, from, errno))
			die("fsync of slice %s: %s", slice->name, strerror(errno));
	} else {
		refute_lost(slice, slice->size - 1, 1, from);
		refute_lost(slice, 0, 1, from);
	}
}

static void op_seek(void)
{
	struct slice *slice = some_own();
	uint64_t offset = some_offset(slice->size);
	struct hand *hand = hand_get(slice, O_RDONLY);
	uint64_t from = shared->moment;
	off_t data;
	off_t hole;
	size_t length;

	me->doing = "lseek";
	data = lseek(hand->fd, (off_t)offset, SEEK_DATA);
	if (data < 0 && errno != ENXIO)
		die("SEEK_DATA of slice %s: %s", slice->name, strerror(errno));
	hole = lseek(hand->fd, (off_t)offset, SEEK_HOLE);
	if (hole < (off_t)offset || hole > (off_t)slice->size)
		die("SEEK_HOLE of slice %s from %ju gave %jd", slice->name, (uintmax_t)offset,
		    (intmax_t)hole);
	count(KIND_SEEK, 0);
	if (data >= 0 && (data < (off_t)offset || data >= (off_t)slice->size))
		die("SEEK_DATA of slice %s from %ju gave %jd", slice->name, (uintmax_t)offset,
		    (intmax_t)data);
	/* When an image is cut in this very moment its end can be taken for a hole's. */
	if (shared->moment != from)
		return;
	length = (data < 0 ? slice->size : (uint64_t)data) - offset;
	if (length > LENGTH_MAX)
		length = LENGTH_MAX;
	memset(buf, 0, length);
	check_own(slice, offset, length, buf);
}

static void op_stat(void)
{
	struct slice *slice = some_slice();
	struct stat st;
	char path[4096];

	me->doing = "stat";
	path_of(slice, path, sizeof(path));
	if (stat(path, &st))
		die("stat of slice %s: %s", slice->name, strerror(errno));
	count(KIND_STAT, 0);
	if (!slice->tail && (uint64_t)st.st_size != slice->size)
		die("stat of slice %s: %jd bytes, not %ju", slice->name, (intmax_t)st.st_size,
		    (uintmax_t)slice->size);
	if (!slice->writable || slice->owner != self)
		return;
	if (one_in(2) ? truncate(path, (off_t)slice->size)
		      : ftruncate(hand_get(slice, O_RDWR)->fd, (off_t)slice->size))
		die("truncate of slice %s to its size: %s", slice->name, strerror(errno));
}

static void op_refused(void)
{
	struct slice *slice = some_slice();
	char path[4096];
	int fd;

	me->doing = "refused call";
	path_of(slice, path, sizeof(path));
	count(KIND_REFUSED, 0);
	if (!slice->writable) {
		fd = open(path, O_RDWR | O_CLOEXEC);
		if (fd >= 0 || (errno != EROFS && errno != EACCES))
			die("open of %s to write gave %d: %s", slice->name, fd, strerror(errno));
		me->erofs += errno == EROFS;
	} else if (truncate(path, (off_t)(slice->size + 1 + chance(PAGE))) == 0 || errno != EPERM) {
		die("truncate of slice %s to another size: %s", slice->name, strerror(errno));
	} else {
		me->eperm++;
	}
}

static void op_grow(void)
{
	me->doing = "growing";
	if (GROWING->owner == self)
		growing_step(self);
}

/* --- all of it
 * ----------------------------------------------------------------------------------
 */

static const struct {
	void (*run)(void);
	unsigned int weight;
} operations[] = {
	{ op_read, 150 },  { op_read_direct, 40 }, { op_read_other, 200 },  { op_load, 60 },
	{ op_write, 120 }, { op_write_only, 50 },  { op_write_direct, 40 }, { op_write_sync, 4 },
	{ op_store, 60 },  { op_allocate, 30 },    { op_copy, 40 },         { op_sync, 3 },
	{ op_seek, 25 },   { op_stat, 30 },        { op_refused, 10 },      { op_grow, 30 },
};

static void step(void)
{
	size_t total = 0;
	size_t pick;
	size_t i;

	for (i = 0; i < sizeof(operations) / sizeof(operations[0]); i++)
		total += operations[i].weight;
	pick = chance(total);
	for (i = 0; pick >= operations[i].weight; i++)
		pick -= operations[i].weight;
	me->beat = now_ms();
	operations[i].run();
	me->beat = 0;
}

void client_run(int number, uint64_t seed)
{
	self = number;
	me = &shared->clients[number];
	chance_seed(seed);
	for (int i = 0; i < SLICES; i++)
		if (layout.slices[i].owner == number && layout.slices[i].writable &&
		    !layout.slices[i].resize)
			own[own_count++] = &layout.slices[i];
	me->beat = now_ms();
	me->doing = "redo after a kill";
	if (me->begun != me->done)
		redo();
	me->unsettled = false;
	if (me->growing)
		growing_recover(number);
	while (!shared->stop && !shared->failed)
		step();
	hands_drop();
	me->beat = 0;
	exit(0);
}
