/* SPDX-License-Identifier: MIT */
/* Nothing looks at the bytes, so there are none. */
#include "members.h"

#include <string.h>

#define SIZE (8 << 20)

static void assert_parts(const char *text, const char *wanted)
{
	const struct detector_options options = { .mtdparts = text };

	assert_members(&detector_mtdparts, NULL, SIZE, &options, wanted);
}

/* That the parts before the fault were given does not matter: detection has failed. */
static void assert_fault(const char *text, const char *wanted)
{
	const struct detector_options options = { .mtdparts = text };
	struct members members = members_of(&detector_mtdparts, NULL, SIZE, &options, false);
	const char *note = strstr(members.text, "note ");

	assert_result(members.result, -EINVAL);
	assert_non_null(note);
	assert_string_equal(note, wanted);
	members_clear(&members);
}

static void test_parts_follow_one_another(void **state)
{
	const char wanted[] = "file u-boot 0+262144\nfile env 262144+65536\n"
			      "file rootfs 327680+8060928\n";

	assert_parts("256k(u-boot)ro,64k(env),-(rootfs)", wanted);
	assert_parts("mtdparts=256k(u-boot)ro,64k(env),-(rootfs)", wanted);
	assert_parts("mtdparts=spi0.0:256k(u-boot)ro,64k(env),-(rootfs)", wanted);
}

static void test_an_offset_is_where_the_next_part_goes_on(void **state)
{
	assert_parts("1k@4k(a),1k(b),1k@0(c),-@1M(d)",
		     "file a 4096+1024\nfile b 5120+1024\nfile c 0+1024\n"
		     "file d 1048576+7340032\n");
}

static void test_numbers_are_those_of_the_kernel(void **state)
{
	assert_parts("10,010,0x10,0X1f,1K,1m,1G", "file part0 0+10\nfile part1 10+8\n"
						  "file part2 18+16\nfile part3 34+31\n"
						  "file part4 65+1024\nfile part5 1089+1048576\n"
						  "file part6 1049665+1073741824\n");
	assert_parts("1t,1P,0xeE", "file part0 0+1099511627776\n"
				   "file part1 1099511627776+1125899906842624\n"
				   "file part2 1126999418470400+238\n");
	assert_parts("1E@7e", "file part0 8070450532247928832+1152921504606846976\n");
}

static void test_a_part_beyond_the_end_is_as_it_was_given(void **state)
{
	assert_parts("1M@7M(a),2M(b)", "file a 7340032+1048576\nfile b 8388608+2097152\n");
}

static void test_the_rest_may_be_nothing(void **state)
{
	assert_parts("8M(a),-(b)", "file a 0+8388608\nleft out 1 empty\n");
	assert_parts("-@9M(b)", "left out 1 empty\n");
}

static void test_flags_are_told_and_ro_is_obeyed(void **state)
{
	const struct detector_options options = { .mtdparts = "1k(a)ro,1k(b)rolkslc,1klk,1k(d)" };
	struct members members = members_of(&detector_mtdparts, NULL, SIZE, &options, true);

	assert_result(members.result, 0);
	assert_string_equal(members.text, "file a 0+1024 [mtdparts ro flags=ro]\n"
					  "file b 1024+1024 [mtdparts ro flags=ro,lk,slc]\n"
					  "file part2 2048+1024 [mtdparts flags=lk]\n"
					  "file d 3072+1024 [mtdparts]\n");
	members_clear(&members);
}

static void test_names_are_names(void **state)
{
	assert_parts("1k(a:b),1k(/c/d),1k(1k,ro)", "file a:b 0+1024\nfile _c_d 1024+1024\n"
						   "file 1k,ro 2048+1024\n");
}

static void test_an_id_may_contain_colons(void **state)
{
	assert_parts("0000:00:1f.5:1k(a:b)", "file a:b 0+1024\n");
	assert_parts("id:1k", "file part0 0+1024\n");
}

static void test_of_several_chips_the_first(void **state)
{
	assert_parts("mtdparts=nand:1k(a);nor:2k(b)",
		     "note the parts of several flash chips are given; these are the first one's\n"
		     "file a 0+1024\n");
}

static void test_a_fault_is_shown_where_it_is(void **state)
{
	static const char *const faults[][2] = {
		{ "", "1: a number is missing: ''" },
		{ "mtdparts=", "10: a number is missing: ''" },
		{ "id:", "4: a number is missing: ''" },
		{ "1k(a),", "7: a number is missing: ''" },
		{ "1k(a),x", "7: a number is missing: 'x'" },
		{ "1k(a) 1k(b)", "6: a ',' is missing: ' 1k(b)'" },
		{ "1k(a)rw", "6: a ',' is missing: 'rw'" },
		{ "1x(a)", "2: a ',' is missing: 'x(a)'" },
		{ "019", "3: a ',' is missing: '9'" },
		{ "0x", "1: a number is missing: '0x'" },
		{ "1k,0(b)", "4: this part has no size: '0(b)'" },
		{ "1k@(a)", "4: a number is missing: '(a)'" },
		{ "1k(a", "4: this name has no ')': 'a'" },
		{ "1k()", "4: this name is empty: ')'" },
		{ "-(a),1k(b)", "5: nothing is left for more parts: ',1k(b)'" },
		{ "18446744073709551616", "1: this number is too large: '18446744073709551616'" },
		{ "16E", "1: this number is too large: '16E'" },
		{ "1@0xffffffffffffffff",
		  "1: this part ends too far away: '1@0xffffffffffffffff'" },
	};

	for (size_t i = 0; i < sizeof(faults) / sizeof(*faults); i++) {
		char wanted[200];

		snprintf(wanted, sizeof(wanted), "note mtdparts, character %s\n", faults[i][1]);
		assert_fault(faults[i][0], wanted);
	}
}

static void test_a_name_that_is_too_long(void **state)
{
	char text[300] = "1k(";

	memset(text + 3, 'n', 255);
	text[3 + 255] = 'n';
	text[3 + 256] = ')';
	assert_fault(text, "note mtdparts, character 4: this name is too long: "
			   "'nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn'\n");
}

static void test_without_a_string(void **state)
{
	struct members members = members_of(&detector_mtdparts, NULL, SIZE, NULL, false);

	assert_result(members.result, -EINVAL);
	assert_string_equal(members.text, "note no parts are given: mtdparts=STRING\n");
	members_clear(&members);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_parts_follow_one_another),
		cmocka_unit_test(test_an_offset_is_where_the_next_part_goes_on),
		cmocka_unit_test(test_numbers_are_those_of_the_kernel),
		cmocka_unit_test(test_a_part_beyond_the_end_is_as_it_was_given),
		cmocka_unit_test(test_the_rest_may_be_nothing),
		cmocka_unit_test(test_flags_are_told_and_ro_is_obeyed),
		cmocka_unit_test(test_names_are_names),
		cmocka_unit_test(test_an_id_may_contain_colons),
		cmocka_unit_test(test_of_several_chips_the_first),
		cmocka_unit_test(test_a_fault_is_shown_where_it_is),
		cmocka_unit_test(test_a_name_that_is_too_long),
		cmocka_unit_test(test_without_a_string),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
