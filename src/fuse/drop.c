/* SPDX-License-Identifier: MIT */
/* Dropping the pages that the kernel has cached of a slice, when its images have changed behind it.
 *
 * The kernel drops pages by itself when an open is answered without keep_cache, but at a moment of
 * its own. A cached write copies into a page, unlocks it, and only then sends the WRITE: if the
 * page is dropped in between, a read brings back the old bytes, and they stay. So pages are only
 * dropped while no handle is open that writes through them, and none is let in until it is done:
 *
 *     open finds old pages, no cached writer    state->dropping, a thread; opens that come wait
 *     thread: notify_inval_inode                may wait for reads, which the workers serve
 *     thread: pages are gone                    the open is answered, those that wait start again
 *
 * It takes a thread of its own: a request handler that waits here for a read can be what the read
 * waits for, namely the last free worker. For the same reason opens do not wait in their workers.
 */
#include "fs.h"

#include <errno.h>

struct waiting_open *waiting_take_locked(struct fs *fs, uint32_t node)
{
	struct waiting_open **link = &fs->waiting;
	struct waiting_open *taken = NULL;

	while (*link) {
		struct waiting_open *waiting = *link;

		if (waiting->node != node) {
			link = &waiting->next;
			continue;
		}
		*link = waiting->next;
		waiting->next = taken;
		taken = waiting;
	}
	return taken;
}

void waiting_go_on(struct waiting_open *first)
{
	while (first) {
		struct waiting_open *next = first->next;

		open_again(first);
		first = next;
	}
}

static void *drop(void *context)
{
	struct waiting_open *first = context;
	struct fs *fs = first->fs;
	struct node_state *state = &fs->states[first->node];
	struct waiting_open *waiting;

	/* -ENOENT: the kernel knows the inode no more, and so holds nothing of it. */
	(void)fuse_lowlevel_notify_inval_inode(fs->session, first->node, 0, 0);

	pthread_mutex_lock(&fs->states_lock);
	state->dropping = false;
	state->generation = handle_get(&fs->handles, first->index)->generation;
	waiting = waiting_take_locked(fs, first->node);
	pthread_mutex_unlock(&fs->states_lock);

	open_done(first);
	waiting_go_on(waiting);
	pthread_mutex_lock(&fs->states_lock);
	fs->drops--;
	pthread_cond_broadcast(&fs->drops_done);
	pthread_mutex_unlock(&fs->states_lock);
	return NULL;
}

int drop_start_locked(struct waiting_open *waiting)
{
	struct fs *fs = waiting->fs;
	pthread_t thread;

	if (fs->stopping)
		return -EIO;
	if (pthread_create(&thread, NULL, drop, waiting) != 0)
		return -EAGAIN;
	pthread_detach(thread);
	fs->drops++;
	return 0;
}

void drops_stop(struct fs *fs)
{
	pthread_mutex_lock(&fs->states_lock);
	fs->stopping = true;
	pthread_cond_broadcast(&fs->drops_done);
	while (fs->drops > 0)
		pthread_cond_wait(&fs->drops_done, &fs->states_lock);
	pthread_mutex_unlock(&fs->states_lock);
}
