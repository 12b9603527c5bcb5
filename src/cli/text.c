/* SPDX-License-Identifier: MIT */
/* Showing text that nobody vouches for: decoding, widths, cutting. */
#include "text.h"

#include "overflow.h"

#include <inttypes.h>
#include <string.h>

struct range {
	uint32_t first;
	uint32_t last;
};

/* Wide are the scripts of East Asia and the pictures; without a width is what combines with the
 * character before it. Both coarse: a column more or less spoils a table's edge, nothing else.
 */
static const struct range wide[] = {
	{ 0x1100, 0x115f },   { 0x2e80, 0xa4cf },   { 0xac00, 0xd7a3 }, { 0xf900, 0xfaff },
	{ 0xfe30, 0xfe6f },   { 0xff00, 0xff60 },   { 0xffe0, 0xffe6 }, { 0x1f300, 0x1f64f },
	{ 0x1f900, 0x1f9ff }, { 0x20000, 0x3fffd },
};

static const struct range combining[] = {
	{ 0x0300, 0x036f }, { 0x0483, 0x0489 }, { 0x0591, 0x05bd }, { 0x064b, 0x065f },
	{ 0x1ab0, 0x1aff }, { 0x1dc0, 0x1dff }, { 0x200c, 0x200d }, { 0x20d0, 0x20ff },
	{ 0xfe00, 0xfe0f }, { 0xfe20, 0xfe2f },
};

/* Control characters above ASCII, invisible ones, those that turn the direction, and what is no
 * character at all.
 */
static const struct range unshown[] = {
	{ 0x0080, 0x009f }, { 0x00ad, 0x00ad },    { 0x061c, 0x061c }, { 0x200b, 0x200b },
	{ 0x200e, 0x200f }, { 0x2028, 0x202e },    { 0x2060, 0x206f }, { 0xd800, 0xdfff },
	{ 0xfdd0, 0xfdef }, { 0xfeff, 0xfeff },    { 0xfff0, 0xfffb }, { 0xfffe, 0xffff },
	{ 0xe000, 0xf8ff }, { 0xe0000, 0x10ffff },
};

#define CONTAINS(ranges, code) contains(ranges, sizeof(ranges) / sizeof(*(ranges)), code)

static bool contains(const struct range *ranges, size_t count, uint32_t code)
{
	for (size_t i = 0; i < count; i++)
		if (code >= ranges[i].first && code <= ranges[i].last)
			return true;
	return false;
}

/* The UTF-8 sequence that text begins with, in its shortest form: its length and code. 0: none. */
static unsigned decode(const unsigned char *text, uint32_t *ret_code)
{
	static const uint32_t smallest[] = { 0, 0, 0x80, 0x800, 0x10000 };
	unsigned length = *text < 0x80   ? 1
			  : *text < 0xc2 ? 0
			  : *text < 0xe0 ? 2
			  : *text < 0xf0 ? 3
					 : 4;
	uint32_t code = length == 1 ? *text : *text & (0x7f >> length);

	if (length == 0 || *text > 0xf4)
		return 0;
	for (unsigned i = 1; i < length; i++) {
		if ((text[i] & 0xc0) != 0x80) /* the NUL at the end, too */
			return 0;
		code = code << 6 | (text[i] & 0x3f);
	}
	if (code < smallest[length] || code > 0x10ffff)
		return 0;
	*ret_code = code;
	return length;
}

/* What is shown as one: a character, or an escaped byte. */
struct unit {
	unsigned length; /* bytes of the text */
	unsigned width;  /* columns */
	bool escaped;
};

static struct unit next_unit(const char *text, enum text_form form)
{
	uint32_t code = 0;
	unsigned length;

	if (*text >= ' ' && *text < 0x7f) /* nearly always */
		return (struct unit){ .length = 1, .width = 1 };
	length = decode((const unsigned char *)text, &code);
	if (length <= 1 || form == TEXT_ASCII || CONTAINS(unshown, code))
		return (struct unit){ .length = 1, .width = 4, .escaped = true };
	return (struct unit){
		.length = length,
		.width = CONTAINS(combining, code) ? 0
			 : CONTAINS(wide, code)    ? 2
						   : 1,
	};
}

static void put_unit(const char *text, const struct unit *unit, enum text_form form, FILE *out)
{
	if (unit->escaped)
		fprintf(out, "\\%03o", (unsigned char)*text);
	else if (form == TEXT_XML && strchr("&<>\"'", *text))
		fprintf(out, "&#%d;", *text);
	else
		for (unsigned i = 0; i < unit->length; i++)
			putc_unlocked(text[i], out);
}

/* Whole units up to so many columns. Returns what is left of the text. */
static const char *put_head(const char *text, unsigned columns, enum text_form form, FILE *out,
			    unsigned *used)
{
	while (*text) {
		struct unit unit = next_unit(text, form);

		if (unit.width > columns)
			break;
		put_unit(text, &unit, form, out);
		columns -= unit.width;
		*used += unit.width;
		text += unit.length;
	}
	return text;
}

unsigned text_width(const char *text, enum text_form form)
{
	unsigned width = 0;

	while (*text) {
		struct unit unit = next_unit(text, form);

		width += unit.width;
		text += unit.length;
	}
	return width;
}

unsigned text_put(const char *text, unsigned columns, enum text_form form, FILE *out)
{
	const char *ellipsis = form == TEXT_ASCII ? "..." : "\xe2\x80\xa6";
	unsigned dots = form == TEXT_ASCII ? 3 : 1;
	unsigned width = text_width(text, form);
	unsigned used = 0;
	unsigned tail;

	if (width <= columns) {
		put_head(text, columns, form, out, &used);
		return used;
	}
	if (columns <= dots) {
		fprintf(out, "%.*s", (int)(form == TEXT_ASCII || columns == 0 ? columns : 3),
			ellipsis);
		return columns;
	}
	tail = (columns - dots) / 2;
	put_head(text, columns - dots - tail, form, out, &used);
	fputs(ellipsis, out);
	used += dots;
	/* Behind the last unit that does not fit, and what combines with that. */
	while (width > tail || next_unit(text, form).width == 0) {
		struct unit unit = next_unit(text, form);

		width -= unit.width;
		text += unit.length;
		if (!*text)
			break;
	}
	put_head(text, tail, form, out, &used);
	return used;
}

char *text_count(uint64_t count, char text[TEXT_COUNT_MAX])
{
	char digits[TEXT_COUNT_MAX];
	int length = snprintf(digits, sizeof(digits), "%" PRIu64, count);
	char *out = text;

	for (int i = 0; i < length; i++) {
		if (i > 0 && (length - i) % 3 == 0)
			*out++ = ',';
		*out++ = digits[i];
	}
	*out = '\0';
	return text;
}

char *text_percent(uint64_t part, uint64_t whole, char text[TEXT_PERCENT_MAX])
{
	unsigned percent = whole ? ((unsigned __int128)part * 100 + whole / 2) / whole : 0;

	if (percent == 0 && part > 0)
		return strcpy(text, "<1 %");
	if (percent >= 100 && part < whole)
		return strcpy(text, ">99 %");
	snprintf(text, TEXT_PERCENT_MAX, "%u %%", percent);
	return text;
}
