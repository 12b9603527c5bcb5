/* SPDX-License-Identifier: MIT
 *
 * A thousand slices over three images, and what lies between them. The seed alone decides.
 *
 * Each byte that can be written belongs to one client: slices that overlap have one owner. Slices
 * that only share a page may have different ones, but not in the image that runs full, where a
 * client judges by the holes around its bytes.
 */
#include "soak.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct layout layout;

static int slice_count;
static struct extent pool[SLICES]; /* of slices with several extents */
static int pool_count;

static uint64_t page_up(uint64_t offset)
{
	return (offset + PAGE - 1) & ~(PAGE - 1);
}

static uint64_t some_length(void)
{
	switch (chance(4)) {
	case 0:
		return 1 + chance(PAGE);
	case 1:
		return 48 * 1024 + chance(100UL * 1024);
	default:
		return PAGE + chance(40UL * 1024);
	}
}

static struct slice *add(int owner, bool writable)
{
	struct slice *slice = &layout.slices[slice_count];

	snprintf(slice->name, sizeof(slice->name), "%d/%03d", slice_count % 7, slice_count);
	slice_count++;
	slice->owner = owner;
	slice->writable = writable;
	slice->mappable = true;
	return slice;
}

static void append(struct slice *slice, int image, uint64_t offset, uint64_t length)
{
	slice->extents[slice->count++] = (struct extent){ image, offset, length };
	slice->size += length;
}

/* One that has its pages for itself, or a part of one that will have several. */
static uint64_t place_single(int image, uint64_t at, bool odd)
{
	uint64_t length = some_length();

	at = page_up(at);
	if (odd)
		at += 1 + chance(PAGE - 1);
	else
		length = page_up(length);
	if (one_in(4))
		pool[pool_count++] = (struct extent){ image, at, length };
	else
		append(add((int)chance(CLIENTS), !one_in(12)), image, at, length);
	return page_up(at + length);
}

/* Neighbours that share the pages at their borders. */
static uint64_t place_neighbours(int image, uint64_t at)
{
	int count = 2 + (int)chance(3);
	int owner = (int)chance(CLIENTS);

	at = page_up(at) + chance(PAGE);
	for (int i = 0; i < count; i++) {
		uint64_t length = some_length();
		struct slice *slice = add(image == THREE ? owner : (int)chance(CLIENTS), true);

		slice->mappable = false;
		append(slice, image, at, length);
		at += length;
	}
	return page_up(at);
}

/* Slices that overlap. */
static uint64_t place_group(int image, uint64_t at)
{
	uint64_t length = 2 * PAGE + chance(160UL * 1024);
	int count = 2 + (int)chance(3);
	int owner = (int)chance(CLIENTS);

	at = page_up(at) + chance(PAGE);
	for (int i = 0; i < count; i++) {
		struct slice *slice = add(owner, i == 0 || !one_in(3));
		uint64_t from = i == 0 ? 0 : chance(length);

		slice->mappable = false;
		append(slice, image, at + from, i == 0 ? length : 1 + chance(length - from));
	}
	return page_up(at + length);
}

static uint64_t place(int image, uint64_t at)
{
	/* Bytes that are nobody's; they may share pages with slices. */
	if (one_in(3))
		at += 1 + chance(2 * PAGE);
	switch (chance(20)) {
	case 0 ... 8:
		return place_single(image, at, true);
	case 9 ... 12:
		return place_single(image, at, false);
	case 13 ... 16:
		return place_neighbours(image, at);
	case 17 ... 18:
		return place_group(image, at);
	default:
		return page_up(at + chance(4 * PAGE));
	}
}

static void join_pool(void)
{
	for (int i = pool_count - 1; i > 0; i--) {
		int other = (int)chance((uint64_t)i + 1);
		struct extent extent = pool[i];

		pool[i] = pool[other];
		pool[other] = extent;
	}
	while (pool_count > 0 && slice_count < SLICES - 2) {
		struct slice *slice = add((int)chance(CLIENTS), !one_in(10));
		int count = 2 + (int)chance(EXTENTS_MAX - 2);

		while (pool_count > 0 && count-- > 0) {
			struct extent *extent = &pool[--pool_count];

			append(slice, extent->image, extent->offset, extent->length);
		}
		if (!slice->writable)
			append(slice, ZEROS, 0, 1 + chance(3 * PAGE));
	}
}

void layout_make(uint64_t seed)
{
	uint64_t end[IMAGES];
	struct slice *tail;

	chance_seed(seed);
	for (int image = 0; image < IMAGES; image++)
		end[image] = chance(PAGE);
	for (int image = 0; slice_count + pool_count / 4 < SLICES - 40;
	     image = (image + 1) % IMAGES)
		end[image] = place(image, end[image]);
	join_pool();
	while (slice_count < SLICES - 2) {
		uint64_t length = some_length();

		append(add((int)chance(CLIENTS), true), ONE, end[ONE] + 7, length);
		end[ONE] = page_up(end[ONE] + 7 + length);
	}
	tail = add(1, false);
	tail->tail = true;
	append(tail, TWO, end[TWO] + 1 + chance(PAGE), PAGE + chance(9 * PAGE));
	end[TWO] = tail->extents[0].offset + tail->size;
	tail = add(0, true);
	tail->tail = tail->resize = true;
	append(tail, ONE, end[ONE] + 1 + chance(PAGE), 5000);
	end[ONE] = tail->extents[0].offset + tail->size;
	end[THREE] += chance(PAGE);
	for (int image = 0; image < IMAGES; image++)
		layout.size[image] = end[image];
}

/* --- files
 * --------------------------------------------------------------------------------------
 */

static int write_table(FILE *out, const char *three)
{
	static const char *const names[] = { "one", "two", "three", "-" };

	fprintf(out, "image one one rw\nimage two two rw\nimage three %s rw\n", three);
	for (int i = 0; i < SLICES; i++) {
		const struct slice *slice = &layout.slices[i];

		for (int e = 0; e < slice->count; e++) {
			const struct extent *extent = &slice->extents[e];

			if (e == 0)
				fprintf(out, "slice %s", slice->name);
			else
				fputs("extent", out);
			fprintf(out, " %s %ju", names[extent->image], (uintmax_t)extent->offset);
			if (slice->tail)
				fputs(" -", out);
			else
				fprintf(out, " %ju", (uintmax_t)extent->length);
			if (e == 0)
				fputs(slice->writable ? " rw" : " ro", out);
			fputs(slice->resize ? ",resize\n" : "\n", out);
		}
	}
	return ferror(out) ? -EIO : 0;
}

/* Noise all over, or here and there in a sparse file. */
static int write_image(const char *path, uint64_t size, bool sparse)
{
	static uint8_t buf[1 << 16];
	int fd = open(path, O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0600);

	if (fd < 0 || ftruncate(fd, (off_t)size))
		return -errno;
	for (uint64_t at = 0; at < size; at += sizeof(buf)) {
		size_t length = size - at < sizeof(buf) ? size - at : sizeof(buf);

		if (sparse && !one_in(4))
			continue;
		chance_fill(buf, length);
		if (pwrite(fd, buf, length, (off_t)at) != (ssize_t)length)
			return -errno;
	}
	return close(fd) ? -errno : 0;
}

int layout_write(const char *folder, const char *three, const char *table)
{
	static const char *const names[] = { "one", "two" };
	char path[4096];
	FILE *out = fopen(table, "we");
	int result;

	if (!out)
		return -errno;
	result = write_table(out, three);
	if (fclose(out) && result == 0)
		result = -errno;
	for (int image = ONE; image <= TWO && result == 0; image++) {
		snprintf(path, sizeof(path), "%s/%s", folder, names[image]);
		result = write_image(path, layout.size[image], false);
	}
	return result < 0 ? result : write_image(three, layout.size[THREE], true);
}
