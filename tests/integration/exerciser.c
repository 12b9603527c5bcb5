/* SPDX-License-Identifier: MIT
 *
 * exerciser: random calls on one file, each checked against a copy of the file in memory.
 *
 *     exerciser [OPTION...] FILE
 *
 *     --seed N          of everything random; printed, so that a failure can be repeated
 *     --operations N    how many
 *     --resize          the file grows and shrinks as any file does, up to --max-size;
 *                       without it the size is fixed, and a write past the end must be cut short
 *     --writeback       the kernel takes a write past the end, which then fails when it is synced: for
 *                       each descriptor once; what fits is written, and the size is as it was
 *     --no-mmap         FILE has no shared mappings
 *     --no-direct       FILE has no O_DIRECT at odd offsets (an ordinary file)
 *     --dump COPY       leaves in COPY what FILE must hold now
 *
 * The model knows for each byte which operation wrote it last. At the first difference the
 * exerciser prints the operation's number, offset and length, the byte, its last writer and the
 * operations before, and exits 1.
 *
 * One process, one thread. What is open at any time: `fd`, which reads and writes; `write_fd`,
 * O_WRONLY, or -1; and `map`, a shared mapping of the whole file that outlives the descriptor it
 * was made from, or NULL. A store through the mapping must be seen by every read, and a write by
 * every load, without msync: all of it is one client.
 */
#include "exerciser.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <linux/falloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* --- the mapping
 * -------------------------------------------------------------------------------
 */

static void map_drop(struct exerciser *ex)
{
	if (ex->map && munmap(ex->map, ex->map_size))
		die_errno(ex, "munmap");
	ex->map = NULL;
}

static void map_need(struct exerciser *ex)
{
	if (ex->map && ex->map_size >= ex->size)
		return;
	map_drop(ex);
	ex->map_size = ex->size;
	ex->map = mmap(NULL, ex->map_size, PROT_READ | PROT_WRITE, MAP_SHARED, ex->fd, 0);
	if (ex->map == MAP_FAILED)
		die_errno(ex, "mmap");
}

static void map_sync(struct exerciser *ex)
{
	if (ex->map && msync(ex->map, ex->map_size, MS_SYNC))
		die_errno(ex, "msync");
}

/* Linux (seen on 6.18) forgets that a cached page is up to date when the write that touches it is
 * cut short, and reads it anew though it is dirty: stores of a mapping into the last page are lost
 * then. So there must be none before a write past the end of a file of fixed size.
 */
static void map_settle(struct exerciser *ex)
{
	unsigned int flags = SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE |
			     SYNC_FILE_RANGE_WAIT_AFTER;

	map_drop(ex);
	if (sync_file_range(ex->fd, 0, 0, flags))
		die_errno(ex, "sync_file_range");
}

/* --- operations
 * --------------------------------------------------------------------------------
 */

static void op_read(struct exerciser *ex)
{
	struct range range = random_anywhere(ex);
	size_t want = 0;
	ssize_t got;

	note(ex, "pread offset %zu length %zu", range.offset, range.length);
	if (range.offset < ex->size)
		want = range.length < ex->size - range.offset ? range.length
							      : ex->size - range.offset;
	got = pread(ex->fd, ex->buf, range.length, (off_t)range.offset);
	if (got < 0)
		die_errno(ex, "pread");
	if ((size_t)got != want)
		die(ex, "pread gave %zd bytes, want %zu", got, want);
	compare(ex, (struct range){ range.offset, want }, ex->buf);
}

static void fsync_fails_once(struct exerciser *ex, int fd, bool told)
{
	if (!told && (!fsync(fd) || errno != ENOSPC))
		die(ex, "fsync after a write past the end: errno %d, want ENOSPC", errno);
	if (fsync(fd))
		die_errno(ex, "fsync, once more");
}

static size_t size_of(struct exerciser *ex)
{
	struct stat st;

	if (fstat(ex->fd, &st))
		die_errno(ex, "fstat");
	return (size_t)st.st_size;
}

/* The kernel has to be told of the size: soon, not at once. */
static void wait_for_size(struct exerciser *ex)
{
	struct timespec tick = { 0, 1000000 };
	int ticks = 20000;

	while (size_of(ex) != ex->size && ticks-- > 0)
		nanosleep(&tick, NULL);
	if (size_of(ex) != ex->size)
		die(ex, "still %zu bytes long", size_of(ex));
}

/* Through a page cache that is written later, whatever the size of the slice. */
static void write_late(struct exerciser *ex, int fd, struct range range)
{
	int idle_fd = fd == ex->fd ? ex->write_fd : ex->fd;
	bool sync = fcntl(fd, F_GETFL) & O_DSYNC;
	ssize_t put = pwrite(fd, ex->buf, range.length, (off_t)range.offset);

	if (sync && (put >= 0 || errno != ENOSPC))
		die(ex, "pwrite past the end gave %zd, errno %d, want ENOSPC", put, errno);
	if (!sync && put != (ssize_t)range.length)
		die(ex, "pwrite past the end gave %zd, errno %d", put, errno);
	fsync_fails_once(ex, fd, sync);
	if (idle_fd >= 0)
		fsync_fails_once(ex, idle_fd, false);
	wait_for_size(ex);
	if (range.offset < ex->size)
		model_write(ex, (struct range){ range.offset, ex->size - range.offset }, ex->buf);
}

static void op_write(struct exerciser *ex)
{
	bool other = ex->write_fd >= 0 && one_in(ex, 2);
	int fd = other ? ex->write_fd : ex->fd;
	struct range range = random_anywhere(ex);
	size_t want = range.length;
	ssize_t put;

	note(ex, "pwrite%s offset %zu length %zu", other ? " (O_WRONLY)" : "", range.offset,
	     range.length);
	random_fill(ex, range.length);
	if (!ex->resize && range.offset + range.length > ex->size)
		map_settle(ex);
	if (ex->writeback && range.offset + range.length > ex->size &&
	    !(fcntl(fd, F_GETFL) & O_DIRECT)) {
		write_late(ex, fd, range);
		return;
	}
	put = pwrite(fd, ex->buf, range.length, (off_t)range.offset);
	if (!ex->resize && range.offset >= ex->size) {
		if (put >= 0 || errno != ENOSPC)
			die(ex, "pwrite past the end gave %zd, errno %d, want ENOSPC", put, errno);
		return;
	}
	if (put < 0)
		die_errno(ex, "pwrite");
	if (!ex->resize && want > ex->size - range.offset)
		want = ex->size - range.offset;
	if ((size_t)put != want)
		die(ex, "pwrite took %zd bytes, want %zu", put, want);
	model_write(ex, (struct range){ range.offset, want }, ex->buf);
}

static void op_map_read(struct exerciser *ex)
{
	struct range range;

	if (ex->no_mmap || !ex->size)
		return;
	range = random_inside(ex);
	note(ex, "load from the mapping, offset %zu length %zu", range.offset, range.length);
	map_need(ex);
	memcpy(ex->buf, ex->map + range.offset, range.length);
	compare(ex, range, ex->buf);
}

static void op_map_write(struct exerciser *ex)
{
	struct range range;

	if (ex->no_mmap || !ex->size)
		return;
	range = random_inside(ex);
	note(ex, "store into the mapping, offset %zu length %zu", range.offset, range.length);
	map_need(ex);
	random_fill(ex, range.length);
	memcpy(ex->map + range.offset, ex->buf, range.length);
	model_write(ex, range, ex->buf);
}

static void op_map_private(struct exerciser *ex)
{
	struct range range;
	uint8_t *map;

	if (!ex->size)
		return;
	range = random_inside(ex);
	note(ex, "private mapping, offset %zu length %zu", range.offset, range.length);
	map = mmap(NULL, ex->size, PROT_READ | PROT_WRITE, MAP_PRIVATE, ex->fd, 0);
	if (map == MAP_FAILED)
		die_errno(ex, "mmap private");
	compare(ex, range, map + range.offset);
	memset(map + range.offset, 'p', range.length);
	if (munmap(map, ex->size))
		die_errno(ex, "munmap private");
	if (pread(ex->fd, ex->buf, range.length, (off_t)range.offset) != (ssize_t)range.length)
		die_errno(ex, "pread below a private mapping");
	compare(ex, range, ex->buf);
}

static void op_map_sync(struct exerciser *ex)
{
	note(ex, "msync");
	map_sync(ex);
	if (one_in(ex, 2))
		map_drop(ex);
}

static void op_sync(struct exerciser *ex)
{
	bool data = one_in(ex, 2);

	note(ex, data ? "fdatasync" : "fsync");
	if (data ? fdatasync(ex->fd) : fsync(ex->fd))
		die_errno(ex, data ? "fdatasync" : "fsync");
}

static void op_fallocate(struct exerciser *ex)
{
	static const struct {
		const char *name;
		int mode;
		bool zeroes;
	} kinds[] = {
		{ "allocate", 0, false },
		{ "keep size", FALLOC_FL_KEEP_SIZE, false },
		{ "punch hole", FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, true },
		{ "zero range", FALLOC_FL_ZERO_RANGE, true },
		{ "zero range, keep size", FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE, true },
	};
	size_t kind = random_below(ex, sizeof(kinds) / sizeof(kinds[0]));
	struct range range;

	if (!ex->size)
		return;
	range = random_inside(ex);
	note(ex, "fallocate (%s) offset %zu length %zu", kinds[kind].name, range.offset,
	     range.length);
	if (fallocate(ex->fd, kinds[kind].mode, (off_t)range.offset, (off_t)range.length)) {
		if (errno != EOPNOTSUPP)
			die_errno(ex, "fallocate");
		ex->unsupported++;
	} else if (kinds[kind].zeroes) {
		model_write(ex, range, NULL);
	}
}

/* All of [from, to) must be zeros, for the file says that it is a hole. */
static void hole_check(struct exerciser *ex, size_t from, size_t to)
{
	for (; from < to; from++)
		if (ex->model[from])
			die(ex,
			    "a hole from %zu to %zu, but at %zu the data is 0x%02x, by operation %u",
			    from, to, from, ex->model[from], ex->writer[from]);
}

static void op_seek(struct exerciser *ex)
{
	size_t from = random_offset(ex, ex->size + 1);
	off_t data, hole;

	note(ex, "SEEK_DATA and SEEK_HOLE from %zu", from);
	map_sync(ex); /* the image knows no data that a mapping still keeps */
	data = lseek(ex->fd, (off_t)from, SEEK_DATA);
	if (data < 0 && errno != ENXIO)
		die_errno(ex, "SEEK_DATA");
	if (data >= 0 && ((size_t)data < from || (size_t)data >= ex->size))
		die(ex, "SEEK_DATA gave %lld", (long long)data);
	hole_check(ex, from, data < 0 ? ex->size : (size_t)data);

	hole = lseek(ex->fd, (off_t)from, SEEK_HOLE);
	if (hole < 0 && (errno != ENXIO || from < ex->size))
		die_errno(ex, "SEEK_HOLE");
	if (hole >= 0 && ((size_t)hole < from || (size_t)hole > ex->size))
		die(ex, "SEEK_HOLE gave %lld", (long long)hole);
	if (hole >= 0 && (size_t)hole < ex->size)
		hole_check(ex, (size_t)hole, (size_t)hole + 1);
}

static void op_copy(struct exerciser *ex)
{
	struct range from, to;
	off64_t in, out;
	ssize_t done;

	if (!ex->size)
		return;
	from = random_inside(ex);
	to = ex->resize ? random_anywhere(ex) : random_inside(ex);
	if (to.length > from.length)
		to.length = from.length;
	if (from.offset < to.offset + to.length && to.offset < from.offset + to.length)
		return; /* EINVAL by definition */
	note(ex, "copy_file_range offset %zu to %zu length %zu", from.offset, to.offset, to.length);
	in = (off64_t)from.offset;
	out = (off64_t)to.offset;
	done = copy_file_range(ex->fd, &in, ex->fd, &out, to.length, 0);
	if (done < 0)
		die_errno(ex, "copy_file_range");
	if (!done || (size_t)done > to.length)
		die(ex, "copy_file_range copied %zd bytes", done);
	to.length = (size_t)done;
	model_write(ex, to, ex->model + from.offset);
}

static void op_stat(struct exerciser *ex)
{
	struct stat st;

	note(ex, "stat");
	if (one_in(ex, 2) ? fstat(ex->fd, &st) : stat(ex->path, &st))
		die_errno(ex, "stat");
	if ((size_t)st.st_size != ex->size)
		die(ex, "stat says %lld bytes, want %zu", (long long)st.st_size, ex->size);
}

static void op_truncate(struct exerciser *ex)
{
	size_t size = ex->resize ? random_offset(ex, ex->max_size) : ex->size;

	if (ex->resize && one_in(ex, 4))
		size = ex->size;
	note(ex, "truncate from %zu to %zu", ex->size, size);
	if (size < ex->size)
		map_drop(ex);
	if (one_in(ex, 2) ? ftruncate(ex->fd, (off_t)size) : truncate(ex->path, (off_t)size))
		die_errno(ex, "truncate");
	model_resize(ex, size);
}

static int file_open(struct exerciser *ex, int flags)
{
	int fd = open(ex->path, flags | O_CLOEXEC);

	if (fd < 0)
		die_errno(ex, "open");
	return fd;
}

static void file_close(struct exerciser *ex, int *fd)
{
	if (*fd >= 0 && close(*fd))
		die_errno(ex, "close");
	*fd = -1;
}

static void op_append(struct exerciser *ex)
{
	size_t length = random_length(ex);
	int fd;

	if (!ex->resize || ex->size + length > ex->max_size)
		return;
	note(ex, "append at %zu length %zu", ex->size, length);
	random_fill(ex, length);
	fd = file_open(ex, O_WRONLY | O_APPEND);
	if (write(fd, ex->buf, length) != (ssize_t)length)
		die_errno(ex, "append");
	file_close(ex, &fd);
	model_write(ex, (struct range){ ex->size, length }, ex->buf);
}

static void op_reopen(struct exerciser *ex)
{
	static const int choice[] = { 0, 0, 0, 0, 0, 0, O_DIRECT, O_DIRECT, O_SYNC, O_DSYNC };
	int flags = choice[random_below(ex, sizeof(choice) / sizeof(choice[0]))];
	bool writer = one_in(ex, 2), empty = one_in(ex, 10);

	if (ex->no_direct)
		flags &= ~O_DIRECT;
	if (one_in(ex, 2))
		map_drop(ex);
	if (empty && ex->resize)
		map_drop(ex);
	note(ex, "reopen O_RDWR%s%s%s%s", flags & O_DIRECT ? "|O_DIRECT" : "",
	     flags & O_DSYNC ? "|O_DSYNC" : "", empty ? "|O_TRUNC" : "",
	     writer ? " and O_WRONLY" : "");
	file_close(ex, &ex->write_fd);
	file_close(ex, &ex->fd);
	ex->fd = file_open(ex, O_RDWR | flags | (empty ? O_TRUNC : 0));
	if (writer)
		ex->write_fd = file_open(ex, O_WRONLY);
	if (empty && ex->resize)
		model_resize(ex, 0);
}

/* The whole file, through a descriptor of its own. */
static void op_check(struct exerciser *ex)
{
	struct range range = { 0, 0 };
	int fd;

	note(ex, "check of the whole file, %zu bytes", ex->size);
	fd = file_open(ex, O_RDONLY);
	while (range.offset < ex->size) {
		ssize_t got = pread(fd, ex->buf, sizeof(ex->buf), (off_t)range.offset);

		if (got <= 0)
			die(ex, "pread at %zu gave %zd, errno %d", range.offset, got, errno);
		range.length = (size_t)got;
		if (range.offset + range.length > ex->size)
			die(ex, "more than %zu bytes", ex->size);
		compare(ex, range, ex->buf);
		range.offset += range.length;
	}
	file_close(ex, &fd);
}

static const struct {
	void (*run)(struct exerciser *ex);
	unsigned int weight;
} operations[] = {
	{ op_read, 200 },       { op_write, 200 },   { op_map_read, 80 }, { op_map_write, 80 },
	{ op_map_private, 20 }, { op_map_sync, 10 }, { op_sync, 8 },      { op_fallocate, 60 },
	{ op_seek, 40 },        { op_copy, 60 },     { op_stat, 20 },     { op_truncate, 20 },
	{ op_append, 20 },      { op_reopen, 30 },   { op_check, 3 },
};

static void operation_run(struct exerciser *ex)
{
	size_t count = sizeof(operations) / sizeof(operations[0]), total = 0, pick, i;

	for (i = 0; i < count; i++)
		total += operations[i].weight;
	pick = random_below(ex, total);
	for (i = 0; pick >= operations[i].weight; i++)
		pick -= operations[i].weight;
	note(ex, "nothing"); /* an operation that does not apply now */
	operations[i].run(ex);
}

/* --- beginning and end
 * -------------------------------------------------------------------------
 */

static void model_load(struct exerciser *ex)
{
	struct stat st;
	size_t done = 0;

	ex->fd = file_open(ex, O_RDWR);
	if (fstat(ex->fd, &st))
		die_errno(ex, "fstat");
	ex->size = (size_t)st.st_size;
	if (ex->max_size < ex->size)
		ex->max_size = ex->size;
	ex->model = calloc(1, ex->max_size + LENGTH_MAX);
	ex->writer = calloc(ex->max_size + LENGTH_MAX, sizeof(*ex->writer));
	if (!ex->model || !ex->writer)
		die(ex, "out of memory");
	while (done < ex->size) {
		ssize_t got = pread(ex->fd, ex->model + done, ex->size - done, (off_t)done);

		if (got <= 0)
			die_errno(ex, "first read");
		done += (size_t)got;
	}
}

static void model_dump(struct exerciser *ex, const char *path)
{
	FILE *out = fopen(path, "w");

	if (!out || fwrite(ex->model, 1, ex->size, out) != ex->size || fclose(out))
		die_errno(ex, "dump");
}

static int exerciser_run(struct exerciser *ex, uint32_t count, const char *dump)
{
	ex->random_state = ex->seed;
	ex->write_fd = -1;
	model_load(ex);
	for (ex->number = 1; ex->number <= count; ex->number++)
		operation_run(ex);
	op_check(ex);
	map_drop(ex);
	file_close(ex, &ex->write_fd);
	file_close(ex, &ex->fd);
	op_check(ex);
	if (dump)
		model_dump(ex, dump);
	printf("exerciser: %u operations, %zu bytes at the end, %u unsupported\n", count, ex->size,
	       ex->unsupported);
	free(ex->model);
	free(ex->writer);
	return 0;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "seed", required_argument, NULL, 's' },
		{ "operations", required_argument, NULL, 'n' },
		{ "resize", no_argument, NULL, 'r' },
		{ "max-size", required_argument, NULL, 'x' },
		{ "writeback", no_argument, NULL, 'w' },
		{ "no-mmap", no_argument, NULL, 'm' },
		{ "no-direct", no_argument, NULL, 'd' },
		{ "dump", required_argument, NULL, 'o' },
		{ NULL, 0, NULL, 0 },
	};
	static struct exerciser exerciser = { .seed = 1, .fd = -1, .write_fd = -1 };
	struct exerciser *ex = &exerciser;
	const char *dump = NULL;
	uint32_t count = 10000;
	int option;

	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (option) {
		case 's':
			ex->seed = strtoull(optarg, NULL, 0);
			break;
		case 'n':
			count = (uint32_t)strtoul(optarg, NULL, 0);
			break;
		case 'r':
			ex->resize = true;
			break;
		case 'x':
			ex->max_size = strtoull(optarg, NULL, 0);
			break;
		case 'w':
			ex->writeback = true;
			break;
		case 'm':
			ex->no_mmap = true;
			break;
		case 'd':
			ex->no_direct = true;
			break;
		case 'o':
			dump = optarg;
			break;
		default:
			return 2;
		}
	}
	if (argc - optind != 1) {
		fprintf(stderr, "usage: exerciser [OPTION...] FILE\n");
		return 2;
	}
	setvbuf(stdout, NULL, _IOLBF, 0);
	ex->path = argv[optind];
	printf("exerciser: %s, seed %llu, %u operations\n", ex->path, (unsigned long long)ex->seed,
	       count);
	return exerciser_run(ex, count, dump);
}
