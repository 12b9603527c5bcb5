/* SPDX-License-Identifier: MIT */
/* A size as text, and as the number that the same bytes are: both ways, and against another reader
 * of the same language.
 */
#include "fuzz.h"

#include "size.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static const char *const suffixes[] = { "",    "s",   "K",   "M",   "G",   "T",  "P",
					"E",   "KB",  "MB",  "GB",  "TB",  "PB", "EB",
					"KiB", "MiB", "GiB", "TiB", "PiB", "EiB" };
static const uint64_t factors[] = { 1,
				    512,
				    1ULL << 10,
				    1ULL << 20,
				    1ULL << 30,
				    1ULL << 40,
				    1ULL << 50,
				    1ULL << 60,
				    1000ULL,
				    1000000ULL,
				    1000000000ULL,
				    1000000000000ULL,
				    1000000000000000ULL,
				    1000000000000000000ULL,
				    1ULL << 10,
				    1ULL << 20,
				    1ULL << 30,
				    1ULL << 40,
				    1ULL << 50,
				    1ULL << 60 };

/* What the manual says of sizes, by way of a list. Too large numbers stay at a number too large. */
static int read_plainly(const char *text, uint64_t *ret)
{
	bool hexadecimal = strncmp(text, "0x", 2) == 0 && text[2];
	const char *digits = hexadecimal ? "0123456789abcdefABCDEF" : "0123456789";
	const char *number = hexadecimal ? text + 2 : text;
	size_t length = strspn(number, digits);
	unsigned __int128 value = 0;

	if (length == 0)
		return -EINVAL;
	for (size_t i = 0; i < length; i++) {
		size_t digit = strchr(digits, number[i]) - digits;

		value = value * (hexadecimal ? 16 : 10) + (digit > 15 ? digit - 6 : digit);
		if (value > UINT64_MAX)
			value = (unsigned __int128)UINT64_MAX + 1;
	}
	for (size_t i = 0; i < sizeof(factors) / sizeof(*factors); i++) {
		if (strcmp(number + length, suffixes[i]) != 0)
			continue;
		value *= factors[i];
		if (value > SIZE_LIMIT)
			return -ERANGE;
		*ret = value;
		return 0;
	}
	return -EINVAL;
}

static void check_text(const char *text, size_t length)
{
	/* With nothing behind it, so that a step too far is seen. */
	char *exact = malloc(length ?: 1);
	uint64_t wanted = 12345;
	uint64_t value = 12345;
	int result = strlen(text) == length ? read_plainly(text, &wanted) : -EINVAL;

	check(exact);
	memcpy(exact, text, length);
	check(size_parse(exact, length, &value) == result);
	check(value == wanted);
	free(exact);
}

static void check_value(uint64_t value)
{
	char text[SIZE_TEXT_MAX];
	uint64_t parsed = 0;

	check(size_format(value, text) == text);
	check(memchr(text, '\0', sizeof(text)));
	if (value > SIZE_LIMIT) {
		check(size_parse(text, strlen(text), &parsed) == -ERANGE);
		return;
	}
	check(size_parse(text, strlen(text), &parsed) == 0);
	check(parsed == value);
	check_text(text, strlen(text));
}

/* Digits and nothing else, up to a limit. */
static void check_number(const char *text, int base, unsigned long max)
{
	const char *digits = base == 8 ? "01234567" : "0123456789";
	unsigned __int128 wanted = 0;
	unsigned long value = 12345;
	bool good = *text && text[strspn(text, digits)] == '\0';

	for (const char *at = text; good && *at; at++) {
		wanted = wanted * base + (*at - '0');
		good = wanted <= max;
	}
	check(number_parse(text, base, max, &value) == (good ? 0 : -EINVAL));
	check(value == (good ? (unsigned long)wanted : 12345));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = copy_text(data, size);
	uint64_t value = 0;

	check_text(text, size);
	check_number(text, 8, 0777);
	check_number(text, 10, UINT32_MAX - 1);
	memcpy(&value, data, size < sizeof(value) ? size : sizeof(value));
	for (int shift = 0; shift < 64; shift += 5)
		check_value(value >> shift);
	check_value(value << 10);
	check_value(value / 1000 * 1000);
	free(text);
	return 0;
}
