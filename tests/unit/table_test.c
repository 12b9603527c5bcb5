/* SPDX-License-Identifier: MIT */
/* Reading table files: what a line may look like, and what is said of those that do not. */
#include "trees.h"

#include "mmapfs/layout.h"

#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#define KIB 1024UL
#define MIB (1024UL * KIB)

static int read_bytes(struct scene *scene, const char *folder, const void *bytes, size_t size)
{
	FILE *in = fmemopen((void *)bytes, size, "r");
	int result;

	assert_non_null(in);
	result = table_read(in, folder, NULL, scene->builder, &scene->error);
	fclose(in);
	return result;
}

/* The text is a good table, and can be built. */
static void read_good(struct scene *scene, const char *text)
{
	int result;

	scene_begin(scene, "t");
	result = read_bytes(scene, ".", text, strlen(text));
	assert_no_messages(&scene->error);
	assert_result(result, 0);
	build_tree(scene);
}

/* Reading the bytes fails with exactly these messages. */
#define assert_refused(bytes, size, ...)                                                           \
	do {                                                                                       \
		struct scene scene_;                                                               \
		scene_begin(&scene_, "t");                                                         \
		assert_result(read_bytes(&scene_, ".", (bytes), (size)), -EINVAL);                 \
		assert_messages(&scene_.error, __VA_ARGS__);                                       \
		scene_end(&scene_);                                                                \
	} while (0)

#define assert_text_refused(text, ...) assert_refused((text), strlen(text), __VA_ARGS__)

static void assert_extent(const struct scene *scene, const char *name, size_t index,
			  const char *image, uint64_t offset, uint64_t length)
{
	const struct slice *slice = find_slice(scene->tree, name);
	const struct extent *extent = &slice->extents[index];

	assert_true(index < slice->extent_count);
	assert_int_equal(extent->offset, offset);
	assert_int_equal(extent->length, length);
	if (!image) {
		assert_null(extent->image);
		return;
	}
	assert_non_null(extent->image);
	assert_string_equal(
		tree_image_at(scene->tree, tree_image_index(scene->tree, extent->image)).name,
		image);
}

/* --- good tables --- */

static void example_of_the_manual_is_understood(void **state)
{
	struct scene scene;

	file_resize("disk.img", 1600 * MIB);
	file_resize("fw.bin", MIB);
	read_good(
		&scene,
		"# two images\n"
		"image   disk       disk.img            rw\n"
		"image   firmware   fw.bin              ro\n"
		"\n"
		"slice   boot.img   disk      1M   512M ro\n"
		"slice   data/a     disk    513M     1G rw,mode=0640\n"
		"slice   joined     disk      0      4K ro\n"
		"extent             firmware  64K    4K           # goes on with the slice above\n"
		"extent             -           0    4K\n"
		"slice   rest       disk   1537M      -           # '-' : to the end of the image\n");
	assert_int_equal(tree_item_count(scene.tree), 4);
	assert_extent(&scene, "boot.img", 0, "disk", MIB, 512 * MIB);
	assert_extent(&scene, "data/a", 0, "disk", 513 * MIB, 1024 * MIB);
	assert_extent(&scene, "joined", 0, "disk", 0, 4 * KIB);
	assert_extent(&scene, "joined", 1, "firmware", 64 * KIB, 4 * KIB);
	assert_extent(&scene, "joined", 2, NULL, 0, 4 * KIB);
	assert_extent(&scene, "rest", 0, "disk", 1537 * MIB, EXTENT_TAIL);
	assert_false(find_slice(scene.tree, "boot.img")->writable);
	assert_true(find_slice(scene.tree, "data/a")->writable);
	assert_int_equal(find_slice(scene.tree, "data/a")->mode, 0640);
	assert_true(find_slice(scene.tree, "rest")->writable);
	scene_end(&scene);
}

static void empty_tables_are_tables(void **state)
{
	static const char *const empty[] = { "\n", "# nothing", "\n\n \t\n#\n   # x\n\r\n", "   " };
	struct scene scene;

	for (size_t i = 0; i < COUNT(empty); i++) {
		read_good(&scene, empty[i]);
		assert_int_equal(tree_item_count(scene.tree), 0);
		assert_int_equal(tree_image_count(scene.tree), 0);
		scene_end(&scene);
	}
}

static void blanks_and_line_ends_of_all_kinds_are_fine(void **state)
{
	struct scene scene;

	read_good(&scene, "slice a - 0 1\r\n"
			  "\t slice\tb \v\f- \t 0\t\t2 \t ro  \t\r\n"
			  "   slice c - 0 3   # comment\r\n"
			  "slice d - 0 4 #\n"
			  "slice e - 0 5");
	assert_int_equal(tree_item_count(scene.tree), 5);
	assert_extent(&scene, "b", 0, NULL, 0, 2);
	assert_extent(&scene, "c", 0, NULL, 0, 3);
	assert_extent(&scene, "d", 0, NULL, 0, 4);
	assert_extent(&scene, "e", 0, NULL, 0, 5);
	scene_end(&scene);
}

static void comment_begins_a_column(void **state)
{
	struct scene scene;

	read_good(&scene, "slice a#b - 0 1 # slice x - 0 1\n#slice y - 0 1\n");
	assert_int_equal(tree_item_count(scene.tree), 1);
	assert_extent(&scene, "a#b", 0, NULL, 0, 1);
	scene_end(&scene);
}

static void octal_escapes_are_bytes(void **state)
{
	struct scene scene;

	read_good(&scene, "slice a\\040b - 0 1\n"
			  "slice \\043c - 0 2\n"
			  "slice d\\134e - 0 3\n"
			  "slice f\\012g - 0 4\n"
			  "slice \\377\\001 - 0 5\n"
			  "slice h\\057i - 0 6\n"
			  "slice j\\134040 - 0 7\n"
			  "\\163lice k - 0 8\n");
	assert_extent(&scene, "a b", 0, NULL, 0, 1);
	assert_extent(&scene, "#c", 0, NULL, 0, 2);
	assert_extent(&scene, "d\\e", 0, NULL, 0, 3);
	assert_extent(&scene, "f\ng", 0, NULL, 0, 4);
	assert_extent(&scene, "\xff\x01", 0, NULL, 0, 5);
	assert_extent(&scene, "h/i", 0, NULL, 0, 6);
	assert_extent(&scene, "j\\040", 0, NULL, 0, 7);
	assert_extent(&scene, "k", 0, NULL, 0, 8);
	scene_end(&scene);
}

static void what_is_no_escape_is_as_it_is(void **state)
{
	static const char *const names[] = { "a\\",   "a\\n", "\\04",  "\\08x", "\\400",
					     "\\777", "\\4",  "\\x41", "\\\\",  "a\\04" };
	struct scene scene;
	char text[64];

	for (size_t i = 0; i < COUNT(names); i++) {
		snprintf(text, sizeof(text), "slice %s - 0 1\n", names[i]);
		read_good(&scene, text);
		assert_extent(&scene, names[i], 0, NULL, 0, 1);
		scene_end(&scene);
	}
}

static void sizes_have_suffixes(void **state)
{
	struct scene scene;

	file_resize("disk.img", MIB);
	read_good(&scene, "image disk disk.img\n"
			  "slice a disk 2s 1KiB\n"
			  "slice b disk 0x10 1KB\n");
	assert_extent(&scene, "a", 0, "disk", 1024, 1024);
	assert_extent(&scene, "b", 0, "disk", 16, 1000);
	scene_end(&scene);
}

static void options_are_a_comma_list(void **state)
{
	const struct slice *slice;
	struct scene scene;

	file_resize("disk.img", MIB);
	read_good(&scene, "image disk disk.img\n"
			  "slice a disk 0 - rw,resize,mode=0604,uid=0,gid=4294967294\n"
			  "slice b disk 0 1 rw,ro\n"
			  "slice c disk 0 1 mode=7,mode=0777\n");
	slice = find_slice(scene.tree, "a");
	assert_true(slice->writable);
	assert_true(slice->resize);
	assert_int_equal(slice->mode, 0604);
	assert_int_equal(slice->uid, 0);
	assert_int_equal(slice->gid, 4294967294);
	assert_false(find_slice(scene.tree, "b")->writable);
	assert_int_equal(find_slice(scene.tree, "c")->mode, 0777);
	scene_end(&scene);
}

static void relative_paths_start_from_the_folder(void **state)
{
	static const char text[] = "image a disk.img\nimage b ../other.img\n";
	char *resolved;
	struct scene scene;

	assert_return_code(mkdir("folder", 0755), errno);
	file_resize("folder/disk.img", MIB);
	file_resize("other.img", MIB);
	scene_begin(&scene, "t");
	assert_result(read_bytes(&scene, "folder", text, strlen(text)), 0);
	build_tree(&scene);
	resolved = realpath("folder/disk.img", NULL);
	assert_string_equal(tree_image_at(scene.tree, 0).path, resolved);
	free(resolved);
	resolved = realpath("other.img", NULL);
	assert_string_equal(tree_image_at(scene.tree, 1).path, resolved);
	free(resolved);
	scene_end(&scene);
}

static void missing_image_is_named_with_its_folder(void **state)
{
	struct scene scene;
	const char *text = "image a x.img\nimage b /no/such.img\n";

	scene_begin(&scene, "t");
	assert_result(read_bytes(&scene, "/no/folder", text, strlen(text)), 0);
	assert_build_fails(&scene, "t:1: image 'a': /no/folder/x.img: No such file or directory",
			   "t:2: image 'b': /no/such.img: No such file or directory");
	scene_end(&scene);
}

/* --- bad lines --- */

static void lines_want_their_columns(void **state)
{
	assert_text_refused("image\nimage a\nimage a b ro c\n",
			    "t:1: image wants NAME PATH|memory [OPTIONS]",
			    "t:2: image wants NAME PATH|memory [OPTIONS]",
			    "t:3: image wants NAME PATH|memory [OPTIONS]");
	assert_text_refused("slice\nslice a - 0\nslice a - 0 1 ro x\n",
			    "t:1: slice wants NAME IMAGE OFFSET LENGTH|- [OPTIONS [KEY=VALUE...]]",
			    "t:2: slice wants NAME IMAGE OFFSET LENGTH|- [OPTIONS [KEY=VALUE...]]",
			    "t:3: attribute 'x' is not KEY=VALUE");
	assert_text_refused("slice a - 0 1\nextent\nextent - 0\nextent - 0 1 ro\n",
			    "t:2: extent wants IMAGE OFFSET LENGTH|-",
			    "t:3: extent wants IMAGE OFFSET LENGTH|-",
			    "t:4: extent wants IMAGE OFFSET LENGTH|-");
	assert_text_refused(
		"slice a - 0 1 ro 2=2 3=3 4=4 5=5 6=6 7=7 8=8 9=9 10=10 11=11 12=12 13=13 "
		"14=14 15=15 16=16 17=17 18=18 19=19 20=20 21=21 22=22 23=23 24=24 25=25 "
		"26=26 27=27 28=28\n",
		"t:1: too many columns");
}

static void unknown_entries_are_refused(void **state)
{
	assert_text_refused("slices a - 0 1\nSlice a - 0 1\nlayout\n\xff\n",
			    "t:1: unknown entry 'slices'", "t:2: unknown entry 'Slice'",
			    "t:3: layout wants DIRECTORY IMAGE|SLICE [KEY=VALUE...]",
			    "t:4: unknown entry '\xff'");
}

static void bad_sizes_are_refused(void **state)
{
	assert_text_refused("slice a - 1Q -5\nslice b - 9E 0x\nslice c - - 1\nslice d - 1 8E\n",
			    "t:1: offset '1Q' is not a size", "t:1: length '-5' is not a size",
			    "t:2: offset '9E' is too large", "t:2: length '0x' is not a size",
			    "t:3: offset '-' is not a size", "t:4: length '8E' is too large");
}

static void bad_image_options_are_refused(void **state)
{
	assert_text_refused("image a x wr\nimage b x ro,\nimage c x mode=0600,size=x\n",
			    "t:1: unknown image option 'wr'", "t:2: unknown image option ''",
			    "t:3: unknown image option 'mode=0600'",
			    "t:3: image option 'size=x': bad value");
}

static void bad_options_are_refused(void **state)
{
	assert_text_refused("slice a - 0 1 wr,,mode\n", "t:1: unknown slice option 'wr'",
			    "t:1: unknown slice option ''", "t:1: unknown slice option 'mode'");
	assert_text_refused("slice a - 0 1 mode=8,mode=,mode=1000,mode=-1,mode=+1,mode=0x1\n",
			    "t:1: slice option 'mode=8': bad value",
			    "t:1: slice option 'mode=': bad value",
			    "t:1: slice option 'mode=1000': bad value",
			    "t:1: slice option 'mode=-1': bad value",
			    "t:1: slice option 'mode=+1': bad value",
			    "t:1: slice option 'mode=0x1': bad value");
	assert_text_refused(
		"slice a - 0 1 uid=root,gid=-1,uid=4294967295,gid=99999999999999999999\n",
		"t:1: slice option 'uid=root': bad value", "t:1: slice option 'gid=-1': bad value",
		"t:1: slice option 'uid=4294967295': bad value",
		"t:1: slice option 'gid=99999999999999999999': bad value");
}

static void extent_needs_a_slice_right_before_it(void **state)
{
	assert_text_refused("extent - 0 1\n", "t:1: extent without a slice before it");
	assert_text_refused("slice a - 0 1\nimage x y\nextent - 0 1\n",
			    "t:3: extent without a slice before it");
}

static void extents_of_a_refused_slice_are_passed_over(void **state)
{
	assert_text_refused("slice good - 0 -\n"
			    "slice a/ - 0 1\n"
			    "extent nowhere 0 1\n"
			    "extent - 0 x\n"
			    "slice b - 0 1 wrong\n"
			    "extent nowhere 0 1\n"
			    "slice c -\n"
			    "extent nowhere 0 1\n",
			    "t:1: slice 'good': zeros need a length",
			    "t:2: slice 'a/': name has an empty component",
			    "t:4: length 'x' is not a size", "t:5: unknown slice option 'wrong'",
			    "t:7: slice wants NAME IMAGE OFFSET LENGTH|- [OPTIONS [KEY=VALUE...]]");
}

static void nul_bytes_are_refused(void **state)
{
	static const char raw[] = "slice a - 0 1\nslice b\0 - 0 1\n\0\nslice c - 0 1\n";

	assert_refused(raw, sizeof(raw) - 1, "t:2: line holds a NUL byte",
		       "t:3: line holds a NUL byte");
	assert_text_refused("slice b\\000c - 0 1\n\\000\n", "t:1: column holds \\000",
			    "t:2: column holds \\000");
}

/* A comment line of so many bytes, and a good line behind it. */
static void read_long_line(struct scene *scene, size_t length, int wanted)
{
	char *text = malloc(length + 32);

	assert_non_null(text);
	memset(text, '#', length);
	strcpy(text + length, "\nslice a - 0 1\n");
	scene_begin(scene, "t");
	assert_result(read_bytes(scene, ".", text, strlen(text)), wanted);
	free(text);
}

static void lines_are_bounded(void **state)
{
	struct scene scene;

	read_long_line(&scene, TABLE_LINE_MAX - 1, 0);
	build_tree(&scene);
	assert_extent(&scene, "a", 0, NULL, 0, 1);
	scene_end(&scene);
	read_long_line(&scene, TABLE_LINE_MAX, -EINVAL);
	assert_messages(&scene.error, "t:1: line is longer than 65535 bytes");
	scene_end(&scene);
	read_long_line(&scene, 10 * MIB, -EINVAL);
	assert_messages(&scene.error, "t:1: line is longer than 65535 bytes");
	scene_end(&scene);
}

static void message_of_a_long_word_is_short(void **state)
{
	char *text = malloc(60100);
	struct scene scene;

	assert_non_null(text);
	scene_begin(&scene, "t");
	memset(text, 'x', 60000);
	strcpy(text + 60000, "\n");
	assert_result(read_bytes(&scene, ".", text, strlen(text)), -EINVAL);
	memcpy(text, "slice a - ", 10);
	strcpy(text + 60000, " 1\n");
	assert_result(read_bytes(&scene, ".", text, strlen(text)), -EINVAL);
	memcpy(text, "slice a - 0 1 ", 14);
	strcpy(text + 60000, "\n");
	assert_result(read_bytes(&scene, ".", text, strlen(text)), -EINVAL);
	memcpy(text, "image a b ", 10);
	assert_result(read_bytes(&scene, ".", text, strlen(text)), -EINVAL);
	assert_int_equal(scene.error.count, 4);
	for (size_t i = 0; i < scene.error.count; i++)
		assert_true(strlen(scene.error.messages[i]) < 200);
	scene_end(&scene);
	free(text);
}

static void unreadable_stream_is_an_error(void **state)
{
	FILE *in = fopen(".", "re");
	struct scene scene;

	assert_non_null(in);
	scene_begin(&scene, "t");
	assert_result(table_read(in, ".", NULL, scene.builder, &scene.error), -EINVAL);
	assert_messages(&scene.error, "t: cannot be read: Is a directory");
	scene_end(&scene);
	fclose(in);
}

/* --- noise --- */

#define NOISE_SIZE (4 * MIB)

static uint64_t most_memory_so_far(void)
{
	struct rusage usage;

	assert_return_code(getrusage(RUSAGE_SELF, &usage), errno);
	return usage.ru_maxrss * KIB;
}

/* Whatever the bytes are: an error, not too many messages, and not much memory. */
static void read_noise(const char *bytes, size_t size)
{
	uint64_t before = most_memory_so_far();
	struct scene scene;

	scene_begin(&scene, "t");
	(void)read_bytes(&scene, ".", bytes, size);
	(void)tree_build(scene.builder, &scene.defaults, true, &scene.error, &scene.tree);
	assert_true(scene.error.count + scene.error.omitted > 0);
	assert_true(scene.error.count <= ERROR_MESSAGES_MAX);
	assert_null(scene.tree);
	scene_end(&scene);
	if (!sanitized())
		assert_true(most_memory_so_far() - before < 16 * size);
}

static void random_bytes_are_refused(void **state)
{
	char *noise = malloc(NOISE_SIZE);

	assert_non_null(noise);
	random_begin();
	random_bytes(noise, NOISE_SIZE);
	read_noise(noise, NOISE_SIZE);
	memset(noise, 'x', NOISE_SIZE);
	read_noise(noise, NOISE_SIZE);
	memset(noise, 0, NOISE_SIZE);
	read_noise(noise, NOISE_SIZE);
	free(noise);
}

/* Lines that look like lines. */
static size_t make_likely_noise(char *noise, size_t size)
{
	static const char *const words[] = {
		"image ",   "slice ",   "extent ",    "layout ",   "\n",     "\n",
		"\nslice ", "\nslice ", "\nextent ",  "\nimage ",  "- ",     "- ",
		"0 ",       "1M ",      "4K ",        "0x10 ",     "-1 ",    "9E ",
		"a ",       "b ",       "c/d ",       "/ ",        ".. ",    "disk ",
		"rw",       "ro,",      "mode=0640,", "uid=",      "resize", "\\040",
		"\\000",    "\\",       "#",          "\r",        "\t",     "\xff",
		"\x01",     "=",        "@",          "disk.img ",
	};
	size_t length = 0;

	while (length < size - 32) {
		const char *word = words[random_below(COUNT(words))];

		strcpy(noise + length, word);
		length += strlen(word);
		if (random_chance(10))
			length += sprintf(noise + length, "x%u ", (unsigned)random_below(100000));
	}
	return length;
}

static void likely_noise_is_refused(void **state)
{
	char *noise = malloc(NOISE_SIZE);

	assert_non_null(noise);
	random_begin();
	file_resize("disk.img", MIB);
	read_noise(noise, make_likely_noise(noise, NOISE_SIZE));
	for (int i = 0; i < 3000; i++) {
		size_t size = make_likely_noise(noise, 40 + random_below(400));
		struct scene scene;

		scene_begin(&scene, "t");
		(void)read_bytes(&scene, ".", noise, size);
		(void)tree_build(scene.builder, &scene.defaults, true, &scene.error, &scene.tree);
		scene_end(&scene);
	}
	free(noise);
}

/* A good table with a few bytes changed, cut out or doubled. */
static void damaged_tables_do_no_harm(void **state)
{
	static const char good[] = "image disk disk.img rw\n"
				   "image two  \\144isk2.img ro\n"
				   "slice a/b disk 1K 2K rw,mode=0640,uid=1\n"
				   "extent two 0 4K # more\n"
				   "extent - 0 1M\n"
				   "slice rest disk 4K - rw,resize\n";

	random_begin();
	file_resize("disk.img", MIB);
	file_resize("disk2.img", MIB);
	for (int i = 0; i < 20000; i++) {
		char text[sizeof(good)];
		struct scene scene;

		memcpy(text, good, sizeof(good));
		for (size_t j = random_below(4) + 1; j > 0; j--) {
			size_t at = random_below(sizeof(good) - 1);
			size_t from = random_below(sizeof(good) - 1);

			if (random_chance(50))
				text[at] = random_u64();
			else
				memmove(text + at, text + from,
					sizeof(good) - 1 - (at > from ? at : from));
		}
		scene_begin(&scene, "t");
		if (read_bytes(&scene, ".", text, sizeof(good) - 1) < 0)
			assert_true(scene.error.count > 0);
		if (tree_build(scene.builder, &scene.defaults, true, &scene.error, &scene.tree) ==
		    0)
			assert_int_equal(scene.error.count, 0);
		else
			assert_true(scene.error.count > 0);
		scene_end(&scene);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		scratch_test(example_of_the_manual_is_understood),
		cmocka_unit_test(empty_tables_are_tables),
		cmocka_unit_test(blanks_and_line_ends_of_all_kinds_are_fine),
		cmocka_unit_test(comment_begins_a_column),
		cmocka_unit_test(octal_escapes_are_bytes),
		cmocka_unit_test(what_is_no_escape_is_as_it_is),
		scratch_test(sizes_have_suffixes),
		scratch_test(options_are_a_comma_list),
		scratch_test(relative_paths_start_from_the_folder),
		cmocka_unit_test(missing_image_is_named_with_its_folder),
		cmocka_unit_test(lines_want_their_columns),
		cmocka_unit_test(unknown_entries_are_refused),
		cmocka_unit_test(bad_sizes_are_refused),
		cmocka_unit_test(bad_image_options_are_refused),
		cmocka_unit_test(bad_options_are_refused),
		cmocka_unit_test(extent_needs_a_slice_right_before_it),
		cmocka_unit_test(extents_of_a_refused_slice_are_passed_over),
		cmocka_unit_test(nul_bytes_are_refused),
		cmocka_unit_test(lines_are_bounded),
		cmocka_unit_test(message_of_a_long_word_is_short),
		cmocka_unit_test(unreadable_stream_is_an_error),
		cmocka_unit_test(random_bytes_are_refused),
		scratch_test(likely_noise_is_refused),
		scratch_test(damaged_tables_do_no_harm),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
