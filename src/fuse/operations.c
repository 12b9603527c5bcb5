/* SPDX-License-Identifier: MIT */
/* What the kernel is offered: features at INIT, and the table of handlers. */
#include "fs.h"

#include "stats.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Readahead requests that the kernel has under way at once, for all images: its default is 12,
 * which a few readers of a slow image use up.
 */
#define BACKGROUND_MAX 512

void reply_status(fuse_req_t request, int result)
{
	stats_add_error(result);
	count_reply(fuse_reply_err(request, -result));
}

void count_reply(int sent)
{
	if (sent < 0)
		stats_add(reply_failures, 1);
}

/* One place for what libfuse and the kernel may or may not have. */
static bool want_feature(struct fuse_conn_info *connection, uint64_t feature, bool wanted)
{
#if FUSE_VERSION >= FUSE_MAKE_VERSION(3, 17)
	if (wanted)
		return fuse_set_feature_flag(connection, feature);
	fuse_unset_feature_flag(connection, feature);
	return false;
#else
	if (wanted)
		connection->want |= connection->capable & feature;
	else
		connection->want &= ~feature;
	return (connection->want & feature) != 0;
#endif
}

/* The kernel has been told by the option already; libfuse wants it to be said again. 0: none. */
static unsigned find_max_read(const char *options)
{
	static const char name[] = "max_read=";
	const char *at = options;

	while (at && strncmp(at, name, sizeof(name) - 1) != 0) {
		at = strchr(at, ',');
		if (at)
			at++;
	}
	return at ? strtoul(at + sizeof(name) - 1, NULL, 10) : 0;
}

static void on_init(void *userdata, struct fuse_conn_info *connection)
{
	struct fs *fs = userdata;

	/* attributes.c says why O_TRUNC must come as a request of its own. */
	want_feature(connection, FUSE_CAP_ATOMIC_O_TRUNC, false);
	/* Our own writes move the images' mtime: that is no reason to drop pages. Opens decide.
	 * EXPLICIT_INVAL_DATA stays off, too: it would keep the last page when a tail slice grows
	 * behind us, with zeros where there is data now.
	 */
	want_feature(connection, FUSE_CAP_AUTO_INVAL_DATA, false);
	/* A spliced reply takes a page that vanishes for zeros, or kills the daemon. */
	want_feature(connection,
		     FUSE_CAP_SPLICE_READ | FUSE_CAP_SPLICE_WRITE | FUSE_CAP_SPLICE_MOVE, false);
	/* An O_DIRECT write that meets the end of its slice would end in EIO, not short. */
	want_feature(connection, FUSE_CAP_ASYNC_DIO, false);
	want_feature(connection, FUSE_CAP_PARALLEL_DIROPS, true);
	want_feature(connection, FUSE_CAP_EXPORT_SUPPORT, true);
	/* Always asked for attributes, we decide who gets them: lister.c. The kernel's own decision
	 * gives them to everybody at the start of a folder, and to `find -size`, which reads a
	 * folder to its end and then asks, nowhere else.
	 */
	want_feature(connection, FUSE_CAP_READDIRPLUS, true);
	want_feature(connection, FUSE_CAP_READDIRPLUS_AUTO, false);
	/* DIRECT_IO_ALLOW_MMAP stays off: a shared mapping of an uncached file writes back whole
	 * pages, with bytes from before a write that went past it.
	 */
#ifdef FUSE_CAP_OVER_IO_URING
	/* There libfuse copies replies itself: a page that has gone would kill the daemon. The
	 * option is refused by session.c, but libfuse has an environment variable, too.
	 */
	want_feature(connection, FUSE_CAP_OVER_IO_URING, false);
#endif
	/* Which the tree must allow: tree_defaults says what for. */
	fs->writeback = want_feature(connection, FUSE_CAP_WRITEBACK_CACHE, fs->options->writeback);
	fs->xattr = fs->options->xattr;
#ifdef FUSE_CAP_HANDLE_KILLPRIV_V2
	/* With it the kernel asks for no security.capability before each write. No slice has a
	 * set-id bit, so there is nothing to kill.
	 */
	fs->xattr |= want_feature(connection, FUSE_CAP_HANDLE_KILLPRIV_V2, true);
#endif
#if FUSE_VERSION >= FUSE_MAKE_VERSION(3, 17)
	connection->no_interrupt = 1;
#endif
	connection->max_read = find_max_read(fs->options->fuse_options);
	connection->max_background = BACKGROUND_MAX;
	connection->congestion_threshold = BACKGROUND_MAX * 3 / 4;
	connection->time_gran = 1;
}

/* The table says which files exist. */
static void refuse(fuse_req_t request)
{
	reply_status(request, -EPERM);
}

static void on_mknod(fuse_req_t request, fuse_ino_t parent, const char *name, mode_t mode,
		     dev_t device)
{
	refuse(request);
}

static void on_mkdir(fuse_req_t request, fuse_ino_t parent, const char *name, mode_t mode)
{
	refuse(request);
}

static void on_remove(fuse_req_t request, fuse_ino_t parent, const char *name)
{
	refuse(request);
}

static void on_symlink(fuse_req_t request, const char *target, fuse_ino_t parent, const char *name)
{
	refuse(request);
}

static void on_rename(fuse_req_t request, fuse_ino_t parent, const char *name,
		      fuse_ino_t new_parent, const char *new_name, unsigned flags)
{
	refuse(request);
}

static void on_link(fuse_req_t request, fuse_ino_t inode, fuse_ino_t new_parent, const char *name)
{
	refuse(request);
}

static void on_create(fuse_req_t request, fuse_ino_t parent, const char *name, mode_t mode,
		      struct fuse_file_info *info)
{
	refuse(request);
}

/* Node numbers are the tree's own, so there is nothing to forget. */
static void on_forget(fuse_req_t request, fuse_ino_t inode, uint64_t count)
{
	fuse_reply_none(request);
}

static void on_forget_multi(fuse_req_t request, size_t count, struct fuse_forget_data *forgets)
{
	fuse_reply_none(request);
}

/* poll, access and the locks are left to the kernel: it asks once, and then no more. */
const struct fuse_lowlevel_ops operations = {
	.init = on_init,
	.lookup = on_lookup,
	.forget = on_forget,
	.forget_multi = on_forget_multi,
	.getattr = on_getattr,
	.setattr = on_setattr,
	.open = on_open,
	.read = on_read,
	.write = on_write,
	.flush = on_flush,
	.fsync = on_fsync,
	.release = on_release,
	.lseek = on_lseek,
	.fallocate = on_fallocate,
	.copy_file_range = on_copy_file_range,
	.opendir = on_opendir,
	.readdir = on_readdir,
	.readdirplus = on_readdirplus,
	.readlink = on_readlink,
	.fsyncdir = on_fsyncdir,
	.statfs = on_statfs,
	.getxattr = on_getxattr,
	.listxattr = on_listxattr,
	.mknod = on_mknod,
	.mkdir = on_mkdir,
	.unlink = on_remove,
	.rmdir = on_remove,
	.symlink = on_symlink,
	.rename = on_rename,
	.link = on_link,
	.create = on_create,
};
