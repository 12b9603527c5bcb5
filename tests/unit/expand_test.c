/* SPDX-License-Identifier: MIT */
/* Layouts found by detectors of the worst kind: what becomes of the builder, and what is said. */
#include "support.h"

#include "detector.h"
#include "mmapfs/layout.h"
#include "slices.h"

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define MIB (1UL << 20)

/* --- the detectors ------------------------------------------------------------------------------ */

static int crash(const struct bytes *bytes, const struct detector_options *options,
		 struct sink *sink)
{
	abort();
}

static int hang(const struct bytes *bytes, const struct detector_options *options,
		struct sink *sink)
{
	for (volatile bool forever = true; forever;)
		;
	return 0;
}

static int shrink(const struct bytes *bytes, const struct detector_options *options,
		  struct sink *sink)
{
	_exit(0);
}

static int fail_late(const struct bytes *bytes, const struct detector_options *options,
		     struct sink *sink)
{
	const struct piece piece = { 0, 10 };
	const struct member member = {
		.kind = MEMBER_FILE,
		.name = "a",
		.format = "x",
		.pieces = &piece,
		.piece_count = 1,
	};

	return sink->member(sink, &member) ?: -ENOMEM;
}

/* Members that no image can hold, and bad names, and good ones between them. */
static int lie(const struct bytes *bytes, const struct detector_options *options, struct sink *sink)
{
	const struct piece pieces[] = { { UINT64_MAX - 5, 10 },
					{ INT64_MAX, INT64_MAX },
					{ 0, INT64_MAX },
					{ PIECE_ZEROS, UINT64_MAX } };
	const struct piece good = { 5, 10 };
	struct member member = {
		.kind = MEMBER_FILE,
		.name = "../\n",
		.format = "x\ny",
		.pieces = pieces,
		.piece_count = 1,
	};
	struct member link = {
		.kind = MEMBER_LINK,
		.name = "l",
		.target = "nobody",
		.format = "x",
	};
	int result = 0;

	for (size_t i = 0; i < COUNT(pieces) && result == 0; i++) {
		member.pieces = &pieces[i];
		result = sink->member(sink, &member);
	}
	member.pieces = pieces;
	member.piece_count = COUNT(pieces);
	result = result ?: sink->member(sink, &member);
	member.pieces = &good;
	member.piece_count = 1;
	result = result ?: sink->member(sink, &member) ?: sink->member(sink, &link);
	return result ?: sink->note(sink, "a\033[31mnote");
}

static const struct detector bad[] = {
	{ .name = "crash", .detect = crash }, { .name = "hang", .detect = hang },
	{ .name = "quit", .detect = shrink }, { .name = "fail-late", .detect = fail_late },
	{ .name = "lie", .detect = lie },
};

const struct detector *__wrap_detector_find(const char *name, const char **ret_format);

const struct detector *__wrap_detector_find(const char *name, const char **ret_format)
{
	*ret_format = NULL;
	for (size_t i = 0; i < COUNT(bad); i++)
		if (strcmp(bad[i].name, name) == 0)
			return &bad[i];
	return NULL;
}

/* --- the tests ---------------------------------------------------------------------------------- */

struct scene {
	struct tree_builder *builder;
	struct error error;
	struct layout_report report;
};

static int expand_file(struct scene *scene, const char *path, const char *type)
{
	const struct layout_settings settings = { .report = &scene->report, .cpu_seconds = 1 };
	const struct layout_request request = { .directory = "d", .source = "disk", .type = type };

	*scene = (struct scene){ .builder = tree_builder_new(NULL), .error = ERROR_INIT };
	assert_result(tree_builder_image(scene->builder, "disk", path, IMAGE_ACCESS_AUTO,
					 &scene->error),
		      0);
	return layout_expand(scene->builder, &request, &settings, &scene->error);
}

static int expand(struct scene *scene, const char *type)
{
	file_fill("disk.img", 1 * MIB);
	return expand_file(scene, "disk.img", type);
}

static void scene_end(struct scene *scene)
{
	tree_builder_free(scene->builder);
	error_clear(&scene->error);
	layout_report_clear(&scene->report);
}

static void test_what_ends_a_detector_is_said(void **state)
{
	static const struct {
		const char *type;
		const char *said;
	} cases[] = {
		{ "crash",
		  "layout of 'disk': the detector crashed: Aborted (layout=none does without)" },
		{ "hang",
		  "layout of 'disk': looking for its layout takes too long (layout=none does without)" },
		{ "quit", "layout of 'disk': the detector failed (layout=none does without)" },
		{ "fail-late",
		  "layout of 'disk': Cannot allocate memory (layout=none does without)" },
		{ "unknown", "there is no layout 'unknown'" },
	};

	for (size_t i = 0; i < COUNT(cases); i++) {
		struct scene scene;

		assert_result(expand(&scene, cases[i].type), -EINVAL);
		assert_messages(&scene.error, cases[i].said);
		scene_end(&scene);
	}
}

static void test_lies_are_left_out(void **state)
{
	const struct tree_defaults defaults = { 0 };
	struct tree *tree = NULL;
	struct scene scene;
	struct layout_finding *finding;

	assert_result(expand(&scene, "lie"), 0);
	assert_no_messages(&scene.error);
	assert_int_equal(scene.report.count, 1);
	finding = &scene.report.findings[0];
	assert_string_equal(finding->source, "disk");
	assert_string_equal(finding->format, "x_y");
	assert_int_equal(finding->members, 1);
	assert_int_equal(finding->left_out_count, 2);
	assert_string_equal(finding->left_out[0].reason, "malformed");
	assert_int_equal(finding->left_out[0].count, 5);
	assert_string_equal(finding->left_out[1].reason, "links to nothing");
	assert_int_equal(finding->note_count, 1);
	assert_string_equal(finding->notes[0], "a_[31mnote");
	assert_result(tree_build(scene.builder, &defaults, false, &scene.error, &tree), 0);
	assert_int_equal(tree_item_count(tree), 1);
	assert_string_equal(tree_item_at(tree, 0).name, "d/__/_");
	assert_int_equal(tree_item_at(tree, 0).slice->extents[0].offset, 5);
	tree_free(tree);
	scene_end(&scene);
}

/* Not even an address space has room for it. */
static void test_what_is_too_large_has_no_layout(void **state)
{
	int fd = memfd_create("disk", 0);
	struct scene scene;
	char path[32];

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, 1L << 50), 0);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	assert_result(expand_file(&scene, path, NULL), -ENOENT);
	assert_no_messages(&scene.error);
	assert_string_equal(scene.report.findings[0].notes[0],
			    "it is too large to be mapped and looked into");
	scene_end(&scene);
	assert_result(expand_file(&scene, path, "lie"), -EINVAL);
	assert_messages(&scene.error, "layout of 'disk': it is too large to be mapped and looked "
				      "into (layout=none does without)");
	scene_end(&scene);
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		scratch_test(test_what_ends_a_detector_is_said),
		scratch_test(test_lies_are_left_out),
		scratch_test(test_what_is_too_large_has_no_layout),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
