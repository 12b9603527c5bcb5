/* SPDX-License-Identifier: MIT */
/* Images in memory, and what stands between the code under test and the machine's files. */
#include "images.h"

#include "fuzz.h"
#include "mmapfs/image.h"
#include "size.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

struct made_image {
	const char *name;
	uint64_t size;
	const char *same; /* as this one */
	int fd;
};

static struct made_image images[] = {
	{ "disk", 1 << 20 }, { "again", 0, "disk" }, { "link", 0, "disk" }, { "small", 100 },
	{ "odd", 4097 },     { "empty", 0 },         { "big", 5ULL << 40 }, { "huge", SIZE_LIMIT },
};

#define COUNT(array) (sizeof(array) / sizeof(*(array)))

static bool huge_opened;
static bool opening; /* the real image_open() may look at files */

int __wrap_image_open(const char *path, enum image_access access, unsigned flags,
		      struct image **ret);
int __real_image_open(const char *path, enum image_access access, unsigned flags,
		      struct image **ret);
char *__wrap_realpath(const char *path, char *resolved);
int __wrap_stat64(const char *path, struct stat *ret);
int __real_stat64(const char *path, struct stat *ret);

static void make_images(void)
{
	for (size_t i = 0; i < COUNT(images); i++) {
		struct made_image *image = &images[i];

		for (size_t j = 0; image->same && j < i; j++)
			if (strcmp(images[j].name, image->same) == 0)
				image->fd = images[j].fd;
		if (!image->same) {
			image->fd = memfd_create(image->name, MFD_CLOEXEC);
			check(image->fd > 0 && ftruncate(image->fd, image->size) == 0);
		}
	}
}

/* The image at path, or NULL. */
static const struct made_image *find_image(const char *path)
{
	const size_t folder = strlen(IMAGES_FOLDER);

	if (images[0].fd == 0)
		make_images();
	if (strncmp(path, "./", 2) == 0)
		path += 2;
	else if (strncmp(path, IMAGES_FOLDER "/", folder + 1) == 0)
		path += folder + 1;
	else
		return NULL;
	for (size_t i = 0; i < COUNT(images); i++)
		if (strcmp(path, images[i].name) == 0)
			return &images[i];
	return NULL;
}

bool images_can_be_mapped(void)
{
	bool can = !huge_opened;

	huge_opened = false;
	return can;
}

int __wrap_image_open(const char *path, enum image_access access, unsigned flags,
		      struct image **ret)
{
	const struct made_image *image = find_image(path);
	char real[64];
	int result;

	if (!image)
		return -ENOENT;
	huge_opened |= strcmp(image->name, "huge") == 0;
	snprintf(real, sizeof(real), "/proc/self/fd/%d", image->fd);
	opening = true;
	result = __real_image_open(real, access, flags, ret);
	opening = false;
	return result;
}

int __wrap_stat64(const char *path, struct stat *ret)
{
	const struct made_image *image = opening ? NULL : find_image(path);

	if (opening)
		return __real_stat64(path, ret);
	if (image)
		return fstat(image->fd, ret);
	errno = ENOENT;
	return -1;
}

char *__wrap_realpath(const char *path, char *resolved)
{
	const struct made_image *image = find_image(path);
	char *joined = NULL;

	check(!resolved);
	if (!image) {
		errno = ENOENT;
		return NULL;
	}
	check(asprintf(&joined, "%s/%s", IMAGES_FOLDER,
		       strcmp(image->name, "link") == 0 ? image->same : image->name) > 0);
	return joined;
}
