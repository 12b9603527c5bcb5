/* SPDX-License-Identifier: MIT */
/* FMAP: the flash map in the firmware of Chromebooks and of coreboot. It lies anywhere in the image,
 * and all its numbers are little-endian:
 *
 *   char     signature[8]    "__FMAP__"
 *   uint8_t  major, minor    1.0 or 1.1
 *   uint64_t base            where the flash lies in memory
 *   uint32_t size            of the flash
 *   char     name[32]
 *   uint16_t count           of the areas that follow:
 *     uint32_t offset, size
 *     char     name[32]
 *     uint16_t flags
 *
 * Areas contain one another, as RW_SECTION_A does FW_MAIN_A; each is a file, side by side.
 *
 * The signature alone proves nothing: a program that looks for it contains it, and a file system
 * may hold a firmware image as a file. A map is believed when it is well-formed and at home: the
 * flash is as large as the image, or the map has an area FMAP just where it was found.
 */
#include "detector.h"

#include "load.h"
#include "overflow.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#define SIGNATURE "__FMAP__"
#define SIGNATURE_SIZE 8
#define NAME_SIZE 32
#define HEADER_SIZE 56
#define AREA_SIZE 42

/* Larger images are not searched unasked: no flash chip of a PC is, and it would read all of them. */
#define SEARCH_MAX (64ULL << 20)
/* How many areas are looked at in all, so that a thousand maps that almost hold take no time. */
#define AREAS_MAX (1U << 20)
#define SEARCH_STEP (16ULL << 20)

struct map {
	uint64_t offset; /* of its header */
	uint32_t size;
	uint16_t count;
};

struct area {
	uint32_t offset;
	uint32_t size;
	uint16_t flags;
	char name[NAME_SIZE];
};

/* Printable text that ends within its field. */
static bool name_is_good(const unsigned char *name)
{
	for (size_t i = 0; i < NAME_SIZE; i++) {
		if (name[i] == '\0')
			return true;
		if (!isascii(name[i]) || !isprint(name[i]))
			return false;
	}
	return false;
}

/* The area's bytes are in the image. */
static struct area area_load(const struct bytes *bytes, const struct map *map, size_t index)
{
	const unsigned char *at = bytes->data + map->offset + HEADER_SIZE + index * AREA_SIZE;
	struct area area = {
		.offset = load_le32(at),
		.size = load_le32(at + 4),
		.flags = load_le16(at + 8 + NAME_SIZE),
	};

	memcpy(area.name, at + 8, NAME_SIZE);
	return area;
}

/* Whether all areas are good, and the map is at home; takes what it looks at off *budget. */
static bool areas_are_good(const struct bytes *bytes, const struct map *map, size_t *budget)
{
	bool home = map->size == bytes->size;

	for (size_t i = 0; i < map->count; i++) {
		struct area area;

		if (*budget == 0)
			return false;
		--*budget;
		area = area_load(bytes, map, i);
		if (!name_is_good((const unsigned char *)area.name) || area.offset > map->size ||
		    area.size > map->size - area.offset)
			return false;
		home |= area.offset == map->offset && strcmp(area.name, "FMAP") == 0;
	}
	return home;
}

static bool map_load(const struct bytes *bytes, uint64_t offset, size_t *budget, struct map *ret)
{
	const unsigned char *at = bytes->data + offset;
	struct map map = { .offset = offset };

	if (!bytes_hold(bytes, offset, HEADER_SIZE))
		return false;
	if (at[8] != 1 || at[9] > 1 || !name_is_good(at + 22))
		return false;
	map.size = load_le32(at + 18);
	map.count = load_le16(at + 54);
	if (map.size == 0 || map.count == 0 ||
	    !bytes_hold(bytes, offset + HEADER_SIZE, (uint64_t)map.count * AREA_SIZE) ||
	    !areas_are_good(bytes, &map, budget))
		return false;
	*ret = map;
	return true;
}

/* The first map that is believed. sink, if any, hears of progress. 0; -ENOENT; or what sink says. */
static int map_find(const struct bytes *bytes, struct sink *sink, struct map *ret)
{
	size_t budget = AREAS_MAX;

	for (uint64_t offset = 0; offset < bytes->size; offset += SEARCH_STEP) {
		/* Where a signature may start; its end may lie in the next step. */
		uint64_t end = min_u64(bytes->size, offset + SEARCH_STEP + SIGNATURE_SIZE - 1);
		const unsigned char *at = bytes->data + offset;
		int result = sink ? sink->progress(sink, offset) : 0;

		if (result < 0)
			return result;
		while ((at = memmem(at, bytes->data + end - at, SIGNATURE, SIGNATURE_SIZE))) {
			if (map_load(bytes, at - bytes->data, &budget, ret))
				return 0;
			at++;
		}
	}
	return -ENOENT;
}

static void flags_format(uint16_t flags, char *text, size_t size)
{
	static const char *const names[] = { "static", "compressed", "ro", "preserve" };
	size_t length = 0;

	*text = '\0';
	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
		if (flags & 1U << i)
			length += snprintf(text + length, size - length, "%s%s",
					   length > 0 ? "," : "", names[i]);
}

static int give_area(struct sink *sink, const struct area *area, size_t index)
{
	const struct piece piece = { area->offset, area->size };
	char name[NAME_SIZE];
	char flags[40];
	const struct attribute attribute = { "flags", flags };
	struct member member = {
		.kind = MEMBER_FILE,
		.name = name,
		.format = "fmap",
		.pieces = &piece,
		.piece_count = 1,
		.attributes = &attribute,
	};

	if (*area->name)
		snprintf(name, sizeof(name), "%s", area->name);
	else
		snprintf(name, sizeof(name), "area%zu", index);
	name_flatten(name);
	flags_format(area->flags, flags, sizeof(flags));
	member.attribute_count = *flags != '\0';
	return sink->member(sink, &member);
}

static bool probe(const struct bytes *bytes, const struct detector_options *options)
{
	struct map map;

	return bytes->size <= SEARCH_MAX && map_find(bytes, NULL, &map) == 0;
}

static int detect(const struct bytes *bytes, const struct detector_options *options,
		  struct sink *sink)
{
	uint64_t empty = 0;
	struct map map;
	char text[120];
	int result = map_find(bytes, sink, &map);

	if (result == -ENOENT)
		return sink->note(sink, "no flash map (FMAP) is in these bytes") ?: -EINVAL;
	if (result == 0 && map.size != bytes->size) {
		snprintf(text, sizeof(text),
			 "the flash map is of %" PRIu32 " bytes, the image has %" PRIu64, map.size,
			 bytes->size);
		result = sink->note(sink, text);
	}
	for (size_t i = 0; result == 0 && i < map.count; i++) {
		struct area area = area_load(bytes, &map, i);

		if (area.size == 0)
			empty++;
		else
			result = give_area(sink, &area, i);
	}
	if (result == 0 && empty > 0)
		result = sink->left_out(sink, "empty", empty);
	return result;
}

const struct detector detector_fmap = {
	.name = "fmap",
	.probe = probe,
	.detect = detect,
};
