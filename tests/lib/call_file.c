/* SPDX-License-Identifier: MIT
 *
 * The calls that open their file: data, sizes, locks.
 */
#include "call.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <setjmp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <unistd.h>

#define STDIN_LIMIT ((size_t)64 << 20)

static sigjmp_buf bus_env;
static volatile char loaded; /* so that a load is not left out */

static const struct word fallocate_words[] = {
	{ "default", 0 },
	{ "keep_size", FALLOC_FL_KEEP_SIZE },
	{ "punch_hole", FALLOC_FL_PUNCH_HOLE },
	{ "zero_range", FALLOC_FL_ZERO_RANGE },
	{ "collapse_range", FALLOC_FL_COLLAPSE_RANGE },
	{ "insert_range", FALLOC_FL_INSERT_RANGE },
	{ "unshare_range", FALLOC_FL_UNSHARE_RANGE },
	{ NULL, 0 },
};

int call_open(struct call *call)
{
	int fd = file_open(call->argv[1], O_RDONLY);

	call->value = 0;
	return fd < 0 ? -1 : file_close(fd, 0);
}

int call_creat(struct call *call)
{
	if (open_flags < 0)
		open_flags = O_WRONLY | O_CREAT | O_TRUNC;
	return call_open(call);
}

/* read FILE: to the end, in calls of 1 MiB. read FILE OFFSET LENGTH: one pread. */
int call_read(struct call *call)
{
	bool whole = call->argc == 2;
	size_t length = whole ? CHUNK : (size_t)number_parse(call->argv[3]);
	off_t offset = whole ? 0 : number_parse(call->argv[2]);
	char *buf;
	FILE *out;
	ssize_t got;
	int fd;

	fd = file_open(call->argv[1], O_RDONLY);
	if (fd < 0)
		return -1;
	buf = buffer_new(length);
	out = out_open();
	do {
		got = pread(fd, buf, length, offset);
		if (got > 0) {
			out_write(out, buf, (size_t)got);
			offset += got;
			call->value += got;
		}
	} while (whole && got > 0);
	free(buf);
	out_close(out);
	return file_close(fd, got < 0 ? -1 : 0);
}

/* write FILE OFFSET LENGTH [BYTE], or write FILE OFFSET - for the bytes of standard input. */
int call_write(struct call *call)
{
	off_t offset = number_parse(call->argv[2]);
	size_t length;
	ssize_t put;
	char *buf;
	int fd;

	if (!strcmp(call->argv[3], "-")) {
		buf = buffer_new(STDIN_LIMIT);
		length = fread(buf, 1, STDIN_LIMIT, stdin);
	} else {
		length = (size_t)number_parse(call->argv[3]);
		buf = buffer_new(length);
		memset(buf, call->argc > 4 ? call->argv[4][0] : 'w', length);
	}
	fd = file_open(call->argv[1], O_WRONLY);
	if (fd < 0) {
		free(buf);
		return -1;
	}
	put = pwrite(fd, buf, length, offset);
	call->value = put;
	free(buf);
	return file_close(fd, put < 0 ? -1 : 0);
}

int call_truncate(struct call *call)
{
	return truncate(call->argv[1], number_parse(call->argv[2]));
}

int call_ftruncate(struct call *call)
{
	int fd = file_open(call->argv[1], O_RDWR);

	return fd < 0 ? -1 : file_close(fd, ftruncate(fd, number_parse(call->argv[2])));
}

int call_lseek(struct call *call)
{
	int whence = SEEK_END;
	int fd = file_open(call->argv[1], O_RDONLY);

	if (fd < 0)
		return -1;
	if (!strcmp(call->argv[0], "seek_data"))
		whence = SEEK_DATA;
	else if (!strcmp(call->argv[0], "seek_hole"))
		whence = SEEK_HOLE;
	call->value = lseek(fd, number_parse(call->argv[2]), whence);
	return file_close(fd, call->value < 0 ? -1 : 0);
}

int call_fallocate(struct call *call)
{
	int mode = words_parse(fallocate_words, call->argv[2]);
	int fd;

	if (mode & FALLOC_FL_PUNCH_HOLE)
		mode |= FALLOC_FL_KEEP_SIZE;
	fd = file_open(call->argv[1], O_RDWR);
	if (fd < 0)
		return -1;
	return file_close(fd, fallocate(fd, mode, number_parse(call->argv[3]),
					number_parse(call->argv[4])));
}

int call_copy_file_range(struct call *call)
{
	off64_t from = number_parse(call->argv[2]), to = number_parse(call->argv[4]);
	int in, out;

	in = file_open(call->argv[1], O_RDONLY);
	if (in < 0)
		return -1;
	out = file_open(call->argv[3], O_RDWR);
	if (out < 0)
		return file_close(in, -1);
	call->value = copy_file_range(in, &from, out, &to, (size_t)number_parse(call->argv[5]), 0);
	return file_close(in, file_close(out, call->value < 0 ? -1 : 0));
}

int call_fsync(struct call *call)
{
	int fd = file_open(call->argv[1], O_RDONLY);

	if (fd < 0)
		return -1;
	return file_close(fd, !strcmp(call->argv[0], "fsync") ? fsync(fd) : fdatasync(fd));
}

static void bus_handler(int number)
{
	siglongjmp(bus_env, number);
}

/* mmap shared|private FILE OFFSET LENGTH [BYTE]: loads the range, after storing BYTE all over it
 * and msync() where BYTE is given.
 */
int call_mmap(struct call *call)
{
	int kind = !strcmp(call->argv[1], "shared") ? MAP_SHARED : MAP_PRIVATE;
	off_t offset = number_parse(call->argv[3]);
	size_t length = (size_t)number_parse(call->argv[4]);
	size_t lead = (size_t)(offset % sysconf(_SC_PAGESIZE));
	bool store = call->argc > 5;
	int prot = store ? PROT_READ | PROT_WRITE : PROT_READ;
	int status = 0, fd;
	FILE *out;
	char *map;
	size_t i;

	fd = file_open(call->argv[2], store && kind == MAP_SHARED ? O_RDWR : O_RDONLY);
	if (fd < 0)
		return -1;
	map = mmap(NULL, lead + length, prot, kind, fd, offset - (off_t)lead);
	if (map == MAP_FAILED)
		return file_close(fd, -1);
	if (sigsetjmp(bus_env, 1)) {
		puts("SIGBUS");
		exit(1);
	}
	signal(SIGBUS, bus_handler);
	if (store) {
		memset(map + lead, call->argv[5][0], length);
		status = msync(map, lead + length, MS_SYNC);
	}
	for (i = 0; i < length; i++)
		loaded = map[lead + i];
	out = out_open();
	out_write(out, map + lead, length);
	out_close(out);
	call->value = (long long)length;
	munmap(map, lead + length);
	return file_close(fd, status);
}

/* Holds what a call has taken until standard input ends; for a test with a coprocess. */
static void hold(bool wanted)
{
	if (!wanted)
		return;
	puts("OK 0");
	fflush(stdout);
	while (getchar() != EOF)
		;
	exit(0);
}

/* flock FILE sh|ex [hold] */
int call_flock(struct call *call)
{
	int fd = file_open(call->argv[1], O_RDONLY);

	if (fd < 0)
		return -1;
	if (flock(fd, (!strcmp(call->argv[2], "ex") ? LOCK_EX : LOCK_SH) | LOCK_NB))
		return file_close(fd, -1);
	hold(call->argc > 3);
	return file_close(fd, 0);
}

/* lock FILE rd|wr OFFSET LENGTH [hold], by fcntl(F_SETLK) */
int call_lock(struct call *call)
{
	struct flock lock = {
		.l_type = !strcmp(call->argv[2], "wr") ? F_WRLCK : F_RDLCK,
		.l_whence = SEEK_SET,
		.l_start = number_parse(call->argv[3]),
		.l_len = number_parse(call->argv[4]),
	};
	int fd = file_open(call->argv[1], O_RDWR);

	if (fd < 0)
		return -1;
	if (fcntl(fd, F_SETLK, &lock))
		return file_close(fd, -1);
	hold(call->argc > 5);
	return file_close(fd, 0);
}

/* random FILE SIZE SEED: a new file of random bytes. */
int call_random(struct call *call)
{
	size_t left = (size_t)number_parse(call->argv[2]);
	uint64_t state = (uint64_t)number_parse(call->argv[3]) * 0x9e3779b97f4a7c15u + 1;
	uint64_t *buf = buffer_new(CHUNK);
	FILE *out = fopen(call->argv[1], "w");

	if (!out)
		return -1;
	call->value = (long long)left;
	while (left) {
		size_t size = left < CHUNK ? left : CHUNK;
		size_t i;

		for (i = 0; i < CHUNK / sizeof(*buf); i++) { /* xorshift64* */
			state ^= state >> 12;
			state ^= state << 25;
			state ^= state >> 27;
			buf[i] = state * 0x2545f4914f6cdd1du;
		}
		if (fwrite(buf, 1, size, out) != size)
			return -1;
		left -= size;
	}
	free(buf);
	return fclose(out);
}
