/* SPDX-License-Identifier: MIT */
/* Where the data of a member lies. */
#include "archive_format.h"

#include "overflow.h"

#include <string.h>

/* In a row, of a member that is not at its end. */
#define EMPTY_BLOCKS_MAX 1000

int archive_open(const struct archive_reading *reading, struct archive **ret)
{
	struct archive *archive = archive_read_new();

	*ret = archive;
	if (!archive)
		return ARCHIVE_FATAL;
	if (reading->format->support(archive) != ARCHIVE_OK)
		return ARCHIVE_FATAL;
	/* The data is not ours to look at. */
	archive_read_set_option(archive, "zip", "ignorecrc32", "1");
	archive_clear_error(archive);
	return archive_read_open_memory(archive, reading->bytes->data, reading->bytes->size);
}

static int add_piece(struct archive_reading *reading, uint64_t offset, uint64_t length)
{
	const struct piece piece = { offset, length };

	if (reading->pieces.count > 0) {
		struct piece *last = &reading->pieces.data[reading->pieces.count - 1];

		if (last->offset != PIECE_ZEROS && last->offset + last->length == offset) {
			last->length += length;
			return 0;
		}
	}
	return vec_push(&reading->pieces, piece);
}

static bool is_inside(const struct bytes *bytes, const void *block, uint64_t length)
{
	uintptr_t first = (uintptr_t)bytes->data;
	uintptr_t address = (uintptr_t)block;

	return address >= first && address - first <= bytes->size &&
	       length <= bytes->size - (address - first);
}

/* Where the block lies in the bytes. When libarchive looks further ahead than the archive goes, it
 * copies what is left, and its blocks are in that copy. This happens to tiny archives only, so there
 * the block is compared with what it should be a copy of.
 */
static bool find_block(const struct archive_reading *reading, const void *block, uint64_t length,
		       uint64_t *ret_start)
{
	const struct bytes *bytes = reading->bytes;
	uint64_t position = (uint64_t)archive_filter_bytes(reading->archive, 0);

	if (is_inside(bytes, block, length)) {
		*ret_start = (uintptr_t)block - (uintptr_t)bytes->data;
		return true;
	}
	if (!reading->format->stored[0] || position > bytes->size ||
	    length > bytes->size - position || memcmp(bytes->data + position, block, length) != 0)
		return false;
	*ret_start = position;
	return true;
}

/* One block of data as libarchive has it; *end is where the file's pieces end so far. */
static int add_block(struct archive_reading *reading, const void *block, uint64_t length,
		     uint64_t offset, uint64_t *end, enum left_out *ret_reason)
{
	uint64_t start;
	int result = 0;

	if (!find_block(reading, block, length, &start)) {
		*ret_reason = LEFT_COMPRESSED;
		return 0;
	}
	if (offset < *end || offset + length > INT64_MAX) {
		*ret_reason = LEFT_MALFORMED;
		return 0;
	}
	if (offset > *end)
		result = add_piece(reading, PIECE_ZEROS, offset - *end);
	if (result == 0)
		result = add_piece(reading, start, length);
	*end = offset + length;
	return result;
}

/* What libarchive's answer to a request for data means. */
static enum left_out reason_of(int result)
{
	if (result == ARCHIVE_FATAL)
		return LEFT_BROKEN;
	return result == ARCHIVE_FAILED ? LEFT_COMPRESSED : LEFT_MALFORMED;
}

static int add_blocks(struct archive_reading *reading, uint64_t *end, enum left_out *ret_reason)
{
	int empty_blocks = 0;

	while (*ret_reason == LEFT_NOTHING) {
		const void *block;
		size_t length;
		la_int64_t offset;
		int result = archive_read_data_block(reading->archive, &block, &length, &offset);

		if (result == ARCHIVE_EOF)
			return 0;
		if (result != ARCHIVE_OK || offset < 0) {
			*ret_reason = reason_of(result);
			/* Nothing may be asked of the archive any more. */
			reading->broken |= result == ARCHIVE_FATAL;
		} else if (length > 0) {
			result = add_block(reading, block, length, (uint64_t)offset, end,
					   ret_reason);
			if (result < 0)
				return result;
		} else if (++empty_blocks > EMPTY_BLOCKS_MAX) {
			*ret_reason = LEFT_MALFORMED;
		}
	}
	return 0;
}

int archive_stop_unpacking(struct archive_reading *reading)
{
	struct archive *archive;
	int result = archive_open(reading, &archive);

	archive_read_free(reading->archive);
	reading->archive = archive;
	reading->all_packed = true;
	if (!archive)
		return -ENOMEM;
	for (uint64_t i = 0; i < reading->entries && result == ARCHIVE_OK; i++)
		if (archive_read_next_header2(archive, reading->entry) < ARCHIVE_WARN)
			result = ARCHIVE_FATAL;
	reading->broken |= result != ARCHIVE_OK;
	return 0;
}

static bool is_stored(const struct archive_reading *reading)
{
	const char *name = archive_format_name(reading->archive);

	if (!reading->format->stored[0])
		return true;
	for (size_t i = 0; i < 2 && reading->format->stored[i]; i++)
		if (name && strstr(name, reading->format->stored[i]))
			return true;
	return false;
}

/* What the header alone says against showing the file. */
static enum left_out refuse_header(const struct archive_reading *reading, int header)
{
	const char *error = archive_error_string(reading->archive);

	if (archive_entry_is_data_encrypted(reading->entry))
		return LEFT_ENCRYPTED;
	/* Nor would there be a size for what it has to unpack first. */
	if (!archive_entry_size_is_set(reading->entry))
		return is_stored(reading) ? LEFT_SIZE : LEFT_COMPRESSED;
	if (archive_entry_size(reading->entry) == 0)
		return LEFT_NOTHING;
	if (reading->all_packed || !is_stored(reading))
		return LEFT_COMPRESSED;
	/* A zip's two headers contradict each other. */
	if (header == ARCHIVE_WARN && error && strncmp(error, "Inconsistent ", 13) == 0)
		return LEFT_MALFORMED;
	return LEFT_NOTHING;
}

int archive_find_pieces(struct archive_reading *reading, int header, enum left_out *ret_reason)
{
	enum left_out reason = refuse_header(reading, header);
	int64_t size = archive_entry_size(reading->entry);
	uint64_t end = 0;
	int result;

	reading->pieces.count = 0;
	*ret_reason = reason;
	if (reason != LEFT_NOTHING || size == 0)
		return 0;
	if (size < 0) {
		*ret_reason = LEFT_MALFORMED;
		return 0;
	}
	result = add_blocks(reading, &end, &reason);
	if (result == 0 && reason == LEFT_NOTHING && end < (uint64_t)size) {
		if (reading->format->holes)
			result = add_piece(reading, PIECE_ZEROS, (uint64_t)size - end);
		else
			reason = LEFT_TRUNCATED;
	}
	if (end > (uint64_t)size)
		reason = LEFT_MALFORMED;
	*ret_reason = reason;
	return result;
}
