/* SPDX-License-Identifier: MIT */
/* safetensors: a 64-bit little-endian length, so many bytes of JSON, then the data:
 *
 *   { "__metadata__": { "format": "pt" },
 *     "wte.weight": { "dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24] }, ... }
 *
 * Offsets count from the end of the JSON. Each tensor is a file of its bare numbers, in the order
 * of the JSON; header.json is the JSON itself.
 */
#include "detector.h"

#include "load.h"
#include "overflow.h"

#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

/* As the reference implementation has it. */
#define HEADER_MAX 100000000

struct reader {
	const struct bytes *bytes;
	struct sink *sink;
	uint64_t data; /* offset behind the header */
	uint64_t malformed;
};

struct tensor {
	const char *dtype;
	struct piece piece;
	uint64_t count; /* of its numbers */
	char shape[ATTRIBUTE_VALUE_MAX];
};

static const struct {
	const char *name;
	unsigned bits;
} dtypes[] = {
	{ "BOOL", 8 }, { "F4", 4 },      { "F6_E2M3", 6 }, { "F6_E3M2", 6 }, { "U8", 8 },
	{ "I8", 8 },   { "F8_E5M2", 8 }, { "F8_E4M3", 8 }, { "F8_E8M0", 8 }, { "I16", 16 },
	{ "U16", 16 }, { "F16", 16 },    { "BF16", 16 },   { "I32", 32 },    { "U32", 32 },
	{ "F32", 32 }, { "I64", 64 },    { "U64", 64 },    { "F64", 64 },    { "C64", 64 },
};

/* 0 for an unknown one. */
static unsigned dtype_bits(const char *name)
{
	for (size_t i = 0; i < sizeof(dtypes) / sizeof(*dtypes); i++)
		if (strcmp(dtypes[i].name, name) == 0)
			return dtypes[i].bits;
	return 0;
}

static bool load_number(const json_t *value, uint64_t *ret)
{
	if (!json_is_integer(value) || json_integer_value(value) < 0)
		return false;
	*ret = json_integer_value(value);
	return true;
}

/* As text, and how many numbers it makes. */
static bool load_shape(const json_t *shape, struct tensor *tensor)
{
	size_t length = 0;

	if (!json_is_array(shape))
		return false;
	tensor->count = 1;
	for (size_t i = 0; i < json_array_size(shape); i++) {
		uint64_t dimension;

		if (!load_number(json_array_get(shape, i), &dimension) ||
		    multiply_overflows(tensor->count, dimension, &tensor->count))
			return false;
		length += snprintf(tensor->shape + length, sizeof(tensor->shape) - length,
				   "%s%" PRIu64, i > 0 ? "," : "[", dimension);
		if (length >= sizeof(tensor->shape) - 1)
			return false;
	}
	strcpy(tensor->shape + length, length > 0 ? "]" : "[]");
	return true;
}

/* The range, in the image; it may lie beyond the end of a truncated one. */
static bool load_range(const struct reader *reader, const json_t *offsets, struct piece *ret)
{
	uint64_t begin;
	uint64_t end;

	if (json_array_size(offsets) != 2 || !load_number(json_array_get(offsets, 0), &begin) ||
	    !load_number(json_array_get(offsets, 1), &end) || begin > end)
		return false;
	ret->length = end - begin;
	return !add_overflows(begin, reader->data, &ret->offset) &&
	       !add_overflows(end, reader->data, &end);
}

static bool load_tensor(const struct reader *reader, const json_t *value, struct tensor *ret)
{
	unsigned bits;
	uint64_t size;

	ret->dtype = json_string_value(json_object_get(value, "dtype"));
	if (!ret->dtype || strlen(ret->dtype) > ATTRIBUTE_VALUE_MAX ||
	    !load_shape(json_object_get(value, "shape"), ret) ||
	    !load_range(reader, json_object_get(value, "data_offsets"), &ret->piece))
		return false;
	bits = dtype_bits(ret->dtype);
	if (bits == 0)
		return true;
	return !multiply_overflows(ret->count, bits, &size) && size % 8 == 0 &&
	       size / 8 == ret->piece.length;
}

static int give_tensor(struct reader *reader, const char *key, const json_t *value)
{
	struct tensor tensor;
	char *name;
	int result;

	if (!load_tensor(reader, value, &tensor)) {
		reader->malformed++;
		return 0;
	}
	name = strdup(*key ? key : "_");
	if (!name)
		return -ENOMEM;
	const struct attribute attributes[] = {
		{ "dtype", tensor.dtype },
		{ "shape", tensor.shape },
	};
	const struct member member = {
		.kind = MEMBER_FILE,
		.name = name_flatten(name),
		.format = "safetensors",
		.pieces = &tensor.piece,
		.piece_count = tensor.piece.length > 0,
		.attributes = attributes,
		.attribute_count = sizeof(attributes) / sizeof(*attributes),
	};

	result = reader->sink->member(reader->sink, &member);
	free(name);
	return result;
}

static int give_header(const struct reader *reader)
{
	const struct piece piece = { sizeof(uint64_t), reader->data - sizeof(uint64_t) };
	const struct member member = {
		.kind = MEMBER_FILE,
		.name = "header.json",
		.format = "safetensors",
		.pieces = &piece,
		.piece_count = 1,
	};

	return reader->sink->member(reader->sink, &member);
}

static int give_all(struct reader *reader, json_t *header)
{
	int result = give_header(reader);
	const char *key;
	json_t *value;

	json_object_foreach(header, key, value)
	{
		if (result < 0)
			return result;
		if (strcmp(key, "__metadata__") != 0)
			result = give_tensor(reader, key, value);
	}
	if (result == 0 && reader->malformed > 0)
		result = reader->sink->left_out(reader->sink, "malformed", reader->malformed);
	return result;
}

/* An object from end to end, behind which the reference pads with blanks. */
static bool probe(const struct bytes *bytes, const struct detector_options *options)
{
	const unsigned char *header;
	uint64_t size;

	if (bytes->size < sizeof(uint64_t))
		return false;
	header = bytes->data + sizeof(uint64_t);
	size = load_le64(bytes->data);
	if (size < 2 || size > HEADER_MAX || !bytes_hold(bytes, sizeof(uint64_t), size))
		return false;
	while (size > 2 && header[size - 1] == ' ')
		size--;
	return header[0] == '{' && strchr("\" \t\r\n}", header[1]) && header[1] != '\0' &&
	       header[size - 1] == '}';
}

static int detect(const struct bytes *bytes, const struct detector_options *options,
		  struct sink *sink)
{
	struct reader reader = { .bytes = bytes, .sink = sink };
	json_error_t error;
	json_t *header;
	char text[JSON_ERROR_TEXT_LENGTH + 80];
	int result;

	if (!probe(bytes, options))
		return sink->note(sink, "not a safetensors file") ?: -EINVAL;
	reader.data = sizeof(uint64_t) + load_le64(bytes->data);
	header = json_loadb((const char *)bytes->data + sizeof(uint64_t),
			    reader.data - sizeof(uint64_t), JSON_REJECT_DUPLICATES, &error);
	if (!header) {
		/* Nothing is said of memory that was not to be had. */
		if (*error.text == '\0')
			return -ENOMEM;
		snprintf(text, sizeof(text), "the JSON of this safetensors file, at byte %d: %s",
			 error.position, error.text);
		return sink->note(sink, text) ?: -EINVAL;
	}
	result = give_all(&reader, header);
	json_decref(header);
	return result;
}

const struct detector detector_safetensors = {
	.name = "safetensors",
	.probe = probe,
	.detect = detect,
};
