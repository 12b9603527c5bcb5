/* SPDX-License-Identifier: MIT */
#ifndef MMAPFS_LAYOUT_H
#define MMAPFS_LAYOUT_H

#include "mmapfs/error.h"
#include "mmapfs/tree.h"

#include <stdio.h>

/* From text to a tree and back: table files, and slices as the command line gives them.
 *
 * All readers put what is wrong into error and go on, so that one run reports everything; they
 * return 0, -EINVAL when anything was wrong, or -ENOMEM. At a limit they give up with -E2BIG, which
 * error tells of, too; the builder is then only to be freed.
 */

/* A line of a table, in bytes. Longer ones are an error. */
#define TABLE_LINE_MAX 65536

/* Members that layouts find in images.
 *
 * A layout is a detector that looks at the bytes of an image, or of a slice, and names the files in
 * them; each becomes a slice of those bytes. It does so in a process of its own, without rights and
 * with limits (docs/architecture.md), and what it says is checked.
 */

/* What was found in one image or slice, for those who print it. Strings are one line each, with
 * control bytes escaped.
 */
struct layout_finding {
	char *source;
	char *directory;
	char *format;   /* "gpt", "tar"; NULL: nothing was recognised */
	size_t members; /* files */
	struct layout_left_out {
		char *reason;
		uint64_t count;
	} * left_out;
	size_t left_out_count;
	char **notes;
	size_t note_count;
};

/* Start with zeros, end with layout_report_clear(). */
struct layout_report {
	struct layout_finding *findings;
	size_t count;
};

void layout_report_clear(struct layout_report *report);

/* How far a scan has come. Called a few times a second; nonzero ends the scan with -EINTR. */
typedef int (*layout_progress)(void *context, const char *source, uint64_t offset, uint64_t size,
			       size_t members);

struct layout_settings {
	struct layout_report *report; /* borrowed */
	layout_progress progress;     /* or NULL */
	void *context;
	uint64_t memory;      /* bytes that a detector may allocate; 0: LAYOUT_MEMORY */
	unsigned cpu_seconds; /* that it may take; 0: LAYOUT_CPU_SECONDS */
};

#define LAYOUT_MEMORY (1UL << 30)
#define LAYOUT_CPU_SECONDS 120
#define LAYOUT_DEPTH_MAX 16

/* Strings are borrowed. */
struct layout_request {
	const char *directory; /* where members go, "" is the root */
	const char *source;    /* name of an image or of a slice that builder has, images first */
	const char *taken;     /* a name in directory that members are not to have; or NULL */
	const char *type;      /* name of a layout; NULL or "auto": the first that recognises it */
	const char *mtdparts;  /* or NULL */
	uint64_t chunk;        /* bytes, or 0 */
	uint64_t sector_size;  /* bytes, or 0: find out */
	unsigned depth;        /* also look into what is found, so many levels down */
	bool gaps;             /* show what no partition covers, too */
	const struct location *at; /* for messages; NULL on the command line */
};

/* Whether there is a layout of that name. */
bool layout_exists(const char *type);

/* Add the members of request->source to builder. Reads images; starts a process, so that no other
 * thread may be running.
 *
 * 0; -ENOENT, without a message, when type is NULL and nothing was recognised; -EINVAL with
 * messages; -EINTR when progress wanted it; -ENOMEM; -E2BIG as from the builder.
 */
int layout_expand(struct tree_builder *builder, const struct layout_request *request,
		  const struct layout_settings *settings, struct error *error);

/* Read a table into builder. folder is what relative paths of images start from; without layouts a
 * layout line is an error.
 */
int table_read(FILE *in, const char *folder, const struct layout_settings *layouts,
	       struct tree_builder *builder, struct error *error);

/* Write the table of tree so that it can be mounted again from anywhere, and so that writing what
 * was read again gives the same bytes. 0 or negative errno of the stream.
 */
int table_write(const struct tree *tree, FILE *out);

/* Write text as a column of a table: blanks, '#', '\' and control bytes as \ooo. */
void table_write_escaped(const char *text, FILE *out);

/* Slices of the command line: NAME=IMAGE@OFFSET[+LENGTH][,OPTION...]. */
struct spec_reader;

/* image is what a spec without an image means; NULL: every spec must have its own. Borrowed, as is
 * builder. NULL when out of memory.
 */
struct spec_reader *spec_reader_new(struct tree_builder *builder, const char *image);
void spec_reader_free(struct spec_reader *reader); /* takes NULL */

int spec_read(struct spec_reader *reader, const char *text, struct error *error);

/* One tail slice of the reader's image, named after its file. */
int spec_whole_image(struct spec_reader *reader, struct error *error);

/* Add the reader's image, and *ret is what the tree calls it, until the reader is freed. */
int spec_image(struct spec_reader *reader, struct error *error, const char **ret);

#endif
