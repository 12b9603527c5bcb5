/* SPDX-License-Identifier: MIT */
#ifndef UNIT_SLICES_H
#define UNIT_SLICES_H

#include "support.h"

#include "mmapfs/slice.h"

/* Images and slices for the tests of slices, without a tree around them. */

#define EXTENTS_MAX 16

struct made {
	struct slice slice;
	struct extent extents[EXTENTS_MAX];
};

#define RANGE(from, at, bytes)                                                                     \
	{                                                                                          \
		.image = (from), .offset = (at), .length = (bytes)                                 \
	}
#define TAIL(from, at) RANGE(from, at, EXTENT_TAIL)
#define ZEROS(bytes) RANGE(NULL, 0, bytes)

/* A slice of the given ranges, in order. */
#define make(made, writable, ...)                                                                  \
	make_slice((made), (writable), (const struct extent[]){ __VA_ARGS__ },                     \
		   COUNT(((const struct extent[]){ __VA_ARGS__ })))
void make_slice(struct made *made, bool writable, const struct extent *extents, size_t count);

struct image *image_at(const char *path, enum image_access access);

/* A new file of random bytes, opened to write. */
struct image *new_image(const char *path, size_t size);

/* What the slice should hold, byte by byte from its images' descriptors; the caller's. */
char *slice_expect(const struct made *made, size_t *ret_size);

/* slice_read() by slice_read_map(), and as the kernel takes the ranges of a reply. */
int read_as_reply(const struct slice *slice, uint64_t offset, void *buf, size_t size, bool partial,
		  size_t *ret_size);

/* Reads [offset, offset + size), which must give exactly bytes, in each of the ways there are. */
void assert_slice_holds(const struct made *made, uint64_t offset, const void *bytes, size_t size);

/* The whole slice reads as what its images hold. */
void assert_slice_reads(const struct made *made);

void assert_slice_size(const struct made *made, uint64_t size);

/* slice_write() of the whole of buf. */
void assert_writes(const struct made *made, uint64_t offset, const void *buf, size_t size);

/* Every test with its files on $TMPDIR, and then on a tmpfs. */
#define run_on_both(tests)                                                                         \
	(scratch_use(NULL), cmocka_run_group_tests_name("on $TMPDIR", (tests), NULL, NULL)) +      \
		(scratch_use("/dev/shm"),                                                          \
		 cmocka_run_group_tests_name("on tmpfs", (tests), NULL, NULL))

#endif
