/* SPDX-License-Identifier: MIT */
#ifndef CORE_MAP_H
#define CORE_MAP_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/* The one mapping of an image, MAP_SHARED | MAP_NORESERVE and longer than the file.
 *
 * Pages past the end of the file become valid when it grows, so growth needs no remap and
 * pointers into it stay good for the life of the image. Beside it lie bitmaps: of "hot" pages, those
 * written since they were last flushed; and of regions, which trim.h is about.
 *
 * A region is what one page of page tables maps: 2 MiB where pages have 4 KiB. One page of the hot
 * bitmap is about 64 regions, whatever the size of a page. The base is aligned to such.
 */
struct map {
	char *base;
	uint64_t length; /* bytes, whole pages */
	bool advised; /* parts have flags of their own, which would be lost by mapping them again */
	int fd;       /* borrowed: to map a part again */
	int protection;
	_Atomic uint64_t *hot;    /* a bit a page; NULL when read-only */
	_Atomic uint64_t hot_end; /* whole pages: no bit behind them was ever set */

	_Atomic uint64_t *regions;  /* see region.c */
	_Atomic uint64_t words_end; /* words of regions: none behind them was ever set */
	struct map *next;           /* guarded by the trimmer's lock */
};

#define MAP_WORD_REGIONS 32

/* Headroom that is asked for beyond the file; halved as long as there is no address space. */
#define MAP_HEADROOM (64ULL << 30)

/* Map size bytes of fd, which stays open as long as the map, and headroom. 0 or negative errno, *ret
 * then untouched.
 */
int map_create(int fd, uint64_t size, bool writable, struct map *ret);
void map_destroy(struct map *map);

/* Map the range, whole pages, over what is mapped there, as it was: whoever touches it meanwhile
 * waits. Frees the page tables that map nothing else. 0 or negative errno.
 */
int map_again(const struct map *map, uint64_t offset, uint64_t length);

/* msync(2) of the pages that hold [offset, offset + length), clipped to the mapping. Clears their
 * hot bits first.
 */
int map_flush(struct map *map, uint64_t offset, uint64_t length);

/* Whether every page of the range was written since its last flush. */
bool map_is_hot(const struct map *map, uint64_t offset, uint64_t length);
void map_set_hot(struct map *map, uint64_t offset, uint64_t length);
void map_clear_hot(struct map *map, uint64_t offset, uint64_t length);

/* The range of the mapping was read or written, or made hot: note it, so that it can be dropped one
 * day. To be called after that, not before: entries that come later would not be known of. Charges
 * the trimmer with the whole of each region that was idle.
 */
void map_touch(struct map *map, uint64_t offset, uint64_t length);

/* Whether the region of offset, within the mapping, is noted: its page tables are there. */
bool map_is_in_use(const struct map *map, uint64_t offset);

/* Whether it is worth the memory to look for hot pages at offset. Where much of the mappings is in
 * use, it is only where the region is in use, too.
 */
bool map_may_be_hot(const struct map *map, uint64_t offset);

/* Whether it is worth the memory to make pages at offset hot that are not mapped. As before; or the
 * region has knocked before, and not too many others since.
 */
bool map_knock(const struct map *map, uint64_t offset);

/* Drop the regions of a word that were not touched since the last call for it: page-table entries,
 * the tables themselves, hot bits. What was written is in the page cache, and stays. Returns how
 * many there were. Any thread, beside all other use of the mapping.
 */
unsigned map_sweep(struct map *map, uint64_t word);

/* The first word at or behind this one with a region that may be dropped; UINT64_MAX: none. */
uint64_t map_next_word(const struct map *map, uint64_t word);

/* Free the tables above those of regions, where no region below them may have any. Slow: once in a
 * while.
 */
void map_sweep_tables(struct map *map);

/* Once, before there are threads: find out how this kernel frees page tables. 0 or negative errno. */
int map_sweep_prepare(void);

/* Of all maps: the regions that may have page-table entries or hot pages, and the words with any. */
uint64_t map_regions_present(void);
uint64_t map_words_present(void);

/* Page size as a shift, constant for the process; bytes of a region. */
unsigned page_shift(void) __attribute__((const));
unsigned region_shift(void) __attribute__((const));

#endif
