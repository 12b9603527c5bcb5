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

/* Read a table into builder. folder is what relative paths of images start from. */
int table_read(FILE *in, const char *folder, struct tree_builder *builder, struct error *error);

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

#endif
