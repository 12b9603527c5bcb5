/* SPDX-License-Identifier: MIT */
/* Names in zip archives that libarchive does not give. It converts those that are marked as UTF-8
 * into the locale's charset, which is not what an archive's reader without a locale wants; they are
 * read from the bytes instead.
 */
#include "archive_format.h"
#include "load.h"

#include <stdlib.h>
#include <string.h>

#define LOCAL_SIZE 30
#define LENGTHS_MAX (2 * 65535) /* of a name and the extra fields behind it */
#define EXTRA_UNICODE_PATH 0x7075

/* Info-ZIP's second name, in UTF-8, behind a version and the first one's checksum. */
static char *unicode_path(const unsigned char *extra, size_t length)
{
	while (length >= 4) {
		size_t size = load_le16(extra + 2);

		if (size > length - 4)
			return NULL;
		if (load_le16(extra) == EXTRA_UNICODE_PATH && size > 5 && extra[4] == 1)
			return strndup((const char *)extra + 9, size - 5);
		extra += 4 + size;
		length -= 4 + size;
	}
	return NULL;
}

char *archive_zip_name(const struct bytes *bytes, uint64_t end)
{
	if (end > bytes->size)
		return NULL;
	for (size_t lengths = 0; lengths <= LENGTHS_MAX && lengths + LOCAL_SIZE <= end; lengths++) {
		const unsigned char *local = bytes->data + end - lengths - LOCAL_SIZE;
		size_t name;
		size_t extra;

		if (local[0] != 'P' || memcmp(local, "PK\3\4", 4) != 0)
			continue;
		name = load_le16(local + 26);
		extra = load_le16(local + 28);
		if (name + extra == lengths)
			return unicode_path(local + LOCAL_SIZE + name, extra)
				       ?: strndup((const char *)local + LOCAL_SIZE, name);
	}
	return NULL;
}
