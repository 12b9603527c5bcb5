/* SPDX-License-Identifier: MIT
 *
 * What the daemon holds, by the kernel's account and by its own.
 */
#include "soak.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

static uint64_t line_value(FILE *in, const char *name)
{
	char line[256];
	size_t length = strlen(name);
	uint64_t value = 0;

	while (fgets(line, sizeof(line), in))
		if (!strncmp(line, name, length) && sscanf(line + length, " %" SCNu64, &value) == 1)
			return value;
	return 0;
}

/* A sanitizer has pipes to the program that finds names for addresses. */
static bool is_pipe(pid_t pid, const char *number)
{
	char path[300];
	char target[5];

	snprintf(path, sizeof(path), "/proc/%d/fd/%s", (int)pid, number);
	return readlink(path, target, sizeof(target)) == sizeof(target) &&
	       !memcmp(target, "pipe:", sizeof(target));
}

int figures_get(pid_t pid, bool sanitized, struct figures *ret)
{
	static const char *const names[] = { "RssAnon:", "VmPTE:", "Threads:" };
	uint64_t values[3];
	char path[64];
	FILE *in;
	DIR *folder;

	for (int i = 0; i < 3; i++) {
		snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
		in = fopen(path, "re");
		if (!in)
			return -errno;
		values[i] = line_value(in, names[i]);
		fclose(in);
	}
	*ret = (struct figures){ values[0], values[1], values[2], 0 };
	snprintf(path, sizeof(path), "/proc/%d/fd", (int)pid);
	folder = opendir(path);
	if (!folder)
		return -errno;
	for (struct dirent *entry = readdir(folder); entry; entry = readdir(folder))
		ret->descriptors += entry->d_name[0] != '.' &&
				    !(sanitized && is_pipe(pid, entry->d_name));
	closedir(folder);
	return 0;
}

uint64_t stats_get(const char *name)
{
	char path[4200];
	char spaced[64];
	FILE *in;
	uint64_t value;

	snprintf(path, sizeof(path), "%s/.mmapfs/stats", shared->mountpoint);
	snprintf(spaced, sizeof(spaced), "%s ", name);
	in = fopen(path, "re");
	if (!in)
		die("%s: %s", path, strerror(errno));
	value = line_value(in, spaced);
	fclose(in);
	return value;
}
