/* SPDX-License-Identifier: MIT */
/* Text from anywhere, shown: what is escaped, how wide it is, where it is cut. */
#include "support.h"

#include "text.h"

#include <string.h>

/* What text_put writes; the caller's. */
static char *shown(const char *text, unsigned columns, enum text_form form)
{
	char *result = NULL;
	size_t size;
	FILE *out = open_memstream(&result, &size);
	unsigned used;

	assert_non_null(out);
	used = text_put(text, columns, form, out);
	assert_int_equal(fclose(out), 0);
	assert_true(used <= columns);
	if (form != TEXT_XML)
		assert_int_equal(used, text_width(result, form));
	return result;
}

static void assert_shown(const char *text, unsigned columns, enum text_form form,
			 const char *wanted)
{
	char *got = shown(text, columns, form);

	assert_string_equal(got, wanted);
	free(got);
}

static void plain_text_stays_as_it_is(void **state)
{
	assert_shown("a b/c.d", 80, TEXT_ASCII, "a b/c.d");
	assert_shown("äöü €", 80, TEXT_UTF8, "äöü €");
	assert_shown("", 80, TEXT_UTF8, "");
	assert_shown("back\\slash", 80, TEXT_UTF8, "back\\slash");
}

static void control_bytes_are_escaped(void **state)
{
	assert_shown("a\nb\tc\033[31m\177", 80, TEXT_UTF8, "a\\012b\\011c\\033[31m\\177");
	assert_shown("a\nb", 80, TEXT_ASCII, "a\\012b");
	assert_shown("\302\233", 80, TEXT_UTF8, "\\302\\233"); /* C1: the other way to say ESC [ */
}

static void bytes_that_are_no_utf8_are_escaped(void **state)
{
	assert_shown("\377a\303", 80, TEXT_UTF8, "\\377a\\303");
	assert_shown("\300\200", 80, TEXT_UTF8, "\\300\\200");                   /* overlong */
	assert_shown("\340\200\200", 80, TEXT_UTF8, "\\340\\200\\200");          /* overlong */
	assert_shown("\355\240\200", 80, TEXT_UTF8, "\\355\\240\\200");          /* surrogate */
	assert_shown("\364\220\200\200", 80, TEXT_UTF8, "\\364\\220\\200\\200"); /* too large */
	assert_shown("\xf0\x9f\x98", 80, TEXT_UTF8, "\\360\\237\\230");          /* cut off */
}

static void what_turns_the_direction_of_writing_is_escaped(void **state)
{
	assert_shown("a\u202egpj.exe", 80, TEXT_UTF8, "a\\342\\200\\256gpj.exe");
	assert_shown("a\u2066b\u200bc\ufeff", 80, TEXT_UTF8,
		     "a\\342\\201\\246b\\342\\200\\213c\\357\\273\\277");
}

static void ascii_has_nothing_else(void **state)
{
	assert_shown("ä", 80, TEXT_ASCII, "\\303\\244");
}

static void xml_gets_entities_and_no_character_that_it_forbids(void **state)
{
	assert_shown("<a b=\"c\" d='e'>&", 80, TEXT_XML,
		     "&#60;a b=&#34;c&#34; d=&#39;e&#39;&#62;&#38;");
	assert_shown("\001\ufffe\uffff", 80, TEXT_XML, "\\001\\357\\277\\276\\357\\277\\277");
	assert_int_equal(text_width("<&>", TEXT_XML), 3);
}

static void columns_of_wide_and_of_combining_characters(void **state)
{
	assert_int_equal(text_width("日本", TEXT_UTF8), 4);
	assert_int_equal(text_width("e\u0301", TEXT_UTF8), 1);
	assert_int_equal(text_width("\U0001f600", TEXT_UTF8), 2);
	assert_int_equal(text_width("\n", TEXT_UTF8), 4);
}

static void what_is_too_long_loses_its_middle(void **state)
{
	assert_shown("abcdefghij", 10, TEXT_UTF8, "abcdefghij");
	assert_shown("abcdefghij", 9, TEXT_UTF8, "abcd…ghij");
	assert_shown("abcdefghij", 8, TEXT_UTF8, "abcd…hij");
	assert_shown("abcdefghij", 8, TEXT_ASCII, "abc...ij");
	assert_shown("abcdefghij", 4, TEXT_ASCII, "a...");
	assert_shown("abcdefghij", 3, TEXT_ASCII, "...");
	assert_shown("abcdefghij", 2, TEXT_ASCII, "..");
	assert_shown("abcdefghij", 2, TEXT_UTF8, "a…");
	assert_shown("abcdefghij", 1, TEXT_UTF8, "…");
	assert_shown("abcdefghij", 0, TEXT_UTF8, "");
}

static void nothing_is_cut_within_a_character(void **state)
{
	assert_shown("ääääääää", 5, TEXT_UTF8, "ää…ää");
	assert_shown("日本日本日本", 6, TEXT_UTF8, "日…本");
	assert_shown("日本日本日本", 5, TEXT_UTF8, "日…本");
	assert_shown("aaaae\u0301e\u0301e\u0301", 5, TEXT_UTF8, "aa…e\u0301e\u0301");
	assert_shown("\n\n\n\n", 9, TEXT_UTF8, "\\012…\\012");
	assert_shown("\n\n\n\n", 8, TEXT_UTF8, "\\012…");
	assert_shown("&&&&&&", 3, TEXT_XML, "&#38;…&#38;");
}

/* Of any bytes: text that shows as itself, in no more columns than there are. */
static void any_bytes(void **state)
{
	static const char *const parts[] = { "a",      "\n",   "ä",    "日",
					     "\u0301", "\377", "\303", "\u202e" };

	random_begin();
	for (int i = 0; i < 20000; i++) {
		enum text_form form = random_below(2) ? TEXT_UTF8 : TEXT_ASCII;
		unsigned columns = random_below(20);
		char text[128] = "";
		unsigned width;
		char *got;
		char *again;

		for (uint64_t count = random_below(20); count > 0; count--)
			strcat(text, parts[random_below(COUNT(parts))]);
		width = text_width(text, form);
		got = shown(text, columns, form);
		again = shown(got, columns, form);
		assert_true(text_width(got, form) <= columns);
		assert_true(width > columns || text_width(got, form) == width);
		if (form == TEXT_UTF8)
			assert_string_equal(got, again);
		free(got);
		free(again);
	}
}

static void counts_have_commas(void **state)
{
	char text[TEXT_COUNT_MAX];

	assert_string_equal(text_count(0, text), "0");
	assert_string_equal(text_count(999, text), "999");
	assert_string_equal(text_count(1000, text), "1,000");
	assert_string_equal(text_count(1234567, text), "1,234,567");
	assert_string_equal(text_count(UINT64_MAX, text), "18,446,744,073,709,551,615");
}

static void percentages_say_none_and_all_only_of_none_and_all(void **state)
{
	char text[TEXT_PERCENT_MAX];

	assert_string_equal(text_percent(0, 100, text), "0 %");
	assert_string_equal(text_percent(0, 0, text), "0 %");
	assert_string_equal(text_percent(1, 1000, text), "<1 %");
	assert_string_equal(text_percent(1, 3, text), "33 %");
	assert_string_equal(text_percent(2, 3, text), "67 %");
	assert_string_equal(text_percent(999, 1000, text), ">99 %");
	assert_string_equal(text_percent(1000, 1000, text), "100 %");
	assert_string_equal(text_percent(UINT64_MAX, UINT64_MAX, text), "100 %");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(plain_text_stays_as_it_is),
		cmocka_unit_test(control_bytes_are_escaped),
		cmocka_unit_test(bytes_that_are_no_utf8_are_escaped),
		cmocka_unit_test(what_turns_the_direction_of_writing_is_escaped),
		cmocka_unit_test(ascii_has_nothing_else),
		cmocka_unit_test(xml_gets_entities_and_no_character_that_it_forbids),
		cmocka_unit_test(columns_of_wide_and_of_combining_characters),
		cmocka_unit_test(what_is_too_long_loses_its_middle),
		cmocka_unit_test(nothing_is_cut_within_a_character),
		cmocka_unit_test(any_bytes),
		cmocka_unit_test(counts_have_commas),
		cmocka_unit_test(percentages_say_none_and_all_only_of_none_and_all),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
