/* SPDX-License-Identifier: MIT */
#ifndef LAYOUT_RECORD_H
#define LAYOUT_RECORD_H

#include "detector.h"
#include "vec.h"

#include <stdio.h>

/* What a detector says, on its way through a pipe from a process that is not to be trusted. Both ends
 * are the same program, so numbers are as the processor has them.
 */

enum record_type {
	RECORD_MEMBER,
	RECORD_LEFT_OUT, /* number things, text is the reason */
	RECORD_NOTE,     /* text */
	RECORD_PROGRESS, /* number is the offset */
	RECORD_END, /* number is the result, a negative errno as it is; text the detector's name, or
			  * ""; nothing comes after it */
};

#define RECORD_TEXT_MAX 65535 /* bytes of a name, a target, a note */
#define RECORD_PIECES_MAX (1U << 24)

/* Strings and arrays are the reader's, until the next record. */
struct record {
	enum record_type type;
	struct member member;
	const char *text;
	int64_t number; /* of a member: 0, or n, when it lies in the last file that had n - 1 */
};

/* Zero-initialise, but for in. */
struct record_reader {
	FILE *in;
	VEC(char) text;
	VEC(struct piece) pieces;
	VEC(struct attribute) attributes;
};

/* The errors of the stream, or -ENAMETOOLONG: the record has a text that does not fit, and nothing
 * is written.
 */
int record_write(const struct record *record, FILE *out);

/* 1; 0 at the end of the stream; -EBADMSG when it is not what record_write() writes; -ENOMEM. What it
 * gives has the form that detector.h promises, but for the keys of attributes; whether the pieces
 * lie inside of anything is not looked at.
 */
int record_read(struct record_reader *reader, struct record *ret);
void record_reader_clear(struct record_reader *reader);

#endif
