/* SPDX-License-Identifier: MIT */
#ifndef CORE_OVERLAP_H
#define CORE_OVERLAP_H

#include "mmapfs/slice.h"

/* Set slice->alias for every slice that shares a byte with another slice, or with itself,
 * while one of the two is writable. O(n log n) in the number of extents; images are told apart by
 * pointer. 0 or -ENOMEM.
 */
int overlap_mark_aliases(struct slice *slices, size_t count);

#endif
