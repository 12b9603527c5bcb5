/* SPDX-License-Identifier: MIT */
#ifndef MMAPFS_SLICE_H
#define MMAPFS_SLICE_H

#include "mmapfs/image.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

/* The length of an extent that reaches to the end of its image. Only the last one of a slice. */
#define EXTENT_TAIL UINT64_MAX

/* A byte range of one image. Any byte, no alignment; offset + length never overflows. */
struct extent {
	uint64_t start;      /* where it lies in the slice: the sum of the lengths before it */
	uint64_t offset;     /* where it lies in the image; 0 for zeros */
	uint64_t length;     /* bytes, or EXTENT_TAIL */
	struct image *image; /* borrowed from the tree; NULL: zeros */
};

/* One file: extents in order. Immutable, and shared by all threads without a lock.
 *
 * All calls take offsets within the slice, any thread, no lock held; they may block on page
 * faults and on the disk. They return 0 or a negative errno, and leave ret untouched on failure.
 * -EIO is the answer wherever an image has shrunk below the range.
 */
struct slice {
	const struct extent *extents;
	struct image **images; /* each once, then NULL; or NULL, as long as extents are few */
	uint32_t extent_count; /* at least 1 */
	uid_t uid;
	gid_t gid;
	uint16_t mode; /* permission bits */
	bool writable;
	bool tail;   /* the last extent is EXTENT_TAIL */
	bool resize; /* a tail slice that may move its image's end */
	bool alias;  /* shares a byte with another slice, or with itself, and one is writable */
	struct memory_policy policy; /* what it says itself; its images say the rest */
	uint8_t effects;             /* enum policy_bit: what comes to hold for any of its bytes */
};

/* Fill in the images of a slice of many extents, so that no request looks for them. They are the
 * caller's to free. 0 or -ENOMEM.
 */
int slice_note_images(struct slice *slice);

/* Current size in bytes: constant, but for tail slices. */
int slice_size(const struct slice *slice, uint64_t *ret);

/* Bytes of a slice for the kernel to take (writev of a FUSE reply): ranges of the mapping, which
 * user space must not touch, since that can raise SIGBUS; and what was read into ends already.
 */
#define SLICE_RANGES_MAX 64
struct slice_ranges {
	struct iovec ranges[SLICE_RANGES_MAX];
	struct image *images[SLICE_RANGES_MAX]; /* whose mapping a range lies in; NULL: nobody's */
	int count;
	size_t size; /* bytes, all together */
	char ends[64 << 10];
};

/* Describe up to size bytes at offset. A page of the mapping that is lost by the time the kernel
 * takes it makes the kernel's call fail with EFAULT; nothing else is ever taken for content.
 *
 * ret->size is short at the end of the slice. Where a later part of the range is lost, partial
 * decides between -EIO and the part before it. Ranges of zeros point to static memory. Ranges are
 * valid as long as *ret and the slice; *ret is undefined on failure.
 * Errors: -EIO; -E2BIG too much for struct slice_ranges: use slice_read.
 */
int slice_read_map(const struct slice *slice, uint64_t offset, size_t size, bool partial,
		   struct slice_ranges *ret);

/* To be called when the kernel has taken the ranges, or has failed to. */
void slice_ranges_taken(const struct slice_ranges *ranges);

/* What slice->effects ask for, around requests; nothing else depends on them, and they never fail.
 *
 * slice_advise: before [offset, offset + size) is read: random bytes are fetched exactly, and ahead
 * of sequential ones there are always some MiB on their way.
 * slice_passed: after a request for that range, which may have come to the end of some MiB that
 * are to be dropped behind.
 * slice_drop: the range out of the image's page cache, as far as it is clean; what is dirty is on
 * its way to the disk from now on.
 * slice_fetch: all that will be needed, up to half of the memory that is left, from the beginning.
 * Long; ends early when stop says so.
 */
void slice_advise(const struct slice *slice, uint64_t offset, uint64_t size);
void slice_passed(const struct slice *slice, uint64_t offset, uint64_t size);
void slice_drop(const struct slice *slice, uint64_t offset, uint64_t size);
void slice_fetch(const struct slice *slice, bool (*stop)(void *context), void *context);

/* Of a stream: so much may stay behind it until slice_drop() is called for its end. */
#define SLICE_BEHIND_MAX (12UL << 20)

/* Copy up to size bytes at offset into buf; *ret_size is short at the end of the slice, and with
 * partial before a lost range. On -EIO buf is undefined.
 */
int slice_read(const struct slice *slice, uint64_t offset, void *buf, size_t size, bool partial,
	       size_t *ret_size);

/* As slice_read without partial, for somebody who can do without: no wait for the medium.
 * Errors: -EAGAIN when not all of it is in memory, or the image is being changed; -EIO.
 */
int slice_read_cached(const struct slice *slice, uint64_t offset, void *buf, size_t size,
		      size_t *ret_size);

/* Call this before a read waits for the medium, in the thread that reads: it may want to have its
 * other work done meanwhile. Set once, before the first read; NULL, as at the start: nothing.
 */
void slice_on_wait(void (*callback)(void));

/* Write size bytes from buf at offset: in the image's page cache on return. A failure behind the
 * first byte gives a short *ret_size.
 * Errors: -EROFS; -ENOSPC past the end of a slice without resize, on zeros, or of the disk;
 * -EFBIG past what the mapping can grow to; -EIO, -EDQUOT from the image.
 */
int slice_write(const struct slice *slice, uint64_t offset, const void *buf, size_t size,
		size_t *ret_size);

/* As slice_write, for whole pages of a page cache, of which anybody may have written any part: an
 * error keeps nothing else from being written, and the first one is returned. Zeros where the slice
 * has zeros are no change, and taken. *ret_size is what was taken, also on failure.
 */
int slice_write_pages(const struct slice *slice, uint64_t offset, const void *buf, size_t size,
		      size_t *ret_size);

/* As slice_write at the end of a slice with resize, wherever that is when the bytes arrive: no
 * other append can come in between.
 */
int slice_append(const struct slice *slice, const void *buf, size_t size, size_t *ret_size);

/* Make the bytes [offset, offset + length) durable; nothing but their pages is written, and what
 * else the file system commits along. Length UINT64_MAX: to the end. Errors are also recorded on
 * the image (image_error_record).
 */
int slice_flush(const struct slice *slice, uint64_t offset, uint64_t length);

/* 0, or -EIO when an image has become too short for the range: what was written there is gone. */
int slice_check_held(const struct slice *slice, uint64_t offset, uint64_t length);

/* SEEK_DATA and SEEK_HOLE. Errors: -ENXIO at or past the end, or no data behind offset. */
int slice_seek(const struct slice *slice, uint64_t offset, int whence, uint64_t *ret);

/* fallocate(2) with mode 0 or FALLOC_FL_KEEP_SIZE, _PUNCH_HOLE, _ZERO_RANGE. Ranges past the end
 * are clipped under KEEP_SIZE, else they resize the slice where it can.
 * Errors: -EOPNOTSUPP, -EROFS, -ENOSPC.
 */
int slice_allocate(const struct slice *slice, int mode, uint64_t offset, uint64_t length);

/* Copy between or within slices; overlapping bytes of an image arrive as if through a buffer of
 * COPY_CHUNK bytes. *ret_size is short at the source's end, and after SLICE_COPY_MAX.
 */
#define SLICE_COPY_MAX (64UL << 20)
int slice_copy(const struct slice *source, uint64_t source_offset, const struct slice *target,
	       uint64_t target_offset, size_t size, size_t *ret_size);

/* Errors: -EPERM unless the slice has resize and size reaches its tail. */
int slice_resize(const struct slice *slice, uint64_t size);

/* Units of 512 bytes that the slice's images have allocated for it (holes and zeros are none). */
uint64_t slice_blocks(const struct slice *slice);

/* Whether some image lies behind both. */
bool slice_shares_image(const struct slice *a, const struct slice *b);

/* Whether slice_size() and slice_blocks() wait for nobody but the local disk: no image lies on a
 * network file system, or on another FUSE file system.
 */
bool slice_is_prompt(const struct slice *slice);

/* The sum of its images' generations: unchanged exactly when none of them moved. */
uint32_t slice_generation(const struct slice *slice);

/* Writeback errors as one handle sees them: a cursor to start with, and then, at each fsync, the
 * error of any of its images since (0 or negative errno), once.
 */
uint64_t slice_error_sample(const struct slice *slice);
int slice_error_check(const struct slice *slice, uint64_t *cursor);

#endif
