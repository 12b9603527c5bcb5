/* SPDX-License-Identifier: MIT
 *
 * The files of coherence_stress, and the ways to open them.
 */
#include "coherence_stress.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

const struct way ways[WAYS] = {
	{ 'r', O_RDONLY, true, false, false },
	{ 'u', O_RDWR, true, true, false },
	{ 'w', O_WRONLY, false, true, false },
	{ 'y', O_RDWR | O_DSYNC, true, true, false },
	{ 'R', O_RDONLY | O_DIRECT, true, false, false },
	{ 'U', O_RDWR | O_DIRECT, true, true, false },
	{ 'W', O_WRONLY | O_DIRECT, false, true, false },
	{ 'l', O_RDONLY, true, false, true },
	{ 's', O_RDWR, true, true, true },
};

void file_parse(char *text, struct file *ret)
{
	struct file *file = ret;
	char *path = strchr(text, ':'), *extents = path ? strchr(path + 1, ':') : NULL;
	off_t slice = 0;

	if (!extents)
		die("no WAYS:FILE:EXTENTS: %s", text);
	file->path = path + 1;
	*extents++ = '\0';
	for (; text < path; text++)
		for (size_t i = 0; i < WAYS; i++)
			file->ways[i] |= ways[i].letter == *text;
	for (char *at = strtok(extents, ","); at; at = strtok(NULL, ",")) {
		struct extent *extent = &file->extents[file->extent_count++];
		long long image, length;

		if (file->extent_count == EXTENTS_MAX ||
		    sscanf(at, "%lld+%lld", &image, &length) != 2)
			die("no extent: %s", at);
		*extent = (struct extent){ image, slice, length };
		slice += length;
	}
}

void file_close(struct opened *opened)
{
	if (opened->map && munmap(opened->map, opened->map_size))
		die("munmap: %s", strerror(errno));
	opened->map = NULL;
	if (opened->fd >= 0 && close(opened->fd))
		die("close: %s", strerror(errno));
	opened->fd = -1;
}

bool file_open(const struct file *file, const struct way *way, struct opened *opened)
{
	int protection = way->write ? PROT_READ | PROT_WRITE : PROT_READ;
	struct stat status;

	if (opened->fd >= 0)
		return true;
	opened->fd = open(file->path, way->flags | O_CLOEXEC);
	if (opened->fd < 0 || fstat(opened->fd, &status))
		die("open %s: %s", file->path, strerror(errno));
	if (!way->map)
		return true;
	opened->map_size = (size_t)status.st_size;
	opened->map = mmap(NULL, opened->map_size, protection, MAP_SHARED, opened->fd, 0);
	if (opened->map != MAP_FAILED)
		return true;
	if (errno != ENODEV)
		die("mmap %s: %s", file->path, strerror(errno));
	opened->map = NULL;
	file_close(opened);
	return false;
}

void file_read(struct opened *opened, void *data, size_t length, off_t offset)
{
	ssize_t got;

	if (opened->map) {
		memcpy(data, opened->map + offset, length);
		return;
	}
	got = pread(opened->fd, data, length, offset);
	if (got != (ssize_t)length)
		die("pread of %zu at %lld: %zd %s", length, (long long)offset, got,
		    got < 0 ? strerror(errno) : "");
}

void file_write(struct opened *opened, const void *data, size_t length, off_t offset)
{
	ssize_t got;

	if (opened->map) {
		memcpy(opened->map + offset, data, length);
		return;
	}
	got = pwrite(opened->fd, data, length, offset);
	if (got != (ssize_t)length)
		die("pwrite of %zu at %lld: %zd %s", length, (long long)offset, got,
		    got < 0 ? strerror(errno) : "");
}
