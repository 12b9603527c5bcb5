/* SPDX-License-Identifier: MIT */
/* Random requests on slices against plain arrays of bytes.
 *
 *     two images, and for each an array that holds what it should
 *     three slices of random extents over both, and one with a tail that may resize image b
 *     other programs write the images, shrink them and let them grow
 *
 * The model does each request run by run, a run being bytes that lie together in one place, and
 * knows no pages, no mapping and no system call.
 */
#include "slices.h"

#include "guard.h"
#include "image_internal.h"

#include <fcntl.h>
#include <inttypes.h>
#include <linux/falloc.h>
#include <string.h>
#include <unistd.h>

#define IMAGES 2
#define SLICES 4
#define RESIZABLE 3
#define SIZE_MAX_OF_IMAGE 400000
#define ROUNDS 3
#define REQUESTS 3000

static struct {
	struct image *images[IMAGES];
	unsigned char *bytes[IMAGES]; /* zeros behind size */
	uint64_t sizes[IMAGES];
	struct made slices[SLICES];
	bool can_zero_range;
} world;

static const char *const paths[IMAGES] = { "a", "b" };

static unsigned char *buf; /* SIZE_MAX_OF_IMAGE bytes */
static unsigned char *wanted;

static void model_resize(size_t image, uint64_t size)
{
	assert_true(size <= SIZE_MAX_OF_IMAGE);
	if (size < world.sizes[image])
		memset(world.bytes[image] + size, 0, world.sizes[image] - size);
	world.sizes[image] = size;
}

/* --- where bytes of a slice lie --- */

enum place { ZERO, HELD, LOST, GROWING, END };

struct run {
	enum place place;
	size_t image;
	uint64_t offset;
	uint64_t length;
};

static size_t index_of(const struct image *image)
{
	return image == world.images[0] ? 0 : 1;
}

static uint64_t size_of(const struct made *made)
{
	const struct extent *last = &made->extents[made->slice.extent_count - 1];
	uint64_t size;

	if (!made->slice.tail)
		return last->start + last->length;
	size = world.sizes[index_of(last->image)];
	return last->start + (size > last->offset ? size - last->offset : 0);
}

/* The run at position, at most length bytes; to_write: tails that resize go on behind their end. */
static struct run run_at(const struct made *made, uint64_t position, uint64_t length, bool to_write)
{
	for (uint32_t i = 0; i < made->slice.extent_count; i++) {
		const struct extent *extent = &made->extents[i];
		bool tail = extent->length == EXTENT_TAIL;
		bool resizes = tail && made->slice.resize && to_write;
		struct run run = { .length = length };
		uint64_t size;

		if (position < extent->start ||
		    (!tail && position >= extent->start + extent->length))
			continue;
		if (!tail && run.length > extent->start + extent->length - position)
			run.length = extent->start + extent->length - position;
		if (!extent->image)
			return run;
		run.image = index_of(extent->image);
		run.offset = extent->offset + (position - extent->start);
		size = world.sizes[run.image];
		if (run.offset < size)
			run.place = HELD;
		else if (resizes) /* but not over what others have lost */
			run.place = size >= extent->offset ? GROWING : LOST;
		else
			run.place = tail ? END : LOST;
		if (run.place == HELD && run.length > size - run.offset)
			run.length = size - run.offset;
		return run;
	}
	return (struct run){ .place = END };
}

/* --- requests, each done to the slice and to the model --- */

static uint64_t random_length(void)
{
	return random_chance(10) ? random_below(150000) : random_below(6000);
}

static uint64_t random_position(const struct made *made)
{
	return random_below(size_of(made) + (random_chance(10) ? 5000 : 1));
}

/* Into wanted; how many bytes, or an errno. */
static int64_t model_read(const struct made *made, uint64_t offset, uint64_t size, bool partial)
{
	uint64_t done = 0;

	while (done < size) {
		struct run run = run_at(made, offset + done, size - done, false);

		if (run.place == END)
			break;
		if (run.place == LOST)
			return partial && done > 0 ? (int64_t)done : -EIO;
		if (run.place == ZERO)
			memset(wanted + done, 0, run.length);
		else
			memcpy(wanted + done, world.bytes[run.image] + run.offset, run.length);
		done += run.length;
	}
	return done;
}

static void do_read(const struct made *made)
{
	uint64_t offset = random_position(made);
	uint64_t size = random_length();
	bool partial = random_chance(50);
	int64_t result = model_read(made, offset, size, partial);
	size_t got = 0;

	assert_result(slice_read(&made->slice, offset, buf, size, partial, &got),
		      result < 0 ? result : 0);
	assert_int_equal(got, result < 0 ? 0 : result);
	assert_memory_equal(buf, wanted, got);
	memset(buf, 0x55, got);
	got = 0;
	assert_result(read_as_reply(&made->slice, offset, buf, size, partial, &got),
		      result < 0 ? result : 0);
	assert_int_equal(got, result < 0 ? 0 : result);
	assert_memory_equal(buf, wanted, got);
}

static int64_t model_write(const struct made *made, uint64_t offset, uint64_t size)
{
	uint64_t done = 0;

	while (done < size) {
		struct run run = run_at(made, offset + done, size - done, true);

		if (run.place == ZERO || run.place == END || run.place == LOST) {
			int error = run.place == LOST ? -EIO : -ENOSPC;

			return done > 0 ? (int64_t)done : error;
		}
		if (run.place == GROWING)
			model_resize(run.image, run.offset + run.length);
		memcpy(world.bytes[run.image] + run.offset, buf + done, run.length);
		done += run.length;
	}
	return done;
}

static void do_write(const struct made *made)
{
	uint64_t offset = random_position(made);
	uint64_t size = random_length();
	size_t written = 0;
	int64_t result;

	random_bytes(buf, size);
	result = model_write(made, offset, size);
	assert_result(slice_write(&made->slice, offset, buf, size, &written),
		      result < 0 ? result : 0);
	assert_int_equal(written, result < 0 ? 0 : result);
}

static bool tail_is_lost(const struct made *made)
{
	const struct extent *last = &made->extents[made->slice.extent_count - 1];

	return world.sizes[index_of(last->image)] < last->offset;
}

static void do_append(const struct made *made)
{
	uint64_t size = random_below(3000);
	size_t written = 0;

	random_bytes(buf, size);
	if (!made->slice.resize || tail_is_lost(made)) {
		assert_result(slice_append(&made->slice, buf, size, &written),
			      made->slice.resize ? -EIO : -ENOSPC);
		return;
	}
	assert_int_equal(model_write(made, size_of(made), size), size);
	assert_result(slice_append(&made->slice, buf, size, &written), 0);
	assert_int_equal(written, size);
}

static void do_resize(const struct made *made)
{
	uint64_t size = random_below(size_of(made) + 5000);
	const struct extent *last = &made->extents[made->slice.extent_count - 1];
	int result = slice_resize(&made->slice, size);

	if (!made->slice.resize || size < last->start) {
		assert_result(result, -EPERM);
	} else if (tail_is_lost(made)) {
		assert_result(result, -EIO);
	} else {
		assert_result(result, 0);
		model_resize(index_of(last->image), last->offset + (size - last->start));
	}
}

/* One extent's part of an allocation; all of it has the same fate. */
static int model_allocate_run(const struct made *made, uint64_t position, uint64_t length, int mode)
{
	struct run run = run_at(made, position, length, true);
	bool zeroes = mode & (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE);
	bool resizing = made->slice.resize &&
			position >= made->extents[made->slice.extent_count - 1].start;
	uint64_t end = run.offset + length;

	if (run.place == ZERO)
		return zeroes ? 0 : -ENOSPC;
	if (!resizing || tail_is_lost(made)) {
		if (end > world.sizes[run.image])
			return -EIO;
		mode |= FALLOC_FL_KEEP_SIZE;
	}
	if ((mode & FALLOC_FL_ZERO_RANGE) && !world.can_zero_range)
		return -EOPNOTSUPP;
	if (end > world.sizes[run.image] && !(mode & FALLOC_FL_KEEP_SIZE))
		model_resize(run.image, end);
	if (end > world.sizes[run.image])
		end = world.sizes[run.image];
	if (zeroes && run.offset < end)
		memset(world.bytes[run.image] + run.offset, 0, end - run.offset);
	return 0;
}

static int model_allocate(const struct made *made, int mode, uint64_t offset, uint64_t length)
{
	uint64_t size = size_of(made);
	uint64_t end = offset + length;

	if (!made->slice.resize && end > size) {
		if (!(mode & FALLOC_FL_KEEP_SIZE))
			return -ENOSPC;
		end = size;
	}
	for (uint32_t i = 0; i < made->slice.extent_count; i++) {
		const struct extent *extent = &made->extents[i];
		uint64_t first = extent->start > offset ? extent->start : offset;
		uint64_t last = extent->length == EXTENT_TAIL ? end
							      : extent->start + extent->length;
		int result;

		if (last > end)
			last = end;
		if (first >= last)
			continue;
		result = model_allocate_run(made, first, last - first, mode);
		if (result < 0)
			return result;
	}
	return 0;
}

static void do_allocate(const struct made *made)
{
	static const int modes[] = {
		0,
		FALLOC_FL_KEEP_SIZE,
		FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
		FALLOC_FL_ZERO_RANGE,
		FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE,
	};
	int mode = modes[random_below(COUNT(modes))];
	uint64_t offset = random_position(made);
	uint64_t length = 1 + random_below(random_chance(80) ? 20000 : 2000);

	assert_result(slice_allocate(&made->slice, mode, offset, length),
		      model_allocate(made, mode, offset, length));
}

/* The runs of images behind [offset, offset + size) of the slice, held or not; how many. */
static size_t list_runs(const struct made *made, uint64_t offset, uint64_t size, struct run *ret)
{
	size_t count = 0;

	for (uint64_t done = 0; done < size;) {
		struct run run = run_at(made, offset + done, size - done, true);

		if (run.place == END)
			break;
		if (run.place != ZERO)
			ret[count++] = run;
		done += run.length;
	}
	return count;
}

static bool runs_overlap(const struct run *a, const struct run *b)
{
	return a->image == b->image && a->offset < b->offset + b->length &&
	       b->offset < a->offset + a->length;
}

/* Where source and target overlap, slice_copy_test.c looks; and a target that grows its image must
 * not give the source more to copy meanwhile.
 */
static bool copy_is_simple(const struct made *source, uint64_t source_offset,
			   const struct made *target, uint64_t target_offset, uint64_t size)
{
	/* An extent is two runs at most: what is held of it and what is not. */
	struct run source_runs[2 * EXTENTS_MAX];
	struct run target_runs[2 * EXTENTS_MAX];
	size_t source_count = list_runs(source, source_offset, size, source_runs);
	size_t target_count = list_runs(target, target_offset, size, target_runs);

	if (target->slice.resize && target_offset + size > size_of(target) &&
	    (source->slice.tail || model_read(source, source_offset, size, false) < 0))
		return false;
	for (size_t i = 0; i < target_count; i++)
		for (size_t j = 0; j < source_count; j++)
			if (runs_overlap(&target_runs[i], &source_runs[j]))
				return false;
	return true;
}

static int64_t model_copy(const struct made *source, uint64_t source_offset,
			  const struct made *target, uint64_t target_offset, uint64_t size)
{
	int64_t got;

	if (size > 0 && !target->slice.resize && target_offset >= size_of(target))
		return -ENOSPC;
	got = model_read(source, source_offset, size, true);
	if (got <= 0)
		return got;
	memcpy(buf, wanted, got);
	return model_write(target, target_offset, got);
}

static void do_copy(const struct made *source)
{
	const struct made *target = &world.slices[random_below(SLICES)];
	uint64_t source_offset = random_position(source);
	uint64_t target_offset = random_position(target);
	uint64_t size = random_below(20000);
	size_t copied = 0;
	int64_t result;

	if (!copy_is_simple(source, source_offset, target, target_offset, size))
		return;
	result = model_copy(source, source_offset, target, target_offset, size);
	assert_result(slice_copy(&source->slice, source_offset, &target->slice, target_offset, size,
				 &copied),
		      result < 0 ? result : 0);
	assert_int_equal(copied, result < 0 ? 0 : result);
}

static void do_flush(const struct made *made)
{
	uint64_t offset = random_position(made);
	uint64_t size = random_chance(30) ? UINT64_MAX : random_length();
	bool lost = model_read(made, offset, size, false) < 0;

	assert_result(slice_flush(&made->slice, offset, size), 0);
	assert_result(slice_check_held(&made->slice, offset, size), lost ? -EIO : 0);
}

/* --- other programs --- */

static void write_from_outside(void)
{
	size_t image = random_below(IMAGES);
	uint64_t offset = random_below(world.sizes[image] + 1);
	uint64_t size = random_below(world.sizes[image] - offset + 1) % 5000;

	random_bytes(buf, size);
	file_write_at(paths[image], offset, buf, size);
	memcpy(world.bytes[image] + offset, buf, size);
}

static void resize_from_outside(size_t image)
{
	uint64_t size = random_chance(70) ? 200000 : random_below(240000);

	file_resize(paths[image], size);
	model_resize(image, size);
}

static void do_something(void)
{
	const struct made *made = &world.slices[random_below(SLICES)];
	unsigned which = random_below(100);

	if (which < 35)
		do_read(made);
	else if (which < 70)
		do_write(made);
	else if (which < 74)
		do_append(made);
	else if (which < 78)
		do_resize(made);
	else if (which < 86)
		do_allocate(made);
	else if (which < 92)
		do_copy(made);
	else if (which < 95)
		do_flush(made);
	else if (which < 98)
		write_from_outside();
	else
		resize_from_outside(random_below(IMAGES));
	if (world.sizes[1] > 240000) /* or the next request could outgrow the model */
		resize_from_outside(1);
}

/* --- worlds --- */

static void random_slice(struct made *made)
{
	struct extent extents[6];
	size_t count = 1 + random_below(COUNT(extents));

	for (size_t i = 0; i < count; i++) {
		uint64_t offset = random_below(150000);

		extents[i] = (struct extent){
			.image = random_chance(15) ? NULL : world.images[random_below(IMAGES)],
			.offset = offset,
			.length = random_chance(10) ? 0 : random_below(50000),
		};
		if (i + 1 == count && extents[i].image && random_chance(20))
			extents[i].length = EXTENT_TAIL;
	}
	make_slice(made, true, extents, count);
}

static bool can_zero_range(void)
{
	int fd;
	int result;

	file_resize("probe", 10000);
	fd = open("probe", O_RDWR | O_CLOEXEC);
	result = fallocate(fd, FALLOC_FL_ZERO_RANGE, 0, 10000);
	close(fd);
	return result == 0;
}

static void make_world(void)
{
	for (size_t i = 0; i < IMAGES; i++) {
		world.images[i] = new_image(paths[i], 200000);
		world.bytes[i] = calloc(1, SIZE_MAX_OF_IMAGE);
		assert_non_null(world.bytes[i]);
		world.sizes[i] = 200000;
		file_read_at(paths[i], 0, world.bytes[i], 200000);
	}
	for (size_t i = 0; i < SLICES; i++)
		random_slice(&world.slices[i]);
	make(&world.slices[RESIZABLE], true,
	     RANGE(random_chance(50) ? world.images[0] : NULL, random_below(5000), 3001),
	     TAIL(world.images[1], random_below(190000)));
	world.slices[RESIZABLE].slice.resize = true;
	world.can_zero_range = can_zero_range();
}

static void check_world(void)
{
	for (size_t i = 0; i < IMAGES; i++)
		file_assert(paths[i], world.bytes[i], world.sizes[i]);
	for (size_t i = 0; i < SLICES; i++)
		assert_slice_size(&world.slices[i], size_of(&world.slices[i]));
}

static void end_world(void)
{
	for (size_t i = 0; i < IMAGES; i++) {
		image_unref(world.images[i]);
		free(world.bytes[i]);
		unlink(paths[i]);
	}
}

static void random_requests_agree_with_the_model(void **state)
{
	buf = malloc(SIZE_MAX_OF_IMAGE);
	wanted = malloc(SIZE_MAX_OF_IMAGE);
	assert_non_null(buf);
	assert_non_null(wanted);
	assert_result(guard_install(), 0);
	random_begin();
	for (int i = 0; i < ROUNDS; i++) {
		make_world();
		for (int j = 0; j < REQUESTS; j++) {
			do_something();
			if (j % 100 == 0)
				check_world();
		}
		check_world();
		end_world();
	}
	free(buf);
	free(wanted);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		scratch_test(random_requests_agree_with_the_model),
	};

	return run_on_both(tests);
}
