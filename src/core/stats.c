/* SPDX-License-Identifier: MIT */
/* Counters of the daemon. */
#include "stats.h"

#include "cleanup.h"
#include "trim.h"

#include <fcntl.h>
#include <inttypes.h>
#include <string.h>

struct stats stats;

void stats_add_error(int error)
{
	switch (-error) {
	case 0:
	case ENOENT:
	case ENOSYS:
	case ENXIO:
		break;
	case EIO:
		stats_add(errors_eio, 1);
		break;
	case ENOSPC:
	case EDQUOT:
		stats_add(errors_enospc, 1);
		break;
	case EROFS:
		stats_add(errors_erofs, 1);
		break;
	case EPERM:
	case EACCES:
		stats_add(errors_eperm, 1);
		break;
	default:
		stats_add(errors_other, 1);
	}
}

/* The "name:  123 kB" line of /proc/self/status in bytes; 0 when there is none. */
static uint64_t status_bytes(const char *status, const char *name)
{
	size_t length = strlen(name);

	for (const char *line = status; line; line = strchr(line, '\n')) {
		line += *line == '\n';
		if (strncmp(line, name, length) == 0 && line[length] == ':')
			return strtoull(line + length + 1, NULL, 10) * 1024;
	}
	return 0;
}

int process_memory(struct process_memory *ret)
{
	_cleanup_(cleanup_close) int fd = open("/proc/self/status", O_RDONLY | O_CLOEXEC);
	char status[4096];
	ssize_t got = fd < 0 ? -1 : read(fd, status, sizeof(status) - 1);

	if (got < 0)
		return -errno;
	status[got] = '\0';
	ret->page_tables = status_bytes(status, "VmPTE");
	ret->anonymous = status_bytes(status, "RssAnon");
	ret->mapped = status_bytes(status, "RssFile") + status_bytes(status, "RssShmem");
	return 0;
}

void stats_write(FILE *out)
{
	struct process_memory memory = { 0 };

#define STATS_LINE(name, help)                                                                     \
	fprintf(out, #name " %" PRIuFAST64 "\n",                                                   \
		atomic_load_explicit(&stats.name, memory_order_relaxed));
	STATS(STATS_LINE)
#undef STATS_LINE
	(void)process_memory(&memory);
	fprintf(out, "page_table_bytes %" PRIu64 "\n", memory.page_tables);
	fprintf(out, "resident_anonymous_bytes %" PRIu64 "\n", memory.anonymous);
	fprintf(out, "resident_mapped_bytes %" PRIu64 "\n", memory.mapped);
	fprintf(out, "mapped_regions %" PRIu64 "\n", map_regions_present());
	fprintf(out, "memory_limit_bytes %" PRIu64 "\n", trim_limit());
}
