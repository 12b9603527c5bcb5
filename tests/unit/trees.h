/* SPDX-License-Identifier: MIT */
#ifndef UNIT_TREES_H
#define UNIT_TREES_H

#include "support.h"

#include "mmapfs/tree.h"

/* A builder whose lines count themselves, for the tests of trees. */

struct scene {
	struct tree_builder *builder;
	struct error error;
	struct tree_defaults defaults;
	bool inspect;
	unsigned long line;
	struct tree *tree;
};

/* file is named in messages; NULL: as on the command line. */
void scene_begin(struct scene *scene, const char *file);
void scene_end(struct scene *scene);

/* One line each; they return what the builder does. */
int add_image(struct scene *scene, const char *name, const char *path, enum image_access access);
int add_slice(struct scene *scene, const char *name, const char *image, uint64_t offset,
	      uint64_t length);
int add_slice_with(struct scene *scene, const char *name, const struct slice_options *options,
		   const char *image, uint64_t offset, uint64_t length);
int add_extent(struct scene *scene, const char *image, uint64_t offset, uint64_t length);

/* Image 'disk': disk.img, of 1 MiB. */
void add_disk(struct scene *scene);

/* Builds; says so and fails when it cannot be done. */
void build_tree(struct scene *scene);

/* tree_build() fails with -EINVAL, and the scene's messages are then these. */
#define assert_build_fails(scene, ...)                                                             \
	do {                                                                                       \
		assert_result(tree_build((scene)->builder, &(scene)->defaults, (scene)->inspect,   \
					 &(scene)->error, &(scene)->tree),                         \
			      -EINVAL);                                                            \
		assert_null((scene)->tree);                                                        \
		assert_messages(&(scene)->error, __VA_ARGS__);                                     \
	} while (0)

/* The node of a path, found component by component; 0: none. */
uint32_t find_path(const struct tree *tree, const char *path);

/* The slice called name. */
const struct slice *find_slice(const struct tree *tree, const char *name);

#endif
