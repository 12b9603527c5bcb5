/* SPDX-License-Identifier: MIT */
#include "members.h"

#include <string.h>

static const char bytes[100];

static void test_the_last_chunk_is_shorter(void **state)
{
	const struct detector_options options = { .chunk = 40 };

	assert_members(&detector_chunk, bytes, 100, &options,
		       "file 0 0+40\nfile 1 40+40\nfile 2 80+20\n");
}

static void test_a_size_that_divides_leaves_none_empty(void **state)
{
	const struct detector_options options = { .chunk = 50 };

	assert_members(&detector_chunk, bytes, 100, &options, "file 0 0+50\nfile 1 50+50\n");
	assert_members(&detector_chunk, bytes, 0, &options, "");
}

static void test_one_chunk_larger_than_all(void **state)
{
	const struct detector_options options = { .chunk = UINT64_MAX };

	assert_members(&detector_chunk, bytes, 100, &options, "file 0 0+100\n");
}

/* Nothing looks at the bytes, so there need not be any. */
static void test_folders_of_a_thousand(void **state)
{
	const struct detector_options options = { .chunk = 1 };
	struct members members = members_of(&detector_chunk, NULL, 12345, &options, false);

	assert_result(members.result, 0);
	assert_non_null(strstr(members.text, "file 00/00000 0+1\n"));
	assert_non_null(strstr(members.text, "file 00/00999 999+1\nfile 01/01000 1000+1\n"));
	assert_non_null(strstr(members.text, "file 12/12344 12344+1\n"));
	members_clear(&members);
	members = members_of(&detector_chunk, NULL, 1000, &options, false);
	assert_non_null(strstr(members.text, "file 000 0+1\n"));
	assert_non_null(strstr(members.text, "file 999 999+1\n"));
	members_clear(&members);
}

static void test_no_size(void **state)
{
	struct members members = members_of(&detector_chunk, bytes, 100, NULL, false);

	assert_result(members.result, -EINVAL);
	assert_string_equal(members.text, "note no size of a chunk is given: chunk=SIZE\n");
	members_clear(&members);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_the_last_chunk_is_shorter),
		cmocka_unit_test(test_a_size_that_divides_leaves_none_empty),
		cmocka_unit_test(test_one_chunk_larger_than_all),
		cmocka_unit_test(test_folders_of_a_thousand),
		cmocka_unit_test(test_no_size),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
