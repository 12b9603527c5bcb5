/* SPDX-License-Identifier: MIT */
/* One detector over any bytes: it ends, reads nothing but them, and what it says of them has the
 * promised form. DETECTOR is its name. The first byte chooses options.
 */
#include "fuzz.h"

#include "detector.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define CONCATENATE_(a, b) a##b
#define CONCATENATE(a, b) CONCATENATE_(a, b)
#define THIS CONCATENATE(detector_, DETECTOR)

/* What a detector says may be more than the bytes can hold only so far. */
#define CALLS_MAX 1000000

struct counting {
	struct sink sink;
	size_t calls;
};

static int count(struct sink *sink)
{
	struct counting *counting = (struct counting *)sink;

	return ++counting->calls > CALLS_MAX ? -E2BIG : 0;
}

static void check_text(const char *text, size_t max)
{
	check(text != NULL);
	check(strnlen(text, max + 1) <= max);
}

static int take_member(struct sink *sink, const struct member *member)
{
	check(member->format != NULL);
	check_text(member->name, 1 << 20);
	if (member->kind == MEMBER_SYMLINK || member->kind == MEMBER_LINK)
		check_text(member->target, 1 << 20);
	check(member->kind == MEMBER_FILE || member->piece_count == 0);
	for (size_t i = 0; i < member->piece_count; i++)
		check(member->pieces[i].length > 0);
	for (size_t i = 0; i < member->attribute_count; i++) {
		check_text(member->attributes[i].key, ATTRIBUTE_KEY_MAX);
		check_text(member->attributes[i].value, ATTRIBUTE_VALUE_MAX);
	}
	if (member->has_mtime)
		check(member->mtime.tv_nsec >= 0 && member->mtime.tv_nsec < 1000000000);
	return count(sink);
}

static int take_left_out(struct sink *sink, const char *reason, uint64_t number)
{
	check_text(reason, 100);
	return count(sink);
}

static int take_note(struct sink *sink, const char *text)
{
	check_text(text, 4096);
	return count(sink);
}

static int take_progress(struct sink *sink, uint64_t offset)
{
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct counting counting = {
		.sink = { take_member, take_left_out, take_note, take_progress },
	};
	struct detector_options options = { 0 };
	struct bytes bytes;
	int result;

	if (size == 0)
		return 0;
	/* A copy, so that a byte too far is one outside of an allocation. */
	uint8_t *copy = malloc(size - 1);

	check(copy != NULL || size == 1);
	memcpy(copy, data + 1, size - 1);
	bytes = (struct bytes){ copy, size - 1 };
	options.gaps = data[0] & 1;
	options.chunk = data[0] & 2 ? 1 + data[0] : 0;
	options.sector_size = data[0] & 4 ? 512U << (data[0] >> 6) : 0;
	(void)(THIS.probe && THIS.probe(&bytes, &options));
	result = THIS.detect(&bytes, &options, &counting.sink);
	check(result <= 0);
	free(copy);
	return 0;
}
