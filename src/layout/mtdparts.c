/* SPDX-License-Identifier: MIT */
/* mtdparts: partitions of a flash chip that are written nowhere on it, only on the command line of the
 * kernel that runs from it:
 *
 *   [mtdparts=][ID:]PART[,PART...][;ID:PART...]
 *   PART    SIZE[@OFFSET][(NAME)][ro][lk][slc]     ro: read-only
 *   SIZE    a number as in C, then one of K M G T P E; or '-', all that is left
 *
 * Without an offset a part follows the one before. As in the kernel the ID, which may contain colons,
 * ends at the last one before the first name. The string of a board with several chips says the parts
 * of each; an image is of one of them, and the first is taken.
 */
#include "detector.h"

#include "load.h"
#include "overflow.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>

#define PREFIX "mtdparts="
#define NAME_MAX_LENGTH 255

struct part {
	uint64_t offset;
	uint64_t size;
	bool rest; /* size is what is left */
	char name[NAME_MAX_LENGTH + 1];
	bool read_only;
	char flags[16];
};

/* text up to end is being read; fault says what is wrong where at stopped. */
struct reader {
	const char *text;
	const char *at;
	const char *end;
	const char *fault;
};

static bool take(struct reader *reader, const char *word)
{
	size_t length = strlen(word);

	if ((size_t)(reader->end - reader->at) < length || strncmp(reader->at, word, length) != 0)
		return false;
	reader->at += length;
	return true;
}

/* What is wrong, and where: at is what the message shows. */
static bool fault(struct reader *reader, const char *at, const char *what)
{
	reader->at = at;
	reader->fault = what;
	return false;
}

static unsigned digit_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? 10U + (c - 'a') : UINT8_MAX;
}

/* A number as the kernel's memparse() reads it: 0x for base 16, 0 for base 8; a suffix. */
static bool read_number(struct reader *reader, uint64_t *ret)
{
	static const char suffixes[] = "kmgtpe";
	const char *start = reader->at;
	const char *digits = start;
	const char *suffix;
	unsigned base = 10;
	uint64_t value = 0;

	if (take(reader, "0x") || take(reader, "0X")) {
		base = 16;
		digits = reader->at;
	} else if (reader->at < reader->end && *reader->at == '0') {
		base = 8;
	}
	for (; reader->at < reader->end && digit_value(*reader->at) < base; reader->at++)
		if (multiply_overflows(value, base, &value) ||
		    add_overflows(value, digit_value(*reader->at), &value))
			return fault(reader, start, "this number is too large");
	if (reader->at == digits)
		return fault(reader, start, "a number is missing");
	if (reader->at < reader->end && isalpha((unsigned char)*reader->at) &&
	    (suffix = strchr(suffixes, tolower((unsigned char)*reader->at))) != NULL) {
		if (multiply_overflows(value, 1ULL << (10 * (suffix - suffixes + 1)), &value))
			return fault(reader, start, "this number is too large");
		reader->at++;
	}
	*ret = value;
	return true;
}

/* Behind its '('. */
static bool read_name(struct reader *reader, char *ret)
{
	const char *start = reader->at;
	const char *close = memchr(start, ')', reader->end - start);
	size_t length;

	if (!close)
		return fault(reader, start, "this name has no ')'");
	length = close - start;
	if (length == 0)
		return fault(reader, start, "this name is empty");
	if (length > NAME_MAX_LENGTH)
		return fault(reader, start, "this name is too long");
	memcpy(ret, start, length);
	ret[length] = '\0';
	name_flatten(ret);
	reader->at = close + 1;
	return true;
}

static void read_flags(struct reader *reader, struct part *part)
{
	static const char *const words[] = { "ro", "lk", "slc" };
	size_t length = 0;

	for (size_t i = 0; i < sizeof(words) / sizeof(*words); i++)
		if (take(reader, words[i]))
			length += snprintf(part->flags + length, sizeof(part->flags) - length,
					   "%s%s", length > 0 ? "," : "", words[i]);
	part->read_only = strncmp(part->flags, "ro", 2) == 0;
}

/* One part, which is number index and starts at next if it does not say where. */
static bool read_part(struct reader *reader, size_t index, uint64_t next, struct part *ret)
{
	const char *start = reader->at;
	struct part part = { .offset = next };
	uint64_t end;

	if (take(reader, "-"))
		part.rest = true;
	else if (!read_number(reader, &part.size))
		return false;
	else if (part.size == 0)
		return fault(reader, start, "this part has no size");
	if (take(reader, "@") && !read_number(reader, &part.offset))
		return false;
	if (add_overflows(part.offset, part.size, &end))
		return fault(reader, start, "this part ends too far away");
	snprintf(part.name, sizeof(part.name), "part%zu", index);
	if (take(reader, "(") && !read_name(reader, part.name))
		return false;
	read_flags(reader, &part);
	*ret = part;
	return true;
}

/* Over the ID. */
static void skip_id(struct reader *reader)
{
	const char *name = memchr(reader->at, '(', reader->end - reader->at);
	const char *colon = memrchr(reader->at, ':', (name ?: reader->end) - reader->at);

	if (colon)
		reader->at = colon + 1;
}

static int give_part(struct sink *sink, const struct part *part)
{
	const struct piece piece = { part->offset, part->size };
	const struct attribute flags = { "flags", part->flags };
	const struct member member = {
		.kind = MEMBER_FILE,
		.name = part->name,
		.format = "mtdparts",
		.read_only = part->read_only,
		.pieces = &piece,
		.piece_count = 1,
		.attributes = &flags,
		.attribute_count = *part->flags != '\0',
	};

	return sink->member(sink, &member);
}

/* All parts of the first chip, or those before the first fault. */
static int read_parts(const struct bytes *bytes, struct reader *reader, struct sink *sink)
{
	struct part part;
	uint64_t next = 0;
	size_t index = 0;

	do {
		int result;

		if (!read_part(reader, index++, next, &part))
			return -EINVAL;
		if (part.rest)
			part.size = bytes->size - min_u64(part.offset, bytes->size);
		next = part.offset + part.size;
		result = part.size > 0 ? give_part(sink, &part) : sink->left_out(sink, "empty", 1);
		if (result < 0)
			return result;
	} while (!part.rest && take(reader, ","));
	if (reader->at < reader->end) {
		fault(reader, reader->at,
		      part.rest ? "nothing is left for more parts" : "a ',' is missing");
		return -EINVAL;
	}
	return 0;
}

static int note_fault(struct sink *sink, const struct reader *reader)
{
	char text[160];

	snprintf(text, sizeof(text), "mtdparts, character %td: %s: '%.40s'",
		 reader->at - reader->text + 1, reader->fault, reader->at);
	return sink->note(sink, text);
}

static int detect(const struct bytes *bytes, const struct detector_options *options,
		  struct sink *sink)
{
	struct reader reader = { .text = options->mtdparts };
	int result = 0;

	if (!options->mtdparts)
		return sink->note(sink, "no parts are given: mtdparts=STRING") ?: -EINVAL;
	reader.at = reader.text;
	reader.end = strchrnul(reader.text, ';');
	take(&reader, PREFIX);
	skip_id(&reader);
	if (*reader.end == ';')
		result = sink->note(sink, "the parts of several flash chips are given; these are "
					  "the first one's");
	if (result == 0)
		result = read_parts(bytes, &reader, sink);
	if (reader.fault)
		result = note_fault(sink, &reader) ?: result;
	return result;
}

const struct detector detector_mtdparts = {
	.name = "mtdparts",
	.detect = detect,
};
