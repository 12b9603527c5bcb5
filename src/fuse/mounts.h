/* SPDX-License-Identifier: MIT */
#ifndef FUSE_MOUNTS_H
#define FUSE_MOUNTS_H

#include <stdbool.h>
#include <sys/types.h>

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

/* The mountpoint of the mount that path (absolute, resolved) lies in, if it is an mmapfs.
 * *ret_mountpoint is the caller's. -ENOENT when it is not.
 */
int mount_find_above(const char *path, struct mount *ret, char **ret_mountpoint);

/* The absolute path of a possible mountpoint: symbolic links are resolved, but for the last
 * component of a mount whose daemon has died. The caller's; NULL and errno on failure.
 */
char *mount_resolve(const char *path);

/* Unmount path: umount2(2) where permitted, else fusermount3. lazy detaches a busy mount.
 * -EBUSY, -EPERM, or -EIO when fusermount3 failed (it has said why, unless quiet).
 */
int mount_detach(const char *path, bool lazy, bool quiet);

#endif
