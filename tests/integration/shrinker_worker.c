/* SPDX-License-Identifier: MIT
 *
 * The workers of shrinker, and what they take for right; shrinker.c says what they do.
 */
#include "shrinker.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define LENGTH_MAX ((size_t)200000)

struct kind {
	const char *name;
	int flags;
	bool cached; /* EIO and what comes short are of whole pages */
	void (*work)(const struct kind *kind);
};

/* This process's own. */
static struct worker me;
static int slice_fd;
static int copy_fd;
static unsigned long fine, brief, lost, wrong;
static sigjmp_buf bus_env;

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

	if (wrong++ >= COMPLAINTS_MAX)
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
		lost++;
}

/* It may stop short of its end only where something was lost. */
static void call_succeeded(const struct call *call, size_t size)
{
	if (size == call->length)
		fine++;
	else if (size == 0)
		complain(call, "nothing, as if the slice ended there");
	else if (call_needs(call) <= call->floor)
		complain(call, "only %zu bytes, and nothing was lost", size);
	else
		brief++;
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
		posix_fadvise(slice_fd, 0, 0, POSIX_FADV_DONTNEED);
	got = pread(slice_fd, buf, call.length, call.offset);
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
	volatile bool faulted = false;
	size_t lead;
	char *map;

	call_begin(&call);
	lead = call.offset % PAGE;
	posix_fadvise(slice_fd, 0, 0, POSIX_FADV_DONTNEED);
	map = mmap(NULL, lead + call.length, PROT_READ, MAP_SHARED, slice_fd, call.offset - lead);
	if (map == MAP_FAILED)
		die("mmap: %s", strerrorname_np(errno));
	if (sigsetjmp(bus_env, 1) == 0)
		compare(&call, map + lead, call.length);
	else
		faulted = true;
	munmap(map, lead + call.length);
	call_end(&call);
	if (faulted)
		call_failed(&call, EIO);
	else
		fine++;
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
	got = copy_file_range(slice_fd, &from, copy_fd, &to, call.length, 0);
	call_end(&call);
	if (got < 0) {
		call_failed(&call, errno);
		return;
	}
	call_succeeded(&call, got);
	if (pread(copy_fd, buf, got, 7) != got)
		die("cannot read the copy");
	compare(&call, buf, got);
}

static void work_write(const struct kind *kind)
{
	struct call call;
	ssize_t put;

	call_begin(&call);
	put = pwrite(slice_fd, pattern + me.start + call.offset, call.length, call.offset);
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
	result = fsync(slice_fd);
	call_end(&call);
	if (result < 0)
		call_failed(&call, errno);
	else
		fine++;
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

void worker_parse(char *text, struct worker *ret)
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

	slice_fd = open(me.path, me.kind->flags);
	if (slice_fd < 0)
		die("cannot open %s", me.path);
	if (me.kind->work != work_copy)
		return;
	if (asprintf(&copy_path, "%s.copy", me.path) < 0)
		die("out of memory");
	copy_fd = open(copy_path, O_RDWR);
	if (copy_fd < 0)
		die("cannot open %s", copy_path);
}

static void on_bus(int number)
{
	siglongjmp(bus_env, number);
}

void worker_run(const struct worker *worker)
{
	bool enough;

	me = *worker;
	signal(SIGBUS, on_bus);
	worker_open();
	while (!atomic_load(&shared->stop))
		me.kind->work(me.kind);
	printf("%s %s: %lu fine, %lu short, %lu lost, %lu wrong\n", me.kind->name, me.path, fine,
	       brief, lost, wrong);
	fflush(stdout);
	enough = fine > 0 && lost > 0;
	_exit(wrong > 0 || !enough);
}
