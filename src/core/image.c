/* SPDX-License-Identifier: MIT */
/* One open image: descriptor, identity, lock, mapping, and what went wrong with it. */
#include "image_internal.h"

#include "available.h"
#include "cleanup.h"
#include "log.h"
#include "stats.h"
#include "trim.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <linux/magic.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>
#include <syslog.h>

static pthread_mutex_t errors_lock = PTHREAD_MUTEX_INITIALIZER;
static _Atomic uint64_t errors_count; /* written under errors_lock */

/* Not by fstat: who looks at a file's times makes the next write stamp it anew, 0.3 µs. */
static int size_of(int fd, bool block_device, uint64_t *ret)
{
	struct statx status;

	if (block_device)
		return ioctl(fd, BLKGETSIZE64, ret) == 0 ? 0 : -errno;
	if (statx(fd, "", AT_EMPTY_PATH, STATX_SIZE, &status) < 0)
		return -errno;
	*ret = status.stx_size;
	return 0;
}

/* Regular file or block device; anything else is refused before it is opened to write, since
 * opening may already act (a FIFO, a tape).
 */
static int check_type(mode_t mode)
{
	if (S_ISREG(mode) || S_ISBLK(mode))
		return 0;
	return S_ISDIR(mode) ? -EISDIR : -ENOTSUP;
}

static int open_descriptor(const char *path, bool write, bool exclusive)
{
	int flags = O_CLOEXEC | O_NOCTTY | (write ? O_RDWR : O_RDONLY) |
		    (write && exclusive ? O_EXCL : 0);
	int fd = open(path, flags | O_NONBLOCK);

	/* Somebody has a lease on it, as we take them for writing: to be waited for. */
	if (fd < 0 && errno == EWOULDBLOCK)
		fd = open(path, flags);
	return fd >= 0 ? fd : -errno;
}

static bool write_refused(int error)
{
	return error == -EACCES || error == -EPERM || error == -EROFS || error == -ETXTBSY;
}

/* A block device can be read-only whatever its node's mode; root may open it to write even so. */
static bool device_read_only(int fd)
{
	int read_only = 0;

	return ioctl(fd, BLKROGET, &read_only) == 0 && read_only;
}

/* Open to write. The descriptor, or negative errno. */
static int open_writable(const char *path, mode_t mode, unsigned flags)
{
	/* A block device is then refused while it is mounted or claimed by another driver. */
	_cleanup_(cleanup_close) int fd =
		open_descriptor(path, true, S_ISBLK(mode) && !(flags & IMAGE_NO_LOCK));

	if (fd >= 0 && S_ISBLK(mode) && device_read_only(fd))
		return -EROFS;
	return steal_fd(&fd);
}

/* For a look only: opened to read, *ret_writable is what a real open would get. */
static int open_inspected(const char *path, enum image_access access, int *ret_fd,
			  bool *ret_writable)
{
	_cleanup_(cleanup_close) int fd = open_descriptor(path, false, false);
	int refused = 0;

	if (fd < 0)
		return fd;
	if (access != IMAGE_ACCESS_RO && faccessat(AT_FDCWD, path, W_OK, AT_EACCESS) < 0)
		refused = -errno;
	else if (access != IMAGE_ACCESS_RO && device_read_only(fd))
		refused = -EROFS;
	if (access == IMAGE_ACCESS_RW && refused)
		return refused;
	*ret_writable = access != IMAGE_ACCESS_RO && !refused;
	*ret_fd = steal_fd(&fd);
	return 0;
}

/* Opens with the best permitted access; *ret_fd is the caller's. */
static int open_accessible(const char *path, mode_t mode, enum image_access access, unsigned flags,
			   int *ret_fd, bool *ret_writable)
{
	bool writable = access != IMAGE_ACCESS_RO;
	int fd;

	if (flags & IMAGE_INSPECT)
		return open_inspected(path, access, ret_fd, ret_writable);
	fd = writable ? open_writable(path, mode, flags) : open_descriptor(path, false, false);
	if (access == IMAGE_ACCESS_AUTO && write_refused(fd)) {
		writable = false;
		fd = open_descriptor(path, false, false);
	}
	if (fd < 0)
		return fd;
	*ret_fd = fd;
	*ret_writable = writable;
	return 0;
}

/* QEMU says by read locks on single bytes what it does with a file: 100 + n, that it uses
 * permission n, and 200 + n, that it does not share it with others (RAW_LOCK_PERM_BASE,
 * RAW_LOCK_SHARED_BASE in its block/file-posix.c). Permission 1 is writing, 3 resizing.
 */
#define QEMU_WRITES 101

/* Who writes locks the whole file. Who reads locks it but for bytes that QEMU would misread: a
 * reader uses 100, and does not share 201 and 203.
 */
static const struct {
	off_t start;
	off_t length; /* 0: to the end, wherever that will be */
} reader_ranges[] = { { 0, 101 }, { 201, 1 }, { 203, 1 }, { 300, 0 } };

static bool qemu_writes(int fd)
{
	struct flock lock = {
		.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = QEMU_WRITES, .l_len = 1
	};

	return fcntl(fd, F_OFD_GETLK, &lock) == 0 && lock.l_type != F_UNLCK;
}

static int lock_range(int fd, short type, off_t start, off_t length)
{
	struct flock lock = {
		.l_type = type, .l_whence = SEEK_SET, .l_start = start, .l_len = length
	};

	if (fcntl(fd, F_OFD_SETLK, &lock) == 0)
		return 0;
	return errno == EAGAIN || errno == EACCES ? -EBUSY : -errno;
}

/* File systems without locks are no reason not to serve them. */
static int lock_file(int fd, bool write)
{
	size_t count = write ? 1 : sizeof(reader_ranges) / sizeof(*reader_ranges);
	int result = 0;

	for (size_t i = 0; result == 0 && i < count; i++)
		result = write ? lock_range(fd, F_WRLCK, 0, 0)
			       : lock_range(fd, F_RDLCK, reader_ranges[i].start,
					    reader_ranges[i].length);
	if (result == 0)
		return !write && qemu_writes(fd) ? -EBUSY : 0;
	return result == -ENOLCK || result == -ENOSYS || result == -EOPNOTSUPP ? 0 : result;
}

static int map_open_image(struct image *image, unsigned flags)
{
	uint64_t size;
	int result;

	if (flags & IMAGE_INSPECT)
		return 0;
	if (!(flags & IMAGE_NO_LOCK)) {
		result = lock_file(image->fd, image->writable);
		if (result < 0)
			return result;
	}
	result = size_of(image->fd, image->block_device, &size);
	if (result < 0)
		return result;
	result = map_create(image->fd, size, image->writable, &image->map);
	if (result == 0)
		trim_add(&image->map);
	return result;
}

/* What is to be known of the file system below a regular file. */
static void learn_file_system(struct image *image)
{
	struct statfs status;

	if (fstatfs(image->fd, &status) < 0)
		return;
	switch (status.f_type) {
	case TMPFS_MAGIC:
	case RAMFS_MAGIC:
		image->resident = true;
		image->read_by_call = true;
		break;
	case XFS_SUPER_MAGIC:
	case OVERLAYFS_SUPER_MAGIC: /* whatever lies below */
		image->read_by_call = true;
		break;
	case FUSE_SUPER_MAGIC:
	case NFS_SUPER_MAGIC:
	case SMB2_SUPER_MAGIC:
	case CIFS_SUPER_MAGIC:
	case CEPH_SUPER_MAGIC:
	case AFS_SUPER_MAGIC:
	case AFS_FS_MAGIC:
	case CODA_SUPER_MAGIC:
	case V9FS_MAGIC:
		image->remote = true;
		break;
	}
}

static void cleanup_image(struct image **image)
{
	image_unref(*image);
}

struct image *image_new(const char *path)
{
	struct image *image = calloc(1, sizeof(*image));

	if (!image)
		return NULL;
	image->fd = -1;
	lease_init(&image->lease, -1, false);
	atomic_init(&image->references, 1);
	pthread_mutex_init(&image->lock, NULL);
	image->stamp.fresh = true;
	image->path = strdup(path);
	if (!image->path) {
		image_unref(image);
		return NULL;
	}
	return image;
}

int image_open(const char *path, enum image_access access, unsigned flags, struct image **ret)
{
	_cleanup_(cleanup_image) struct image *image = NULL;
	struct stat status;
	int result;

	if (stat(path, &status) < 0)
		return -errno;
	result = check_type(status.st_mode);
	if (result < 0)
		return result;

	image = image_new(path);
	if (!image)
		return -ENOMEM;
	result = open_accessible(path, status.st_mode, access, flags, &image->fd, &image->writable);
	if (result < 0)
		return result;
	/* Again, of what was really opened. */
	if (fstat(image->fd, &status) < 0)
		return -errno;
	result = check_type(status.st_mode);
	if (result < 0)
		return result;
	image->block_device = S_ISBLK(status.st_mode);
	if (!image->block_device)
		learn_file_system(image);
	image->lease.fd = image->fd;
	image->lease.fixed = image->block_device;
	image->device = image->block_device ? status.st_rdev : status.st_dev;
	image->inode = status.st_ino;
	image->mode = status.st_mode & 0777;
	image->opened_mtime = status.st_mtim;

	result = map_open_image(image, flags);
	if (result < 0)
		return result;
	*ret = steal_pointer(&image);
	return 0;
}

struct image *image_ref(struct image *image)
{
	atomic_fetch_add(&image->references, 1);
	return image;
}

void image_unref(struct image *image)
{
	if (!image || atomic_fetch_sub(&image->references, 1) != 1)
		return;
	trim_remove(&image->map);
	map_destroy(&image->map);
	if (image->fd >= 0)
		close(image->fd);
	lease_destroy(&image->lease);
	pthread_mutex_destroy(&image->lock);
	free(image->path);
	free(image);
}

bool image_writable(const struct image *image)
{
	return image->writable;
}

bool image_is_block_device(const struct image *image)
{
	return image->block_device;
}

bool image_is_memory(const struct image *image)
{
	return image->memory;
}

void image_set_policy(struct image *image, struct memory_policy policy)
{
	image->policy = policy;
}

struct memory_policy image_policy(const struct image *image)
{
	return image->policy;
}

bool image_is(const struct image *image, const struct stat *status)
{
	if (image->block_device || S_ISBLK(status->st_mode))
		return image->block_device && S_ISBLK(status->st_mode) &&
		       image->device == status->st_rdev;
	return image->device == status->st_dev && image->inode == status->st_ino;
}

mode_t image_mode(const struct image *image)
{
	return image->mode;
}

struct timespec image_opened_mtime(const struct image *image)
{
	return image->opened_mtime;
}

int image_size(const struct image *image, uint64_t *ret)
{
	return size_of(image->fd, image->block_device, ret);
}

int image_available(const struct image *image, uint64_t *ret)
{
	struct statvfs status;

	if (image->memory) {
		*ret = available_memory().left;
		return 0;
	}
	if (fstatvfs(image->fd, &status) < 0)
		return -errno;
	*ret = (uint64_t)status.f_bavail * status.f_frsize;
	return 0;
}

int image_flush(struct image *image)
{
	int result;

	if (!image->writable || image->memory)
		return 0;
	map_clear_hot(&image->map, 0, image->map.length);
	atomic_store(&image->resized, false);
	result = fsync(image->fd) == 0 ? 0 : -errno;
	if (result < 0) {
		atomic_store(&image->resized, true);
		image_error_record(image, result);
	}
	return result;
}

/* A failing image has a line now and then, so that it leaves others room in the log. */
#define ERROR_LOG_SECONDS 10

void image_error_record(struct image *image, int error)
{
	struct timespec now;
	bool silent;

	clock_gettime(CLOCK_MONOTONIC, &now);
	pthread_mutex_lock(&errors_lock);
	silent = image->error == error && now.tv_sec - image->error_logged < ERROR_LOG_SECONDS;
	if (!silent)
		image->error_logged = now.tv_sec;
	image->error = error;
	image->error_told = false;
	image->error_number = atomic_load(&errors_count) + 1;
	/* Last, so that whoever sees the count also finds the error. */
	atomic_store(&errors_count, image->error_number);
	pthread_mutex_unlock(&errors_lock);
	stats_add(writeback_errors, 1);
	if (!silent)
		log_message(LOG_ERR, "image '%s': flush failed: %s", image->path, strerror(-error));
}

int image_error_last(struct image *image)
{
	int error;

	pthread_mutex_lock(&errors_lock);
	error = image->error;
	pthread_mutex_unlock(&errors_lock);
	return error;
}

uint64_t image_error_count(void)
{
	return atomic_load(&errors_count);
}

uint64_t image_error_untold(struct image *image)
{
	uint64_t number;

	pthread_mutex_lock(&errors_lock);
	number = image->error_told ? 0 : image->error_number;
	pthread_mutex_unlock(&errors_lock);
	return number;
}

int image_error_since(struct image *image, uint64_t cursor)
{
	int error = 0;

	pthread_mutex_lock(&errors_lock);
	if (image->error_number > cursor) {
		error = image->error;
		image->error_told = true;
	}
	pthread_mutex_unlock(&errors_lock);
	return error;
}
