/* SPDX-License-Identifier: MIT */
/* The daemon's log: standard error or syslog, rate-limited. */
#include "log.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <syslog.h>
#include <time.h>

static atomic_bool use_syslog;

static struct {
	pthread_mutex_t lock;
	time_t period_start; /* guarded by lock; CLOCK_MONOTONIC seconds */
	unsigned lines;      /* guarded by lock; in this period */
	unsigned suppressed; /* guarded by lock; in this period */
} limiter = { .lock = PTHREAD_MUTEX_INITIALIZER };

/* Whether one more line may go out; *ret_suppressed lines were held back before it. */
static bool line_allowed(int priority, unsigned *ret_suppressed)
{
	struct timespec now;
	bool allowed;

	clock_gettime(CLOCK_MONOTONIC, &now);
	pthread_mutex_lock(&limiter.lock);
	*ret_suppressed = 0;
	if (now.tv_sec - limiter.period_start >= LOG_PERIOD_SECONDS || priority <= LOG_CRIT) {
		*ret_suppressed = limiter.suppressed;
		limiter.suppressed = 0;
	}
	if (now.tv_sec - limiter.period_start >= LOG_PERIOD_SECONDS) {
		limiter.period_start = now.tv_sec;
		limiter.lines = 0;
	}
	allowed = limiter.lines < LOG_BURST || priority <= LOG_CRIT;
	if (allowed)
		limiter.lines++;
	else
		limiter.suppressed++;
	pthread_mutex_unlock(&limiter.lock);
	return allowed;
}

static void line_write(int priority, const char *line)
{
	if (atomic_load(&use_syslog))
		syslog(priority, "%s", line);
	else
		fprintf(stderr, "mmapfs: %s\n", line);
}

void log_message(int priority, const char *format, ...)
{
	char line[1024];
	unsigned suppressed;
	va_list arguments;

	if (!line_allowed(priority, &suppressed))
		return;
	if (suppressed) {
		snprintf(line, sizeof(line), "%u messages suppressed", suppressed);
		line_write(LOG_WARNING, line);
	}
	va_start(arguments, format);
	vsnprintf(line, sizeof(line), format, arguments);
	va_end(arguments);
	/* One line, whatever is in a name. */
	for (char *c = line; *c; c++)
		if ((unsigned char)*c < 0x20 || *c == 0x7f)
			*c = '?';
	line_write(priority, line);
}

void log_to_syslog(void)
{
	openlog("mmapfs", LOG_PID, LOG_DAEMON);
	atomic_store(&use_syslog, true);
}
