/* SPDX-License-Identifier: MIT */
/* Memory policies: the words for them, and who goes before whom. */
#include "support.h"

#include "mmapfs/policy.h"

static struct memory_policy parsed(const char *const *options)
{
	struct memory_policy policy = { 0 };

	for (; *options; options++)
		assert_result(policy_parse(*options, &policy), 0);
	return policy;
}

#define POLICY(...) parsed((const char *const[]){ __VA_ARGS__, NULL })

static void assert_written(struct memory_policy policy, const char *wanted)
{
	FILE *out = tmpfile();
	char *text;

	assert_non_null(out);
	policy_write(policy, out);
	text = stream_text(out);
	assert_string_equal(text, wanted);
	free(text);
	fclose(out);
}

static void each_word_is_its_bit(void **state)
{
	assert_int_equal(POLICY("advice=sequential").on, POLICY_SEQUENTIAL);
	assert_int_equal(POLICY("advice=random").on, POLICY_RANDOM);
	assert_int_equal(POLICY("advice=willneed").on, POLICY_WILLNEED);
	assert_int_equal(POLICY("advice=normal").on, 0);
	assert_int_equal(POLICY("advice=normal").said, POLICY_ADVICE);
	assert_int_equal(POLICY("hugepages").on, POLICY_HUGEPAGES);
	assert_int_equal(POLICY("populate=on").on, POLICY_POPULATE);
	assert_int_equal(POLICY("lock-memory").on, POLICY_LOCK);
	assert_int_equal(POLICY("drop-behind").on, POLICY_DROP_BEHIND);
	assert_int_equal(POLICY("drop-behind=off").on, 0);
	assert_int_equal(POLICY("drop-behind=off").said, POLICY_DROP_BEHIND);
}

static void the_last_of_the_same_option_holds(void **state)
{
	assert_int_equal(POLICY("advice=random", "advice=sequential").on, POLICY_SEQUENTIAL);
	assert_int_equal(POLICY("populate", "hugepages", "populate=off").on, POLICY_HUGEPAGES);
}

static void other_words_are_refused(void **state)
{
	static const char *const bad[] = { "advice=",    "advice=Random", "advice=randomly",
					   "hugepages=", "populate=yes",  "lock-memory=1" };
	static const char *const others[] = {
		"", "advice", "hugepage", "hugepagess", "drop-behind-", "lock", "drop-behindoff"
	};
	struct memory_policy policy = { 0 };

	for (size_t i = 0; i < COUNT(bad); i++)
		assert_result(policy_parse(bad[i], &policy), -EINVAL);
	for (size_t i = 0; i < COUNT(others); i++)
		assert_result(policy_parse(others[i], &policy), -ENOENT);
	assert_int_equal(policy.said, 0);
}

static void what_is_written_says_the_same(void **state)
{
	assert_written((struct memory_policy){ 0 }, "");
	assert_written(POLICY("drop-behind=off", "advice=normal"),
		       ",advice=normal,drop-behind=off");
	assert_written(POLICY("lock-memory", "populate", "hugepages", "advice=willneed"),
		       ",advice=willneed,hugepages,populate,lock-memory");
}

static void the_first_that_says_something_decides(void **state)
{
	struct memory_policy slice = POLICY("advice=normal", "drop-behind=off");
	struct memory_policy image = POLICY("advice=random", "populate", "drop-behind");
	struct memory_policy all = POLICY("advice=willneed", "populate=off", "lock-memory");

	assert_written(policy_over(slice, policy_over(image, all)),
		       ",advice=normal,populate,lock-memory,drop-behind=off");
	assert_written(policy_over(image, all), ",advice=random,populate,lock-memory,drop-behind");
}

/* Advice is one word, of which no part of another may shine through. */
static void advice_is_decided_as_a_whole(void **state)
{
	assert_int_equal(policy_over(POLICY("advice=sequential"), POLICY("advice=random")).on,
			 POLICY_SEQUENTIAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_word_is_its_bit),
		cmocka_unit_test(the_last_of_the_same_option_holds),
		cmocka_unit_test(other_words_are_refused),
		cmocka_unit_test(what_is_written_says_the_same),
		cmocka_unit_test(the_first_that_says_something_decides),
		cmocka_unit_test(advice_is_decided_as_a_whole),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
