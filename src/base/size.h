/* SPDX-License-Identifier: MIT */
#ifndef BASE_SIZE_H
#define BASE_SIZE_H

#include <stddef.h>
#include <stdint.h>

/* The largest size or offset: what off_t can hold. */
#define SIZE_LIMIT ((uint64_t)INT64_MAX)

/* "18446744073709551615" and its NUL fit. */
#define SIZE_TEXT_MAX 24

/* Parse a size: decimal or 0x hexadecimal digits, then an optional suffix.
 *
 * K M G T P E, KiB MiB … are powers of 1024, KB MB … powers of 1000, s is sectors of 512 bytes.
 * The whole of the length bytes at text must match: no sign, blank or fraction.
 * Errors: -EINVAL for anything else, -ERANGE above SIZE_LIMIT.
 */
int size_parse(const char *text, size_t length, uint64_t *ret);

/* Parse a plain number in base 8 or 10, up to max, all of text. Errors: -EINVAL. */
int number_parse(const char *text, int base, unsigned long max, unsigned long *ret);

/* Write size with the largest power-of-1024 suffix that divides it: size_parse gives it back.
 * Returns text.
 */
char *size_format(uint64_t size, char text[SIZE_TEXT_MAX]);

/* Write size for people: below 1024 of the largest suffix that leaves 1 or more, rounded to a tenth.
 * Exact multiples have no point, so "2G" is 2 GiB and "2.0G" nearly so. Returns text.
 */
char *size_round(uint64_t size, char text[SIZE_TEXT_MAX]);

#endif
