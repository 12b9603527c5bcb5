/* SPDX-License-Identifier: MIT */
#ifndef CLI_VIEW_H
#define CLI_VIEW_H

#include "mmapfs/tree.h"
#include "picture.h"

/* A tree as lists and pictures want it. The tree is borrowed. */
struct view;

/* 0 or -ENOMEM. *ret is the caller's (view_free). */
int view_new(const struct tree *tree, struct view **ret);
void view_free(struct view *view); /* takes NULL */

size_t view_image_count(const struct view *view);
const struct picture_input *view_image(const struct view *view, size_t index);

/* All items in the order of the table, in aligned columns, with rounded sizes. */
void view_list(struct view *view, bool utf8, FILE *out);

#endif
