/* SPDX-License-Identifier: MIT */
/* What stands behind -o. */
#include "options_internal.h"

#include "cleanup.h"
#include "size.h"
#include "vec.h"

#include <limits.h>
#include <string.h>

const struct mount_option_entry mount_option_entries[] = {
#define OPTION(key, ...)
#define MOUNT_OPTION(key, name, argument, help) { MOUNT_OPTION_##key, name, argument, help },
#define IGNORED(name)
#include "options.def"
#undef OPTION
#undef MOUNT_OPTION
#undef IGNORED
	{ 0 },
};

const char *const mount_options_ignored[] = {
#define OPTION(key, ...)
#define MOUNT_OPTION(key, ...)
#define IGNORED(name) name,
#include "options.def"
#undef OPTION
#undef MOUNT_OPTION
#undef IGNORED
	NULL,
};

static bool is_ignored(const char *option)
{
	if (strncmp(option, "x-", 2) == 0 || strncmp(option, "X-", 2) == 0 ||
	    strncmp(option, "comment=", 8) == 0 || strncmp(option, "user=", 5) == 0 ||
	    *option == '\0')
		return true;
	for (const char *const *word = mount_options_ignored; *word; word++)
		if (strcmp(option, *word) == 0)
			return true;
	return false;
}

int option_word(const char *value, const char *const *words, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (strcmp(value, words[i]) == 0)
			return i;
	return -EINVAL;
}

/* A comma of the option's own, which was in quotes, is escaped, as libfuse wants it. */
static int append_fuse_option(struct options *options, const char *option)
{
	/* Each byte escaped, a comma, and the NUL. */
	int result = vec_reserve_((void **)&options->fuse_options, &options->fuse_options_room,
				  options->fuse_options_length, 2 * strlen(option) + 2, 1);
	char *out;

	if (result < 0)
		return result;
	out = options->fuse_options + options->fuse_options_length;
	if (options->fuse_options_length > 0)
		*out++ = ',';
	for (; *option; option++) {
		if (*option == ',')
			*out++ = '\\';
		*out++ = *option;
	}
	*out = '\0';
	options->fuse_options_length = out - options->fuse_options;
	return 0;
}

static int set_text(char **text, const char *value)
{
	char *copy = *value ? strdup(value) : NULL;

	if (!copy)
		return *value ? -ENOMEM : -EINVAL;
	free(*text);
	*text = copy;
	return 0;
}

static int set_flag(bool *flag, bool value)
{
	*flag = value;
	return 0;
}

/* An owner, a mode or a depth: all of them are unsigned. ret_has: NULL, or that it was given. */
static int set_number(unsigned *ret, bool *ret_has, const char *value, int base, unsigned max)
{
	unsigned long number;
	int result = number_parse(value, base, max, &number);

	if (result < 0)
		return result;
	*ret = number;
	if (ret_has)
		*ret_has = true;
	return 0;
}

/* Less than this is dropped as fast as it is mapped. */
#define MEMORY_MIN (1ULL << 20)

static int set_memory(struct options *options, const char *value)
{
	uint64_t size = 0;
	int result = strcmp(value, "off") == 0 ? 0 : size_parse(value, strlen(value), &size);

	if (result < 0 || (size < MEMORY_MIN && strcmp(value, "off") != 0))
		return -EINVAL;
	options->memory = size;
	options->has_memory = true;
	return 0;
}

static int set_chunk(struct options *options, const char *value)
{
	int result = size_parse(value, strlen(value), &options->chunk);

	return result < 0 || options->chunk == 0 ? -EINVAL : 0;
}

static int set_sector_size(struct options *options, const char *value)
{
	uint64_t size;

	if (size_parse(value, strlen(value), &size) < 0 ||
	    (size != 512 && size != 1024 && size != 2048 && size != 4096))
		return -EINVAL;
	options->sector_size = size;
	return 0;
}

static int set_cache(struct options *options, const char *value)
{
	static const char *const words[] = { "auto", "none", "always" };
	int result = option_word(value, words, COUNT(words));

	if (result < 0)
		return result;
	options->cache = (enum cache_option)result;
	return 0;
}

static int set_lock(struct options *options, const char *value)
{
	static const char *const words[] = { "off", "on" };
	int result = option_word(value, words, COUNT(words));

	return result < 0 ? result : set_flag(&options->no_lock, result == 0);
}

/* option is the whole of it, "name=value". */
static int set_mount_option(struct options *options, enum mount_option_key key, const char *option,
			    const char *value)
{
	value = value ?: ""; /* that of one which takes none */
	switch (key) {
	case MOUNT_OPTION_RO:
		return set_flag(&options->read_only, true);
	case MOUNT_OPTION_RW:
		return set_flag(&options->read_only, false);
	case MOUNT_OPTION_ALLOW_OTHER:
		return append_fuse_option(options, "allow_other");
	case MOUNT_OPTION_UID:
		return set_number(&options->uid, &options->has_uid, value, 10, UINT_MAX - 1);
	case MOUNT_OPTION_GID:
		return set_number(&options->gid, &options->has_gid, value, 10, UINT_MAX - 1);
	case MOUNT_OPTION_MODE:
		return set_number(&options->mode, &options->has_mode, value, 8, 0777);
	case MOUNT_OPTION_CACHE:
		return set_cache(options, value);
	case MOUNT_OPTION_MEMORY:
		return set_memory(options, value);
	case MOUNT_OPTION_WRITEBACK:
		return set_flag(&options->writeback, true);
	case MOUNT_OPTION_XATTR:
		return set_flag(&options->xattr, true);
	case MOUNT_OPTION_LOCK:
		return set_lock(options, value);
	case MOUNT_OPTION_SOURCE_TABLE:
		return set_flag(&options->source_is_table, true);
	case MOUNT_OPTION_LAYOUT:
		return set_text(&options->layout, value);
	case MOUNT_OPTION_CHUNK:
		return set_chunk(options, value);
	case MOUNT_OPTION_MTDPARTS:
		return set_text(&options->mtdparts, value);
	case MOUNT_OPTION_SECTOR_SIZE:
		return set_sector_size(options, value);
	case MOUNT_OPTION_DEPTH:
		return set_number(&options->depth, NULL, value, 10, OPTION_DEPTH_MAX);
	case MOUNT_OPTION_GAPS:
		return set_flag(&options->gaps, true);
	case MOUNT_OPTION_WHOLE:
		return set_flag(&options->whole, true);
	case MOUNT_OPTION_LENIENT:
		return set_flag(&options->lenient, true);
	case MOUNT_OPTION_ADVICE:
	case MOUNT_OPTION_HUGEPAGES:
	case MOUNT_OPTION_POPULATE:
	case MOUNT_OPTION_LOCK_MEMORY:
	case MOUNT_OPTION_DROP_BEHIND:
		return policy_parse(option, &options->policy);
	case MOUNT_OPTION_END:
		break;
	}
	return 0;
}

/* What would have been a good value, where the help does not say it by the name of the argument. */
static const char *good_values(const struct mount_option_entry *entry)
{
	switch (entry->key) {
	case MOUNT_OPTION_MODE:
		return "OCTAL, up to 777";
	case MOUNT_OPTION_CACHE:
		return "auto|none|always";
	case MOUNT_OPTION_MEMORY:
		return "SIZE, 1M or more, or off";
	case MOUNT_OPTION_DEPTH:
		return "N, up to 16";
	case MOUNT_OPTION_SECTOR_SIZE:
		return "512|1024|2048|4096";
	case MOUNT_OPTION_ADVICE:
		return "normal|sequential|random|willneed";
	default:
		return entry->argument;
	}
}

/* One element of a -o list. Modifies it. */
static int read_mount_option(struct options *options, char *option, struct error *error)
{
	for (const struct mount_option_entry *entry = mount_option_entries; entry->name; entry++) {
		size_t length = strlen(entry->name);
		const char *value = NULL;
		int result;

		if (strncmp(option, entry->name, length) != 0 ||
		    (option[length] != '\0' && option[length] != '='))
			continue;
		if (option[length] == '=')
			value = option + length + 1;
		if (!entry->argument != !value) {
			error_add(error, NULL, "option '%s' %s", entry->name,
				  value ? "takes no value" : "needs a value");
			return -EINVAL;
		}
		result = set_mount_option(options, entry->key, option, value);
		if (result == -EINVAL)
			error_add(error, NULL, "option '%s': bad value '%s', wants %s", entry->name,
				  value, good_values(entry));
		return result;
	}
	return is_ignored(option) ? 0 : append_fuse_option(options, option);
}

/* The next element of a list, cut off at its comma. As in mount(8), what stands in double quotes may
 * have commas; the quotes go.
 */
static char *next_option(char **rest)
{
	char *option = *rest;
	char *out = option;
	bool quoted = false;

	for (char *at = option;; at++) {
		if (*at == '\0' || (*at == ',' && !quoted)) {
			*rest = *at ? at + 1 : NULL;
			*out = '\0';
			return option;
		}
		if (*at == '"')
			quoted = !quoted;
		else
			*out++ = *at;
	}
}

int mount_options_read(struct options *options, const char *list, struct error *error)
{
	_cleanup_(cleanup_free) char *copy = strdup(list);
	char *rest = copy;
	int result = copy ? 0 : -ENOMEM;

	while (rest) {
		int one = read_mount_option(options, next_option(&rest), error);

		if (one < 0)
			result = one;
	}
	return result;
}
