/* SPDX-License-Identifier: MIT */
#include "trees.h"

#include <string.h>

void scene_begin(struct scene *scene, const char *file)
{
	*scene = (struct scene){
		.builder = tree_builder_new(file),
		.error = ERROR_INIT,
		.defaults = { .uid = 1000, .gid = 1001 },
	};
	assert_non_null(scene->builder);
}

void scene_end(struct scene *scene)
{
	error_clear(&scene->error);
	tree_free(scene->tree);
	tree_builder_free(scene->builder);
}

static void next_line(struct scene *scene)
{
	tree_builder_set_line(scene->builder, ++scene->line);
}

int add_image(struct scene *scene, const char *name, const char *path, enum image_access access)
{
	next_line(scene);
	return tree_builder_image(scene->builder, name, path, access, &scene->error);
}

int add_slice_with(struct scene *scene, const char *name, const struct slice_options *options,
		   const char *image, uint64_t offset, uint64_t length)
{
	next_line(scene);
	return tree_builder_slice(scene->builder, name, options, &scene->error)
		       ?: tree_builder_extent(scene->builder, image, offset, length, &scene->error);
}

int add_slice(struct scene *scene, const char *name, const char *image, uint64_t offset,
	      uint64_t length)
{
	return add_slice_with(scene, name, &(struct slice_options){ 0 }, image, offset, length);
}

int add_extent(struct scene *scene, const char *image, uint64_t offset, uint64_t length)
{
	next_line(scene);
	return tree_builder_extent(scene->builder, image, offset, length, &scene->error);
}

void add_disk(struct scene *scene)
{
	file_resize("disk.img", 1 << 20);
	assert_result(add_image(scene, "disk", "disk.img", IMAGE_ACCESS_AUTO), 0);
}

void build_tree(struct scene *scene)
{
	int result = tree_build(scene->builder, &scene->defaults, scene->inspect, &scene->error,
				&scene->tree);

	assert_no_messages(&scene->error);
	assert_result(result, 0);
	assert_non_null(scene->tree);
}

uint32_t find_path(const struct tree *tree, const char *path)
{
	uint32_t node = TREE_ROOT;

	while (node && *path) {
		size_t length = strcspn(path, "/");
		char component[TREE_COMPONENT_MAX + 1];

		assert_true(length <= TREE_COMPONENT_MAX);
		memcpy(component, path, length);
		component[length] = '\0';
		node = tree_lookup(tree, node, component);
		path += length + (path[length] == '/');
	}
	return node;
}

const struct slice *find_slice(const struct tree *tree, const char *name)
{
	uint32_t node = find_path(tree, name);

	assert_int_not_equal(node, 0);
	assert_non_null(tree_slice(tree, node));
	return tree_slice(tree, node);
}
