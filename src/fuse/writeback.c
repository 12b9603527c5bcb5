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
 * A write past the end of a slice makes the file longer, as far as the kernel knows. When the pages
 * come what fits is taken, the rest is ENOSPC, and the kernel's size is put right in the one way
 * that there is: a truncation, whose answer it believes.
 *
 *     WRITE past the end        a thread, a child
 *     child: sync_file_range    further pages past the end come, and are refused
 *     child: ftruncate(2)       the kernel: SETATTR; answered with the size that it has all along
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

/* One truncation of a file to the size that it has. */
struct correction {
	struct fs *fs;
	uint32_t node;
	const char *name; /* borrowed from the tree */
	uint64_t size;
	char *mountpoint; /* owned: where it is now */
};

/* In the child. Not of the mount that may lie on top of ours. */
static int truncate_to_size(const struct correction *correction)
{
	const unsigned all = SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE |
			     SYNC_FILE_RANGE_WAIT_AFTER;
	struct stat status;
	int root = open(correction->mountpoint, O_RDONLY | O_DIRECTORY);
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

static void run_child(const struct correction *correction)
{
	int status = -1;
	pid_t child = fork();

	if (child == 0) {
		/* With the device open the connection would outlive the daemon. */
		close_range(STDERR_FILENO + 1, ~0U, 0);
		_exit(truncate_to_size(correction) < 0);
	}
	if (child > 0)
		waitpid(child, &status, 0);
	if (status != 0)
		log_message(LOG_WARNING,
			    "slice '%s': was written past its end, and shows a wrong size",
			    correction->name);
}

/* False: once more, since the file may have got longer again behind the child's back. */
static bool finish_correction(struct fs *fs, uint32_t node)
{
	struct node_state *state = &fs->states[node];
	bool done;

	pthread_mutex_lock(&fs->states_lock);
	done = !state->correct_again || fs->stopping;
	state->correct_again = false;
	if (done) {
		state->correcting = false;
		fs->drops--;
		pthread_cond_broadcast(&fs->drops_done);
	}
	pthread_mutex_unlock(&fs->states_lock);
	return done;
}

static void *correct_size(void *context)
{
	struct correction *correction = context;

	do
		run_child(correction);
	while (!finish_correction(correction->fs, correction->node));
	free(correction->mountpoint);
	free(correction);
	return NULL;
}

/* *ret is the caller's, with what it owns. */
static int make_correction(struct fs *fs, uint32_t node, uint64_t size, struct correction **ret)
{
	struct correction *correction = malloc(sizeof(*correction));
	struct tree_item item;
	int result = correction ? 0 : -ENOMEM;

	if (result == 0 &&
	    (!fs->device || !connection_alive(fs->session) || !tree_item(fs->tree, node, &item)))
		result = -ENOENT;
	if (result == 0) {
		*correction = (struct correction){ fs, node, item.name, size, NULL };
		result = mount_find_device(fs->device, fs->mountpoint, &correction->mountpoint);
	}
	if (result < 0) {
		free(correction);
		return result;
	}
	*ret = correction;
	return 0;
}

static void start_correction(struct fs *fs, uint32_t node, uint64_t size)
{
	struct node_state *state = &fs->states[node];
	struct correction *correction;
	pthread_t thread;
	bool start;

	pthread_mutex_lock(&fs->states_lock);
	start = !fs->stopping && !state->correcting;
	state->correct_again = state->correcting;
	if (start) {
		state->correcting = true;
		fs->drops++;
	}
	pthread_mutex_unlock(&fs->states_lock);
	if (!start)
		return;
	if (make_correction(fs, node, size, &correction) == 0) {
		if (pthread_create(&thread, NULL, correct_size, correction) == 0) {
			pthread_detach(thread);
			return;
		}
		free(correction->mountpoint);
		free(correction);
	}
	while (!finish_correction(fs, node))
		;
}

static bool is_past_end(const struct fs *fs, uint32_t node, uint64_t end, uint64_t *ret_size)
{
	return fs->writeback && slice_size(tree_slice(fs->tree, node), ret_size) == 0 &&
	       end > *ret_size;
}

void writeback_failed(struct fs *fs, uint32_t node, uint64_t end, int error)
{
	struct node_state *state = &fs->states[node];
	struct tree_item item;
	uint64_t size;

	stats_add(lost_writes, 1);
	pthread_mutex_lock(&fs->states_lock);
	state->losses++;
	state->loss = error;
	/* The kernel takes its page for clean, and good. The next open shall not. */
	state->generation = 0;
	pthread_mutex_unlock(&fs->states_lock);
	if (!fs->writeback || is_past_end(fs, node, end, &size))
		return;
	atomic_store(&fs->lost, true);
	if (tree_item(fs->tree, node, &item))
		log_message(LOG_ERR, "slice '%s': a write that the kernel had held back failed: %s",
			    item.name, strerror(-error));
}

void writeback_refused(struct fs *fs, uint32_t node, uint64_t end)
{
	uint64_t size;

	if (is_past_end(fs, node, end, &size))
		start_correction(fs, node, size);
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
	struct handle *handle = handle_use(&fs->handles, info->fh);
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
