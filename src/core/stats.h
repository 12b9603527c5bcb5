/* SPDX-License-Identifier: MIT */
#ifndef CORE_STATS_H
#define CORE_STATS_H

#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>

/* Counters of the whole daemon, shown in .mmapfs/stats. Relaxed: nothing is ordered by them. */
#define STATS(X)                                                                                   \
	X(lookups, "lookup requests")                                                              \
	X(getattrs, "getattr requests")                                                            \
	X(listings, "requests to list a folder")                                                   \
	X(opens, "open requests")                                                                  \
	X(reads, "read requests")                                                                  \
	X(read_bytes, "bytes handed to the kernel")                                                \
	X(pushes, "times that neighbours of what was read at random were pushed")                  \
	X(push_bytes, "bytes of them")                                                             \
	X(writes, "write requests")                                                                \
	X(write_bytes, "bytes taken from the kernel")                                              \
	X(write_copies, "pieces written by memcpy into hot pages")                                 \
	X(write_calls, "pieces written by pwrite")                                                 \
	X(fsyncs, "fsync requests")                                                                \
	X(msyncs, "flushes of a range")                                                            \
	X(msync_microseconds, "time spent in them")                                                \
	X(faults, "guarded copies that met a lost or full page")                                   \
	X(trims, "times that the mappings held too much")                                          \
	X(trimmed_regions, "idle regions of mappings that were dropped")                           \
	X(errors_eio, "requests answered with EIO")                                                \
	X(errors_enospc, "requests answered with ENOSPC or EDQUOT")                                \
	X(errors_erofs, "requests answered with EROFS")                                            \
	X(errors_eperm, "requests answered with EPERM or EACCES")                                  \
	X(errors_other, "requests answered with another error but ENOENT, ENOSYS, ENXIO")          \
	X(reply_failures, "replies that the kernel did not take")                                  \
	X(writeback_errors, "flushes that failed")                                                 \
	X(lost_writes, "writes from the kernel's page cache that failed")

struct stats {
#define STATS_FIELD(name, help) atomic_uint_fast64_t name;
	STATS(STATS_FIELD)
#undef STATS_FIELD
};

extern struct stats stats;

#define stats_add(name, value) atomic_fetch_add_explicit(&stats.name, (value), memory_order_relaxed)

/* Count one request that ended with error (negative errno; 0 counts nothing). */
void stats_add_error(int error);

/* What the kernel says that the process holds, in bytes. */
struct process_memory {
	uint64_t page_tables;
	uint64_t anonymous; /* resident, as the next one */
	uint64_t mapped;    /* of files and shared memory */
};

/* 0, or negative errno (no /proc). 10 us. */
int process_memory(struct process_memory *ret);

/* "name value" lines, the counters and what the process holds (page_table_bytes, from
 * /proc/self/status).
 */
void stats_write(FILE *out);

#endif
