/* SPDX-License-Identifier: MIT */
#include "members.h"

#include <inttypes.h>
#include <string.h>

struct listing {
	struct sink sink;
	FILE *out;
	uint64_t size;
	bool attributes;
};

static void write_attributes(struct listing *listing, const struct member *member)
{
	FILE *out = listing->out;

	fprintf(out, " [%s", member->format);
	if (member->read_only)
		fputs(" ro", out);
	if (member->has_mode)
		fprintf(out, " mode=%04o", (unsigned)member->mode);
	if (member->has_uid)
		fprintf(out, " uid=%u", (unsigned)member->uid);
	if (member->has_gid)
		fprintf(out, " gid=%u", (unsigned)member->gid);
	if (member->has_mtime)
		fprintf(out, " mtime=%" PRId64 ".%09ld", (int64_t)member->mtime.tv_sec,
			member->mtime.tv_nsec);
	for (size_t i = 0; i < member->attribute_count; i++)
		fprintf(out, " %s=%s", member->attributes[i].key, member->attributes[i].value);
	fputs("]", out);
}

static void check_attributes(const struct member *member)
{
	static const char allowed[] = "abcdefghijklmnopqrstuvwxyz0123456789_-.";

	assert_non_null(member->format);
	for (size_t i = 0; i < member->attribute_count; i++) {
		const struct attribute *attribute = &member->attributes[i];

		assert_in_range(strlen(attribute->key), 1, ATTRIBUTE_KEY_MAX);
		assert_int_equal(strspn(attribute->key, allowed), strlen(attribute->key));
		assert_in_range(strlen(attribute->value), 0, ATTRIBUTE_VALUE_MAX);
	}
}

static int list_member(struct sink *sink, const struct member *member)
{
	static const char *const kinds[] = { "file", "directory", "symlink", "link" };
	struct listing *listing = (struct listing *)sink;

	check_attributes(member);
	fprintf(listing->out, "%s %s", kinds[member->kind], member->name);
	if (member->kind == MEMBER_SYMLINK || member->kind == MEMBER_LINK)
		fprintf(listing->out, " -> %s", member->target);
	for (size_t i = 0; i < member->piece_count; i++) {
		const struct piece *piece = &member->pieces[i];

		assert_int_not_equal(piece->length, 0);
		if (piece->offset == PIECE_ZEROS) {
			fprintf(listing->out, " zeros+%" PRIu64, piece->length);
			continue;
		}
		fprintf(listing->out, " %" PRIu64 "+%" PRIu64, piece->offset, piece->length);
	}
	if (listing->attributes)
		write_attributes(listing, member);
	putc('\n', listing->out);
	return 0;
}

static int list_left_out(struct sink *sink, const char *reason, uint64_t count)
{
	fprintf(((struct listing *)sink)->out, "left out %" PRIu64 " %s\n", count, reason);
	return 0;
}

static int list_note(struct sink *sink, const char *text)
{
	fprintf(((struct listing *)sink)->out, "note %s\n", text);
	return 0;
}

static int check_progress(struct sink *sink, uint64_t offset)
{
	assert_in_range(offset, 0, ((struct listing *)sink)->size);
	return 0;
}

struct members members_of(const struct detector *detector, const void *data, size_t size,
			  const struct detector_options *options, bool attributes)
{
	const struct detector_options none = { 0 };
	const struct bytes bytes = { data, size };
	struct members members = { 0 };
	size_t length;
	struct listing listing = {
		.sink = { list_member, list_left_out, list_note, check_progress },
		.out = open_memstream(&members.text, &length),
		.size = size,
		.attributes = attributes,
	};

	assert_non_null(listing.out);
	if (detector->probe)
		assert_true(detector->probe(&bytes, options ?: &none));
	members.result = detector->detect(&bytes, options ?: &none, &listing.sink);
	assert_int_equal(fclose(listing.out), 0);
	return members;
}

void members_clear(struct members *members)
{
	free(members->text);
	*members = (struct members){ 0 };
}

void assert_members(const struct detector *detector, const void *data, size_t size,
		    const struct detector_options *options, const char *wanted)
{
	struct members members = members_of(detector, data, size, options, false);

	assert_result(members.result, 0);
	assert_string_equal(members.text, wanted);
	members_clear(&members);
}

void assert_not_for(const struct detector *detector, const void *data, size_t size)
{
	const struct detector_options none = { 0 };
	const struct bytes bytes = { data, size };

	assert_false(detector->probe(&bytes, &none));
}
