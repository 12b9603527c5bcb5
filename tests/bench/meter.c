/* SPDX-License-Identifier: MIT
 *
 * meter: does one thing to a file, as fast as it can, and says how long that took.
 *
 *     meter read FILE OFFSET SIZE BLOCK [direct]      in order
 *     meter write FILE OFFSET SIZE BLOCK wronly|rdwr  in order, and an fsync, which counts
 *     meter dirty FILE OFFSET SIZE BLOCK              in order, without an fsync
 *     meter scan FILE OFFSET SIZE                     a byte of each page of a mapping, in order
 *     meter touch FILE OFFSET SIZE                    the same at random, for a while
 *     meter fsync FILE                                one, of a file that is opened for it
 *     meter resident FILE                             counts its bytes in the page cache
 *     meter open FILE                                 open and close, for a while
 *     meter stat FILE                                 for a while
 *     meter list FOLDER                               all names, for a while
 *     meter walk FOLDER                               all names, once, and a stat of each
 *
 * Prints how much (bytes, pages, calls, names) and in how many seconds. "A while" is LIMIT.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include <dirent.h>
#include <err.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define LIMIT 0.25
#define PAGE 4096

struct job {
	const char *path;
	uint64_t offset;
	uint64_t size;
	size_t block;
	const char *how;
};

static double now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static void say(uint64_t amount, double since)
{
	printf("%llu %.9f\n", (unsigned long long)amount, now() - since);
}

static int open_or_die(const struct job *job, int flags)
{
	int fd = open(job->path, flags | O_CLOEXEC);

	if (fd < 0)
		err(1, "%s", job->path);
	return fd;
}

static void *buffer_of(const struct job *job)
{
	void *buffer;

	if (posix_memalign(&buffer, PAGE, job->block) != 0)
		errx(1, "no memory");
	memset(buffer, 0x5a, job->block);
	return buffer;
}

/* In order, block by block, the way that flags open the file; with an fsync at the end or not. */
static void stream(const struct job *job, int flags, bool flush)
{
	bool write = (flags & O_ACCMODE) != O_RDONLY;
	int fd = open_or_die(job, flags);
	void *buffer = buffer_of(job);
	double start = now();
	uint64_t done = 0;

	while (done < job->size) {
		uint64_t left = job->size - done;
		size_t block = left < job->block ? left : job->block;
		off_t at = (off_t)(job->offset + done);
		ssize_t n = write ? pwrite(fd, buffer, block, at) : pread(fd, buffer, block, at);

		if (n <= 0)
			err(1, "%s %s: %zd", write ? "write" : "read", job->path, n);
		done += (uint64_t)n;
	}
	if (flush && fsync(fd) < 0)
		err(1, "fsync %s", job->path);
	say(done, start);
	close(fd);
	free(buffer);
}

static void do_read(const struct job *job)
{
	bool direct = job->how && strcmp(job->how, "direct") == 0;

	stream(job, O_RDONLY | (direct ? O_DIRECT : 0), false);
}

static void do_write(const struct job *job)
{
	bool both = job->how && strcmp(job->how, "rdwr") == 0;

	stream(job, both ? O_RDWR : O_WRONLY, true);
}

static void do_dirty(const struct job *job)
{
	stream(job, O_WRONLY, false);
}

/* Private: that maps an uncached file, too, and what is only read is the page cache in either. */
static const volatile uint8_t *map(const struct job *job)
{
	int fd = open_or_die(job, O_RDONLY);
	void *pages = mmap(NULL, job->size, PROT_READ, MAP_PRIVATE, fd, (off_t)job->offset);

	if (pages == MAP_FAILED)
		err(1, "mmap %s", job->path);
	close(fd);
	return pages;
}

static void do_scan(const struct job *job)
{
	double start = now();
	const volatile uint8_t *pages = map(job);

	for (uint64_t at = 0; at < job->size; at += PAGE)
		(void)pages[at];
	say(job->size, start);
}

/* Each page once at most; the order is shuffled before the clock starts. */
static void do_touch(const struct job *job)
{
	size_t count = job->size / PAGE, done = 0;
	uint32_t *order = calloc(count, sizeof *order);
	const volatile uint8_t *pages = map(job);
	uint64_t random = 88172645463325252;
	double start;

	if (!order)
		errx(1, "no memory");
	for (size_t i = 0; i < count; i++) {
		size_t other;

		random ^= random << 13;
		random ^= random >> 7;
		random ^= random << 17;
		other = random % (i + 1);
		order[i] = order[other];
		order[other] = (uint32_t)i;
	}
	start = now();
	while (done < count && ((done & 15) != 0 || now() - start < LIMIT))
		(void)pages[(uint64_t)order[done++] * PAGE];
	say(done, start);
	free(order);
}

static void do_fsync(const struct job *job)
{
	int fd = open_or_die(job, O_RDWR);
	double start = now();

	if (fsync(fd) < 0)
		err(1, "fsync %s", job->path);
	say(1, start);
	close(fd);
}

static void do_resident(const struct job *job)
{
	int fd = open_or_die(job, O_RDONLY);
	double start = now();
	size_t page = (size_t)sysconf(_SC_PAGESIZE), pages, count = 0;
	struct stat status;
	unsigned char *present;
	void *whole;

	if (fstat(fd, &status) < 0)
		err(1, "stat %s", job->path);
	pages = ((size_t)status.st_size + page - 1) / page;
	whole = mmap(NULL, pages * page, PROT_READ, MAP_SHARED, fd, 0);
	present = malloc(pages);
	if (whole == MAP_FAILED || !present || mincore(whole, pages * page, present) < 0)
		err(1, "mincore %s", job->path);
	for (size_t i = 0; i < pages; i++)
		count += present[i] & 1;
	say(count * page, start);
	munmap(whole, pages * page);
	free(present);
	close(fd);
}

static void do_open(const struct job *job)
{
	double start = now();
	uint64_t done = 0;

	while ((done++ & 15) != 0 || now() - start < LIMIT)
		close(open_or_die(job, O_RDONLY));
	say(done, start);
}

static void do_stat(const struct job *job)
{
	double start = now();
	uint64_t done = 0;
	struct stat status;

	while ((done++ & 15) != 0 || now() - start < LIMIT)
		if (stat(job->path, &status) < 0)
			err(1, "stat %s", job->path);
	say(done, start);
}

static uint64_t names_of(const struct job *job, bool status_too)
{
	DIR *folder = opendir(job->path);
	struct dirent *entry;
	struct stat status;
	uint64_t count = 0;

	if (!folder)
		err(1, "%s", job->path);
	while ((entry = readdir(folder))) {
		if (status_too &&
		    fstatat(dirfd(folder), entry->d_name, &status, AT_SYMLINK_NOFOLLOW) < 0)
			err(1, "stat %s", entry->d_name);
		count++;
	}
	closedir(folder);
	return count;
}

static void do_list(const struct job *job)
{
	double start = now();
	uint64_t done = 0;

	do
		done += names_of(job, false);
	while (now() - start < LIMIT);
	say(done, start);
}

static void do_walk(const struct job *job)
{
	double start = now();

	say(names_of(job, true), start);
}

static const struct {
	const char *name;
	int min, max; /* words after the name */
	void (*run)(const struct job *job);
} commands[] = {
	{ "read", 4, 5, do_read }, { "write", 5, 5, do_write },       { "dirty", 4, 4, do_dirty },
	{ "scan", 3, 3, do_scan }, { "touch", 3, 3, do_touch },       { "fsync", 1, 1, do_fsync },
	{ "open", 1, 1, do_open }, { "stat", 1, 1, do_stat },         { "list", 1, 1, do_list },
	{ "walk", 1, 1, do_walk }, { "resident", 1, 1, do_resident },
};

int main(int argc, char **argv)
{
	int words = argc - 2;

	for (size_t i = 0; words > 0 && i < sizeof commands / sizeof commands[0]; i++) {
		struct job job = {
			.path = argv[2],
			.offset = words > 1 ? strtoull(argv[3], NULL, 0) : 0,
			.size = words > 2 ? strtoull(argv[4], NULL, 0) : 0,
			.block = words > 3 ? strtoull(argv[5], NULL, 0) : 0,
			.how = words > 4 ? argv[6] : NULL,
		};

		if (strcmp(argv[1], commands[i].name) != 0 || words < commands[i].min ||
		    words > commands[i].max)
			continue;
		commands[i].run(&job);
		return 0;
	}
	errx(2, "wrong usage; see the head of meter.c");
}
