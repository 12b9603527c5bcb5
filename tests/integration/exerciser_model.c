/* SPDX-License-Identifier: MIT
 *
 * The exerciser's memory of what the file must hold, its chance, and its last words.
 */
#include "exerciser.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- reporting
 * ---------------------------------------------------------------------------------
 */

void note(struct exerciser *ex, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(ex->history[ex->number % HISTORY], LINE, format, args);
	va_end(args);
}

void die(struct exerciser *ex, const char *format, ...)
{
	uint32_t first = ex->number >= HISTORY ? ex->number - HISTORY + 1 : 0;
	va_list args;
	uint32_t i;

	printf("exerciser: FAILED at operation %u: %s\n  ", ex->number,
	       ex->history[ex->number % HISTORY]);
	va_start(args, format);
	vprintf(format, args);
	va_end(args);
	printf("\n  seed %llu, size %zu; the operations before, oldest first:\n",
	       (unsigned long long)ex->seed, ex->size);
	for (i = first; i < ex->number; i++)
		printf("  %8u %s\n", i, ex->history[i % HISTORY]);
	exit(1);
}

void die_errno(struct exerciser *ex, const char *what)
{
	int code = errno;

	die(ex, "%s: errno %d (%s)", what, code, strerror(code));
}

void compare(struct exerciser *ex, struct range range, const uint8_t *data)
{
	size_t i = 0, wrong = 0, first = 0;

	if (!memcmp(data, ex->model + range.offset, range.length))
		return;
	for (i = range.length; i-- > 0;) {
		if (data[i] != ex->model[range.offset + i]) {
			first = i;
			wrong++;
		}
	}
	die(ex,
	    "offset %zu length %zu: %zu bytes differ, the first at %zu: got 0x%02x, want 0x%02x, "
	    "last written by operation %u",
	    range.offset, range.length, wrong, range.offset + first, data[first],
	    ex->model[range.offset + first], ex->writer[range.offset + first]);
}

/* --- chance
 * ------------------------------------------------------------------------------------
 */

static uint64_t random_next(struct exerciser *ex) /* splitmix64 */
{
	uint64_t z = ex->random_state += 0x9e3779b97f4a7c15u;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
	return z ^ (z >> 31);
}

size_t random_below(struct exerciser *ex, size_t limit)
{
	return limit ? (size_t)(random_next(ex) % limit) : 0;
}

bool one_in(struct exerciser *ex, size_t count)
{
	return random_below(ex, count) == 0;
}

size_t random_length(struct exerciser *ex)
{
	switch (random_below(ex, 8)) {
	case 0:
	case 1:
		return 1 + random_below(ex, 16);
	case 2:
		return 4096 * (1 + random_below(ex, 8));
	case 3:
		return 1 + random_below(ex, LENGTH_MAX);
	default:
		return 1 + random_below(ex, 8192);
	}
}

size_t random_offset(struct exerciser *ex, size_t limit)
{
	size_t offset = random_below(ex, limit);

	if (one_in(ex, 8))
		offset &= ~(size_t)4095;
	else if (one_in(ex, 8) && offset > 4)
		offset = (offset & ~(size_t)4095) + random_below(ex, 8) - 4;
	else if (one_in(ex, 8))
		offset = limit - 1 - random_below(ex, limit < 100 ? limit : 100);
	return offset < limit ? offset : limit - 1;
}

struct range random_inside(struct exerciser *ex)
{
	struct range range = { random_offset(ex, ex->size), random_length(ex) };

	if (range.length > ex->size - range.offset)
		range.length = ex->size - range.offset;
	return range;
}

struct range random_anywhere(struct exerciser *ex)
{
	size_t limit = ex->resize ? ex->max_size : ex->size + 64;
	struct range range = { random_offset(ex, limit), random_length(ex) };

	if (ex->resize && !one_in(ex, 4) && ex->size)
		return random_inside(ex);
	if (range.length > LENGTH_MAX)
		range.length = LENGTH_MAX;
	if (ex->resize && range.length > limit - range.offset)
		range.length = limit - range.offset;
	return range;
}

void random_fill(struct exerciser *ex, size_t length)
{
	size_t i;

	for (i = 0; i < length; i += 8) {
		uint64_t value = random_next(ex);

		memcpy(ex->buf + i, &value, length - i < 8 ? length - i : 8);
	}
}

/* --- the model
 * ---------------------------------------------------------------------------------
 */

static void model_mark(struct exerciser *ex, struct range range)
{
	size_t i;

	for (i = 0; i < range.length; i++)
		ex->writer[range.offset + i] = ex->number;
}

void model_resize(struct exerciser *ex, size_t size)
{
	if (size > ex->size) {
		struct range gap = { ex->size, size - ex->size };

		memset(ex->model + gap.offset, 0, gap.length);
		model_mark(ex, gap);
	}
	ex->size = size;
}

void model_write(struct exerciser *ex, struct range range, const uint8_t *data)
{
	if (!range.length)
		return;
	if (range.offset + range.length > ex->size)
		model_resize(ex, range.offset + range.length);
	if (data)
		memmove(ex->model + range.offset, data, range.length);
	else
		memset(ex->model + range.offset, 0, range.length);
	model_mark(ex, range);
}
