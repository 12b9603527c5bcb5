/* SPDX-License-Identifier: MIT */
/* Stands in front of guard_copy() where ThreadSanitizer does.
 *
 * TSan runs every signal handler with all signals blocked, whatever sigaction(2) was asked for. The
 * guard jumps out of its handler without touching the mask, which is right without TSan, so that
 * the next fault would find SIGBUS blocked and end the process.
 */
#include "support.h"

#include <signal.h>

int __real_guard_copy(void *target, const void *source, size_t size);
int __wrap_guard_copy(void *target, const void *source, size_t size);
int __wrap_guard_copy(void *target, const void *source, size_t size)
{
	int result = __real_guard_copy(target, source, size);
	sigset_t none;

	if (result < 0) {
		sigemptyset(&none);
		pthread_sigmask(SIG_SETMASK, &none, NULL);
	}
	return result;
}
