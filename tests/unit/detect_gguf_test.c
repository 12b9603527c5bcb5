/* SPDX-License-Identifier: MIT */
#include "blob.h"
#include "members.h"

enum {
	TYPE_UINT8 = 0,
	TYPE_UINT32 = 4,
	TYPE_STRING = 8,
	TYPE_ARRAY = 9,
	TYPE_UINT64 = 10,
};

struct file {
	struct blob blob;
	uint32_t version;
};

static void file_start(struct file *file, uint32_t version, bool big, uint64_t tensors,
		       uint64_t keys)
{
	const size_t word = version > 1 ? 8 : 4;

	*file = (struct file){ .version = version, .blob.big = big };
	blob_text(&file->blob, "GGUF");
	blob_number(&file->blob, 4, version);
	blob_number(&file->blob, word, tensors);
	blob_number(&file->blob, word, keys);
}

static void add_size(struct file *file, uint64_t size)
{
	blob_number(&file->blob, file->version > 1 ? 8 : 4, size);
}

static void add_text(struct file *file, const char *text)
{
	add_size(file, strlen(text));
	blob_text(&file->blob, text);
}

/* Its value is to follow. */
static void add_key(struct file *file, const char *name, uint32_t type)
{
	add_text(file, name);
	blob_number(&file->blob, 4, type);
}

/* Up to two dimensions; the second may be 0. */
static void add_tensor(struct file *file, const char *name, uint64_t first, uint64_t second,
		       uint32_t type, uint64_t offset)
{
	add_text(file, name);
	blob_number(&file->blob, 4, second > 0 ? 2 : 1);
	add_size(file, first);
	if (second > 0)
		add_size(file, second);
	blob_number(&file->blob, 4, type);
	blob_number(&file->blob, 8, offset);
}

static void assert_file(const struct file *file, bool attributes, const char *wanted)
{
	struct members members =
		members_of(&detector_gguf, file->blob.data, file->blob.size, NULL, attributes);

	assert_result(members.result, 0);
	assert_string_equal(members.text, wanted);
	members_clear(&members);
}

/* Keys of all kinds, between which the alignment is found. */
static void add_keys(struct file *file)
{
	static const unsigned char sizes[] = { 1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8 };
	struct blob *blob = &file->blob;

	for (uint32_t type = 0; type < COUNT(sizes); type++)
		if (sizes[type] > 0) {
			add_key(file, "number", type);
			blob_number(blob, sizes[type], 77);
		}
	add_key(file, "text", TYPE_STRING);
	add_text(file, "general.alignment");
	add_key(file, "general.alignment", TYPE_UINT32);
	blob_number(blob, 4, 64);
	add_key(file, "array", TYPE_ARRAY);
	blob_number(blob, 4, TYPE_UINT64);
	add_size(file, 3);
	for (int i = 0; i < 3; i++)
		blob_number(blob, 8, i);
	add_key(file, "texts", TYPE_ARRAY);
	blob_number(blob, 4, TYPE_STRING);
	add_size(file, 2);
	add_text(file, "");
	add_text(file, "x");
	add_key(file, "arrays", TYPE_ARRAY);
	blob_number(blob, 4, TYPE_ARRAY);
	add_size(file, 2);
	for (int i = 0; i < 2; i++) {
		blob_number(blob, 4, TYPE_UINT8);
		add_size(file, 1);
		blob_number(blob, 1, 9);
	}
}
#define KEY_COUNT 16

static void check_version(uint32_t version, bool big)
{
	struct file file;
	char wanted[400];
	const char *order = big ? " byte-order=big" : "";
	size_t data;

	file_start(&file, version, big, 2, KEY_COUNT);
	add_keys(&file);
	add_tensor(&file, "blk.0/attn", 3, 2, 0, 64);
	add_tensor(&file, "norm", 5, 0, 1, 0);
	data = (file.blob.size + 63) / 64 * 64;
	blob_grow(&file.blob, data + 64 + 24);
	snprintf(wanted, sizeof(wanted),
		 "file blk.0_attn %zu+24 [gguf dtype=F32 shape=[2,3]%s]\n"
		 "file norm %zu+10 [gguf dtype=F16 shape=[5]%s]\n",
		 data + 64, order, data, order);
	assert_file(&file, true, wanted);
	blob_clear(&file.blob);
}

static void test_each_version_gives_each_tensor(void **state)
{
	check_version(1, false);
	check_version(2, false);
	check_version(3, false);
	check_version(3, true);
}

/* Each type's bytes for 256 numbers, from the description of the format. */
static void test_the_size_follows_from_the_type(void **state)
{
	static const struct {
		uint32_t type;
		const char *name;
		unsigned size;
	} types[] = {
		{ 0, "F32", 1024 },    { 1, "F16", 512 },     { 2, "Q4_0", 144 },
		{ 3, "Q4_1", 160 },    { 6, "Q5_0", 176 },    { 7, "Q5_1", 192 },
		{ 8, "Q8_0", 272 },    { 10, "Q2_K", 84 },    { 11, "Q3_K", 110 },
		{ 12, "Q4_K", 144 },   { 13, "Q5_K", 176 },   { 14, "Q6_K", 210 },
		{ 15, "Q8_K", 292 },   { 16, "IQ2_XXS", 66 }, { 17, "IQ2_XS", 74 },
		{ 18, "IQ3_XXS", 98 }, { 19, "IQ1_S", 50 },   { 20, "IQ4_NL", 144 },
		{ 21, "IQ3_S", 110 },  { 22, "IQ2_S", 82 },   { 23, "IQ4_XS", 136 },
		{ 24, "I8", 256 },     { 25, "I16", 512 },    { 26, "I32", 1024 },
		{ 27, "I64", 2048 },   { 28, "F64", 2048 },   { 29, "IQ1_M", 56 },
		{ 30, "BF16", 512 },   { 34, "TQ1_0", 54 },   { 35, "TQ2_0", 66 },
		{ 39, "MXFP4", 136 },  { 40, "NVFP4", 144 },
	};

	for (size_t i = 0; i < COUNT(types); i++) {
		struct file file;
		char wanted[100];

		file_start(&file, 3, false, 1, 0);
		add_tensor(&file, "t", 256, 3, types[i].type, 0);
		snprintf(wanted, sizeof(wanted), "file t 96+%u [gguf dtype=%s shape=[3,256]]\n",
			 3 * types[i].size, types[i].name);
		assert_file(&file, true, wanted);
		blob_clear(&file.blob);
	}
}

static void test_an_unknown_type_is_left_out(void **state)
{
	/* Withdrawn, in memory only, or not there yet. */
	static const uint32_t types[] = { 4, 5, 9, 31, 33, 36, 38, 41, 1000, UINT32_MAX };

	for (size_t i = 0; i < COUNT(types); i++) {
		struct file file;

		file_start(&file, 3, false, 2, 0);
		add_tensor(&file, "t", 256, 0, types[i], 0);
		add_tensor(&file, "u", 1, 0, 24, 64);
		assert_file(&file, false, "file u 160+1\nleft out 1 unknown type\n");
		blob_clear(&file.blob);
	}
}

static void test_what_is_malformed_is_left_out(void **state)
{
	struct file file;

	file_start(&file, 3, false, 6, 0);
	add_tensor(&file, "part of a block", 31, 2, 2, 0);
	add_tensor(&file, "too many", 1ULL << 32, 1ULL << 32, 24, 0);
	add_tensor(&file, "too much", 1ULL << 62, 0, 0, 0);
	add_tensor(&file, "too far", 1, 0, 24, UINT64_MAX);
	add_tensor(&file, "beyond", 2, 0, 24, UINT64_MAX - 288);
	blob_number(&file.blob, 8, 1); /* a name of one NUL */
	blob_number(&file.blob, 1, 0);
	blob_number(&file.blob, 4, 0);
	blob_number(&file.blob, 4, 24);
	blob_number(&file.blob, 8, 0);
	assert_file(&file, false, "left out 6 malformed\n");
	blob_clear(&file.blob);
}

static void test_a_scalar_and_an_empty_tensor(void **state)
{
	struct file file;

	file_start(&file, 3, false, 3, 0);
	add_text(&file, "scalar");
	blob_number(&file.blob, 4, 0);
	blob_number(&file.blob, 4, 0);
	blob_number(&file.blob, 8, 0);
	add_tensor(&file, "empty", 0, 7, 2, 0);
	add_text(&file, "no block");
	blob_number(&file.blob, 4, 0);
	blob_number(&file.blob, 4, 2);
	blob_number(&file.blob, 8, 0);
	assert_file(&file, true,
		    "file scalar 160+4 [gguf dtype=F32 shape=[]]\n"
		    "file empty [gguf dtype=Q4_0 shape=[7,0]]\nleft out 1 malformed\n");
	blob_clear(&file.blob);
}

static void test_a_tensor_beyond_the_end_is_as_it_should_be(void **state)
{
	struct file file;

	file_start(&file, 3, false, 1, 0);
	add_tensor(&file, "t", 1 << 20, 0, 0, 1 << 30);
	assert_file(&file, false, "file t 1073741888+4194304\n");
	blob_clear(&file.blob);
}

/* Whatever the counts and lengths claim. */
static void test_a_cut_header_ends_in_a_note(void **state)
{
	for (uint32_t version = 1; version <= 3; version++) {
		struct file file;

		file_start(&file, version, false, 2, KEY_COUNT);
		const size_t start = file.blob.size;

		add_keys(&file);
		add_tensor(&file, "a", 3, 2, 0, 0);
		add_tensor(&file, "b", 3, 2, 0, 32);
		for (size_t size = start; size < file.blob.size; size++) {
			const struct detector forced = { .detect = detector_gguf.detect };
			unsigned char *exact = malloc(size);
			struct members members;

			assert_non_null(exact);
			memcpy(exact, file.blob.data, size);
			members = members_of(&forced, exact, size, NULL, false);
			assert_result(members.result, 0);
			assert_int_equal(
				strncmp(members.text, "note the GGUF header is broken at ", 34), 0);
			members_clear(&members);
			free(exact);
		}
		blob_clear(&file.blob);
	}
}

static void assert_broken(struct file *file, const char *where)
{
	char wanted[120];

	blob_grow(&file->blob, file->blob.size + 1000);
	snprintf(wanted, sizeof(wanted), "note the GGUF header is broken at byte %s\n", where);
	assert_file(file, false, wanted);
	blob_clear(&file->blob);
}

static void test_what_cannot_be_in_a_header(void **state)
{
	struct file file;

	file_start(&file, 3, false, 0, 2);
	add_key(&file, "k", 13); /* no such type */
	assert_broken(&file, "37, in key 1 of 2");

	file_start(&file, 3, false, 0, 1);
	add_key(&file, "", TYPE_UINT8);
	assert_broken(&file, "32, in key 1 of 1");

	file_start(&file, 3, false, 0, 1);
	add_key(&file, "k", TYPE_ARRAY);
	blob_number(&file.blob, 4, TYPE_UINT64);
	add_size(&file, 1ULL << 61);
	assert_broken(&file, "49, in key 1 of 1");

	file_start(&file, 3, false, 0, 1);
	add_key(&file, "general.alignment", TYPE_UINT32);
	blob_number(&file.blob, 4, 48);
	assert_broken(&file, "57, in key 1 of 1");

	file_start(&file, 3, false, 0, 1);
	add_key(&file, "general.alignment", TYPE_UINT32);
	blob_number(&file.blob, 4, 0);
	assert_broken(&file, "57, in key 1 of 1");

	file_start(&file, 3, false, 1, 0);
	add_text(&file, "t");
	blob_number(&file.blob, 4, 9); /* dimensions */
	assert_broken(&file, "37, in tensor 1 of 1");
}

static void test_arrays_of_arrays_are_not_bottomless(void **state)
{
	for (int depth = 8; depth <= 9; depth++) {
		struct file file;

		file_start(&file, 3, false, 0, 1);
		add_key(&file, "k", TYPE_ARRAY);
		for (int i = 1; i < depth; i++) {
			blob_number(&file.blob, 4, TYPE_ARRAY);
			add_size(&file, 1);
		}
		blob_number(&file.blob, 4, TYPE_UINT8);
		add_size(&file, 0);
		if (depth == 8)
			assert_file(&file, false, "");
		else
			assert_broken(&file, "133, in key 1 of 1");
		blob_clear(&file.blob);
	}
}

static void test_other_bytes_are_not_for_it(void **state)
{
	const struct detector forced = { .detect = detector_gguf.detect };
	struct members members;
	struct file file;

	file_start(&file, 3, false, 0, 0);
	assert_file(&file, false, "");
	for (size_t size = 0; size < file.blob.size; size++)
		assert_not_for(&detector_gguf, file.blob.data, size);
	for (size_t i = 0; i < 8; i++) {
		file.blob.data[i] ^= 0x80;
		assert_not_for(&detector_gguf, file.blob.data, file.blob.size);
		file.blob.data[i] ^= 0x80;
	}
	blob_set(&file.blob, 8, 8, 1); /* a tensor, of which there is nothing */
	assert_not_for(&detector_gguf, file.blob.data, file.blob.size);
	blob_clear(&file.blob);

	members = members_of(&forced, "GGUF\4\0\0\0", 8, NULL, false);
	assert_result(members.result, -EINVAL);
	assert_string_equal(members.text, "note not a GGUF file of version 1 to 3\n");
	members_clear(&members);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_each_version_gives_each_tensor),
		cmocka_unit_test(test_the_size_follows_from_the_type),
		cmocka_unit_test(test_an_unknown_type_is_left_out),
		cmocka_unit_test(test_what_is_malformed_is_left_out),
		cmocka_unit_test(test_a_scalar_and_an_empty_tensor),
		cmocka_unit_test(test_a_tensor_beyond_the_end_is_as_it_should_be),
		cmocka_unit_test(test_a_cut_header_ends_in_a_note),
		cmocka_unit_test(test_what_cannot_be_in_a_header),
		cmocka_unit_test(test_arrays_of_arrays_are_not_bottomless),
		cmocka_unit_test(test_other_bytes_are_not_for_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
