/* SPDX-License-Identifier: MIT
 *
 * What the parts of the exerciser share; exerciser.c says what it is.
 */
#ifndef EXERCISER_H
#define EXERCISER_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#ifndef _FILE_OFFSET_BITS
#define _FILE_OFFSET_BITS 64
#endif

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LENGTH_MAX ((size_t)128 << 10)
#define HISTORY 24
#define LINE 128

struct exerciser {
	const char *path;
	bool resize, writeback, no_mmap, no_direct;
	size_t max_size;

	uint8_t *model;
	uint32_t *writer; /* of each byte of the model: the operation's number, 0 is nobody */
	size_t size;

	int fd, write_fd;
	uint8_t *map;
	size_t map_size;

	uint64_t random_state, seed;
	uint32_t number; /* of the operation that runs */
	uint32_t unsupported;
	char history[HISTORY][LINE];
	uint8_t buf[LENGTH_MAX];
};

struct range {
	size_t offset, length;
};

/* Says what the current operation is. */
void note(struct exerciser *ex, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Prints the current operation, what is wrong, and the operations before; exits 1. */
void die(struct exerciser *ex, const char *format, ...)
	__attribute__((noreturn, format(printf, 2, 3)));
void die_errno(struct exerciser *ex, const char *what) __attribute__((noreturn));

/* Dies unless data, which is what the file gave for range, is the model's. */
void compare(struct exerciser *ex, struct range range, const uint8_t *data);

size_t random_below(struct exerciser *ex, size_t limit); /* 0 for a limit of 0 */
bool one_in(struct exerciser *ex, size_t count);
size_t random_length(struct exerciser *ex);
void random_fill(struct exerciser *ex, size_t length); /* ex->buf */

/* Below limit, sometimes beside a page boundary, sometimes close to the limit. */
size_t random_offset(struct exerciser *ex, size_t limit);

/* Lies inside the file, which must not be empty. */
struct range random_inside(struct exerciser *ex);

/* May lie past the end; not past max_size in a file that would grow. */
struct range random_anywhere(struct exerciser *ex);

/* Grows with zeros. */
void model_resize(struct exerciser *ex, size_t size);

/* data may be NULL for zeros, or lie in the model itself. */
void model_write(struct exerciser *ex, struct range range, const uint8_t *data);

#endif
