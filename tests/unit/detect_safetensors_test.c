/* SPDX-License-Identifier: MIT */
#include "blob.h"
#include "members.h"

/* A header, and data bytes behind it. */
static struct blob make_file(const char *header, size_t data)
{
	struct blob blob = { 0 };

	blob_number(&blob, 8, strlen(header));
	blob_text(&blob, header);
	blob_grow(&blob, blob.size + data);
	return blob;
}

static void assert_listing(const char *header, size_t data, bool attributes, const char *wanted)
{
	struct blob file = make_file(header, data);
	struct members members =
		members_of(&detector_safetensors, file.data, file.size, NULL, attributes);

	assert_result(members.result, 0);
	assert_string_equal(members.text, wanted);
	members_clear(&members);
	blob_clear(&file);
}

static void test_each_tensor_is_a_file_in_the_order_of_the_header(void **state)
{
	assert_listing("{\"__metadata__\":{\"format\":\"pt\"},"
		       "\"wte.weight\":{\"dtype\":\"F32\",\"shape\":[2,3],\"data_offsets\":[8,32]},"
		       "\"a/b\":{\"data_offsets\":[0,8],\"shape\":[8],\"dtype\":\"U8\"}}   ",
		       32, true,
		       "file header.json 8+154 [safetensors]\n"
		       "file wte.weight 170+24 [safetensors dtype=F32 shape=[2,3]]\n"
		       "file a_b 162+8 [safetensors dtype=U8 shape=[8]]\n");
}

static void test_a_scalar_and_an_empty_tensor(void **state)
{
	assert_listing("{\"s\":{\"dtype\":\"I64\",\"shape\":[],\"data_offsets\":[0,8]},"
		       "\"e\":{\"dtype\":\"F16\",\"shape\":[0,7],\"data_offsets\":[8,8]}}",
		       8, true,
		       "file header.json 8+108 [safetensors]\n"
		       "file s 116+8 [safetensors dtype=I64 shape=[]]\n"
		       "file e [safetensors dtype=F16 shape=[0,7]]\n");
}

static void test_of_no_tensors(void **state)
{
	assert_listing("{}", 0, false, "file header.json 8+2\n");
	assert_listing("{\"__metadata__\":{}}", 0, false, "file header.json 8+19\n");
}

static void test_the_size_follows_from_the_type(void **state)
{
	static const struct {
		const char *dtype;
		unsigned bits;
	} types[] = {
		{ "BOOL", 8 },    { "U8", 8 },      { "I8", 8 },   { "F8_E5M2", 8 },
		{ "F8_E4M3", 8 }, { "F8_E8M0", 8 }, { "F4", 4 },   { "F6_E2M3", 6 },
		{ "F6_E3M2", 6 }, { "U16", 16 },    { "I16", 16 }, { "F16", 16 },
		{ "BF16", 16 },   { "U32", 32 },    { "I32", 32 }, { "F32", 32 },
		{ "U64", 64 },    { "I64", 64 },    { "F64", 64 }, { "C64", 64 },
	};

	for (size_t i = 0; i < COUNT(types); i++)
		for (int more = -1; more <= 1; more++) {
			const unsigned size = 4 * types[i].bits / 8 + more;
			char header[100];
			char wanted[100];
			int length = snprintf(header, sizeof(header),
					      "{\"t\":{\"dtype\":\"%s\",\"shape\":[2,2],"
					      "\"data_offsets\":[0,%u]}}",
					      types[i].dtype, size);

			if (more == 0)
				snprintf(wanted, sizeof(wanted),
					 "file header.json 8+%d\nfile t %d+%u\n", length,
					 8 + length, size);
			else
				snprintf(wanted, sizeof(wanted),
					 "file header.json 8+%d\nleft out 1 malformed\n", length);
			assert_listing(header, size, false, wanted);
		}
}

static void test_half_a_byte_is_malformed(void **state)
{
	assert_listing("{\"t\":{\"dtype\":\"F4\",\"shape\":[3],\"data_offsets\":[0,1]}}", 1, false,
		       "file header.json 8+53\nleft out 1 malformed\n");
}

static void test_an_unknown_type_is_taken_at_its_word(void **state)
{
	assert_listing("{\"t\":{\"dtype\":\"Q3\",\"shape\":[3],\"data_offsets\":[0,7]}}", 7, true,
		       "file header.json 8+53 [safetensors]\n"
		       "file t 61+7 [safetensors dtype=Q3 shape=[3]]\n");
}

static void test_a_tensor_beyond_the_end_is_as_it_should_be(void **state)
{
	assert_listing("{\"t\":{\"dtype\":\"U8\",\"shape\":[9],\"data_offsets\":[1,10]}}", 3, false,
		       "file header.json 8+54\nfile t 63+9\n");
}

static void test_what_is_malformed_is_left_out(void **state)
{
	static const char *const tensors[] = {
		"{}",
		"7",
		"[]",
		"{\"dtype\":\"U8\",\"shape\":[1]}",
		"{\"dtype\":\"U8\",\"data_offsets\":[0,1]}",
		"{\"shape\":[1],\"data_offsets\":[0,1]}",
		"{\"dtype\":8,\"shape\":[1],\"data_offsets\":[0,1]}",
		"{\"dtype\":\"U8\",\"shape\":1,\"data_offsets\":[0,1]}",
		"{\"dtype\":\"U8\",\"shape\":[\"1\"],\"data_offsets\":[0,1]}",
		"{\"dtype\":\"U8\",\"shape\":[-1],\"data_offsets\":[0,1]}",
		"{\"dtype\":\"U8\",\"shape\":[1.0],\"data_offsets\":[0,1]}",
		"{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0]}",
		"{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1,2]}",
		"{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[-1,0]}",
		"{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1.0]}",
		"{\"dtype\":\"Q\",\"shape\":[1],\"data_offsets\":[2,1]}",
		/* 2^64 and more */
		"{\"dtype\":\"Q\",\"shape\":[4294967296,4294967296],\"data_offsets\":[0,0]}",
		"{\"dtype\":\"U8\",\"shape\":[4294967296,4294967296],\"data_offsets\":[0,0]}",
		"{\"dtype\":\"F64\",\"shape\":[1152921504606846976],\"data_offsets\":[0,0]}",
	};

	for (size_t i = 0; i < COUNT(tensors); i++) {
		char header[200];
		char wanted[100];

		snprintf(header, sizeof(header), "{\"t\":%s}", tensors[i]);
		snprintf(wanted, sizeof(wanted), "file header.json 8+%zu\nleft out 1 malformed\n",
			 strlen(header));
		assert_listing(header, 9, false, wanted);
	}
}

/* A shape must fit an attribute; one of a million dimensions is made up. */
static void test_a_shape_that_is_too_long(void **state)
{
	for (size_t count = 500; count < 520; count++) {
		struct blob header = { 0 };
		const bool fits = 2 * count + 1 <= ATTRIBUTE_VALUE_MAX - 1;

		blob_text(&header, "{\"t\":{\"dtype\":\"U8\",\"shape\":[1");
		for (size_t i = 1; i < count; i++)
			blob_text(&header, ",1");
		blob_text(&header, "],\"data_offsets\":[0,1]}}");
		header.data[header.size] = '\0';

		struct blob file = make_file((const char *)header.data, 1);
		struct members members =
			members_of(&detector_safetensors, file.data, file.size, NULL, true);

		assert_result(members.result, 0);
		assert_int_equal(strstr(members.text, "malformed") == NULL, fits);
		assert_int_equal(strstr(members.text, ",1,1]]\n") != NULL, fits);
		members_clear(&members);
		blob_clear(&file);
		blob_clear(&header);
	}
}

static void test_json_that_is_broken(void **state)
{
	static const char *const headers[] = {
		"{\"a\":}",
		"{\"a\":1,}",
		"{\"a\":{},\"a\":{}}",
		"{\"a\\u0000\":{}}",
		"{\"a\xff\":{}}",
		"{\"a\":18446744073709551616}",
		"{}{}",
	};

	for (size_t i = 0; i < COUNT(headers); i++) {
		struct blob file = make_file(headers[i], 0);
		struct members members =
			members_of(&detector_safetensors, file.data, file.size, NULL, false);

		assert_result(members.result, -EINVAL);
		assert_int_equal(
			strncmp(members.text, "note the JSON of this safetensors file", 38), 0);
		members_clear(&members);
		blob_clear(&file);
	}
}

static void test_other_bytes_are_not_for_it(void **state)
{
	static const char *const headers[] = { "", "{", "[]", "7}", "{}x", "{x}", "{\"", "{}\n" };
	struct blob file = make_file("{}", 0);

	for (size_t size = 0; size < file.size; size++)
		assert_not_for(&detector_safetensors, file.data, size);
	file.data[0]++;
	assert_not_for(&detector_safetensors, file.data, file.size);
	blob_clear(&file);
	for (size_t i = 0; i < COUNT(headers); i++) {
		file = make_file(headers[i], 100);
		assert_not_for(&detector_safetensors, file.data, file.size);
		blob_clear(&file);
	}
}

static void test_the_header_is_not_too_large(void **state)
{
	struct blob file = make_file("{}", 0);

	blob_grow(&file, 100000000 + 20);
	memset(file.data + 10, ' ', file.size - 10);
	blob_set(&file, 0, 8, 100000000);
	assert_members(&detector_safetensors, file.data, file.size, NULL,
		       "file header.json 8+100000000\n");
	blob_set(&file, 0, 8, 100000001);
	assert_not_for(&detector_safetensors, file.data, file.size);
	blob_clear(&file);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_each_tensor_is_a_file_in_the_order_of_the_header),
		cmocka_unit_test(test_a_scalar_and_an_empty_tensor),
		cmocka_unit_test(test_of_no_tensors),
		cmocka_unit_test(test_the_size_follows_from_the_type),
		cmocka_unit_test(test_half_a_byte_is_malformed),
		cmocka_unit_test(test_an_unknown_type_is_taken_at_its_word),
		cmocka_unit_test(test_a_tensor_beyond_the_end_is_as_it_should_be),
		cmocka_unit_test(test_what_is_malformed_is_left_out),
		cmocka_unit_test(test_a_shape_that_is_too_long),
		cmocka_unit_test(test_json_that_is_broken),
		cmocka_unit_test(test_other_bytes_are_not_for_it),
		cmocka_unit_test(test_the_header_is_not_too_large),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
