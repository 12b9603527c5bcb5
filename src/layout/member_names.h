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

/* Zero-initialise, then set directory. */
struct member_names {
	const char *directory; /* what all names begin with, "" for nothing; borrowed */
	struct names names;
	VEC(struct name_state) states; /* by number */
};

/* Make a name for what is called raw, and take it. kind is NAME_DIRECTORY, NAME_FILE or NAME_OTHER.
 * *ret is the whole path, borrowed until member_names_clear().
 *
 * 0; -EEXIST: a directory that has been made already, or the root; -ENAMETOOLONG; -ENOMEM.
 */
int member_names_make(struct member_names *names, const char *raw, enum name_kind kind,
		      const char **ret);

/* The path of the file that was last made of the name raw. Borrowed, too. 0, -ENOENT or -ENOMEM. */
int member_names_find(struct member_names *names, const char *raw, const char **ret);

/* Make another name for the file that was last made of the name raw_target, or that a link of that
 * name is of. *ret_target is the file's path. Borrowed, too.
 *
 * 0; -ENOENT: there is no such file; -ENAMETOOLONG; -ENOMEM.
 */
int member_names_link(struct member_names *names, const char *raw, const char *raw_target,
		      const char **ret, const char **ret_target);

void member_names_clear(struct member_names *names);

#endif
