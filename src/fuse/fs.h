/* SPDX-License-Identifier: MIT */
#ifndef FUSE_FS_H
#define FUSE_FS_H

#include "session.h"
#include "vec.h"
#include "workers.h"

#include <fuse_lowlevel.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <sys/stat.h>
#include <time.h>

/* What the request handlers share. Requests run on any worker, many at once; every handler takes
 * its fs from the request, decodes, makes one core call, and gives exactly one reply.
 *
 * No pointer goes to the kernel: an inode number is a node of the tree or one of the control
 * nodes below, a file handle is an index into the handle table.
 */

/* .mmapfs and what is in it: beyond any node of a tree. */
#define CONTROL_DIRECTORY 0x100000000ULL
#define CONTROL_TABLE 0x100000001ULL
#define CONTROL_STATS 0x100000002ULL

/* Whether the kernel may hold pages of an uncached slice; stray.c. */
enum stray { STRAY_NONE, STRAY_NOTED, STRAY_DROPPING, STRAY_NOTED_AGAIN };

/* What has changed on a node since the mount. Untouched ones are zero pages and cost nothing. */
struct node_state {
	uint32_t generation; /* that the kernel's pages are from, 0: written past them since */
	uint32_t cached;     /* open handles that use the page cache */
	uint32_t writers;    /* those of them that may write */
	uint32_t direct;     /* open handles that write past it */
	bool filled;         /* the kernel may hold pages */
	bool dropping;       /* a thread is dropping them; opens wait */
	bool fetching;       /* a thread is reading all of it: fetch.c */
	bool pushing;        /* a worker is pushing some of it: push.c */
	bool opening;        /* an open waits for that */
	uint16_t mode;
	bool has_mode;
	bool has_uid;
	bool has_gid;
	enum stray stray : 8;
	bool correcting;       /* a thread is telling the kernel what is true; writeback.c */
	bool wrong_pages;      /* what it is to do: some are lost, */
	bool wrong_size;       /* or the file is too long */
	uint32_t losses;       /* writes of the kernel's own that failed, */
	int loss;              /* and the error of the last */
	uint64_t stray_number; /* of the note */
	uid_t uid;
	gid_t gid;
	/* While it has been open: pushes, and small reads, without the lock; push.c. */
	int64_t pushed;
	_Atomic int64_t scattered;
	/* Nanoseconds since the epoch; 0: the image's. Every write sets two, so without the lock;
	 * relaxed, since nothing else hangs on them.
	 */
	_Atomic int64_t atime;
	_Atomic int64_t mtime;
	_Atomic int64_t ctime;
};

/* An open file. Slots are reused; an index is good from open to release. */
struct handle {
	uint64_t cursor;     /* writeback errors seen; guarded by handles->lock */
	uint32_t node;       /* constant while open, as are the following */
	uint32_t generation; /* of the images at open */
	uint32_t next_free;
	uint32_t losses; /* of the node, known to this handle; guarded by states_lock */
	bool direct;
	bool sync;   /* O_SYNC or O_DSYNC */
	bool resize; /* the slice's */
	bool counted_cached;
	bool counted_writer;
	bool counted_direct;
	_Atomic uint64_t passed; /* where the last request ended, of a slice with drop-behind */
	/* The thread that opened it + 1, and 0 from the first request through the handle on. */
	_Atomic uint32_t opener;
	char *text; /* of a control file, owned */
	size_t text_size;
};

/* 1 Mi open files in one mount; the kernel's own limit mostly comes first. */
#define HANDLES_MAX (1U << 20)

struct handles {
	pthread_mutex_t lock;
	struct handle *slots; /* reserved whole, touched as used */
	uint32_t used;        /* guarded by lock: slots ever used */
	uint32_t free;        /* guarded by lock: head of the list + 1, 0 none */
};

/* An open that waits for the kernel's old pages to be dropped, or for pages to be pushed. */
struct waiting_open {
	struct waiting_open *next;
	struct fs *fs;
	fuse_req_t request;
	uint32_t node;
	uint64_t index; /* of its handle */
	struct fuse_file_info info;
};

/* A thread of a client that lists folders; lister.c. */
struct lister {
	_Atomic uint32_t thread;
	_Atomic uint32_t directory; /* that it has listed last */
	_Atomic int32_t balance;    /* above 0: attributes would have paid so far */
};

#define LISTERS 64

struct fs {
	const struct tree *tree;
	struct fuse_session *session;
	const struct session_options *options;
	struct handles handles;
	struct node_state *states; /* by node; guarded by states_lock but for the times */
	pthread_mutex_t states_lock;
	struct waiting_open *waiting; /* guarded by states_lock */
	unsigned drops;  /* guarded by states_lock: threads at it, at sizes, and of fetch.c */
	bool stopping;   /* guarded by states_lock: start no more of them */
	unsigned pushes; /* guarded by states_lock: slices that are being pushed */
	pthread_cond_t drops_done;
	VEC(uint32_t) strays; /* guarded by states_lock: nodes that are not STRAY_NONE */
	uint64_t stray_notes; /* guarded by states_lock */
	atomic_bool has_strays;
	uid_t owner;
	gid_t group;
	struct timespec mounted;
	struct lister listers[LISTERS]; /* by thread */
	/* Decided when the kernel's features are known. */
	bool xattr;
	bool writeback;
	atomic_bool lost;       /* something that the kernel had taken with writeback */
	const char *mountpoint; /* as it was mounted */
	dev_t device;           /* of the mount; 0: not known */
};

static inline struct fs *request_fs(fuse_req_t request)
{
	return fuse_req_userdata(request);
}

/* The reply of every handler that has no more to say than how it went: 0 or negative errno. */
void reply_status(fuse_req_t request, int result);

/* Whether a reply went out; a request whose reply failed is gone, and must not get another. */
void count_reply(int sent);

/* operations.c */
extern const struct fuse_lowlevel_ops operations;

/* handle.c */
int handles_init(struct handles *handles);
void handles_destroy(struct handles *handles);
int handle_open(struct handles *handles, uint64_t *ret); /* -ENFILE */
void handle_close(struct handles *handles, uint64_t index);
struct handle *handle_get(struct handles *handles, uint64_t index);
struct handle *handle_use(struct handles *handles, uint64_t index); /* by request_handle() */
/* Whether thread has opened node and not used the handle yet. */
bool handles_just_opened(struct handles *handles, uint32_t node, pid_t thread);

/* attributes.c */
int attributes_get(struct fs *fs, fuse_ino_t inode, struct stat *ret, double *ret_timeout);
void attributes_touch(struct fs *fs, uint32_t node); /* a write: mtime and ctime are now */
void on_getattr(fuse_req_t request, fuse_ino_t inode, struct fuse_file_info *info);
void on_setattr(fuse_req_t request, fuse_ino_t inode, struct stat *wanted, int set,
		struct fuse_file_info *info);
void on_statfs(fuse_req_t request, fuse_ino_t inode);
void on_readlink(fuse_req_t request, fuse_ino_t inode);
void on_getxattr(fuse_req_t request, fuse_ino_t inode, const char *name, size_t size);
void on_listxattr(fuse_req_t request, fuse_ino_t inode, size_t size);

/* dir.c */
void on_lookup(fuse_req_t request, fuse_ino_t parent, const char *name);
void on_opendir(fuse_req_t request, fuse_ino_t inode, struct fuse_file_info *info);
void on_readdir(fuse_req_t request, fuse_ino_t inode, size_t size, off_t offset,
		struct fuse_file_info *info);
void on_readdirplus(fuse_req_t request, fuse_ino_t inode, size_t size, off_t offset,
		    struct fuse_file_info *info);
void on_fsyncdir(fuse_req_t request, fuse_ino_t inode, int datasync, struct fuse_file_info *info);
int flush_images(const struct tree *tree); /* all of them; the first error */

/* lister.c */
/* Whether the thread that requests asks about most entries that it is told. */
bool lister_asks(fuse_req_t request);
/* It has been told count entries of directory without their attributes. */
void lister_told(fuse_req_t request, uint32_t directory, unsigned count);
/* It has asked about an entry of directory that is no folder. */
void lister_asked(fuse_req_t request, uint32_t directory);

/* control.c */
bool is_control(fuse_ino_t inode);
fuse_ino_t control_lookup(fuse_ino_t parent, const char *name); /* 0: none */
void control_attributes(const struct fs *fs, fuse_ino_t inode, struct stat *ret);
int control_open(struct fs *fs, fuse_req_t request, fuse_ino_t inode, struct handle *handle);
void control_read(fuse_req_t request, const struct handle *handle, size_t size, off_t offset);

/* open.c */
void open_again(struct waiting_open *waiting); /* once it need not wait; frees it */
void open_done(struct waiting_open *waiting);  /* the open that had them dropped; frees it */
void on_open(fuse_req_t request, fuse_ino_t inode, struct fuse_file_info *info);
void on_release(fuse_req_t request, fuse_ino_t inode, struct fuse_file_info *info);

/* drop.c */
/* Start a thread that drops the pages that the kernel holds of waiting->node, and then answers. The
 * state is marked as dropping already, under states_lock, which is held. -EIO when stopping, or
 * -EAGAIN; waiting then stays the caller's.
 */
int drop_start_locked(struct waiting_open *waiting);
/* Wait until no thread is at it, and start no more; those of stray.c, too. */
void drops_stop(struct fs *fs);

/* The opens of the node that wait, under states_lock, and their new start without it. */
struct waiting_open *waiting_take_locked(struct fs *fs, uint32_t node);
void waiting_go_on(struct waiting_open *first);

/* push.c */
/* Before the answer to a read with these flags of open(2): whether its neighbours are to be pushed
 * after it.
 */
bool push_begin(struct fs *fs, const struct slice *slice, const struct handle *handle, size_t size,
		int flags);
/* Then, after the answer. */
void push_around(struct fs *fs, const struct slice *slice, uint32_t node, uint64_t offset);

/* fetch.c */
/* The node is opened: start reading all of it, where it has advice=willneed. */
void fetch_start(struct fs *fs, uint32_t node);

/* Whether all handles of the slice are direct: those of aliases, and those of slices whose data are
 * to leave the page cache at once.
 */
static inline bool slice_uncached(const struct slice *slice)
{
	return slice->alias || (slice->effects & POLICY_DROP_BEHIND);
}

/* The slice that a request is about; NULL where it is about none. */
static inline const struct slice *request_slice(fuse_req_t request, fuse_ino_t inode)
{
	return is_control(inode) ? NULL : tree_slice(request_fs(request)->tree, inode);
}

/* Every request through a handle comes by here: from the first one on it is in use. */
static inline struct handle *request_handle(fuse_req_t request, const struct fuse_file_info *info)
{
	return handle_use(&request_fs(request)->handles, info->fh);
}

/* stray.c */
/* Before a read through a direct handle for the kernel's page cache. 0 or -ENOMEM. */
int stray_note(struct fs *fs, uint32_t node);
/* After a change of the node's bytes through a direct handle, and before the answer: returns when
 * the kernel has dropped what was noted before and is old now. Not for changes that come from the
 * page cache: what drops pages waits for those.
 */
void stray_drop(struct fs *fs, uint32_t node);

/* writeback.c */
/* Whether the kernel may hold bytes of the node that have not come yet, and no clients' mapping. */
bool writeback_may_be_dirty(struct fs *fs, uint32_t node);
/* Before the answer to a WRITE from the page cache, up to end, that fails with error, and after it. */
void writeback_failed(struct fs *fs, uint32_t node, uint64_t end, int error);
void writeback_correct(struct fs *fs, uint32_t node, uint64_t end);
/* An fsync has come through: the kernel has told this handle of all losses up to now. */
void writeback_told(struct fs *fs, uint32_t node, struct handle *handle);
void on_flush(fuse_req_t request, fuse_ino_t inode, struct fuse_file_info *info);

/* file.c */
void on_read(fuse_req_t request, fuse_ino_t inode, size_t size, off_t offset,
	     struct fuse_file_info *info);
void on_write(fuse_req_t request, fuse_ino_t inode, const char *buf, size_t size, off_t offset,
	      struct fuse_file_info *info);
void on_fsync(fuse_req_t request, fuse_ino_t inode, int datasync, struct fuse_file_info *info);
void on_lseek(fuse_req_t request, fuse_ino_t inode, off_t offset, int whence,
	      struct fuse_file_info *info);
void on_fallocate(fuse_req_t request, fuse_ino_t inode, int mode, off_t offset, off_t length,
		  struct fuse_file_info *info);
void on_copy_file_range(fuse_req_t request, fuse_ino_t source, off_t source_offset,
			struct fuse_file_info *source_info, fuse_ino_t target, off_t target_offset,
			struct fuse_file_info *target_info, size_t size, int flags);

#endif
