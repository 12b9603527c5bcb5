/* SPDX-License-Identifier: MIT
 *
 * shrinker: cuts an image again and again, and grows it back by its own bytes, while others use it.
 *
 *     shrinker IMAGE PATTERN ROUNDS SEED WORKER...
 *
 * IMAGE holds the bytes of the file PATTERN. A WORKER is KIND:FILE:OFFSET:LENGTH, a process that
 * works on a slice FILE of IMAGE which begins at OFFSET:
 *
 *     cached    reads, by the kernel's page cache, which it empties before
 *     direct    reads an alias: what comes before the lost part may come alone
 *     map       loads from a shared mapping; SIGBUS is the error
 *     copy      copies to FILE.copy, by copy_file_range, and reads that
 *     write     writes the right bytes, O_WRONLY
 *     update    writes the right bytes, O_RDWR, and flushes at times
 *
 * Every byte that comes is compared with the pattern, and the size of IMAGE is looked at all the
 * time: nobody but us may change it. EIO, or less than asked for, is an answer only where some of
 * the range could have been lost while the call ran. Each WORKER prints a line of what it has met;
 * a wrong answer goes to standard error and makes the exit status 1, and so does a WORKER that met
 * no success or no EIO.
 */
#include "shrinker.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define WORKERS_MAX 16

struct shared *shared;
const char *pattern;
size_t image_size;

static struct worker workers[WORKERS_MAX];
static int worker_count;
static uint64_t random_state;

void die(const char *format, ...)
{
	va_list args;

	fputs("shrinker: ", stderr);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputc('\n', stderr);
	exit(2);
}

uint64_t random_below(uint64_t limit)
{
	random_state ^= random_state << 13; /* xorshift64 */
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return random_state % limit;
}

void random_begin(uint64_t seed)
{
	random_state = (seed + 1) * 0x9e3779b97f4a7c15u;
}

/* --- the image ------------------------------------------------------------------------------ */

/* In some rounds the image is open all the time, and in others only to write it: who shares a file
 * with others does not always behave as who has it alone.
 */
static struct image {
	const char *path;
	int fd; /* -1 while it is closed */
	unsigned long regrown;
} image;

static void image_cut(uint64_t size)
{
	if (image.fd >= 0 ? ftruncate(image.fd, size) : truncate(image.path, size))
		die("truncate: %s", strerrorname_np(errno));
}

/* Nobody else may have moved the end. */
static void size_expect(uint64_t size)
{
	struct stat st;

	if (image.fd >= 0 ? fstat(image.fd, &st) : stat(image.path, &st))
		die("stat: %s", strerrorname_np(errno));
	if ((uint64_t)st.st_size == size)
		return;
	if (image.regrown++ < COMPLAINTS_MAX)
		fprintf(stderr, "the image was cut to %ju bytes and has %ju\n", (uintmax_t)size,
			(uintmax_t)st.st_size);
	image_cut(size);
}

/* Lets the workers make some calls, looking at the size meanwhile. */
static void wait_for_calls(uint64_t size, uint64_t count)
{
	uint64_t target = atomic_load(&shared->calls) + count;

	while (atomic_load(&shared->calls) < target) {
		size_expect(size);
		if (waitpid(-1, NULL, WNOHANG) != 0)
			die("a worker has ended");
	}
}

static void append(uint64_t *size, size_t length)
{
	int fd = image.fd >= 0 ? image.fd : open(image.path, O_WRONLY | O_CLOEXEC);

	if (length > image_size - *size)
		length = image_size - *size;
	size_expect(*size);
	if (pwrite(fd, pattern + *size, length, *size) != (ssize_t)length)
		die("cannot grow the image: %s", strerrorname_np(errno));
	if (fd != image.fd)
		close(fd);
	*size += length;
	size_expect(*size);
}

static uint64_t random_cut(void)
{
	const struct worker *worker = &workers[random_below(worker_count)];

	switch (random_below(8)) {
	case 0:
		return 0;
	case 1:
		return random_below(image_size) / PAGE * PAGE;
	case 2:
	case 3:
	case 4: /* in its last page */
		return worker->start + worker->length - 1 - random_below(PAGE);
	default:
		return random_below(image_size);
	}
}

static void image_reopen(void)
{
	if (image.fd >= 0)
		close(image.fd);
	image.fd = -1;
	if (random_below(2))
		return;
	image.fd = open(image.path, O_RDWR | O_CLOEXEC);
	if (image.fd < 0)
		die("cannot open %s", image.path);
}

/* Cuts the image and grows it back, at once or by and by. */
static void round_run(void)
{
	uint64_t size = random_cut();
	bool at_once = random_below(2);

	image_reopen();
	wait_for_calls(image_size, random_below(8));
	atomic_store(&shared->floor, size);
	atomic_fetch_add(&shared->epoch, 1);
	image_cut(size);
	if (!at_once)
		wait_for_calls(size, random_below(8));
	while (size < image_size) {
		append(&size, at_once ? image_size : 1 + random_below(image_size / 3));
		if (size < image_size)
			wait_for_calls(size, random_below(4));
	}
	atomic_fetch_add(&shared->epoch, 1);
}

static void pattern_map(const char *path)
{
	struct stat st;
	int fd = open(path, O_RDONLY);

	if (fd < 0 || fstat(fd, &st))
		die("cannot read %s", path);
	image_size = st.st_size;
	pattern = mmap(NULL, image_size, PROT_READ, MAP_PRIVATE | MAP_POPULATE, fd, 0);
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
		      0);
	if (pattern == MAP_FAILED || shared == MAP_FAILED)
		die("out of memory");
	close(fd);
}

static void workers_start(uint64_t seed)
{
	for (int i = 0; i < worker_count; i++) {
		random_begin(seed + 1 + i);
		if (fork() == 0)
			worker_run(&workers[i]);
	}
}

/* Returns whether one of them was not content. */
static bool workers_end(void)
{
	bool failed = false;
	int status;

	atomic_store(&shared->stop, true);
	for (int i = 0; i < worker_count; i++)
		if (wait(&status) < 0 || status != 0)
			failed = true;
	return failed;
}

int main(int argc, char **argv)
{
	unsigned long rounds;
	uint64_t seed;
	bool failed;

	if (argc < 6 || argc > 5 + WORKERS_MAX)
		die("usage: shrinker IMAGE PATTERN ROUNDS SEED KIND:FILE:OFFSET:LENGTH...");
	pattern_map(argv[2]);
	rounds = strtoul(argv[3], NULL, 0);
	seed = strtoull(argv[4], NULL, 0);
	image = (struct image){ .path = argv[1], .fd = -1 };
	for (int i = 5; i < argc; i++)
		worker_parse(argv[i], &workers[worker_count++]);
	workers_start(seed);
	random_begin(seed);
	for (unsigned long i = 0; i < rounds; i++)
		round_run();
	failed = workers_end();
	printf("image: %lu rounds, regrown %lu times\n", rounds, image.regrown);
	return failed || image.regrown > 0;
}
