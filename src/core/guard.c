/* SPDX-License-Identifier: MIT */
/* Copies that turn SIGBUS into a return code.
 *
 *     guard_copy: arm -> memcpy -> disarm -> 0
 *                          |
 *                       SIGBUS in range: siglongjmp -> disarm -> -EFAULT
 *
 * The signal mask is not saved (sigsetjmp(…, 0)), which keeps a copy free of system calls; that is
 * sound because SA_NODEFER leaves SIGBUS unblocked in the handler that is jumped out of.
 */
#include "guard.h"

#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

static _Thread_local struct {
	sigjmp_buf escape;
	volatile uintptr_t target;
	volatile uintptr_t source;
	volatile size_t size; /* 0: not armed */
} guard;

static bool in_range(uintptr_t address, uintptr_t start, size_t size)
{
	return address - start < size;
}

static void on_sigbus(int signal_number, siginfo_t *info, void *context)
{
	uintptr_t address = (uintptr_t)info->si_addr;

	if (guard.size && (in_range(address, guard.target, guard.size) ||
			   in_range(address, guard.source, guard.size)))
		siglongjmp(guard.escape, 1);
	/* Not ours. The same access faults again on return, and then ends the process; a signal
	 * that somebody sent does not come again by itself.
	 */
	signal(signal_number, SIG_DFL);
	if (info->si_code <= 0)
		raise(signal_number);
}

int guard_install(void)
{
	struct sigaction action = { .sa_sigaction = on_sigbus,
				    .sa_flags = SA_SIGINFO | SA_NODEFER };

	sigemptyset(&action.sa_mask);
	return sigaction(SIGBUS, &action, NULL) == 0 ? 0 : -errno;
}

/* ThreadSanitizer runs every handler with all signals blocked, whatever sigaction(2) was asked for,
 * and the jump would leave them so: that of pthread_cancel(3) as well.
 */
#ifdef HAVE_TSAN
static _Thread_local sigset_t signals_before;
#endif

static void signals_save(void)
{
#ifdef HAVE_TSAN
	pthread_sigmask(SIG_SETMASK, NULL, &signals_before);
#endif
}

static void signals_restore(void)
{
#ifdef HAVE_TSAN
	pthread_sigmask(SIG_SETMASK, &signals_before, NULL);
#endif
}

int guard_copy(void *target, const void *source, size_t size)
{
	signals_save();
	if (sigsetjmp(guard.escape, 0)) {
		guard.size = 0;
		signals_restore();
		return -EFAULT;
	}
	guard.target = (uintptr_t)target;
	guard.source = (uintptr_t)source;
	guard.size = size;
	atomic_signal_fence(memory_order_seq_cst);
	memcpy(target, source, size);
	atomic_signal_fence(memory_order_seq_cst);
	guard.size = 0;
	return 0;
}
