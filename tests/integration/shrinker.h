/* SPDX-License-Identifier: MIT
 *
 * What the two halves of shrinker share; shrinker.c says what it is.
 */
#ifndef SHRINKER_H
#define SHRINKER_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#ifndef _FILE_OFFSET_BITS
#define _FILE_OFFSET_BITS 64
#endif

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PAGE 4096
#define COMPLAINTS_MAX 5

/* While epoch is odd the image is cut: it holds at least `floor` bytes then, else all of them. */
struct shared {
	_Atomic uint64_t epoch;
	_Atomic uint64_t floor; /* written before epoch turns odd */
	_Atomic uint64_t calls;
	_Atomic bool stop;
};

extern struct shared *shared;

/* What the image has to hold. */
extern const char *pattern;
extern size_t image_size;

struct kind;

struct worker {
	const struct kind *kind;
	const char *path;
	uint64_t start;
	uint64_t length;
};

/* All of these end the process where they fail. */
void die(const char *format, ...) __attribute__((noreturn, format(printf, 1, 2)));
void worker_parse(char *text, struct worker *ret);
void worker_run(const struct worker *worker) __attribute__((noreturn));

/* One sequence a process. */
void random_begin(uint64_t seed);
uint64_t random_below(uint64_t limit);

#endif
