/* SPDX-License-Identifier: MIT */
#ifndef CORE_AVAILABLE_H
#define CORE_AVAILABLE_H

#include <stdbool.h>
#include <stdint.h>

/* How much memory this process can still have: what the machine has available without swapping
 * (MemAvailable), and what its memory cgroups leave, whose page cache counts as free.
 */
struct available_memory {
	uint64_t left;
	uint64_t limit; /* where left would be 0: the machine's memory, or the least limit */
};

/* Any thread. Some ten microseconds. What cannot be read limits nothing. */
struct available_memory available_memory(void);

/* The same with another root directory above /proc and /sys: for tests. */
struct available_memory available_memory_below(const char *root);

/* Whether size more bytes of memory can be taken without waking the OOM killer, as far as that can
 * be known. Mostly an atomic subtraction: it looks again after a part of what is left has been
 * taken, and after some time.
 */
bool available_take(uint64_t size);

#endif
