/* SPDX-License-Identifier: MIT */
/* Counters of the daemon. */
#include "stats.h"

#include "cleanup.h"

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
static uint64_t process_status(const char *name)
{
	size_t length = strlen(name);
	_cleanup_(cleanup_fclose) FILE *status = fopen("/proc/self/status", "re");
	char line[256];
	uint64_t kib = 0;

	while (status && fgets(line, sizeof(line), status))
		if (strncmp(line, name, length) == 0 && line[length] == ':') {
			kib = strtoull(line + length + 1, NULL, 10);
			break;
		}
	return kib * 1024;
}

void stats_write(FILE *out)
{
#define STATS_LINE(name, help)                                                                     \
	fprintf(out, #name " %" PRIuFAST64 "\n",                                                   \
		atomic_load_explicit(&stats.name, memory_order_relaxed));
	STATS(STATS_LINE)
#undef STATS_LINE
	fprintf(out, "page_table_bytes %" PRIu64 "\n", process_status("VmPTE"));
	fprintf(out, "resident_anonymous_bytes %" PRIu64 "\n", process_status("RssAnon"));
}
