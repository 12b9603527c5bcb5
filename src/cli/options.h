/* SPDX-License-Identifier: MIT */
#ifndef CLI_OPTIONS_H
#define CLI_OPTIONS_H

#include "mmapfs/error.h"
#include "mmapfs/policy.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

enum verb {
	VERB_MOUNT,
	VERB_PLAN,
	VERB_WHERE,
	VERB_UMOUNT,
};

/* How deep layouts may be looked for in what layouts have found. */
#define OPTION_DEPTH_MAX 16

enum cache_option {
	CACHE_OPTION_AUTO,
	CACHE_OPTION_NONE,
	CACHE_OPTION_ALWAYS,
};

/* The command line, decoded. Strings are borrowed from it unless they say otherwise. */
struct options {
	enum verb verb;
	bool help;
	bool version;
	bool foreground;
	bool debug;
	bool json;
	bool human;
	bool map;
	bool fake; /* mount(8)'s -f: go through the motions only */

	char **slices; /* the array is owned */
	size_t slice_count;
	const char *table;
	const char *svg;

	bool read_only;
	bool writeback;
	bool xattr;
	bool no_lock;
	bool source_is_table;
	bool has_mode;
	bool has_uid; /* given, not the caller's own */
	bool has_gid;
	bool has_memory;
	mode_t mode;
	uid_t uid;
	gid_t gid;
	enum cache_option cache;
	char *layout;         /* owned; NULL: whichever recognises the image */
	char *mtdparts;       /* owned, or NULL */
	uint64_t memory;      /* bytes; 0: no limit */
	uint64_t chunk;       /* bytes, or 0 */
	uint64_t sector_size; /* bytes, or 0 */
	unsigned depth;
	bool gaps;
	bool whole;
	bool lenient;
	struct memory_policy policy;

	char *fuse_options; /* comma list of what is not ours; owned, "" for none */
	size_t fuse_options_length;
	size_t fuse_options_room;

	char **arguments; /* what is not an option */
	int argument_count;
};

/* Decode a command line: "mmapfs [VERB] ..." or, called as mount.mmapfs, what mount(8) passes.
 * May reorder argv. 0, -EINVAL with messages, or -ENOMEM; clear ret in any case.
 */
int options_parse(int argc, char **argv, struct options *ret, struct error *error);
void options_clear(struct options *options);

/* The list of options as --help shows it, and as the manual page includes it (mdoc). */
void options_print_help(FILE *out);
void options_print_manual(FILE *out);

#endif
