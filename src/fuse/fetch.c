/* SPDX-License-Identifier: MIT */
/* advice=willneed: all of a slice is read into memory when it is opened, by a thread, since asking
 * for gigabytes waits for the disk. One for each slice at a time.
 */
#include "fs.h"

#include <stdlib.h>

/* Not worth a thread. */
#define FETCH_AT_ONCE (1UL << 20)

struct fetching {
	struct fs *fs;
	uint32_t node;
};

static bool is_stopping(void *context)
{
	struct fs *fs = context;
	bool stopping;

	pthread_mutex_lock(&fs->states_lock);
	stopping = fs->stopping;
	pthread_mutex_unlock(&fs->states_lock);
	return stopping;
}

static void finish(struct fs *fs, uint32_t node)
{
	pthread_mutex_lock(&fs->states_lock);
	fs->states[node].fetching = false;
	fs->drops--;
	pthread_cond_broadcast(&fs->drops_done);
	pthread_mutex_unlock(&fs->states_lock);
}

static void *fetch(void *context)
{
	struct fetching fetching = *(struct fetching *)context;

	free(context);
	slice_fetch(tree_slice(fetching.fs->tree, fetching.node), is_stopping, fetching.fs);
	finish(fetching.fs, fetching.node);
	return NULL;
}

static bool begin(struct fs *fs, uint32_t node)
{
	struct node_state *state = &fs->states[node];
	bool first;

	pthread_mutex_lock(&fs->states_lock);
	first = !fs->stopping && !state->fetching;
	state->fetching |= first;
	fs->drops += first;
	pthread_mutex_unlock(&fs->states_lock);
	return first;
}

void fetch_start(struct fs *fs, uint32_t node)
{
	const struct slice *slice = tree_slice(fs->tree, node);
	struct fetching *fetching = NULL;
	pthread_t thread;
	uint64_t size;

	if (!(slice->effects & POLICY_WILLNEED) || slice_size(slice, &size) < 0)
		return;
	if (size <= FETCH_AT_ONCE) {
		slice_fetch(slice, NULL, NULL);
		return;
	}
	if (!begin(fs, node))
		return;
	fetching = malloc(sizeof(*fetching));
	if (fetching)
		*fetching = (struct fetching){ fs, node };
	if (fetching && pthread_create(&thread, NULL, fetch, fetching) == 0) {
		pthread_detach(thread);
		return;
	}
	free(fetching);
	finish(fs, node);
}
