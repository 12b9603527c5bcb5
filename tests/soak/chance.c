/* SPDX-License-Identifier: MIT
 *
 * Everything random, by one seed for each process.
 */
#include "soak.h"

#include <string.h>

static uint64_t state;

void chance_seed(uint64_t seed)
{
	state = seed;
}

static uint64_t next(void) /* splitmix64 */
{
	uint64_t z = state += 0x9e3779b97f4a7c15u;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
	return z ^ (z >> 31);
}

uint64_t chance(uint64_t limit)
{
	return limit ? next() % limit : 0;
}

bool one_in(uint64_t count)
{
	return chance(count) == 0;
}

void chance_fill(uint8_t *buf, size_t length)
{
	for (size_t i = 0; i < length; i += 8) {
		uint64_t value = next();

		memcpy(buf + i, &value, length - i < 8 ? length - i : 8);
	}
}
