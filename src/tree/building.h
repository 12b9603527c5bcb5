/* SPDX-License-Identifier: MIT */
#ifndef TREE_BUILDING_H
#define TREE_BUILDING_H

#include "builder_internal.h"

/* Everything that tree_build() works with. */
struct building {
	struct tree_builder *builder;
	const struct tree_defaults *defaults;
	struct error *error;
	struct tree *tree;
	uint64_t *image_sizes; /* by number */
	bool inspect;
};

/* build_images.c */
/* Open all images. Of those that fail error says why, and their requests are marked. 0 or -ENOMEM. */
int build_images(struct building *b);

#endif
