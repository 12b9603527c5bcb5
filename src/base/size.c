/* SPDX-License-Identifier: MIT */
/* Sizes as people write them: 1G, 512M, 2048s, 0x4000. */
#include "size.h"

#include "overflow.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char units[] = "KMGTPE";

static int digit_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return 16;
}

/* The factor of a suffix: 1 for none, 0 for an unknown one. */
static uint64_t suffix_factor(const char *suffix, size_t length)
{
	const char *unit;
	uint64_t base = 1024;
	uint64_t factor = 1;

	if (length == 0)
		return 1;
	if (length == 1 && suffix[0] == 's')
		return 512;
	unit = memchr(units, suffix[0], sizeof(units) - 1);
	if (!unit)
		return 0;
	if (length == 2 && suffix[1] == 'B')
		base = 1000;
	else if (length != 1 && !(length == 3 && memcmp(suffix + 1, "iB", 2) == 0))
		return 0;
	for (const char *at = units; at <= unit; at++)
		factor *= base;
	return factor;
}

int size_parse(const char *text, size_t length, uint64_t *ret)
{
	const char *end = text + length;
	int base = 10;
	bool overflow = false;
	uint64_t value = 0;
	uint64_t factor;
	const char *digits;

	if (length > 2 && text[0] == '0' && text[1] == 'x') {
		base = 16;
		text += 2;
	}
	for (digits = text; text < end && digit_value(*text) < base; text++)
		overflow |= multiply_overflows(value, base, &value) ||
			    add_overflows(value, digit_value(*text), &value);
	if (text == digits)
		return -EINVAL;
	factor = suffix_factor(text, end - text);
	if (factor == 0)
		return -EINVAL;
	if (overflow || multiply_overflows(value, factor, &value) || value > SIZE_LIMIT)
		return -ERANGE;
	*ret = value;
	return 0;
}

int number_parse(const char *text, int base, unsigned long max, unsigned long *ret)
{
	unsigned long value;
	char *end;

	if (*text < '0' || *text > '9') /* strtoul takes blanks and signs */
		return -EINVAL;
	errno = 0;
	value = strtoul(text, &end, base);
	if (errno || *end || value > max)
		return -EINVAL;
	*ret = value;
	return 0;
}

char *size_format(uint64_t size, char text[SIZE_TEXT_MAX])
{
	int unit = -1;

	while (size != 0 && size % 1024 == 0 && unit < (int)sizeof(units) - 2) {
		size /= 1024;
		unit++;
	}
	if (unit < 0)
		snprintf(text, SIZE_TEXT_MAX, "%" PRIu64, size);
	else
		snprintf(text, SIZE_TEXT_MAX, "%" PRIu64 "%c", size, units[unit]);
	return text;
}

char *size_round(uint64_t size, char text[SIZE_TEXT_MAX])
{
	uint64_t factor = 1;
	int unit = -1;
	uint64_t whole;
	unsigned tenths;

	while (size / factor >= 1024) {
		factor *= 1024;
		unit++;
	}
	whole = size / factor;
	tenths = (size % factor * 10 + factor / 2) / factor;
	if (tenths == 10) {
		tenths = 0;
		whole++;
	}
	if (whole == 1024) {
		whole = 1;
		unit++;
	}
	if (size % factor == 0)
		snprintf(text, SIZE_TEXT_MAX, "%" PRIu64, whole);
	else
		snprintf(text, SIZE_TEXT_MAX, "%" PRIu64 ".%u", whole, tenths);
	if (unit >= 0)
		strncat(text, &units[unit], 1);
	return text;
}
