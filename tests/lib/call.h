/* SPDX-License-Identifier: MIT
 *
 * What the parts of call share; call.c says what it is.
 */
#ifndef CALL_H
#define CALL_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#ifndef _FILE_OFFSET_BITS
#define _FILE_OFFSET_BITS 64
#endif

#include <stddef.h>
#include <stdio.h>

/* Of a read, and of what a call may return as text. */
#define CHUNK ((size_t)1 << 20)

/* One call: its arguments, argv[0] is its name, and what it leaves for main() to print. */
struct call {
	int argc;
	char **argv;
	long long value;
	char *text; /* printed in place of value; malloc'ed */
	size_t text_length;
};

/* name, function, fewest and most arguments. Each function returns 0, or -1 with errno set.
 * call_file.c has those that open the file, call_node.c those that go by its name.
 */
#define CALLS(X)                                                                                   \
	X("open", call_open, 1, 1)                                                                 \
	X("creat", call_creat, 1, 1)                                                               \
	X("read", call_read, 1, 3)                                                                 \
	X("write", call_write, 3, 4)                                                               \
	X("truncate", call_truncate, 2, 2)                                                         \
	X("ftruncate", call_ftruncate, 2, 2)                                                       \
	X("seek_data", call_lseek, 2, 2)                                                           \
	X("seek_hole", call_lseek, 2, 2)                                                           \
	X("seek_end", call_lseek, 2, 2)                                                            \
	X("fallocate", call_fallocate, 4, 4)                                                       \
	X("copy_file_range", call_copy_file_range, 5, 5)                                           \
	X("fsync", call_fsync, 1, 1)                                                               \
	X("fdatasync", call_fsync, 1, 1)                                                           \
	X("mmap", call_mmap, 4, 5)                                                                 \
	X("stat", call_stat, 2, 2)                                                                 \
	X("statfs", call_statfs, 2, 2)                                                             \
	X("getxattr", call_getxattr, 2, 3)                                                         \
	X("listxattr", call_listxattr, 1, 1)                                                       \
	X("setxattr", call_setxattr, 3, 3)                                                         \
	X("removexattr", call_removexattr, 2, 2)                                                   \
	X("chmod", call_chmod, 2, 2)                                                               \
	X("chown", call_chown, 3, 3)                                                               \
	X("utimens", call_utimens, 3, 3)                                                           \
	X("unlink", call_unlink, 1, 1)                                                             \
	X("rmdir", call_rmdir, 1, 1)                                                               \
	X("mkdir", call_mkdir, 1, 1)                                                               \
	X("rename", call_rename, 2, 2)                                                             \
	X("exchange", call_exchange, 2, 2)                                                         \
	X("link", call_link, 2, 2)                                                                 \
	X("symlink", call_symlink, 2, 2)                                                           \
	X("readlink", call_readlink, 1, 1)                                                         \
	X("mknod", call_mknod, 1, 2)                                                               \
	X("readdir", call_readdir, 1, 1)                                                           \
	X("seekdir", call_seekdir, 2, 2)                                                           \
	X("flock", call_flock, 2, 3)                                                               \
	X("lock", call_lock, 4, 5)                                                                 \
	X("random", call_random, 3, 3)

#define CALL_DECLARE(name, function, min, max) int function(struct call *call);
CALLS(CALL_DECLARE)
#undef CALL_DECLARE

struct word {
	const char *name;
	int value;
};

/* All of these end the program, with status 2, where they fail. */
void usage(const char *format, ...) __attribute__((noreturn, format(printf, 1, 2)));
long long number_parse(const char *text);
int words_parse(const struct word *words, const char *text); /* "a,b": a | b */
void *buffer_new(size_t size); /* aligned for O_DIRECT; free() takes it */

/* Opens path with the flags of -f, else with fallback. -1 and errno where that fails. */
int file_open(const char *path, int fallback);

/* Returns status and keeps errno, unless close itself is the first to fail. */
int file_close(int fd, int status);

/* The file of -o; without -o there is none, and out is NULL. */
FILE *out_open(void);
void out_write(FILE *out, const void *data, size_t size);
void out_close(FILE *out);

/* Of -f, as for open(2); -1 where it is not given. */
extern int open_flags;

#endif
