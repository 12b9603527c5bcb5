/* SPDX-License-Identifier: MIT
 *
 * What happens to the images, the daemon and the clients, one thing at a time. Each window of
 * trouble is announced before it begins, and ends before it is said to be over:
 *
 *     CALM -> BEGINNING   then the fault
 *     BEGINNING -> STEADY when no call is under way that began before the fault
 *     STEADY -> ENDING    then the repair
 *     ENDING -> CALM      when all is as it was
 *
 * A cut image is mended by appending the model's bytes in order. That is exact without stopping the
 * clients: what was under way at a cut is in the model before STEADY (or waits for the end of the
 * window, as what has failed before STEADY does), no write to lost bytes succeeds in STEADY, and in
 * ENDING one succeeds only behind the appended bytes.
 */
#include "soak.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define HANG_MS 90000

static struct {
	int image;
	uint64_t offset, length;
} * gaps; /* bytes that no slice has */
static size_t gap_count;

/* --- clients
 * ------------------------------------------------------------------------------------
 */

void client_start(struct faults *faults, int number)
{
	uint64_t seed = shared->seed * 1000003 + ++faults->born;
	pid_t pid;

	fflush(NULL);
	pid = fork();
	if (pid < 0)
		die("fork: %s", strerror(errno));
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		client_run(number, seed);
	}
	faults->clients[number] = pid;
}

void watch(struct faults *faults)
{
	uint64_t now = now_ms();
	int status;

	for (int i = 0; i < CLIENTS; i++) {
		const struct client *client = &shared->clients[i];
		uint64_t beat = client->beat;

		if (faults->clients[i] && waitpid(faults->clients[i], &status, WNOHANG) > 0) {
			faults->clients[i] = 0;
			if (!WIFEXITED(status) || WEXITSTATUS(status))
				die("client %d has ended with status 0x%x, at: %s", i,
				    (unsigned int)status, client->doing);
		}
		if (faults->clients[i] && beat && now > beat + HANG_MS)
			die("client %d hangs: %s", i, client->doing);
	}
	if (shared->failed)
		die("a client has failed");
	if (faults->daemon && kill(faults->daemon, 0))
		die("the daemon has gone");
}

static void wait_ms(struct faults *faults, uint64_t duration)
{
	uint64_t end = now_ms() + duration;

	do {
		watch(faults);
		usleep(5000);
	} while (now_ms() < end);
}

/* Until no call is under way that has begun before. */
static void wait_for_calls(struct faults *faults)
{
	uint64_t begun[CLIENTS];

	for (int i = 0; i < CLIENTS; i++)
		begun[i] = shared->clients[i].begun;
	for (int i = 0; i < CLIENTS; i++)
		while (shared->clients[i].done < begun[i] && !shared->clients[i].unsettled)
			wait_ms(faults, 1);
}

static void kill_client(struct faults *faults)
{
	int number = (int)chance(CLIENTS);
	pid_t pid = faults->clients[number];
	int status;

	if (kill(pid, SIGKILL) || waitpid(pid, &status, 0) != pid)
		die("kill of client %d: %s", number, strerror(errno));
	if (!WIFSIGNALED(status))
		die("client %d had ended by itself: 0x%x", number, (unsigned int)status);
	faults->kills++;
	shared->clients[number].unsettled = true;
	client_start(faults, number);
}

static void stop_daemon(struct faults *faults)
{
	if (kill(faults->daemon, SIGSTOP))
		die("SIGSTOP: %s", strerror(errno));
	usleep((useconds_t)(50000 + chance(600000)));
	if (kill(faults->daemon, SIGCONT))
		die("SIGCONT: %s", strerror(errno));
	faults->stops++;
}

/* --- windows
 * ------------------------------------------------------------------------------------
 */

static void window_begin(enum trouble trouble, uint64_t lost_from)
{
	shared->windows[shared->moment / 4 % WINDOWS] = (struct window){ trouble, lost_from };
	shared->moment++;
}

/* The trouble lasts, and may not come alone. */
static void window_last(struct faults *faults)
{
	shared->moment++;
	wait_ms(faults, 30 + chance(300));
	if (one_in(4))
		kill_client(faults);
	if (one_in(4))
		stop_daemon(faults);
	wait_ms(faults, chance(200));
	shared->moment++;
}

static void check_cut(uint64_t end, const char *when)
{
	if (image_size(TWO) != end)
		die("image TWO was cut at %ju, and has %ju %s", (uintmax_t)end,
		    (uintmax_t)image_size(TWO), when);
}

static void mend(int fd, uint64_t end)
{
	uint64_t whole = layout.size[TWO];

	while (end < whole) {
		uint64_t length = 1 + chance(1 << (10 + chance(12)));
		ssize_t put;

		if (length > whole - end)
			length = whole - end;
		put = pwrite(fd, shared->model[TWO] + end, length, (off_t)end);
		if (put < 0)
			die("mending image TWO: %s", strerror(errno));
		end += (uint64_t)put;
		if (image_size(TWO) != end)
			die("image TWO was mended to %ju, and has %ju", (uintmax_t)end,
			    (uintmax_t)image_size(TWO));
	}
}

/* Into what a client reads or writes at the moment, when that lies between the two. */
static uint64_t aimed_end(uint64_t lowest, uint64_t last)
{
	for (int try = 0; try < 100; try++) {
		const struct client *client = &shared->clients[chance(CLIENTS)];
		struct record record = client->look;
		struct piece piece;

		if (one_in(2))
			record = client->ring[client->done % RING];
		if (record.slice >= SLICES || record.length > LENGTH_MAX)
			continue;
		for_each_piece(piece, &layout.slices[record.slice], record.offset, record.length)
		{
			uint64_t end = piece.offset + chance(piece.length);

			if (piece.image == TWO && end > lowest && end < last)
				return end;
		}
	}
	return lowest + chance(last - lowest);
}

/* The next end above the lowest: close below the last one, or where it hurts. */
static uint64_t next_end(uint64_t lowest, uint64_t last)
{
	uint64_t little = 1 + chance(1500);
	uint64_t other;

	if (one_in(3) && last - lowest > little)
		return last - little;
	/* The higher of two, so that many steps fit in. */
	other = aimed_end(lowest, last);
	last = aimed_end(lowest, last);
	return other > last ? other : last;
}

/* In many steps, each of which can meet a call in a moment when it must not. */
static void cut(struct faults *faults)
{
	uint64_t whole = layout.size[TWO];
	uint64_t lowest = one_in(4) ? chance(whole) & ~(PAGE - 1) : chance(whole);
	uint64_t end = whole;
	/* While it is open here the daemon's ways of writing are others than when it is not. */
	int kept = one_in(2) ? image_open(TWO) : -1;
	int fd;

	window_begin(CUT, lowest);
	for (uint64_t steps = chance(400); end > lowest; steps -= steps > 0) {
		end = steps == 0 ? lowest : next_end(lowest, end);
		if (kept >= 0 ? ftruncate(kept, (off_t)end)
			      : truncate(shared->paths[TWO], (off_t)end))
			die("truncate: %s", strerror(errno));
		usleep((useconds_t)chance(500));
		check_cut(end, "at once");
		faults->cuts++;
	}
	wait_for_calls(faults);
	check_cut(end, "then");
	window_last(faults);
	check_cut(end, "later");
	faults->cut_bytes += whole - end;
	fd = kept >= 0 ? kept : image_open(TWO);
	mend(fd, end);
	close(fd);
	shared->moment++;
}

/* Takes what room is left; some comes back as clients punch holes. */
static void fill(int fd)
{
	off_t end = lseek(fd, 0, SEEK_END);

	for (off_t size = 32 << 20; size >= (off_t)PAGE; size /= 2)
		while (fallocate(fd, 0, end, size) == 0)
			end += size;
}

static void full(struct faults *faults)
{
	char path[5000];
	int fd;

	snprintf(path, sizeof(path), "%s.filler", shared->paths[THREE]);
	fd = open(path, O_CREAT | O_TRUNC | O_RDWR | O_CLOEXEC, 0600);
	if (fd < 0)
		die("%s: %s", path, strerror(errno));
	window_begin(FULL, 0);
	fill(fd);
	wait_for_calls(faults);
	fill(fd);
	window_last(faults);
	faults->fulls++;
	/* What was freed is there once the journal says so. */
	if (ftruncate(fd, 0) || syncfs(fd) || unlink(path) || close(fd))
		die("making room: %s", strerror(errno));
	shared->moment++;
}

/* --- outsiders
 * ----------------------------------------------------------------------------------
 */

/* Writes to bytes that no slice has, next to those that slices have. */
static void stray(struct faults *faults)
{
	uint8_t buf[512];

	for (int i = 0; i < 20; i++) {
		size_t gap = chance(gap_count);
		uint64_t offset = chance(gaps[gap].length);
		size_t length = 1 + chance(sizeof(buf));
		int image = gaps[gap].image;
		int fd = image_open(image);

		if (length > gaps[gap].length - offset)
			length = gaps[gap].length - offset;
		offset += gaps[gap].offset;
		chance_fill(buf, length);
		if (pwrite(fd, buf, length, (off_t)offset) != (ssize_t)length || close(fd))
			die("write to image %d: %s", image, strerror(errno));
		memcpy(shared->model[image] + offset, buf, length);
		faults->stray_bytes += length;
	}
	faults->strays++;
}

/* The kernel tells syncfs(2) of the mount about stores that could not be written back, once. They
 * are redone; whoever did so was told, too.
 */
void faults_sync(struct faults *faults)
{
	int fd = open(shared->mountpoint, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	uint64_t redone = 0;

	for (int i = 0; i < CLIENTS; i++)
		redone += shared->clients[i].redone;
	if (fd < 0)
		die("open of the mount: %s", strerror(errno));
	if (syncfs(fd) && ((errno != EIO && errno != ENOSPC) || redone == faults->redone))
		die("syncfs of the mount: %s", strerror(errno));
	faults->redone = redone;
	close(fd);
	for (int image = 0; image < IMAGES; image++) {
		fd = image_open(image);
		if (syncfs(fd))
			die("syncfs of image %d: %s", image, strerror(errno));
		close(fd);
	}
	faults->syncs++;
}

static bool tell_kernel(const char *path)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	bool done = fd >= 0 && write(fd, "1", 1) == 1;

	if (fd >= 0)
		close(fd);
	return done;
}

static void drop_caches(struct faults *faults)
{
	faults->drops += tell_kernel("/proc/sys/vm/drop_caches");
}

static void compact(struct faults *faults)
{
	faults->compacts += tell_kernel("/proc/sys/vm/compact_memory");
}

/* Dealt in random order, all of them before any comes again. */
static const struct {
	void (*inject)(struct faults *faults);
	bool root, small; /* needs it */
} deck[] = {
	{ cut },
	{ cut },
	{ cut },
	{ cut },
	{ stop_daemon },
	{ stop_daemon },
	{ kill_client },
	{ kill_client },
	{ kill_client },
	{ stray },
	{ stray },
	{ stray },
	{ faults_sync },
	{ .inject = full, .small = true },
	{ .inject = full, .small = true },
	{ .inject = drop_caches, .root = true },
	{ .inject = compact, .root = true },
};

#define DECK (sizeof(deck) / sizeof(deck[0]))

void fault_inject(struct faults *faults)
{
	static bool dealt[DECK];
	static size_t left;
	size_t skip;
	size_t i = 0;

	if (left == 0) {
		memset(dealt, 0, sizeof(dealt));
		left = DECK;
	}
	for (skip = chance(left--); dealt[i] || skip > 0; i++)
		skip -= !dealt[i];
	dealt[i] = true;
	if ((deck[i].root && !faults->root) || (deck[i].small && !faults->small))
		return;
	wait_ms(faults, 200 + chance(1300));
	deck[i].inject(faults);
}

/* --- the beginning
 * ------------------------------------------------------------------------------
 */

static void gap_add(int image, uint64_t offset, uint64_t end)
{
	gaps = reallocarray(gaps, gap_count + 1, sizeof(*gaps));
	if (!gaps)
		die("out of memory");
	gaps[gap_count].image = image;
	gaps[gap_count].offset = offset;
	gaps[gap_count++].length = end - offset;
}

void faults_prepare(struct faults *faults)
{
	for (int image = 0; image < IMAGES; image++) {
		bool *covered = calloc(layout.size[image] + 1, 1);
		uint64_t start = 0;

		if (!covered)
			die("out of memory");
		for (int i = 0; i < SLICES; i++)
			for (int e = 0; e < layout.slices[i].count; e++)
				if (layout.slices[i].extents[e].image == image)
					memset(covered + layout.slices[i].extents[e].offset, 1,
					       layout.slices[i].extents[e].length);
		covered[layout.size[image]] = true;
		for (uint64_t i = 0; i <= layout.size[image]; i++) {
			if (!covered[i])
				continue;
			if (i > start)
				gap_add(image, start, i);
			start = i + 1;
		}
		free(covered);
	}
}
