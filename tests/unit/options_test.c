/* SPDX-License-Identifier: MIT */
/* The command line of each verb, of -o, and as mount(8) gives it to its helpers. */
#include "support.h"

#include "options.h"

#include <getopt.h>
#include <limits.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define ARGUMENTS_MAX 20

/* A command line and what came of it. */
struct parsed {
	char *arguments[ARGUMENTS_MAX + 1]; /* copies: getopt reorders, and may be handed anything */
	int count;
	int result;
	struct options options;
	struct error error;
};

static void parse_list(struct parsed *parsed, const char *const *arguments)
{
	*parsed = (struct parsed){ .error = ERROR_INIT };
	for (; arguments[parsed->count]; parsed->count++) {
		assert_true(parsed->count < ARGUMENTS_MAX);
		parsed->arguments[parsed->count] = strdup(arguments[parsed->count]);
	}
	optind = 0; /* glibc: begin anew */
	parsed->result =
		options_parse(parsed->count, parsed->arguments, &parsed->options, &parsed->error);
}

static void parsed_clear(struct parsed *parsed)
{
	options_clear(&parsed->options);
	error_clear(&parsed->error);
	for (int i = 0; i < parsed->count; i++)
		free(parsed->arguments[i]);
}

#define parse(parsed, ...)                                                                         \
	parse_list((parsed), (const char *const[]){ "mmapfs", __VA_ARGS__, NULL })

#define parse_good(parsed, ...)                                                                    \
	do {                                                                                       \
		parse((parsed), __VA_ARGS__);                                                      \
		assert_no_messages(&(parsed)->error);                                              \
		assert_result((parsed)->result, 0);                                                \
	} while (0)

/* The command line (in parentheses) is refused with these messages. */
#define ARGUMENTS(...) ((const char *const[]){ "mmapfs", __VA_ARGS__, NULL })
#define assert_refused(command, ...)                                                               \
	do {                                                                                       \
		struct parsed parsed_;                                                             \
		parse_list(&parsed_, command);                                                     \
		assert_messages(&parsed_.error, __VA_ARGS__);                                      \
		assert_result(parsed_.result, -EINVAL);                                            \
		parsed_clear(&parsed_);                                                            \
	} while (0)

#define assert_arguments(parsed, ...)                                                              \
	assert_arguments_((parsed), (const char *const[]){ __VA_ARGS__, NULL })
static void assert_arguments_(const struct parsed *parsed, const char *const *wanted)
{
	int count = 0;

	for (; wanted[count]; count++) {
		assert_true(count < parsed->options.argument_count);
		assert_string_equal(parsed->options.arguments[count], wanted[count]);
	}
	assert_int_equal(parsed->options.argument_count, count);
}

/* Clears the parsed as well: for tests that look at one thing only. */
static void assert_fuse_options(struct parsed *parsed, const char *wanted)
{
	assert_string_equal(parsed->options.fuse_options, wanted);
	parsed_clear(parsed);
}

/* --- verbs --- */

static void mount_is_the_bare_command(void **state)
{
	struct parsed parsed;

	parse_good(&parsed, "disk.img", "mnt");
	assert_int_equal(parsed.options.verb, VERB_MOUNT);
	assert_arguments(&parsed, "disk.img", "mnt");
	assert_false(parsed.options.foreground);
	assert_false(parsed.options.debug);
	assert_false(parsed.options.read_only);
	assert_false(parsed.options.has_mode);
	assert_false(parsed.options.no_lock);
	assert_false(parsed.options.xattr);
	assert_false(parsed.options.fake);
	assert_int_equal(parsed.options.cache, CACHE_OPTION_AUTO);
	assert_int_equal(parsed.options.uid, geteuid());
	assert_int_equal(parsed.options.gid, getegid());
	assert_int_equal(parsed.options.slice_count, 0);
	assert_null(parsed.options.table);
	assert_fuse_options(&parsed, "");

	parse_good(&parsed, "mount", "disk.img", "mnt");
	assert_int_equal(parsed.options.verb, VERB_MOUNT);
	assert_arguments(&parsed, "disk.img", "mnt");
	parsed_clear(&parsed);
}

static void verbs_come_first(void **state)
{
	struct parsed parsed;

	parse_good(&parsed, "plan", "disk.img");
	assert_int_equal(parsed.options.verb, VERB_PLAN);
	assert_arguments(&parsed, "disk.img");
	parsed_clear(&parsed);
	parse_good(&parsed, "where", "a", "b", "c");
	assert_int_equal(parsed.options.verb, VERB_WHERE);
	assert_arguments(&parsed, "a", "b", "c");
	parsed_clear(&parsed);
	parse_good(&parsed, "umount", "mnt");
	assert_int_equal(parsed.options.verb, VERB_UMOUNT);
	assert_arguments(&parsed, "mnt");
	parsed_clear(&parsed);
	/* Further back it is the name of a file. */
	parse_good(&parsed, "-f", "plan", "mnt");
	assert_int_equal(parsed.options.verb, VERB_MOUNT);
	assert_arguments(&parsed, "plan", "mnt");
	parsed_clear(&parsed);
	parse_good(&parsed, "plans", "mnt");
	assert_int_equal(parsed.options.verb, VERB_MOUNT);
	parsed_clear(&parsed);
}

static void no_arguments_are_for_the_verb_to_refuse(void **state)
{
	struct parsed parsed;

	parse_list(&parsed, (const char *const[]){ "mmapfs", NULL });
	assert_no_messages(&parsed.error);
	assert_result(parsed.result, 0);
	assert_int_equal(parsed.options.argument_count, 0);
	parsed_clear(&parsed);
}

/* --- options --- */

static void options_have_short_and_long_names(void **state)
{
	struct parsed parsed;

	parse_good(&parsed, "-s", "a=@0", "--slice", "b=@1", "--slice=c=@2", "-sd=@3", "mnt");
	assert_int_equal(parsed.options.slice_count, 4);
	assert_string_equal(parsed.options.slices[0], "a=@0");
	assert_string_equal(parsed.options.slices[1], "b=@1");
	assert_string_equal(parsed.options.slices[2], "c=@2");
	assert_string_equal(parsed.options.slices[3], "d=@3");
	assert_arguments(&parsed, "mnt");
	parsed_clear(&parsed);
	parse_good(&parsed, "-t", "disk.table", "mnt");
	assert_string_equal(parsed.options.table, "disk.table");
	parsed_clear(&parsed);
	parse_good(&parsed, "--table=-", "mnt");
	assert_string_equal(parsed.options.table, "-");
	parsed_clear(&parsed);
	parse_good(&parsed, "--foreground", "mnt");
	assert_true(parsed.options.foreground);
	assert_false(parsed.options.debug);
	parsed_clear(&parsed);
	parse_good(&parsed, "plan", "-j", "disk.img");
	assert_true(parsed.options.json);
	parsed_clear(&parsed);
	parse_good(&parsed, "plan", "--json", "disk.img");
	assert_true(parsed.options.json);
	parsed_clear(&parsed);
}

static void plan_shows_what_is_asked_for(void **state)
{
	struct parsed parsed;

	parse_good(&parsed, "plan", "--map", "--svg", "out.svg", "disk.img");
	assert_true(parsed.options.map);
	assert_false(parsed.options.human);
	assert_string_equal(parsed.options.svg, "out.svg");
	parsed_clear(&parsed);
	parse_good(&parsed, "plan", "-Hm", "-g-", "disk.img");
	assert_true(parsed.options.human);
	assert_true(parsed.options.map);
	assert_string_equal(parsed.options.svg, "-");
	parsed_clear(&parsed);
}

/* As with ls and df: -h is for human where there is something to list. */
static void plan_h_beside_a_source_is_human(void **state)
{
	static const char *const sources[][2] = {
		{ "-h", "disk.img" }, { "disk.img", "-h" }, { "-h", "-ta" }, { "-h", "-sa=b@0" }
	};
	struct parsed parsed;

	for (size_t i = 0; i < COUNT(sources); i++) {
		parse_good(&parsed, "plan", sources[i][0], sources[i][1]);
		assert_true(parsed.options.human);
		assert_false(parsed.options.help);
		parsed_clear(&parsed);
		parse_good(&parsed, "plan", "--help", sources[i][0], sources[i][1]);
		assert_true(parsed.options.help);
		parsed_clear(&parsed);
	}
	parse_good(&parsed, "plan", "-h");
	assert_true(parsed.options.help);
	assert_false(parsed.options.human);
	parsed_clear(&parsed);
	parse_good(&parsed, "where", "-h", "file");
	assert_true(parsed.options.help);
	parsed_clear(&parsed);
}

static void debug_implies_foreground(void **state)
{
	struct parsed parsed;

	parse_good(&parsed, "-d", "x", "mnt");
	assert_true(parsed.options.debug);
	assert_true(parsed.options.foreground);
	parsed_clear(&parsed);
}

static void help_and_version_are_for_every_verb(void **state)
{
	static const char *const verbs[] = { "mount", "plan", "where", "umount" };
	struct parsed parsed;

	for (size_t i = 0; i < COUNT(verbs); i++) {
		parse_good(&parsed, verbs[i], "--help");
		assert_true(parsed.options.help);
		parsed_clear(&parsed);
		parse_good(&parsed, verbs[i], "-h", "-V");
		assert_true(parsed.options.help);
		assert_true(parsed.options.version);
		parsed_clear(&parsed);
		parse_good(&parsed, verbs[i], "--version");
		assert_true(parsed.options.version);
		parsed_clear(&parsed);
	}
}

static void options_may_come_behind_arguments(void **state)
{
	struct parsed parsed;

	parse_good(&parsed, "disk.img", "-f", "mnt", "-o", "ro");
	assert_arguments(&parsed, "disk.img", "mnt");
	assert_true(parsed.options.foreground);
	assert_true(parsed.options.read_only);
	parsed_clear(&parsed);
}

static void two_dashes_end_the_options(void **state)
{
	struct parsed parsed;

	parse_good(&parsed, "-f", "--", "-d", "--table");
	assert_arguments(&parsed, "-d", "--table");
	assert_false(parsed.options.debug);
	parsed_clear(&parsed);
}

#define UNKNOWN(option) "unknown option '" option "'"

static void unknown_options_are_refused(void **state)
{
	assert_refused(ARGUMENTS("-x", "a", "b"), "unknown option '-x'");
	assert_refused(ARGUMENTS("--frobnicate", "a"), UNKNOWN("--frobnicate"));
	assert_refused(ARGUMENTS("--frobnicate=7", "a"), UNKNOWN("--frobnicate=7"));
	assert_refused(ARGUMENTS("-fx", "a"), "unknown option '-x'");
	/* getopt's own letters */
	assert_refused(ARGUMENTS("-:", "a"), "unknown option '-:'");
	assert_refused(ARGUMENTS("-f:d", "a"), "unknown option '-:'");
	assert_refused(ARGUMENTS("-;?", "a"), "unknown option '-;'", "unknown option '-?'");
	/* Beside a good one the bad one is meant. */
	assert_refused(ARGUMENTS("plan", "--json", "-xj", "a"), "unknown option '-x'");
	assert_refused(ARGUMENTS("-x", "-y", "--z"), "unknown option '-x'", "unknown option '-y'",
		       UNKNOWN("--z"));
}

static void options_of_other_verbs_are_unknown(void **state)
{
	assert_refused(ARGUMENTS("mount", "--json", "a"), UNKNOWN("--json"));
	assert_refused(ARGUMENTS("-j", "a"), "unknown option '-j'");
	assert_refused(ARGUMENTS("plan", "-f", "a"), "unknown option '-f'");
	assert_refused(ARGUMENTS("plan", "--debug", "a"), UNKNOWN("--debug"));
	assert_refused(ARGUMENTS("where", "-s", "a"), "unknown option '-s'");
	assert_refused(ARGUMENTS("where", "-o", "ro"), "unknown option '-o'");
	assert_refused(ARGUMENTS("umount", "-t", "x"), "unknown option '-t'");
	assert_refused(ARGUMENTS("umount", "--options=ro"), UNKNOWN("--options=ro"));
}

static void missing_values_are_told(void **state)
{
	assert_refused(ARGUMENTS("a", "-s"), "option '-s' needs a value");
	assert_refused(ARGUMENTS("a", "--table"), "option '--table' needs a value");
	assert_refused(ARGUMENTS("plan", "-o"), "option '-o' needs a value");
}

static void value_that_is_not_wanted_is_told(void **state)
{
	assert_refused(ARGUMENTS("plan", "--json=yes", "a"), "option '--json=yes' takes no value");
	assert_refused(ARGUMENTS("--help=me"), "option '--help=me' takes no value");
}

/* --- -o --- */

static void mount_options_are_a_comma_list(void **state)
{
	struct parsed parsed;

	parse_good(&parsed, "-o",
		   "ro,uid=7,gid=8,mode=0604,cache=none,writeback,xattr,lock=off,table", "a", "b");
	assert_true(parsed.options.read_only);
	assert_int_equal(parsed.options.uid, 7);
	assert_int_equal(parsed.options.gid, 8);
	assert_true(parsed.options.has_mode);
	assert_int_equal(parsed.options.mode, 0604);
	assert_int_equal(parsed.options.cache, CACHE_OPTION_NONE);
	assert_true(parsed.options.writeback);
	assert_true(parsed.options.xattr);
	assert_true(parsed.options.no_lock);
	assert_true(parsed.options.source_is_table);
	assert_fuse_options(&parsed, "");
}

static void memory_is_a_size_or_off(void **state)
{
	struct parsed parsed;

	parse_good(&parsed, "a", "b");
	assert_false(parsed.options.has_memory);
	parsed_clear(&parsed);
	parse_good(&parsed, "-o", "memory=64M", "a", "b");
	assert_true(parsed.options.has_memory);
	assert_int_equal(parsed.options.memory, 64 << 20);
	parsed_clear(&parsed);
	parse_good(&parsed, "-o", "memory=64M,memory=off", "a", "b");
	assert_true(parsed.options.has_memory);
	assert_int_equal(parsed.options.memory, 0);
	parsed_clear(&parsed);
	parse_good(&parsed, "-o", "memory=1M", "a", "b");
	parsed_clear(&parsed);
	for (const char *const *bad = (const char *const[]){ "0", "1023K", "on", "", "-1M", NULL };
	     *bad; bad++) {
		char option[32];
		char message[96];

		snprintf(option, sizeof(option), "memory=%s", *bad);
		snprintf(message, sizeof(message),
			 "option 'memory': bad value '%s', wants SIZE, 1M or more, or off", *bad);
		assert_refused(ARGUMENTS("-o", option, "a"), message);
	}
	assert_refused(ARGUMENTS("-o", "memory", "a"), "option 'memory' needs a value");
}

static void layout_options_are_taken(void **state)
{
	struct parsed parsed;

	parse_good(&parsed, "-o", "layout=gpt,depth=2,gaps,whole,lenient,sector-size=4K", "a", "b");
	assert_string_equal(parsed.options.layout, "gpt");
	assert_int_equal(parsed.options.depth, 2);
	assert_true(parsed.options.gaps && parsed.options.whole && parsed.options.lenient);
	assert_int_equal(parsed.options.sector_size, 4096);
	assert_false(parsed.options.has_uid || parsed.options.has_gid);
	assert_fuse_options(&parsed, "");
	parse_good(&parsed, "-o", "chunk=64M,uid=5,gid=6", "a", "b");
	assert_null(parsed.options.layout);
	assert_int_equal(parsed.options.chunk, 64 << 20);
	assert_true(parsed.options.has_uid && parsed.options.has_gid);
	assert_fuse_options(&parsed, "");
}

static void quotes_keep_commas(void **state)
{
	struct parsed parsed;

	parse_good(&parsed, "-o", "mtdparts=\"256k(a)ro,-(b)\",ro", "a", "b");
	assert_string_equal(parsed.options.mtdparts, "256k(a)ro,-(b)");
	assert_true(parsed.options.read_only);
	assert_fuse_options(&parsed, "");
	/* libfuse has an escape for them. */
	parse_good(&parsed, "-o", "fsname=\"a,b\",\"max_read=4096\"", "a", "b");
	assert_fuse_options(&parsed, "fsname=a\\,b,max_read=4096");
}

static void later_mount_options_win(void **state)
{
	struct parsed parsed;

	parse_good(&parsed, "-o", "ro,rw,cache=none,cache=always", "-o", "lock=off", "--options",
		   "lock=on", "a", "b");
	assert_false(parsed.options.read_only);
	assert_int_equal(parsed.options.cache, CACHE_OPTION_ALWAYS);
	assert_false(parsed.options.no_lock);
	parsed_clear(&parsed);
	parse_good(&parsed, "-o", "rw", "-o", "ro,cache=auto", "a", "b");
	assert_true(parsed.options.read_only);
	assert_int_equal(parsed.options.cache, CACHE_OPTION_AUTO);
	parsed_clear(&parsed);
}

static void other_mount_options_go_to_libfuse(void **state)
{
	struct parsed parsed;

	parse_good(&parsed, "-o", "allow_other,max_read=4096", "-o", "fsname=x", "a", "b");
	assert_fuse_options(&parsed, "allow_other,max_read=4096,fsname=x");
	/* Ours must not swallow what only begins like them. */
	parse_good(&parsed, "-o", "rootmode=1,ro_x,uids=3,rwx,xattrs,locking,tables", "a", "b");
	assert_fuse_options(&parsed, "rootmode=1,ro_x,uids=3,rwx,xattrs,locking,tables");
	assert_int_equal(parsed.options.read_only, false);
	parse_good(&parsed, "-o", "nosuid,ro,nodev,noexec", "a", "b");
	assert_true(parsed.options.read_only);
	assert_fuse_options(&parsed, "nosuid,nodev,noexec");
}

/* Processor time for a list of so many, in microseconds. */
static int64_t time_to_list(size_t count)
{
	char *list = malloc(count * 3 + 1);
	struct parsed parsed;
	clock_t start;

	assert_non_null(list);
	for (size_t i = 0; i < count; i++)
		memcpy(list + i * 3, "aa,", 4);
	start = clock();
	parse_good(&parsed, "plan", "-o", list);
	start = clock() - start;
	assert_int_equal(strlen(parsed.options.fuse_options), count * 3 - 1);
	parsed_clear(&parsed);
	free(list);
	return start * 1000000 / CLOCKS_PER_SEC;
}

static void time_for_many_options_grows_with_their_number(void **state)
{
	/* On a busy machine a measurement can go wrong; a quadratic one never comes out right. */
	for (int i = 0; i < 3; i++) {
		int64_t few = time_to_list(10 * 1000);
		int64_t many = time_to_list(320 * 1000);

		if (many < 100 * few)
			return;
		print_message("10000 options: %d us, 320000: %d us\n", (int)few, (int)many);
	}
	fail();
}

static void words_of_fstab_are_ignored(void **state)
{
	struct parsed parsed;

	parse_good(&parsed, "-o",
		   "_netdev,nofail,auto,noauto,user,nouser,users,owner,group,defaults,"
		   "x-systemd.automount,x-gvfs-show,X-mount.mkdir=755,comment=hello world",
		   "a", "b");
	assert_fuse_options(&parsed, "");
	parse_good(&parsed, "-o", ",,dev,,", "a", "b");
	assert_fuse_options(&parsed, "dev");
	parse_good(&parsed, "-o", "", "a", "b");
	assert_fuse_options(&parsed, "");
	parse_good(&parsed, "-o", "defaultsx,autos", "a", "b");
	assert_fuse_options(&parsed, "defaultsx,autos");
}

static void bad_values_of_mount_options_are_told(void **state)
{
	assert_refused(ARGUMENTS("-o", "uid=root", "a"), "option 'uid': bad value 'root', wants N");
	assert_refused(ARGUMENTS("-o", "uid=", "a"), "option 'uid': bad value '', wants N");
	assert_refused(ARGUMENTS("-o", "gid=-1", "a"), "option 'gid': bad value '-1', wants N");
	assert_refused(ARGUMENTS("-o", "gid=4294967295", "a"),
		       "option 'gid': bad value '4294967295', wants N");
	assert_refused(ARGUMENTS("-o", "uid=0x10", "a"), "option 'uid': bad value '0x10', wants N");
	assert_refused(ARGUMENTS("-o", "mode=8", "a"),
		       "option 'mode': bad value '8', wants OCTAL, up to 777");
	assert_refused(ARGUMENTS("-o", "mode=1777", "a"),
		       "option 'mode': bad value '1777', wants OCTAL, up to 777");
	assert_refused(ARGUMENTS("-o", "cache=Auto", "a"),
		       "option 'cache': bad value 'Auto', wants auto|none|always");
	assert_refused(ARGUMENTS("-o", "lock=yes", "a"),
		       "option 'lock': bad value 'yes', wants on|off");
}

static void mount_options_want_a_value_or_none(void **state)
{
	assert_refused(ARGUMENTS("-o", "ro=1,rw=,xattr=on,table=x,allow_other=1", "a"),
		       "option 'ro' takes no value", "option 'rw' takes no value",
		       "option 'xattr' takes no value", "option 'table' takes no value",
		       "option 'allow_other' takes no value");
	assert_refused(ARGUMENTS("-o", "uid,gid,mode,cache,lock", "a"),
		       "option 'uid' needs a value", "option 'gid' needs a value",
		       "option 'mode' needs a value", "option 'cache' needs a value",
		       "option 'lock' needs a value");
}

static void everything_wrong_is_said_at_once(void **state)
{
	assert_refused(ARGUMENTS("-x", "-o", "uid=a,ro,mode=9", "--y", "a", "-s"),
		       "unknown option '-x'", "option 'uid': bad value 'a', wants N",
		       "option 'mode': bad value '9', wants OCTAL, up to 777", UNKNOWN("--y"),
		       "option '-s' needs a value");
}

/* --- mount.mmapfs --- */

static char *real_name;

static int call_helper(void **state)
{
	real_name = program_invocation_short_name;
	program_invocation_short_name = (char *)"mount.mmapfs";
	return 0;
}

static int call_program(void **state)
{
	program_invocation_short_name = real_name;
	return 0;
}

static void helper_takes_what_mount_gives_it(void **state)
{
	struct parsed parsed;

	parse_good(&parsed, "disk.img", "/mnt", "-o", "rw,uid=5,nosuid,_netdev");
	assert_int_equal(parsed.options.verb, VERB_MOUNT);
	assert_arguments(&parsed, "disk.img", "/mnt");
	assert_false(parsed.options.read_only);
	assert_int_equal(parsed.options.uid, 5);
	assert_fuse_options(&parsed, "nosuid");
	parse_good(&parsed, "disk.img", "/mnt", "-sfnv", "-t", "mmapfs", "-o", "table,ro");
	assert_true(parsed.options.fake);
	assert_false(parsed.options.foreground);
	assert_true(parsed.options.source_is_table);
	assert_true(parsed.options.read_only);
	assert_null(parsed.options.table);
	assert_int_equal(parsed.options.slice_count, 0);
	parsed_clear(&parsed);
}

static void helper_knows_no_verbs(void **state)
{
	struct parsed parsed;

	parse_good(&parsed, "plan", "/mnt", "-o", "rw");
	assert_int_equal(parsed.options.verb, VERB_MOUNT);
	assert_arguments(&parsed, "plan", "/mnt");
	parsed_clear(&parsed);
}

static void helper_refuses_unknown_options(void **state)
{
	assert_refused(ARGUMENTS("a", "/mnt", "-x"), "unknown option '-x'");
	assert_refused(ARGUMENTS("a", "/mnt", "-j"), "unknown option '-j'");
	assert_refused(ARGUMENTS("a", "/mnt", "-o", "uid=x"),
		       "option 'uid': bad value 'x', wants N");
}

static void helper_tells_missing_values(void **state)
{
	assert_refused(ARGUMENTS("a", "/mnt", "-o"), "option '-o' needs a value");
}

/* mount --namespace hands it on; what cannot be honoured must at least be named. */
static void helper_names_the_namespace_option(void **state)
{
	struct parsed parsed;

	parse(&parsed, "a", "/mnt", "-N", "/proc/1/ns/mnt");
	if (parsed.result < 0) {
		assert_int_equal(parsed.error.count, 1);
		assert_non_null(strstr(parsed.error.messages[0], "'-N'"));
	}
	parsed_clear(&parsed);
}

static void helper_answers_for_help(void **state)
{
	struct parsed parsed;

	parse_good(&parsed, "-h");
	assert_true(parsed.options.help);
	parsed_clear(&parsed);
	parse_good(&parsed, "-V");
	assert_true(parsed.options.version);
	parsed_clear(&parsed);
}

/* --- what is printed of the list --- */

static char *printed(void (*print)(FILE *out))
{
	FILE *out = tmpfile();
	char *text;

	assert_non_null(out);
	print(out);
	text = stream_text(out);
	fclose(out);
	return text;
}

static void help_names_every_option_in_80_columns(void **state)
{
	static const char *const wanted[] = {
		"-s, --slice SLICE",
		"-t, --table FILE",
		"-o, --options LIST",
		"-f, --foreground",
		"-d, --debug",
		"-j, --json",
		"-H, --human",
		"-m, --map",
		"-g, --svg FILE",
		"-h, --help",
		"-V, --version",
		"uid=N",
		"gid=N",
		"mode=OCTAL",
		"cache=MODE",
		"lock=on|off",
		"memory=SIZE|off",
		"allow_other",
		"writeback",
		"xattr",
		"_netdev",
	};
	char *help = printed(options_print_help);

	for (size_t i = 0; i < COUNT(wanted); i++)
		if (!strstr(help, wanted[i]))
			fail_msg("'%s' is missing in:\n%s", wanted[i], help);
	for (const char *line = help; *line; line += strcspn(line, "\n") + 1)
		assert_true(strcspn(line, "\n") < 80);
	free(help);
}

static void manual_names_every_option(void **state)
{
	char *manual = printed(options_print_manual);

	assert_non_null(strstr(manual, ".It Fl s , Fl -slice Ar SLICE\n"));
	assert_non_null(strstr(manual, ".It Fl j , Fl -json\n"));
	assert_non_null(strstr(manual, ".It Fl g , Fl -svg Ar FILE\n"));
	assert_non_null(strstr(manual, ".It Cm uid Ns = Ns Ar N\n"));
	assert_non_null(strstr(manual, ".It Cm ro\n"));
	free(manual);
}

#define helper_test(function) cmocka_unit_test_setup_teardown(function, call_helper, call_program)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(mount_is_the_bare_command),
		cmocka_unit_test(verbs_come_first),
		cmocka_unit_test(no_arguments_are_for_the_verb_to_refuse),
		cmocka_unit_test(options_have_short_and_long_names),
		cmocka_unit_test(plan_shows_what_is_asked_for),
		cmocka_unit_test(plan_h_beside_a_source_is_human),
		cmocka_unit_test(debug_implies_foreground),
		cmocka_unit_test(help_and_version_are_for_every_verb),
		cmocka_unit_test(options_may_come_behind_arguments),
		cmocka_unit_test(two_dashes_end_the_options),
		cmocka_unit_test(unknown_options_are_refused),
		cmocka_unit_test(options_of_other_verbs_are_unknown),
		cmocka_unit_test(missing_values_are_told),
		cmocka_unit_test(value_that_is_not_wanted_is_told),
		cmocka_unit_test(mount_options_are_a_comma_list),
		cmocka_unit_test(memory_is_a_size_or_off),
		cmocka_unit_test(layout_options_are_taken),
		cmocka_unit_test(quotes_keep_commas),
		cmocka_unit_test(later_mount_options_win),
		cmocka_unit_test(other_mount_options_go_to_libfuse),
		cmocka_unit_test(time_for_many_options_grows_with_their_number),
		cmocka_unit_test(words_of_fstab_are_ignored),
		cmocka_unit_test(bad_values_of_mount_options_are_told),
		cmocka_unit_test(mount_options_want_a_value_or_none),
		cmocka_unit_test(everything_wrong_is_said_at_once),
		helper_test(helper_takes_what_mount_gives_it),
		helper_test(helper_knows_no_verbs),
		helper_test(helper_refuses_unknown_options),
		helper_test(helper_tells_missing_values),
		helper_test(helper_names_the_namespace_option),
		helper_test(helper_answers_for_help),
		cmocka_unit_test(help_names_every_option_in_80_columns),
		cmocka_unit_test(manual_names_every_option),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
