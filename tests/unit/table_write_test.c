/* SPDX-License-Identifier: MIT */
/* Writing tables, which read back as the same tree and write as the same bytes again. */
#include "trees.h"

#include "mmapfs/layout.h"

#include <string.h>
#include <unistd.h>

#define MIB (1UL << 20)

/* The table of the scene's tree; the caller's. */
static char *written(const struct scene *scene)
{
	FILE *out = tmpfile();
	char *text;

	assert_non_null(out);
	assert_result(table_write(scene->tree, out), 0);
	text = stream_text(out);
	fclose(out);
	return text;
}

/* Read the text, as from anywhere, and build it. */
static void read_back(struct scene *scene, const char *text, bool inspect)
{
	FILE *in = fmemopen((void *)text, strlen(text), "r");
	int result;

	assert_non_null(in);
	scene_begin(scene, "t");
	scene->inspect = inspect;
	result = table_read(in, "/nowhere", NULL, scene->builder, &scene->error);
	fclose(in);
	assert_no_messages(&scene->error);
	assert_result(result, 0);
	build_tree(scene);
}

static void assert_same_slice(const struct scene *a, const struct scene *b, size_t index)
{
	struct tree_item first = tree_item_at(a->tree, index);
	struct tree_item second = tree_item_at(b->tree, index);

	assert_string_equal(first.name, second.name);
	assert_int_equal(first.slice->extent_count, second.slice->extent_count);
	for (uint32_t i = 0; i < first.slice->extent_count; i++) {
		const struct extent *x = &first.slice->extents[i];
		const struct extent *y = &second.slice->extents[i];

		assert_int_equal(x->offset, y->offset);
		assert_int_equal(x->length, y->length);
		assert_int_equal(!x->image, !y->image);
		if (x->image)
			assert_int_equal(tree_image_index(a->tree, x->image),
					 tree_image_index(b->tree, y->image));
	}
	assert_int_equal(first.slice->writable, second.slice->writable);
	assert_int_equal(first.slice->resize, second.slice->resize);
	assert_int_equal(first.slice->mode, second.slice->mode);
	assert_int_equal(first.slice->uid, second.slice->uid);
	assert_int_equal(first.slice->gid, second.slice->gid);
	assert_int_equal(first.slice->alias, second.slice->alias);
}

/* What the scene's tree writes reads back as the same tree, and writes as the same bytes. */
static void assert_round_trip(const struct scene *scene)
{
	char *first = written(scene);
	struct scene back;
	char *second;

	read_back(&back, first, true);
	second = written(&back);
	assert_string_equal(first, second);
	assert_int_equal(tree_image_count(scene->tree), tree_image_count(back.tree));
	for (size_t i = 0; i < tree_image_count(scene->tree); i++) {
		struct tree_image a = tree_image_at(scene->tree, i);
		struct tree_image b = tree_image_at(back.tree, i);

		assert_string_equal(a.name, b.name);
		assert_string_equal(a.path, b.path);
		assert_int_equal(a.access, b.access);
	}
	assert_int_equal(tree_item_count(scene->tree), tree_item_count(back.tree));
	for (size_t i = 0; i < tree_item_count(scene->tree); i++)
		assert_same_slice(scene, &back, i);
	scene_end(&back);
	free(first);
	free(second);
}

/* --- the format --- */

static void table_is_written_in_columns(void **state)
{
	const struct slice_options options = { .access = IMAGE_ACCESS_RW,
					       .resize = true,
					       .has_mode = true,
					       .mode = 0600,
					       .has_uid = true,
					       .uid = 7,
					       .has_gid = true,
					       .gid = 8 };
	char *folder = realpath(".", NULL);
	char wanted[2000];
	struct scene scene;
	char *text;

	file_resize("disk.img", 4 * MIB);
	file_resize("fw.bin", MIB);
	scene_begin(&scene, "t");
	scene.inspect = true;
	assert_result(chdir("/"), 0); /* so that the paths are whole */
	snprintf(wanted, sizeof(wanted), "%s/disk.img", folder);
	add_image(&scene, "disk", wanted, IMAGE_ACCESS_AUTO);
	snprintf(wanted, sizeof(wanted), "%s/fw.bin", folder);
	add_image(&scene, "firm ware", wanted, IMAGE_ACCESS_RO);
	add_slice(&scene, "boot", "disk", MIB, 1536);
	add_slice_with(&scene, "the/rest", &options, NULL, 0, 512);
	add_extent(&scene, "disk", 5, EXTENT_TAIL);
	add_slice(&scene, "fw", "firm ware", 0, MIB);
	build_tree(&scene);
	snprintf(wanted, sizeof(wanted),
		 "image   disk         %s/disk.img rw\n"
		 "image   firm\\040ware %s/fw.bin ro\n"
		 "slice   boot     disk                  1M        1536 rw\n"
		 "slice   the/rest -                      0         512 "
		 "rw,resize,mode=0600,uid=7,gid=8\n"
		 "extent           disk                   5           -\n"
		 "slice   fw       firm\\040ware           0          1M ro\n",
		 folder, folder);
	text = written(&scene);
	assert_string_equal(text, wanted);
	free(text);
	assert_round_trip(&scene);
	scene_end(&scene);
	free(folder);
}

static void special_bytes_are_escaped(void **state)
{
	FILE *out = tmpfile();
	char *text;

	assert_non_null(out);
	table_write_escaped("a b#c\\d\t\n\x01\x1f\x7f\x80\xff\xc3\xa9/-", out);
	/* The control characters that UTF-8 has besides, and what is next to them. */
	table_write_escaped("\xc2\x80\xc2\x9f\xc2\xa0\xc2", out);
	text = stream_text(out);
	assert_string_equal(text, "a\\040b\\043c\\134d\\011\\012\\001\\037\\177\x80\xff\xc3\xa9/-"
				  "\\302\\200\\302\\237\xc2\xa0\xc2");
	free(text);
	fclose(out);
}

static void failing_stream_is_an_error(void **state)
{
	FILE *out = fopen("/dev/full", "we");
	struct scene scene;

	assert_non_null(out);
	setvbuf(out, NULL, _IONBF, 0);
	scene_begin(&scene, "t");
	add_slice(&scene, "a", NULL, 0, 1);
	build_tree(&scene);
	assert_true(table_write(scene.tree, out) < 0);
	scene_end(&scene);
	fclose(out);
}

/* --- there and back --- */

/* Any bytes but NUL and '/', and no '.' in front; mostly those that need care. */
static size_t random_name(char *name, size_t most)
{
	static const char special[] = " \t\n\r\v\f#\\\"'=,@-~*?\x01\x1f\x7f\x80\xff\xc3\xa9"
				      "0123abc";
	size_t length = 1 + random_below(random_chance(10) ? most : 12);

	for (size_t i = 0; i < length; i++) {
		name[i] = random_chance(70) ? special[random_below(sizeof(special) - 1)]
					    : (char)random_u64();
		if (name[i] == '\0' || name[i] == '/' || (i == 0 && name[i] == '.'))
			name[i] = '_';
	}
	name[length] = '\0';
	return length;
}

#define IMAGES_MAX 4

struct random_image {
	char name[300];
	char path[5000];
};

/* Makes the files, and adds them. */
static void random_images(struct scene *scene, const char *folder, struct random_image *images,
			  size_t count)
{
	for (size_t i = 0; i < count; i++) {
		struct random_image *image = &images[i];
		size_t length = sprintf(image->path, "%.4000s/", folder);

		/* The number keeps them apart. */
		length += random_name(image->path + length, 200);
		sprintf(image->path + length, "%u", (unsigned)i);
		length = random_name(image->name, 250);
		sprintf(image->name + length, "%u", (unsigned)i);
		file_resize(image->path, MIB);
		assert_result(add_image(scene, image->name, image->path, random_below(3)), 0);
	}
}

static void random_options(struct slice_options *ret)
{
	*ret = (struct slice_options){
		.access = random_chance(50) ? IMAGE_ACCESS_RO : IMAGE_ACCESS_AUTO,
		.has_mode = random_chance(30),
		.mode = random_below(01000),
		.has_uid = random_chance(30),
		.uid = random_below(UINT32_MAX),
		.has_gid = random_chance(30),
		.gid = random_below(UINT32_MAX),
	};
}

static void random_slices(struct scene *scene, const struct random_image *images,
			  size_t image_count, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		size_t extents = 1 + random_below(4);
		struct slice_options options;
		char name[2000] = "";
		size_t length = 0;

		/* Again a number: no name is another's folder. */
		for (size_t depth = random_below(4); depth > 0; depth--) {
			length += random_name(name + length, 250);
			length += sprintf(name + length, "d/");
		}
		length += random_name(name + length, 240);
		sprintf(name + length, "%zu", i);
		random_options(&options);
		for (size_t j = 0; j < extents; j++) {
			const char *image =
				random_chance(20) ? NULL : images[random_below(image_count)].name;
			uint64_t offset = random_below(MIB);
			uint64_t size = random_below(MIB - offset + 1);

			if (image && j + 1 == extents && random_chance(30))
				size = EXTENT_TAIL;
			assert_result(j == 0 ? add_slice_with(scene, name, &options, image, offset,
							      size)
					     : add_extent(scene, image, offset, size),
				      0);
		}
	}
}

static void random_tables_read_back_and_write_the_same_bytes(void **state)
{
	struct random_image *images = calloc(IMAGES_MAX, sizeof(*images));
	char *folder = realpath(".", NULL);

	assert_non_null(images);
	assert_non_null(folder);
	random_begin();
	for (int i = 0; i < 200; i++) {
		size_t count = 1 + random_below(IMAGES_MAX);
		struct scene scene;

		scene_begin(&scene, "t");
		scene.inspect = true;
		random_images(&scene, folder, images, count);
		random_slices(&scene, images, count, 1 + random_below(30));
		build_tree(&scene);
		assert_round_trip(&scene);
		scene_end(&scene);
		for (size_t j = 0; j < count; j++)
			assert_return_code(unlink(images[j].path), errno);
	}
	free(images);
	free(folder);
}

static void attributes_of_the_mount_do_not_get_into_the_table(void **state)
{
	struct scene scene;
	char *text;

	scene_begin(&scene, "t");
	scene.defaults.has_mode = true;
	scene.defaults.mode = 0600;
	add_slice(&scene, "a", NULL, 0, 1);
	build_tree(&scene);
	text = written(&scene);
	assert_null(strstr(text, "mode"));
	assert_null(strstr(text, "uid"));
	free(text);
	scene_end(&scene);
}

static char *absolute(const char *path)
{
	char *resolved = realpath(path, NULL);

	assert_non_null(resolved);
	return resolved;
}

static void one_file_under_two_names_reads_back(void **state)
{
	struct scene scene;
	char *path;

	file_resize("disk.img", MIB);
	path = absolute("disk.img");
	scene_begin(&scene, "t");
	scene.inspect = true;
	add_image(&scene, "a", path, IMAGE_ACCESS_RW);
	add_image(&scene, "b", path, IMAGE_ACCESS_RW);
	add_slice(&scene, "x", "a", 0, 10);
	add_slice(&scene, "y", "b", 20, 10);
	build_tree(&scene);
	assert_round_trip(&scene);
	scene_end(&scene);
	free(path);
}

static void resizable_empty_image_reads_back(void **state)
{
	const struct slice_options resizing = { .resize = true };
	struct scene scene;
	char *path;

	file_resize("disk.img", 0);
	path = absolute("disk.img");
	for (int read_only = 0; read_only < 2; read_only++) {
		scene_begin(&scene, "t");
		scene.inspect = true;
		scene.defaults.read_only = read_only;
		add_image(&scene, "a", path, IMAGE_ACCESS_AUTO);
		add_slice_with(&scene, "x", &resizing, "a", 0, EXTENT_TAIL);
		/* Whatever can be mounted can be written and mounted again. */
		if (tree_build(scene.builder, &scene.defaults, true, &scene.error, &scene.tree) ==
		    0)
			assert_round_trip(&scene);
		scene_end(&scene);
	}
	free(path);
}

/* Escapes make a line longer: what was read must still be short enough to be read again. */
static void long_names_read_back(void **state)
{
	const size_t length = 20000;
	char *table = malloc(length + 100);
	FILE *in;
	struct scene scene;

	assert_non_null(table);
	file_resize("disk.img", MIB);
	memset(table, '\x01', length + 6);
	memcpy(table, "image ", 6);
	strcpy(table + 6 + length, " disk.img ro\n");
	in = fmemopen(table, strlen(table), "r");
	assert_non_null(in);
	scene_begin(&scene, "t");
	scene.inspect = true;
	if (table_read(in, ".", NULL, scene.builder, &scene.error) == 0) {
		build_tree(&scene);
		assert_round_trip(&scene);
	}
	fclose(in);
	scene_end(&scene);
	free(table);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		scratch_test(table_is_written_in_columns),
		cmocka_unit_test(special_bytes_are_escaped),
		cmocka_unit_test(failing_stream_is_an_error),
		scratch_test(random_tables_read_back_and_write_the_same_bytes),
		cmocka_unit_test(attributes_of_the_mount_do_not_get_into_the_table),
		scratch_test(one_file_under_two_names_reads_back),
		scratch_test(resizable_empty_image_reads_back),
		scratch_test(long_names_read_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
