/* SPDX-License-Identifier: MIT */
/* Numbers, options and paths, as table lines and the command line's slices have them. */
#include "column.h"

#include "cleanup.h"
#include "size.h"

#include <limits.h>
#include <string.h>

int column_size(const char *text, const char *what, const struct location *at, struct error *error,
		uint64_t *ret)
{
	int result = size_parse(text, strlen(text), ret);

	if (result == -ERANGE)
		error_add(error, at, "%s '%.80s' is too large", what, text);
	else if (result < 0)
		error_add(error, at, "%s '%.80s' is not a size", what, text);
	return result < 0 ? -EINVAL : 0;
}

/* One option: 0, -EINVAL a bad value, -ENOENT unknown. */
static int image_option(const char *option, struct image_options *options)
{
	if (strcmp(option, "ro") == 0) {
		options->access = IMAGE_ACCESS_RO;
	} else if (strcmp(option, "rw") == 0) {
		options->access = IMAGE_ACCESS_RW;
	} else if (strncmp(option, "size=", 5) == 0) {
		options->has_size = true;
		return size_parse(option + 5, strlen(option + 5), &options->size);
	} else {
		return policy_parse(option, &options->policy);
	}
	return 0;
}

/* What went wrong with an option of something, if it did: 0 or -EINVAL. */
static int check_option(const char *what, const char *option, int fault, const struct location *at,
			struct error *error)
{
	if (fault == -ENOENT)
		error_add(error, at, "unknown %s option '%.80s'", what, option);
	else if (fault < 0)
		error_add(error, at, "%s option '%.80s': bad value", what, option);
	return fault < 0 ? -EINVAL : 0;
}

int column_image_options(char *text, const struct location *at, struct error *error,
			 struct image_options *ret)
{
	struct image_options options = *ret;
	char *option;
	int result = 0;

	while ((option = strsep(&text, ",")) != NULL)
		result = check_option("image", option, image_option(option, &options), at, error)
				 ?: result;
	if (result == 0)
		*ret = options;
	return result;
}

/* Seconds since 1970, with up to nine digits behind a point: "-1.5" is half a second before -1. */
static int read_time(const char *text, struct timespec *ret)
{
	bool negative = *text == '-';
	char seconds[24];
	const char *point = strchrnul(text, '.');
	size_t length = point - text - negative;
	struct timespec time = { 0 };
	uint64_t value;

	if (length >= sizeof(seconds))
		return -EINVAL;
	memcpy(seconds, text + negative, length);
	seconds[length] = '\0';
	if (strspn(seconds, "0123456789") != length || size_parse(seconds, length, &value) < 0 ||
	    value > INT64_MAX)
		return -EINVAL;
	if (*point) {
		size_t digits = strspn(point + 1, "0123456789");

		if (digits == 0 || digits > 9 || point[1 + digits] != '\0')
			return -EINVAL;
		for (size_t i = 0; i < 9; i++)
			time.tv_nsec = time.tv_nsec * 10 + (i < digits ? point[1 + i] - '0' : 0);
	}
	time.tv_sec = negative ? -(time_t)value : (time_t)value;
	if (negative && time.tv_nsec > 0) {
		time.tv_sec--;
		time.tv_nsec = 1000000000 - time.tv_nsec;
	}
	*ret = time;
	return 0;
}

/* One option: 0, -EINVAL a bad value, -ENOENT unknown. */
static int slice_option(const char *option, struct slice_options *options)
{
	unsigned long value;
	int result;

	if (strcmp(option, "ro") == 0) {
		options->access = IMAGE_ACCESS_RO;
	} else if (strcmp(option, "rw") == 0) {
		options->access = IMAGE_ACCESS_RW;
	} else if (strcmp(option, "resize") == 0) {
		options->resize = true;
	} else if (strncmp(option, "mode=", 5) == 0) {
		result = number_parse(option + 5, 8, 0777, &value);
		if (result < 0)
			return result;
		options->mode = value;
		options->has_mode = true;
	} else if (strncmp(option, "uid=", 4) == 0 || strncmp(option, "gid=", 4) == 0) {
		/* The largest one is "no change" in chown(2), not an owner. */
		result = number_parse(option + 4, 10, UINT_MAX - 1, &value);
		if (result < 0)
			return result;
		*(option[0] == 'u' ? &options->uid : &options->gid) = value;
		*(option[0] == 'u' ? &options->has_uid : &options->has_gid) = true;
	} else if (strncmp(option, "mtime=", 6) == 0) {
		options->has_mtime = true;
		return read_time(option + 6, &options->mtime);
	} else {
		return policy_parse(option, &options->policy);
	}
	return 0;
}

int column_slice_options(char *text, const struct location *at, struct error *error,
			 struct slice_options *ret)
{
	struct slice_options options = *ret;
	char *option;
	int result = 0;

	while ((option = strsep(&text, ",")) != NULL)
		result = check_option("slice", option, slice_option(option, &options), at, error)
				 ?: result;
	if (result == 0)
		*ret = options;
	return result;
}

int column_layout_option(const char *text, const struct location *at, struct error *error,
			 struct layout_request *ret)
{
	const char *value = strchrnul(text, '=');
	size_t length = value - text;
	unsigned long depth;

	value += *value == '=';
	if (length == 4 && memcmp(text, "type", 4) == 0 && *value) {
		ret->type = strcmp(value, "auto") == 0 ? NULL : value;
		if (!ret->type || layout_exists(value))
			return 0;
		error_add(error, at, "there is no layout '%.80s'", value);
		return -EINVAL;
	}
	if (length == 5 && memcmp(text, "chunk", 5) == 0)
		return column_size(value, "chunk", at, error, &ret->chunk);
	if (length == 11 && memcmp(text, "sector-size", 11) == 0)
		return column_size(value, "sector size", at, error, &ret->sector_size);
	if (length == 8 && memcmp(text, "mtdparts", 8) == 0 && *value) {
		ret->mtdparts = value;
		return 0;
	}
	if (length == 5 && memcmp(text, "depth", 5) == 0 &&
	    number_parse(value, 10, LAYOUT_DEPTH_MAX, &depth) == 0) {
		ret->depth = depth;
		return 0;
	}
	if (strcmp(text, "gaps") == 0) {
		ret->gaps = true;
		return 0;
	}
	error_add(error, at, "layout option '%.80s': unknown, or a bad value", text);
	return -EINVAL;
}

char *column_path(const char *folder, const char *path)
{
	_cleanup_(cleanup_free) char *joined = NULL;
	char *resolved;

	if (*path == '/')
		joined = strdup(path);
	else if (asprintf(&joined, "%s/%s", folder, path) < 0)
		joined = NULL;
	if (!joined)
		return NULL;
	resolved = realpath(joined, NULL);
	return resolved ? resolved : steal_pointer(&joined);
}
