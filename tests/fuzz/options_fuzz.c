/* SPDX-License-Identifier: MIT */
/* A whole command line, its strings separated by NULs; the first one is the program's name, which
 * is of interest only where it is that of mount(8)'s helper. Each string is also tried as a list of
 * mount options.
 */
#include "fuzz.h"

#include "options.h"

#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define STRINGS_MAX 64
#define PROGRAM "fuzzed-program"

/* One more than strings for -o each, and the NULL. */
#define ARGUMENTS_MAX (2 * 4096)

static int parse(int count, char **arguments, struct options *ret, struct error *error)
{
	int result;

	*error = (struct error)ERROR_INIT;
	optind = 0; /* glibc: begin anew */
	result = options_parse(count, arguments, ret, error);
	check_messages(result, error);
	return result;
}

static bool is_within(const char *text, char **arguments, int count)
{
	for (int i = 0; i < count; i++)
		if (text >= arguments[i] && text <= arguments[i] + strlen(arguments[i]))
			return true;
	return false;
}

/* What is not our own goes on to libfuse as it is, without the rest and without empty elements. Where
 * quotes have kept commas, it is escaped for libfuse, and no list for us any more.
 */
static void check_fuse_options(const char *list)
{
	char *copy = strdup(list);
	char *arguments[] = { (char *)"mmapfs", (char *)"plan", (char *)"-o", copy, NULL };
	struct options options;
	struct error error;

	check(copy);
	if (strstr(list, "\\,")) {
		free(copy);
		return;
	}
	check(!strstr(list, ",,") && *list != ',' && (!*list || list[strlen(list) - 1] != ','));
	check(parse(4, arguments, &options, &error) == 0);
	check(strcmp(options.fuse_options, list) == 0);
	check(!options.read_only && !options.xattr && !options.no_lock && !options.has_mode &&
	      !options.source_is_table && options.cache == CACHE_OPTION_AUTO &&
	      options.uid == geteuid() && options.gid == getegid());
	options_clear(&options);
	free(copy);
}

static void check_line(char **strings, int count)
{
	char *arguments[STRINGS_MAX + 1] = { 0 };
	bool named = false;
	struct options options;
	struct error error;
	int result;

	memcpy(arguments, strings, count * sizeof(*strings));
	program_invocation_short_name = arguments[0];
	result = parse(count, arguments, &options, &error);
	program_invocation_short_name = (char *)"mmapfs";
	if (result == 0) {
		check(options.argument_count >= 0 && options.argument_count < count);
		for (int i = 0; i < options.argument_count; i++)
			check(is_within(options.arguments[i], strings, count));
		check(!options.arguments[options.argument_count]);
		check(options.slice_count < (size_t)count);
		for (size_t i = 0; i < options.slice_count; i++)
			check(is_within(options.slices[i], strings, count));
		check(!options.table || is_within(options.table, strings, count));
		check(options.mode <= 0777 && (options.has_mode || options.mode == 0));
		check(options.uid != (uid_t)-1 && options.gid != (gid_t)-1);
		check(options.foreground || !options.debug);
		check(!options.json || options.verb == VERB_PLAN);
		check(!(options.human || options.map) || options.verb == VERB_PLAN);
		check(!options.svg ||
		      (options.verb == VERB_PLAN && is_within(options.svg, strings, count)));
		check_fuse_options(options.fuse_options);
	}
	for (int i = 1; i < count; i++)
		named |= strstr(strings[i], PROGRAM) != NULL;
	/* No option is the program's name. */
	for (size_t i = 0; i < error.count; i++)
		check(named || !strstr(error.messages[i], PROGRAM));
	error_clear(&error);
	options_clear(&options);
}

static bool is_element(const char *list, const char *element, size_t length)
{
	for (size_t other; *list; list += other + (list[other] == ',')) {
		other = strcspn(list, ",");
		if (other == length && memcmp(list, element, length) == 0)
			return true;
	}
	return false;
}

#define PAIRS_MAX 500 /* bytes of a list of which all elements are compared */

/* What goes on to libfuse was in the list. */
static void check_origin(const char *fuse_options, const char *list)
{
	for (size_t length; *fuse_options && strlen(list) < PAIRS_MAX;
	     fuse_options += length + (fuse_options[length] == ',')) {
		length = strcspn(fuse_options, ",");
		check(is_element(list, fuse_options, length));
	}
}

/* The element that list begins with, cut off; a comma in double quotes is not its end. */
static char *split_list(char **list)
{
	char *element = *list;
	bool quoted = false;
	char *at = element;

	for (; *at && (quoted || *at != ','); at++)
		quoted ^= *at == '"';
	*list = *at ? at + 1 : NULL;
	*at = '\0';
	return element;
}

/* -o a,b is -o a -o b. */
static void check_list(char *list)
{
	char *together[] = { (char *)"mmapfs", (char *)"plan", (char *)"-o", list, NULL };
	char *copy = strdup(list);
	char *rest = copy;
	char *apart[ARGUMENTS_MAX] = { (char *)"mmapfs", (char *)"plan" };
	int count = 2;
	struct options a;
	struct options b;
	struct error a_error;
	struct error b_error;

	check(copy);
	while (rest && count < ARGUMENTS_MAX - 3) {
		apart[count++] = (char *)"-o";
		apart[count++] = split_list(&rest);
	}
	if (!rest) {
		check(parse(4, together, &a, &a_error) == parse(count, apart, &b, &b_error));
		check(a_error.count == b_error.count && a_error.omitted == b_error.omitted);
		for (size_t i = 0; i < a_error.count; i++)
			check(strcmp(a_error.messages[i], b_error.messages[i]) == 0);
		check(strcmp(a.fuse_options, b.fuse_options) == 0);
		if (!strchr(list, '"'))
			check_origin(a.fuse_options, list);
		check(a.read_only == b.read_only && a.xattr == b.xattr && a.no_lock == b.no_lock);
		check(a.has_mode == b.has_mode && a.mode == b.mode && a.cache == b.cache);
		check(a.uid == b.uid && a.gid == b.gid);
		check(a.argument_count == 0 && b.argument_count == 0);
		options_clear(&a);
		options_clear(&b);
		error_clear(&a_error);
		error_clear(&b_error);
	}
	free(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = copy_text(data, size);
	char *strings[STRINGS_MAX];
	size_t count = split_text(text, size, strings, STRINGS_MAX);

	if (strcmp(strings[0], "mount.mmapfs") != 0)
		strings[0] = (char *)PROGRAM;
	check_line(strings, count);
	for (size_t i = 0; i < count; i++)
		check_list(strings[i]);
	free(text);
	return 0;
}
