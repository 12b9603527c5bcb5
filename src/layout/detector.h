/* SPDX-License-Identifier: MIT */
#ifndef LAYOUT_DETECTOR_H
#define LAYOUT_DETECTOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <time.h>

/* What finds the members of one kind of image.
 *
 * A detector looks at bytes and says which of them are files; it copies nothing. It runs in a
 * process of its own without any rights (sandbox.h): it has the bytes, its own memory and the
 * processor, but no files, and nobody but its sink hears of it. So it may trust the bytes with its
 * life, not with that of others: whoever takes its members checks each of them again. It should
 * nevertheless end on any bytes, in time and memory that grow with what it finds, not with what the
 * bytes claim.
 *
 * docs/adding-a-layout.md tells how to add one.
 */

/* Mapped to read, end to end, at any address. Reading may raise SIGBUS when the image shrinks, which
 * ends the process, and is reported as such.
 */
struct bytes {
	const unsigned char *data;
	uint64_t size;
};

/* What the user may say of a layout. Strings are borrowed. */
struct detector_options {
	const char *format;   /* one of detector->formats: only this one; NULL: any of them */
	uint64_t chunk;       /* bytes of a chunk; 0: none given */
	const char *mtdparts; /* the kernel's mtdparts=, or NULL */
	uint64_t sector_size; /* bytes; 0: find out */
	bool gaps;            /* show what no partition covers, too */
};

enum member_kind {
	MEMBER_FILE,
	MEMBER_DIRECTORY,
	MEMBER_SYMLINK,
	MEMBER_LINK, /* another name of a file */
};

/* One part of a file. */
struct piece {
	uint64_t offset; /* in the detector's bytes, or PIECE_ZEROS */
	uint64_t length; /* bytes, not 0 */
};

#define PIECE_ZEROS UINT64_MAX

/* key is of a-z, 0-9, '_', '-' and '.'; value is any text. Both become user.mmapfs.KEY. */
struct attribute {
	const char *key;
	const char *value;
};

#define ATTRIBUTE_KEY_MAX 64 /* bytes, as of a value */
#define ATTRIBUTE_VALUE_MAX 1024

/* All of it is borrowed for the call. */
struct member {
	enum member_kind kind;
	/* A path with '/' between its components, as the image has it. Who receives it makes it fit
	 * for a file system: see name_sanitize() in names.h. In a name that is not meant as a path
	 * the detector itself replaces the '/'.
	 */
	const char *name;
	const char *target; /* a symlink's text; a link's file, by the name that it was given */
	const char *format; /* what it was found in: "gpt", "tar"; a constant */
	bool read_only;     /* writing to it would break a checksum */
	bool has_mode;
	bool has_uid;
	bool has_gid;
	bool has_mtime;
	mode_t mode; /* permission bits; others are ignored */
	uid_t uid;
	gid_t gid;
	struct timespec mtime;
	const struct piece *pieces; /* a file's, in order; none: it is empty */
	size_t piece_count;
	const struct attribute *attributes;
	size_t attribute_count;
};

/* Where members go. Each call returns 0, or a negative errno that the detector returns at once. */
struct sink {
	int (*member)(struct sink *sink, const struct member *member);
	/* count things that are there but cannot be shown, and why in a word or two: "compressed" */
	int (*left_out)(struct sink *sink, const char *reason, uint64_t count);
	/* Something the user should know, once: "the primary GPT is broken, this is the backup" */
	int (*note)(struct sink *sink, const char *text);
	/* How far a long scan has come, where it may find nothing for a while: each member tells by
	 * itself.
	 */
	int (*progress)(struct sink *sink, uint64_t offset);
};

struct detector {
	const char *name; /* as in -o layout=NAME */
	const char *const
		*formats; /* what else layout= may say to mean it; ends with NULL; or NULL */
	/* Whether these bytes are for it. Quick, and sure: it is asked about every image. Where
	 * options name the format, only about that. NULL: only when it is named.
	 */
	bool (*probe)(const struct bytes *bytes, const struct detector_options *options);
	/* What has to be done while there still are files and rights, such as to load tables. NULL:
	 * nothing.
	 */
	void (*prepare)(void);
	/* Give each member to the sink, in an order that depends on the bytes alone. What is broken
	 * half-way ends in a note and a shorter list, not in an error.
	 *
	 * 0; -EINVAL when the bytes are not for it after all, or options are missing; a note says
	 * what; -ENOMEM; or what the sink returned.
	 */
	int (*detect)(const struct bytes *bytes, const struct detector_options *options,
		      struct sink *sink);
};

/* In the order in which they are asked, which decides between formats that share an image, such as
 * an ISO 9660 image that also starts with a partition table. Ends with NULL.
 */
extern const struct detector *const detectors[];

extern const struct detector detector_archive;
extern const struct detector detector_chunk;
extern const struct detector detector_elf;
extern const struct detector detector_fmap;
extern const struct detector detector_gguf;
extern const struct detector detector_mtdparts;
extern const struct detector detector_partition;
extern const struct detector detector_safetensors;

/* The detector that layout=name means, NULL for none. *ret_format is its format of that name, or
 * NULL.
 */
const struct detector *detector_find(const char *name, const char **ret_format);

#endif
