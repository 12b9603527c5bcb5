/* SPDX-License-Identifier: MIT */
#ifndef CLI_CLI_H
#define CLI_CLI_H

#include "mmapfs/error.h"
#include "mmapfs/layout.h"
#include "mmapfs/tree.h"
#include "options.h"

#include <time.h>

/* Exit statuses of every verb. */
enum {
	EXIT_DONE = 0,
	EXIT_FAILED = 1,
	EXIT_USAGE = 2,
};

/* Each runs a verb and returns the exit status, having printed its messages. */
int verb_mount(const struct options *options);
int verb_plan(const struct options *options);
int verb_where(const struct options *options);
int verb_umount(const struct options *options);

/* One line on standard error. */
void complain(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Print what was collected, a line each, and clear it. */
void complain_all(struct error *error);

/* Flush standard output: an exit status, and a message when it could not be written. */
int finish_output(void);

/* For _cleanup_(). */
static inline void cleanup_tree(struct tree **tree)
{
	tree_free(*tree);
}

static inline void cleanup_builder(struct tree_builder **builder)
{
	tree_builder_free(*builder);
}

/* What plan shows to people: lists and pictures. draw_check: whether the options go together; draw
 * what they say. 0 or an exit status.
 */
int draw_check(const struct options *options);
int draw(const struct tree *tree, const struct options *options);

/* What the command line wants mounted. arguments holds IMAGE when there is neither a table nor
 * slices that all name theirs. 0, or an exit status when the combination makes no sense.
 */
struct source {
	const char *image; /* borrowed; NULL for none */
	const char *table; /* borrowed; NULL for none */
};
int source_choose(const struct options *options, int argument_count, struct source *ret);

/* session_new(), with its messages printed. 0 or an exit status. */
struct session;
struct session_options;
int session_start(const struct session_options *options, struct session **ret);

/* Build the tree of the source. Prints what is wrong, and what layouts have noted unless report is
 * there to take it, with what else they have found (layout_report_clear). *ret is the caller's (tree_free). 0 or an
 * exit status.
 */
int source_build(const struct source *source, const struct options *options, bool inspect,
		 struct layout_report *report, struct tree **ret);

/* How far a long scan has come, on a terminal, from its second second on. */
struct progress {
	bool terminal;
	bool shown;
	struct timespec began;
};

struct progress progress_begin(void);
int progress_show(void *context, const char *source, uint64_t offset, uint64_t size,
		  size_t members);
void progress_end(struct progress *progress);

#endif
