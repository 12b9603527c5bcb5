/* SPDX-License-Identifier: MIT */
#ifndef CORE_IMAGE_INTERNAL_H
#define CORE_IMAGE_INTERNAL_H

#include "lease.h"
#include "map.h"
#include "mmapfs/image.h"

#include <pthread.h>
#include <stdatomic.h>
#include <sys/stat.h>
#include <time.h>

/* What a change of an image by anybody moves. */
struct image_stamp {
	uint64_t size;
	struct timespec mtime;
	struct timespec ctime;
	bool fresh; /* taken too soon after a change: one more may leave it as it is */
};

struct image {
	atomic_uint references;
	int fd;
	bool writable;
	bool block_device;
	bool read_by_call; /* reads must not go through the mapping: see read.c */
	bool remote;       /* somebody else than the kernel answers for the file */
	bool memory;       /* from image_create(): see memory.c */
	bool resident;     /* its file system is memory: no read waits for a medium */
	bool write_mapped; /* a first write goes through the mapping, for its huge pages */
	struct memory_policy policy;
	dev_t device; /* identity: of the file, or the device that a block device node names */
	ino_t inode;  /* of a regular file */
	mode_t mode;
	struct timespec opened_mtime;
	char *path; /* for the log */
	struct map map;
	struct lease lease;
	atomic_bool fine_stamps;  /* each change that follows a look at the times moves them */
	atomic_bool resized;      /* metadata that fdatasync may leave out is pending */
	atomic_bool blocking;     /* its file system knows no RWF_NOWAIT */
	_Atomic int64_t cut_seen; /* when: CLOCK_MONOTONIC seconds + 1; 0: never */

	pthread_mutex_t lock;
	struct image_stamp stamp; /* guarded by lock: what image_generation() saw last */
	uint32_t generation;      /* guarded by lock */

	/* guarded by the one errors_lock of image.c */
	uint64_t error_number; /* of the last error, counted over all images; 0: none */
	int error;
	bool error_told;
	time_t error_logged; /* CLOCK_MONOTONIC seconds */
};

/* With one reference, the descriptor -1, and a copy of path. NULL when out of memory. */
struct image *image_new(const char *path);

/* Before a write that may take memory for pages of an image in memory: 0 or -ENOSPC. */
int image_reserve(struct image *image, uint64_t offset, uint64_t size);

/* Of a block device: of its node, and no size. */
int image_stamp(struct image *image, struct image_stamp *ret);

/* Whether nothing can have changed the image between the two. */
bool image_stamp_holds(const struct image_stamp *before, const struct image_stamp *after);

/* The image was met shorter than it is to be. Who cuts it once may do so again: for some seconds
 * reads then do without the mapping (read.c says why).
 */
void image_note_cut(struct image *image);
bool image_cut_lately(const struct image *image);

#endif
