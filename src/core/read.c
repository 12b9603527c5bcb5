/* SPDX-License-Identifier: MIT */
/* Reads of slices: ranges of the mapping for the kernel to copy from, or copies.
 *
 * The kernel answers a page of the mapping that has gone with EFAULT. What it cannot tell from data
 * is the zeros behind a new end of the file, in the page that holds it; and between a look at the
 * size and the kernel's copy the image may be cut. So of each piece the last page is read here, by
 * pread(2), and then the size is looked at once more:
 *
 *     piece   |       page |       page |       page |  end
 *     reply   |<--------- mapping ---------->.<- pread ---->|
 *                                            ^ the first byte of the last page
 *
 * If the image is cut before or during the copy, then either the last page's first byte is lost,
 * and with it the reply; or the end came to lie in the last page, of which the mapping gives
 * nothing that could be zeros: a page's first byte is either before the end, or not there.
 *
 * But an image that is cut and grown back while the copy is on its way between the two shows
 * neither. So one that was met too short lately is read by pread alone, and the times of the file
 * tell whether anything has changed meanwhile (stamp.c).
 *
 * All this takes a file system which moves the end before it zeroes what lies behind it. XFS zeroes
 * first. And on tmpfs a hole that is read through a mapping is a page taken, or EFAULT when there
 * is none. Images on these are read by pread alone, which XFS keeps apart from truncations.
 */
#include "mmapfs/slice.h"

#include "image_internal.h"
#include "overflow.h"
#include "slice_internal.h"
#include "trim.h"

#include <errno.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#define ZEROS_SIZE (1UL << 20)

/* Up to here pread costs no more than the mapping where that has the page tables ready, and half where
 * it has not; and it leaves none behind. Figures are in docs/memory.md.
 */
#define READ_BY_CALL_MAX (16UL << 10)

/* Up to here it costs a quarter more than a mapping that is ready, and as much as one that is not. */
#define READ_EITHER_WAY_MAX (64UL << 10)

/* What the kernel maps beside what is read, if it is in memory: fault_around_bytes. */
#define FAULT_AROUND (64UL << 10)

static char zeros[ZEROS_SIZE]; /* never written: costs no memory */

/* Pieces of a read in order, each wholly held; says where a lost range ends it. */
struct read_walk {
	struct extent_walk walk;
	struct known_size known;
	struct image_stamp stamp; /* of known.image, before it was read */
	uint64_t called_end; /* what pread has read of known.image lies before it; 0: nothing */
	bool partial;
	bool by_call; /* all of it by pread */
	bool twice;   /* pread until two in a row agree */
	bool cached;  /* only what needs no wait */
	bool lost;
	uint64_t total;
};

static int look_at(struct image *image, struct image_stamp *ret)
{
	if (!image->block_device)
		return image_stamp(image, ret);
	*ret = (struct image_stamp){ 0 }; /* nobody can cut it under us */
	return image_size(image, &ret->size);
}

static int read_walk_know(struct read_walk *read, struct image *image)
{
	int result = look_at(image, &read->stamp);

	if (result == 0)
		read->known = (struct known_size){ image, read->stamp.size };
	return result;
}

/* The kernel's read, too, first looks at the size and then copies: look at it again. -ESTALE when
 * the image has become too short, or was changed meanwhile and so may have been cut and grown again.
 */
static int read_walk_verify(struct read_walk *read)
{
	struct image_stamp now = { 0 };
	uint64_t end = read->called_end;
	int result;

	if (end == 0)
		return 0;
	read->called_end = 0;
	result = look_at(read->known.image, &now);
	if (result < 0)
		return result;
	if (now.size < end) {
		image_note_cut(read->known.image);
		return -ESTALE;
	}
	return read->twice || image_stamp_holds(&read->stamp, &now) ? 0 : -ESTALE;
}

/* 1 and a piece, 0 at the end, or negative errno. */
static int read_walk_next(struct read_walk *read, struct piece *ret)
{
	struct piece piece;
	uint64_t held;
	int result = 0;

	if (read->lost || !extent_walk_next(&read->walk, &piece))
		return read_walk_verify(read);
	if (piece.image && piece.image != read->known.image)
		result = read_walk_verify(read) ?: read_walk_know(read, piece.image);
	if (result < 0)
		return result;
	result = piece_held(&piece, &read->known, &held);
	if (result < 0)
		return result;
	if (held < piece.length) {
		image_note_cut(piece.image);
		if (!read->partial || read->total + held == 0)
			return -EIO;
		read->lost = true;
		piece.length = held;
		if (held == 0)
			return read_walk_verify(read);
	}
	read->total += piece.length;
	*ret = piece;
	return 1;
}

static void (*will_wait)(void);

void slice_on_wait(void (*callback)(void))
{
	will_wait = callback;
}

/* What is in memory without a wait, else with one, or with EAGAIN where only that is wanted; so, too,
 * where nobody can tell. Callers who serve others are told before a wait.
 */
static ssize_t read_some(struct image *image, uint64_t offset, char *buf, size_t size, bool cached)
{
	struct iovec range = { buf, size };
	bool waits = image->remote;

	if (image->resident || (!will_wait && !cached))
		return pread(image->fd, buf, size, offset);
	if (!waits && !atomic_load_explicit(&image->blocking, memory_order_relaxed)) {
		ssize_t got = preadv2(image->fd, &range, 1, offset, RWF_NOWAIT);

		if (got >= 0 || (errno != EAGAIN && errno != EOPNOTSUPP))
			return got;
		waits = errno == EAGAIN;
		if (!waits)
			atomic_store_explicit(&image->blocking, true, memory_order_relaxed);
	}
	if (cached) {
		errno = EAGAIN;
		return -1;
	}
	if (waits)
		will_wait();
	return pread(image->fd, buf, size, offset);
}

/* Until done; -ESTALE when the image has become too short. */
static int read_fully(struct image *image, uint64_t offset, char *buf, size_t size, bool cached)
{
	size_t done = 0;

	while (done < size) {
		ssize_t got = read_some(image, offset + done, buf + done, size - done, cached);

		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			return got < 0 ? -errno : -ESTALE;
		done += got;
	}
	return 0;
}

/* An image that was cut while it was read is looked at again; one that is cut all the time is lost.
 */
#define TRIES_MAX 8

/* Read again what is in buf until it is the same twice, in pieces that need no memory. Where others
 * write all the time it may never be, and anything is right.
 */
static int read_again(struct image *image, uint64_t offset, char *buf, size_t size)
{
	char again[16384];
	size_t step;
	int result = 0;

	for (size_t done = 0; result == 0 && done < size; done += step) {
		bool same = false;

		step = min_u64(size - done, sizeof(again));
		for (int tries = 0; result == 0 && !same && tries < TRIES_MAX; tries++) {
			result = read_fully(image, offset + done, again, step, false);
			same = result == 0 && !memcmp(buf + done, again, step);
			if (result == 0 && !same)
				memcpy(buf + done, again, step);
		}
	}
	return result;
}

static int read_by_call(struct read_walk *read, struct image *image, uint64_t offset, char *buf,
			size_t size)
{
	int result = read_fully(image, offset, buf, size, read->cached);

	if (result == 0 && read->twice)
		result = read_again(image, offset, buf, size);
	if (result == 0)
		read->called_end = max_u64(read->called_end, offset + size);
	return result;
}

/* image: whose mapping it lies in, or NULL. */
static int add_range(struct slice_ranges *ranges, void *start, size_t length, struct image *image)
{
	if (length == 0)
		return 0;
	if (ranges->count == SLICE_RANGES_MAX)
		return -E2BIG;
	ranges->images[ranges->count] = image;
	ranges->ranges[ranges->count++] = (struct iovec){ start, length };
	return 0;
}

static int add_zeros(struct slice_ranges *ranges, uint64_t length)
{
	int result = 0;

	for (; result == 0 && length > 0; length -= min_u64(length, ZEROS_SIZE))
		result = add_range(ranges, zeros, min_u64(length, ZEROS_SIZE), NULL);
	return result;
}

/* What of the piece the mapping may give: see the top. */
static uint64_t mapped_length(const struct piece *piece)
{
	const uint64_t mask = (1ULL << page_shift()) - 1;
	uint64_t last_page = (piece->offset + piece->length - 1) & ~mask;

	if (last_page <= piece->offset || piece->image->read_by_call ||
	    image_cut_lately(piece->image) ||
	    (piece->length <= READ_EITHER_WAY_MAX &&
	     !trim_admits(&piece->image->map, piece->offset)))
		return 0;
	return last_page + 1 - piece->offset;
}

static int add_piece(struct read_walk *read, const struct piece *piece, struct slice_ranges *ranges,
		     size_t *used)
{
	uint64_t mapped = read->by_call ? 0 : mapped_length(piece);
	uint64_t called = piece->length - mapped;
	char *end = ranges->ends + *used;
	int result;

	if (called > sizeof(ranges->ends) - *used)
		return -E2BIG;
	result = add_range(ranges, piece->image->map.base + piece->offset, mapped, piece->image);
	if (result < 0)
		return result;
	if (called > 0)
		result = read_by_call(read, piece->image, piece->offset + mapped, end, called);
	if (result < 0)
		return result;
	*used += called;
	return add_range(ranges, end, called, NULL);
}

static int try_read_map(const struct slice *slice, uint64_t offset, size_t size, bool partial,
			bool twice, struct slice_ranges *ranges)
{
	struct read_walk read = { .partial = partial,
				  .twice = twice,
				  .by_call = size <= READ_BY_CALL_MAX };
	struct piece piece;
	size_t used = 0;
	int result = slice_walk_clipped(slice, offset, size, &read.walk);

	if (result < 0)
		return result;
	ranges->count = 0;
	while ((result = read_walk_next(&read, &piece)) > 0) {
		result = piece.image ? add_piece(&read, &piece, ranges, &used)
				     : add_zeros(ranges, piece.length);
		if (result < 0)
			return result;
	}
	ranges->size = read.total;
	return result;
}

static int try_read(const struct slice *slice, struct read_walk read, uint64_t offset, char *buf,
		    size_t size, size_t *ret_size)
{
	struct piece piece;
	int result = slice_walk_clipped(slice, offset, size, &read.walk);

	if (result < 0)
		return result;
	while ((result = read_walk_next(&read, &piece)) > 0) {
		char *target = buf + (piece.position - offset);

		if (!piece.image)
			memset(target, 0, piece.length);
		else
			result = read_by_call(&read, piece.image, piece.offset, target,
					      piece.length);
		if (result < 0)
			return result;
	}
	if (result == 0)
		*ret_size = read.total;
	return result;
}

/* After a try: whether to try again, which is then done with more care. */
static bool try_again(int result, int *tries)
{
	return result == -ESTALE && ++*tries < TRIES_MAX;
}

int slice_read_map(const struct slice *slice, uint64_t offset, size_t size, bool partial,
		   struct slice_ranges *ret)
{
	int tries = 0;
	int result;

	do
		result = try_read_map(slice, offset, size, partial, tries > 0, ret);
	while (try_again(result, &tries));
	return result == -ESTALE ? -EIO : result;
}

void slice_ranges_taken(const struct slice_ranges *ranges)
{
	for (int i = 0; i < ranges->count; i++) {
		const struct iovec *range = &ranges->ranges[i];
		struct map *map = ranges->images[i] ? &ranges->images[i]->map : NULL;

		if (!map)
			continue;
		map_touch(map, (const char *)range->iov_base - map->base, range->iov_len);
		trim_charge(range->iov_len + FAULT_AROUND);
	}
}

int slice_read(const struct slice *slice, uint64_t offset, void *buf, size_t size, bool partial,
	       size_t *ret_size)
{
	struct read_walk read = { .partial = partial };
	int tries = 0;
	int result;

	do {
		read.twice = tries > 0;
		result = try_read(slice, read, offset, buf, size, ret_size);
	} while (try_again(result, &tries));
	return result == -ESTALE ? -EIO : result;
}

int slice_read_cached(const struct slice *slice, uint64_t offset, void *buf, size_t size,
		      size_t *ret_size)
{
	const struct read_walk read = { .cached = true };
	int result = try_read(slice, read, offset, buf, size, ret_size);

	return result == -ESTALE ? -EAGAIN : result;
}
