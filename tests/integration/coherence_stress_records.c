/* SPDX-License-Identifier: MIT
 *
 * The records of coherence_stress: what they hold in which version, and which versions a read may
 * find.
 */
#include "coherence_stress.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define RECORD_SIZE_MAX 4096

struct progress {
	_Atomic uint32_t started;  /* the newest version whose write has begun */
	_Atomic uint32_t finished; /* the newest version whose write has returned */
	atomic_flag writing;
};

struct records {
	size_t count, size;
	struct progress progress[];
};

struct records *records_new(size_t count, size_t size)
{
	size_t bytes = sizeof(struct records) + count * sizeof(struct progress);
	struct records *records =
		mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (records == MAP_FAILED || size > RECORD_SIZE_MAX) {
		fputs("coherence_stress: no room for the records\n", stderr);
		exit(2);
	}
	records->count = count;
	records->size = size;
	return records;
}

size_t records_count(const struct records *records)
{
	return records->count;
}

size_t records_size(const struct records *records)
{
	return records->size;
}

/* splitmix64: neighbouring seeds give unrelated numbers. */
static uint64_t mix(uint64_t value)
{
	value += 0x9e3779b97f4a7c15;
	value = (value ^ (value >> 30)) * 0xbf58476d1ce4e5b9;
	value = (value ^ (value >> 27)) * 0x94d049bb133111eb;
	return value ^ (value >> 31);
}

void record_fill(const struct records *records, size_t record, uint32_t version, void *out)
{
	uint64_t word = ((uint64_t)record << 40) ^ ((uint64_t)version << 8);
	uint8_t *bytes = out;

	for (size_t at = 0; at < records->size; at += sizeof(word)) {
		uint64_t value = mix(word++);
		size_t left = records->size - at;

		memcpy(bytes + at, &value, left < sizeof(value) ? left : sizeof(value));
	}
}

size_t write_begin(struct records *records, size_t first, size_t count, void *data)
{
	uint8_t *at = data;
	size_t got;

	for (got = 0; got < count; got++, at += records->size) {
		struct progress *progress = &records->progress[first + got];

		if (atomic_flag_test_and_set(&progress->writing))
			break;
		record_fill(records, first + got, atomic_fetch_add(&progress->started, 1) + 1, at);
	}
	return got;
}

void write_end(struct records *records, size_t first, size_t count)
{
	for (size_t i = first; i < first + count; i++) {
		struct progress *progress = &records->progress[i];

		atomic_store(&progress->finished, atomic_load(&progress->started));
		atomic_flag_clear(&progress->writing);
	}
}

void read_begin(const struct records *records, size_t first, size_t count, uint32_t *bounds)
{
	for (size_t i = 0; i < count; i++)
		bounds[i] = atomic_load(&records->progress[first + i].finished);
}

/* Takes out of the bytes that are left (open[i]) those that version explains; how many remain. */
static size_t explain(const struct records *records, size_t record, uint32_t version,
		      const uint8_t *data, bool *open)
{
	uint8_t wanted[RECORD_SIZE_MAX];
	size_t left = 0;

	record_fill(records, record, version, wanted);
	for (size_t i = 0; i < records->size; i++) {
		open[i] = open[i] && data[i] != wanted[i];
		left += open[i];
	}
	return left;
}

/* Many versions at once would explain any byte by chance: no more than that are tried. */
#define VERSIONS_MAX 8

static bool record_check(const struct records *records, size_t record, uint32_t from, uint32_t to,
			 const uint8_t *data)
{
	bool open[RECORD_SIZE_MAX];

	if (to - from >= VERSIONS_MAX)
		return true;
	memset(open, true, sizeof(open));
	for (uint32_t version = from; version <= to; version++)
		if (explain(records, record, version, data, open) == 0)
			return true;
	return false;
}

bool read_check(const struct records *records, size_t first, size_t count, const uint32_t *bounds,
		const void *data, size_t *strict, size_t *ret_record)
{
	uint32_t *ends = malloc(count * sizeof(*ends));
	const uint8_t *at = data;
	size_t i;

	if (!ends)
		abort();
	/* All of them first: the checks below take their time. */
	for (i = 0; i < count; i++)
		ends[i] = atomic_load(&records->progress[first + i].started);
	for (i = 0; i < count; i++, at += records->size) {
		if (!record_check(records, first + i, bounds[i], ends[i], at))
			break;
		*strict += bounds[i] == ends[i];
	}
	free(ends);
	*ret_record = first + i;
	return i == count;
}

void read_explain(const struct records *records, size_t record, uint32_t bound, const void *data)
{
	uint32_t last = atomic_load(&records->progress[record].started);
	bool open[RECORD_SIZE_MAX];

	fprintf(stderr, "record %zu: version %u had been written, %u had begun;", record, bound,
		last);
	for (uint32_t version = last + 1; version-- > 0;) {
		size_t left;

		memset(open, true, sizeof(open));
		left = explain(records, record, version, data, open);
		if (left <= records->size / 2) {
			fprintf(stderr, " %zu of %zu bytes are of version %u", records->size - left,
				records->size, version);
			break;
		}
	}
	fputs("\n", stderr);
}
