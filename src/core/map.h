/* SPDX-License-Identifier: MIT */
#ifndef CORE_MAP_H
#define CORE_MAP_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/* The one mapping of an image, MAP_SHARED | MAP_NORESERVE and longer than the file.
 *
 * Pages past the end of the file become valid when it grows, so growth needs no remap and
 * pointers into it stay good for the life of the image. Beside it lies a bitmap of "hot" pages:
 * those written since they were last flushed.
 */
struct map {
	char *base;
	uint64_t length;          /* bytes, whole pages */
	_Atomic uint64_t *hot;    /* a bit a page; NULL when read-only */
	_Atomic uint64_t hot_end; /* whole pages: no bit behind them was ever set */
};

/* Headroom that is asked for beyond the file; halved as long as there is no address space. */
#define MAP_HEADROOM (64ULL << 30)

/* Map size bytes of fd and headroom. 0 or negative errno, *ret then untouched. */
int map_create(int fd, uint64_t size, bool writable, struct map *ret);
void map_destroy(struct map *map);

/* msync(2) of the pages that hold [offset, offset + length), clipped to the mapping. Clears their
 * hot bits first.
 */
int map_flush(struct map *map, uint64_t offset, uint64_t length);

/* Whether every page of the range was written since its last flush. */
bool map_is_hot(const struct map *map, uint64_t offset, uint64_t length);
void map_set_hot(struct map *map, uint64_t offset, uint64_t length);
void map_clear_hot(struct map *map, uint64_t offset, uint64_t length);

/* Page size as a shift, constant for the process. */
unsigned page_shift(void);

#endif
