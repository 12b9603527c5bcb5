/* SPDX-License-Identifier: MIT */
#ifndef LAYOUT_ARCHIVE_FORMAT_H
#define LAYOUT_ARCHIVE_FORMAT_H

#include "detector.h"
#include "vec.h"

#include <archive.h>
#include <archive_entry.h>

/* What the files archive_*.c share. */

/* One kind of archive. */
struct archive_format {
	const char *name;
	int (*support)(struct archive *archive); /* archive_read_support_format_... */
	bool (*matches)(const struct bytes *bytes);
	/* libarchive's own name of the format, per member, has one of these in it where the data is
	 * stored as it is; none: reading tells.
	 */
	const char *stored[2];
	bool checksums; /* of the data */
	bool modes;
	bool owners;
	bool utf8;  /* names are converted to the locale's charset: let that be UTF-8 */
	bool holes; /* a member may be longer than its data */
	bool solid; /* passing over a packed member means to unpack it, once one has been read */
};

/* The one whose mark is in the bytes, or NULL. */
const struct archive_format *archive_format_of(const struct bytes *bytes);
/* NULL: none of that name */
const struct archive_format *archive_format_find(const char *name);

/* For names that are in UTF-16. */
#define ARCHIVE_UTF8_LOCALE "C.UTF-8"

/* Why members are left out. */
enum left_out {
	LEFT_NOTHING,
	LEFT_COMPRESSED,
	LEFT_ENCRYPTED,
	LEFT_DEVICE,
	LEFT_FIFO,
	LEFT_SOCKET,
	LEFT_MALFORMED,
	LEFT_NAME,
	LEFT_SIZE,
	LEFT_TRUNCATED,
	LEFT_BROKEN,
	LEFT_REASONS,
};

/* Names of one file in a cpio archive, which has its data with any one of them. */
struct archive_links;

struct archive_links *archive_links_new(void);
void archive_links_free(struct archive_links *links);
/* A file of more than one name; reason says why it cannot be shown, if so. Gives to the sink what is
 * certain by now, and counts in left_out what is left out.
 */
int archive_links_add(struct archive_links *links, uint64_t device, uint64_t inode,
		      const struct member *member, enum left_out reason, struct sink *sink,
		      uint64_t *left_out);
/* The names whose data never came: empty files, where the archive was read to its end. */
int archive_links_end(struct archive_links *links, bool complete, struct sink *sink,
		      uint64_t *left_out);

/* Whether there is a zip's end-of-central-directory record that libarchive would find. */
bool archive_zip_has_directory(const struct bytes *bytes);
/* The name in the zip's local header that ends at offset end, as it is there; the caller's (free).
 * NULL: there is none, or no memory.
 */
char *archive_zip_name(const struct bytes *bytes, uint64_t end);

/* One reading of one archive. */
struct archive_reading {
	const struct bytes *bytes;
	const struct archive_format *format;
	struct sink *sink;
	struct archive *archive;
	struct archive_entry *entry;
	struct archive_links *links;
	VEC(struct piece) pieces;
	uint64_t entries; /* headers that were read */
	uint64_t left_out[LEFT_REASONS];
	bool all_packed; /* of a solid format: from here on nothing is read */
	bool broken;     /* it ends before its end */
};

/* A reader of the archive, before its first header. *ret is the caller's (archive_read_free) even on
 * failure, for its message. What libarchive returns.
 */
int archive_open(const struct archive_reading *reading, struct archive **ret);
/* The pieces of the file whose header has been read with the result header. *ret_reason says why it
 * cannot be shown, if so. 0 or -ENOMEM.
 */
int archive_find_pieces(struct archive_reading *reading, int header, enum left_out *ret_reason);
/* Go on with another reader, which has never unpacked anything and will not: see all_packed. */
int archive_stop_unpacking(struct archive_reading *reading);

/* Gives all members to the sink. As a detector's detect. */
int archive_read_members(const struct bytes *bytes, const struct archive_format *format,
			 struct sink *sink);

#endif
