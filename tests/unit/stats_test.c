/* SPDX-License-Identifier: MIT */
/* The daemon's counters and how they are shown. */
#include "support.h"

#include "stats.h"

#include <inttypes.h>
#include <pthread.h>
#include <string.h>

static void errors_are_counted_by_kind(void **state)
{
	static const int none[] = { 0, -ENOENT, -ENOSYS, -ENXIO };

	memset(&stats, 0, sizeof(stats));
	for (size_t i = 0; i < COUNT(none); i++)
		stats_add_error(none[i]);
	stats_add_error(-EIO);
	stats_add_error(-ENOSPC);
	stats_add_error(-EDQUOT);
	stats_add_error(-EROFS);
	stats_add_error(-EPERM);
	stats_add_error(-EACCES);
	stats_add_error(-EINVAL);
	assert_int_equal(atomic_load(&stats.errors_eio), 1);
	assert_int_equal(atomic_load(&stats.errors_enospc), 2);
	assert_int_equal(atomic_load(&stats.errors_erofs), 1);
	assert_int_equal(atomic_load(&stats.errors_eperm), 2);
	assert_int_equal(atomic_load(&stats.errors_other), 1);
}

#define THREADS 4
#define ADDITIONS 50000

static void *add_many(void *context)
{
	for (int i = 0; i < ADDITIONS; i++)
		stats_add(read_bytes, 3);
	return NULL;
}

static void threads_lose_no_count(void **state)
{
	pthread_t threads[THREADS];

	memset(&stats, 0, sizeof(stats));
	for (size_t i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, add_many, NULL), 0);
	for (size_t i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	assert_int_equal(atomic_load(&stats.read_bytes), 3 * THREADS * ADDITIONS);
}

static void each_line_is_a_name_and_a_number(void **state)
{
	FILE *out = tmpfile();
	unsigned lines = 0;
	char *text;

	assert_non_null(out);
	memset(&stats, 0, sizeof(stats));
	stats_add(msyncs, 42);
	stats_write(out);
	text = stream_text(out);
	fclose(out);
	assert_non_null(strstr(text, "\nmsyncs 42\n"));
	assert_non_null(strstr(text, "\npage_table_bytes "));
	for (const char *line = text; *line; line = strchr(line, '\n') + 1, lines++) {
		char name[64];
		char number[64];
		char rest;

		assert_int_equal(sscanf(line, "%63[a-z_] %63[0-9]%c", name, number, &rest), 3);
		assert_int_equal(rest, '\n');
	}
	assert_true(lines > 19);
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(errors_are_counted_by_kind),
		cmocka_unit_test(threads_lose_no_count),
		cmocka_unit_test(each_line_is_a_name_and_a_number),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
