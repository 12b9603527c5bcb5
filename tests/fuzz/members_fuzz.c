/* SPDX-License-Identifier: MIT */
/* What may come out of the sandbox: records, or what pretends to be some. Whatever it is, it ends in an
 * error or in a tree of slices that lie inside of the source.
 *
 * The first byte chooses the source, and whether the rest are the bytes of the stream or what records
 * are made of.
 */
#include "fuzz.h"

#include "images.h"
#include "mmapfs/layout.h"
#include "receive.h"
#include "report.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof(*(array)))

/* --- records made of bytes ---------------------------------------------------------------------- */

struct input {
	const uint8_t *at;
	size_t left;
};

static uint8_t take(struct input *input)
{
	if (input->left == 0)
		return 0;
	input->left--;
	return *input->at++;
}

/* Small numbers, those around the ends of things, and any. */
static uint64_t take_number(struct input *input)
{
	static const uint64_t edges[] = { 0,     1,       4095,      4096,       8000,
					  12000, 1 << 20, INT64_MAX, UINT64_MAX, 1ULL << 62 };
	uint64_t number = 0;
	uint8_t how = take(input);

	if (how < 128)
		return how * 100;
	if (how < 192)
		return edges[how % COUNT(edges)] + take(input) % 3 - 1;
	for (int i = 0; i < 8; i++)
		number = number << 8 | take(input);
	return number;
}

static void take_text(struct input *input, char *text, size_t size)
{
	static const char *const parts[] = {
		"a", "b", "a~2", "..", ".", "/", "/", ".mmapfs", "x.d"
	};
	size_t count = take(input) % 8;

	*text = '\0';
	while (count-- > 0) {
		uint8_t which = take(input);
		const char any[2] = { (char)(which ?: 1), '\0' };
		const char *part = which < 200 ? parts[which % COUNT(parts)] : any;

		if (strlen(text) + strlen(part) + 1 < size)
			strcat(text, part);
	}
}

static void write_member(struct input *input, FILE *out)
{
	struct piece pieces[4];
	char name[64];
	char target[64];
	char value[64];
	const struct attribute attribute = { "key", value };
	struct record record = {
		.type = RECORD_MEMBER,
		.number = take(input) % 3 == 0 ? take(input) % 8 : 0,
		.member = {
			.kind = take(input) % (MEMBER_LINK + 1),
			.name = name,
			.format = "tar",
			.pieces = pieces,
			.attributes = &attribute,
		},
	};
	struct member *member = &record.member;
	uint8_t flags = take(input);

	take_text(input, name, sizeof(name));
	take_text(input, target, sizeof(target));
	take_text(input, value, sizeof(value));
	if (member->kind == MEMBER_LINK || member->kind == MEMBER_SYMLINK)
		member->target = target;
	member->read_only = flags & 1;
	member->has_mode = flags & 2;
	member->has_uid = flags & 4;
	member->has_mtime = flags & 8;
	member->attribute_count = flags >> 4 & 1;
	member->mode = take_number(input);
	member->uid = take_number(input);
	member->mtime.tv_sec = take_number(input);
	member->mtime.tv_nsec = take_number(input) % 1000000000;
	for (size_t i = member->kind == MEMBER_FILE ? take(input) % 4 : 0; i-- > 0;)
		pieces[member->piece_count++] =
			(struct piece){ take_number(input), take_number(input) ?: 1 };
	(void)record_write(&record, out);
}

static void write_records(struct input *input, FILE *out)
{
	while (input->left > 0) {
		uint8_t which = take(input);
		char text[64] = "";
		struct record record = { .type = which % 4, .text = text };

		if (which % 8 >= 4 || record.type == RECORD_MEMBER) {
			write_member(input, out);
			continue;
		}
		take_text(input, text, sizeof(text));
		record.number = take_number(input);
		(void)record_write(&record, out);
	}
	(void)record_write(&(struct record){ .type = RECORD_END }, out);
}

/* --- sources ------------------------------------------------------------------------------------ */

static struct source_range all_ranges[][3] = {
	{ { (char *)"disk", -1, 0, 0, 1 << 20, true } },
	{ { (char *)"disk", -1, 0, 1000, 5000, false } },
	{ { (char *)"disk", -1, 0, 700000, 3000, false },
	  { (char *)"odd", -1, 3000, 7, 4090, true },
	  { NULL, -1, 7090, 0, 910, false } },
	{ { (char *)"odd", -1, 0, 100, 900, false },
	  { (char *)"disk", -1, 900, 4096, (1 << 20) - 4096, true } },
};

static struct source make_source(uint8_t which)
{
	struct source_range *ranges = all_ranges[which % COUNT(all_ranges)];
	struct source source = { 0 };

	for (size_t i = 0; i < COUNT(all_ranges[0]) && ranges[i].length > 0; i++) {
		source.ranges.data = ranges;
		source.ranges.count++;
		source.size += ranges[i].length;
	}
	return source;
}

/* Whether the source has these bytes of an image, or what lies past that image's end. */
static bool has_range(const struct source *source, const char *image, uint64_t offset,
		      uint64_t length)
{
	for (size_t i = 0; i < source->ranges.count; i++) {
		const struct source_range *range = &source->ranges.data[i];
		bool last = i + 1 == source->ranges.count;

		if (range->image && strcmp(range->image, image) == 0 && offset >= range->offset &&
		    ((last && range->to_end) || (offset <= range->offset + range->length &&
						 length <= range->offset + range->length - offset)))
			return true;
	}
	return false;
}

static void check_inside(const struct tree *tree, const struct source *source)
{
	for (size_t i = 0; i < tree_item_count(tree); i++) {
		struct tree_item item = tree_item_at(tree, i);

		check(strncmp(item.name, "d/", 2) == 0);
		for (uint32_t j = 0; item.kind == TREE_SLICE && j < item.slice->extent_count; j++) {
			const struct extent *extent = &item.slice->extents[j];
			const char *image;

			check(extent->length != EXTENT_TAIL);
			if (!extent->image)
				continue;
			image = tree_image_at(tree, tree_image_index(tree, extent->image)).name;
			check(has_range(source, image, extent->offset, extent->length));
		}
	}
}

static void build(struct tree_builder *builder, const struct source *source, struct error *error)
{
	const struct tree_defaults defaults = { .lenient = true };
	struct tree *tree = NULL;
	int result = tree_build(builder, &defaults, true, error, &tree);

	check_messages(result, error);
	if (result < 0)
		return;
	check_tree(tree);
	check_inside(tree, source);
	tree_free(tree);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input input = { data + 1, size - 1 };
	struct source source;
	struct layout_report report = { 0 };
	const struct layout_settings settings = { .report = &report };
	struct error error = ERROR_INIT;
	struct tree_builder *builder;
	struct receiver receiver;
	char *stream = NULL;
	size_t length = 0;
	FILE *out;
	int detected = 0;
	int result;

	if (size < 2)
		return 0;
	source = make_source(data[0] >> 1);
	out = open_memstream(&stream, &length);
	check(out);
	if (data[0] & 1)
		fwrite(input.at, 1, input.left, out);
	else
		write_records(&input, out);
	fclose(out);
	builder = tree_builder_new(NULL);
	check(builder);
	*tree_builder_limits(builder) = (struct tree_limits){
		.images = 12,
		.nodes = 3000,
		.extents = 3000,
		.names = 1 << 20,
		.errors = 100,
	};
	check(tree_builder_image(builder, "disk", IMAGES_FOLDER "/disk", IMAGE_ACCESS_AUTO,
				 &error) == 0);
	check(tree_builder_image(builder, "odd", IMAGES_FOLDER "/odd", IMAGE_ACCESS_AUTO, &error) ==
	      0);
	receiver = (struct receiver){
		.builder = builder,
		.source = &source,
		.source_name = "source",
		.settings = &settings,
		.error = &error,
		.names = { .directory = "d" },
	};
	check(report_begin(&report, "source", "d", &receiver.finding) == 0);
	receiver.reader.in = fmemopen(stream, length + !length, "r");
	check(receiver.reader.in);
	result = receive_members(&receiver, &detected);
	check(detected <= 0);
	check(result == 0 || result == -EPIPE || result == -EBADMSG || result == -E2BIG ||
	      result == -EINVAL);
	if (result == 0)
		build(builder, &source, &error);
	fclose(receiver.reader.in);
	receiver_clear(&receiver);
	tree_builder_free(builder);
	layout_report_clear(&report);
	error_clear(&error);
	free(stream);
	return 0;
}
