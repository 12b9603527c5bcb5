/* SPDX-License-Identifier: MIT */
#ifndef BASE_OVERFLOW_H
#define BASE_OVERFLOW_H

#include <stdbool.h>
#include <stdint.h>

/* Arithmetic on byte counts that come from outside. True on overflow; *ret is then undefined. */
static inline bool add_overflows(uint64_t a, uint64_t b, uint64_t *ret)
{
	return __builtin_add_overflow(a, b, ret);
}

static inline bool multiply_overflows(uint64_t a, uint64_t b, uint64_t *ret)
{
	return __builtin_mul_overflow(a, b, ret);
}

static inline bool add_overflows_i64(int64_t a, int64_t b, int64_t *ret)
{
	return __builtin_add_overflow(a, b, ret);
}

static inline bool multiply_overflows_i64(int64_t a, int64_t b, int64_t *ret)
{
	return __builtin_mul_overflow(a, b, ret);
}

static inline uint64_t min_u64(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static inline uint64_t max_u64(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

#endif
