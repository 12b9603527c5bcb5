/* SPDX-License-Identifier: MIT */
/* The finished tree: nodes made from sorted names, and look-ups in it.
 *
 * Names sort as if '/' were the smallest byte, so that all that is below a directory is one run of
 * the sorted list. The nodes are then laid out level by level: each directory, taken from the node
 * array itself as from a queue, cuts its run into its entries and appends them.
 */
#include "tree_internal.h"

#include "cleanup.h"
#include "overflow.h"

#include <assert.h>
#include <string.h>

static int byte_order(char c)
{
	return c == '\0' ? 0 : c == '/' ? 1 : (unsigned char)c + 1;
}

static int compare_paths(const char *a, const char *b)
{
	while (*a == *b && *a) {
		a++;
		b++;
	}
	return byte_order(*a) - byte_order(*b);
}

static int compare_slots(const void *left, const void *right, void *context)
{
	const struct tree *tree = context;
	uint32_t a = *(const uint32_t *)left;
	uint32_t b = *(const uint32_t *)right;
	int order =
		compare_paths(tree->paths + tree->slots[a].path, tree->paths + tree->slots[b].path);

	return order ? order : (a > b) - (a < b);
}

/* The items' numbers in order of their names, the caller's to free. */
static uint32_t *sort_slots(struct tree *tree)
{
	uint32_t *order = malloc(tree->item_count * sizeof(*order) + 1);
	bool sorted = true;

	if (!order)
		return NULL;
	for (size_t i = 0; i < tree->item_count; i++) {
		order[i] = i;
		sorted = sorted && (i == 0 || compare_paths(tree->paths + tree->slots[i - 1].path,
							    tree->paths + tree->slots[i].path) < 0);
	}
	if (!sorted) /* tables mostly are: a million names then need no sort */
		qsort_r(order, tree->item_count, sizeof(*order), compare_slots, tree);
	return order;
}

struct grower {
	struct tree *tree;
	size_t max;
	const uint32_t *order;
	const char *file;
	const uint32_t *lines;
	struct error *error;
	VEC(struct node) nodes;
	/* While a directory waits in the queue, its first and count are its run of order, and this
	 * is where its entries' components begin in their paths.
	 */
	VEC(uint32_t) prefixes;
};

static const char *path_at(const struct grower *grower, uint32_t position)
{
	return grower->tree->paths + grower->tree->slots[grower->order[position]].path;
}

const char *kind_name(enum tree_kind kind)
{
	static const char *const names[] = { "directory", "slice", "symlink", "link" };

	return names[kind];
}

static void report_conflict(struct grower *grower, uint32_t first, uint32_t second)
{
	const struct slot *slots = grower->tree->slots;
	uint32_t a = grower->order[first];
	uint32_t b = grower->order[second];
	bool twice = strcmp(path_at(grower, first), path_at(grower, second)) == 0;
	uint32_t later = grower->lines[b] < grower->lines[a] ? a : b;
	uint32_t earlier = later == a ? b : a;
	struct location at = { grower->file, grower->lines[later] };

	if (twice && grower->file)
		error_add(grower->error, &at, "%s '%s': name given twice, first in line %u",
			  kind_name(slots[later].kind), path_at(grower, first),
			  grower->lines[earlier]);
	else if (twice)
		error_add(grower->error, &at, "%s '%s': name given twice",
			  kind_name(slots[later].kind), path_at(grower, first));
	else
		error_add(grower->error, &at,
			  "%s '%s': '%s' is the name of a %s, and cannot be a folder, too",
			  kind_name(slots[b].kind), path_at(grower, second), path_at(grower, first),
			  kind_name(slots[a].kind));
}

static bool ends_at(const struct grower *grower, uint32_t position, size_t length)
{
	return path_at(grower, position)[length] == '\0';
}

/* Append the entry whose names are order[position, end). */
static int append_entry(struct grower *grower, uint32_t parent, uint32_t position, uint32_t end,
			uint32_t prefix, size_t length)
{
	const struct slot *slots = grower->tree->slots;
	uint32_t slot = grower->order[position];
	bool described = ends_at(grower, position, prefix + length);
	uint32_t below = position + described;
	struct node node = {
		.name = slots[slot].path + prefix,
		.name_length = length,
		.parent = parent,
		.slot = described ? slot : NO_SLOT,
		.kind = described ? slots[slot].kind : TREE_DIRECTORY,
	};

	while (described && below < end &&
	       (node.kind != TREE_DIRECTORY || ends_at(grower, below, prefix + length)))
		report_conflict(grower, position, below++);
	if (node.kind == TREE_DIRECTORY) {
		node.first = below;
		node.count = end - below;
	}
	/* [0] and the root do not count. */
	if (grower->nodes.count >= grower->max + 2) {
		struct location at = { grower->file, grower->lines[slot] };

		error_add(grower->error, &at, "more than %zu slices and folders", grower->max);
		return -E2BIG;
	}
	return vec_push(&grower->nodes, node)
		       ?: vec_push(&grower->prefixes, prefix + (uint32_t)length + 1);
}

/* Cut a directory's run of names into entries. */
static int expand_directory(struct grower *grower, uint32_t directory)
{
	uint32_t position = grower->nodes.data[directory].first;
	uint32_t end = position + grower->nodes.data[directory].count;
	uint32_t prefix = grower->prefixes.data[directory];
	uint32_t first = grower->nodes.count;

	while (position < end) {
		const char *component = path_at(grower, position) + prefix;
		size_t length = strcspn(component, "/");
		uint32_t next = position + 1;
		int result;

		while (next < end) {
			const char *other = path_at(grower, next) + prefix;

			if (strncmp(other, component, length) != 0 ||
			    (other[length] != '/' && other[length] != '\0'))
				break;
			next++;
		}
		result = append_entry(grower, directory, position, next, prefix, length);
		if (result < 0)
			return result;
		position = next;
	}
	grower->nodes.data[directory].first = first;
	grower->nodes.data[directory].count = grower->nodes.count - first;
	return 0;
}

static int grow_all(struct grower *grower)
{
	const struct node root = { .parent = TREE_ROOT,
				   .slot = NO_SLOT,
				   .count = grower->tree->item_count };
	const struct node unused = { .slot = NO_SLOT };
	int result = vec_push(&grower->nodes, unused) ?: vec_push(&grower->prefixes, 0) ?:
		     vec_push(&grower->nodes, root) ?: vec_push(&grower->prefixes, 0);

	for (uint32_t i = TREE_ROOT; result == 0 && i < grower->nodes.count; i++)
		if (grower->nodes.data[i].kind == TREE_DIRECTORY)
			result = expand_directory(grower, i);
	return result;
}

/* The node of a whole name, 0 if there is none. */
static uint32_t find_path(const struct tree *tree, const char *path)
{
	char component[TREE_COMPONENT_MAX + 1];
	uint32_t node = TREE_ROOT;

	for (;;) {
		size_t length = strcspn(path, "/");

		if (length > TREE_COMPONENT_MAX)
			return 0;
		memcpy(component, path, length);
		component[length] = '\0';
		node = tree_lookup(tree, node, component);
		if (node == 0 || path[length] == '\0')
			return node;
		path += length + 1;
	}
}

/* As many as symbolic links in a path. */
#define LINKS_IN_A_ROW_MAX 40

/* The slice of a node that is a link, by way of other links perhaps; else a node that is no slice, or
 * 0.
 */
static uint32_t find_slice(const struct tree *tree, uint32_t node)
{
	for (int i = 0; i < LINKS_IN_A_ROW_MAX && tree->nodes[node].kind == TREE_LINK; i++) {
		const struct node *link = &tree->nodes[node];

		/* Those before are resolved. */
		node = link->first ?: find_path(tree, tree->paths + tree->slots[link->slot].target);
	}
	return node;
}

static void resolve_links(struct grower *grower)
{
	struct tree *tree = grower->tree;

	for (uint32_t i = TREE_ROOT; i < tree->node_count; i++) {
		struct node *node = &tree->nodes[i];
		struct location at = { grower->file, 0 };
		const struct slot *slot;
		uint32_t target;

		if (node->kind != TREE_LINK)
			continue;
		slot = &tree->slots[node->slot];
		target = find_slice(tree, i);
		if (target == 0 || tree->nodes[target].kind != TREE_SLICE) {
			at.line = grower->lines[node->slot];
			error_add(grower->error, &at, "link '%s': '%.300s' is not a slice",
				  tree->paths + slot->path, tree->paths + slot->target);
			continue;
		}
		node->first = target;
		node->slot = tree->nodes[target].slot;
		if (tree->slots[node->slot].links < UINT16_MAX)
			tree->slots[node->slot].links++;
	}
}

int tree_grow_nodes(struct tree *tree, size_t max, const char *file, const uint32_t *lines,
		    struct error *error)
{
	_cleanup_(cleanup_free) uint32_t *order = sort_slots(tree);
	struct grower grower = { tree, max, order, file, lines, error, { 0 }, { 0 } };
	size_t messages = error->count + error->omitted;
	int result = order ? grow_all(&grower) : -ENOMEM;

	free(grower.prefixes.data);
	if (result < 0) {
		free(grower.nodes.data);
		return result;
	}
	tree->nodes = grower.nodes.data;
	tree->node_count = grower.nodes.count;
	resolve_links(&grower);
	return error->count + error->omitted > messages ? -EINVAL : 0;
}

void tree_free(struct tree *tree)
{
	if (!tree)
		return;
	for (size_t i = 0; tree->images && i < tree->image_names.count; i++) {
		free(tree->images[i].path);
		image_unref(tree->images[i].image);
	}
	free(tree->images);
	free(tree->images_sorted);
	names_clear(&tree->image_names);
	free(tree->nodes);
	for (size_t i = 0; tree->slices && i < tree->item_count; i++)
		free(tree->slices[i].images);
	free(tree->slices);
	free(tree->slots);
	free(tree->extents);
	free(tree->paths);
	free(tree);
}

size_t tree_node_count(const struct tree *tree)
{
	return tree->node_count - 1;
}

static const struct node *node_at(const struct tree *tree, uint32_t node)
{
	assert(node >= TREE_ROOT && node < tree->node_count);
	return &tree->nodes[node];
}

enum tree_kind tree_kind(const struct tree *tree, uint32_t node)
{
	return node_at(tree, node)->kind;
}

uint32_t tree_parent(const struct tree *tree, uint32_t node)
{
	return node_at(tree, node)->parent;
}

const struct slice *tree_slice(const struct tree *tree, uint32_t node)
{
	const struct node *found = node_at(tree, node);

	return found->kind == TREE_SLICE || found->kind == TREE_LINK ? &tree->slices[found->slot]
								     : NULL;
}

/* A link stands for its slice. Before resolve_links() it stands for itself. */
static uint32_t follow(const struct tree *tree, uint32_t node)
{
	const struct node *found = &tree->nodes[node];

	return found->kind == TREE_LINK && found->first ? found->first : node;
}

static int compare_name(const struct tree *tree, const struct node *node, const char *name,
			size_t length)
{
	size_t shorter = min_u64(node->name_length, length);
	int order = memcmp(name, tree->paths + node->name, shorter);

	return order ? order : (int)length - node->name_length;
}

uint32_t tree_lookup(const struct tree *tree, uint32_t directory, const char *name)
{
	const struct node *parent = node_at(tree, directory);
	size_t length = strlen(name);
	uint32_t low = 0;
	uint32_t high = parent->count;

	if (parent->kind != TREE_DIRECTORY)
		return 0;
	while (low < high) {
		uint32_t middle = low + (high - low) / 2;
		uint32_t node = parent->first + middle;
		int order = compare_name(tree, &tree->nodes[node], name, length);

		if (order == 0)
			return follow(tree, node);
		if (order < 0)
			high = middle;
		else
			low = middle + 1;
	}
	return 0;
}

uint32_t tree_entry(const struct tree *tree, uint32_t directory, uint64_t index,
		    char name[TREE_COMPONENT_MAX + 1])
{
	const struct node *parent = node_at(tree, directory);
	const struct node *node;

	if (parent->kind != TREE_DIRECTORY || index >= parent->count)
		return 0;
	node = &tree->nodes[parent->first + index];
	memcpy(name, tree->paths + node->name, node->name_length);
	name[node->name_length] = '\0';
	return follow(tree, parent->first + index);
}

size_t tree_image_count(const struct tree *tree)
{
	return tree->image_names.count;
}

struct tree_image tree_image_at(const struct tree *tree, size_t index)
{
	struct image *image = tree->images[index].image;

	return (struct tree_image){
		.name = tree->image_names.strings[index],
		.path = tree->images[index].path,
		.access = image_writable(image) ? IMAGE_ACCESS_RW : IMAGE_ACCESS_RO,
		.image = image,
		.memory_size = tree->images[index].memory_size,
		.policy = tree->images[index].policy,
	};
}

size_t tree_item_count(const struct tree *tree)
{
	return tree->item_count;
}

size_t tree_slice_count(const struct tree *tree)
{
	return tree->slice_count;
}

struct tree_item tree_item_at(const struct tree *tree, size_t index)
{
	const struct slot *slot = &tree->slots[index];
	int64_t seconds = slot->mtime / NSEC_PER_SEC;
	int64_t nanoseconds = slot->mtime % NSEC_PER_SEC;

	if (nanoseconds < 0) {
		seconds--;
		nanoseconds += NSEC_PER_SEC;
	}
	return (struct tree_item){
		.kind = slot->kind,
		.name = tree->paths + slot->path,
		.slice = &tree->slices[index],
		.target = slot->target ? tree->paths + slot->target : NULL,
		.attributes = slot->attributes ? tree->paths + slot->attributes : NULL,
		.links = slot->links,
		.has_mode = slot->flags & SLOT_MODE,
		.has_uid = slot->flags & SLOT_UID,
		.has_gid = slot->flags & SLOT_GID,
		.has_mtime = slot->flags & SLOT_MTIME,
		.outside = slot->flags & SLOT_OUTSIDE,
		.mtime = { .tv_sec = seconds, .tv_nsec = nanoseconds },
	};
}

bool tree_item(const struct tree *tree, uint32_t node, struct tree_item *ret)
{
	uint32_t slot = node_at(tree, node)->slot;

	if (slot == NO_SLOT)
		return false;
	*ret = tree_item_at(tree, slot);
	return true;
}

const char *tree_item_attribute(const struct tree_item *item, const char *key)
{
	size_t length = strlen(key);
	const char *value = NULL;

	for (const char *at = item->attributes; at && *at; at += strlen(at) + 1)
		if (strncmp(at, key, length) == 0 && at[length] == '=')
			value = at + length + 1;
	return value;
}

size_t tree_image_index(const struct tree *tree, const struct image *image)
{
	size_t low = 0;
	size_t high = tree->image_names.count - 1;

	/* The first of those that share it. */
	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (tree->images[tree->images_sorted[middle]].image < image)
			low = middle + 1;
		else
			high = middle;
	}
	return tree->images_sorted[low];
}

uint64_t tree_total_size(const struct tree *tree)
{
	uint64_t total = 0;
	uint64_t size;

	for (size_t i = 0; i < tree->item_count; i++)
		if (tree->slots[i].kind == TREE_SLICE &&
		    (slice_size(&tree->slices[i], &size) < 0 || add_overflows(total, size, &total)))
			return UINT64_MAX;
	return total;
}
