/* SPDX-License-Identifier: MIT */
#ifndef MMAPFS_ERROR_H
#define MMAPFS_ERROR_H

#include <stddef.h>

/* Messages for the user, collected instead of printed.
 *
 * Functions that read configuration return 0 or a negative errno like all others, and also put
 * one message for each thing that is wrong here; only the command line prints them. The first
 * ERROR_MESSAGES_MAX are kept, the rest counted, so that a hostile table cannot fill memory.
 *
 * Not thread-safe. Start with ERROR_INIT, end with error_clear().
 */
struct error {
	char **messages; /* owned; each one line without a newline, control bytes escaped */
	size_t count;    /* of messages */
	size_t omitted;  /* messages past the limit */
};

#define ERROR_INIT                                                                                 \
	{                                                                                          \
		NULL, 0, 0                                                                         \
	}
#define ERROR_MESSAGES_MAX 50

/* Where in the configuration a message belongs: "disk.table:12: ". file may be NULL (command
 * line: no prefix), line 0 leaves the number out. Borrowed.
 */
struct location {
	const char *file;
	unsigned long line;
};

/* Add one formatted message. at may be NULL. Never fails: out of memory only counts it. */
void error_add(struct error *error, const struct location *at, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* Free the messages; the struct can be used again. */
void error_clear(struct error *error);

#endif
