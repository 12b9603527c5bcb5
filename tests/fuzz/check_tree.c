/* SPDX-License-Identifier: MIT */
/* What holds of each finished tree, whatever it was made from. */
#include "fuzz.h"

#include "size.h"

#include <string.h>
#include <unistd.h>

uint32_t find_path(const struct tree *tree, const char *path)
{
	uint32_t node = TREE_ROOT;

	while (node && *path) {
		size_t length = strcspn(path, "/");
		char component[TREE_COMPONENT_MAX + 1];

		check(length <= TREE_COMPONENT_MAX);
		memcpy(component, path, length);
		component[length] = '\0';
		node = tree_lookup(tree, node, component);
		path += length + (path[length] == '/');
	}
	return node;
}

/* Names that are not there are not found, be they ever so close to one that is. */
static void check_absent(const struct tree *tree, uint32_t directory, const char *name,
			 const char *next)
{
	char close[TREE_COMPONENT_MAX + 2];
	size_t length = strlen(name);

	memcpy(close, name, length);
	strcpy(close + length, "\x01");
	if (strcmp(close, next) != 0)
		check(tree_lookup(tree, directory, close) == 0);
}

/* Entries of other directories may be the same node. */
static bool has_links(const struct tree *tree, uint32_t node)
{
	struct tree_item item;

	return tree_item(tree, node, &item) && item.links > 0;
}

/* The listing is sorted, each entry is found by its name, and knows where it belongs. */
static uint64_t check_listing(const struct tree *tree, uint32_t directory)
{
	char name[TREE_COMPONENT_MAX + 1];
	char next[TREE_COMPONENT_MAX + 1] = "";
	uint64_t count = 0;
	uint32_t node;

	while ((node = tree_entry(tree, directory, count, next)) != 0) {
		check(*next && !strchr(next, '/'));
		check(tree_lookup(tree, directory, next) == node);
		if (!has_links(tree, node)) {
			check(tree_parent(tree, node) == directory);
			check(node > directory);
		}
		if (count > 0) {
			check(strcmp(name, next) < 0);
			check_absent(tree, directory, name, next);
		}
		strcpy(name, next);
		count++;
	}
	if (count > 0)
		check_absent(tree, directory, name, "");
	check(tree_lookup(tree, directory, "") == 0);
	check(tree_entry(tree, directory, UINT64_MAX, next) == 0);
	return count;
}

/* How many items a node stands for: itself, and the links to it. */
static uint64_t check_node(const struct tree *tree, uint32_t node)
{
	struct tree_item item;
	bool described = tree_item(tree, node, &item);

	switch (tree_kind(tree, node)) {
	case TREE_DIRECTORY:
		check(!tree_slice(tree, node));
		check(!described ||
		      (item.kind == TREE_DIRECTORY && find_path(tree, item.name) == node));
		return described;
	case TREE_SLICE:
		check(described && item.kind == TREE_SLICE);
		check(tree_slice(tree, node) == item.slice);
		check(find_path(tree, item.name) == node);
		return 1;
	case TREE_SYMLINK:
		check(described && item.kind == TREE_SYMLINK && *item.target);
		check(!tree_slice(tree, node));
		check(find_path(tree, item.name) == node);
		return 1;
	case TREE_LINK:
		check(described && item.kind == TREE_SLICE && item.links > 0);
		check(tree_slice(tree, node) == item.slice);
		return 1;
	}
	return 0;
}

static void check_nodes(const struct tree *tree)
{
	uint64_t listed = 0;
	uint64_t items = 0;

	check(tree_kind(tree, TREE_ROOT) == TREE_DIRECTORY);
	check(tree_parent(tree, TREE_ROOT) == TREE_ROOT);
	for (uint32_t node = TREE_ROOT; node <= tree_node_count(tree); node++) {
		items += check_node(tree, node);
		if (tree_kind(tree, node) == TREE_DIRECTORY)
			listed += check_listing(tree, node);
		else
			check(tree_lookup(tree, node, "a") == 0);
	}
	check(listed == tree_node_count(tree) - 1);
	check(items == tree_item_count(tree));
}

static void check_slice(const struct tree *tree, const struct slice *slice, bool outside)
{
	uint64_t start = 0;

	check(slice->extent_count > 0);
	check(slice->mode <= 0777);
	for (uint32_t i = 0; i < slice->extent_count; i++) {
		const struct extent *extent = &slice->extents[i];
		bool tail = extent->length == EXTENT_TAIL;
		uint64_t size;

		check(extent->start == start);
		check(!tail || i == slice->extent_count - 1);
		if (!extent->image) {
			check(!tail && extent->offset == 0);
			start += extent->length;
			continue;
		}
		check(tree_image_at(tree, tree_image_index(tree, extent->image)).image ==
		      extent->image);
		check(image_size(extent->image, &size) == 0);
		check(outside || extent->offset <= size);
		check(outside || tail || extent->length <= size - extent->offset);
		check(!slice->writable || image_writable(extent->image));
		start += tail ? size - extent->offset : extent->length;
	}
	check(start <= SIZE_LIMIT);
	check(slice->tail == (slice->extents[slice->extent_count - 1].length == EXTENT_TAIL));
	check(!slice->resize || (slice->tail && slice->writable));
}

/* Whether two extents share a byte. An end is the last byte, to have no overflow. */
static bool extents_meet(const struct extent *a, const struct extent *b)
{
	uint64_t a_last = a->length == EXTENT_TAIL ? UINT64_MAX : a->offset + a->length - 1;
	uint64_t b_last = b->length == EXTENT_TAIL ? UINT64_MAX : b->offset + b->length - 1;

	if (!a->image || a->image != b->image || a->length == 0 || b->length == 0)
		return false;
	return a->offset <= b_last && b->offset <= a_last;
}

static bool slices_meet(const struct slice *a, const struct slice *b)
{
	for (uint32_t i = 0; i < a->extent_count; i++)
		for (uint32_t j = a == b ? i + 1 : 0; j < b->extent_count; j++)
			if (extents_meet(&a->extents[i], &b->extents[j]))
				return true;
	return false;
}

/* By looking at all pairs, as overlap.c must not. */
static void check_alias(const struct tree *tree, const struct slice *slice)
{
	bool alias = false;

	for (size_t i = 0; i < tree_item_count(tree); i++) {
		const struct slice *other = tree_item_at(tree, i).slice;

		alias |= (slice->writable || other->writable) && slices_meet(slice, other);
	}
	check(slice->alias == alias);
}

#define PAIRS_MAX 300 /* slices of which all pairs are looked at */

void check_tree(const struct tree *tree)
{
	check_nodes(tree);
	for (size_t i = 0; i < tree_item_count(tree); i++) {
		struct tree_item slice = tree_item_at(tree, i);

		if (slice.kind != TREE_SLICE)
			continue;
		check(tree_slice(tree, find_path(tree, slice.name)) == slice.slice);
		check_slice(tree, slice.slice, slice.outside);
		if (tree_item_count(tree) < PAIRS_MAX)
			check_alias(tree, slice.slice);
	}
}
