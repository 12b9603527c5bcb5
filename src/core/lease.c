/* SPDX-License-Identifier: MIT */
/* Write leases, each for the time of a call. The first one inside takes it, the last one drops it.
 *
 * Somebody who opens the file meanwhile breaks the lease: the kernel lets him wait until it is
 * dropped, 45 s at most (/proc/sys/fs/lease-break-time). From then on nobody is let in, or he would
 * wait for as long as there are always some inside.
 */
#include "lease.h"

#include <errno.h>
#include <fcntl.h>

void lease_init(struct lease *lease, int fd, bool grows)
{
	*lease = (struct lease){ .fd = fd, .fixed = !grows };
	pthread_mutex_init(&lease->lock, NULL);
	pthread_cond_init(&lease->idle, NULL);
}

void lease_destroy(struct lease *lease)
{
	pthread_cond_destroy(&lease->idle);
	pthread_mutex_destroy(&lease->lock);
}

static bool take_locked(struct lease *lease)
{
	if (lease->users > 0)
		return fcntl(lease->fd, F_GETLEASE) == F_WRLCK;
	if (fcntl(lease->fd, F_SETLEASE, F_WRLCK) == 0)
		return true;
	lease->refused = errno == EACCES || errno == EINVAL || errno == EOPNOTSUPP;
	return false;
}

bool lease_enter(struct lease *lease)
{
	bool inside;

	if (lease->fixed)
		return true;
	pthread_mutex_lock(&lease->lock);
	inside = !lease->closed && !lease->refused && take_locked(lease);
	lease->users += inside;
	pthread_mutex_unlock(&lease->lock);
	return inside;
}

void lease_leave(struct lease *lease)
{
	if (lease->fixed)
		return;
	pthread_mutex_lock(&lease->lock);
	if (--lease->users == 0) {
		fcntl(lease->fd, F_SETLEASE, F_UNLCK);
		pthread_cond_broadcast(&lease->idle);
	}
	pthread_mutex_unlock(&lease->lock);
}

void lease_close(struct lease *lease)
{
	pthread_mutex_lock(&lease->lock);
	while (lease->closed)
		pthread_cond_wait(&lease->idle, &lease->lock);
	lease->closed = true; /* first, or there might always be somebody inside */
	while (lease->users > 0)
		pthread_cond_wait(&lease->idle, &lease->lock);
	pthread_mutex_unlock(&lease->lock);
}

void lease_reopen(struct lease *lease)
{
	pthread_mutex_lock(&lease->lock);
	lease->closed = false;
	pthread_cond_broadcast(&lease->idle);
	pthread_mutex_unlock(&lease->lock);
}
