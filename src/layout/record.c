/* SPDX-License-Identifier: MIT */
/* Records: a head of fixed size, then the texts with their NULs, then the pieces. */
#include "record.h"

#include <errno.h>
#include <string.h>

enum text_place {
	TEXT_NAME, /* of a member; else the record's text */
	TEXT_TARGET,
	TEXT_FORMAT,
	TEXT_ATTRIBUTES, /* key, NUL, value, NUL, and so on */
	TEXT_COUNT,
};

enum head_flags {
	HEAD_READ_ONLY = 1 << 0,
	HEAD_MODE = 1 << 1,
	HEAD_UID = 1 << 2,
	HEAD_GID = 1 << 3,
	HEAD_MTIME = 1 << 4,
};

struct head {
	uint32_t type;
	uint32_t kind;
	uint32_t flags;
	uint32_t mode;
	uint32_t uid;
	uint32_t gid;
	int64_t seconds;
	int64_t nanoseconds;
	int64_t number;
	uint32_t lengths[TEXT_COUNT]; /* with the NUL; 0: no such text */
	uint64_t pieces;
};

#define NSEC_PER_SEC 1000000000

/* Of all of a member's attributes. */
#define ATTRIBUTES_MAX (1U << 20)

static uint32_t text_length(const char *text)
{
	return text ? strnlen(text, RECORD_TEXT_MAX + 1) + 1 : 0;
}

static uint32_t flags_of(const struct member *member)
{
	return (member->read_only ? HEAD_READ_ONLY : 0) | (member->has_mode ? HEAD_MODE : 0) |
	       (member->has_uid ? HEAD_UID : 0) | (member->has_gid ? HEAD_GID : 0) |
	       (member->has_mtime ? HEAD_MTIME : 0);
}

static void write_text(const char *text, FILE *out)
{
	if (text)
		fwrite(text, strlen(text) + 1, 1, out);
}

int record_write(const struct record *record, FILE *out)
{
	const struct member *member = &record->member;
	const char *name = record->type == RECORD_MEMBER ? member->name : record->text;
	struct head head = {
		.type = record->type,
		.kind = member->kind,
		.flags = flags_of(member),
		.mode = member->mode,
		.uid = member->uid,
		.gid = member->gid,
		.seconds = member->mtime.tv_sec,
		.nanoseconds = member->mtime.tv_nsec,
		.number = record->number,
		.lengths = { text_length(name), text_length(member->target),
			     text_length(member->format), 0 },
		.pieces = member->piece_count,
	};

	for (size_t i = 0; i < member->attribute_count; i++)
		head.lengths[TEXT_ATTRIBUTES] += text_length(member->attributes[i].key) +
						 text_length(member->attributes[i].value);
	for (size_t i = 0; i < TEXT_ATTRIBUTES; i++)
		if (head.lengths[i] > RECORD_TEXT_MAX + 1)
			return -ENAMETOOLONG;
	if (head.lengths[TEXT_ATTRIBUTES] > ATTRIBUTES_MAX || head.pieces > RECORD_PIECES_MAX)
		return -ENAMETOOLONG;
	fwrite(&head, sizeof(head), 1, out);
	write_text(name, out);
	write_text(member->target, out);
	write_text(member->format, out);
	for (size_t i = 0; i < member->attribute_count; i++) {
		write_text(member->attributes[i].key, out);
		write_text(member->attributes[i].value, out);
	}
	if (member->piece_count > 0)
		fwrite(member->pieces, sizeof(*member->pieces), member->piece_count, out);
	return ferror(out) ? -EIO : 0;
}

/* The head is one of ours, as far as it goes alone. */
static bool is_sound(const struct head *head)
{
	for (size_t i = 0; i < TEXT_ATTRIBUTES; i++)
		if (head->lengths[i] > RECORD_TEXT_MAX + 1)
			return false;
	if (head->type != RECORD_MEMBER)
		return head->type <= RECORD_END && head->pieces == 0 &&
		       head->lengths[TEXT_ATTRIBUTES] == 0;
	return head->kind <= MEMBER_LINK && head->lengths[TEXT_NAME] > 0 &&
	       head->lengths[TEXT_FORMAT] > 0 && head->lengths[TEXT_ATTRIBUTES] <= ATTRIBUTES_MAX &&
	       head->nanoseconds >= 0 && head->nanoseconds < NSEC_PER_SEC &&
	       head->pieces <= RECORD_PIECES_MAX && (head->kind == MEMBER_FILE || !head->pieces) &&
	       (head->lengths[TEXT_TARGET] > 0) ==
		       (head->kind == MEMBER_SYMLINK || head->kind == MEMBER_LINK);
}

static int read_exactly(struct record_reader *reader, void *buf, size_t size)
{
	return fread(buf, 1, size, reader->in) == size ? 0 : -EBADMSG;
}

static int read_texts(struct record_reader *reader, const struct head *head,
		      const char *ret[TEXT_COUNT])
{
	size_t size = 0;
	const char *text;
	int result;

	for (size_t i = 0; i < TEXT_COUNT; i++)
		size += head->lengths[i];
	reader->text.count = 0;
	result = vec_reserve(&reader->text, size + 1)
			 ?: read_exactly(reader, reader->text.data, size);
	if (result < 0)
		return result;
	text = reader->text.data;
	for (size_t i = 0; i < TEXT_COUNT; i++) {
		ret[i] = head->lengths[i] ? text : NULL;
		if (i < TEXT_ATTRIBUTES && ret[i] &&
		    strnlen(text, head->lengths[i]) + 1 != head->lengths[i])
			return -EBADMSG;
		text += head->lengths[i];
	}
	return 0;
}

static int split_attributes(struct record_reader *reader, const char *text, size_t size)
{
	const char *end;

	reader->attributes.count = 0;
	if (!text)
		return 0;
	end = text + size;
	while (text < end) {
		struct attribute attribute = { .key = text };
		size_t left = end - text;
		size_t length = strnlen(text, left);
		int result;

		if (length + 1 >= left || length > ATTRIBUTE_KEY_MAX)
			return -EBADMSG;
		text += length + 1;
		left -= length + 1;
		attribute.value = text;
		length = strnlen(text, left);
		if (length == left || length > ATTRIBUTE_VALUE_MAX)
			return -EBADMSG;
		text += length + 1;
		result = vec_push(&reader->attributes, attribute);
		if (result < 0)
			return result;
	}
	return 0;
}

/* A few at a time, so that no more memory is taken than there are pieces. */
static int read_pieces(struct record_reader *reader, uint64_t count)
{
	reader->pieces.count = 0;
	while (reader->pieces.count < count) {
		size_t more = count - reader->pieces.count < 1024 ? count - reader->pieces.count
								  : 1024;
		struct piece *at;
		int result = vec_reserve(&reader->pieces, more);

		if (result < 0)
			return result;
		at = reader->pieces.data + reader->pieces.count;
		result = read_exactly(reader, at, more * sizeof(*at));
		if (result < 0)
			return result;
		for (size_t i = 0; i < more; i++)
			if (at[i].length == 0)
				return -EBADMSG;
		reader->pieces.count += more;
	}
	return 0;
}

int record_read(struct record_reader *reader, struct record *ret)
{
	const char *texts[TEXT_COUNT];
	struct head head;
	size_t got = fread(&head, 1, sizeof(head), reader->in);
	int result;

	if (got == 0)
		return 0;
	if (got != sizeof(head) || !is_sound(&head))
		return -EBADMSG;
	result = read_texts(reader, &head, texts)
			 ?: split_attributes(reader, texts[TEXT_ATTRIBUTES],
					     head.lengths[TEXT_ATTRIBUTES])
			 ?: read_pieces(reader, head.pieces);
	if (result < 0)
		return result;
	*ret = (struct record){
		.type = head.type,
		.number = head.number,
		.text = texts[TEXT_NAME] ?: "",
		.member = {
			.kind = head.kind,
			.name = texts[TEXT_NAME],
			.target = texts[TEXT_TARGET],
			.format = texts[TEXT_FORMAT],
			.read_only = head.flags & HEAD_READ_ONLY,
			.has_mode = head.flags & HEAD_MODE,
			.has_uid = head.flags & HEAD_UID,
			.has_gid = head.flags & HEAD_GID,
			.has_mtime = head.flags & HEAD_MTIME,
			.mode = head.mode,
			.uid = head.uid,
			.gid = head.gid,
			.mtime = { .tv_sec = head.seconds, .tv_nsec = head.nanoseconds },
			.pieces = reader->pieces.data,
			.piece_count = reader->pieces.count,
			.attributes = reader->attributes.data,
			.attribute_count = reader->attributes.count,
		},
	};
	return 1;
}

void record_reader_clear(struct record_reader *reader)
{
	free(reader->text.data);
	free(reader->pieces.data);
	free(reader->attributes.data);
	*reader = (struct record_reader){ 0 };
}
