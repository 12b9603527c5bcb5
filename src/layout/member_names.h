/* SPDX-License-Identifier: MIT */
#ifndef LAYOUT_MEMBER_NAMES_H
#define LAYOUT_MEMBER_NAMES_H

#include "mmapfs/tree.h"
#include "names.h"
#include "vec.h"

#include <stdbool.h>

/* Names for the members of one directory of the mount, made from names that come from inside of an
 * image, so that each can stand in a tree:
 *
 * - control bytes become '_', a component ".." becomes "__"; "." and empty ones go away, and with them
 *   the '/' at the front; a component of more than 255 bytes is cut;
 * - a name that is taken gets "~2", or the next number that is free, be it taken as a file or as the
 *   directory of another; and so does a directory whose name is taken by a file.
 *
 * Links are found by what their files are called in the image, so that two files whose names are made
 * safe alike stay apart; and so do those that lie in a file which was found in the image, from those
 * beside it: see member_names_enter().
 */
enum name_kind {
	NAME_FREE,
	NAME_IMPLIED, /* the directory of something */
	NAME_DIRECTORY,
	NAME_FILE,
	NAME_OTHER, /* neither a directory, nor to be linked to */
};

struct name_state {
	uint32_t next;  /* number to try after "~" */
	uint32_t given; /* number of the name that was made of it last, + 1 */
	uint8_t kind;   /* enum name_kind */
};

/* Of all names, and of all directories above them: twice what a tree takes of names. */
#define MEMBER_NAMES_MAX (2UL << 30) /* bytes */

/* Zero-initialise, then set directory. */
struct member_names {
	const char *directory; /* what all names begin with, "" for nothing; borrowed */
	uint32_t holder;       /* number of the file that is entered, + 1; 0: none */
	struct names names;
	size_t bytes;                  /* of names */
	VEC(struct name_state) states; /* by number */
};

/* Make a name for what is called raw, and take it. kind is NAME_DIRECTORY, NAME_FILE or NAME_OTHER.
 * *ret is the whole path, borrowed until member_names_clear().
 *
 * 0; -EEXIST: a directory that has been made already, or the root; -ENAMETOOLONG; -ENOMEM; -E2BIG:
 * more than MEMBER_NAMES_MAX.
 */
int member_names_make(struct member_names *names, const char *raw, enum name_kind kind,
		      const char **ret);

/* What comes from now on was found in the file that was given this path, and goes into the directory
 * "path.d"; "": in the image itself. 0 or -ENOENT.
 */
int member_names_enter(struct member_names *names, const char *path);

/* Make another name for the file that was last made of the name raw_target, or that a link of that
 * name is of. *ret_target is the file's path. Borrowed, too.
 *
 * 0; -ENOENT: there is no such file; else as member_names_make().
 */
int member_names_link(struct member_names *names, const char *raw, const char *raw_target,
		      const char **ret, const char **ret_target);

void member_names_clear(struct member_names *names);

#endif
