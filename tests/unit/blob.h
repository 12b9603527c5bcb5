/* SPDX-License-Identifier: MIT */
#ifndef UNIT_BLOB_H
#define UNIT_BLOB_H

#include "support.h"

#include <stdlib.h>
#include <string.h>

/* Bytes that a test makes up. Zero-initialise; free(data). Numbers are little-endian, or big-endian
 * when big.
 */
struct blob {
	unsigned char *data;
	size_t size;
	size_t room;
	bool big;
};

static inline void blob_reserve(struct blob *blob, size_t more)
{
	if (blob->room - blob->size > more)
		return;
	blob->room = 2 * blob->room + more + 1;
	blob->data = realloc(blob->data, blob->room);
	assert_non_null(blob->data);
}

static inline void blob_add(struct blob *blob, const void *data, size_t size)
{
	blob_reserve(blob, size);
	if (size > 0)
		memcpy(blob->data + blob->size, data, size);
	blob->size += size;
}

static inline void blob_text(struct blob *blob, const char *text)
{
	blob_add(blob, text, strlen(text));
}

/* Of so many bytes, at an offset that is there already. */
static inline void blob_set(struct blob *blob, size_t offset, size_t size, uint64_t value)
{
	assert_in_range(offset + size, 0, blob->size);
	for (size_t i = 0; i < size; i++)
		blob->data[offset + i] = value >> 8 * (blob->big ? size - 1 - i : i);
}

static inline void blob_number(struct blob *blob, size_t size, uint64_t value)
{
	static const unsigned char zeros[8];

	blob_add(blob, zeros, size);
	blob_set(blob, blob->size - size, size, value);
}

/* Zeros up to this size. */
static inline void blob_grow(struct blob *blob, size_t size)
{
	assert_in_range(blob->size, 0, size);
	blob_reserve(blob, size - blob->size);
	memset(blob->data + blob->size, 0, size - blob->size);
	blob->size = size;
}

static inline void blob_clear(struct blob *blob)
{
	free(blob->data);
	*blob = (struct blob){ 0 };
}

#endif
