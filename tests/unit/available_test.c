/* SPDX-License-Identifier: MIT */
/* What memory is left, read from a /proc and a /sys of our own. */
#include "support.h"

#include "available.h"

#include <string.h>
#include <sys/stat.h>

#define MIB (1UL << 20)

/* Makes the folders above it as well. */
static void put(const char *path, const char *text)
{
	char folder[256];

	for (const char *slash = strchr(path, '/'); slash; slash = strchr(slash + 1, '/')) {
		snprintf(folder, sizeof(folder), "%.*s", (int)(slash - path), path);
		assert_true(mkdir(folder, 0755) == 0 || errno == EEXIST);
	}
	file_write(path, text, strlen(text));
}

static void put_machine(void)
{
	put("root/proc/meminfo", "MemTotal:        8388608 kB\nMemFree:          100 kB\n"
				 "MemAvailable:    2097152 kB\nSwapFree:  4096 kB\n");
}

static void assert_available(uint64_t left, uint64_t limit)
{
	struct available_memory memory = available_memory_below("root");

	assert_int_equal(memory.left, left);
	assert_int_equal(memory.limit, limit);
}

static void the_machine_has_what_is_available(void **state)
{
	put_machine();
	assert_available(2048 * MIB, 8192 * MIB);
}

static void what_cannot_be_read_limits_nothing(void **state)
{
	assert_available(UINT64_MAX, UINT64_MAX);
	put("root/proc/meminfo", "MemAvailable: many kB\n");
	put("root/proc/self/cgroup", "nonsense\n0:\n\n:::\n");
	assert_available(UINT64_MAX, UINT64_MAX);
}

static void a_group_leaves_its_limit_less_what_is_no_page_cache(void **state)
{
	put_machine();
	put("root/proc/self/cgroup", "0::/user/me\n");
	put("root/sys/fs/cgroup/user/me/memory.max", "104857600\n");
	put("root/sys/fs/cgroup/user/me/memory.current", "94371840\n");
	put("root/sys/fs/cgroup/user/me/memory.stat",
	    "anon 1048576\ninactive_file 20971520\nactive_file 10485760\n");
	assert_available(40 * MIB, 100 * MIB);
}

static void the_least_of_the_groups_above_counts(void **state)
{
	put_machine();
	put("root/proc/self/cgroup", "0::/user/me\n");
	put("root/sys/fs/cgroup/user/me/memory.max", "max\n");
	put("root/sys/fs/cgroup/user/me/memory.current", "94371840\n");
	put("root/sys/fs/cgroup/user/memory.max", "209715200\n");
	put("root/sys/fs/cgroup/user/memory.current", "314572800\n");
	assert_available(0, 200 * MIB);
}

static void version_1_is_read_as_well(void **state)
{
	put_machine();
	put("root/proc/self/cgroup", "9:name=systemd:/a\n4:memory:/b:c\n0::/\n");
	put("root/sys/fs/cgroup/memory/b:c/memory.limit_in_bytes", "104857600\n");
	put("root/sys/fs/cgroup/memory/b:c/memory.usage_in_bytes", "52428800\n");
	put("root/sys/fs/cgroup/memory/b:c/memory.stat",
	    "inactive_file 1\ntotal_inactive_file 10485760\ntotal_active_file 0\n");
	put("root/sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
	put("root/sys/fs/cgroup/memory/memory.usage_in_bytes", "1073741824\n");
	assert_available(60 * MIB, 100 * MIB);
}

/* In a container the path is that of the host, and the top is what can be seen. */
static void the_top_counts_where_the_group_cannot_be_seen(void **state)
{
	put_machine();
	put("root/proc/self/cgroup", "0::/not/here\n");
	put("root/sys/fs/cgroup/memory.max", "1048576\n");
	put("root/sys/fs/cgroup/memory.current", "0\n");
	assert_available(MIB, MIB);
}

static void little_can_be_taken_and_more_than_the_machine_has_cannot(void **state)
{
	for (int i = 0; i < 1000; i++)
		assert_true(available_take(4096));
	assert_false(available_take(available_memory().limit));
	assert_false(available_take(UINT64_MAX));
	assert_true(available_take(4096));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		scratch_test(the_machine_has_what_is_available),
		scratch_test(what_cannot_be_read_limits_nothing),
		scratch_test(a_group_leaves_its_limit_less_what_is_no_page_cache),
		scratch_test(the_least_of_the_groups_above_counts),
		scratch_test(version_1_is_read_as_well),
		scratch_test(the_top_counts_where_the_group_cannot_be_seen),
		cmocka_unit_test(little_can_be_taken_and_more_than_the_machine_has_cannot),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
