/* SPDX-License-Identifier: MIT
 *
 * soak: load on a mount of a thousand slices, while everything around it goes wrong.
 *
 *     soak make SEED FOLDER THREE TABLE
 *         the images FOLDER/one, FOLDER/two and THREE, and the table that shows them
 *     soak run [--seconds N] [--root] [--small] [--sanitized] SEED FOLDER THREE MOUNT PID
 *         the load on that table, mounted at MOUNT by the daemon PID; PID is never 0.
 *         --root       caches are dropped
 *         --small      THREE has a small file system of its own, which is filled up
 *         --sanitized  the daemon's memory is a sanitizer's, and not judged
 *
 * Eight processes are the clients. Each owns some slices and changes only those, so that it knows
 * what they hold: a copy of each image, shared by all (model.c). It also reads the slices of the
 * others, and finds each byte to be the model's, or what a call of the owner that is on its way has
 * for it. The parent injects faults (faults.c). Every error outside of a fault's window, or of its
 * range, ends the soak with 1.
 *
 * At the end the daemon must hold no more than after the warm-up, all slices and images must be the
 * model's, and FOLDER/one.model and so on are left, to be compared with the images once more when
 * nothing is mounted.
 */
#include "soak.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* KiB that the daemon's own memory, and its page tables, may grow by after the warm-up. */
#define GROWTH_MAX 4096

struct shared *shared;

static struct faults faults;
static pid_t parent;
static struct figures start, warm,
	last; /* warm and last: the most of the second and last quarter */

uint64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static void end_clients(void)
{
	for (int i = 0; i < CLIENTS; i++) {
		if (faults.clients[i] > 0) {
			kill(faults.clients[i], SIGKILL);
			waitpid(faults.clients[i], NULL, 0);
		}
	}
}

void die(const char *format, ...)
{
	char text[1024];
	enum trouble trouble;
	uint64_t moment;
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	if (!shared) {
		fprintf(stderr, "soak: FAILED: %s\n", text);
		exit(1);
	}
	moment = shared->moment;
	trouble = shared->windows[moment / 4 % WINDOWS].trouble;
	fprintf(stderr, "soak: FAILED in phase %d of window %" PRIu64 " (%s), process %d: %s\n",
		(int)(moment % 4), moment / 4,
		trouble == CUT    ? "an image is cut"
		: trouble == FULL ? "a disk is full"
				  : "nothing yet",
		(int)getpid(), text);
	shared->failed = true;
	if (getpid() == parent) {
		if (faults.daemon)
			kill(faults.daemon, SIGCONT);
		end_clients();
	}
	exit(1);
}

/* --- beginning
 * ----------------------------------------------------------------------------------
 */

static void share(uint64_t seed, const char *folder, const char *three, const char *mountpoint)
{
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE,
		      MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (shared == MAP_FAILED) {
		shared = NULL;
		die("mmap: %s", strerror(errno));
	}
	shared->seed = seed;
	shared->folder = folder;
	shared->mountpoint = mountpoint;
	snprintf(shared->paths[ONE], sizeof(shared->paths[ONE]), "%s/one", folder);
	snprintf(shared->paths[TWO], sizeof(shared->paths[TWO]), "%s/two", folder);
	snprintf(shared->paths[THREE], sizeof(shared->paths[THREE]), "%s", three);
	shared->size_one = layout.size[ONE];
}

/* All of the image; room is for IMAGE_MAX bytes. */
static void read_image(int image, uint8_t *room, uint64_t size)
{
	int fd = image_open(image);

	if (size + TAIL_MAX > IMAGE_MAX || pread(fd, room, IMAGE_MAX, 0) != (ssize_t)size)
		die("image %d has not %ju bytes", image, (uintmax_t)size);
	close(fd);
}

/* --- judging
 * ------------------------------------------------------------------------------------
 */

static uint64_t more(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

static void sample(struct figures *most)
{
	struct figures now;
	int result = figures_get(faults.daemon, faults.sanitized, &now);

	if (result < 0)
		die("the daemon's figures: %s", strerror(-result));
	*most = (struct figures){ more(most->anonymous, now.anonymous),
				  more(most->page_tables, now.page_tables),
				  more(most->threads, now.threads),
				  more(most->descriptors, now.descriptors) };
}

static void check_memory(void)
{
	printf("soak: daemon at the start, after the warm-up, at the end: own memory %ju %ju %ju "
	       "KiB; page tables %ju %ju %ju KiB; threads %ju %ju %ju\n",
	       (uintmax_t)start.anonymous, (uintmax_t)warm.anonymous, (uintmax_t)last.anonymous,
	       (uintmax_t)start.page_tables, (uintmax_t)warm.page_tables,
	       (uintmax_t)last.page_tables, (uintmax_t)start.threads, (uintmax_t)warm.threads,
	       (uintmax_t)last.threads);
	if (faults.sanitized) {
		printf("soak: memory is not judged: it is a sanitizer's\n");
		return;
	}
	if (last.anonymous > warm.anonymous + GROWTH_MAX)
		die("the daemon's memory has grown");
	if (last.page_tables > warm.page_tables + GROWTH_MAX)
		die("the daemon's page tables have grown");
	if (last.threads > 80)
		die("the daemon has too many threads");
}

static void list_descriptors(void)
{
	char path[64];
	char target[256];

	for (int fd = 0; fd < 1024; fd++) {
		ssize_t length;

		snprintf(path, sizeof(path), "/proc/%d/fd/%d", (int)faults.daemon, fd);
		length = readlink(path, target, sizeof(target));
		if (length > 0)
			fprintf(stderr, "soak: descriptor %d: %.*s\n", fd, (int)length, target);
	}
}

static void check_descriptors(void)
{
	struct figures now = { 0 };

	for (int try = 0; try < 500; try++) {
		now = (struct figures){ 0 };
		sample(&now);
		if (now.descriptors <= start.descriptors)
			break;
		usleep(20000);
	}
	printf("soak: descriptors at the start %ju, at the end %ju\n", (uintmax_t)start.descriptors,
	       (uintmax_t)now.descriptors);
	if (now.descriptors <= start.descriptors)
		return;
	list_descriptors();
	die("the daemon has kept descriptors");
}

static void check_bytes(void)
{
	static uint8_t buf[IMAGE_MAX];
	char path[4200];

	for (int i = 0; i < SLICES - 1; i++) {
		slice_check_all(&layout.slices[i], O_RDONLY);
		slice_check_all(&layout.slices[i], O_RDONLY | O_DIRECT);
	}
	for (int image = 0; image < IMAGES; image++) {
		uint64_t size = image == ONE ? (uint64_t)shared->size_one : layout.size[image];
		FILE *out;

		read_image(image, buf, size);
		for (uint64_t i = 0; i < size; i++)
			if (buf[i] != shared->model[image][i])
				die("image %d, byte %ju: 0x%02x, not 0x%02x", image, (uintmax_t)i,
				    buf[i], shared->model[image][i]);
		snprintf(path, sizeof(path), "%s/%s.model", shared->folder,
			 image == ONE   ? "one"
			 : image == TWO ? "two"
					: "three");
		out = fopen(path, "we");
		if (!out || fwrite(shared->model[image], 1, size, out) != size || fclose(out))
			die("%s: %s", path, strerror(errno));
	}
}

/* --- the summary
 * --------------------------------------------------------------------------------
 */

static const char *const kind_texts[] = {
#define KIND_TEXT(name, text) text,
	KINDS(KIND_TEXT)
#undef KIND_TEXT
};

static uint64_t sum_at(size_t offset)
{
	uint64_t sum = 0;

	for (int i = 0; i < CLIENTS; i++)
		sum += *(const uint64_t *)(const void *)((const char *)&shared->clients[i] +
							 offset);
	return sum;
}

#define SUM(field) sum_at(offsetof(struct client, field))

static void print_faults(void)
{
	printf("soak: faults: %ju cuts of %ju MiB in all, %ju full disks, %ju stops of the daemon, "
	       "%ju clients killed, %ju times outsiders' writes (%ju bytes), %ju syncfs, "
	       "%ju caches dropped, %ju compactions\n",
	       (uintmax_t)faults.cuts, (uintmax_t)faults.cut_bytes >> 20, (uintmax_t)faults.fulls,
	       (uintmax_t)faults.stops, (uintmax_t)faults.kills, (uintmax_t)faults.strays,
	       (uintmax_t)faults.stray_bytes, (uintmax_t)faults.syncs, (uintmax_t)faults.drops,
	       (uintmax_t)faults.compacts);
	printf("soak: errors in windows: EIO %ju, SIGBUS %ju, ENOSPC %ju; %ju operations redone; at "
	       "any time: ENOSPC at the end %ju, EPERM %ju, EROFS %ju, EOPNOTSUPP %ju, no mapping "
	       "beside a direct writer %ju\n",
	       (uintmax_t)SUM(eio), (uintmax_t)SUM(sigbus), (uintmax_t)SUM(enospc),
	       (uintmax_t)SUM(redone), (uintmax_t)SUM(enospc_end), (uintmax_t)SUM(eperm),
	       (uintmax_t)SUM(erofs), (uintmax_t)SUM(unsupported), (uintmax_t)SUM(enodev));
}

static void print_summary(void)
{
	uint64_t total = 0;
	uint64_t bytes = 0;

	for (int kind = 0; kind < KIND_COUNT; kind++) {
		uint64_t count = SUM(counts[kind]);
		uint64_t moved = SUM(bytes[kind]);

		printf("soak: %10ju %-26s %10ju KiB\n", (uintmax_t)count, kind_texts[kind],
		       (uintmax_t)moved >> 10);
		total += count;
		bytes += moved;
	}
	printf("soak: %10ju in all %37ju KiB; %ju reads were passed by too fast to be told\n",
	       (uintmax_t)total, (uintmax_t)bytes >> 10, (uintmax_t)SUM(unchecked));
	print_faults();
}

/* The daemon's own counters: no smaller than what clients have seen. A killed client may have been
 * answered what it could not count.
 */
static void check_stats(void)
{
	const struct {
		const char *name;
		uint64_t least;
	} wants[] = {
		{ "reads", SUM(counts[KIND_READ_DIRECT]) },
		{ "read_bytes", SUM(bytes[KIND_READ_DIRECT]) },
		{ "writes", SUM(counts[KIND_WRITE]) },
		{ "write_bytes", SUM(bytes[KIND_WRITE]) + SUM(bytes[KIND_WRITE_ONLY]) },
		{ "write_copies", 1 },
		{ "write_calls", 1 },
		{ "fsyncs", SUM(counts[KIND_SYNC]) },
		{ "msyncs", SUM(counts[KIND_SYNC]) },
		{ "opens", SUM(counts[KIND_OPEN]) },
		{ "errors_eperm", SUM(eperm) },
		{ "errors_erofs", SUM(erofs) },
		{ "errors_enospc", SUM(enospc) + SUM(enospc_end) },
		{ "errors_eio", SUM(eio) },
		{ "images", IMAGES },
		{ "slices", SLICES },
	};
	static const char *const none[] = { "writeback_errors", "errors_other" };

	for (size_t i = 0; i < sizeof(wants) / sizeof(wants[0]); i++) {
		uint64_t value = stats_get(wants[i].name);

		printf("soak: stats: %s %ju, at least %ju\n", wants[i].name, (uintmax_t)value,
		       (uintmax_t)wants[i].least);
		if (value < wants[i].least)
			die("%s of the daemon is too small", wants[i].name);
	}
	for (size_t i = 0; i < sizeof(none) / sizeof(none[0]); i++)
		if (stats_get(none[i]) > SUM(unsupported))
			die("%s of the daemon is %ju", none[i], (uintmax_t)stats_get(none[i]));
}

/* A soak in which something never happened has shown nothing about it. */
static void check_load(void)
{
	for (int kind = 0; kind < KIND_COUNT; kind++)
		if (SUM(counts[kind]) == 0)
			die("no %s at all", kind_texts[kind]);
	if (!faults.cuts || !faults.stops || !faults.kills || !faults.strays || !faults.syncs ||
	    (faults.root && !faults.drops) || (faults.small && (!faults.fulls || !SUM(enospc))))
		die("a kind of fault never came");
	if (!SUM(eio))
		die("no EIO in all of the cuts");
}

/* --- running
 * ------------------------------------------------------------------------------------
 */

static void run(uint64_t seconds)
{
	uint64_t begin = now_ms();
	uint64_t length = seconds * 1000;
	uint64_t passed;

	sample(&start);
	for (int i = 0; i < CLIENTS; i++)
		client_start(&faults, i);
	while ((passed = now_ms() - begin) < length) {
		fault_inject(&faults);
		if (passed >= length / 4 && passed < length / 2)
			sample(&warm);
		if (passed >= length - length / 4)
			sample(&last);
	}
	sample(&last);
	shared->stop = true;
	for (bool any = true; any; usleep(5000)) {
		watch(&faults);
		any = false;
		for (int i = 0; i < CLIENTS; i++)
			any |= faults.clients[i] != 0;
	}
	/* Else umount is told of stores that a full disk did not take, and that have been redone. */
	faults_sync(&faults);
	print_summary();
	check_memory();
	check_descriptors();
	check_bytes();
	check_stats();
	check_load();
}

static uint64_t number(const char *text)
{
	char *end;
	uint64_t value = strtoull(text, &end, 0);

	if (*end || !*text)
		die("not a number: %s", text);
	return value;
}

static int make(int count, char **words)
{
	int result;

	if (count != 5)
		die("usage: soak make SEED FOLDER THREE TABLE");
	layout_make(number(words[1]));
	result = layout_write(words[2], words[3], words[4]);
	if (result < 0)
		die("%s: %s", words[2], strerror(-result));
	return 0;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "seconds", required_argument, NULL, 's' },
		{ "root", no_argument, NULL, 'r' },
		{ "small", no_argument, NULL, 'm' },
		{ "sanitized", no_argument, NULL, 'z' },
		{ NULL, 0, NULL, 0 },
	};
	uint64_t seconds = 180;
	int option;

	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (option == 's')
			seconds = number(optarg);
		else if (option == 'r')
			faults.root = true;
		else if (option == 'm')
			faults.small = true;
		else if (option == 'z')
			faults.sanitized = true;
		else
			return 2;
	}
	argv += optind;
	argc -= optind;
	if (argc > 0 && !strcmp(argv[0], "make"))
		return make(argc, argv);
	if (argc != 6 || strcmp(argv[0], "run"))
		die("usage: soak run [OPTION...] SEED FOLDER THREE MOUNT PID");
	parent = getpid();
	faults.daemon = (pid_t)number(argv[5]);
	layout_make(number(argv[1]));
	share(number(argv[1]), argv[2], argv[3], argv[4]);
	for (int image = 0; image < IMAGES; image++)
		read_image(image, shared->model[image], layout.size[image]);
	faults_prepare(&faults);
	chance_seed(~shared->seed);
	run(seconds);
	printf("soak: every byte is where it belongs\n");
	return 0;
}
