/* SPDX-License-Identifier: MIT
 *
 * One client: random calls on its own slices, and looks at those of others, until it is told to stop
 * or killed.
 */
#include "soak.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <setjmp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define HANDS 16

static int self;
static struct client *me;
static struct slice *own[SLICES]; /* written by this client */
static int own_count;
static uint8_t buf[LENGTH_MAX];

/* --- open files --------------------------------------------------------------------------------- */

struct hand {
	const struct slice *slice; /* NULL: free */
	int flags;
	int fd;
	uint8_t *map;    /* shared, of all of the slice, or NULL */
	uint64_t moment; /* when it was opened */
};

static struct hand hands[HANDS];

static void path_of(const struct slice *slice, char *ret, size_t size)
{
	snprintf(ret, size, "%s/%s", shared->mountpoint, slice->name);
}

int slice_open(const struct slice *slice, int flags)
{
	char path[4096];
	int fd;

	path_of(slice, path, sizeof(path));
	fd = open(path, flags | O_CLOEXEC);
	if (fd < 0)
		die("open of %s with flags 0x%x: %s", slice->name, (unsigned int)flags,
		    strerror(errno));
	return fd;
}

/* The kernel tells of stores that it could not write back to whoever closes next. */
static bool may_inherit_error(const struct hand *hand)
{
	uint64_t moment = shared->moment;

	if (moment != hand->moment || in_trouble(moment))
		return true;
	for (int i = 0; i < CLIENTS; i++)
		if (shared->clients[i].unsettled)
			return true;
	return false;
}

static void hand_drop(struct hand *hand)
{
	if (!hand->slice)
		return;
	if (hand->map && munmap(hand->map, hand->slice->size))
		die("munmap of %s: %s", hand->slice->name, strerror(errno));
	if (close(hand->fd) && ((errno != EIO && errno != ENOSPC) || !may_inherit_error(hand)))
		die("close of %s: %s", hand->slice->name, strerror(errno));
	*hand = (struct hand){ 0 };
}

static void hands_drop(void)
{
	for (int i = 0; i < HANDS; i++)
		hand_drop(&hands[i]);
}

static struct hand *hand_get(const struct slice *slice, int flags)
{
	struct hand *hand = &hands[chance(HANDS)];

	for (int i = 0; i < HANDS; i++)
		if (hands[i].slice == slice && hands[i].flags == flags && !one_in(4))
			return &hands[i];
	hand_drop(hand);
	*hand = (struct hand){ .flags = flags, .moment = shared->moment };
	hand->fd = slice_open(slice, flags);
	hand->slice = slice;
	me->counts[KIND_OPEN]++;
	return hand;
}

/* --- mappings ----------------------------------------------------------------------------------- */

static sigjmp_buf bus_jump;

static void on_bus(int number)
{
	siglongjmp(bus_jump, 1);
}

static bool copy_guarded(uint8_t *target, const uint8_t *source, size_t length)
{
	if (sigsetjmp(bus_jump, 1)) {
		signal(SIGBUS, SIG_DFL);
		me->sigbus++;
		return false;
	}
	signal(SIGBUS, on_bus);
	memcpy(target, source, length);
	signal(SIGBUS, SIG_DFL);
	return true;
}

/* false where the kernel has no shared mapping: while a direct writer of the slice is open, or was
 * a moment ago.
 */
static bool hand_map(struct hand *hand)
{
	int protection = PROT_READ | ((hand->flags & O_ACCMODE) == O_RDWR ? PROT_WRITE : 0);

	if (hand->map)
		return true;
	hand->map = mmap(NULL, hand->slice->size, protection, MAP_SHARED, hand->fd, 0);
	if (hand->map != MAP_FAILED)
		return true;
	hand->map = NULL;
	if (errno != ENODEV)
		die("mmap of %s: %s", hand->slice->name, strerror(errno));
	me->enodev++;
	return false;
}

/* --- choosing ----------------------------------------------------------------------------------- */

/* Some slices are met more often, so that clients meet there. */
static struct slice *some_own(void)
{
	return own[!one_in(3) ? chance(own_count < 6 ? own_count : 6) : chance(own_count)];
}

static struct slice *some_slice(void)
{
	return &layout.slices[chance(!one_in(3) ? 48 : SLICES - 1)];
}

static size_t some_length(void)
{
	switch (chance(8)) {
	case 0:
	case 1:
		return 1 + chance(16);
	case 2:
		return PAGE * (1 + chance(8));
	case 3:
		return 1 + chance(LENGTH_MAX);
	default:
		return 1 + chance(2 * PAGE);
	}
}

static uint64_t some_offset(uint64_t size)
{
	uint64_t offset = chance(size);

	switch (chance(8)) {
	case 0:
		return offset & ~(PAGE - 1);
	case 1:
		return size - 1 - chance(size < 100 ? size : 100);
	default:
		return offset;
	}
}

static size_t clip(const struct slice *slice, uint64_t offset, size_t length)
{
	uint64_t left = offset < slice->size ? slice->size - offset : 0;

	return length < left ? length : left;
}

/* --- judging ------------------------------------------------------------------------------------ */

static void count(enum kind kind, size_t length)
{
	me->counts[kind]++;
	me->bytes[kind] += length;
}

/* Whether a call that changes bytes may fail so, or be cut short (error 0). */
static bool may_fail(const struct slice *slice, uint64_t offset, size_t length, uint64_t from,
		     int error)
{
	uint64_t to = shared->moment;

	if (error != ENOSPC && met_trouble(slice, offset, length, from, to, CUT)) {
		if (error == EIO || error == 0) {
			me->eio += error == EIO;
			return true;
		}
	}
	if (error != EIO && met_trouble(slice, offset, length, from, to, FULL)) {
		if (error == ENOSPC || error == 0) {
			me->enospc += error == ENOSPC;
			return true;
		}
	}
	return false;
}

/* fsync fails as long as an image has lost any byte of the slice. */
static bool may_fail_sync(const struct slice *slice, uint64_t from, int error)
{
	if (error != EIO || !met_trouble(slice, 0, slice->size, from, shared->moment, CUT))
		return false;
	me->eio++;
	return true;
}

/* A full disk is no reason to fail where the image has no hole. */
static void check_hole(const struct slice *slice, uint64_t offset, size_t length, uint64_t from)
{
	int fd = image_open(THREE);
	bool hole = false;
	struct piece piece;

	for_each_piece(piece, slice, offset, length)
	{
		off_t start = (off_t)(piece.offset & ~(PAGE - 1));
		off_t end = (off_t)(piece.offset + piece.length);

		hole |= piece.image == THREE && lseek(fd, start, SEEK_HOLE) < end;
	}
	close(fd);
	if (!hole && shared->moment == from && from % 4 == STEADY)
		die("ENOSPC, but image %d has no hole below slice %s, offset %ju length %zu", THREE,
		    slice->name, (uintmax_t)offset, length);
}

/* Writing to what is lost must fail, or the image would grow again. */
static void refute_lost(const struct slice *slice, uint64_t offset, size_t length, uint64_t from)
{
	if (was_lost(slice, offset, length, from, shared->moment))
		die("%s of slice %s, offset %ju length %zu, which is lost: no error", me->doing,
		    slice->name, (uintmax_t)offset, length);
}

/* The operation under way has failed, or was another client's who is dead: each of its bytes is old
 * or new, in the image and in the kernel's pages of the slice. When the trouble is over it is done
 * again, by a plain write.
 *
 * Whoever is unsettled leaves the model alone, so that who mends an image need not wait for it.
 */
static void redo(void)
{
	const struct record *record = &me->ring[me->done % RING];
	const struct slice *slice = &layout.slices[record->slice];
	const uint8_t *payload = me->payload[me->done % RING];
	size_t length = record->length;

	hands_drop();
	for (;;) {
		uint64_t from;
		ssize_t got;
		ssize_t put = -1;
		int fd;

		me->unsettled = true;
		while (in_trouble(shared->moment) && !shared->failed) {
			me->beat = now_ms();
			usleep(2000);
		}
		me->unsettled = false;
		from = shared->moment;
		if (in_trouble(from))
			continue;
		fd = slice_open(slice, O_RDWR);
		(void)fsync(fd); /* an error that nobody has been told of */
		got = pread(fd, buf, length, (off_t)record->offset);
		if (got == (ssize_t)length) {
			check_either(self, buf, length);
			put = pwrite(fd, payload, length, (off_t)record->offset);
		}
		(void)close(fd);
		if (put == (ssize_t)length)
			break;
		if (shared->moment == from)
			die("redo of slice %s, offset %ju length %zu: read %zd, wrote %zd: %s",
			    slice->name, (uintmax_t)record->offset, length, got, put,
			    strerror(errno));
	}
	model_end(self, length);
	me->redone++;
}

/* --- reading ------------------------------------------------------------------------------------ */

/* *ret_size bytes of buf were read, 0 after an error that is allowed. */
static size_t read_once(struct hand *hand, uint64_t offset, size_t want, bool load)
{
	const struct slice *slice = hand->slice;
	uint64_t from = shared->moment;
	ssize_t got = (ssize_t)want;

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

/* --- writing ------------------------------------------------------------------------------------ */

static void write_with(int flags, enum kind kind)
{
	struct slice *slice = some_own();
	bool past = one_in(12);
	uint64_t offset = some_offset(slice->size + (past ? 64 : 0));
	size_t length = some_length();
	size_t want = clip(slice, offset, length);
	struct hand *hand = hand_get(slice, flags);
	uint64_t from = shared->moment;
	ssize_t put;

	if (!past)
		length = want;
	chance_fill(model_begin(self, slice, offset, want, kind), length);
	model_publish(self);
	put = pwrite(hand->fd, me->payload[me->done % RING], length, (off_t)offset);
	if (want == 0) {
		if (put >= 0 || errno != ENOSPC)
			die("write at the end of slice %s gave %zd: %s", slice->name, put,
			    put < 0 ? strerror(errno) : "");
		me->enospc_end++;
		model_end(self, 0);
		return;
	}
	count(kind, put > 0 ? (size_t)put : 0);
	if (put >= 0)
		refute_lost(slice, offset, want, from);
	if (put == (ssize_t)want) {
		model_end(self, want);
		return;
	}
	if (!may_fail(slice, offset, want, from, put < 0 ? errno : 0))
		die("%s to slice %s, offset %ju length %zu gave %zd: %s", me->doing, slice->name,
		    (uintmax_t)offset, want, put, put < 0 ? strerror(errno) : "short");
	if (put < 0 && errno == ENOSPC)
		check_hole(slice, offset, want, from);
	model_settle(self, put < 0 ? 0 : (size_t)put);
}

static void op_write(void)
{
	me->doing = "write";
	write_with(O_RDWR, KIND_WRITE);
}

static void op_write_only(void)
{
	me->doing = "write, O_WRONLY";
	write_with(O_WRONLY, KIND_WRITE_ONLY);
}

static void op_write_direct(void)
{
	me->doing = "write, O_DIRECT";
	write_with(O_RDWR | O_DIRECT, KIND_WRITE_DIRECT);
}

static void op_write_sync(void)
{
	me->doing = "write, O_SYNC";
	write_with(one_in(2) ? O_RDWR | O_SYNC : O_WRONLY | O_DSYNC, KIND_WRITE_SYNC);
}

static void op_store(void)
{
	struct slice *slice = some_own();
	uint64_t offset = some_offset(slice->size);
	size_t length = clip(slice, offset, some_length());
	uint64_t from = shared->moment;
	uint64_t start = offset & ~(PAGE - 1);
	struct hand *hand;
	int error = 0;

	me->doing = "store";
	/* One that fails is redone later, and the client waits: not too often. */
	if (!slice->mappable || (in_trouble(from) && !one_in(8)))
		return;
	hand = hand_get(slice, O_RDWR);
	if (!hand_map(hand))
		return;
	chance_fill(model_begin(self, slice, offset, length, KIND_STORE), length);
	model_publish(self);
	if (!copy_guarded(hand->map + offset, me->payload[me->done % RING], length))
		error = EIO;
	if (msync(hand->map + start, offset + length - start, MS_SYNC) && !error)
		error = errno;
	count(KIND_STORE, length);
	if (!error) {
		refute_lost(slice, offset, length, from);
		model_end(self, length);
		return;
	}
	if (!may_fail(slice, offset, length, from, error) && !may_fail_sync(slice, from, error))
		die("store and msync of slice %s, offset %ju length %zu: %s", slice->name,
		    (uintmax_t)offset, length, strerror(error));
	redo();
}

static bool has_image(const struct slice *slice, int image)
{
	for (int i = 0; i < slice->count; i++)
		if (slice->extents[i].image == image)
			return true;
	return false;
}

static void op_allocate(void)
{
	static const struct {
		enum kind kind;
		int mode;
	} ways[] = {
		{ KIND_ALLOCATE, 0 },
		{ KIND_ALLOCATE, FALLOC_FL_KEEP_SIZE },
		{ KIND_PUNCH, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE },
		{ KIND_PUNCH, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE },
		{ KIND_ZERO, FALLOC_FL_ZERO_RANGE },
		{ KIND_ZERO, FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE },
	};
	size_t way = chance(sizeof(ways) / sizeof(ways[0]));
	struct slice *slice = some_own();
	uint64_t offset = some_offset(slice->size);
	size_t length = clip(slice, offset, some_length());
	struct hand *hand = hand_get(slice, one_in(2) ? O_RDWR : O_WRONLY);
	bool changes = ways[way].kind != KIND_ALLOCATE;
	uint64_t from = shared->moment;
	int error = 0;

	me->doing = "fallocate";
	/* ext4 without room can show old blocks of a range that it failed to zero. */
	if (ways[way].kind == KIND_ZERO && has_image(slice, THREE))
		return;
	if (changes) {
		memset(model_begin(self, slice, offset, length, ways[way].kind), 0, length);
		model_publish(self);
	}
	if (fallocate(hand->fd, ways[way].mode, (off_t)offset, (off_t)length))
		error = errno;
	count(ways[way].kind, error ? 0 : length);
	if (!error)
		refute_lost(slice, offset, length, from);
	me->unsupported += error == EOPNOTSUPP;
	if (error && error != EOPNOTSUPP && !may_fail(slice, offset, length, from, error))
		die("fallocate 0x%x of slice %s, offset %ju length %zu: %s",
		    (unsigned int)ways[way].mode, slice->name, (uintmax_t)offset, length,
		    strerror(error));
	if (!changes)
		return;
	if (!error || error == EOPNOTSUPP)
		model_end(self, error ? 0 : length);
	else
		redo();
}

static void op_copy(void)
{
	struct slice *source = some_own();
	struct slice *target = some_own();
	uint64_t offset = some_offset(target->size);
	uint64_t source_offset = some_offset(source->size);
	size_t length = clip(target, offset, clip(source, source_offset, some_length()));
	struct hand *in;
	struct hand *out;
	uint64_t from;
	off_t at = (off_t)source_offset;
	off_t to = (off_t)offset;
	ssize_t put;
	int error;

	me->doing = "copy_file_range";
	if (source == target)
		return;
	in = hand_get(source, O_RDONLY);
	out = hand_get(target, one_in(2) ? O_RDWR : O_WRONLY);
	if (in->slice != source)
		return; /* had to make room */
	from = shared->moment;
	model_get(source, source_offset, length,
		  model_begin(self, target, offset, length, KIND_COPY));
	model_publish(self);
	put = copy_file_range(in->fd, &at, out->fd, &to, length, 0);
	error = put < 0 ? errno : 0;
	count(KIND_COPY, put > 0 ? (size_t)put : 0);
	if (put > 0) {
		refute_lost(source, source_offset, length, from);
		refute_lost(target, offset, length, from);
	}
	if (put == (ssize_t)length) {
		model_end(self, length);
		return;
	}
	if (!may_fail(target, offset, length, from, error) &&
	    ((error && error != EIO) ||
	     !met_trouble(source, source_offset, length, from, shared->moment, CUT)))
		die("copy_file_range from slice %s at %ju to %s at %ju length %zu gave %zd: %s",
		    source->name, (uintmax_t)source_offset, target->name, (uintmax_t)offset, length,
		    put, error ? strerror(error) : "short");
	redo();
}

/* --- other calls -------------------------------------------------------------------------------- */

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

/* --- all of it ---------------------------------------------------------------------------------- */

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

void slice_check_all(const struct slice *slice, int flags)
{
	int fd = slice_open(slice, flags);

	for (uint64_t offset = 0; offset < slice->size;) {
		size_t want = clip(slice, offset, LENGTH_MAX);
		ssize_t got = pread(fd, buf, want, (off_t)offset);

		if (got != (ssize_t)want)
			die("read of slice %s at the end, offset %ju length %zu gave %zd: %s",
			    slice->name, (uintmax_t)offset, want, got,
			    got < 0 ? strerror(errno) : "short");
		check_own(slice, offset, want, buf);
		offset += want;
	}
	if (close(fd))
		die("close of slice %s: %s", slice->name, strerror(errno));
}
