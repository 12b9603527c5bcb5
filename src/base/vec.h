/* SPDX-License-Identifier: MIT */
#ifndef BASE_VEC_H
#define BASE_VEC_H

#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

/* A growing array: VEC(struct extent) extents = { 0 }; freed with free(extents.data). */
#define VEC(type)                                                                                  \
	struct {                                                                                   \
		type *data;                                                                        \
		size_t count;                                                                      \
		size_t capacity;                                                                   \
	}

/* Room for more elements behind count. 0 or -ENOMEM, the array then unchanged. */
#define vec_reserve(vec, more)                                                                     \
	vec_reserve_((void **)&(vec)->data, &(vec)->capacity, (vec)->count, (more),                \
		     sizeof(*(vec)->data))

/* Append one element. 0 or -ENOMEM. */
#define vec_push(vec, element)                                                                     \
	({                                                                                         \
		int pushed_ = vec_reserve((vec), 1);                                               \
		if (pushed_ == 0)                                                                  \
			(vec)->data[(vec)->count++] = (element);                                   \
		pushed_;                                                                           \
	})

static inline int vec_reserve_(void **data, size_t *capacity, size_t count, size_t more,
			       size_t element_size)
{
	size_t want;
	size_t bytes;
	void *grown;

	if (*capacity - count >= more)
		return 0;
	if (__builtin_add_overflow(count, more, &want))
		return -ENOMEM;
	if (want < *capacity * 2)
		want = *capacity * 2;
	if (want < 16)
		want = 16;
	if (__builtin_mul_overflow(want, element_size, &bytes))
		return -ENOMEM;
	grown = realloc(*data, bytes);
	if (!grown)
		return -ENOMEM;
	*data = grown;
	*capacity = want;
	return 0;
}

#endif
