/* SPDX-License-Identifier: MIT */
#ifndef CORE_TRIM_H
#define CORE_TRIM_H

#include "map.h"

/* The trimmer: keeps what the mappings of images hold of page tables, resident pages and hot bits
 * within a limit, by dropping regions that were idle since it came by last (map.h). Nothing is ever
 * lost by that; a dropped page is in the page cache, and costs a fault to have again.
 *
 * It has no thread. Whoever maps calls trim_run() now and then, with no lock held and after the reply:
 * it looks whenever an eighth of the limit may have been mapped, and drops what is too much. Any
 * number of threads may be in it.
 */

/* The limit that nobody has asked for: this part of the machine's memory, or of what the cgroups of
 * the process allow if that is less. Bytes.
 */
#define TRIM_DEFAULT_PART 8
uint64_t trim_limit_default(void);

/* Less is taken for this. */
#define TRIM_LIMIT_MIN (1ULL << 20)

/* Begin, with a limit in bytes; what the process holds by now is not counted. No other thread runs
 * yet. 0, or negative errno (no /proc): then nothing is trimmed.
 */
int trim_start(uint64_t limit);
void trim_stop(void); /* no other thread runs any more */

/* While no thread is in trim_run(). */
void trim_add(struct map *map);
void trim_remove(struct map *map); /* takes one that was not added, too */

/* So many bytes may have been mapped. map_touch() counts a region that was idle as a whole, since one
 * fault can map all of it; what else comes into it counts by the byte.
 */
void trim_charge(uint64_t bytes);
void trim_run(void);

/* Whether bytes at offset that could as well be read by a call are to be read through the mapping. */
bool trim_admits(const struct map *map, uint64_t offset);

/* Bytes; 0: not trimmed. */
uint64_t trim_limit(void);

#endif
