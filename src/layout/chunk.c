/* SPDX-License-Identifier: MIT */
/* Chunks: the bytes cut into parts of one size, the last one shorter, for what takes big files in
 * parts. Numbers are as wide as the last one's, so that names sort as the bytes do; from a thousand
 * parts on they lie in folders of a thousand: "0012/0012345".
 */
#include "detector.h"

#include "overflow.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#define FOLDER_PARTS 1000

static int detect(const struct bytes *bytes, const struct detector_options *options,
		  struct sink *sink)
{
	struct piece piece = { 0 };
	char name[64];
	struct member member = {
		.kind = MEMBER_FILE,
		.name = name,
		.format = "chunk",
		.pieces = &piece,
		.piece_count = 1,
	};
	uint64_t count;
	int width;

	if (options->chunk == 0)
		return sink->note(sink, "no size of a chunk is given: chunk=SIZE") ?: -EINVAL;
	count = bytes->size / options->chunk + (bytes->size % options->chunk > 0);
	width = count > 0 ? snprintf(NULL, 0, "%" PRIu64, count - 1) : 1;
	for (uint64_t i = 0; i < count; i++) {
		int result;

		piece.offset = i * options->chunk;
		piece.length = min_u64(options->chunk, bytes->size - piece.offset);
		if (count <= FOLDER_PARTS)
			snprintf(name, sizeof(name), "%0*" PRIu64, width, i);
		else
			snprintf(name, sizeof(name), "%0*" PRIu64 "/%0*" PRIu64, width - 3,
				 i / FOLDER_PARTS, width, i);
		result = sink->member(sink, &member);
		if (result < 0)
			return result;
	}
	return 0;
}

const struct detector detector_chunk = {
	.name = "chunk",
	.detect = detect,
};
