/* SPDX-License-Identifier: MIT */
/* What memory is left, from /proc/meminfo and the memory cgroups, of version 2 and of version 1. */
#include "available.h"

#include "cleanup.h"
#include "overflow.h"

#include <inttypes.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

/* The number behind a key, as "MemAvailable:  123 kB" and "inactive_file 123" have it. */
static bool read_key(const char *path, const char *key, uint64_t *ret)
{
	_cleanup_(cleanup_fclose) FILE *file = fopen(path, "re");
	char line[256];
	size_t length = strlen(key);

	while (file && fgets(line, sizeof(line), file))
		if (strncmp(line, key, length) == 0 && line[length] == ' ')
			return sscanf(line + length, "%" SCNu64, ret) == 1;
	return false;
}

static bool read_number(const char *path, uint64_t *ret)
{
	_cleanup_(cleanup_fclose) FILE *file = fopen(path, "re");

	return file && fscanf(file, "%" SCNu64, ret) == 1; /* not "max" */
}

/* Where the files of a version's groups are, and their names. */
struct version {
	const char *folders[2];
	const char *limit;
	const char *usage;
	const char *inactive;
	const char *active;
};

static const struct version version_1 = {
	{ "/sys/fs/cgroup/memory", NULL },
	"memory.limit_in_bytes",
	"memory.usage_in_bytes",
	"total_inactive_file",
	"total_active_file",
};

static const struct version version_2 = {
	{ "/sys/fs/cgroup", "/sys/fs/cgroup/unified" },
	"memory.max",
	"memory.current",
	"inactive_file",
	"active_file",
};

static void narrow(struct available_memory *memory, uint64_t left, uint64_t limit)
{
	memory->limit = min_u64(memory->limit, limit);
	memory->left = min_u64(memory->left, left);
}

/* One group: what it leaves, if it has a limit. */
static void look_at_group(const struct version *version, const char *group,
			  struct available_memory *memory)
{
	char path[PATH_MAX + 64];
	uint64_t limit;
	uint64_t used;
	uint64_t inactive = 0;
	uint64_t active = 0;

	snprintf(path, sizeof(path), "%s/%s", group, version->limit);
	if (!read_number(path, &limit))
		return;
	snprintf(path, sizeof(path), "%s/%s", group, version->usage);
	if (!read_number(path, &used))
		return;
	snprintf(path, sizeof(path), "%s/memory.stat", group);
	(void)read_key(path, version->inactive, &inactive);
	(void)read_key(path, version->active, &active);
	used -= min_u64(used, inactive + active);
	narrow(memory, limit > used ? limit - used : 0, limit);
}

/* A group and those above it. */
static void look_at_groups(const char *root, const struct version *version, const char *name,
			   struct available_memory *memory)
{
	for (size_t i = 0; i < 2 && version->folders[i]; i++) {
		char path[PATH_MAX];
		size_t top = snprintf(path, sizeof(path), "%s%s", root, version->folders[i]);
		size_t length =
			snprintf(path, sizeof(path), "%s%s%s", root, version->folders[i], name);

		if (length >= sizeof(path))
			continue;
		while (strlen(path) > top) {
			look_at_group(version, path, memory);
			*strrchr(path, '/') = '\0';
		}
		look_at_group(version, path, memory);
	}
}

struct available_memory available_memory_below(const char *root)
{
	struct available_memory memory = { UINT64_MAX, UINT64_MAX };
	_cleanup_(cleanup_fclose) FILE *groups = NULL;
	char path[PATH_MAX];
	char line[PATH_MAX];
	uint64_t left;
	uint64_t total;

	snprintf(path, sizeof(path), "%s/proc/meminfo", root);
	if (read_key(path, "MemAvailable:", &left) && read_key(path, "MemTotal:", &total))
		narrow(&memory, left << 10, total << 10);
	snprintf(path, sizeof(path), "%s/proc/self/cgroup", root);
	groups = fopen(path, "re");
	/* "0::/user" of version 2, "4:memory:/user" of version 1 */
	while (groups && fgets(line, sizeof(line), groups)) {
		char *name = line;
		const char *number = strsep(&name, ":");
		const char *controllers = strsep(&name, ":");

		if (!name || *name != '/')
			continue;
		name[strcspn(name, "\n")] = '\0';
		if (strcmp(number, "0") == 0)
			look_at_groups(root, &version_2, name, &memory);
		else if (strcmp(controllers, "memory") == 0)
			look_at_groups(root, &version_1, name, &memory);
	}
	return memory;
}

struct available_memory available_memory(void)
{
	return available_memory_below("");
}

/* Left alone for the daemon itself, and for everybody else. */
#define RESERVE_SHARE 32
#define RESERVE_MIN (8ULL << 20)
#define RESERVE_MAX (512ULL << 20)

/* What may be taken until the next look, as a share of what is left; and for how long. */
#define LOOK_SHARE 8
#define LOOK_MS 100

/* Two threads that look at the same time do no harm: the later look holds. */
static _Atomic int64_t budget;
static _Atomic int64_t looked_ms; /* CLOCK_MONOTONIC_COARSE */

static int64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static bool take_from_budget(uint64_t size)
{
	return size < INT64_MAX && now_ms() - atomic_load(&looked_ms) < LOOK_MS &&
	       atomic_fetch_sub(&budget, size) >= (int64_t)size;
}

bool available_take(uint64_t size)
{
	struct available_memory memory;
	uint64_t reserve;
	bool enough;

	if (take_from_budget(size))
		return true;
	memory = available_memory();
	reserve = min_u64(max_u64(memory.limit / RESERVE_SHARE, RESERVE_MIN), RESERVE_MAX);
	enough = memory.left > reserve && memory.left - reserve >= size;
	atomic_store(&budget, enough ? (memory.left - reserve - size) / LOOK_SHARE : 0);
	atomic_store(&looked_ms, now_ms());
	return enough;
}
