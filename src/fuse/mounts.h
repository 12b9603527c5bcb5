/* SPDX-License-Identifier: MIT */
#ifndef FUSE_MOUNTS_H
#define FUSE_MOUNTS_H

#include <errno.h>
#include <stdbool.h>
#include <sys/types.h>

/* What calls on a mount say when its daemon has died, and while it is dying. */
static inline bool mount_is_dead(int error)
{
	return error == ENOTCONN || error == ECONNABORTED;
}

/* What the kernel says is mounted, without touching any of it: a dead or busy mount cannot block
 * these calls.
 */
struct mount {
	dev_t device;
	uid_t owner; /* who mounted it (user_id=), 0 when it does not say */
	bool is_mmapfs;
};

/* The topmost mount at exactly path (absolute, resolved). 0, -ENOENT none, or another errno. */
int mount_find(const char *path, struct mount *ret);

/* Where the mount with that device number is now: at path if it still is, else wherever a rename
 * has taken it. The caller's; -ENOENT.
 */
int mount_find_device(dev_t device, const char *path, char **ret);

/* The mountpoint of the mount that path (absolute, resolved) lies in, if it is an mmapfs.
 * *ret_mountpoint is the caller's. -ENOENT when it is not.
 */
int mount_find_above(const char *path, struct mount *ret, char **ret_mountpoint);

/* The absolute path of a possible mountpoint: symbolic links are resolved, but for the last
 * component of a mount whose daemon has died. The caller's; NULL and errno on failure.
 */
char *mount_resolve(const char *path);

/* Unmount path: umount2(2) where permitted, else fusermount3. lazy detaches a busy mount.
 *
 * Errors: from umount2(2), or -EIO when fusermount3 failed. *ret_message is then what to tell the
 * user, the caller's; NULL when out of memory. ret_message may be NULL.
 */
int mount_detach(const char *path, bool lazy, char **ret_message);

/* What fusermount3 has written into an open file (its standard error), as a message: its first
 * line without its name. The caller's; NULL when it said nothing.
 */
char *mount_read_message(int fd);

#endif
