/* SPDX-License-Identifier: MIT */
/* mmapfs umount: flush, unmount, wait for the daemon, report how the last flush went. */
#include "cli.h"

#include "cleanup.h"
#include "mounts.h"
#include "status.h"

#include <fcntl.h>
#include <string.h>

/* So long it waits in silence. */
#define NOTICE_MS 10000

/* Push what clients have dirtied to the daemon, and what it holds to the disk. */
static int flush_mount(const char *mountpoint)
{
	_cleanup_(cleanup_close) int fd = open(mountpoint, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	if (syncfs(fd) < 0 || fsync(fd) < 0)
		return -errno;
	return 0;
}

static int unmount_dead(const char *mountpoint)
{
	_cleanup_(cleanup_free) char *message = NULL;

	if (mount_detach(mountpoint, true, &message) < 0) {
		complain("%s: %s", mountpoint, message);
		return EXIT_FAILED;
	}
	complain("%s: the daemon had died; unmounted, but not flushed: run sync(1)", mountpoint);
	return EXIT_FAILED;
}

static int unmount_live(const char *mountpoint, const struct mount *mount)
{
	struct status_connection connection;
	int connected = status_connect(mount->device, mount->owner, &connection);
	int flushed = flush_mount(mountpoint);
	_cleanup_(cleanup_free) char *message = NULL;
	int result;

	if (mount_is_dead(-flushed))
		return unmount_dead(mountpoint);
	if (flushed == -EACCES) /* somebody else's mount; its daemon's last flush will tell */
		flushed = 0;
	if (flushed < 0)
		complain("%s: flush: %s", mountpoint, strerror(-flushed));
	if (mount_detach(mountpoint, false, &message) < 0) {
		complain("%s: %s", mountpoint, message);
		return EXIT_FAILED;
	}
	if (connected < 0) {
		complain("%s: unmounted, but its daemon cannot be asked how it went: %s",
			 mountpoint, strerror(-connected));
		return EXIT_FAILED;
	}
	result = status_wait(&connection, NOTICE_MS);
	if (result == -ETIMEDOUT) {
		complain("%s: waiting for the daemon: still flushing, or mounted elsewhere, too",
			 mountpoint);
		result = status_wait(&connection, -1);
	}
	if (result == -EOWNERDEAD)
		complain("%s: the daemon died before its last flush", mountpoint);
	else if (result < 0)
		complain("%s: not everything reached the disk: %s", mountpoint, strerror(-result));
	return result < 0 || flushed < 0 ? EXIT_FAILED : EXIT_DONE;
}

int verb_umount(const struct options *options)
{
	_cleanup_(cleanup_free) char *mountpoint = NULL;
	struct mount mount;

	if (options->argument_count != 1) {
		complain("umount wants one MOUNTPOINT; see 'mmapfs --help'");
		return EXIT_USAGE;
	}
	mountpoint = mount_resolve(options->arguments[0]);
	if (!mountpoint) {
		complain("%s: %s", options->arguments[0], strerror(errno));
		return EXIT_FAILED;
	}
	if (mount_find(mountpoint, &mount) < 0 || !mount.is_mmapfs) {
		complain("%s: is not an mmapfs mount", options->arguments[0]);
		return EXIT_FAILED;
	}
	return unmount_live(mountpoint, &mount);
}
