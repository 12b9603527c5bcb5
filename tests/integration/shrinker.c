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
 * the range could have been lost while the call ran. Each WORKER prints a line of what it has met; a
 * wrong answer goes to standard error and makes the exit status 1, and so does a WORKER that met no
 * success or no EIO.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#ifndef _FILE_OFFSET_BITS
#define _FILE_OFFSET_BITS 64
#endif

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define WORKERS_MAX 16
#define PAGE 4096
#define LENGTH_MAX ((size_t)200000)
#define COMPLAINTS_MAX 5

/* While epoch is odd the image is cut: it holds at least `floor` bytes then, else all of them. */
struct shared {
	_Atomic uint64_t epoch;
	_Atomic uint64_t floor; /* written before epoch turns odd */
	_Atomic uint64_t calls;
	_Atomic bool stop;
};

static struct shared *shared;
static const char *pattern;
static size_t image_size;

/* One worker; `me` in its own process. */
struct worker {
	const struct kind *kind;
	const char *path;
	uint64_t start;
	uint64_t length;
	int fd;
	int copy_fd;
	unsigned long fine, brief, lost, wrong;
};

struct kind {
	const char *name;
	int flags;
	bool cached; /* EIO and what comes short are of whole pages */
	void (*work)(const struct kind *kind);
};

static struct worker workers[WORKERS_MAX];
static int worker_count;
static struct worker me;

static uint64_t random_state;
static sigjmp_buf bus_env;

static void die(const char *format, ...) __attribute__((noreturn, format(printf, 1, 2)));

static void die(const char *format, ...)
{
	va_list args;

	fputs("shrinker: ", stderr);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputc('\n', stderr);
	exit(2);
}

static uint64_t random_below(uint64_t limit)
{
	random_state ^= random_state << 13; /* xorshift64 */
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return random_state % limit;
}

static void random_begin(uint64_t seed)
{
	random_state = (seed + 1) * 0x9e3779b97f4a7c15u;
}

/* --- a worker ------------------------------------------------------------------------------- */

/* One call: its range, and what the image held meanwhile, as far as is known. */
struct call {
	uint64_t offset;
	size_t length;
	uint64_t epoch;
	uint64_t floor; /* in the slice: so much of it was there all the time */
};

static void complain(const struct call *call, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

static void complain(const struct call *call, const char *format, ...)
{
	va_list args;

	if (me.wrong++ >= COMPLAINTS_MAX)
		return;
	fprintf(stderr, "%s %s: %zu bytes at %ju, epoch %ju, floor %ju: ", me.kind->name, me.path,
		call->length, (uintmax_t)call->offset, (uintmax_t)call->epoch,
		(uintmax_t)call->floor);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputc('\n', stderr);
}

/* The last page is where a read is not warned by the pages behind that have gone. */
static void call_begin(struct call *call)
{
	uint64_t last = me.length > PAGE ? me.length - PAGE : 0;

	call->offset = random_below(3) ? random_below(me.length)
				       : last + random_below(me.length - last);
	call->length = 1 + random_below(random_below(2) ? PAGE : LENGTH_MAX);
	if (call->length > me.length - call->offset)
		call->length = me.length - call->offset;
	call->epoch = atomic_load(&shared->epoch);
	call->floor = atomic_load(&shared->floor);
}

/* Narrows down what was held; errno is kept. */
static void call_end(struct call *call)
{
	atomic_fetch_add(&shared->calls, 1);
	if (atomic_load(&shared->epoch) != call->epoch)
		call->floor = 0;
	else if (call->epoch % 2 == 0)
		call->floor = me.length;
	else
		call->floor = call->floor > me.start ? call->floor - me.start : 0;
}

/* All that has to be held for the call to succeed in full. */
static uint64_t call_needs(const struct call *call)
{
	uint64_t end = call->offset + call->length;

	if (me.kind->cached)
		end = (end + PAGE - 1) / PAGE * PAGE;
	return end < me.length ? end : me.length;
}

static void call_failed(const struct call *call, int error)
{
	if (error != EIO)
		complain(call, "%s", strerrorname_np(error));
	else if (call_needs(call) <= call->floor)
		complain(call, "EIO, and nothing was lost");
	else
		me.lost++;
}

/* It may stop short of its end only where something was lost. */
static void call_succeeded(const struct call *call, size_t size)
{
	if (size == call->length)
		me.fine++;
	else if (size == 0)
		complain(call, "nothing, as if the slice ended there");
	else if (call_needs(call) <= call->floor)
		complain(call, "only %zu bytes, and nothing was lost", size);
	else
		me.brief++;
}

static void compare(const struct call *call, const char *got, size_t size)
{
	const char *want = pattern + me.start + call->offset;
	size_t i = 0;

	if (!memcmp(got, want, size))
		return;
	while (got[i] == want[i])
		i++;
	complain(call, "byte %zu of %zu is 0x%02x, not 0x%02x", i, size, (unsigned char)got[i],
		 (unsigned char)want[i]);
}

static void work_read(const struct kind *kind)
{
	static char buf[LENGTH_MAX];
	struct call call;
	ssize_t got;

	call_begin(&call);
	if (kind->cached)
		posix_fadvise(me.fd, 0, 0, POSIX_FADV_DONTNEED);
	got = pread(me.fd, buf, call.length, call.offset);
	call_end(&call);
	if (got < 0) {
		call_failed(&call, errno);
		return;
	}
	call_succeeded(&call, got);
	compare(&call, buf, got);
}

static void work_map(const struct kind *kind)
{
	struct call call;
	volatile bool lost = false;
	size_t lead;
	char *map;

	call_begin(&call);
	lead = call.offset % PAGE;
	posix_fadvise(me.fd, 0, 0, POSIX_FADV_DONTNEED);
	map = mmap(NULL, lead + call.length, PROT_READ, MAP_SHARED, me.fd, call.offset - lead);
	if (map == MAP_FAILED)
		die("mmap: %s", strerrorname_np(errno));
	if (sigsetjmp(bus_env, 1) == 0)
		compare(&call, map + lead, call.length);
	else
		lost = true;
	munmap(map, lead + call.length);
	call_end(&call);
	if (lost)
		call_failed(&call, EIO);
	else
		me.fine++;
}

static void work_copy(const struct kind *kind)
{
	static char buf[LENGTH_MAX];
	struct call call;
	off64_t from;
	off64_t to = 7;
	ssize_t got;

	call_begin(&call);
	from = call.offset;
	got = copy_file_range(me.fd, &from, me.copy_fd, &to, call.length, 0);
	call_end(&call);
	if (got < 0) {
		call_failed(&call, errno);
		return;
	}
	call_succeeded(&call, got);
	if (pread(me.copy_fd, buf, got, 7) != got)
		die("cannot read the copy");
	compare(&call, buf, got);
}

static void work_write(const struct kind *kind)
{
	struct call call;
	ssize_t put;

	call_begin(&call);
	put = pwrite(me.fd, pattern + me.start + call.offset, call.length, call.offset);
	call_end(&call);
	if (put < 0)
		call_failed(&call, errno);
	else
		call_succeeded(&call, put);
}

static void work_update(const struct kind *kind)
{
	struct call call;
	int result;

	if (random_below(16)) {
		work_write(kind);
		return;
	}
	call_begin(&call);
	call.offset = 0;
	call.length = me.length;
	result = fsync(me.fd);
	call_end(&call);
	if (result < 0)
		call_failed(&call, errno);
	else
		me.fine++;
}

static const struct kind kinds[] = {
	{ "cached", O_RDONLY, true, work_read },  { "direct", O_RDONLY, false, work_read },
	{ "map", O_RDONLY, true, work_map },      { "copy", O_RDONLY, false, work_copy },
	{ "write", O_WRONLY, false, work_write }, { "update", O_RDWR, false, work_update },
};

static const struct kind *kind_find(const char *name)
{
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		if (!strcmp(kinds[i].name, name))
			return &kinds[i];
	die("unknown kind '%s'", name);
}

static void worker_parse(char *text, struct worker *ret)
{
	ret->kind = kind_find(strtok(text, ":"));
	ret->path = strtok(NULL, ":");
	ret->start = strtoull(strtok(NULL, ":"), NULL, 0);
	ret->length = strtoull(strtok(NULL, ":"), NULL, 0);
	if (ret->start + ret->length > image_size)
		die("%s: too long", ret->path);
}

static void worker_open(void)
{
	char *copy_path = NULL;

	me.fd = open(me.path, me.kind->flags);
	if (me.fd < 0)
		die("cannot open %s", me.path);
	if (me.kind->work != work_copy)
		return;
	if (asprintf(&copy_path, "%s.copy", me.path) < 0)
		die("out of memory");
	me.copy_fd = open(copy_path, O_RDWR);
	if (me.copy_fd < 0)
		die("cannot open %s", copy_path);
}

static void on_bus(int number)
{
	siglongjmp(bus_env, number);
}

static void worker_run(void)
{
	bool enough;

	signal(SIGBUS, on_bus);
	worker_open();
	while (!atomic_load(&shared->stop))
		me.kind->work(me.kind);
	printf("%s %s: %lu fine, %lu short, %lu lost, %lu wrong\n", me.kind->name, me.path, me.fine,
	       me.brief, me.lost, me.wrong);
	fflush(stdout);
	enough = me.fine > 0 && me.lost > 0;
	_exit(me.wrong > 0 || !enough);
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
		me = workers[i];
		random_begin(seed + 1 + i);
		if (fork() == 0)
			worker_run();
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
