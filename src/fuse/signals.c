/* SPDX-License-Identifier: MIT */
/* Signals: flush, unmount, leave. */
#include "signals.h"

#include "log.h"
#include "mounts.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

void signals_ending(sigset_t *ret)
{
	sigemptyset(ret);
	sigaddset(ret, SIGTERM);
	sigaddset(ret, SIGINT);
	sigaddset(ret, SIGHUP);
}

bool connection_alive(struct fuse_session *session)
{
	struct pollfd device = { .fd = fuse_session_fd(session) };

	return poll(&device, 1, 0) >= 0 && !(device.revents & POLLERR);
}

void signals_block(void)
{
	sigset_t set;

	signals_ending(&set);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
}

/* In a child, since whatever touches the mount can hang on a slow image. It holds none of the
 * daemon's descriptors, or the connection would outlive the daemon.
 */
static pid_t start_detach(const struct stopper *stopper)
{
	char *path;
	pid_t child;
	bool synced;
	int fd;

	/* By the device: a rename may have moved the mount, another may lie on top of it. */
	if (!stopper->device || !connection_alive(stopper->session) ||
	    mount_find_device(stopper->device, stopper->mountpoint, &path) < 0)
		return -1;
	child = fork();
	if (child != 0) {
		free(path);
		return child;
	}
	close_range(STDERR_FILENO + 1, ~0U, 0);
	fd = open(path, O_RDONLY | O_DIRECTORY);
	synced = fd >= 0 && stopper->sync(stopper->context, fd);
	if (fd >= 0)
		close(fd);
	mount_detach(path, true, NULL);
	_exit(synced ? 0 : 1);
}

static void pause_ms(long milliseconds)
{
	struct timespec time = { 0, milliseconds * 1000000 };

	nanosleep(&time, NULL);
}

/* A signal is another one only so long after the first. */
#define SECOND_SIGNAL_MS 1000

static int64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Wait for the child, or for a second signal, which ends it. */
static void wait_detach(struct stopper *stopper, pid_t child)
{
	struct timespec tick = { 0, 5 * 1000000 };
	int64_t start = now_ms();
	int status = 0;
	sigset_t set;

	signals_ending(&set);
	while (waitpid(child, &status, WNOHANG) == 0) {
		if (sigtimedwait(&set, NULL, &tick) < 0 || atomic_load(&stopper->finished) ||
		    now_ms() - start < SECOND_SIGNAL_MS)
			continue;
		kill(child, SIGKILL);
		log_message(LOG_WARNING, "second signal: leaving without a sync of the mount");
		stopper->unsynced = true;
		return;
	}
	stopper->unsynced = status != 0;
}

/* fuse_session_exit() only sets a flag before libfuse 3.17; the loop looks at it when its wait is
 * interrupted, which it is until it has noticed.
 */
static void end_loop(struct stopper *stopper)
{
	while (!atomic_load(&stopper->finished)) {
		fuse_session_exit(stopper->session);
		pthread_kill(stopper->loop, SIGNAL_WAKE);
		pause_ms(2);
	}
}

static void *run(void *context)
{
	struct stopper *stopper = context;
	sigset_t set;
	int number;
	pid_t child;

	signals_ending(&set);
	if (sigwait(&set, &number) != 0 || atomic_load(&stopper->finished))
		return NULL;
	log_message(LOG_INFO, "%s: unmounting '%s'", strsignal(number), stopper->mountpoint);
	child = start_detach(stopper);
	if (child > 0)
		wait_detach(stopper, child);
	stopper->quiesce(stopper->context);
	end_loop(stopper);
	return NULL;
}

static void on_wake(int number)
{
}

int stopper_start(struct stopper *stopper)
{
	struct sigaction wake = { .sa_handler = on_wake }; /* no SA_RESTART: it must interrupt */

	sigaction(SIGNAL_WAKE, &wake, NULL);
	stopper->loop = pthread_self();
	return -pthread_create(&stopper->thread, NULL, run, stopper);
}

void stopper_finish(struct stopper *stopper)
{
	atomic_store(&stopper->finished, true);
	/* Wakes the thread from sigwait; harmless when a real signal did before. */
	pthread_kill(stopper->thread, SIGTERM);
	pthread_join(stopper->thread, NULL);
}
