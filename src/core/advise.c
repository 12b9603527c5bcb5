/* SPDX-License-Identifier: MIT */
/* Memory policies at work: what is done at the mount, and around requests.
 *
 * Advice is acted on by calls on ranges of the descriptor, and never by flags of the mapping: flags
 * of a part of it split it, and a process has 65,530 mappings for what may be a million slices. It
 * is also the better way. A mapping that is marked random reads a page at a time, so a cold read of
 * 64 KiB waits for the disk sixteen times; fetched by POSIX_FADV_WILLNEED it waits once.
 *
 *     sequential   windows of the slice |   n   |  n+1  |  n+2  |
 *                  a read that comes here ->|           '-- is fetched now
 *
 *     drop-behind  windows of the slice |  n-1  |   n   |  n+1  |
 *                  dropped when a request comes to |--------|-->| (n-1 once more: it may be clean now)
 *
 * So both need no state, and a stream costs a few calls for each window.
 */
#include "available.h"
#include "cleanup.h"
#include "image_internal.h"
#include "overflow.h"
#include "slice_internal.h"
#include "trim.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define WINDOW (4UL << 20)
_Static_assert(SLICE_BEHIND_MAX == 3 * WINDOW, "what lies between two drops");

/* The kernel reads no more in one call than the device's readahead or its largest request. */
#define FETCH_STEP (128UL << 10)

#define POPULATE_STEP (8UL << 20)

static void fetch(const struct image *image, uint64_t offset, uint64_t length)
{
	for (uint64_t step; length > 0; offset += step, length -= step) {
		step = min_u64(length, FETCH_STEP);
		(void)posix_fadvise(image->fd, offset, step, POSIX_FADV_WILLNEED);
	}
}

static bool wants(const struct slice *slice, const struct piece *piece, uint8_t bits)
{
	return piece->image && (policy_over(slice->policy, piece->image->policy).on & bits);
}

/* Fetch those pieces of the range that want it for one of bits. */
static void fetch_range(const struct slice *slice, uint64_t offset, uint64_t size, uint8_t bits)
{
	struct extent_walk walk;
	struct piece piece;

	if (!(slice->effects & bits) || slice_walk_clipped(slice, offset, size, &walk) < 0)
		return;
	while (extent_walk_next(&walk, &piece))
		if (wants(slice, &piece, bits) && !piece.image->memory)
			fetch(piece.image, piece.offset, piece.length);
}

/* The last place at which a window ends in (offset, offset + size], in *ret. */
static bool passes_window(uint64_t offset, uint64_t size, uint64_t *ret)
{
	*ret = (offset + size) / WINDOW * WINDOW;
	return *ret > offset;
}

void slice_advise(const struct slice *slice, uint64_t offset, uint64_t size)
{
	uint64_t end;

	if (!(slice->effects & (POLICY_RANDOM | POLICY_SEQUENTIAL)))
		return;
	fetch_range(slice, offset, size, POLICY_RANDOM);
	if (offset == 0)
		fetch_range(slice, size, 2 * WINDOW - min_u64(size, WINDOW), POLICY_SEQUENTIAL);
	else if (passes_window(offset, size, &end))
		fetch_range(slice, end + WINDOW, WINDOW, POLICY_SEQUENTIAL);
}

/* Pages of other slices may go along, at the ends: they come back. A mapped page stays, so it goes
 * out of the mapping first. Where that is locked, all stays.
 */
static void drop(struct image *image, uint64_t offset, uint64_t length)
{
	const uint64_t mask = (1ULL << page_shift()) - 1;
	uint64_t start = offset & ~mask;
	uint64_t end = min_u64((offset + length + mask) & ~mask, image->map.length);

	if (start >= end || madvise(image->map.base + start, end - start, MADV_DONTNEED) < 0)
		return;
	(void)posix_fadvise(image->fd, start, end - start, POSIX_FADV_DONTNEED);
	/* A page that is gone is better written by a call than faulted in. */
	map_clear_hot(&image->map, start, end - start);
}

void slice_drop(const struct slice *slice, uint64_t offset, uint64_t size)
{
	struct extent_walk walk;
	struct piece piece;

	if (!(slice->effects & POLICY_DROP_BEHIND) ||
	    slice_walk_clipped(slice, offset, size, &walk) < 0)
		return;
	while (extent_walk_next(&walk, &piece))
		if (wants(slice, &piece, POLICY_DROP_BEHIND) && !piece.image->memory)
			drop(piece.image, piece.offset, piece.length);
}

void slice_passed(const struct slice *slice, uint64_t offset, uint64_t size)
{
	uint64_t end;

	if ((slice->effects & POLICY_DROP_BEHIND) && passes_window(offset, size, &end))
		slice_drop(slice, end - min_u64(end, 2 * WINDOW), min_u64(end, 2 * WINDOW));
}

void slice_fetch(const struct slice *slice, bool (*stop)(void *context), void *context)
{
	uint64_t left = 0;
	uint64_t size;

	if (slice_size(slice, &size) < 0)
		return;
	if (size > WINDOW)
		left = available_memory().left / 2;
	size = size > WINDOW ? min_u64(size, max_u64(left, WINDOW)) : size;
	for (uint64_t at = 0; at < size && !(stop && stop(context)); at += WINDOW)
		fetch_range(slice, at, min_u64(WINDOW, size - at), POLICY_WILLNEED);
}

/* The next run of data in [*offset, end), which *offset moves behind. False: only holes are left.
 * Where nobody can tell all is data.
 */
static bool next_data(const struct image *image, uint64_t *offset, uint64_t end,
		      uint64_t *ret_start, uint64_t *ret_end)
{
	off_t data = *offset;
	off_t hole = end;

	if (*offset >= end)
		return false;
	if (!image->block_device) {
		data = lseek(image->fd, *offset, SEEK_DATA);
		if (data < 0 && errno == ENXIO)
			return false;
		hole = data < 0 ? -1 : lseek(image->fd, data, SEEK_HOLE);
	}
	*ret_start = data < 0 ? *offset : (uint64_t)data;
	*ret_end = hole < 0 ? end : min_u64(hole, end);
	*offset = *ret_end;
	return *ret_start < end;
}

uint64_t image_data(const struct image *image, uint64_t offset, uint64_t length)
{
	uint64_t end = offset + length;
	uint64_t bytes = 0;
	uint64_t run_start;
	uint64_t run_end;

	if (image->memory)
		return length;
	while (next_data(image, &offset, end, &run_start, &run_end))
		bytes += run_end - run_start;
	return bytes;
}

/* Outwards to whole pages. */
static int advise_mapping(struct image *image, uint64_t offset, uint64_t length, int advice)
{
	const uint64_t mask = (1ULL << page_shift()) - 1;
	uint64_t start = offset & ~mask;
	uint64_t end = (offset + length + mask) & ~mask;

	while (madvise(image->map.base + start, end - start, advice) < 0)
		if (errno != EINTR && errno != EAGAIN)
			return -errno;
	return 0;
}

int image_populate(struct image *image, uint64_t offset, uint64_t length)
{
	uint64_t end = offset + length;
	uint64_t run_start;
	uint64_t run_end;
	int result = 0;

	if (image->memory) {
		result = advise_mapping(image, offset, length,
					image->writable ? MADV_POPULATE_WRITE : MADV_POPULATE_READ);
		if (result == 0)
			map_set_hot(&image->map, offset, length);
		return result;
	}
	while (result == 0 && next_data(image, &offset, end, &run_start, &run_end))
		for (uint64_t step; result == 0 && run_start < run_end; run_start += step) {
			step = min_u64(run_end - run_start, POPULATE_STEP);
			fetch(image, run_start, min_u64(run_end - run_start, 2 * POPULATE_STEP));
			result = advise_mapping(image, run_start, step, MADV_POPULATE_READ);
		}
	return result;
}

int image_lock(struct image *image, uint64_t offset, uint64_t length)
{
	/* mlock(2), which sanitizers leave undone. */
	if (mlock2(image->map.base + offset, length, 0) < 0)
		return -errno;
	trim_remove(&image->map);
	return 0;
}

/* Whether a mapping that asks for huge pages of memory shared with others gets any. */
static bool huge_memory(void)
{
	static const char path[] = "/sys/kernel/mm/transparent_hugepage/shmem_enabled";
	_cleanup_(cleanup_fclose) FILE *file = fopen(path, "re");
	char line[128];

	return file && fgets(line, sizeof(line), file) && !strstr(line, "[never]") &&
	       !strstr(line, "[deny]");
}

int image_use_hugepages(struct image *image, uint64_t offset, uint64_t length)
{
	int result;

	if (image->memory && !huge_memory())
		return -EOPNOTSUPP;
	result = advise_mapping(image, offset, min_u64(length, image->map.length - offset),
				MADV_HUGEPAGE);
	if (result == 0)
		image->map.advised = true;
	if (result == 0 && image->memory)
		image->write_mapped = true;
	return result;
}
