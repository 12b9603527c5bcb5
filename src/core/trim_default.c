/* SPDX-License-Identifier: MIT */
/* How much memory there is for this process: the machine's, or what its cgroups allow.
 *
 * A line of /proc/self/cgroup is "ID:CONTROLLERS:PATH"; that of version 2 is "0::PATH". The limits of
 * all groups above hold, too. What cannot be read limits nothing.
 */
#include "trim.h"

#include "cleanup.h"
#include "overflow.h"

#include <limits.h>
#include <string.h>

#define CGROUPS "/sys/fs/cgroup"

static uint64_t read_limit(const char *path)
{
	_cleanup_(cleanup_fclose) FILE *file = fopen(path, "re");
	unsigned long long limit;

	/* "max" is none. */
	return file && fscanf(file, "%llu", &limit) == 1 ? limit : UINT64_MAX;
}

/* The least of the limits that a group, and those above it, have in a file of this name. */
static uint64_t group_limit(const char *hierarchy, char *group, const char *name)
{
	uint64_t least = UINT64_MAX;
	char path[PATH_MAX];

	for (;;) {
		char *last = strrchr(group, '/');

		if (snprintf(path, sizeof(path), "%s%s/%s", hierarchy, group, name) <
		    (int)sizeof(path))
			least = min_u64(least, read_limit(path));
		if (!last)
			return least;
		*last = '\0';
	}
}

uint64_t trim_limit_default(void)
{
	_cleanup_(cleanup_fclose) FILE *groups = fopen("/proc/self/cgroup", "re");
	uint64_t memory = (uint64_t)sysconf(_SC_PHYS_PAGES) << page_shift();
	char line[PATH_MAX];

	while (groups && fgets(line, sizeof(line), groups)) {
		char *controllers = strchr(line, ':');
		char *path = controllers ? strchr(controllers + 1, ':') : NULL;

		if (!path)
			continue;
		*path++ = '\0';
		path[strcspn(path, "\n")] = '\0';
		if (controllers[1] == '\0')
			memory = min_u64(memory, group_limit(CGROUPS, path, "memory.max"));
		else if (strcmp(controllers + 1, "memory") == 0)
			memory = min_u64(memory, group_limit(CGROUPS "/memory", path,
							     "memory.limit_in_bytes"));
	}
	return memory / TRIM_DEFAULT_PART;
}
