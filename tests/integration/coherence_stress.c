/* SPDX-License-Identifier: MIT
 *
 * coherence_stress: several processes write and read the same records through many files, and each
 * read must find what had been written when it began.
 *
 *     coherence_stress [OPTION...] WAYS:FILE:OFFSET+LENGTH[,OFFSET+LENGTH...] ...
 *
 *     --seed N          of everything random; printed
 *     --record N        bytes of a record (64)
 *     --size N          bytes of the image that hold records (1 MiB)
 *     --processes N     how many (6)
 *     --operations N    of each process (4000)
 *     --limit N         seconds after which a process hangs (100)
 *     --dump COPY       leaves in COPY what the image must hold in the end
 *     --resize FILE     meanwhile one process more cuts and stretches FILE, behind the records
 *
 * Each FILE shows these ranges of the image, one behind the other. WAYS is how it may be opened:
 *
 *     r O_RDONLY    u O_RDWR    w O_WRONLY    y O_RDWR | O_DSYNC
 *     R U W         the same with O_DIRECT
 *     l             loads from a shared mapping
 *     s             loads from and stores to one
 *
 * Files are opened and closed all the time, in turns: of every two, one allows all ways, and the
 * other a few, so that now and then nobody writes past the cache. The first FILE gets all records'
 * first version, so it must show the whole image. A shared mapping that is refused with ENODEV, as
 * long as somebody writes past the cache, is tried again later; but each way must have worked in
 * the end.
 *
 * Exits 1 with what was wrong, or who hangs.
 */
#include "coherence_stress.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define FILES_MAX 16
#define PROCESSES_MAX 32
#define RUN_BYTES_MAX (256 * 1024)
#define PAGE 4096
#define TURN 3000 /* steps of all processes together */

/* What a process is about, for the message when it hangs. */
struct action {
	_Atomic size_t file, way;
	_Atomic bool write;
	_Atomic off_t offset;
	_Atomic size_t length;
};

struct shared {
	_Atomic bool failed;
	_Atomic size_t strict, reads, writes, working, steps;
	_Atomic size_t used[FILES_MAX][WAYS];
	struct action actions[PROCESSES_MAX];
};

struct process {
	uint64_t random;
	size_t turn;
	struct action *action;
	struct opened opened[FILES_MAX][WAYS];
	uint8_t *data;
	uint32_t *bounds;
};

static struct file files[FILES_MAX];
static size_t file_count;
static struct records *records;
static struct shared *shared;
static const char *dump, *resized;
static unsigned long long seed = 1, image_size = 1 << 20;
static unsigned long long record_size = 64, processes = 6, operations = 4000, limit = 100;

void die(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	fprintf(stderr, "coherence_stress %d: ", (int)getpid());
	vfprintf(stderr, format, args);
	fputc('\n', stderr);
	va_end(args);
	if (shared)
		shared->failed = true;
	_exit(1);
}

static uint64_t pick(struct process *process, uint64_t below)
{
	process->random ^= process->random << 13;
	process->random ^= process->random >> 7;
	process->random ^= process->random << 17;
	return (process->random >> 8) % below;
}

/* --- operations
 * --------------------------------------------------------------------------------
 */

/* A run of records that lie in the extent, 1 or as many as 256 KiB have. False when there is
 * none.
 */
static bool pick_run(struct process *process, const struct extent *extent, size_t *ret_first,
		     size_t *ret_count)
{
	static const size_t bytes[] = { 1, 1, 1, 500, PAGE, PAGE, 3 * PAGE, 65000, RUN_BYTES_MAX };
	size_t size = records_size(records);
	size_t from = (extent->image + size - 1) / size;
	size_t to = (extent->image + extent->length) / size;
	size_t count = bytes[pick(process, sizeof(bytes) / sizeof(bytes[0]))] / size;
	size_t first;

	to = to < records_count(records) ? to : records_count(records);
	if (from >= to)
		return false;
	first = from + pick(process, to - from);
	/* To a page's begin, where records begin there. */
	if (count > 1 && PAGE % size == 0 && first - first % (PAGE / size) >= from)
		first -= first % (PAGE / size);
	count = count ? count : 1;
	*ret_first = first;
	*ret_count = count < to - first ? count : to - first;
	return true;
}

static void note(struct process *process, bool write, off_t offset, size_t length)
{
	process->action->write = write;
	process->action->offset = offset;
	process->action->length = length;
}

static void write_run(struct process *process, struct opened *opened, const struct extent *extent,
		      size_t first, size_t count)
{
	size_t size = records_size(records);
	off_t offset = (off_t)(first * size) - extent->image + extent->slice;

	count = write_begin(records, first, count, process->data);
	if (count == 0)
		return;
	note(process, true, offset, count * size);
	file_write(opened, process->data, count * size, offset);
	write_end(records, first, count);
	shared->writes++;
}

/* Reads often begin and end outside the run, at a page or anywhere. */
static void read_run(struct process *process, struct opened *opened, const struct extent *extent,
		     size_t first, size_t count)
{
	size_t size = records_size(records), strict = 0, wrong;
	off_t inside = (off_t)(first * size) - extent->image;
	off_t begin = inside, end = inside + (off_t)(count * size);

	switch (pick(process, 3)) {
	case 0:
		begin -= (extent->slice + begin) % PAGE;
		end += PAGE - (extent->slice + end) % PAGE;
		break;
	case 1:
		begin -= (off_t)pick(process, 2 * PAGE);
		end += (off_t)pick(process, 2 * PAGE);
		break;
	}
	begin = begin > 0 ? begin : 0;
	end = end < extent->length ? end : extent->length;
	note(process, false, extent->slice + begin, end - begin);
	read_begin(records, first, count, process->bounds);
	file_read(opened, process->data, end - begin, extent->slice + begin);
	if (!read_check(records, first, count, process->bounds, process->data + (inside - begin),
			&strict, &wrong)) {
		read_explain(records, wrong, process->bounds[wrong - first],
			     process->data + (inside - begin) + (wrong - first) * size);
		die("stale: %s, way %c, %lld bytes at %lld", files[process->action->file].path,
		    ways[process->action->way].letter, (long long)(end - begin),
		    (long long)(extent->slice + begin));
	}
	shared->strict += strict;
	shared->reads++;
}

/* Whether this turn has that way. */
static bool turn_allows(size_t turn, size_t way)
{
	uint64_t random = (seed + turn) * 0x9e3779b97f4a7c15;

	return turn % 2 == 0 || (random >> (20 + way) & random >> (40 + way) & 1);
}

/* False where what was picked does not go. */
static bool operate(struct process *process)
{
	size_t number = pick(process, file_count), kind = pick(process, WAYS), first, count;
	const struct file *file = &files[number];
	const struct extent *extent = &file->extents[pick(process, file->extent_count)];
	struct opened *opened = &process->opened[number][kind];
	const struct way *way = &ways[kind];

	if (!file->ways[kind] || !turn_allows(process->turn, kind) ||
	    !pick_run(process, extent, &first, &count))
		return false;
	process->action->file = number;
	process->action->way = kind;
	if (!file_open(file, way, opened))
		return false;
	shared->used[number][kind]++;
	if (way->write && (!way->read || pick(process, 2)))
		write_run(process, opened, extent, first, count);
	else
		read_run(process, opened, extent, first, count);
	if (way->write && pick(process, 200) == 0 && fdatasync(opened->fd))
		die("fdatasync %s: %s", file->path, strerror(errno));
	/* Some for long, most for a moment. */
	if (pick(process, way->map ? 30 : 10) == 0)
		file_close(opened);
	return true;
}

static void process_new(struct process *process, size_t number)
{
	/* A run, and what a read takes around it. */
	process->data = malloc(RUN_BYTES_MAX + 6 * PAGE + record_size);
	process->bounds = malloc((RUN_BYTES_MAX / record_size + 1) * sizeof(*process->bounds));
	if (!process->data || !process->bounds)
		die("out of memory");
	process->random = (seed + number) * 0x9e3779b97f4a7c15 | 1;
	process->turn = 0;
	process->action = &shared->actions[number];
	for (size_t i = 0; i < file_count; i++)
		for (size_t j = 0; j < WAYS; j++)
			process->opened[i][j] = (struct opened){ .fd = -1 };
}

static void process_close(struct process *process)
{
	for (size_t i = 0; i < file_count; i++)
		for (size_t j = 0; j < WAYS; j++)
			file_close(&process->opened[i][j]);
}

static void process_run(size_t number)
{
	struct process process;

	process_new(&process, number);
	for (size_t i = 0; i < operations && !shared->failed; i += operate(&process)) {
		size_t turn = shared->steps++ / TURN;

		if (turn == process.turn)
			continue;
		process_close(&process);
		process.turn = turn;
	}
	process_close(&process);
	shared->working--;
}

/* Cuts and stretches the file, until the others are done. Its size is now at least. */
static void resizer_run(size_t number)
{
	struct process process;
	struct stat status;

	process_new(&process, number);
	if (stat(resized, &status))
		die("stat %s: %s", resized, strerror(errno));
	while (shared->working > 0 && !shared->failed) {
		off_t size = status.st_size + (off_t)pick(&process, 100000);
		int fd = open(resized, O_RDWR | O_CLOEXEC);

		note(&process, true, size, 0);
		if (fd < 0 || (pick(&process, 2) ? ftruncate(fd, size) : truncate(resized, size)))
			die("truncate %s: %s", resized, strerror(errno));
		close(fd);
	}
}

/* --- all of it
 * ---------------------------------------------------------------------------------
 */

/* Version 0, through the first file, whatever its ways are. */
static void records_write(void)
{
	struct opened opened = { .fd = -1 };
	uint8_t *data = malloc(record_size);

	file_open(&files[0], &ways[1], &opened);
	for (size_t i = 0; i < records_count(records); i++) {
		record_fill(records, i, 0, data);
		file_write(&opened, data, record_size, (off_t)(i * record_size));
	}
	file_close(&opened);
	free(data);
}

/* All that a file shows must be of the last version now. */
static void files_check(struct process *process)
{
	size_t run = RUN_BYTES_MAX / record_size;

	for (size_t i = 0; i < file_count; i++) {
		struct opened opened = { .fd = -1 };

		process->action->file = i;
		process->action->way = 0;
		file_open(&files[i], &ways[0], &opened);
		for (size_t j = 0; j < files[i].extent_count; j++) {
			const struct extent *extent = &files[i].extents[j];
			size_t from = (extent->image + record_size - 1) / record_size;
			size_t to = (extent->image + extent->length) / record_size;

			to = to < records_count(records) ? to : records_count(records);
			for (; from < to; from += run)
				read_run(process, &opened, extent, from,
					 to - from < run ? to - from : run);
		}
		file_close(&opened);
	}
}

static void records_dump(void)
{
	FILE *out = fopen(dump, "w");
	uint8_t *data = malloc(record_size);
	uint32_t version;

	for (size_t i = 0; out && i < records_count(records); i++) {
		read_begin(records, i, 1, &version);
		record_fill(records, i, version, data);
		fwrite(data, 1, record_size, out);
	}
	if (!out || fclose(out))
		die("%s: %s", dump, strerror(errno));
	free(data);
}

static bool wait_for(pid_t pid, size_t number)
{
	const struct action *action = &shared->actions[number];
	int status;

	if (waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return true;
	shared->failed = true;
	if (WIFSIGNALED(status))
		fprintf(stderr, "process %zu: %s: %s, way %c, %s %zu at %lld\n", number,
			WTERMSIG(status) == SIGALRM ? "hangs" : strsignal(WTERMSIG(status)),
			files[action->file].path, ways[action->way].letter,
			action->write ? "write" : "read", (size_t)action->length,
			(long long)action->offset);
	return false;
}

static void run_all(void)
{
	pid_t pids[PROCESSES_MAX];
	size_t count = processes + (resized != NULL), good = 0;

	shared->working = processes;
	for (size_t i = 0; i < count; i++) {
		pids[i] = fork();
		if (pids[i] < 0)
			die("fork: %s", strerror(errno));
		if (pids[i] > 0)
			continue;
		alarm((unsigned)limit);
		if (i < processes)
			process_run(i);
		else
			resizer_run(i);
		_exit(0);
	}
	for (size_t i = 0; i < count; i++)
		good += wait_for(pids[i], i);
	if (good < count)
		die("%zu of %zu processes failed", count - good, count);
}

static void usage_check(void)
{
	printf("%zu reads, %zu of records with one version; %zu writes\n", (size_t)shared->reads,
	       (size_t)shared->strict, (size_t)shared->writes);
	for (size_t i = 0; i < file_count; i++)
		for (size_t j = 0; j < WAYS; j++)
			if (files[i].ways[j] && shared->used[i][j] == 0)
				die("%s was never open to '%c'", files[i].path, ways[j].letter);
	if (shared->strict == 0 || shared->writes == 0)
		die("nothing was checked");
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		unsigned long long *number;
		const char **text;
	} options[] = {
		{ "--seed", &seed, NULL },
		{ "--record", &record_size, NULL },
		{ "--size", &image_size, NULL },
		{ "--processes", &processes, NULL },
		{ "--operations", &operations, NULL },
		{ "--limit", &limit, NULL },
		{ "--dump", NULL, &dump },
		{ "--resize", NULL, &resized },
	};
	struct process process;
	int at = 1;

	for (; at + 1 < argc && argv[at][0] == '-'; at += 2) {
		size_t i = 0;

		while (i < sizeof(options) / sizeof(options[0]) &&
		       strcmp(options[i].name, argv[at]))
			i++;
		if (i == sizeof(options) / sizeof(options[0]))
			die("unknown option %s", argv[at]);
		if (options[i].number)
			*options[i].number = strtoull(argv[at + 1], NULL, 0);
		else
			*options[i].text = argv[at + 1];
	}
	for (; at < argc; at++)
		if (file_count < FILES_MAX)
			file_parse(argv[at], &files[file_count++]);
	if (file_count == 0 || processes + 1 > PROCESSES_MAX)
		die("no files, or too many processes");
	printf("seed %llu\n", seed);
	fflush(stdout);
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
		      0);
	if (shared == MAP_FAILED)
		return 1;
	records = records_new(image_size / record_size, record_size);
	records_write();
	run_all();
	process_new(&process, processes + 1);
	files_check(&process);
	usage_check();
	if (dump)
		records_dump();
	return 0;
}
