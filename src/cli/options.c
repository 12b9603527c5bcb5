/* SPDX-License-Identifier: MIT */
/* The command line. options.def lists the options; this file decodes and describes them. */
#include "options_internal.h"

#include "cleanup.h"
#include "size.h"
#include "vec.h"

#include <getopt.h>
#include <limits.h>
#include <string.h>

#define ON_MOUNT (1 << VERB_MOUNT)
#define ON_PLAN (1 << VERB_PLAN)
#define ON_ALL (ON_MOUNT | ON_PLAN | 1 << VERB_WHERE | 1 << VERB_UMOUNT)

enum option_key {
	OPTION_END,
#define OPTION(key, ...) OPTION_##key,
#define MOUNT_OPTION(key, ...)
#define IGNORED(name)
#include "options.def"
#undef OPTION
#undef MOUNT_OPTION
#undef IGNORED
};

struct option_entry {
	enum option_key key;
	char letter;
	const char *name;
	const char *argument;
	int verbs;
	const char *help;
};

static const struct option_entry entries[] = {
#define OPTION(key, letter, name, argument, verbs, help)                                           \
	{ OPTION_##key, letter, name, argument, verbs, help },
#define MOUNT_OPTION(key, ...)
#define IGNORED(name)
#include "options.def"
#undef OPTION
#undef MOUNT_OPTION
#undef IGNORED
};

static const char *const verb_names[] = {
	[VERB_MOUNT] = "mount",
	[VERB_PLAN] = "plan",
	[VERB_WHERE] = "where",
	[VERB_UMOUNT] = "umount",
};

static int set_option(struct options *options, enum option_key key, char *value,
		      struct error *error)
{
	switch (key) {
	case OPTION_SLICE:
		options->slices[options->slice_count++] = value;
		break;
	case OPTION_TABLE:
		options->table = value;
		break;
	case OPTION_MOUNT_OPTIONS:
		return mount_options_read(options, value, error);
	case OPTION_FOREGROUND:
		options->foreground = true;
		break;
	case OPTION_DEBUG:
		options->foreground = options->debug = true;
		break;
	case OPTION_JSON:
		options->json = true;
		break;
	case OPTION_HUMAN:
		options->human = true;
		break;
	case OPTION_MAP:
		options->map = true;
		break;
	case OPTION_SVG:
		options->svg = value;
		break;
	case OPTION_HELP:
		options->help = true;
		break;
	case OPTION_VERSION:
		options->version = true;
		break;
	case OPTION_END:
		break;
	}
	return 0;
}

/* What getopt_long(3) wants, made from the list. */
struct getopt_tables {
	char letters[2 * COUNT(entries) + 2];
	struct option names[COUNT(entries) + 1];
};

static void make_tables(enum verb verb, struct getopt_tables *ret)
{
	char *letter = ret->letters;
	size_t count = 0;

	memset(ret, 0, sizeof(*ret));
	*letter++ = ':';
	for (size_t i = 0; i < COUNT(entries); i++) {
		if (!(entries[i].verbs & 1 << verb))
			continue;
		*letter++ = entries[i].letter;
		if (entries[i].argument)
			*letter++ = ':';
		ret->names[count++] = (struct option){
			.name = entries[i].name,
			.has_arg = entries[i].argument ? required_argument : no_argument,
			.val = entries[i].letter,
		};
	}
}

static enum option_key find_letter(int letter)
{
	for (size_t i = 0; i < COUNT(entries); i++)
		if (entries[i].letter == letter)
			return entries[i].key;
	return OPTION_END;
}

/* As with ls, -h alone asks for sizes that people can read, where there is something to list. */
static void choose_help_or_human(struct options *options)
{
	if (options->argument_count > 0 || options->slice_count > 0 || options->table)
		options->human = true;
	else
		options->help = true;
}

static int parse_own(int argc, char **argv, struct options *options, struct error *error)
{
	struct getopt_tables tables;
	bool human_or_help = false;
	int result = 0;
	int name = -1;
	int letter;

	make_tables(options->verb, &tables);
	opterr = 0;
	for (; (letter = getopt_long(argc, argv, tables.letters, tables.names, &name)) != -1;
	     name = -1) {
		int one = -EINVAL;

		if (letter == 'h' && name < 0 && options->verb == VERB_PLAN) {
			human_or_help = true;
			continue;
		}
		if (letter == ':')
			error_add(error, NULL, "option '%s' needs a value", argv[optind - 1]);
		else if (letter == '?' && optopt == 0)
			error_add(error, NULL, "unknown option '%s'", argv[optind - 1]);
		else if (letter == '?' && optopt != ':' && strchr(tables.letters, optopt))
			error_add(error, NULL, "option '%s' takes no value", argv[optind - 1]);
		else if (letter == '?')
			error_add(error, NULL, "unknown option '-%c'", optopt);
		else
			one = set_option(options, find_letter(letter), optarg, error);
		if (one < 0)
			result = one;
	}
	options->arguments = argv + optind;
	options->argument_count = argc - optind;
	if (human_or_help)
		choose_help_or_human(options);
	return result;
}

/* As mount(8) calls its helpers: SOURCE MOUNTPOINT [-sfnv] [-N NS] [-t TYPE] [-o LIST]. */
static int parse_helper(int argc, char **argv, struct options *options, struct error *error)
{
	int result = 0;
	int letter;

	opterr = 0;
	while ((letter = getopt(argc, argv, ":sfnvo:N:t:hV")) != -1) {
		int one = 0;

		switch (letter) {
		case 's':
		case 'n':
		case 'v':
		case 't':
			break;
		case 'f':
			options->fake = true;
			break;
		case 'h':
			options->help = true;
			break;
		case 'V':
			options->version = true;
			break;
		case 'o':
			one = mount_options_read(options, optarg, error);
			break;
		case ':':
			error_add(error, NULL, "option '-%c' needs a value", optopt);
			one = -EINVAL;
			break;
		case 'N':
			error_add(error, NULL, "option '-N' is not supported");
			one = -EINVAL;
			break;
		default:
			error_add(error, NULL, "unknown option '-%c'", optopt);
			one = -EINVAL;
		}
		if (one < 0)
			result = one;
	}
	options->arguments = argv + optind;
	options->argument_count = argc - optind;
	return result;
}

int options_parse(int argc, char **argv, struct options *ret, struct error *error)
{
	int verb = argc > 1 ? option_word(argv[1], verb_names, COUNT(verb_names)) : -EINVAL;

	*ret = (struct options){
		.verb = verb < 0 ? VERB_MOUNT : (enum verb)verb,
		.uid = geteuid(),
		.gid = getegid(),
		.slices = calloc(argc + 1, sizeof(*ret->slices)),
		.fuse_options = strdup(""),
		.fuse_options_room = 1,
	};
	if (!ret->slices || !ret->fuse_options)
		return -ENOMEM;
	if (strcmp(program_invocation_short_name, "mount.mmapfs") == 0) {
		ret->verb = VERB_MOUNT;
		return parse_helper(argc, argv, ret, error);
	}
	if (verb >= 0) {
		argc--;
		argv++;
	}
	return parse_own(argc, argv, ret, error);
}

void options_clear(struct options *options)
{
	free(options->slices);
	free(options->fuse_options);
	free(options->layout);
	free(options->mtdparts);
	*options = (struct options){ 0 };
}

/* Print one word of a text whose lines begin at indent and end before column 79. Returns the column
 * behind it.
 */
static int print_word_of(const char *word, int length, int column, int indent, FILE *out)
{
	if (column + 1 + length > 79) {
		fprintf(out, "\n%*s", indent, "");
		column = indent;
	} else if (column > indent) {
		putc(' ', out);
		column++;
	}
	fwrite(word, 1, length, out);
	return column + length;
}

static int print_word(const char *word, int column, int indent, FILE *out)
{
	return print_word_of(word, strlen(word), column, indent, out);
}

static void print_wrapped(const char *text, int indent, FILE *out)
{
	int column = indent;

	while (*text) {
		int length = strcspn(text, " ");

		column = print_word_of(text, length, column, indent, out);
		text += length + strspn(text + length, " ");
	}
	putc('\n', out);
}

#define HELP_INDENT 26

static void print_help_entry(const char *label, const char *help, FILE *out)
{
	int printed = fprintf(out, "  %-*s", HELP_INDENT - 2, label);

	if (printed > HELP_INDENT) {
		fprintf(out, "\n%*s", HELP_INDENT, "");
	}
	print_wrapped(help, HELP_INDENT, out);
}

void options_print_help(FILE *out)
{
	char label[64];
	int column = 2;

	fputs("Options:\n", out);
	for (size_t i = 0; i < COUNT(entries); i++) {
		snprintf(label, sizeof(label), "-%c, --%s%s%s", entries[i].letter, entries[i].name,
			 entries[i].argument ? " " : "",
			 entries[i].argument ? entries[i].argument : "");
		print_help_entry(label, entries[i].help, out);
	}
	fputs("\nMount options (-o):\n", out);
	for (const struct mount_option_entry *entry = mount_option_entries; entry->name; entry++) {
		snprintf(label, sizeof(label), "%s%s%s", entry->name, entry->argument ? "=" : "",
			 entry->argument ? entry->argument : "");
		print_help_entry(label, entry->help, out);
	}
	fputs("\nOther options go to libfuse and the kernel. Ignored, for fstab(5):\n  ", out);
	for (const char *const *word = mount_options_ignored; *word; word++)
		column = print_word(*word, column, 2, out);
	print_word("x-*", column, 2, out);
	putc('\n', out);
}

void options_print_manual(FILE *out)
{
	fputs(".Bl -tag -width Ds\n", out);
	for (size_t i = 0; i < COUNT(entries); i++) {
		const struct option_entry *entry = &entries[i];

		fprintf(out, ".It Fl %c , Fl -%s", entry->letter, entry->name);
		if (entry->argument)
			fprintf(out, " Ar %s", entry->argument);
		fprintf(out, "\n%s.\n", entry->help);
	}
	fputs(".El\n.Pp\nMount options, behind\n.Fl o :\n.Bl -tag -width Ds\n", out);
	for (const struct mount_option_entry *entry = mount_option_entries; entry->name; entry++) {
		fprintf(out, ".It Cm %s", entry->name);
		if (entry->argument)
			fprintf(out, " Ns = Ns Ar %s", entry->argument);
		fprintf(out, "\n%s.\n", entry->help);
	}
	fputs(".El\n.Pp\nOther options go to libfuse and the kernel.\nIgnored, for\n.Xr fstab 5 :\n",
	      out);
	for (const char *const *word = mount_options_ignored; *word; word++)
		fprintf(out, ".Cm %s ,\n", *word);
	fputs(".Cm comment= ,\nand all that begin with\n.Cm x- .\n", out);
}
