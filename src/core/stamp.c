/* SPDX-License-Identifier: MIT */
/* Whether somebody has changed an image: its size and times, looked at twice.
 *
 * Files are stamped with a clock that ticks every 1 to 10 ms, and in seconds on file systems that
 * keep no more: a change may leave the times of another as they are. Since Linux 6.13 ("multigrain
 * timestamps": ext4, XFS, btrfs, tmpfs) a change is stamped with the exact time when somebody has
 * looked at the times since the last one. Such a stamp is known by being ahead of the slow clock.
 */
#include "image_internal.h"

#include <errno.h>
#include <sys/stat.h>

#define TICK_NS 25000000 /* with room: the slowest tick is 10 ms */
#define SECONDS_TICK_NS 2500000000
#define AHEAD_MAX_NS 20000000

#define CUT_SECONDS 10 /* at least: the clock has whole ones */

static int64_t nanoseconds_since(struct timespec then, struct timespec now)
{
	int64_t seconds = now.tv_sec - then.tv_sec;

	if (seconds > 3600 || seconds < -3600) /* far enough, and what fits */
		return seconds > 0 ? INT64_MAX : INT64_MIN;
	return seconds * 1000000000 + (now.tv_nsec - then.tv_nsec);
}

static bool timespec_equal(struct timespec a, struct timespec b)
{
	return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec;
}

static bool stamp_equal(const struct image_stamp *a, const struct image_stamp *b)
{
	return a->size == b->size && timespec_equal(a->mtime, b->mtime) &&
	       timespec_equal(a->ctime, b->ctime);
}

static bool is_fresh(const struct image_stamp *stamp, struct timespec before)
{
	bool seconds_only = stamp->mtime.tv_nsec == 0 && stamp->ctime.tv_nsec == 0;
	int64_t tick = seconds_only ? SECONDS_TICK_NS : TICK_NS;

	return nanoseconds_since(stamp->mtime, before) < tick ||
	       nanoseconds_since(stamp->ctime, before) < tick;
}

/* Looked at after the stamp was taken: earlier, the clock could have ticked in between. */
static bool is_ahead_of_clock(const struct image_stamp *stamp)
{
	struct timespec now;
	int64_t ahead;

	clock_gettime(CLOCK_REALTIME_COARSE, &now);
	ahead = -nanoseconds_since(stamp->ctime, now);
	return ahead > 0 && ahead < AHEAD_MAX_NS;
}

int image_stamp(struct image *image, struct image_stamp *ret)
{
	bool fine = atomic_load_explicit(&image->fine_stamps, memory_order_relaxed);
	struct timespec before = { 0 };
	struct stat status;

	if (!fine)
		clock_gettime(CLOCK_REALTIME_COARSE, &before);
	if (fstat(image->fd, &status) < 0)
		return -errno;
	*ret = (struct image_stamp){ status.st_size, status.st_mtim, status.st_ctim, false };
	if (fine)
		return 0;
	ret->fresh = is_fresh(ret, before);
	if (ret->fresh && is_ahead_of_clock(ret)) {
		atomic_store(&image->fine_stamps, true);
		ret->fresh = false;
	}
	return 0;
}

bool image_stamp_holds(const struct image_stamp *before, const struct image_stamp *after)
{
	return !before->fresh && stamp_equal(before, after);
}

/* Never 0. */
static int64_t coarse_seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
	return now.tv_sec + 1;
}

void image_note_cut(struct image *image)
{
	atomic_store_explicit(&image->cut_seen, coarse_seconds(), memory_order_relaxed);
}

bool image_cut_lately(const struct image *image)
{
	int64_t seen = atomic_load_explicit(&image->cut_seen, memory_order_relaxed);

	return seen > 0 && coarse_seconds() - seen <= CUT_SECONDS;
}

uint32_t image_generation(struct image *image)
{
	struct image_stamp stamp = { 0 };
	uint32_t generation;
	bool known;

	if (image->memory) /* nobody else has it */
		return 1;
	known = image_stamp(image, &stamp) == 0;

	pthread_mutex_lock(&image->lock);
	/* What changes a device by another route leaves no trace on the node that we have open;
	 * only O_EXCL keeps the kernel's own users out.
	 */
	if (!known || (image->block_device && !image->writable) ||
	    !image_stamp_holds(&image->stamp, &stamp)) {
		image->generation++;
		stamp.fresh = stamp.fresh || !known;
		image->stamp = stamp;
	}
	generation = image->generation;
	pthread_mutex_unlock(&image->lock);
	return generation;
}
