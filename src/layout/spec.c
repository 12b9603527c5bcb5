/* SPDX-License-Identifier: MIT */
/* Slices as the command line gives them: NAME=IMAGE@OFFSET[+LENGTH][,OPTION...]. */
#include "mmapfs/layout.h"

#include "cleanup.h"
#include "column.h"
#include "vec.h"

#include <string.h>

/* An image that some spec has named: the tree calls it by its file's name, or by its whole path
 * when that is taken.
 */
struct spec_image {
	char *path;
	char *name;
};

struct spec_reader {
	struct tree_builder *builder;
	const char *image;
	VEC(struct spec_image) images;
};

struct spec_reader *spec_reader_new(struct tree_builder *builder, const char *image)
{
	struct spec_reader *reader = calloc(1, sizeof(*reader));

	if (reader) {
		reader->builder = builder;
		reader->image = image;
	}
	return reader;
}

void spec_reader_free(struct spec_reader *reader)
{
	if (!reader)
		return;
	for (size_t i = 0; i < reader->images.count; i++) {
		free(reader->images.data[i].path);
		free(reader->images.data[i].name);
	}
	free(reader->images.data);
	free(reader);
}

static bool name_taken(const struct spec_reader *reader, const char *name)
{
	for (size_t i = 0; i < reader->images.count; i++)
		if (strcmp(reader->images.data[i].name, name) == 0)
			return true;
	return strcmp(name, "-") == 0;
}

/* The tree's name for the image at path, added to the builder when it is new. */
static int find_image(struct spec_reader *reader, const char *text, struct error *error,
		      const char **ret)
{
	_cleanup_(cleanup_free) char *path = column_path(".", text);
	struct spec_image image = { 0 };
	const char *base;
	int result;

	if (!path)
		return -ENOMEM;
	for (size_t i = 0; i < reader->images.count; i++)
		if (strcmp(reader->images.data[i].path, path) == 0) {
			*ret = reader->images.data[i].name;
			return 0;
		}
	base = strrchr(path, '/') ? strrchr(path, '/') + 1 : path;
	/* "disk.img/" has none of its own, and is about to be told. */
	image.name = strdup(!*base || name_taken(reader, base) ? path : base);
	image.path = strdup(path);
	if (!image.name || !image.path) {
		result = -ENOMEM;
	} else {
		result = tree_builder_image(reader->builder, image.name, path, IMAGE_ACCESS_AUTO,
					    error)
				 ?: vec_push(&reader->images, image);
	}
	if (result < 0) {
		free(image.name);
		free(image.path);
		return result;
	}
	*ret = image.name;
	return 0;
}

/* The parts of a spec, pointing into a copy of it. */
struct spec {
	char *name;
	char *image; /* "": the default one */
	char *offset;
	char *length;  /* NULL: tail */
	char *options; /* NULL: none */
};

static int split(char *text, struct spec *ret)
{
	struct spec spec = { .name = text };
	char *at = strchr(text, '=');

	if (!at)
		return -EINVAL;
	*at++ = '\0';
	spec.image = at;
	at = strrchr(at, '@');
	if (!at)
		return -EINVAL;
	*at++ = '\0';
	spec.offset = strsep(&at, ",");
	spec.options = at;
	spec.length = strchr(spec.offset, '+');
	if (spec.length)
		*spec.length++ = '\0';
	*ret = spec;
	return 0;
}

int spec_read(struct spec_reader *reader, const char *text, struct error *error)
{
	_cleanup_(cleanup_free) char *copy = strdup(text);
	_cleanup_(cleanup_free) char *where = NULL;
	struct slice_options options = { 0 };
	struct location at = { 0 };
	uint64_t offset = 0;
	uint64_t length = EXTENT_TAIL;
	const char *image = NULL;
	struct spec spec;
	int result = 0;

	if (!copy || asprintf(&where, "slice '%s'", text) < 0) {
		where = NULL;
		return -ENOMEM;
	}
	at.file = where;
	if (split(copy, &spec) < 0) {
		error_add(error, &at, "is not NAME=IMAGE@OFFSET[+LENGTH][,OPTION...]");
		return -EINVAL;
	}
	result = column_size(spec.offset, "offset", &at, error, &offset);
	if (spec.length)
		result = column_size(spec.length, "length", &at, error, &length) ?: result;
	if (spec.options)
		result = column_slice_options(spec.options, &at, error, &options) ?: result;
	if (!*spec.image && !reader->image) {
		error_add(error, &at, "names no image, and no IMAGE is given");
		result = -EINVAL;
	}
	if (result < 0)
		return result;
	return find_image(reader, *spec.image ? spec.image : reader->image, error, &image) ?:
	       tree_builder_slice(reader->builder, spec.name, &options, error) ?:
	       tree_builder_extent(reader->builder, image, offset, length, error);
}

int spec_image(struct spec_reader *reader, struct error *error, const char **ret)
{
	return find_image(reader, reader->image, error, ret);
}

int spec_whole_image(struct spec_reader *reader, struct error *error)
{
	struct slice_options options = { 0 };
	const char *base = strrchr(reader->image, '/');
	const char *image = NULL;

	return find_image(reader, reader->image, error, &image) ?:
	       tree_builder_slice(reader->builder, base ? base + 1 : reader->image, &options,
				  error) ?:
	       tree_builder_extent(reader->builder, image, 0, EXTENT_TAIL, error);
}
