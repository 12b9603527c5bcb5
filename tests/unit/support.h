/* SPDX-License-Identifier: MIT */
#ifndef UNIT_SUPPORT_H
#define UNIT_SUPPORT_H

#include "mmapfs/error.h"

/* cmocka.h wants these before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/types.h>

/* What the unit tests share. Everything here fails the running test when it cannot do its work. */

#define COUNT(array) (sizeof(array) / sizeof(*(array)))

/* 0 or a negative errno, shown by name when it is not the one wanted. */
#define assert_result(call, wanted) assert_result_((call), (wanted), #call, __FILE__, __LINE__)
void assert_result_(int64_t result, int64_t wanted, const char *call, const char *file, int line);

/* The messages are exactly these, in order; clears them. */
#define assert_messages(error, ...)                                                                \
	assert_messages_((error), (const char *const[]){ __VA_ARGS__, NULL }, __FILE__, __LINE__)
void assert_messages_(struct error *error, const char *const *wanted, const char *file, int line);

#define assert_no_messages(error)                                                                  \
	assert_messages_((error), &(const char *){ NULL }, __FILE__, __LINE__)

/* Random numbers, the same again when MMAPFS_SEED gives the number that was printed. */
void random_begin(void);
uint64_t random_u64(void);
uint64_t random_below(uint64_t bound); /* bound > 0 */
bool random_chance(unsigned percent);
void random_bytes(void *buf, size_t size);

/* A test with a fresh current directory to itself, removed afterwards. */
#define scratch_test(function)                                                                     \
	cmocka_unit_test_setup_teardown(function, scratch_enter, scratch_leave)
int scratch_enter(void **state);
int scratch_leave(void **state);

/* Where the directories are made from now on; NULL: $TMPDIR, or /tmp. */
void scratch_use(const char *parent);

/* Files, by path. */
void file_write(const char *path, const void *data, size_t size);
void file_fill(const char *path, size_t size); /* with random bytes */
void file_write_at(const char *path, uint64_t offset, const void *data, size_t size);
void file_read_at(const char *path, uint64_t offset, void *buf, size_t size);
void file_resize(const char *path, uint64_t size); /* made when missing */
uint64_t file_size(const char *path);
void file_assert(const char *path, const void *data, size_t size); /* holds exactly this */

/* The whole text of a stream that was opened to read and write; the caller's. */
char *stream_text(FILE *stream);

/* Run in a child; returns its wait status. Asserts in the child fail it with status 1. */
int in_child(void (*body)(void *context), void *context);
void assert_in_child(void (*body)(void *context), void *context);

/* Give up root's powers over permissions, in a child of in_child(). */
void become_ordinary_user(void);

/* Catch what goes to standard error, from begin to end; the text is the caller's. */
void stderr_begin(void);
char *stderr_end(void);

/* Whether the program is built with a sanitizer that needs memory of its own. */
bool sanitized(void);

#endif
