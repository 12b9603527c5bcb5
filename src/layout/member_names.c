/* SPDX-License-Identifier: MIT */
/* Names from inside of an image, made fit for a tree. */
#include "member_names.h"

#include "cleanup.h"

#include <string.h>

/* One component of raw into out, which has room; its length there, 0 for one that goes away. */
static size_t sanitize_component(const char *raw, size_t length, char *out)
{
	if (length == 0 || (length == 1 && *raw == '.'))
		return 0;
	if (length == 2 && memcmp(raw, "..", 2) == 0) {
		out[0] = out[1] = '_';
		return 2;
	}
	if (length > TREE_COMPONENT_MAX)
		length = TREE_COMPONENT_MAX;
	for (size_t i = 0; i < length; i++)
		out[i] = (unsigned char)raw[i] < ' ' || raw[i] == 0x7f ? '_' : raw[i];
	return length;
}

/* The whole of raw, behind the directory. *ret is the caller's. */
static int sanitize(const struct member_names *names, const char *raw, char **ret)
{
	size_t prefix = strlen(names->directory);
	char *path = malloc(prefix + strlen(raw) + 8);
	char *out = path;

	if (!path)
		return -ENOMEM;
	out = stpcpy(out, names->directory);
	for (;;) {
		size_t length = strcspn(raw, "/");
		char *at = out > path ? out + 1 : out;
		size_t made = sanitize_component(raw, length, at);

		if (made > 0 && out > path)
			*out = '/';
		if (made > 0)
			out = at + made;
		if (raw[length] == '\0')
			break;
		raw += length + 1;
	}
	*out = '\0';
	/* What the mount keeps for itself. */
	if (strncmp(path, TREE_RESERVED, strlen(TREE_RESERVED)) == 0 &&
	    (path[strlen(TREE_RESERVED)] == '\0' || path[strlen(TREE_RESERVED)] == '/'))
		path[0] = '_';
	*ret = path;
	return 0;
}

/* The state of a name, which is known from now on. */
static int state_of(struct member_names *names, const char *path, uint32_t *ret)
{
	const struct name_state fresh = { .next = 2 };
	int result = vec_reserve(&names->states, 1) ?: names_add(&names->names, path, ret);

	if (result == 0)
		names->states.data[names->states.count++] = fresh;
	return result == -EEXIST ? 0 : result;
}

static bool is_directory(enum name_kind kind)
{
	return kind == NAME_IMPLIED || kind == NAME_DIRECTORY;
}

/* "path~N" with the first N that is free for kind. *path, which is exchanged, is the caller's. */
static int make_unique(struct member_names *names, char **path, uint32_t *number,
		       enum name_kind kind)
{
	const char *slash = strrchr(*path, '/');
	size_t start = slash ? slash + 1 - *path : 0;
	uint32_t base = *number;

	for (;;) {
		_cleanup_(cleanup_free) char *candidate = NULL;
		char suffix[16];
		int length = snprintf(suffix, sizeof(suffix), "~%u", names->states.data[base].next);
		size_t keep = strlen(*path);
		int result;

		if (keep - start + length > TREE_COMPONENT_MAX)
			keep = start + TREE_COMPONENT_MAX - length;
		if (asprintf(&candidate, "%.*s%s", (int)keep, *path, suffix) < 0) {
			candidate = NULL;
			return -ENOMEM;
		}
		result = state_of(names, candidate, number);
		if (result < 0)
			return result;
		if (names->states.data[*number].kind == NAME_FREE ||
		    (kind == NAME_IMPLIED && is_directory(names->states.data[*number].kind))) {
			free(*path);
			*path = steal_pointer(&candidate);
			return 0;
		}
		names->states.data[base].next++;
	}
}

/* Take the directories above the last component; where a file has a name, another one comes in its
 * place. Exchanges *path.
 */
static int make_parents(struct member_names *names, char **path)
{
	size_t at = 0;

	for (;;) {
		size_t length = strcspn(*path + at, "/");
		_cleanup_(cleanup_free) char *rest = NULL;
		_cleanup_(cleanup_free) char *parent = NULL;
		uint32_t number = 0;
		char *whole;
		int result;

		if ((*path)[at + length] == '\0')
			return 0;
		rest = strdup(*path + at + length);
		parent = strndup(*path, at + length);
		if (!rest || !parent)
			return -ENOMEM;
		result = state_of(names, parent, &number);
		if (result == 0 && names->states.data[number].kind > NAME_DIRECTORY)
			result = make_unique(names, &parent, &number, NAME_IMPLIED);
		if (result < 0)
			return result;
		if (names->states.data[number].kind == NAME_FREE)
			names->states.data[number].kind = NAME_IMPLIED;
		at = strlen(parent) + 1;
		if (asprintf(&whole, "%s%s", parent, rest) < 0)
			return -ENOMEM;
		free(*path);
		*path = whole;
	}
}

/* *ret_given is the number of the name before others came into its way. */
static int make(struct member_names *names, const char *raw, enum name_kind kind,
		uint32_t *ret_given, uint32_t *ret)
{
	_cleanup_(cleanup_free) char *path = NULL;
	enum name_kind taken;
	uint32_t number = 0;
	int result = sanitize(names, raw, &path);

	if (result < 0)
		return result;
	if (strcmp(path, names->directory) == 0) {
		if (kind == NAME_DIRECTORY)
			return -EEXIST;
		free(steal_pointer(&path));
		if (asprintf(&path, "%s%s_", names->directory, *names->directory ? "/" : "") < 0)
			return -ENOMEM;
	}
	result = state_of(names, path, ret_given) ?: make_parents(names, &path) ?:
		 state_of(names, path, &number);
	if (result < 0)
		return result;
	taken = names->states.data[number].kind;
	if (taken > NAME_DIRECTORY || (taken != NAME_FREE && kind != NAME_DIRECTORY))
		result = make_unique(names, &path, &number,
				     kind == NAME_DIRECTORY ? NAME_IMPLIED : kind);
	if (result == 0 && kind == NAME_DIRECTORY &&
	    names->states.data[number].kind == NAME_DIRECTORY)
		result = -EEXIST;
	if (result == 0 && strlen(path) > TREE_PATH_MAX)
		result = -ENAMETOOLONG;
	if (result < 0)
		return result;
	names->states.data[number].kind = kind;
	*ret = number;
	return 0;
}

int member_names_make(struct member_names *names, const char *raw, enum name_kind kind,
		      const char **ret)
{
	uint32_t given = 0;
	uint32_t number = 0;
	int result = make(names, raw, kind, &given, &number);

	if (result < 0)
		return result;
	names->states.data[given].given = number + 1;
	*ret = names->names.strings[number];
	return 0;
}

static int find_file(struct member_names *names, const char *raw, uint32_t *ret)
{
	_cleanup_(cleanup_free) char *path = NULL;
	uint32_t number = 0;
	int result = sanitize(names, raw, &path);

	result = result ?: names_find(&names->names, path, &number);
	if (result < 0)
		return result;
	if (names->states.data[number].given == 0)
		return -ENOENT;
	*ret = names->states.data[number].given - 1;
	return names->states.data[*ret].kind == NAME_FILE ? 0 : -ENOENT;
}

int member_names_find(struct member_names *names, const char *raw, const char **ret)
{
	uint32_t number = 0;
	int result = find_file(names, raw, &number);

	if (result == 0)
		*ret = names->names.strings[number];
	return result;
}

int member_names_link(struct member_names *names, const char *raw, const char *raw_target,
		      const char **ret, const char **ret_target)
{
	uint32_t target = 0;
	uint32_t given = 0;
	uint32_t number = 0;
	int result = find_file(names, raw_target, &target)
			     ?: make(names, raw, NAME_OTHER, &given, &number);

	if (result < 0)
		return result;
	names->states.data[given].given = target + 1;
	*ret = names->names.strings[number];
	*ret_target = names->names.strings[target];
	return 0;
}

void member_names_clear(struct member_names *names)
{
	names_clear(&names->names);
	free(names->states.data);
	*names = (struct member_names){ 0 };
}
