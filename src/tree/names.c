/* SPDX-License-Identifier: MIT */
/* Interned names, and which names a mount takes. */
#include "names.h"

#include "mmapfs/tree.h"
#include "vec.h"

#include <stdbool.h>
#include <string.h>
#include <sys/random.h>

/* FNV-1a, 64 bits: http://www.isthe.com/chongo/tech/comp/fnv/ From a start of its own, so that a
 * table of names that collide cannot be made beforehand. Multiplication alone never carries down:
 * whoever guessed the lowest byte of the start would know which names share a slot.
 */
static uint64_t hash(const struct names *names, const char *name)
{
	uint64_t value = 0xcbf29ce484222325 ^ names->seed;

	for (; *name; name++) {
		value = (value ^ (unsigned char)*name) * 0x100000001b3;
		value ^= value >> 32;
	}
	return value;
}

/* The slot that holds name, or the free one where it belongs. slot_count > 0, a power of 2. */
static uint32_t *find_slot(const struct names *names, const char *name)
{
	size_t mask = names->slot_count - 1;
	size_t at = hash(names, name) & mask;

	while (names->slots[at] && strcmp(names->strings[names->slots[at] - 1], name) != 0)
		at = (at + 1) & mask;
	return &names->slots[at];
}

static int grow_slots(struct names *names)
{
	size_t count = names->slot_count ? names->slot_count * 2 : 16;
	uint32_t *slots = calloc(count, sizeof(*slots));

	if (!slots)
		return -ENOMEM;
	if (!names->slots && getrandom(&names->seed, sizeof(names->seed), GRND_NONBLOCK) < 0)
		names->seed = (uintptr_t)slots;
	free(names->slots);
	names->slots = slots;
	names->slot_count = count;
	for (size_t i = 0; i < names->count; i++)
		*find_slot(names, names->strings[i]) = i + 1;
	return 0;
}

int names_add(struct names *names, const char *name, uint32_t *ret)
{
	uint32_t *slot;
	char *copy;
	int result;

	if (names_find(names, name, ret) == 0)
		return -EEXIST;
	if (names->count * 2 >= names->slot_count) {
		result = grow_slots(names);
		if (result < 0)
			return result;
	}
	result = vec_reserve_((void **)&names->strings, &names->capacity, names->count, 1,
			      sizeof(*names->strings));
	if (result < 0)
		return result;
	copy = strdup(name);
	if (!copy)
		return -ENOMEM;
	slot = find_slot(names, name);
	names->strings[names->count++] = copy;
	*slot = names->count;
	*ret = names->count - 1;
	return 0;
}

int names_find(const struct names *names, const char *name, uint32_t *ret)
{
	uint32_t *slot;

	if (names->slot_count == 0)
		return -ENOENT;
	slot = find_slot(names, name);
	if (!*slot)
		return -ENOENT;
	*ret = *slot - 1;
	return 0;
}

void names_clear(struct names *names)
{
	for (size_t i = 0; i < names->count; i++)
		free(names->strings[i]);
	free(names->strings);
	free(names->slots);
	*names = (struct names){ 0 };
}

static bool component_is(const char *component, size_t length, const char *word)
{
	return strlen(word) == length && memcmp(component, word, length) == 0;
}

const char *name_fault(const char *name)
{
	const char *component = name;

	if (strlen(name) > TREE_PATH_MAX)
		return "is longer than 4095 bytes";
	for (;;) {
		size_t length = strcspn(component, "/");

		if (length == 0)
			return *name ? "has an empty component" : "is empty";
		if (length > TREE_COMPONENT_MAX)
			return "has a component longer than 255 bytes";
		if (component_is(component, length, ".") || component_is(component, length, ".."))
			return "has a '.' or '..' component";
		if (component == name && component_is(component, length, TREE_RESERVED))
			return "is reserved";
		if (component[length] == '\0')
			return NULL;
		component += length + 1;
	}
}
