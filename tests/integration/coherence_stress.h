/* SPDX-License-Identifier: MIT
 *
 * What the parts of coherence_stress share: the records of the image, with how far the writing of
 * each has come (coherence_stress_records.c), and the files that show them
 * (coherence_stress_files.c).
 */
#ifndef COHERENCE_STRESS_H
#define COHERENCE_STRESS_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* Ends this process, and soon all the others. */
__attribute__((noreturn, format(printf, 1, 2))) void die(const char *format, ...);

/* --- records
 * ------------------------------------------------------------------------------------
 */

/* The image holds records from its first byte on, of one size, without gaps. */
struct records;

/* In shared memory. All of version 0, as record_fill() gives it. */
struct records *records_new(size_t count, size_t size);
size_t records_count(const struct records *records);
size_t records_size(const struct records *records);

/* What the record holds in that version; size bytes. Each byte depends on the version, so that the
 * bytes of a torn record tell where they come from.
 */
void record_fill(const struct records *records, size_t record, uint32_t version, void *out);

/* A write of a run of records: begin, write what data holds, end. Other writers of these records
 * are kept out meanwhile. What others are writing at the moment is left out of the run: returns how
 * many of the wanted records it has, from the first one on.
 */
size_t write_begin(struct records *records, size_t first, size_t count, void *data);
void write_end(struct records *records, size_t first, size_t count);

/* A read of a run of records. Bounds are count numbers; data is what was read in between. */
void read_begin(const struct records *records, size_t first, size_t count, uint32_t *bounds);

/* Every byte must be of a version whose write had not been overtaken by one that returned before
 * the read began, and had begun before the read ended. True if so; *strict counts the records
 * that could have but one version. Else *ret_record is the first wrong one.
 */
bool read_check(const struct records *records, size_t first, size_t count, const uint32_t *bounds,
		const void *data, size_t *strict, size_t *ret_record);

/* For messages: what of which version the wrong record holds. */
void read_explain(const struct records *records, size_t record, uint32_t bound, const void *data);

/* --- files
 * --------------------------------------------------------------------------------------
 */

#define EXTENTS_MAX 16
#define WAYS 9

/* A way to open a file. */
struct way {
	char letter;
	int flags;
	bool read, write, map;
};

extern const struct way ways[WAYS];

struct extent {
	off_t image, slice, length;
};

struct file {
	const char *path;
	struct extent extents[EXTENTS_MAX];
	size_t extent_count;
	bool ways[WAYS];
};

/* One of a process's open files. */
struct opened {
	int fd; /* -1: not open */
	uint8_t *map;
	size_t map_size;
};

/* From WAYS:FILE:OFFSET+LENGTH[,...], which must stay. */
void file_parse(char *text, struct file *ret);

/* Nothing if it is open. False where a mapping is not to be had at the moment. */
bool file_open(const struct file *file, const struct way *way, struct opened *opened);
void file_close(struct opened *opened);
void file_read(struct opened *opened, void *data, size_t length, off_t offset);
void file_write(struct opened *opened, const void *data, size_t length, off_t offset);

#endif
