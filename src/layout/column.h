/* SPDX-License-Identifier: MIT */
#ifndef LAYOUT_COLUMN_H
#define LAYOUT_COLUMN_H

#include "mmapfs/layout.h"

/* What table lines and the command line's slices have in common. */

/* "1M": *ret, or a message for "offset 1Q". what names the number. */
int column_size(const char *text, const char *what, const struct location *at, struct error *error,
		uint64_t *ret);

/* "rw,mode=0640". Modifies text. */
int column_slice_options(char *text, const struct location *at, struct error *error,
			 struct slice_options *ret);

/* "type=tar", "chunk=64M" of a layout. *ret refers to text. */
int column_layout_option(const char *text, const struct location *at, struct error *error,
			 struct layout_request *ret);

/* What a table says of an image. */
struct image_options {
	enum image_access access;
	bool has_size;
	uint64_t size;
	struct memory_policy policy;
};

/* "rw,advice=random". Modifies text. */
int column_image_options(char *text, const struct location *at, struct error *error,
			 struct image_options *ret);

/* path, or folder/path when it is relative, with symbolic links resolved where they can be. The
 * caller's; NULL when out of memory.
 */
char *column_path(const char *folder, const char *path);

#endif
