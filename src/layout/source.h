/* SPDX-License-Identifier: MIT */
#ifndef LAYOUT_SOURCE_H
#define LAYOUT_SOURCE_H

#include "detector.h"
#include "mmapfs/layout.h"
#include "vec.h"

/* An image, opened once however many ranges it has. */
struct source_image {
	const char *name; /* the builder's own; borrowed */
	int fd;
	uint64_t size;
};

/* What a layout looks into: an image or a slice, as a row of ranges. */
struct source_range {
	char *image;    /* the image's name in the builder; NULL: zeros; owned */
	int fd;         /* of its image; -1: zeros */
	uint64_t start; /* where it lies in the source: the sum of the lengths before it */
	uint64_t offset;
	uint64_t length;
	bool to_end; /* it reaches to the end of its image */
};

/* Zero-initialise. */
struct source {
	VEC(struct source_range) ranges;
	VEC(struct source_image) images;
	uint64_t size; /* bytes */
	bool read_only;
};

/* Open the images of the image or slice called name. 0 or -ENOMEM; -EINVAL with a message. */
int source_open(struct tree_builder *builder, const char *name, const struct location *at,
		struct error *error, struct source *ret);

/* Make one row of bytes of it, mapped to read; there is no way back but the end of the process.
 * -EOPNOTSUPP: it is put together of too many parts that do not begin at pages; -EFBIG: there is no
 * room for all of it, or for so many parts.
 */
int source_map(const struct source *source, struct bytes *ret);

void source_clear(struct source *source);

#endif
