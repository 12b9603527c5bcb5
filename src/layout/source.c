/* SPDX-License-Identifier: MIT */
/* The bytes of an image or slice, end to end.
 *
 * Most sources are one range of one image, which is mapped as it is. Where there are more, their
 * pages are mapped next to each other; the page at each seam, which has bytes of two, is a copy. A
 * range whose bytes lie at other places in their pages than in those of the row cannot be mapped
 * there: it is a copy as a whole, as long as it is not too large.
 */
#include "source.h"

#include "cleanup.h"
#include "overflow.h"
#include "size.h"

#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

/* Of ranges that cannot be mapped, all together. */
#define COPIES_MAX (256UL << 20)

struct opening {
	struct source *source;
	const char *name;
	const struct location *at;
	struct error *error;
};

static int report_fault(const struct opening *opening, const struct extent_view *extent,
			const char *fault)
{
	error_add(opening->error, opening->at, "image '%s': %s: %s", extent->image, extent->path,
		  fault);
	return -EINVAL;
}

static int open_image(const struct opening *opening, const struct extent_view *extent,
		      struct source_image *ret)
{
	const int flags = O_RDONLY | O_CLOEXEC | O_NOCTTY;
	_cleanup_(cleanup_close) int fd = -1;
	struct stat status;
	off_t size;

	if (extent->memory)
		return report_fault(opening, extent, "has nothing in it before it is mounted");
	fd = open(extent->path, flags | O_NONBLOCK);
	/* Somebody who writes to it has a lease on it for a moment, as our own mounts do. */
	if (fd < 0 && errno == EWOULDBLOCK)
		fd = open(extent->path, flags);
	if (fd < 0 || fstat(fd, &status) < 0)
		return report_fault(opening, extent, strerror(errno));
	if (S_ISDIR(status.st_mode))
		return report_fault(opening, extent, strerror(EISDIR));
	size = S_ISREG(status.st_mode) || S_ISBLK(status.st_mode) ? lseek(fd, 0, SEEK_END) : -1;
	if (size < 0)
		return report_fault(opening, extent, "neither a regular file nor a block device");
	*ret = (struct source_image){ extent->image, steal_fd(&fd), size };
	return 0;
}

/* The image of an extent, from its first one on. */
static int find_image(const struct opening *opening, const struct extent_view *extent,
		      struct source_image *ret)
{
	struct source *source = opening->source;
	int result;

	for (size_t i = source->images.count; i-- > 0;)
		if (source->images.data[i].name == extent->image) {
			*ret = source->images.data[i];
			return 0;
		}
	result = vec_reserve(&source->images, 1) ?: open_image(opening, extent, ret);
	if (result == 0)
		source->images.data[source->images.count++] = *ret;
	return result;
}

static int add_range(void *context, const struct extent_view *extent)
{
	struct opening *opening = context;
	struct source *source = opening->source;
	struct source_range range = {
		.fd = -1,
		.start = source->size,
		.offset = extent->offset,
		.length = extent->length,
	};
	struct source_image image = { .fd = -1 };
	uint64_t end;
	int result = vec_reserve(&source->ranges, 1);

	source->read_only |= extent->access == IMAGE_ACCESS_RO;
	if (result == 0 && extent->image)
		result = find_image(opening, extent, &image);
	if (result < 0)
		return result;
	range.fd = image.fd;
	if (extent->length == EXTENT_TAIL)
		range.length = image.size - min_u64(image.size, extent->offset);
	if (add_overflows(range.offset, range.length, &end) ||
	    (extent->image && end > image.size) ||
	    add_overflows(source->size, range.length, &source->size) || source->size > SIZE_LIMIT) {
		error_add(opening->error, opening->at,
			  "layout of '%s': reaches past the end of its image", opening->name);
		return -EINVAL;
	}
	range.to_end = extent->image && end == image.size;
	range.image = extent->image ? strdup(extent->image) : NULL;
	source->ranges.data[source->ranges.count++] = range;
	return extent->image && !range.image ? -ENOMEM : 0;
}

int source_open(struct tree_builder *builder, const char *name, const struct location *at,
		struct error *error, struct source *ret)
{
	struct source source = { 0 };
	struct opening opening = { &source, name, at, error };
	int result = tree_builder_visit_image(builder, name, add_range, &opening);

	if (result == -ENOENT)
		result = tree_builder_visit(builder, name, add_range, &opening);
	if (result == -ENOENT) {
		error_add(error, at, "layout of '%s': no image or slice of that name before it",
			  name);
		result = -EINVAL;
	}
	if (result < 0) {
		source_clear(&source);
		return result;
	}
	*ret = source;
	return 0;
}

void source_clear(struct source *source)
{
	for (size_t i = 0; i < source->ranges.count; i++)
		free(source->ranges.data[i].image);
	for (size_t i = 0; i < source->images.count; i++)
		close(source->images.data[i].fd);
	free(source->ranges.data);
	free(source->images.data);
	*source = (struct source){ 0 };
}

static int read_fully(int fd, unsigned char *buf, uint64_t size, uint64_t offset)
{
	while (size > 0) {
		ssize_t got = pread(fd, buf, min_u64(size, 1 << 30), offset);

		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			return got < 0 ? -errno : -EIO;
		buf += got;
		size -= got;
		offset += got;
	}
	return 0;
}

static int map_fault(void)
{
	return errno == ENOMEM ? -EFBIG : -errno;
}

/* Put [start, end) of a range where it belongs in the row, as a copy. */
static int copy_part(const struct source_range *range, unsigned char *row, uint64_t start,
		     uint64_t end, uint64_t *copied)
{
	if (start >= end)
		return 0;
	*copied += end - start;
	if (*copied > COPIES_MAX)
		return -EOPNOTSUPP;
	return read_fully(range->fd, row + range->start + start, end - start,
			  range->offset + start);
}

/* row is anonymous memory up to now, which zeros and copies go into. */
static int place_range(const struct source_range *range, unsigned char *row, uint64_t *copied)
{
	const uint64_t page = sysconf(_SC_PAGESIZE);
	uint64_t skew = (uintptr_t)(row + range->start) % page;
	uint64_t first = (page - skew) % page; /* the first whole page */
	uint64_t end;

	if (range->fd < 0 || range->length == 0)
		return 0;
	if (skew != range->offset % page || first >= range->length)
		return copy_part(range, row, 0, range->length, copied);
	end = first + (range->length - first) / page * page;
	if (end > first &&
	    mmap(row + range->start + first, end - first, PROT_READ, MAP_SHARED | MAP_FIXED,
		 range->fd, range->offset + first) == MAP_FAILED)
		return map_fault();
	return copy_part(range, row, 0, first, copied)
		       ?: copy_part(range, row, end, range->length, copied);
}

static int map_one(const struct source_range *range, struct bytes *ret)
{
	const uint64_t page = sysconf(_SC_PAGESIZE);
	uint64_t skew = range->offset % page;
	unsigned char *at = mmap(NULL, range->length + skew, PROT_READ, MAP_SHARED, range->fd,
				 range->offset - skew);

	if (at == MAP_FAILED)
		return map_fault();
	*ret = (struct bytes){ at + skew, range->length };
	return 0;
}

int source_map(const struct source *source, struct bytes *ret)
{
	const uint64_t page = sysconf(_SC_PAGESIZE);
	uint64_t copied = 0;
	unsigned char *row;

	if (source->size == 0) {
		*ret = (struct bytes){ (const unsigned char *)"", 0 };
		return 0;
	}
	if (source->ranges.count == 1 && source->ranges.data[0].fd >= 0)
		return map_one(&source->ranges.data[0], ret);
	row = mmap(NULL, source->size + page, PROT_READ | PROT_WRITE,
		   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (row == MAP_FAILED)
		return map_fault();
	row += source->ranges.data[0].offset % page;
	for (size_t i = 0; i < source->ranges.count; i++) {
		int result = place_range(&source->ranges.data[i], row, &copied);

		if (result < 0)
			return result;
	}
	/* Also so that the row does not count as memory that the process has allocated. */
	if (mprotect(row - source->ranges.data[0].offset % page, source->size + page, PROT_READ) <
	    0)
		return -errno;
	*ret = (struct bytes){ row, source->size };
	return 0;
}
