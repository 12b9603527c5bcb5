/* SPDX-License-Identifier: MIT */
/* Messages for the user: where they point, one line each, and not without bound. */
#include "support.h"

#include <string.h>

static void message_says_where_it_belongs(void **state)
{
	const struct location line = { "disk.table", 12 };
	const struct location file = { "disk.table", 0 };
	const struct location nowhere = { NULL, 12 };
	struct error error = ERROR_INIT;

	error_add(&error, &line, "slice '%s': %d", "boot", 5);
	error_add(&error, &file, "cannot be read");
	error_add(&error, &nowhere, "from the command line");
	error_add(&error, NULL, "from nowhere");
	assert_messages(&error, "disk.table:12: slice 'boot': 5", "disk.table: cannot be read",
			"from the command line", "from nowhere");
}

static void message_stays_one_line(void **state)
{
	const struct location at = { "bad\nname\x7f", 1 };
	struct error error = ERROR_INIT;

	error_add(&error, NULL, "a\nb\tc\x01\x1f\x7f\r%s", "\033[31m");
	error_add(&error, &at, "line");
	assert_messages(&error, "a\\012b\\011c\\001\\037\\177\\015\\033[31m",
			"bad\\012name\\177:1: line");
}

static void other_bytes_stay_as_they_are(void **state)
{
	struct error error = ERROR_INIT;

	error_add(&error, NULL, "%s", "na\xc3\xafve \xff\x80 \\ 100%s");
	error_add(&error, NULL, "%s", "");
	assert_messages(&error, "na\xc3\xafve \xff\x80 \\ 100%s", "");
}

static void long_message_is_kept_whole(void **state)
{
	struct error error = ERROR_INIT;
	char *text = malloc(100001);

	assert_non_null(text);
	memset(text, '\n', 100000);
	text[100000] = '\0';
	error_add(&error, NULL, "%s", text);
	assert_int_equal(error.count, 1);
	assert_int_equal(strlen(error.messages[0]), 400000);
	error_clear(&error);
	free(text);
}

static void messages_past_the_limit_are_counted(void **state)
{
	struct error error = ERROR_INIT;

	for (int i = 0; i < ERROR_MESSAGES_MAX + 7; i++)
		error_add(&error, NULL, "message %d", i);
	assert_int_equal(error.count, ERROR_MESSAGES_MAX);
	assert_int_equal(error.omitted, 7);
	assert_string_equal(error.messages[0], "message 0");
	assert_string_equal(error.messages[ERROR_MESSAGES_MAX - 1], "message 49");
	error_clear(&error);
}

static void cleared_error_can_be_used_again(void **state)
{
	struct error error = ERROR_INIT;

	error_clear(&error);
	for (int round = 0; round < 3; round++) {
		for (int i = 0; i < 60; i++)
			error_add(&error, NULL, "old");
		error_clear(&error);
		assert_int_equal(error.count, 0);
		assert_int_equal(error.omitted, 0);
		error_add(&error, NULL, "new");
		assert_messages(&error, "new");
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(message_says_where_it_belongs),
		cmocka_unit_test(message_stays_one_line),
		cmocka_unit_test(other_bytes_stay_as_they_are),
		cmocka_unit_test(long_message_is_kept_whole),
		cmocka_unit_test(messages_past_the_limit_are_counted),
		cmocka_unit_test(cleared_error_can_be_used_again),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
