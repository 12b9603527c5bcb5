/* SPDX-License-Identifier: MIT */
/* The kernel's list of mounts, and taking one off it. */
#include "mounts.h"

#include "cleanup.h"

#include <libmount.h>
#include <spawn.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/wait.h>

static void cleanup_table(struct libmnt_table **table)
{
	mnt_unref_table(*table);
}

static struct mount describe(struct libmnt_fs *fs)
{
	const char *type = mnt_fs_get_fstype(fs);
	struct mount mount = {
		.device = mnt_fs_get_devno(fs),
		.is_mmapfs = type && strcmp(type, "fuse.mmapfs") == 0,
	};
	char *value;
	size_t length;

	if (mnt_fs_get_option(fs, "user_id", &value, &length) == 0 && value)
		mount.owner = strtoul(value, NULL, 10);
	return mount;
}

static struct libmnt_table *open_table(void)
{
	return mnt_new_table_from_file("/proc/self/mountinfo");
}

int mount_find(const char *path, struct mount *ret)
{
	_cleanup_(cleanup_table) struct libmnt_table *table = open_table();
	struct libmnt_fs *fs;

	if (!table)
		return -EIO;
	/* The last one listed lies on top. Without a cache this only compares strings. */
	fs = mnt_table_find_target(table, path, MNT_ITER_BACKWARD);
	if (!fs)
		return -ENOENT;
	*ret = describe(fs);
	return 0;
}

int mount_find_device(dev_t device, const char *path, char **ret)
{
	_cleanup_(cleanup_table) struct libmnt_table *table = open_table();
	struct libmnt_iter *at = mnt_new_iter(MNT_ITER_BACKWARD);
	const char *found = NULL;
	struct libmnt_fs *fs;
	char *copy;

	while (table && at && mnt_table_next_fs(table, at, &fs) == 0) {
		if (mnt_fs_get_devno(fs) != device)
			continue;
		found = mnt_fs_get_target(fs);
		if (strcmp(found, path) == 0)
			break;
	}
	mnt_free_iter(at);
	if (!found)
		return -ENOENT;
	copy = strdup(found);
	if (!copy)
		return -ENOMEM;
	*ret = copy;
	return 0;
}

int mount_find_above(const char *path, struct mount *ret, char **ret_mountpoint)
{
	_cleanup_(cleanup_table) struct libmnt_table *table = open_table();
	_cleanup_(cleanup_free) char *above = strdup(path);
	struct libmnt_fs *fs = NULL;

	if (!table || !above)
		return -EIO;
	for (;;) {
		char *slash = strrchr(above, '/');

		fs = mnt_table_find_target(table, *above ? above : "/", MNT_ITER_BACKWARD);
		if (fs || !slash)
			break;
		*slash = '\0';
	}
	if (!fs)
		return -ENOENT;
	*ret = describe(fs);
	if (!ret->is_mmapfs)
		return -ENOENT;
	*ret_mountpoint = steal_pointer(&above);
	return 0;
}

char *mount_resolve(const char *path)
{
	_cleanup_(cleanup_free) char *copy = NULL;
	_cleanup_(cleanup_free) char *parent = NULL;
	char *resolved = realpath(path, NULL);
	const char *base;
	char *slash;

	if (resolved || (!mount_is_dead(errno) && errno != EACCES && errno != EIO))
		return resolved;
	copy = strdup(path);
	if (!copy)
		return NULL;
	while ((slash = strrchr(copy, '/')) != NULL && slash[1] == '\0' && slash != copy)
		*slash = '\0';
	base = slash ? slash + 1 : copy;
	if (slash)
		*slash = '\0';
	parent = realpath(slash ? (slash == copy ? "/" : copy) : ".", NULL);
	if (!parent)
		return NULL;
	if (asprintf(&resolved, "%s/%s", strcmp(parent, "/") == 0 ? "" : parent, base) < 0)
		return NULL;
	return resolved;
}

char *mount_read_message(int fd)
{
	char text[512];
	ssize_t got = pread(fd, text, sizeof(text) - 1, 0);
	char *message = text;

	if (got <= 0)
		return NULL;
	text[got] = '\0';
	text[strcspn(text, "\n")] = '\0';
	if (strncmp(message, "fusermount3: ", 13) == 0)
		message += 13;
	return strdup(message);
}

/* Its exit status as 0 or -EIO; what it says goes to the descriptor said. */
static int run_fusermount(const char *path, bool lazy, int said)
{
	char *arguments[] = { (char *)"fusermount3", (char *)"-u", (char *)(lazy ? "-z" : "--"),
			      (char *)path, NULL };
	posix_spawn_file_actions_t actions;
	extern char **environ;
	int status;
	pid_t pid;
	int result;

	posix_spawn_file_actions_init(&actions);
	if (said >= 0)
		posix_spawn_file_actions_adddup2(&actions, said, STDERR_FILENO);
	result = posix_spawnp(&pid, arguments[0], &actions, NULL, arguments, environ);
	posix_spawn_file_actions_destroy(&actions);
	if (result != 0)
		return -result;
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return -errno;
	return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : -EIO;
}

int mount_detach(const char *path, bool lazy, char **ret_message)
{
	_cleanup_(cleanup_close) int said = -1;
	char *message = NULL;
	int result = 0;

	if (umount2(path, UMOUNT_NOFOLLOW | (lazy ? MNT_DETACH : 0)) < 0)
		result = -errno;
	if (result == -EPERM) {
		said = memfd_create("fusermount3", MFD_CLOEXEC);
		result = run_fusermount(path, lazy, said);
		if (result < 0)
			message = mount_read_message(said);
	}
	if (result < 0 && !message)
		message = strdup(result == -EBUSY ? "is busy: files on it are open"
						  : strerror(-result));
	if (result < 0 && ret_message)
		*ret_message = message;
	else
		free(message);
	return result;
}
