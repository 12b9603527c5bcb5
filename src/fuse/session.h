/* SPDX-License-Identifier: MIT */
#ifndef FUSE_SESSION_H
#define FUSE_SESSION_H

#include "mmapfs/error.h"
#include "mmapfs/tree.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

/* One mount: from the options to the last flush. */
struct session;

enum cache_mode {
	CACHE_AUTO,   /* keep cached pages over an open while the images have not moved */
	CACHE_NONE,   /* drop them at each open */
	CACHE_ALWAYS, /* keep them */
};

#define SESSION_MEMORY_DEFAULT UINT64_MAX

struct session_options {
	enum cache_mode cache;
	bool writeback;  /* the kernel writes later; the tree was built for it (tree_defaults) */
	bool random;     /* all slices are read at random */
	uint64_t memory; /* bytes for mappings and their page tables; 0: no limit */
	bool xattr;      /* answer getxattr even where it costs a request a write */
	bool debug;      /* trace every request to standard error */
	bool read_only;
	uid_t uid; /* of directories, as are the following */
	gid_t gid;
	mode_t directory_mode;    /* the read bits count */
	const char *source;       /* what mount(8) lists as the source */
	const char *fuse_options; /* comma list for libfuse and the kernel; NULL for none */
	/* Text of .mmapfs/table. */
	int (*write_table)(const struct tree *tree, FILE *out);
	/* Called once, when the kernel has had the answer to its INIT. */
	void (*ready)(void *context);
	void *ready_context;
};

/* Check the options; nothing is mounted. options and its strings must outlive the session.
 * *ret is the caller's (session_free). -EINVAL with a message for an option nobody knows.
 */
int session_new(const struct session_options *options, struct error *error, struct session **ret);

/* Mount tree at mountpoint, an absolute path. tree must outlive the session. -EIO and a message. */
int session_mount(struct session *session, const char *mountpoint, const struct tree *tree,
		  struct error *error);

/* Serve until somebody unmounts, or SIGTERM, SIGINT or SIGHUP; then flush everything and tell
 * whoever waits for the mount's end how it went. Blocks those signals in the calling thread.
 *
 * 0, or negative errno when the session failed or any flush of the mount's life did.
 */
int session_run(struct session *session);

/* Of the library in use. */
const char *session_libfuse_version(void);

void session_free(struct session *session); /* takes NULL */

#endif
