/* SPDX-License-Identifier: MIT */
/* From records to slices of the images: the half that trusts nothing of what a detector says. */
#include "receive.h"

#include "cleanup.h"
#include "overflow.h"
#include "report.h"
#include "size.h"

#include <string.h>

/* Of a member. Its line in a table has to hold them. */
#define ATTRIBUTES_MAX 16

/* Index of the last range that starts at or before offset. */
static size_t find_range(const struct source *source, uint64_t offset)
{
	size_t low = 0;
	size_t high = source->ranges.count;

	while (high - low > 1) {
		size_t middle = low + (high - low) / 2;

		if (source->ranges.data[middle].start <= offset)
			low = middle;
		else
			high = middle;
	}
	return low;
}

static int add_extent(struct receiver *receiver, const struct source_range *range, uint64_t offset,
		      uint64_t length)
{
	return tree_builder_extent(receiver->builder, range->image,
				   range->image ? range->offset + (offset - range->start) : 0,
				   length, receiver->error);
}

/* How much of a file has found its place. */
struct placing {
	size_t extents;
	bool cut; /* some of it lies past the end of the source, which is not that of an image */
};

/* One piece as extents of the images. What lies past the end of the source lies past the end of its
 * last image; where the source ends before that, it is cut: what comes there belongs to others.
 */
static int add_piece(struct receiver *receiver, const struct piece *piece, struct placing *placing)
{
	const struct source *source = receiver->source;
	uint64_t offset = piece->offset;
	uint64_t left = piece->length;

	if (offset == PIECE_ZEROS) {
		placing->extents++;
		return tree_builder_extent(receiver->builder, NULL, 0, left, receiver->error);
	}
	for (size_t i = find_range(source, offset); i < source->ranges.count && left > 0; i++) {
		const struct source_range *range = &source->ranges.data[i];
		bool last = i + 1 == source->ranges.count;
		uint64_t within = range->start + range->length -
				  min_u64(offset, range->start + range->length);
		uint64_t length = last && range->to_end ? left : min_u64(left, within);
		int result;

		if (length == 0)
			continue;
		result = add_extent(receiver, range, offset, length);
		if (result < 0)
			return result;
		placing->extents++;
		offset += length;
		left -= length;
	}
	placing->cut |= left > 0;
	return 0;
}

/* The sum of the pieces, none of which may be absurd. -EBADMSG where one is. */
static int check_pieces(const struct member *member)
{
	uint64_t total = 0;
	uint64_t end;

	for (size_t i = 0; i < member->piece_count; i++) {
		const struct piece *piece = &member->pieces[i];

		if (add_overflows(total, piece->length, &total) || total > SIZE_LIMIT)
			return -EBADMSG;
		if (piece->offset != PIECE_ZEROS &&
		    (add_overflows(piece->offset, piece->length, &end) || end > SIZE_LIMIT / 2))
			return -EBADMSG;
	}
	return 0;
}

static int add_file(struct receiver *receiver, const struct member *member, const char *name,
		    const struct slice_options *options)
{
	struct placing placing = { 0 };
	int result = tree_builder_slice(receiver->builder, name, options, receiver->error);

	for (size_t i = 0; result == 0 && i < member->piece_count; i++)
		result = add_piece(receiver, &member->pieces[i], &placing);
	if (result == 0 && placing.extents == 0)
		result = tree_builder_extent(receiver->builder, NULL, 0, 0, receiver->error);
	if (result == 0 && placing.cut)
		result = tree_builder_attribute(receiver->builder, "cut", "yes", receiver->error);
	receiver->finding->members++;
	return result;
}

static int add_attributes(struct receiver *receiver, const struct member *member)
{
	int result = tree_builder_attribute(receiver->builder, "layout", member->format,
					    receiver->error);

	for (size_t i = 0; result == 0 && i < min_u64(member->attribute_count, ATTRIBUTES_MAX); i++)
		result = tree_builder_attribute(receiver->builder, member->attributes[i].key,
						member->attributes[i].value, receiver->error);
	return result;
}

static int add_link(struct receiver *receiver, const struct member *member)
{
	const char *name;
	const char *target;
	int result =
		member_names_link(&receiver->names, member->name, member->target, &name, &target);

	if (result == -ENOENT)
		return report_left_out(receiver->finding, "links to nothing", 1);
	return result ?: tree_builder_link(receiver->builder, name, target, receiver->error);
}

static int add_named(struct receiver *receiver, const struct member *member, const char *name)
{
	struct slice_options options = {
		.access = member->read_only || receiver->source->read_only ? IMAGE_ACCESS_RO
									   : IMAGE_ACCESS_AUTO,
		.found = true,
		.has_mode = member->has_mode,
		.has_uid = member->has_uid && member->uid != (uid_t)-1,
		.has_gid = member->has_gid && member->gid != (gid_t)-1,
		.has_mtime = member->has_mtime,
		.mode = member->mode & 0777,
		.uid = member->uid,
		.gid = member->gid,
		.mtime = member->mtime,
	};
	size_t length;

	switch (member->kind) {
	case MEMBER_FILE:
		return add_file(receiver, member, name, &options)
			       ?: add_attributes(receiver, member);
	case MEMBER_DIRECTORY:
		options.access = IMAGE_ACCESS_AUTO;
		return tree_builder_directory(receiver->builder, name, &options, receiver->error);
	default:
		length = strlen(member->target);
		if (length == 0 || length > TREE_PATH_MAX)
			return report_left_out(receiver->finding, "symlinks without a target", 1);
		options.access = IMAGE_ACCESS_AUTO;
		options.has_mode = false;
		return tree_builder_symlink(receiver->builder, name, member->target, &options,
					    receiver->error);
	}
}

/* *ret_file is the name of a file that others may be found in. */
static int add_member(struct receiver *receiver, const struct member *member, const char **ret_file)
{
	static const enum name_kind kinds[] = {
		[MEMBER_FILE] = NAME_FILE,
		[MEMBER_DIRECTORY] = NAME_DIRECTORY,
		[MEMBER_SYMLINK] = NAME_OTHER,
	};
	const char *name;
	int result = report_format(receiver->finding, member->format);

	if (result == 0 && check_pieces(member) < 0)
		return report_left_out(receiver->finding, "malformed", 1);
	if (result == 0 && member->kind == MEMBER_LINK) {
		result = add_link(receiver, member);
	} else if (result == 0) {
		result = member_names_make(&receiver->names, member->name, kinds[member->kind],
					   &name);
		if (result == -EEXIST) /* once is enough for a directory */
			return 0;
		result = result ?: add_named(receiver, member, name);
		if (result == 0 && member->kind == MEMBER_FILE)
			*ret_file = name;
	}
	if (result == -E2BIG && receiver->names.bytes > MEMBER_NAMES_MAX)
		error_add(receiver->error, NULL, "layout of '%s': more than %lu bytes of names",
			  receiver->source_name, MEMBER_NAMES_MAX);
	return result == -ENAMETOOLONG ? report_left_out(receiver->finding, "name too long", 1)
				       : result;
}

/* A member, of the image itself (level 0) or of a file that was found before it. */
static int take_member(struct receiver *receiver, const struct member *member, int64_t level)
{
	const char *holder = "";

	if (level < 0 || level > LAYOUT_DEPTH_MAX)
		return -EBADMSG;
	if (level > 0)
		holder = receiver->holders[level - 1];
	for (size_t i = level; i <= LAYOUT_DEPTH_MAX; i++)
		receiver->holders[i] = NULL;
	if (!holder)
		return report_left_out(receiver->finding, "inside of what is left out", 1);
	return member_names_enter(&receiver->names, holder)
		       ?: add_member(receiver, member, &receiver->holders[level]);
}

static int show_progress(struct receiver *receiver, int64_t offset)
{
	const struct layout_settings *settings = receiver->settings;

	if (!settings->progress)
		return 0;
	return settings->progress(settings->context, receiver->source_name,
				  min_u64(offset, receiver->source->size), receiver->source->size,
				  receiver->finding->members)
		       ? -EINTR
		       : 0;
}

/* 1: there is more; 0: that was the end, and *ret_result is the detector's; or negative errno. */
static int take_record(struct receiver *receiver, int *ret_result)
{
	struct record record;
	int result = record_read(&receiver->reader, &record);

	if (result <= 0)
		return result < 0 ? result : -EPIPE;
	switch (record.type) {
	case RECORD_MEMBER:
		result = take_member(receiver, &record.member, record.number);
		break;
	case RECORD_LEFT_OUT:
		result = report_left_out(receiver->finding, record.text, record.number);
		break;
	case RECORD_NOTE:
		result = report_note(receiver->finding, record.text);
		break;
	case RECORD_PROGRESS:
		result = show_progress(receiver, record.number);
		break;
	case RECORD_END:
		*ret_result = record.number < 0 && record.number > -4096 ? (int)record.number : 0;
		/* Each member says it better, but there may be none. */
		return *record.text ? report_format(receiver->finding, record.text) : 0;
	}
	return result < 0 ? result : 1;
}

int receive_members(struct receiver *receiver, int *ret_result)
{
	int result;

	do
		result = take_record(receiver, ret_result);
	while (result > 0);
	return result;
}

void receiver_clear(struct receiver *receiver)
{
	member_names_clear(&receiver->names);
	record_reader_clear(&receiver->reader);
}
