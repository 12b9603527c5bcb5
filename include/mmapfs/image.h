/* SPDX-License-Identifier: MIT */
#ifndef MMAPFS_IMAGE_H
#define MMAPFS_IMAGE_H

#include "mmapfs/policy.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <time.h>

/* One backing image: a regular file or a block device, opened once and mapped once, whole.
 *
 * Any thread may use an image; the caller holds a reference. Requests on slices go through
 * mmapfs/slice.h; this page is for those who open images and watch over them.
 */
struct image;

enum image_access {
	IMAGE_ACCESS_AUTO, /* read-write where permitted, else read-only */
	IMAGE_ACCESS_RO,
	IMAGE_ACCESS_RW,
};

enum image_open_flags {
	IMAGE_NO_LOCK = 1 << 0, /* share the image with whoever holds a lock on it */
	IMAGE_INSPECT = 1 << 1, /* for a look only: opened to read, neither locked nor mapped;
				 * image_writable() says what a real open would get */
	IMAGE_RESIZE = 1 << 2,  /* some slice may move its end */
};

/* Open, lock and map the image at path. access RO maps without PROT_WRITE.
 *
 * The lock is an OFD lock over the file, exclusive for writers; shared for readers, who leave out
 * single bytes that have a meaning to QEMU. A block device opened to write is opened O_EXCL as
 * well. Both end with the last reference.
 *
 * *ret is the caller's (image_unref) and untouched on failure.
 * Errors: -EBUSY somebody else holds a lock; -EISDIR, -ENOTSUP neither regular file nor block
 * device; -ENOMEM no address space for the mapping; whatever open(2) gives.
 */
int image_open(const char *path, enum image_access access, unsigned flags, struct image **ret);

/* A new image of size zeros in memory, which is gone with its last reference. Memory is taken as it
 * is written to; name is for the log. Flags: INSPECT, RESIZE.
 *
 * Writes that need more memory than there is fail with -ENOSPC (available.h). Flushes do nothing.
 * Errors: -EFBIG; -ENOMEM; whatever memfd_create(2) and ftruncate(2) give.
 */
int image_create(const char *name, uint64_t size, enum image_access access, unsigned flags,
		 struct image **ret);

struct image *image_ref(struct image *image);
void image_unref(struct image *image); /* takes NULL */

bool image_writable(const struct image *image);
bool image_is_block_device(const struct image *image);
bool image_is_memory(const struct image *image);

/* Whether the file that status is of is this one, or names the same device. */
bool image_is(const struct image *image, const struct stat *status);

/* Permission bits and modification time at open. */
mode_t image_mode(const struct image *image);
struct timespec image_opened_mtime(const struct image *image);

/* The image's size in bytes at this moment. One fstat(2), about 0.2 us on a local file. */
int image_size(const struct image *image, uint64_t *ret);

/* The first hole that ends behind offset: *ret_start (at least offset) to *ret_end, of one byte or
 * more. Works on an image that was opened to look, too. Errors: -ENXIO no more holes, or nobody
 * can tell.
 */
int image_next_hole(const struct image *image, uint64_t offset, uint64_t *ret_start,
		    uint64_t *ret_end);

/* Bytes that the file system below a regular file has left for its user. */
int image_available(const struct image *image, uint64_t *ret);

/* What holds for slices that say nothing else. Set before the image is shared. */
void image_set_policy(struct image *image, struct memory_policy policy);
struct memory_policy image_policy(const struct image *image);

/* At the mount: what is asked for of [offset, offset + length), which the image holds, in whole
 * pages. All but the count of data take the mapping.
 *
 * image_data: how many bytes are not in holes. image_populate: read those in, and into the page
 * tables; of an image in memory, take memory for all. image_lock: into memory, to stay there; each
 * range that has no neighbour takes up to two of the process' mappings (vm.max_map_count), as with
 * image_use_hugepages: that is advice, and fails where the kernel has no huge pages for it.
 */
uint64_t image_data(const struct image *image, uint64_t offset, uint64_t length);
int image_populate(struct image *image, uint64_t offset, uint64_t length);
int image_lock(struct image *image, uint64_t offset, uint64_t length);
int image_use_hugepages(struct image *image, uint64_t offset, uint64_t length);

/* Everything dirty in the image onto the disk, whoever wrote it. Errors are recorded, too. */
int image_flush(struct image *image);

/* A number that moves whenever the image's size, mtime or ctime has moved since the last call:
 * pages cached under another number may be stale. Our own writes move it like anybody else's,
 * since nothing that the kernel reports tells the two apart.
 */
uint32_t image_generation(struct image *image);

/* Writeback errors. The kernel reports one to a file description once, to whichever flush comes
 * first, so the image remembers it: each handle keeps a cursor and fails once for each error that
 * came after it. A cursor counts the errors of all images, so that one serves a slice over many.
 */
void image_error_record(struct image *image, int error); /* error: negative errno */

/* The image's last error, negative errno, or 0. */
int image_error_last(struct image *image);

/* How many errors there were so far. An atomic load. */
uint64_t image_error_count(void);

/* The number of the image's last error if nobody has been told of it yet, else 0. */
uint64_t image_error_untold(struct image *image);

/* 0, or the image's last error (negative errno) if it is younger than cursor; it is told now. */
int image_error_since(struct image *image, uint64_t cursor);

#endif
