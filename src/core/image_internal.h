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

/* What image_generation() watches. */
struct image_stamp {
	uint64_t size;
	struct timespec mtime;
	struct timespec ctime;
};

struct image {
	atomic_uint references;
	int fd;
	bool writable;
	bool block_device;
	bool read_by_call; /* reads must not go through the mapping: see read.c */
	bool remote;       /* somebody else than the kernel answers for the file */
	dev_t device;      /* identity: of the file, or the device that a block device node names */
	ino_t inode;       /* of a regular file */
	mode_t mode;
	struct timespec opened_mtime;
	char *path; /* for the log */
	struct map map;
	struct lease lease;
	atomic_bool resized; /* metadata that fdatasync may leave out is pending */

	pthread_mutex_t lock;
	struct image_stamp stamp; /* guarded by lock */
	bool stamp_fresh;         /* guarded by lock: taken too soon after a change to be trusted */
	uint32_t generation;      /* guarded by lock */

	/* guarded by the one errors_lock of image.c */
	uint64_t error_number; /* of the last error, counted over all images; 0: none */
	int error;
	bool error_told;
	time_t error_logged; /* CLOCK_MONOTONIC seconds */
};

#endif
