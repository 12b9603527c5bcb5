/* SPDX-License-Identifier: MIT */
/* A picture on a terminal.
 *
 *     disk.img  64G  rw  /home/ann/disk.img
 *
 *     0         16G       32G       48G
 *     ├─────────┼─────────┼─────────┼────────┤     the scale
 *     ab─ root ────────────────······c━━━━━━━━     lanes: key, name where it fits, fill
 *     ▂▇▇▇▇▅           ▂                 ▃▇▇▇      what of it is stored, if there are holes
 *
 *        NAME           SIZE  OFFSET  ACCESS       a listing
 *     a  boot             1M      1M  rw
 *
 * With colours the background fills a slice. Without, neighbours differ by their fill.
 */
#include "picture.h"

#include "legend.h"
#include "overflow.h"

#include <string.h>

/* The widest number on the scale, and a blank. */
#define STEP_COLUMNS 9

struct signs {
	const char *fills[2];
	const char *crowds[4];
	const char *stored[9];
	const char *sample; /* of those */
	const char *gap;
	const char *outside;
	const char *more; /* at the edge: it goes on */
	const char *dash; /* the scale's */
	const char *ticks[3];
};

static const struct signs ascii = {
	.fills = { "-", "=" },
	.crowds = { ":", "+", "%", "#" },
	.stored = { " ", ".", ".", "-", "-", "=", "=", "*", "#" },
	.sample = ".-#",
	.gap = ".",
	.outside = "!",
	.more = ">",
	.dash = "-",
	.ticks = { "|", "|", "|" },
};

static const struct signs utf8 = {
	.fills = { "─", "━" },
	.crowds = { "░", "▒", "▓", "█" },
	.stored = { " ", "▁", "▂", "▃", "▄", "▅", "▆", "▇", "█" },
	.sample = "▂▅█",
	.gap = "·",
	.outside = "×",
	.more = "→",
	.dash = "─",
	.ticks = { "├", "┼", "┤" },
};

/* The colours of Okabe and Ito, which all kinds of eyes can tell apart, as near as may be. */
static const char *const colours_256[] = {
	"48;5;214;38;5;16", "48;5;74;38;5;16",   "48;5;36;38;5;16",  "48;5;221;38;5;16",
	"48;5;25;38;5;231", "48;5;166;38;5;231", "48;5;175;38;5;16",
};
static const char *const colours_8[] = { "43;30", "46;30", "42;30", "45;30", "44;37", "47;30" };

#define BOLD "1"
#define DIM "2"

/* What drawing carries along. */
struct pen {
	const struct picture *picture;
	const struct picture_style *style;
	const struct signs *signs;
	enum text_form form;
	FILE *out;
};

static void begin(const struct pen *pen, const char *attributes)
{
	if (pen->style->colours)
		fprintf(pen->out, "\033[%sm", attributes);
}

static void finish(const struct pen *pen)
{
	if (pen->style->colours)
		fputs("\033[0m", pen->out);
}

static void repeat(const struct pen *pen, const char *sign, unsigned count)
{
	while (count-- > 0)
		fputs(sign, pen->out);
}

static const char *slice_colour(const struct pen *pen, uint32_t slice)
{
	uint32_t rank = pen->picture->ranks[slice];

	return pen->style->colours >= 256 ? colours_256[rank % 7] : colours_8[rank % 6];
}

/* --- scale ---------------------------------------------------------------------------------- */

/* The numbers, or the ruler below them. */
static void draw_scale(const struct pen *pen, bool ruler)
{
	const struct picture *picture = pen->picture;
	uint64_t step = picture_step(picture, picture->columns / STEP_COLUMNS);
	unsigned column = 0;
	char text[SIZE_TEXT_MAX];

	for (uint64_t at = 0; at < picture->span; at += step) {
		unsigned tick = picture_column(picture, at);

		if (tick < column || (tick > 0 && tick + STEP_COLUMNS - 2 > picture->columns))
			break;
		repeat(pen, ruler ? pen->signs->dash : " ", tick - column);
		column = tick + 1;
		if (ruler)
			fputs(pen->signs->ticks[tick > 0], pen->out);
		else
			column += fprintf(pen->out, "%s", picture_tick(at, text)) - 1;
		if (picture->span - at <= step)
			break;
	}
	size_round(picture->span, text);
	if (ruler && column < picture->columns) {
		repeat(pen, pen->signs->dash, picture->columns - 1 - column);
		fputs(pen->signs->ticks[2], pen->out);
	} else if (!ruler && column + 1 + strlen(text) <= picture->columns) {
		fprintf(pen->out, "%*s", (int)(picture->columns - column), text);
	}
	putc('\n', pen->out);
}

/* --- lanes ---------------------------------------------------------------------------------- */

/* Key, name and fill in so many columns. */
static void draw_slice(const struct pen *pen, const struct picture_run *run, const char *fill)
{
	const struct picture *picture = pen->picture;
	unsigned left = run->end - run->start;
	bool goes_on = picture->clipped && run->end == picture->columns && left > 1;
	char key = picture_key(picture, run->cell.slice);
	struct picture_slice slice = { 0 };
	unsigned width;

	left -= goes_on;
	if (key) {
		putc(key, pen->out);
		left--;
	}
	picture->input->describe(picture->input->context, run->cell.slice, &slice);
	width = text_width(slice.name, pen->form);
	if (!run->outside && left >= 4 && (width + 3 <= left || left >= 16)) {
		repeat(pen, *fill == ' ' ? "" : fill, 1);
		putc(' ', pen->out);
		width = text_put(slice.name, left - 3 + (*fill == ' '), pen->form, pen->out);
		putc(' ', pen->out);
		left -= width + 2 + (*fill != ' ');
	}
	repeat(pen, fill, left);
	if (goes_on)
		fputs(pen->signs->more, pen->out);
}

static void draw_run(const struct pen *pen, const struct picture_run *run, bool odd)
{
	unsigned length = run->end - run->start;

	switch (run->cell.slice) {
	case PICTURE_BLANK:
		repeat(pen, " ", length);
		return;
	case PICTURE_GAP:
		begin(pen, DIM);
		repeat(pen, pen->signs->gap, length);
		finish(pen);
		return;
	case PICTURE_CROWD:
		repeat(pen, pen->signs->crowds[run->level], length);
		return;
	default:
		begin(pen, slice_colour(pen, run->cell.slice));
		draw_slice(pen, run,
			   run->outside          ? pen->signs->outside
			   : pen->style->colours ? " "
						 : pen->signs->fills[odd]);
		finish(pen);
	}
}

static void draw_lane(const struct pen *pen, unsigned lane)
{
	struct picture_run run = { 0 };
	bool odd = true;

	while (run.end < pen->picture->columns) {
		run = picture_run_at(pen->picture, lane, run.end);
		if (run.cell.slice == PICTURE_BLANK && run.end == pen->picture->columns)
			break;
		if (run.cell.count == 1)
			odd = !odd;
		draw_run(pen, &run, odd);
	}
	putc('\n', pen->out);
}

static void draw_stored(const struct pen *pen)
{
	const struct picture *picture = pen->picture;
	unsigned end = picture->columns;

	if (!picture->stored)
		return;
	while (end > 0 && picture->stored[end - 1] == 0)
		end--;
	begin(pen, DIM);
	for (unsigned i = 0; i < end; i++)
		fputs(pen->signs->stored[picture->stored[i]], pen->out);
	finish(pen);
	putc('\n', pen->out);
}

/* --- words ---------------------------------------------------------------------------------- */

static void draw_title(const struct pen *pen)
{
	const struct picture_input *input = pen->picture->input;
	char size[SIZE_TEXT_MAX];

	begin(pen, BOLD);
	text_put(input->name, pen->style->columns / 2, pen->form, pen->out);
	finish(pen);
	fprintf(pen->out, "  %s  %s  ", size_round(input->size, size),
		input->writable ? "rw" : "ro");
	text_put(input->path, UINT16_MAX, pen->form, pen->out);
	fputs("\n\n", pen->out);
}

static void draw_key(const struct pen *pen, const struct picture_row *row)
{
	if (row->slice == PICTURE_GAP) {
		fprintf(pen->out, " %s  ", pen->signs->gap);
		return;
	}
	begin(pen, slice_colour(pen, row->slice));
	fprintf(pen->out, " %c ", row->key);
	finish(pen);
	putc(' ', pen->out);
}

static void draw_legend(const struct pen *pen)
{
	const struct picture *picture = pen->picture;
	struct picture_slice slice;
	struct listing_row row;
	struct listing listing;
	char count[TEXT_COUNT_MAX];

	legend_measure(picture, pen->form, pen->style->columns - 4, &listing);
	if (picture->row_count > 0) {
		fputs("\n    ", pen->out);
		listing_print(&listing, NULL, pen->out);
	}
	for (size_t i = 0; i < picture->row_count; i++) {
		legend_row(picture, i, &slice, &row);
		draw_key(pen, &picture->rows[i]);
		listing_print(&listing, &row, pen->out);
	}
	if (picture->unlisted > 0)
		fprintf(pen->out, " %s  and %s more, none of them larger\n",
			pen->form == TEXT_ASCII ? "..." : "…",
			text_count(picture->unlisted, count));
}

/* Phrases behind each other, wrapped between them. */
struct sentence {
	const struct pen *pen;
	const char *separator;
	unsigned column;
};

static void say(struct sentence *sentence, const char *sign, const char *phrase)
{
	FILE *out = sentence->pen->out;
	unsigned width = text_width(sign, TEXT_UTF8) + strlen(phrase);

	if (sentence->column > 0) {
		fputs(sentence->separator, out);
		sentence->column += strlen(sentence->separator) + 1;
		if (sentence->column + width + 1 > sentence->pen->style->columns) {
			putc('\n', out);
			sentence->column = 0;
		} else {
			putc(' ', out);
		}
	}
	fprintf(out, "%s%s", sign, phrase);
	sentence->column += width;
}

static void draw_facts(const struct pen *pen)
{
	struct sentence sentence = { .pen = pen, .separator = ";" };
	char fact[LEGEND_FACT_MAX];

	for (unsigned i = 0; i < LEGEND_FACTS; i++)
		if (legend_fact(pen->picture, i, fact))
			say(&sentence, "", fact);
	putc('\n', pen->out);
}

static void draw_signs(const struct pen *pen)
{
	const struct picture *picture = pen->picture;
	struct sentence sentence = { .pen = pen, .separator = "," };
	struct legend_signs signs;
	char phrase[32];

	legend_signs(picture, &signs);
	if (signs.gap)
		say(&sentence, pen->signs->gap, " in no slice");
	for (unsigned i = 0; i < 4; i++) {
		snprintf(phrase, sizeof(phrase), " %s slices", legend_crowds[i]);
		if (signs.crowds[i])
			say(&sentence, pen->signs->crowds[i], phrase);
	}
	if (signs.outside)
		say(&sentence, pen->signs->outside, " past the image's end");
	if (picture->clipped)
		say(&sentence, pen->signs->more, " and further");
	if (picture->stored)
		say(&sentence, pen->signs->sample, " stored, the rest is holes");
	if (sentence.column > 0)
		putc('\n', pen->out);
}

void picture_print(const struct picture *picture, const struct picture_style *style, FILE *out)
{
	struct pen pen = {
		.picture = picture,
		.style = style,
		.signs = style->utf8 ? &utf8 : &ascii,
		.form = style->utf8 ? TEXT_UTF8 : TEXT_ASCII,
		.out = out,
	};

	draw_title(&pen);
	draw_scale(&pen, false);
	draw_scale(&pen, true);
	for (unsigned lane = 0; lane < picture->lane_count; lane++)
		draw_lane(&pen, lane);
	draw_stored(&pen);
	draw_legend(&pen);
	putc('\n', out);
	draw_facts(&pen);
	draw_signs(&pen);
}
