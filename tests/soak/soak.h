/* SPDX-License-Identifier: MIT
 *
 * What the parts of the soak share; soak.c says what it is.
 */
#ifndef SOAK_H
#define SOAK_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

#define PAGE 4096UL
#define IMAGES 3
#define SLICES 1000
#define CLIENTS 8
#define EXTENTS_MAX 6
#define LENGTH_MAX ((size_t)128 << 10) /* of one operation */
#define TAIL_MAX ((uint64_t)64 << 10)  /* of the tail that grows */
#define IMAGE_MAX ((uint64_t)48 << 20) /* room for the model of one image */
#define RING 32                        /* operations of one client that are remembered */
#define WINDOWS 256                    /* windows of faults that are remembered */

enum image_number { ONE, TWO, THREE, ZEROS };

/* --- layout.c: what is mounted, by the seed alone
 * -----------------------------------------------
 */

struct extent {
	int image;
	uint64_t offset, length;
};

struct slice {
	char name[24];
	int owner; /* the client that writes these bytes; nobody writes those of a lonely ro */
	bool writable, tail, resize;
	bool mappable; /* shares no page with another slice, so it goes through the page cache */
	int count;
	uint64_t size;
	struct extent extents[EXTENTS_MAX];
};

struct layout {
	uint64_t size[IMAGES];
	struct slice slices[SLICES];
};

extern struct layout layout;

/* The slice that moves the end of the first image, and the tail of the second. */
#define GROWING (&layout.slices[SLICES - 1])
#define TAIL (&layout.slices[SLICES - 2])

void layout_make(uint64_t seed);
int layout_write(const char *folder, const char *three, const char *table);

/* --- what all processes share
 * -------------------------------------------------------------------
 */

/* What a client does, for the summary. */
#define KINDS(X)                                                                                   \
	X(READ, "reads")                                                                           \
	X(READ_OTHER, "reads of others' slices")                                                   \
	X(READ_DIRECT, "reads, O_DIRECT")                                                          \
	X(LOAD, "loads from mappings")                                                             \
	X(WRITE, "writes, O_RDWR")                                                                 \
	X(WRITE_ONLY, "writes, O_WRONLY")                                                          \
	X(WRITE_DIRECT, "writes, O_DIRECT")                                                        \
	X(WRITE_SYNC, "writes, O_SYNC")                                                            \
	X(STORE, "stores and msync")                                                               \
	X(ALLOCATE, "fallocate, allocate")                                                         \
	X(PUNCH, "fallocate, punch hole")                                                          \
	X(ZERO, "fallocate, zero range")                                                           \
	X(COPY, "copy_file_range")                                                                 \
	X(SYNC, "fsync, fdatasync")                                                                \
	X(SEEK, "SEEK_DATA, SEEK_HOLE")                                                            \
	X(STAT, "stat, truncate to the size")                                                      \
	X(REFUSED, "refused calls")                                                                \
	X(GROW, "appends, truncations")                                                            \
	X(OPEN, "opens")

enum kind {
#define KIND_NAME(name, text) KIND_##name,
	KINDS(KIND_NAME)
#undef KIND_NAME
		KIND_COUNT
};

/* What can be wrong with an image for a while. */
enum trouble { NOTHING, CUT, FULL };

/* Where a window of trouble has got to. */
enum phase { CALM, BEGINNING, STEADY, ENDING };

struct record {
	uint32_t slice;
	uint32_t kind;
	uint64_t offset;
	uint64_t length;
};

struct client {
	/* Operations that change bytes are numbered. Number n is in ring[n % RING] from before
	 * begun becomes n + 1 until begun becomes n + RING. From done == n + 1 on the model has it.
	 */
	_Atomic uint64_t begun, done;
	struct record ring[RING];
	struct record look;     /* the last read; not exact for others */
	_Atomic bool unsettled; /* the operation under way is redone when the trouble is over */
	_Atomic bool growing;   /* an operation on the slice that moves its image's end */
	_Atomic uint64_t beat;  /* when the operation under way began, in ms; 0 is none */
	_Atomic uint64_t grow_low, grow_high; /* where that slice's size may be meanwhile */
	const char *doing;                    /* a literal: the same in all processes */
	uint64_t counts[KIND_COUNT], bytes[KIND_COUNT];
	uint64_t eio, enospc, enodev, sigbus, refused_eio, erofs, eperm, enospc_end, unsupported;
	uint64_t redone, unchecked, written;
	uint8_t payload[RING][LENGTH_MAX];
};

struct window {
	enum trouble trouble;
	uint64_t lost_from; /* CUT: where image TWO ends now */
};

struct shared {
	_Atomic bool stop, failed;
	/* Moves at each change of phase; moment / 4 is the window, moment % 4 the phase. */
	_Atomic uint64_t moment;
	struct window windows[WINDOWS];
	_Atomic uint64_t size_one; /* image ONE's, which the growing slice moves */
	uint64_t seed;
	const char *folder, *mountpoint; /* set before the clients are forked */
	char paths[IMAGES][4096];
	struct client clients[CLIENTS];
	uint8_t model[IMAGES][IMAGE_MAX];
};

extern struct shared *shared;

uint64_t now_ms(void);

/* Says what is wrong and ends the process with 1; everybody else ends, too. */
void die(const char *format, ...) __attribute__((noreturn, format(printf, 1, 2)));

/* --- chance.c
 * -----------------------------------------------------------------------------------
 */

void chance_seed(uint64_t seed);
uint64_t chance(uint64_t limit); /* below limit; 0 for 0 */
bool one_in(uint64_t count);
void chance_fill(uint8_t *buf, size_t length);

/* --- model.c: the bytes that must be there
 * ------------------------------------------------------
 */

struct piece {
	int image;
	uint64_t offset, length;
	uint64_t position; /* from the first byte of the range */
};

/* Calls body for each piece of the range of a slice. */
bool piece_next(const struct slice *slice, uint64_t offset, uint64_t length, int *index,
		struct piece *ret);
#define for_each_piece(piece, slice, offset, length)                                               \
	for (int i_ = 0; piece_next(slice, offset, length, &i_, &(piece));)

/* To get past the mount. Nobody keeps an image open for long: while somebody does, the daemon
 * writes in another way.
 */
int image_open(int image);
uint64_t image_size(int image);

void model_get(const struct slice *slice, uint64_t offset, size_t length, uint8_t *ret);
void model_put(const struct slice *slice, uint64_t offset, size_t length, const uint8_t *data);

/* An operation that writes payload to the range, by its owner: begin, the call, and then one of
 * the ends. model_begin gives the buffer that the caller fills before it calls model_publish.
 */
uint8_t *model_begin(int client, const struct slice *slice, uint64_t offset, size_t length,
		     enum kind kind);
void model_publish(int client);
void model_end(int client, size_t length);    /* the first length bytes are there, no others */
void model_settle(int client, size_t length); /* those are; of the others the image itself tells */

/* Data that was read must be the model's; of a slice that another client may write meanwhile, a
 * byte may also be what an operation on its way has for it.
 */
struct glance {
	uint64_t low;
	uint8_t before[LENGTH_MAX];
};
void check_own(const struct slice *slice, uint64_t offset, size_t length, const uint8_t *data);
void glance_begin(struct glance *glance, const struct slice *slice, uint64_t offset, size_t length);
/* false: too much has happened meanwhile to tell. */
bool glance_check(struct glance *glance, const struct slice *slice, uint64_t offset, size_t length,
		  const uint8_t *data);

/* The operation of a client that was under way: each byte is old or new. */
void check_either(int client, const uint8_t *data, size_t length);

/* --- windows
 * ------------------------------------------------------------------------------------
 */

/* Whether the range, rounded to pages of the slice, met this trouble between two moments. */
bool met_trouble(const struct slice *slice, uint64_t offset, size_t length, uint64_t from,
		 uint64_t to, enum trouble trouble);
/* Whether all of the range was lost from the first moment to the second. */
bool was_lost(const struct slice *slice, uint64_t offset, size_t length, uint64_t from,
	      uint64_t to);
bool in_trouble(uint64_t moment);

/* --- the processes
 * ------------------------------------------------------------------------------
 */

void client_run(int number, uint64_t seed) __attribute__((noreturn));
int slice_open(const struct slice *slice, int flags);
void slice_check_all(const struct slice *slice, int flags);

/* growing.c: the slice that moves its image's end */
void growing_step(int client);
void growing_recover(int client);

/* faults.c: one after the other, by the parent */
struct faults {
	pid_t daemon;
	pid_t clients[CLIENTS];
	bool root;
	bool sanitized; /* the daemon has a sanitizer's memory and descriptors */
	bool small;     /* image THREE has a file system of its own */
	uint64_t born;
	uint64_t redone; /* as the last syncfs saw it */
	uint64_t cuts, cut_bytes, fulls, stops, kills, strays, stray_bytes, syncs, drops, compacts;
};

void faults_prepare(struct faults *faults);
void fault_inject(struct faults *faults);
void faults_sync(struct faults *faults); /* takes what there is to tell of stores; dies of more */
void client_start(struct faults *faults, int number);
void watch(struct faults *faults); /* dies when a client has failed, or hangs */

/* daemon.c: what the daemon holds */
struct figures {
	uint64_t anonymous, page_tables; /* KiB */
	uint64_t threads, descriptors;
};

int figures_get(pid_t pid, bool sanitized, struct figures *ret);
uint64_t stats_get(const char *name);

#endif
