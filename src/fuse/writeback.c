/* SPDX-License-Identifier: MIT */
/* With -o writeback the kernel answers write(2) by itself, and sends the pages later: at fsync, at
 * close, or when it likes. It then believes its own idea of a file's size and times, and takes no
 * other from us. The tree has seen to it that this cannot go wrong between slices (tree_defaults):
 * none shares a byte with another, none changes its size. The rest is here.
 *
 * A page that cannot be written when it comes is lost, though write(2) had taken it. The kernel lets
 * the next fsync of each open file fail by itself, but close(2) only of whoever closes first, be it
 * a reader. So each loss is counted on its node, and close fails for every handle that could write
 * and has seen no fsync since:
 *
 *     open      handle->losses = state->losses
 *     WRITE     of a page, failed: state->losses++
 *     FSYNC     comes only when the kernel had nothing to report: handle->losses = state->losses
 *     FLUSH     fails if they differ
 *
 * The kernel goes on to show what was lost, and for a write past the end of a slice, which makes the
 * file longer as far as it knows, also another size. Both are put right behind the answer: pages are
 * dropped, which is no danger here, since those that are dirty are written first; and the size is
 * told in the one answer that the kernel believes, that to a truncation.
 *
 *     WRITE fails                  a thread: notify_inval_inode
 *     WRITE past the end fails     a thread, and a child
 *     child: sync_file_range       further pages past the end come, and are refused
 *     child: ftruncate(2)          SETATTR of the size that it has all along; the kernel drops pages
 *
 * It takes a child, since a daemon that waits in its own mount survives SIGKILL.
 */
#include "fs.h"

#include "log.h"
#include "mounts.h"
#include "signals.h"
#include "stats.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <syslog.h>
#include <unistd.h>

bool writeback_may_be_dirty(struct fs *fs, uint32_t node)
{
	bool dirty;

	pthread_mutex_lock(&fs->states_lock);
	dirty = fs->writeback && fs->states[node].writers > 0;
	pthread_mutex_unlock(&fs->states_lock);
	return dirty;
}

/* What the kernel is to be told of one file. */
struct correction {
	struct fs *fs;
	uint32_t node;
	const char *name; /* borrowed from the tree */
	uint64_t size;
};

/* In the child. Not of the mount that may lie on top of ours. */
static int truncate_to_size(const struct correction *correction, const char *mountpoint)
{
	const unsigned all = SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE |
			     SYNC_FILE_RANGE_WAIT_AFTER;
	struct stat status;
	int root = open(mountpoint, O_RDONLY | O_DIRECTORY);
	int result;
	int fd;

	if (root < 0 || fstat(root, &status) < 0 || status.st_dev != correction->fs->device)
		return -1;
	fd = openat(root, correction->name, O_WRONLY);
	if (fd < 0)
		return -1;
	(void)sync_file_range(fd, correction->size & ~4095ULL, 0, all); /* is to fail */
	result = ftruncate(fd, correction->size);
	/* The kernel keeps the failure for this call, too; umount makes it, and is not to hear of it. */
	(void)syncfs(root);
	return result;
}

/* 0, or what went wrong. */
static int run_child(const struct correction *correction)
{
	const struct fs *fs = correction->fs;
	char *mountpoint;
	int status = -1;
	pid_t child;

	if (!fs->device || !connection_alive(fs->session) ||
	    mount_find_device(fs->device, fs->mountpoint, &mountpoint) < 0)
		return -1;
	child = fork();
	if (child == 0) {
		/* With the device open the connection would outlive the daemon. */
		close_range(STDERR_FILENO + 1, ~0U, 0);
		_exit(truncate_to_size(correction, mountpoint) < 0);
	}
	if (child > 0)
		waitpid(child, &status, 0);
	free(mountpoint);
	return status;
}

/* What is to be done: once, and again for what has failed meanwhile. False: nothing. */
static bool next_correction(struct fs *fs, uint32_t node, bool *ret_size_too)
{
	struct node_state *state = &fs->states[node];
	bool found;

	pthread_mutex_lock(&fs->states_lock);
	found = (state->wrong_pages || state->wrong_size) && !fs->stopping;
	*ret_size_too = state->wrong_size;
	state->wrong_pages = state->wrong_size = false;
	if (!found) {
		state->correcting = false;
		fs->drops--;
		pthread_cond_broadcast(&fs->drops_done);
	}
	pthread_mutex_unlock(&fs->states_lock);
	return found;
}

static void *correct(void *context)
{
	struct correction *correction = context;
	struct fs *fs = correction->fs;
	bool size_too;

	while (next_correction(fs, correction->node, &size_too)) {
		if (size_too && run_child(correction) != 0)
			log_message(LOG_WARNING,
				    "slice '%s': was written past its end, and shows a wrong size",
				    correction->name);
		if (!size_too)
			(void)fuse_lowlevel_notify_inval_inode(fs->session, correction->node, 0, 0);
	}
	free(correction);
	return NULL;
}

static struct correction correction_of(struct fs *fs, uint32_t node)
{
	struct correction correction = { fs, node, "", 0 };
	struct tree_item item;

	if (tree_item(fs->tree, node, &item))
		correction.name = item.name;
	(void)slice_size(tree_slice(fs->tree, node), &correction.size); /* constant: no failure */
	return correction;
}

void writeback_failed(struct fs *fs, uint32_t node, uint64_t end, int error)
{
	struct correction correction = correction_of(fs, node);
	struct node_state *state = &fs->states[node];

	stats_add(lost_writes, 1);
	pthread_mutex_lock(&fs->states_lock);
	state->losses++;
	state->loss = error;
	/* Where nothing is corrected, the next open shall not take the lost page for good. */
	state->generation = 0;
	pthread_mutex_unlock(&fs->states_lock);
	/* What lies past the end had no place, and is the client's mistake. */
	if (!fs->writeback || end > correction.size)
		return;
	atomic_store(&fs->lost, true);
	log_message(LOG_ERR, "slice '%s': a write that the kernel had held back failed: %s",
		    correction.name, strerror(-error));
}

void writeback_correct(struct fs *fs, uint32_t node, uint64_t end)
{
	struct correction *correction = malloc(sizeof(*correction));
	struct node_state *state = &fs->states[node];
	pthread_t thread;
	bool start;

	if (!fs->writeback || !correction) {
		free(correction);
		return;
	}
	*correction = correction_of(fs, node);
	pthread_mutex_lock(&fs->states_lock);
	state->wrong_size |= end > correction->size;
	state->wrong_pages |= end <= correction->size;
	start = !fs->stopping && !state->correcting;
	if (start && pthread_create(&thread, NULL, correct, correction) == 0) {
		pthread_detach(thread);
		state->correcting = true;
		fs->drops++;
		correction = NULL; /* the thread's */
	}
	pthread_mutex_unlock(&fs->states_lock);
	free(correction);
}

void writeback_told(struct fs *fs, uint32_t node, struct handle *handle)
{
	pthread_mutex_lock(&fs->states_lock);
	handle->losses = fs->states[node].losses;
	pthread_mutex_unlock(&fs->states_lock);
}

void on_flush(fuse_req_t request, fuse_ino_t inode, struct fuse_file_info *info)
{
	struct fs *fs = request_fs(request);
	struct handle *handle = request_handle(request, info);
	int result = 0;

	if (!fs->writeback) { /* asked for no more */
		count_reply(fuse_reply_err(request, ENOSYS));
		return;
	}
	if (!is_control(inode)) {
		pthread_mutex_lock(&fs->states_lock);
		if (handle->counted_writer && handle->losses != fs->states[inode].losses)
			result = fs->states[inode].loss;
		pthread_mutex_unlock(&fs->states_lock);
	}
	reply_status(request, result);
}
