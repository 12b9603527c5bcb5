/* SPDX-License-Identifier: MIT */
/* Names from inside of an image, made fit for a tree. */
#include "member_names.h"

#include "cleanup.h"
#include "overflow.h"

#include <string.h>

/* Behind the name of a file: the directory of what is in it. */
#define NESTED_SUFFIX ".d"

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

/* The whole of raw, behind the directory, or behind that of the file that it lies in. *ret is the
 * caller's; *ret_root is the length of that directory.
 */
static int sanitize(const struct member_names *names, const char *raw, char **ret, size_t *ret_root)
{
	const char *above = names->holder ? names->names.strings[names->holder - 1]
					  : names->directory;
	char *path = malloc(strlen(above) + strlen(NESTED_SUFFIX) + strlen(raw) + 8);
	char *out = path;

	if (!path)
		return -ENOMEM;
	out = stpcpy(out, above);
	if (names->holder) {
		char *component = memrchr(path, '/', out - path);

		/* What is cut of it makes it the file's own name, and another comes in its place. */
		component = component ? component + 1 : path;
		out = stpcpy(out, NESTED_SUFFIX);
		if (out - component > TREE_COMPONENT_MAX)
			out = component + TREE_COMPONENT_MAX;
	}
	*ret_root = out - path;
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
	int result;

	if (names->bytes > MEMBER_NAMES_MAX)
		return -E2BIG;
	result = vec_reserve(&names->states, 1) ?: names_add(&names->names, path, ret);
	if (result < 0)
		return result == -EEXIST ? 0 : result;
	names->states.data[names->states.count++] = fresh;
	names->bytes += strlen(path) + 1;
	return 0;
}

/* What a member is called when others refer to it, among the names: raw, but for what means nothing
 * in a path, behind the file that it lies in. No path begins so. *ret is the caller's.
 */
static int make_key(const struct member_names *names, const char *raw, char **ret)
{
	char *key = malloc(strlen(raw) + 16);
	char *out = key;

	if (!key)
		return -ENOMEM;
	out += sprintf(out, "\001%u", names->holder);
	for (;;) {
		size_t length = strcspn(raw, "/");

		if (length > 0 && !(length == 1 && *raw == '.')) {
			*out++ = '/';
			out = mempcpy(out, raw, length);
		}
		if (raw[length] == '\0')
			break;
		raw += length + 1;
	}
	*out = '\0';
	*ret = key;
	return 0;
}

/* The name to look up for raw, which was made safe as path: path itself, if nothing was changed. */
static int find_key(const struct member_names *names, const char *raw, const char *path, char **ret)
{
	size_t skip = strlen(names->directory) + (*names->directory != '\0');
	int result = make_key(names, raw, ret);

	if (result == 0 && !names->holder && strlen(path) > skip && (*ret)[2] == '/' &&
	    strcmp(*ret + 3, path + skip) == 0) {
		free(*ret);
		*ret = strdup(path);
		result = *ret ? 0 : -ENOMEM;
	}
	return result;
}

static bool is_directory(enum name_kind kind)
{
	return kind == NAME_IMPLIED || kind == NAME_DIRECTORY;
}

/* "path~N" with the first N that is free for kind. *path, which is exchanged, is the caller's.
 *
 * A component that gets too long is cut, by as much as the digits take. Numbers are counted for
 * what is left of it: those that are cut alike do not each try the same ones again.
 */
static int make_unique(struct member_names *names, char **path, uint32_t *number,
		       enum name_kind kind)
{
	const char *slash = strrchr(*path, '/');
	size_t start = slash ? slash + 1 - *path : 0;
	uint32_t first = 2;
	uint32_t end = 10;

	for (size_t digits = 1; digits < 10; digits++, first = end, end *= 10) {
		size_t keep = min_u64(strlen(*path), start + TREE_COMPONENT_MAX - 1 - digits);
		uint32_t base = 0;
		int result;

		(*path)[keep] = '\0';
		result = state_of(names, *path, &base);
		if (result < 0)
			return result;
		for (uint32_t n = max_u64(first, names->states.data[base].next); n < end; n++) {
			_cleanup_(cleanup_free) char *candidate = NULL;

			if (asprintf(&candidate, "%s~%u", *path, n) < 0) {
				candidate = NULL;
				return -ENOMEM;
			}
			result = state_of(names, candidate, number);
			if (result < 0)
				return result;
			names->states.data[base].next = n;
			if (names->states.data[*number].kind == NAME_FREE ||
			    (kind == NAME_IMPLIED &&
			     is_directory(names->states.data[*number].kind))) {
				free(*path);
				*path = steal_pointer(&candidate);
				return 0;
			}
			names->states.data[base].next = n + 1;
		}
	}
	return -ENAMETOOLONG;
}

/* How much of path are directories already, with the '/' behind them. */
static size_t known_parents(const struct member_names *names, char *path)
{
	for (char *slash = strrchr(path, '/'); slash; slash = memrchr(path, '/', slash - path)) {
		uint32_t number = 0;
		int result;

		*slash = '\0';
		result = names_find(&names->names, path, &number);
		*slash = '/';
		if (result == 0 && is_directory(names->states.data[number].kind))
			return slash + 1 - path;
	}
	return 0;
}

/* Take the first length bytes of *path as a directory, or what comes in its place. Exchanges *path;
 * its length is *ret.
 */
static int make_parent(struct member_names *names, char **path, size_t length, size_t *ret)
{
	_cleanup_(cleanup_free) char *parent = strndup(*path, length);
	uint32_t number = 0;
	char *whole;
	int result;

	if (!parent)
		return -ENOMEM;
	result = state_of(names, parent, &number);
	*ret = length;
	if (result == 0 && names->states.data[number].kind > NAME_DIRECTORY) {
		result = make_unique(names, &parent, &number, NAME_IMPLIED);
		if (result < 0)
			return result;
		if (asprintf(&whole, "%s%s", parent, *path + length) < 0)
			return -ENOMEM;
		free(*path);
		*path = whole;
		*ret = strlen(parent);
	}
	if (result == 0 && names->states.data[number].kind == NAME_FREE)
		names->states.data[number].kind = NAME_IMPLIED;
	return result;
}

/* Take the directories above the last component; where a file has a name, another one comes in its
 * place. Exchanges *path.
 */
static int make_parents(struct member_names *names, char **path)
{
	size_t at = known_parents(names, *path);
	const char *slash;

	while ((slash = strchr(*path + at, '/')) != NULL) {
		size_t length = slash - *path;
		size_t made;
		int result = make_parent(names, path, length, &made);

		if (result == 0 && strlen(*path) > TREE_PATH_MAX)
			result = -ENAMETOOLONG;
		if (result < 0)
			return result;
		at = made == length ? made + 1 : max_u64(made + 1, known_parents(names, *path));
	}
	return 0;
}

/* *ret_given is the number of what the member is called by others. */
static int make(struct member_names *names, const char *raw, enum name_kind kind,
		uint32_t *ret_given, uint32_t *ret)
{
	_cleanup_(cleanup_free) char *path = NULL;
	_cleanup_(cleanup_free) char *key = NULL;
	enum name_kind taken;
	uint32_t number = 0;
	size_t root;
	int result = sanitize(names, raw, &path, &root);

	if (result < 0)
		return result;
	if (strlen(path) == root && kind == NAME_DIRECTORY && !names->holder)
		return -EEXIST;
	if (strlen(path) == root && kind != NAME_DIRECTORY) /* there is room for it */
		strcat(path, root > 0 ? "/_" : "_");
	/* Before any directory above it is taken, of which there can be thousands. */
	if (strlen(path) > TREE_PATH_MAX)
		return -ENAMETOOLONG;
	result = find_key(names, raw, path, &key) ?: state_of(names, key, ret_given) ?:
		 make_parents(names, &path) ?: state_of(names, path, &number);
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
	_cleanup_(cleanup_free) char *key = NULL;
	uint32_t number = 0;
	size_t root;
	int result = sanitize(names, raw, &path, &root) ?: find_key(names, raw, path, &key) ?:
		     names_find(&names->names, key, &number);

	if (result < 0)
		return result;
	if (names->states.data[number].given == 0)
		return -ENOENT;
	*ret = names->states.data[number].given - 1;
	return names->states.data[*ret].kind == NAME_FILE ? 0 : -ENOENT;
}

int member_names_enter(struct member_names *names, const char *path)
{
	uint32_t number = 0;
	int result;

	names->holder = 0;
	if (!*path)
		return 0;
	result = names_find(&names->names, path, &number);
	if (result == 0)
		names->holder = number + 1;
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
