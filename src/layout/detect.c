/* SPDX-License-Identifier: MIT */
/* From bytes to records.
 *
 * With a depth, each file that is found in one piece is looked at as soon as it has been written
 * down, and what is in it goes below its name with ".d" behind it. All of it happens in the one
 * process: what lies inside of a member lies inside of the bytes.
 */
#include "detect.h"

#include "cleanup.h"
#include "overflow.h"
#include "record.h"

#include <stdbool.h>
#include <string.h>
#include <time.h>

/* Behind the name of a member: the directory of what is in it. */
#define NESTED_SUFFIX ".d/"

/* Two reports of progress are at least so far apart. */
#define PROGRESS_NS 100000000LL

/* Smaller files have no members that anyone would look for. */
#define NESTED_MIN 64

struct writing {
	struct sink sink;
	const struct detection *detection;
	const struct bytes *bytes; /* what the detector sees */
	FILE *out;
	const char *prefix; /* of all notes, "" or "a.tar.d/" */
	uint64_t offset;    /* of the bytes in the outermost ones */
	unsigned depth;     /* levels left */
	unsigned level;     /* and those above this one */
	bool read_only;     /* so are all members */
	int64_t *last_progress;
	const struct detector *detector; /* that was chosen, or NULL */
};

static int detect_one(struct writing *writing, const struct detector *forced);

static int put(FILE *out, enum record_type type, const char *text, int64_t number)
{
	const struct record record = { .type = type, .text = text, .number = number };

	return record_write(&record, out);
}

static int put_left_out(struct sink *sink, const char *reason, uint64_t count)
{
	return put(((struct writing *)sink)->out, RECORD_LEFT_OUT, reason,
		   min_u64(count, INT64_MAX));
}

static int put_note(struct sink *sink, const char *text)
{
	struct writing *writing = (struct writing *)sink;
	_cleanup_(cleanup_free) char *whole = NULL;

	if (!*writing->prefix)
		return put(writing->out, RECORD_NOTE, text, 0);
	if (asprintf(&whole, "%s: %s", writing->prefix, text) < 0) {
		whole = NULL;
		return -ENOMEM;
	}
	return put(writing->out, RECORD_NOTE, whole, 0);
}

static int put_progress(struct sink *sink, uint64_t offset)
{
	struct writing *writing = (struct writing *)sink;
	struct timespec time;
	int64_t now;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &time);
	now = time.tv_sec * 1000000000LL + time.tv_nsec;
	if (now - *writing->last_progress < PROGRESS_NS)
		return 0;
	*writing->last_progress = now;
	put(writing->out, RECORD_PROGRESS, NULL, min_u64(writing->offset + offset, INT64_MAX));
	return fflush(writing->out) == 0 ? 0 : -EIO;
}

/* Look into a file that has been found. What it is not is no error. */
static int descend(struct writing *writing, const struct member *member, const char *name)
{
	const struct piece *piece = member->pieces;
	_cleanup_(cleanup_free) char *prefix = NULL;
	struct writing nested = *writing;
	struct bytes bytes;
	uint64_t end;
	int result;

	if (writing->depth == 0 || member->piece_count != 1 || piece->offset == PIECE_ZEROS ||
	    piece->length < NESTED_MIN || add_overflows(piece->offset, piece->length, &end) ||
	    end > writing->bytes->size)
		return 0;
	/* A member that is all of it has it all inside again. */
	if (piece->length == writing->bytes->size)
		return 0;
	if (asprintf(&prefix, "%s" NESTED_SUFFIX, name) < 0) {
		prefix = NULL;
		return -ENOMEM;
	}
	bytes = (struct bytes){ writing->bytes->data + piece->offset, piece->length };
	nested.bytes = &bytes;
	nested.prefix = prefix;
	nested.offset += piece->offset;
	nested.depth--;
	nested.level++;
	nested.read_only |= member->read_only;
	result = detect_one(&nested, NULL);
	return result == -ENOENT || result == -EINVAL ? 0 : result;
}

/* Offsets of the detector's bytes become those of the outermost ones. The caller's to free. */
static struct piece *moved_pieces(const struct writing *writing, const struct member *member)
{
	struct piece *pieces = calloc(member->piece_count + 1, sizeof(*pieces));

	for (size_t i = 0; pieces && i < member->piece_count; i++) {
		pieces[i] = member->pieces[i];
		if (pieces[i].offset != PIECE_ZEROS &&
		    add_overflows(pieces[i].offset, writing->offset, &pieces[i].offset))
			pieces[i].offset = INT64_MAX;
	}
	return pieces;
}

/* What lies in a member ends with it, else a slice would show what is its neighbour's. */
static bool is_inside(const struct writing *writing, const struct member *member)
{
	for (size_t i = 0; i < member->piece_count; i++) {
		const struct piece *piece = &member->pieces[i];
		uint64_t end;

		if (piece->offset != PIECE_ZEROS &&
		    (add_overflows(piece->offset, piece->length, &end) ||
		     end > writing->bytes->size))
			return false;
	}
	return true;
}

static int put_nested(struct writing *writing, struct record *record)
{
	struct member *member = &record->member;
	_cleanup_(cleanup_free) struct piece *pieces = moved_pieces(writing, member);

	if (!is_inside(writing, member))
		return put_left_out(&writing->sink, "cut off", 1);
	if (!pieces)
		return -ENOMEM;
	record->number = writing->level;
	member->pieces = pieces;
	member->read_only |= writing->read_only;
	return record_write(record, writing->out);
}

static int put_member(struct sink *sink, const struct member *member)
{
	struct writing *writing = (struct writing *)sink;
	_cleanup_(cleanup_free) char *name = NULL;
	struct record record = { .type = RECORD_MEMBER, .member = *member };
	int result;

	result = writing->level > 0 ? put_nested(writing, &record)
				    : record_write(&record, writing->out);
	if (result == -ENAMETOOLONG)
		return put_left_out(sink, "name too long", 1);
	if (result == 0 && member->piece_count > 0 && member->pieces[0].offset != PIECE_ZEROS)
		result = put_progress(sink, member->pieces[0].offset);
	if (result < 0 || member->kind != MEMBER_FILE || writing->depth == 0)
		return result;
	if (asprintf(&name, "%s%s", writing->prefix, member->name) < 0) {
		name = NULL;
		return -ENOMEM;
	}
	return descend(writing, member, name);
}

static int detect_one(struct writing *writing, const struct detector *forced)
{
	const struct detector *const *candidates = writing->detection->detectors;
	struct detector_options options = writing->detection->options;
	const struct detector *detector = forced;

	if (!forced)
		options.format = NULL;
	for (size_t i = 0; !detector && candidates[i]; i++)
		if (candidates[i]->probe && candidates[i]->probe(writing->bytes, &options))
			detector = candidates[i];
	writing->detector = detector;
	return detector ? detector->detect(writing->bytes, &options, &writing->sink) : -ENOENT;
}

void detect_members(const struct detection *detection, const struct bytes *bytes, FILE *out)
{
	int64_t last_progress = 0;
	struct writing writing = {
		.sink = { put_member, put_left_out, put_note, put_progress },
		.detection = detection,
		.bytes = bytes,
		.out = out,
		.prefix = "",
		.depth = detection->depth,
		.last_progress = &last_progress,
	};
	int result = detect_one(&writing, detection->forced);

	(void)put(out, RECORD_END, writing.detector ? writing.detector->name : NULL, result);
}
