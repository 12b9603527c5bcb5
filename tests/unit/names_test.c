/* SPDX-License-Identifier: MIT */
/* Interned names, and which names a mount takes. */
#include "support.h"

#include "mmapfs/tree.h"
#include "names.h"

#include <string.h>
#include <time.h>

/* --- interning --- */

static void names_are_numbered_as_they_come(void **state)
{
	struct names names = { 0 };
	uint32_t number = 99;

	assert_result(names_find(&names, "disk", &number), -ENOENT);
	assert_int_equal(number, 99);
	assert_result(names_add(&names, "disk", &number), 0);
	assert_int_equal(number, 0);
	assert_result(names_add(&names, "", &number), 0);
	assert_int_equal(number, 1);
	assert_result(names_add(&names, "disk2", &number), 0);
	assert_int_equal(number, 2);
	assert_result(names_find(&names, "", &number), 0);
	assert_int_equal(number, 1);
	assert_result(names_find(&names, "dis", &number), -ENOENT);
	names_clear(&names);
	assert_int_equal(names.count, 0);
	assert_result(names_find(&names, "disk", &number), -ENOENT);
}

static void name_given_twice_says_its_number(void **state)
{
	struct names names = { 0 };
	uint32_t number = 99;

	assert_result(names_add(&names, "a", &number), 0);
	assert_result(names_add(&names, "b", &number), 0);
	assert_result(names_add(&names, "a", &number), -EEXIST);
	assert_int_equal(number, 0);
	assert_result(names_add(&names, "b", &number), -EEXIST);
	assert_int_equal(number, 1);
	assert_int_equal(names.count, 2);
	names_clear(&names);
}

static void names_are_copied(void **state)
{
	struct names names = { 0 };
	char text[] = "first";
	uint32_t number;

	assert_result(names_add(&names, text, &number), 0);
	strcpy(text, "other");
	assert_result(names_find(&names, "first", &number), 0);
	assert_result(names_find(&names, "other", &number), -ENOENT);
	names_clear(&names);
}

static void many_names_are_all_found(void **state)
{
	struct names names = { 0 };
	uint32_t number;
	char text[32];

	for (uint32_t i = 0; i < 100000; i++) {
		snprintf(text, sizeof(text), "image%u", i);
		assert_result(names_add(&names, text, &number), 0);
		assert_int_equal(number, i);
	}
	for (uint32_t i = 0; i < 100000; i++) {
		snprintf(text, sizeof(text), "image%u", i);
		assert_result(names_find(&names, text, &number), 0);
		assert_int_equal(number, i);
		assert_string_equal(names.strings[i], text);
	}
	assert_result(names_find(&names, "image100000", &number), -ENOENT);
	names_clear(&names);
}

/* --- names that a hostile table chose to collide --- */

#define HOSTILE_BITS 13
#define HOSTILE_COUNT (1U << HOSTILE_BITS)
#define HASH_MASK ((1U << 18) - 1) /* more than the slots of so many names */
#define BLOCK 4

/* The lowest bits of FNV-1a depend on the lowest bits alone. */
static uint32_t hash_on(uint32_t value, const char *text)
{
	for (size_t i = 0; i < BLOCK; i++)
		value = (value ^ (unsigned char)text[i]) * 0x1b3U & HASH_MASK;
	return value;
}

static void make_block(unsigned number, char text[BLOCK + 1])
{
	for (size_t i = 0; i < BLOCK; i++, number /= 26)
		text[i] = 'a' + number % 26;
	text[BLOCK] = '\0';
}

/* Two blocks that lead from the hash value to the same next one, which is returned. */
static uint32_t find_collision(uint32_t value, char first[BLOCK + 1], char second[BLOCK + 1])
{
	static uint32_t seen[HASH_MASK + 1]; /* number + 1 */
	uint32_t next;

	memset(seen, 0, sizeof(seen));
	for (unsigned i = 0;; i++) {
		assert_true(i < 26 * 26 * 26 * 26);
		make_block(i, second);
		next = hash_on(value, second);
		if (seen[next]) {
			make_block(seen[next] - 1, first);
			return next;
		}
		seen[next] = i + 1;
	}
}

static char hostile_blocks[HOSTILE_BITS][2][BLOCK + 1];

/* The lowest byte of what the hash starts from is one of 256, so it can be guessed. */
static void make_hostile_blocks(uint64_t seed)
{
	uint32_t value = (0xcbf29ce484222325 ^ seed) & 0xff;

	for (int bit = 0; bit < HOSTILE_BITS; bit++)
		value = find_collision(value, hostile_blocks[bit][0], hostile_blocks[bit][1]);
}

/* Name number i takes, at each place, one of two blocks by its bits: all have one hash. */
static void make_hostile_name(unsigned i, char text[HOSTILE_BITS * BLOCK + 1])
{
	for (int bit = 0; bit < HOSTILE_BITS; bit++)
		strcpy(text + bit * BLOCK, hostile_blocks[bit][i >> bit & 1]);
}

static void make_plain_name(unsigned i, char text[HOSTILE_BITS * BLOCK + 1])
{
	snprintf(text, HOSTILE_BITS * BLOCK + 1, "%0*u", HOSTILE_BITS * BLOCK, i);
}

/* Processor time to add them all, in microseconds. */
static int64_t time_to_add(void (*make)(unsigned i, char text[HOSTILE_BITS * BLOCK + 1]))
{
	struct names names = { 0 };
	char text[HOSTILE_BITS * BLOCK + 1];
	uint32_t number;
	clock_t start;

	assert_result(names_add(&names, "the first", &number), 0);
	make_hostile_blocks(names.seed);
	start = clock();
	for (unsigned i = 0; i < HOSTILE_COUNT; i++) {
		make(i, text);
		assert_result(names_add(&names, text, &number), 0);
	}
	names_clear(&names);
	return (clock() - start) * 1000000 / CLOCKS_PER_SEC;
}

static void hostile_names_cost_no_more_than_others(void **state)
{
	/* On a busy machine a measurement can go wrong; a quadratic one never comes out right. */
	for (int i = 0; i < 5; i++) {
		int64_t plain = time_to_add(make_plain_name);
		int64_t hostile = time_to_add(make_hostile_name);

		if (hostile < 10 * plain)
			return;
		print_message("%u names: %d us, chosen to collide: %d us\n", HOSTILE_COUNT,
			      (int)plain, (int)hostile);
	}
	fail();
}

/* --- names of slices --- */

static void good_names_pass(void **state)
{
	static const char *const good[] = {
		"a",        "boot.img",     "data/a",   "a/b/c/d",   "...",    "..a",
		".a",       "a.",           ".mmapfsx", "a/.mmapfs", ".mmapf", " ",
		"a b",      "\n",           "\\",       "#",         "-",      "\x7f",
		"\xff\xfe", "na\xc3\xafve", "*?[",      "a/.../b",   "~",      "=@+,",
	};

	for (size_t i = 0; i < COUNT(good); i++)
		if (name_fault(good[i]))
			fail_msg("'%s' %s", good[i], name_fault(good[i]));
}

struct bad_name {
	const char *name;
	const char *fault;
};

static void bad_names_are_told_why(void **state)
{
	static const struct bad_name bad[] = {
		{ "", "is empty" },
		{ "/", "has an empty component" },
		{ "/a", "has an empty component" },
		{ "a/", "has an empty component" },
		{ "a//b", "has an empty component" },
		{ ".", "has a '.' or '..' component" },
		{ "..", "has a '.' or '..' component" },
		{ "./a", "has a '.' or '..' component" },
		{ "../a", "has a '.' or '..' component" },
		{ "a/..", "has a '.' or '..' component" },
		{ "a/./b", "has a '.' or '..' component" },
		{ ".mmapfs", "is reserved" },
		{ ".mmapfs/table", "is reserved" },
	};

	for (size_t i = 0; i < COUNT(bad); i++) {
		assert_non_null(name_fault(bad[i].name));
		assert_string_equal(name_fault(bad[i].name), bad[i].fault);
	}
}

static void lengths_are_bounded(void **state)
{
	char name[TREE_PATH_MAX + 2];

	memset(name, 'x', sizeof(name));
	name[TREE_COMPONENT_MAX] = '\0';
	assert_null(name_fault(name));
	name[TREE_COMPONENT_MAX] = 'x';
	name[TREE_COMPONENT_MAX + 1] = '\0';
	assert_string_equal(name_fault(name), "has a component longer than 255 bytes");
	name[2] = '/';
	assert_null(name_fault(name));

	for (size_t i = 0; i < sizeof(name); i++)
		name[i] = i % 2 ? '/' : 'x';
	name[TREE_PATH_MAX] = '\0';
	assert_null(name_fault(name));
	name[TREE_PATH_MAX] = 'x';
	name[TREE_PATH_MAX + 1] = '\0';
	assert_string_equal(name_fault(name), "is longer than 4095 bytes");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names_are_numbered_as_they_come),
		cmocka_unit_test(name_given_twice_says_its_number),
		cmocka_unit_test(names_are_copied),
		cmocka_unit_test(many_names_are_all_found),
		cmocka_unit_test(hostile_names_cost_no_more_than_others),
		cmocka_unit_test(good_names_pass),
		cmocka_unit_test(bad_names_are_told_why),
		cmocka_unit_test(lengths_are_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
