/* SPDX-License-Identifier: MIT */
/* The daemon's log on standard error, and what keeps it from flooding. */
#include "support.h"

#include "log.h"

#include <pthread.h>
#include <string.h>
#include <syslog.h>
#include <time.h>

/* The clock of the limit. Each test begins in a period of its own. */
static time_t seconds = 1000;

int __wrap_clock_gettime(clockid_t clock, struct timespec *ret);
int __wrap_clock_gettime(clockid_t clock, struct timespec *ret)
{
	assert_int_equal(clock, CLOCK_MONOTONIC);
	*ret = (struct timespec){ .tv_sec = seconds };
	return 0;
}

static int next_period(void **state)
{
	seconds += LOG_PERIOD_SECONDS;
	stderr_begin();
	log_message(LOG_INFO, "flushes what an earlier test left suppressed");
	free(stderr_end());
	seconds += LOG_PERIOD_SECONDS;
	return 0;
}

static void log_many(unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		log_message(LOG_ERR, "line %u", i);
}

static unsigned count_lines(const char *text)
{
	unsigned count = 0;

	for (; (text = strchr(text, '\n')) != NULL; text++)
		count++;
	return count;
}

static void assert_said(const char *wanted)
{
	char *said = stderr_end();

	assert_string_equal(said, wanted);
	free(said);
}

static void line_carries_the_programs_name(void **state)
{
	stderr_begin();
	log_message(LOG_ERR, "image '%s': %d%%", "disk", 100);
	assert_said("mmapfs: image 'disk': 100%\n");
}

static void message_stays_one_line(void **state)
{
	unsigned lines;
	char *said;

	stderr_begin();
	log_message(LOG_ERR, "image '%s': failed", "bad\nname");
	said = stderr_end();
	lines = count_lines(said);
	free(said);
	assert_int_equal(lines, 1);
}

static void overlong_message_is_cut(void **state)
{
	char text[5000];
	char *said;

	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	stderr_begin();
	log_message(LOG_ERR, "%s", text);
	said = stderr_end();
	assert_int_equal(count_lines(said), 1);
	assert_in_range(strlen(said), 1000, 1100);
	free(said);
}

static void burst_is_allowed_and_no_more(void **state)
{
	char *said;

	stderr_begin();
	log_many(5 * LOG_BURST);
	seconds += LOG_PERIOD_SECONDS - 1;
	log_many(1);
	said = stderr_end();
	assert_int_equal(count_lines(said), LOG_BURST);
	assert_non_null(strstr(said, "line 19\n"));
	assert_null(strstr(said, "line 20\n"));
	free(said);
}

static void next_period_says_what_was_suppressed(void **state)
{
	stderr_begin();
	log_many(LOG_BURST + 7);
	free(stderr_end());
	seconds += LOG_PERIOD_SECONDS;
	stderr_begin();
	log_message(LOG_ERR, "later");
	log_message(LOG_ERR, "latest");
	assert_said("mmapfs: 7 messages suppressed\nmmapfs: later\nmmapfs: latest\n");
}

static void what_is_said_once_is_never_held_back(void **state)
{
	char *said;

	stderr_begin();
	log_many(LOG_BURST + 7);
	log_message(LOG_CRIT, "the end");
	said = stderr_end();
	assert_int_equal(count_lines(said), LOG_BURST + 2);
	assert_non_null(strstr(said, "mmapfs: 7 messages suppressed\nmmapfs: the end\n"));
	free(said);
}

static void *log_from_thread(void *context)
{
	log_many(100);
	return NULL;
}

static void threads_share_the_limit(void **state)
{
	pthread_t threads[8];
	char *said;

	stderr_begin();
	for (size_t i = 0; i < COUNT(threads); i++)
		assert_int_equal(pthread_create(&threads[i], NULL, log_from_thread, NULL), 0);
	for (size_t i = 0; i < COUNT(threads); i++)
		pthread_join(threads[i], NULL);
	said = stderr_end();
	assert_int_equal(count_lines(said), LOG_BURST);
	free(said);
	seconds += LOG_PERIOD_SECONDS;
	stderr_begin();
	log_message(LOG_ERR, "later");
	assert_said("mmapfs: 780 messages suppressed\nmmapfs: later\n");
}

#define log_test(function) cmocka_unit_test_setup(function, next_period)

int main(void)
{
	const struct CMUnitTest tests[] = {
		log_test(line_carries_the_programs_name),
		log_test(message_stays_one_line),
		log_test(overlong_message_is_cut),
		log_test(burst_is_allowed_and_no_more),
		log_test(next_period_says_what_was_suppressed),
		log_test(what_is_said_once_is_never_held_back),
		log_test(threads_share_the_limit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
