/* SPDX-License-Identifier: MIT */
/* Sizes: every suffix, what is refused, every boundary of overflow, and the way back. */
#include "support.h"

#include "size.h"

#include <inttypes.h>
#include <string.h>

#define KIB (1ULL << 10)
#define MIB (1ULL << 20)
#define GIB (1ULL << 30)
#define TIB (1ULL << 40)
#define PIB (1ULL << 50)
#define EIB (1ULL << 60)

#define UNTOUCHED 0xdeadbeefULL

struct accepted {
	const char *text;
	uint64_t size;
};

static const struct accepted accepted[] = {
	{ "0", 0 },
	{ "1", 1 },
	{ "00012", 12 },
	{ "4096", 4096 },
	{ "0s", 0 },
	{ "1s", 512 },
	{ "2048s", MIB },
	{ "1K", KIB },
	{ "1M", MIB },
	{ "1G", GIB },
	{ "1T", TIB },
	{ "1P", PIB },
	{ "1E", EIB },
	{ "3KiB", 3 * KIB },
	{ "3MiB", 3 * MIB },
	{ "3GiB", 3 * GIB },
	{ "3TiB", 3 * TIB },
	{ "3PiB", 3 * PIB },
	{ "3EiB", 3 * EIB },
	{ "7KB", 7000ULL },
	{ "7MB", 7000000ULL },
	{ "7GB", 7000000000ULL },
	{ "7TB", 7000000000000ULL },
	{ "7PB", 7000000000000000ULL },
	{ "7EB", 7000000000000000000ULL },
	{ "0x0", 0 },
	{ "0x10", 16 },
	{ "0xfF", 255 },
	{ "0x4000", 16384 },
	{ "0x10K", 16 * KIB },
	{ "0x10KiB", 16 * KIB },
	{ "0x10MB", 16000000 },
	{ "0x2s", 1024 },
	/* E is a digit there, and so is the B of a lonely B. */
	{ "0x1E", 30 },
	{ "0x1B", 27 },
	{ "0x7fffffffffffffff", SIZE_LIMIT },
	{ "9223372036854775807", SIZE_LIMIT },
};

static const char *const garbled[] = {
	"",      " ",    " 1",   "1 ",       "1 K",   "\t1",
	"1\n",   "-1",   "--1",  "+1",       "-0",    "1-",
	"1.5",   "1,5",  "1.5G", "1_000",    "K",     "KiB",
	"s",     "0x",   "0xg",  "0xs",      "x10",   "0X10",
	"0x-1",  "-0x1", "1k",   "1m",       "1g",    "1S",
	"1b",    "1B",   "1kb",  "1Kb",      "1kB",   "1kiB",
	"1Ki",   "1iB",  "1KIB", "1Kib",     "1KiBs", "1KiBB",
	"1KK",   "1KM",  "1sK",  "1Z",       "1Y",    "1e3",
	"1K1",   "0b1",  "1h",   "\xc2\xb9", "ten",   "99999999999999999999Q",
	"1\xff", "\xff",
};

static int parse(const char *text, uint64_t *ret)
{
	return size_parse(text, strlen(text), ret);
}

static void every_suffix_is_understood(void **state)
{
	for (size_t i = 0; i < COUNT(accepted); i++) {
		uint64_t size = UNTOUCHED;
		int result = parse(accepted[i].text, &size);

		if (result < 0 || size != accepted[i].size)
			fail_msg("'%s': %d, %" PRIu64, accepted[i].text, result, size);
	}
}

static void garbled_sizes_are_refused(void **state)
{
	for (size_t i = 0; i < COUNT(garbled); i++) {
		uint64_t size = UNTOUCHED;
		int result = parse(garbled[i], &size);

		if (result != -EINVAL || size != UNTOUCHED)
			fail_msg("'%s': %d, %" PRIu64, garbled[i], result, size);
	}
}

static void length_bounds_the_text(void **state)
{
	uint64_t size = UNTOUCHED;

	assert_result(size_parse("12K34", 3, &size), 0);
	assert_int_equal(size, 12 * KIB);
	assert_result(size_parse("12K34", 2, &size), 0);
	assert_int_equal(size, 12);
	assert_result(size_parse("12", 0, &size), -EINVAL);
	assert_result(size_parse("0x1", 2, &size), -EINVAL);
	/* A NUL is a byte like any other: not part of a size. */
	assert_result(size_parse("12\0", 3, &size), -EINVAL);
	assert_result(size_parse("1\0B", 3, &size), -EINVAL);
	assert_result(size_parse("\0", 1, &size), -EINVAL);
	assert_int_equal(size, 12);
}

static void assert_too_large(const char *text)
{
	uint64_t size = UNTOUCHED;
	int result = parse(text, &size);

	if (result != -ERANGE || size != UNTOUCHED)
		fail_msg("'%s': %d, %" PRIu64, text, result, size);
}

static void sizes_above_the_limit_are_refused(void **state)
{
	assert_too_large("9223372036854775808");
	assert_too_large("18446744073709551615");
	assert_too_large("18446744073709551616");
	assert_too_large("18446744073709551617");
	assert_too_large("36893488147419103233"); /* 2^65 + 1: wraps to 1 */
	assert_too_large("9999999999999999999999999999999999999999");
	assert_too_large("0x8000000000000000");
	assert_too_large("0xffffffffffffffff");
	assert_too_large("0x10000000000000000");
	assert_too_large("0x10000000000000001");
	assert_too_large("0xfffffffffffffffffffffffffffffffffffffff");
	assert_too_large("18446744073709551616s");
}

struct suffix {
	const char *text;
	uint64_t factor;
};

static const struct suffix suffixes[] = {
	{ "", 1 },
	{ "s", 512 },
	{ "K", KIB },
	{ "M", MIB },
	{ "G", GIB },
	{ "T", TIB },
	{ "P", PIB },
	{ "E", EIB },
	{ "KiB", KIB },
	{ "MiB", MIB },
	{ "GiB", GIB },
	{ "TiB", TIB },
	{ "PiB", PIB },
	{ "EiB", EIB },
	{ "KB", 1000ULL },
	{ "MB", 1000000ULL },
	{ "GB", 1000000000ULL },
	{ "TB", 1000000000000ULL },
	{ "PB", 1000000000000000ULL },
	{ "EB", 1000000000000000000ULL },
};

static void each_suffix_ends_at_the_limit(void **state)
{
	for (size_t i = 0; i < COUNT(suffixes); i++) {
		const struct suffix *suffix = &suffixes[i];
		uint64_t most = SIZE_LIMIT / suffix->factor;
		/* The least that wraps a 64-bit product back to something small. */
		uint64_t wrap = UINT64_MAX / suffix->factor + 1;
		uint64_t size = 0;
		char text[64];

		snprintf(text, sizeof(text), "%" PRIu64 "%s", most, suffix->text);
		assert_result(parse(text, &size), 0);
		assert_int_equal(size, most * suffix->factor);
		snprintf(text, sizeof(text), "%" PRIu64 "%s", most + 1, suffix->text);
		assert_too_large(text);
		if (suffix->factor > 1) {
			snprintf(text, sizeof(text), "%" PRIu64 "%s", wrap, suffix->text);
			assert_too_large(text);
		}
	}
}

/* What the grammar says, done another way: with 128 bits and the table above. */
static int parse_by_table(const char *text, uint64_t *ret)
{
	const char *digits = strncmp(text, "0x", 2) == 0 ? "0123456789abcdefABCDEF" : "0123456789";
	unsigned base = digits[10] ? 16 : 10;
	const char *at = base == 16 ? text + 2 : text;
	size_t count = strspn(at, digits);
	unsigned __int128 value = 0;

	if (count == 0)
		return -EINVAL;
	for (size_t i = 0; i < count && value <= SIZE_LIMIT; i++) {
		unsigned digit = strchr(digits, at[i]) - digits;

		value = value * base + (digit > 15 ? digit - 6 : digit);
	}
	for (size_t i = 0; i < COUNT(suffixes); i++) {
		if (strcmp(at + count, suffixes[i].text) != 0)
			continue;
		value *= suffixes[i].factor;
		*ret = value;
		return value > SIZE_LIMIT ? -ERANGE : 0;
	}
	return -EINVAL;
}

static void random_texts_parse_by_the_grammar(void **state)
{
	static const char alphabet[] = "0000123456789xxKMGTPEiBBs-+ .aF";

	random_begin();
	for (int i = 0; i < 500000; i++) {
		char text[32] = "";
		size_t length = random_below(12);
		uint64_t size = UNTOUCHED;
		uint64_t wanted = UNTOUCHED;
		int result;

		for (size_t j = 0; j < length; j++)
			text[j] = alphabet[random_below(sizeof(alphabet) - 1)];
		if (random_chance(50))
			strcat(text, suffixes[random_below(COUNT(suffixes))].text);
		result = parse(text, &size);
		if (result != parse_by_table(text, &wanted) || (result == 0 && size != wanted))
			fail_msg("'%s': %d, %" PRIu64 ", wanted %" PRIu64, text, result, size,
				 wanted);
	}
}

static void assert_format(uint64_t size, const char *wanted)
{
	char text[SIZE_TEXT_MAX];

	assert_ptr_equal(size_format(size, text), text);
	assert_string_equal(text, wanted);
}

static void largest_dividing_suffix_is_written(void **state)
{
	assert_format(0, "0");
	assert_format(1, "1");
	assert_format(1000, "1000");
	assert_format(1023, "1023");
	assert_format(KIB, "1K");
	assert_format(KIB + 1, "1025");
	assert_format(1536, "1536");
	assert_format(1000 * KIB, "1000K");
	assert_format(MIB, "1M");
	assert_format(GIB + MIB, "1025M");
	assert_format(5 * GIB, "5G");
	assert_format(3 * TIB, "3T");
	assert_format(1023 * PIB, "1023P");
	assert_format(EIB, "1E");
	assert_format(7 * EIB, "7E");
	assert_format(SIZE_LIMIT, "9223372036854775807");
	assert_format(SIZE_LIMIT + 1, "8E");
	assert_format(UINT64_MAX, "18446744073709551615");
}

static void written_sizes_read_back(void **state)
{
	random_begin();
	for (int i = 0; i < 200000; i++) {
		/* All magnitudes alike, and many that end in zero bits. */
		uint64_t size = random_u64() >> 1 >> random_below(63);
		uint64_t back = UNTOUCHED;
		char text[SIZE_TEXT_MAX];

		if (random_chance(50))
			size &= UINT64_MAX << random_below(63);
		size_format(size, text);
		if (parse(text, &back) != 0 || back != size)
			fail_msg("%" PRIu64 " as '%s' is %" PRIu64, size, text, back);
	}
}

static void rounded_sizes_are_short(void **state)
{
	static const struct accepted rounded[] = {
		{ "0", 0 },
		{ "1", 1 },
		{ "1023", 1023 },
		{ "1K", KIB },
		{ "1.0K", KIB + 1 },
		{ "1.5K", KIB + KIB / 2 },
		{ "10.1K", 10 * KIB + 100 },
		{ "1007K", 1007 * KIB },
		{ "1023.9K", 1023 * KIB + 920 },
		{ "1.0M", MIB - 1 },
		{ "1.0G", GIB - 1 },
		{ "2.0G", 2 * GIB - 1 },
		{ "2G", 2 * GIB },
		{ "931.3G", 1000000000000 },
		{ "8E", 8 * EIB },
		{ "8.0E", 8 * EIB - 1 },
		{ "16.0E", UINT64_MAX },
	};
	char text[SIZE_TEXT_MAX];

	for (size_t i = 0; i < COUNT(rounded); i++)
		assert_string_equal(size_round(rounded[i].size, text), rounded[i].text);
}

/* At most half a tenth of its unit away. */
static void rounded_sizes_are_near(void **state)
{
	random_begin();
	for (int i = 0; i < 100000; i++) {
		uint64_t size = random_u64() >> random_below(64);
		char text[SIZE_TEXT_MAX];
		char *unit;
		long double value = strtold(size_round(size, text), &unit);
		long double factor = 1;

		for (const char *at = " KMGTPE"; *unit && *at != *unit; at++)
			factor *= 1024;
		assert_true(strlen(text) <= 7);
		assert_true(value * factor - size <= factor * 0.0501L);
		assert_true(size - value * factor <= factor * 0.0501L);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_suffix_is_understood),
		cmocka_unit_test(garbled_sizes_are_refused),
		cmocka_unit_test(length_bounds_the_text),
		cmocka_unit_test(sizes_above_the_limit_are_refused),
		cmocka_unit_test(each_suffix_ends_at_the_limit),
		cmocka_unit_test(random_texts_parse_by_the_grammar),
		cmocka_unit_test(largest_dividing_suffix_is_written),
		cmocka_unit_test(written_sizes_read_back),
		cmocka_unit_test(rounded_sizes_are_short),
		cmocka_unit_test(rounded_sizes_are_near),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
