/* SPDX-License-Identifier: MIT */
#ifndef LAYOUT_LOAD_H
#define LAYOUT_LOAD_H

#include "detector.h"

#include <endian.h>
#include <string.h>

/* What the readers of binary formats share: numbers at any address, ranges, names. */

static inline uint16_t load_le16(const void *from)
{
	uint16_t value;

	memcpy(&value, from, sizeof(value));
	return le16toh(value);
}

static inline uint32_t load_le32(const void *from)
{
	uint32_t value;

	memcpy(&value, from, sizeof(value));
	return le32toh(value);
}

static inline uint64_t load_le64(const void *from)
{
	uint64_t value;

	memcpy(&value, from, sizeof(value));
	return le64toh(value);
}

static inline uint32_t load_be32(const void *from)
{
	uint32_t value;

	memcpy(&value, from, sizeof(value));
	return be32toh(value);
}

/* Whether the range lies in the bytes. */
static inline bool bytes_hold(const struct bytes *bytes, uint64_t offset, uint64_t length)
{
	return offset <= bytes->size && length <= bytes->size - offset;
}

/* A name that is not meant as a path becomes one component of one. Returns name. */
static inline char *name_flatten(char *name)
{
	for (char *at = name; (at = strchr(at, '/')) != NULL;)
		*at = '_';
	return name;
}

#endif
