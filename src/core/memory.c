/* SPDX-License-Identifier: MIT */
/* Images in memory: scratch space for as long as the mount lives.
 *
 * A memfd that is mapped like any file. Nobody but us has it, and unless slices may resize it, it is
 * sealed in its size: what image_open() must guard against cannot happen, so a first write needs no
 * lease. What can happen is that there is no memory for a page: the kernel then wakes the OOM
 * killer, or raises SIGBUS. So before pages are taken there is a look at what is left, and ENOSPC.
 *
 * write(2) gives a memfd small pages whatever the mapping wants (but for kernels that are told to
 * always take huge ones). So where huge ones are asked for, first writes are copies, too.
 */
#include "available.h"
#include "cleanup.h"
#include "image_internal.h"
#include "overflow.h"
#include "trim.h"

#include <fcntl.h>
#include <linux/memfd.h>
#include <stdio.h>
#include <sys/mman.h>

#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 0x0008U /* Linux 6.3 */
#endif

static void cleanup_image(struct image **image)
{
	image_unref(*image);
}

static int open_memory(const char *name)
{
	int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_NOEXEC_SEAL);

	if (fd < 0 && errno == EINVAL)
		fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
	return fd >= 0 ? fd : -errno;
}

/* As of a new file. */
static mode_t new_mode(void)
{
	mode_t mask = umask(0);

	umask(mask);
	return 0666 & ~mask;
}

static int give_size(int fd, uint64_t size, bool resize)
{
	if (size > INT64_MAX)
		return -EFBIG;
	if (ftruncate(fd, size) < 0)
		return -errno;
	return resize || fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) == 0
		       ? 0
		       : -errno;
}

int image_create(const char *name, uint64_t size, enum image_access access, unsigned flags,
		 struct image **ret)
{
	_cleanup_(cleanup_image) struct image *image = image_new(name);
	struct stat status;
	int result;

	if (!image)
		return -ENOMEM;
	image->fd = open_memory(name);
	if (image->fd < 0)
		return image->fd;
	result = give_size(image->fd, size, flags & IMAGE_RESIZE);
	if (result < 0)
		return result;
	if (fstat(image->fd, &status) < 0)
		return -errno;
	image->memory = true;
	image->resident = true;
	image->read_by_call = true; /* a hole that is read through the mapping takes memory */
	image->writable = access != IMAGE_ACCESS_RO;
	image->lease.fd = image->fd;
	image->lease.fixed = !(flags & IMAGE_RESIZE);
	image->device = status.st_dev;
	image->inode = status.st_ino;
	image->mode = new_mode();
	image->opened_mtime = status.st_mtim;
	if (!(flags & IMAGE_INSPECT))
		result = map_create(image->fd, size, image->writable, &image->map);
	if (result < 0)
		return result;
	if (!(flags & IMAGE_INSPECT))
		trim_add(&image->map);
	*ret = steal_pointer(&image);
	return 0;
}

/* Whether all pages of the range are there; what lies past the end is not. */
static bool has_pages(const struct image *image, uint64_t offset, uint64_t size)
{
	off_t data = lseek(image->fd, offset, SEEK_DATA);
	off_t hole = data < 0 ? data : lseek(image->fd, offset, SEEK_HOLE);

	return (uint64_t)data == offset && hole >= 0 && (uint64_t)hole >= offset + size;
}

int image_reserve(struct image *image, uint64_t offset, uint64_t size)
{
	if (!image->memory || map_is_hot(&image->map, offset, size) || available_take(size))
		return 0;
	return has_pages(image, offset, size) ? 0 : -ENOSPC;
}
