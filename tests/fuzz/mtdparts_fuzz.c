/* SPDX-License-Identifier: MIT */
/* Any text as mtdparts: the parts it gives are written plainly, and say the same when they are read
 * once more; what is wrong with it is told once.
 */
#include "fuzz.h"

#include "detector.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define IMAGE_SIZE (1ULL << 24)

struct listing {
	struct sink sink;
	FILE *out;
	size_t members;
	size_t notes;
};

static int take_member(struct sink *sink, const struct member *member)
{
	struct listing *listing = (struct listing *)sink;
	const struct piece *piece = member->pieces;

	check(member->kind == MEMBER_FILE && member->piece_count == 1);
	check(piece->length > 0 && piece->offset + piece->length > piece->offset);
	check(*member->name && strlen(member->name) <= 255 && !strchr(member->name, '/'));
	check(member->attribute_count <= 1);
	fprintf(listing->out, "%s0x%" PRIx64 "@0x%" PRIx64 "(%s)", listing->members++ ? "," : "",
		piece->length, piece->offset, member->name);
	if (member->attribute_count > 0) {
		const char *flags = member->attributes[0].value;

		check(*flags);
		check(member->read_only == (strncmp(flags, "ro", 2) == 0));
		for (; *flags; flags++)
			if (*flags != ',')
				putc(*flags, listing->out);
	} else {
		check(!member->read_only);
	}
	return 0;
}

static int take_left_out(struct sink *sink, const char *reason, uint64_t count)
{
	check(strcmp(reason, "empty") == 0 && count == 1);
	return 0;
}

static int take_note(struct sink *sink, const char *text)
{
	((struct listing *)sink)->notes++;
	check(*text && strlen(text) < 200);
	return 0;
}

/* What detect() returns; the parts, written plainly, are the caller's. */
static int read_parts(const char *text, size_t *ret_members, size_t *ret_notes, char **ret)
{
	const struct bytes bytes = { NULL, IMAGE_SIZE };
	const struct detector_options options = { .mtdparts = text };
	size_t size;
	struct listing listing = { .sink = { take_member, take_left_out, take_note, NULL } };
	int result;

	listing.out = open_memstream(ret, &size);
	check(listing.out);
	result = detector_mtdparts.detect(&bytes, &options, &listing.sink);
	check(fclose(listing.out) == 0);
	*ret_members = listing.members;
	*ret_notes = listing.notes;
	return result;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = copy_text(data, size);
	char *plain;
	size_t members;
	size_t notes;
	int result = read_parts(text, &members, &notes, &plain);
	size_t chips = strchr(text, ';') != NULL;

	check(result == 0 || result == -EINVAL);
	check(notes == chips + (result < 0));
	if (members > 0) {
		char *again;
		size_t members_again;

		check(read_parts(plain, &members_again, &notes, &again) == 0);
		check(members_again == members && notes == 0);
		check(strcmp(plain, again) == 0);
		free(again);
	}
	free(plain);
	free(text);
	return 0;
}
