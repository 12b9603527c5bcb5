/* SPDX-License-Identifier: MIT */
#include "members.h"

#include "record.h"

#include <string.h>
#include <unistd.h>

/* Records written to a file, to be read again. */
struct tape {
	FILE *file;
	struct record_reader reader;
};

static void tape_begin(struct tape *tape)
{
	*tape = (struct tape){ .file = tmpfile() };
	assert_non_null(tape->file);
	tape->reader.in = tape->file;
}

static void tape_end(struct tape *tape)
{
	record_reader_clear(&tape->reader);
	fclose(tape->file);
}

static void test_a_member_comes_out_as_it_went_in(void **state)
{
	const struct piece pieces[] = { { 5, 10 }, { PIECE_ZEROS, 3 }, { UINT64_MAX - 9, 8 } };
	const struct attribute attributes[] = { { "type", "x y" }, { "label", "" } };
	const struct record record = {
		.type = RECORD_MEMBER,
		.member = {
			.kind = MEMBER_FILE,
			.name = "a/b",
			.format = "tar",
			.read_only = true,
			.has_mode = true,
			.has_gid = true,
			.has_mtime = true,
			.mode = 0640,
			.gid = 7,
			.mtime = { -5, 999999999 },
			.pieces = pieces,
			.piece_count = COUNT(pieces),
			.attributes = attributes,
			.attribute_count = COUNT(attributes),
		},
	};
	const struct record end = { .type = RECORD_END, .number = -22 };
	struct record read;
	struct tape tape;

	tape_begin(&tape);
	assert_result(record_write(&record, tape.file), 0);
	assert_result(record_write(&end, tape.file), 0);
	rewind(tape.file);
	assert_result(record_read(&tape.reader, &read), 1);
	assert_int_equal(read.type, RECORD_MEMBER);
	assert_int_equal(read.member.kind, MEMBER_FILE);
	assert_string_equal(read.member.name, "a/b");
	assert_null(read.member.target);
	assert_string_equal(read.member.format, "tar");
	assert_true(read.member.read_only && read.member.has_mode && read.member.has_gid &&
		    read.member.has_mtime);
	assert_false(read.member.has_uid);
	assert_int_equal(read.member.mode, 0640);
	assert_int_equal(read.member.gid, 7);
	assert_int_equal(read.member.mtime.tv_sec, -5);
	assert_int_equal(read.member.mtime.tv_nsec, 999999999);
	assert_int_equal(read.member.piece_count, COUNT(pieces));
	assert_memory_equal(read.member.pieces, pieces, sizeof(pieces));
	assert_int_equal(read.member.attribute_count, COUNT(attributes));
	for (size_t i = 0; i < COUNT(attributes); i++) {
		assert_string_equal(read.member.attributes[i].key, attributes[i].key);
		assert_string_equal(read.member.attributes[i].value, attributes[i].value);
	}
	assert_result(record_read(&tape.reader, &read), 1);
	assert_int_equal(read.type, RECORD_END);
	assert_int_equal(read.number, -22);
	assert_result(record_read(&tape.reader, &read), 0);
	tape_end(&tape);
}

static void test_texts_that_do_not_fit_are_not_written(void **state)
{
	struct record record = { .type = RECORD_NOTE };
	struct record read;
	struct tape tape;
	char *text = calloc(1, RECORD_TEXT_MAX + 2);

	assert_non_null(text);
	memset(text, 'x', RECORD_TEXT_MAX + 1);
	record.text = text;
	tape_begin(&tape);
	assert_result(record_write(&record, tape.file), -ENAMETOOLONG);
	assert_int_equal(ftell(tape.file), 0);
	text[RECORD_TEXT_MAX] = '\0';
	assert_result(record_write(&record, tape.file), 0);
	rewind(tape.file);
	assert_result(record_read(&tape.reader, &read), 1);
	assert_string_equal(read.text, text);
	tape_end(&tape);
	free(text);
}

/* A stream that is cut off, or has any byte changed, is a bad one or one of other records; never
 * anything worse.
 */
static void test_broken_streams_are_refused_or_harmless(void **state)
{
	const struct piece piece = { 5, 10 };
	const struct attribute attribute = { "key", "value" };
	const struct record record = {
		.type = RECORD_MEMBER,
		.member = {
			.kind = MEMBER_LINK,
			.name = "name",
			.target = "target",
			.format = "tar",
			.attributes = &attribute,
			.attribute_count = 1,
		},
	};
	struct record file = record;
	unsigned char bytes[1000];
	struct record read;
	struct tape tape;
	size_t size;

	file.member.kind = MEMBER_FILE;
	file.member.target = NULL;
	file.member.pieces = &piece;
	file.member.piece_count = 1;
	tape_begin(&tape);
	assert_result(record_write(&record, tape.file), 0);
	assert_result(record_write(&file, tape.file), 0);
	rewind(tape.file);
	size = fread(bytes, 1, sizeof(bytes), tape.file);
	assert_in_range(size, 100, sizeof(bytes) - 1);
	tape_end(&tape);

	random_begin();
	for (size_t i = 0; i < size * 20; i++) {
		unsigned char broken[sizeof(bytes)];
		size_t length = size;
		int result;

		memcpy(broken, bytes, size);
		if (random_chance(20))
			length = random_below(size);
		else
			broken[i % size] = random_chance(30) ? 0xff : random_below(256);
		tape_begin(&tape);
		assert_int_equal(fwrite(broken, 1, length, tape.file), length);
		rewind(tape.file);
		while ((result = record_read(&tape.reader, &read)) == 1) {
			if (read.type != RECORD_MEMBER)
				continue;
			assert_in_range(strlen(read.member.name), 0, RECORD_TEXT_MAX);
			assert_in_range(read.member.mtime.tv_nsec, 0, 999999999);
			for (size_t j = 0; j < read.member.attribute_count; j++)
				assert_in_range(strlen(read.member.attributes[j].value), 0,
						ATTRIBUTE_VALUE_MAX);
		}
		assert_true(result == 0 || result == -EBADMSG);
		tape_end(&tape);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_member_comes_out_as_it_went_in),
		cmocka_unit_test(test_texts_that_do_not_fit_are_not_written),
		cmocka_unit_test(test_broken_streams_are_refused_or_harmless),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
