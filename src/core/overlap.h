/* SPDX-License-Identifier: MIT */
#ifndef CORE_OVERLAP_H
#define CORE_OVERLAP_H

#include "mmapfs/slice.h"

/* Two slices that are aliases of each other; the same one twice where it holds a byte twice. */
struct alias_pair {
	bool found;
	size_t first;
	size_t second;
};

/* Set slice->alias for every slice that shares a byte with another slice, or with itself,
 * while one of the two is writable. *ret_pair is an example, if there is any. O(n log n) in the
 * number of extents; images are told apart by pointer. 0 or -ENOMEM.
 */
int overlap_mark_aliases(struct slice *slices, size_t count, struct alias_pair *ret_pair);

#endif
