/* SPDX-License-Identifier: MIT */
#ifndef CORE_GUARD_H
#define CORE_GUARD_H

#include <stddef.h>

/* Install the SIGBUS handler, once, before the first guard_copy. 0 or negative errno. */
int guard_install(void);

/* memcpy where either side may lie in a mapping whose file shrinks, fills its disk or fails.
 *
 * 0, or -EFAULT when a page could not be had: an unknown part is copied then. Any thread; a SIGBUS
 * that does not come from the two ranges still ends the process. No system call. size > 0.
 */
int guard_copy(void *target, const void *source, size_t size);

#endif
