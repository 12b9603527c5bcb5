/* SPDX-License-Identifier: MIT */
#ifndef UNIT_MEMBERS_H
#define UNIT_MEMBERS_H

#include "detector.h"
#include "support.h"

/* What a detector says of some bytes, as text to compare with: one line a call of its sink, in
 * order, which is
 *
 *   file NAME OFFSET+LENGTH...        in the bytes; zeros+LENGTH
 *   directory NAME
 *   symlink NAME -> TARGET
 *   link NAME -> FILE
 *   left out COUNT REASON
 *   note TEXT
 *
 * With attributes, each of the first four goes on with [FORMAT ro mode=0644 uid=1 gid=2 mtime=S.N
 * KEY=VALUE...], as far as they are given.
 */
struct members {
	char *text;
	int result; /* of detect() */
};

/* Runs detect(), after probe() has said yes where there is one. Checks each call: pieces inside the
 * bytes, names and attributes of the promised form. The caller's (members_clear).
 */
struct members members_of(const struct detector *detector, const void *data, size_t size,
			  const struct detector_options *options, bool attributes);
void members_clear(struct members *members);

/* All of the above in one. options may be NULL. */
void assert_members(const struct detector *detector, const void *data, size_t size,
		    const struct detector_options *options, const char *wanted);

/* probe() says no. */
void assert_not_for(const struct detector *detector, const void *data, size_t size);

#endif
