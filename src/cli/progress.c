/* SPDX-License-Identifier: MIT */
/* One line on the terminal while an image is looked through. */
#include "cli.h"

#include <inttypes.h>
#include <unistd.h>

#define CLEAR_LINE "\r\033[K"

struct progress progress_begin(void)
{
	struct progress progress = { .terminal = isatty(STDERR_FILENO) };

	clock_gettime(CLOCK_MONOTONIC, &progress.began);
	return progress;
}

int progress_show(void *context, const char *source, uint64_t offset, uint64_t size, size_t members)
{
	struct progress *progress = context;
	struct timespec now;
	double seconds;

	clock_gettime(CLOCK_MONOTONIC, &now);
	seconds = (double)(now.tv_sec - progress->began.tv_sec) +
		  (double)(now.tv_nsec - progress->began.tv_nsec) / 1e9;
	if (!progress->terminal || seconds < 1)
		return 0;
	progress->shown = true;
	fprintf(stderr, CLEAR_LINE "mmapfs: looking through %.40s: %3.0f %%, %zu files", source,
		size ? 100.0 * (double)offset / (double)size : 100.0, members);
	fflush(stderr);
	return 0;
}

void progress_end(struct progress *progress)
{
	if (progress->shown)
		fputs(CLEAR_LINE, stderr);
	progress->shown = false;
}
