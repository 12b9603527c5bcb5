/* SPDX-License-Identifier: MIT */
/* The idioms of src/base: checked arithmetic, growing arrays, cleanups. */
#include "support.h"

#include "cleanup.h"
#include "overflow.h"
#include "vec.h"

#include <fcntl.h>
#include <string.h>

static void addition_reports_overflow(void **state)
{
	uint64_t sum;

	assert_false(add_overflows(0, 0, &sum));
	assert_int_equal(sum, 0);
	assert_false(add_overflows(UINT64_MAX - 5, 5, &sum));
	assert_int_equal(sum, UINT64_MAX);
	assert_true(add_overflows(UINT64_MAX - 5, 6, &sum));
	assert_true(add_overflows(UINT64_MAX, UINT64_MAX, &sum));
	assert_true(add_overflows(1ULL << 63, 1ULL << 63, &sum));
}

static void multiplication_reports_overflow(void **state)
{
	uint64_t product;

	assert_false(multiply_overflows(0, UINT64_MAX, &product));
	assert_int_equal(product, 0);
	assert_false(multiply_overflows(1, UINT64_MAX, &product));
	assert_int_equal(product, UINT64_MAX);
	assert_false(multiply_overflows(0xffffffff, 0x100000001, &product));
	assert_int_equal(product, UINT64_MAX);
	assert_true(multiply_overflows(1ULL << 32, 1ULL << 32, &product));
	assert_true(multiply_overflows(2, 1ULL << 63, &product));
	assert_true(multiply_overflows(UINT64_MAX, UINT64_MAX, &product));
}

static void random_arithmetic_agrees_with_128_bits(void **state)
{
	random_begin();
	for (int i = 0; i < 100000; i++) {
		uint64_t a = random_u64() >> random_below(64);
		uint64_t b = random_u64() >> random_below(64);
		unsigned __int128 sum = (unsigned __int128)a + b;
		unsigned __int128 product = (unsigned __int128)a * b;
		uint64_t got;

		assert_int_equal(add_overflows(a, b, &got), sum > UINT64_MAX);
		assert_int_equal(got, (uint64_t)sum);
		assert_int_equal(multiply_overflows(a, b, &got), product > UINT64_MAX);
		assert_int_equal(min_u64(a, b) == a, a <= b);
		assert_int_equal(max_u64(a, b) == a, a >= b);
	}
}

static void vector_holds_what_was_pushed(void **state)
{
	VEC(uint64_t) numbers = { 0 };

	for (uint64_t i = 0; i < 100000; i++)
		assert_result(vec_push(&numbers, i * i), 0);
	assert_int_equal(numbers.count, 100000);
	assert_true(numbers.capacity >= numbers.count);
	for (uint64_t i = 0; i < 100000; i++)
		assert_int_equal(numbers.data[i], i * i);
	free(numbers.data);
}

static void reserved_room_needs_no_more_memory(void **state)
{
	VEC(uint32_t) numbers = { 0 };
	uint32_t *data;

	assert_result(vec_reserve(&numbers, 1000), 0);
	assert_int_equal(numbers.count, 0);
	data = numbers.data;
	for (uint32_t i = 0; i < 1000; i++)
		assert_result(vec_push(&numbers, i), 0);
	assert_ptr_equal(numbers.data, data);
	assert_result(vec_reserve(&numbers, 0), 0);
	assert_ptr_equal(numbers.data, data);
	free(numbers.data);
}

static void vector_survives_impossible_requests(void **state)
{
	VEC(uint64_t) numbers = { 0 };

	assert_result(vec_push(&numbers, 42), 0);
	assert_result(vec_reserve(&numbers, SIZE_MAX), -ENOMEM);
	assert_result(vec_reserve(&numbers, SIZE_MAX / sizeof(uint64_t) + 1), -ENOMEM);
	assert_result(vec_reserve(&numbers, SIZE_MAX / 2), -ENOMEM);
	assert_int_equal(numbers.count, 1);
	assert_int_equal(numbers.data[0], 42);
	free(numbers.data);
}

static char *make_text(void)
{
	_cleanup_(cleanup_free) char *text = strdup("text");

	/* cppcheck-suppress memleak; steal_pointer() is what is tested */
	return steal_pointer(&text);
}

static int open_null(void)
{
	_cleanup_(cleanup_close) int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

	return steal_fd(&fd);
}

static void stolen_things_are_not_cleaned_up(void **state)
{
	char *text = make_text();
	char *stolen = steal_pointer(&text);
	int fd = open_null();
	int stolen_fd = steal_fd(&fd);

	assert_null(text);
	assert_string_equal(stolen, "text");
	assert_int_equal(fd, -1);
	assert_return_code(fcntl(stolen_fd, F_GETFD), errno);
	close(stolen_fd);
	free(stolen);
}

static void cleanups_keep_errno(void **state)
{
	int kept = -1;

	errno = 0;
	{
		_cleanup_(cleanup_close) int bad = -1;
		_cleanup_(cleanup_close) int none = -1;
		_cleanup_(cleanup_close) int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
		_cleanup_(cleanup_fclose) FILE *file = fopen("/dev/full", "we");
		_cleanup_(cleanup_fclose) FILE *no_file = NULL;

		bad = 1000000;
		assert_int_equal(none, -1);
		assert_null(no_file);
		kept = fd;
		fputs("what cannot be written", file);
		errno = ENOTTY;
	}
	assert_int_equal(errno, ENOTTY);
	assert_int_equal(fcntl(kept, F_GETFD), -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(addition_reports_overflow),
		cmocka_unit_test(multiplication_reports_overflow),
		cmocka_unit_test(random_arithmetic_agrees_with_128_bits),
		cmocka_unit_test(vector_holds_what_was_pushed),
		cmocka_unit_test(reserved_room_needs_no_more_memory),
		cmocka_unit_test(vector_survives_impossible_requests),
		cmocka_unit_test(stolen_things_are_not_cleaned_up),
		cmocka_unit_test(cleanups_keep_errno),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
