/* SPDX-License-Identifier: MIT */
/* Attributes of nodes: sizes and blocks from the images, the rest held for the mount's life.
 *
 * The size in every reply is the true one: the kernel cuts its page cache to whatever size it is
 * told, under the hands of whoever has the file mapped.
 */
#include "fs.h"

#include "overflow.h"
#include "stats.h"

#include <string.h>
#include <sys/statvfs.h>

/* Seconds. What changes through this mount the kernel knows; what others change in an image moves
 * blocks, and the sizes of tail slices. Programs skip what is no block, so that blocks which are
 * missing are asked for soon; some that are gone mislead nobody.
 */
#define ATTRIBUTES_TIMEOUT 60.0
#define SPARSE_TIMEOUT 1.0
#define TAIL_TIMEOUT 0.0

#define NSEC_PER_SEC 1000000000LL

static struct timespec from_nanoseconds(int64_t value)
{
	struct timespec time = { value / NSEC_PER_SEC, value % NSEC_PER_SEC };

	if (time.tv_nsec < 0) {
		time.tv_sec--;
		time.tv_nsec += NSEC_PER_SEC;
	}
	return time;
}

static int64_t to_nanoseconds(struct timespec time)
{
	int64_t value = (int64_t)time.tv_sec * NSEC_PER_SEC + time.tv_nsec;

	return value ? value : 1; /* 0 means unset */
}

static struct timespec now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_REALTIME, &time);
	return time;
}

static void set_time(_Atomic int64_t *time, struct timespec value)
{
	atomic_store_explicit(time, to_nanoseconds(value), memory_order_relaxed);
}

static void apply_time(const _Atomic int64_t *time, struct timespec *ret)
{
	int64_t value = atomic_load_explicit(time, memory_order_relaxed);

	if (value)
		*ret = from_nanoseconds(value);
}

void attributes_touch(struct fs *fs, uint32_t node)
{
	struct timespec time = now();

	set_time(&fs->states[node].mtime, time);
	set_time(&fs->states[node].ctime, time);
}

static struct timespec default_mtime(const struct fs *fs, const struct slice *slice)
{
	return slice->extents[0].image ? image_opened_mtime(slice->extents[0].image) : fs->mounted;
}

static void set_times(struct stat *attributes, struct timespec time)
{
	attributes->st_mtim = attributes->st_ctim = attributes->st_atim = time;
}

/* Directories are readable where slices are, and searchable where they are readable. Their owner
 * may write to them as far as the kernel is asked, so that the answer is ours: EPERM.
 */
static mode_t directory_mode(const struct fs *fs)
{
	mode_t read = fs->options->directory_mode & 0444;

	return S_IFDIR | S_IWUSR | read | read >> 2;
}

static void directory_attributes(const struct fs *fs, struct stat *ret)
{
	ret->st_mode = directory_mode(fs);
	ret->st_nlink = 1; /* "not counted", as btrfs has it */
	ret->st_uid = fs->options->uid;
	ret->st_gid = fs->options->gid;
	set_times(ret, fs->mounted);
}

static int slice_attributes(const struct fs *fs, const struct slice *slice, struct stat *ret)
{
	uint64_t size;
	int result = slice_size(slice, &size);

	if (result < 0)
		return result;
	ret->st_nlink = 1;
	ret->st_size = size;
	ret->st_blksize = 4096;
	ret->st_blocks = slice_blocks(slice);
	/* A file without blocks is taken for one of zeros. */
	if (fs->writeback && slice->writable && size > 0 && ret->st_blocks == 0)
		ret->st_blocks = 1;
	ret->st_mode = S_IFREG | slice->mode;
	ret->st_uid = slice->uid;
	ret->st_gid = slice->gid;
	set_times(ret, default_mtime(fs, slice));
	return 0;
}

/* What the table says of a node, over what it has by its kind. */
static void apply_item(const struct tree_item *item, struct stat *attributes)
{
	if (item->kind == TREE_SYMLINK) {
		attributes->st_mode = S_IFLNK | 0777;
		attributes->st_nlink = 1;
		attributes->st_size = strlen(item->target);
	}
	if (item->kind == TREE_DIRECTORY && item->has_mode)
		attributes->st_mode = S_IFDIR | item->slice->mode;
	attributes->st_uid = item->slice->uid;
	attributes->st_gid = item->slice->gid;
	attributes->st_nlink += item->links;
	if (item->has_mtime)
		set_times(attributes, item->mtime);
}

/* What has been set on the node over what it was born with. */
static void apply_state(struct fs *fs, uint32_t node, struct stat *attributes)
{
	struct node_state *state = &fs->states[node];

	apply_time(&state->atime, &attributes->st_atim);
	apply_time(&state->mtime, &attributes->st_mtim);
	apply_time(&state->ctime, &attributes->st_ctim);
	pthread_mutex_lock(&fs->states_lock);
	if (state->has_mode)
		attributes->st_mode = (attributes->st_mode & S_IFMT) | state->mode;
	if (state->has_uid)
		attributes->st_uid = state->uid;
	if (state->has_gid)
		attributes->st_gid = state->gid;
	pthread_mutex_unlock(&fs->states_lock);
}

static double attributes_timeout(const struct slice *slice, const struct stat *attributes)
{
	if (!slice)
		return ATTRIBUTES_TIMEOUT;
	if (slice->tail)
		return TAIL_TIMEOUT;
	return attributes->st_blocks * 512 < attributes->st_size ? SPARSE_TIMEOUT
								 : ATTRIBUTES_TIMEOUT;
}

int attributes_get(struct fs *fs, fuse_ino_t inode, struct stat *ret, double *ret_timeout)
{
	const struct slice *slice = NULL;
	struct stat attributes = { .st_ino = inode };
	struct tree_item item;
	int result;

	if (is_control(inode)) {
		control_attributes(fs, inode, &attributes);
	} else {
		slice = tree_slice(fs->tree, inode);
		if (slice) {
			result = slice_attributes(fs, slice, &attributes);
			if (result < 0)
				return result;
		} else {
			directory_attributes(fs, &attributes);
		}
		if (tree_item(fs->tree, inode, &item))
			apply_item(&item, &attributes);
		apply_state(fs, inode, &attributes);
	}
	*ret = attributes;
	*ret_timeout = attributes_timeout(slice, &attributes);
	return 0;
}

static void reply_attributes(fuse_req_t request, fuse_ino_t inode)
{
	struct stat attributes;
	double timeout;
	int result = attributes_get(request_fs(request), inode, &attributes, &timeout);

	if (result < 0)
		reply_status(request, result);
	else
		count_reply(fuse_reply_attr(request, &attributes, timeout));
}

void on_getattr(fuse_req_t request, fuse_ino_t inode, struct fuse_file_info *info)
{
	const struct tree *tree = request_fs(request)->tree;

	stats_add(getattrs, 1);
	if (!is_control(inode) && tree_kind(tree, inode) != TREE_DIRECTORY)
		lister_asked(request, tree_parent(tree, inode));
	reply_attributes(request, inode);
}

/* open(2) with O_TRUNC. Without ATOMIC_O_TRUNC the kernel opens first, and then sets the size to 0
 * just as truncate(2) does; but it does so from the same thread and before that can use the file.
 * So a truncation to 0 by a thread with an unused handle is taken for the second half of an open.
 *
 * With ATOMIC_O_TRUNC the two would come as one. But then the kernel takes the size for 0 by
 * itself until somebody asks for it, and whoever has the file mapped meets SIGBUS meanwhile.
 */
static bool is_open_truncate(fuse_req_t request, uint32_t node, const struct stat *wanted,
			     const struct fuse_file_info *info)
{
	return wanted->st_size == 0 && !info &&
	       handles_just_opened(&request_fs(request)->handles, node, fuse_req_ctx(request)->pid);
}

static int set_size(fuse_req_t request, uint32_t node, const struct stat *wanted,
		    const struct fuse_file_info *info)
{
	struct fs *fs = request_fs(request);
	const struct slice *slice = tree_slice(fs->tree, node);
	uint64_t size;
	int result;

	if (!slice) /* the kernel follows symbolic links, and cuts none */
		return -EISDIR;
	if (!slice->writable)
		return -EROFS;
	result = slice_size(slice, &size);
	if (result < 0)
		return result;
	if ((uint64_t)wanted->st_size == size)
		return 0;
	if (!slice->resize && is_open_truncate(request, node, wanted, info))
		return 0;
	result = slice_resize(slice, wanted->st_size);
	if (result == 0)
		attributes_touch(fs, node);
	return result;
}

static void set_others(struct fs *fs, uint32_t node, const struct stat *wanted, int set)
{
	struct node_state *state = &fs->states[node];
	struct timespec time = now();

	pthread_mutex_lock(&fs->states_lock);
	if (set & FUSE_SET_ATTR_MODE) {
		state->mode = wanted->st_mode & 0777;
		state->has_mode = true;
	}
	if (set & FUSE_SET_ATTR_UID) {
		state->uid = wanted->st_uid;
		state->has_uid = true;
	}
	if (set & FUSE_SET_ATTR_GID) {
		state->gid = wanted->st_gid;
		state->has_gid = true;
	}
	pthread_mutex_unlock(&fs->states_lock);
	if (set & (FUSE_SET_ATTR_ATIME_NOW | FUSE_SET_ATTR_ATIME))
		set_time(&state->atime, set & FUSE_SET_ATTR_ATIME_NOW ? time : wanted->st_atim);
	if (set & (FUSE_SET_ATTR_MTIME_NOW | FUSE_SET_ATTR_MTIME))
		set_time(&state->mtime, set & FUSE_SET_ATTR_MTIME_NOW ? time : wanted->st_mtim);
	set_time(&state->ctime, set & FUSE_SET_ATTR_CTIME ? wanted->st_ctim : time);
}

#define KERNEL_TIMES (FUSE_SET_ATTR_MTIME | FUSE_SET_ATTR_CTIME)

void on_setattr(fuse_req_t request, fuse_ino_t inode, struct stat *wanted, int set,
		struct fuse_file_info *info)
{
	struct fs *fs = request_fs(request);
	int result = 0;

	/* With writeback the kernel keeps the times, and tells them through any handle. */
	if (info && (set & ~KERNEL_TIMES))
		request_handle(request, info);
	if (is_control(inode) ||
	    ((set & FUSE_SET_ATTR_MODE) && (wanted->st_mode & (S_ISUID | S_ISGID | S_ISVTX))))
		result = -EPERM;
	else if (set & FUSE_SET_ATTR_SIZE)
		result = set_size(request, inode, wanted, info);
	if (result < 0) {
		reply_status(request, result);
		return;
	}
	/* A truncation that changed nothing leaves the times alone, as a block device does; unless
	 * the kernel has moved them already.
	 */
	if (!(set & FUSE_SET_ATTR_SIZE) || (set & FUSE_SET_ATTR_CTIME))
		set_others(fs, inode, wanted, set);
	reply_attributes(request, inode);
	/* After the answer: until then the kernel holds back what the file has dirty, and dropping
	 * pages may wait for that.
	 */
	if ((set & FUSE_SET_ATTR_SIZE) && slice_uncached(tree_slice(fs->tree, inode)))
		stray_drop(fs, inode);
}

/* Room for growing slices is what the file system of their image has left. */
static void add_free_space(const struct tree *tree, struct statvfs *status)
{
	for (size_t i = 0; i < tree_item_count(tree); i++) {
		const struct slice *slice = tree_item_at(tree, i).slice;
		uint64_t available;

		if (slice->resize && image_available(slice->extents[slice->extent_count - 1].image,
						     &available) == 0) {
			status->f_bavail = status->f_bfree = available / status->f_frsize;
			status->f_blocks += status->f_bfree;
			return;
		}
	}
}

void on_statfs(fuse_req_t request, fuse_ino_t inode)
{
	const struct tree *tree = request_fs(request)->tree;
	struct statvfs status = {
		.f_bsize = 4096,
		.f_frsize = 4096,
		.f_files = tree_node_count(tree),
		.f_namemax = TREE_COMPONENT_MAX,
	};

	status.f_blocks = tree_total_size(tree) / status.f_frsize;
	add_free_space(tree, &status);
	count_reply(fuse_reply_statfs(request, &status));
}
