/* SPDX-License-Identifier: MIT */
/* GGUF: the models of llama.cpp. A header of numbers and strings one behind the other, so that what
 * comes next is known only when all before it was read:
 *
 *   "GGUF", version, count of tensors, count of keys
 *   keys:     name, type, value; arrays may hold arrays
 *   tensors:  name, count of dimensions, dimensions, type, offset
 *   up to the next multiple of general.alignment (32); the data, which offsets count from
 *
 * Version 1 has lengths and dimensions of 32 bits, later ones of 64. Since version 3 a file may be
 * big-endian throughout; its version, which is never large, tells.
 *
 * Tensors are read twice: the data starts behind the last one.
 */
#include "detector.h"

#include "load.h"
#include "overflow.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#define MAGIC "GGUF"
#define ALIGNMENT_KEY "general.alignment"
#define DEFAULT_ALIGNMENT 32
#define DIMENSIONS_MAX 8 /* ggml has 4 */
#define DEPTH_MAX 8      /* of arrays */
/* The longest names that have a meaning; the format allows keys of this length. */
#define NAME_MAX_LENGTH 65535

/* Far above that of any model; so many bytes of zeros are read in a second. */
#define HEADER_MAX (1ULL << 28)

enum value_type {
	TYPE_UINT32 = 4,
	TYPE_STRING = 8,
	TYPE_ARRAY = 9,
	TYPE_COUNT = 13,
};

/* Bytes of a value; 0: it says itself. */
static const unsigned char value_sizes[TYPE_COUNT] = { 1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8 };

/* How ggml stores numbers: so many in a block of so many bytes. Types that only live in memory, that
 * were withdrawn, or whose layout has changed, are left out.
 */
static const struct tensor_type {
	const char *name;
	uint16_t numbers;
	uint16_t size;
} tensor_types[] = {
	[0] = { "F32", 1, 4 },         [1] = { "F16", 1, 2 },         [2] = { "Q4_0", 32, 18 },
	[3] = { "Q4_1", 32, 20 },      [6] = { "Q5_0", 32, 22 },      [7] = { "Q5_1", 32, 24 },
	[8] = { "Q8_0", 32, 34 },      [10] = { "Q2_K", 256, 84 },    [11] = { "Q3_K", 256, 110 },
	[12] = { "Q4_K", 256, 144 },   [13] = { "Q5_K", 256, 176 },   [14] = { "Q6_K", 256, 210 },
	[15] = { "Q8_K", 256, 292 },   [16] = { "IQ2_XXS", 256, 66 }, [17] = { "IQ2_XS", 256, 74 },
	[18] = { "IQ3_XXS", 256, 98 }, [19] = { "IQ1_S", 256, 50 },   [20] = { "IQ4_NL", 32, 18 },
	[21] = { "IQ3_S", 256, 110 },  [22] = { "IQ2_S", 256, 82 },   [23] = { "IQ4_XS", 256, 136 },
	[24] = { "I8", 1, 1 },         [25] = { "I16", 1, 2 },        [26] = { "I32", 1, 4 },
	[27] = { "I64", 1, 8 },        [28] = { "F64", 1, 8 },        [29] = { "IQ1_M", 256, 56 },
	[30] = { "BF16", 1, 2 },       [34] = { "TQ1_0", 256, 54 },   [35] = { "TQ2_0", 256, 66 },
	[39] = { "MXFP4", 32, 17 },    [40] = { "NVFP4", 64, 36 },
};

/* The header, up to end; at is what comes next. */
struct reader {
	const unsigned char *data;
	uint64_t at;
	uint64_t end;
	bool big;
	uint32_t version;
	uint64_t tensor_count;
	uint64_t key_count;
	uint64_t alignment;
};

struct text {
	const char *data;
	uint64_t length;
};

struct tensor {
	struct text name;
	uint32_t dimension_count;
	uint64_t dimensions[DIMENSIONS_MAX];
	uint32_t type;
	uint64_t offset;
};

/* What cannot be shown. */
struct losses {
	uint64_t unknown;
	uint64_t malformed;
};

static bool skip(struct reader *reader, uint64_t length)
{
	if (length > reader->end - reader->at)
		return false;
	reader->at += length;
	return true;
}

static bool read_u32(struct reader *reader, uint32_t *ret)
{
	if (!skip(reader, sizeof(*ret)))
		return false;
	*ret = load_le32(reader->data + reader->at - sizeof(*ret));
	if (reader->big)
		*ret = __builtin_bswap32(*ret);
	return true;
}

static bool read_u64(struct reader *reader, uint64_t *ret)
{
	if (!skip(reader, sizeof(*ret)))
		return false;
	*ret = load_le64(reader->data + reader->at - sizeof(*ret));
	if (reader->big)
		*ret = __builtin_bswap64(*ret);
	return true;
}

/* A length, count or dimension: of 32 bits in version 1. */
static bool read_size(struct reader *reader, uint64_t *ret)
{
	uint32_t narrow;

	if (reader->version > 1)
		return read_u64(reader, ret);
	if (!read_u32(reader, &narrow))
		return false;
	*ret = narrow;
	return true;
}

static bool read_text(struct reader *reader, struct text *ret)
{
	struct text text;

	if (!read_size(reader, &text.length) || !skip(reader, text.length))
		return false;
	text.data = (const char *)reader->data + reader->at - text.length;
	*ret = text;
	return true;
}

/* A name is not empty; so a hole, which is all zeros, ends what is read. */
static bool read_name(struct reader *reader, struct text *ret)
{
	return read_text(reader, ret) && ret->length > 0 && ret->length <= NAME_MAX_LENGTH;
}

static bool text_is(const struct text *text, const char *word)
{
	return text->length == strlen(word) && memcmp(text->data, word, text->length) == 0;
}

static bool skip_value(struct reader *reader, uint32_t type, unsigned depth)
{
	uint32_t element_type;
	struct text text;
	uint64_t count;
	uint64_t size;

	if (type >= TYPE_COUNT)
		return false;
	if (type == TYPE_STRING)
		return read_text(reader, &text);
	if (type != TYPE_ARRAY)
		return skip(reader, value_sizes[type]);
	if (depth == DEPTH_MAX || !read_u32(reader, &element_type) || element_type >= TYPE_COUNT ||
	    !read_size(reader, &count))
		return false;
	if (value_sizes[element_type] > 0)
		return !multiply_overflows(count, value_sizes[element_type], &size) &&
		       skip(reader, size);
	while (count-- > 0)
		if (!skip_value(reader, element_type, depth + 1))
			return false;
	return true;
}

static bool read_key(struct reader *reader)
{
	struct text name;
	uint32_t alignment;
	uint32_t type;

	if (!read_name(reader, &name) || !read_u32(reader, &type))
		return false;
	if (type != TYPE_UINT32 || !text_is(&name, ALIGNMENT_KEY))
		return skip_value(reader, type, 0);
	if (!read_u32(reader, &alignment) || alignment == 0 || alignment & (alignment - 1))
		return false;
	reader->alignment = alignment;
	return true;
}

static bool read_tensor(struct reader *reader, struct tensor *ret)
{
	if (!read_name(reader, &ret->name) || !read_u32(reader, &ret->dimension_count) ||
	    ret->dimension_count > DIMENSIONS_MAX)
		return false;
	for (size_t i = 0; i < ret->dimension_count; i++)
		if (!read_size(reader, &ret->dimensions[i]))
			return false;
	return read_u32(reader, &ret->type) && read_u64(reader, &ret->offset);
}

/* Up to the first key. */
static bool read_start(const struct bytes *bytes, struct reader *ret)
{
	struct reader reader = {
		.data = bytes->data,
		.end = min_u64(bytes->size, HEADER_MAX),
		.alignment = DEFAULT_ALIGNMENT,
	};

	if (!skip(&reader, strlen(MAGIC)) || memcmp(bytes->data, MAGIC, strlen(MAGIC)) != 0 ||
	    !read_u32(&reader, &reader.version))
		return false;
	if (reader.version == __builtin_bswap32(3)) {
		reader.version = 3;
		reader.big = true;
	}
	if (reader.version < 1 || reader.version > 3 || !read_size(&reader, &reader.tensor_count) ||
	    !read_size(&reader, &reader.key_count))
		return false;
	*ret = reader;
	return true;
}

static int note_broken(const struct reader *reader, struct sink *sink, const char *what,
		       uint64_t index, uint64_t count)
{
	char text[160];

	snprintf(text, sizeof(text),
		 "the GGUF header is broken at byte %" PRIu64 ", in %s %" PRIu64 " of %" PRIu64,
		 reader->at, what, index + 1, count);
	return sink->note(sink, text);
}

/* Reads the keys, which leaves reader at the tensors, and finds where their data starts; *ret is 0
 * where the header is broken, after a note.
 */
static int find_data(struct reader *reader, struct sink *sink, uint64_t *ret)
{
	struct reader ahead;
	struct tensor tensor;

	*ret = 0;
	for (uint64_t i = 0; i < reader->key_count; i++) {
		int result = sink->progress(sink, reader->at);

		if (result < 0)
			return result;
		if (!read_key(reader))
			return note_broken(reader, sink, "key", i, reader->key_count);
	}
	ahead = *reader;
	for (uint64_t i = 0; i < ahead.tensor_count; i++)
		if (!read_tensor(&ahead, &tensor))
			return note_broken(&ahead, sink, "tensor", i, ahead.tensor_count);
	/* No overflow: the header is of at most HEADER_MAX bytes, an alignment of 32 bits. */
	*ret = (ahead.at + ahead.alignment - 1) & ~(ahead.alignment - 1);
	return 0;
}

/* False where the type does not go with the dimensions. */
static bool tensor_size(const struct tensor *tensor, const struct tensor_type *type, uint64_t *ret)
{
	uint64_t count = 1;

	for (size_t i = 0; i < tensor->dimension_count; i++)
		if (multiply_overflows(count, tensor->dimensions[i], &count))
			return false;
	/* The first dimension is a row, of whole blocks. */
	if (tensor->dimension_count > 0 ? tensor->dimensions[0] % type->numbers : type->numbers > 1)
		return false;
	return !multiply_overflows(count / type->numbers, type->size, ret);
}

/* As NumPy has it: the last dimension is a row. GGUF has the first one so. */
static void shape_format(const struct tensor *tensor, char *text, size_t size)
{
	size_t length = snprintf(text, size, "[");

	for (size_t i = tensor->dimension_count; i-- > 0;)
		length += snprintf(text + length, size - length, "%" PRIu64 "%s",
				   tensor->dimensions[i], i > 0 ? "," : "");
	snprintf(text + length, size - length, "]");
}

static int give_tensor(struct sink *sink, const struct reader *reader, const struct tensor *tensor,
		       const char *dtype, const struct piece *piece)
{
	char name[NAME_MAX_LENGTH + 1];
	char shape[DIMENSIONS_MAX * 21 + 3];
	const struct attribute attributes[] = {
		{ "dtype", dtype },
		{ "shape", shape },
		{ "byte-order", "big" },
	};
	const struct member member = {
		.kind = MEMBER_FILE,
		.name = name,
		.format = "gguf",
		.pieces = piece,
		.piece_count = piece->length > 0,
		.attributes = attributes,
		.attribute_count = reader->big ? 3 : 2,
	};

	memcpy(name, tensor->name.data, tensor->name.length);
	name[tensor->name.length] = '\0';
	name_flatten(name);
	shape_format(tensor, shape, sizeof(shape));
	return sink->member(sink, &member);
}

/* A tensor may lie beyond the end of a truncated file. */
static int take_tensor(struct sink *sink, const struct reader *reader, const struct tensor *tensor,
		       uint64_t data, struct losses *losses)
{
	const struct tensor_type *type;
	struct piece piece;
	uint64_t end;

	if (tensor->type >= sizeof(tensor_types) / sizeof(*tensor_types) ||
	    !tensor_types[tensor->type].name) {
		losses->unknown++;
		return 0;
	}
	type = &tensor_types[tensor->type];
	if (*tensor->name.data == '\0' || !tensor_size(tensor, type, &piece.length) ||
	    add_overflows(data, tensor->offset, &piece.offset) ||
	    add_overflows(piece.offset, piece.length, &end)) {
		losses->malformed++;
		return 0;
	}
	return give_tensor(sink, reader, tensor, type->name, &piece);
}

/* Those of which there are at least so many bytes, so that a wild count is no GGUF file. */
static bool counts_are_good(const struct reader *reader)
{
	const uint64_t left = reader->end - reader->at;

	return reader->tensor_count <= left / 20 && reader->key_count <= left / 10;
}

static bool probe(const struct bytes *bytes, const struct detector_options *options)
{
	struct reader reader;

	return read_start(bytes, &reader) && counts_are_good(&reader);
}

static int detect(const struct bytes *bytes, const struct detector_options *options,
		  struct sink *sink)
{
	struct losses losses = { 0 };
	struct reader reader;
	uint64_t data;
	int result;

	if (!read_start(bytes, &reader))
		return sink->note(sink, "not a GGUF file of version 1 to 3") ?: -EINVAL;
	result = find_data(&reader, sink, &data);
	if (result < 0 || data == 0)
		return result;
	for (uint64_t i = 0; result == 0 && i < reader.tensor_count; i++) {
		struct tensor tensor;

		if (!read_tensor(&reader, &tensor))
			break; /* never: it was read before */
		result = take_tensor(sink, &reader, &tensor, data, &losses);
	}
	if (result == 0 && losses.unknown > 0)
		result = sink->left_out(sink, "unknown type", losses.unknown);
	if (result == 0 && losses.malformed > 0)
		result = sink->left_out(sink, "malformed", losses.malformed);
	return result;
}

const struct detector detector_gguf = {
	.name = "gguf",
	.probe = probe,
	.detect = detect,
};
