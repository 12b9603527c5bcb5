/* SPDX-License-Identifier: MIT */
/* Pictures as SVG: no scripts, nothing from elsewhere, light or dark as the reader has it.
 *
 * A cell is one unit wide. Text that must fit is in a monospaced font, so that columns say how wide
 * it gets. The body is drawn first, since only then the height is known.
 */
#include "picture.h"

#include "cleanup.h"
#include "legend.h"
#include "overflow.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#define MARGIN 20
#define WIDTH (PICTURE_SVG_COLUMNS + 2 * MARGIN)
#define CHARACTER 7.25 /* of 12 units' height */
#define LANE_HEIGHT 26
#define LANE_STEP 29
#define STORED_HEIGHT 8
#define ROW_STEP 21
#define LEGEND_INDENT 28
#define STEPS_MAX 12
#define TICK_ROOM 75 /* from one number's middle to the end of the next */
#define COLOURS 7

/* The colours of the slices are those of Okabe and Ito, which all kinds of eyes can tell apart. */
static const char style[] =
	"<style>\n"
	".mmapfs text{font:12px ui-monospace,Menlo,\"DejaVu Sans Mono\",Consolas,monospace;"
	"fill:#1f2328}\n"
	".mmapfs .h{font-size:15px;font-weight:bold}.mmapfs .m{fill:#59636e}.mmapfs .r{text-anchor:end}"
	".mmapfs .c{text-anchor:middle}\n"
	".mmapfs .bg{fill:#fff}.mmapfs .line{stroke:#8c959f;fill:none}"
	".mmapfs .empty{fill:#f6f8fa}.mmapfs .hatch{stroke:#afb8c1}\n"
	".mmapfs .s0{fill:#e69f00}.mmapfs .s1{fill:#56b4e9}.mmapfs .s2{fill:#009e73}"
	".mmapfs .s3{fill:#f0e442}.mmapfs .s4{fill:#0072b2}.mmapfs .s5{fill:#d55e00}"
	".mmapfs .s6{fill:#cc79a7}\n"
	".mmapfs text.on{fill:#000}.mmapfs text.on4{fill:#fff}\n"
	".mmapfs .l0{fill:#c4ccd4}.mmapfs .l1{fill:#98a2ad}.mmapfs .l2{fill:#6a737d}"
	".mmapfs .l3{fill:#3d444d}.mmapfs .data{fill:#57606a}\n"
	"@media(prefers-color-scheme:dark){\n"
	".mmapfs text{fill:#e6edf3}.mmapfs .m{fill:#9198a1}.mmapfs .bg{fill:#0d1117}"
	".mmapfs .line{stroke:#6e7681}.mmapfs .empty{fill:#161b22}.mmapfs .hatch{stroke:#444c56}\n"
	".mmapfs .l0{fill:#3d444d}.mmapfs .l1{fill:#656c76}.mmapfs .l2{fill:#9198a1}"
	".mmapfs .l3{fill:#d1d7e0}.mmapfs .data{fill:#9198a1}\n"
	"}\n"
	"</style>\n"
	"<defs>\n"
	"<pattern id=\"mmapfs-gap\" width=\"6\" height=\"6\" patternUnits=\"userSpaceOnUse\" "
	"patternTransform=\"rotate(45)\"><path class=\"hatch\" d=\"M0 0V6\" stroke-width=\"2\"/>"
	"</pattern>\n"
	"<pattern id=\"mmapfs-outside\" width=\"6\" height=\"6\" patternUnits=\"userSpaceOnUse\" "
	"patternTransform=\"rotate(-45)\"><path d=\"M0 0V6\" stroke=\"#000\" stroke-width=\"3\"/>"
	"</pattern>\n"
	"</defs>\n";

/* What drawing carries along. */
struct pen {
	const struct picture *picture;
	FILE *out;
	unsigned y; /* where the next thing goes */
};

static void text(const struct pen *pen, double x, const char *class, const char *content,
		 unsigned columns)
{
	fprintf(pen->out, "<text x=\"%g\" y=\"%u\"", x, pen->y);
	if (*class)
		fprintf(pen->out, " class=\"%s\"", class);
	putc('>', pen->out);
	text_put(content, columns, TEXT_XML, pen->out);
	fputs("</text>\n", pen->out);
}

static void rectangle(const struct pen *pen, unsigned x, unsigned width, unsigned height,
		      const char *attributes)
{
	fprintf(pen->out, "<rect x=\"%u\" y=\"%u\" width=\"%u\" height=\"%u\" %s/>", x, pen->y,
		width, height, attributes);
}

/* --- title and scale ------------------------------------------------------------------------ */

static void draw_title(struct pen *pen)
{
	const struct picture_input *input = pen->picture->input;
	char size[SIZE_TEXT_MAX];

	pen->y += 30;
	fprintf(pen->out, "<text x=\"%d\" y=\"%u\"><tspan class=\"h\">", MARGIN, pen->y);
	text_put(input->name, 50, TEXT_XML, pen->out);
	fprintf(pen->out,
		"</tspan><tspan dx=\"12\">%s</tspan><tspan dx=\"12\">%s</tspan>"
		"<tspan dx=\"12\" class=\"m\">",
		size_round(input->size, size), input->writable ? "rw" : "ro");
	text_put(input->path, 50, TEXT_XML, pen->out);
	fputs("</tspan></text>\n", pen->out);
}

static void draw_tick(const struct pen *pen, unsigned column, const char *number, const char *class)
{
	fprintf(pen->out, "<path class=\"line\" d=\"M%u.5 %uv8\"/>", MARGIN + column, pen->y + 4);
	text(pen, MARGIN + column, class, number, SIZE_TEXT_MAX);
}

static void draw_scale(struct pen *pen)
{
	const struct picture *picture = pen->picture;
	uint64_t step = picture_step(picture, STEPS_MAX);
	unsigned column = 0;
	char number[SIZE_TEXT_MAX];

	pen->y += 26;
	draw_tick(pen, 0, "0", "m");
	for (uint64_t at = step; at < picture->span; at += step) {
		column = picture_column(picture, at);
		if (column + TICK_ROOM / 2 <= picture->columns)
			draw_tick(pen, column, picture_tick(at, number), "m c");
		if (picture->span - at <= step)
			break;
	}
	if (column + TICK_ROOM <= picture->columns)
		draw_tick(pen, picture->columns - 1, size_round(picture->span, number), "m r");
	pen->y += 12;
	fprintf(pen->out, "<path class=\"line\" d=\"M%d %u.5h%u\"/>\n", MARGIN, pen->y,
		picture->columns);
	pen->y += 5;
}

/* --- lanes ---------------------------------------------------------------------------------- */

static void put_range(const struct pen *pen, uint64_t start, uint64_t length)
{
	char size[SIZE_TEXT_MAX];

	fprintf(pen->out, "%s", size_round(length, size));
	fprintf(pen->out, " at %s", size_round(start, size));
	fprintf(pen->out, " (%" PRIu64 " bytes at %" PRIu64 ")", length, start);
}

/* What a reader gets who points at the slice. */
static void put_title(const struct pen *pen, const struct picture_slice *slice)
{
	const char *const details[] = { slice->access, slice->type, slice->label, slice->flags };

	fputs("<title>", pen->out);
	text_put(slice->name, UINT16_MAX, TEXT_XML, pen->out);
	fputs(": ", pen->out);
	put_range(pen, slice->offset, slice->size);
	for (size_t i = 0; i < sizeof(details) / sizeof(*details); i++) {
		if (!details[i] || !*details[i])
			continue;
		fputs(", ", pen->out);
		text_put(details[i], UINT16_MAX, TEXT_XML, pen->out);
	}
	fputs("</title>", pen->out);
}

/* Key and name in the slice's box, as far as there is room. */
static void draw_label(const struct pen *pen, const struct picture_run *run, const char *name,
		       unsigned colour)
{
	unsigned room = (run->end - run->start - 1) / CHARACTER;
	char key = picture_key(pen->picture, run->cell.slice);
	unsigned name_room = key && room > 3 ? room - 3 : 0;
	unsigned width = text_width(name, TEXT_XML);

	if (!key)
		name_room = room > 1 ? room - 1 : 0;
	if (width > name_room && name_room < 10)
		name_room = 0;
	if (room == 0 || (!key && name_room == 0))
		return;
	if (name_room == 0)
		fprintf(pen->out, "<text x=\"%g\" y=\"%u\" class=\"c on on%u\">%c</text>",
			MARGIN + (run->start + run->end) / 2.0, pen->y + 17, colour, key);
	if (name_room == 0)
		return;
	fprintf(pen->out, "<text x=\"%u\" y=\"%u\" class=\"on on%u\">", MARGIN + run->start + 5,
		pen->y + 17, colour);
	if (key)
		fprintf(pen->out, "%c ", key);
	text_put(name, name_room, TEXT_XML, pen->out);
	fputs("</text>", pen->out);
}

static void draw_slice(const struct pen *pen, const struct picture_run *run)
{
	const struct picture *picture = pen->picture;
	unsigned colour = picture->ranks[run->cell.slice] % COLOURS;
	unsigned width = run->end - run->start;
	struct picture_slice slice = { 0 };
	char attributes[64];

	width -= width > 3; /* apart from its neighbour */
	picture->input->describe(picture->input->context, run->cell.slice, &slice);
	snprintf(attributes, sizeof(attributes), "rx=\"%d\" class=\"s%u\"", width > 8 ? 3 : 0,
		 colour);
	fputs("<g>", pen->out);
	put_title(pen, &slice);
	rectangle(pen, MARGIN + run->start, width, LANE_HEIGHT, attributes);
	if (run->outside)
		rectangle(pen, MARGIN + run->start, width, LANE_HEIGHT,
			  "fill=\"url(#mmapfs-outside)\" opacity=\".35\"");
	draw_label(pen, run, slice.name, colour);
	fputs("</g>\n", pen->out);
}

static void draw_gap(const struct pen *pen, const struct picture_run *run)
{
	uint64_t start = picture_offset(pen->picture, run->start);
	uint64_t end = picture_offset(pen->picture, run->end);
	char size[SIZE_TEXT_MAX];

	fprintf(pen->out, "<g><title>in no slice: about %s", size_round(end - start, size));
	fprintf(pen->out, " at %s</title>", size_round(start, size));
	rectangle(pen, MARGIN + run->start, run->end - run->start, LANE_HEIGHT, "class=\"empty\"");
	rectangle(pen, MARGIN + run->start, run->end - run->start, LANE_HEIGHT,
		  "fill=\"url(#mmapfs-gap)\"");
	fputs("</g>\n", pen->out);
}

static void draw_crowd(const struct pen *pen, const struct picture_run *run)
{
	static const char *const words[] = { "2 to 9", "10 to 99", "100 to 999", "1,000 and more" };
	char attributes[32];
	char size[SIZE_TEXT_MAX];

	snprintf(attributes, sizeof(attributes), "class=\"l%u\"", run->level);
	fprintf(pen->out, "<g><title>%s slices in each %s", words[run->level],
		size_round(pen->picture->span / pen->picture->columns, size));
	fprintf(pen->out, " from %s</title>",
		size_round(picture_offset(pen->picture, run->start), size));
	rectangle(pen, MARGIN + run->start, run->end - run->start, LANE_HEIGHT, attributes);
	fputs("</g>\n", pen->out);
}

static void draw_lanes(struct pen *pen)
{
	for (unsigned lane = 0; lane < pen->picture->lane_count; lane++, pen->y += LANE_STEP) {
		struct picture_run run = { 0 };

		while (run.end < pen->picture->columns) {
			run = picture_run_at(pen->picture, lane, run.end);
			if (run.cell.slice == PICTURE_GAP)
				draw_gap(pen, &run);
			else if (run.cell.slice == PICTURE_CROWD)
				draw_crowd(pen, &run);
			else if (run.cell.slice != PICTURE_BLANK)
				draw_slice(pen, &run);
		}
	}
}

/* A strip below, filled where the image holds data. */
static void draw_stored(struct pen *pen)
{
	const struct picture *picture = pen->picture;
	unsigned columns = picture_image_columns(picture);
	unsigned end;
	char attributes[48];

	if (!picture->stored)
		return;
	rectangle(pen, MARGIN, columns, STORED_HEIGHT, "class=\"empty\"");
	for (unsigned start = 0; start < columns; start = end) {
		for (end = start + 1; end < columns; end++)
			if (picture->stored[end] != picture->stored[start])
				break;
		if (picture->stored[start] == 0)
			continue;
		snprintf(attributes, sizeof(attributes), "class=\"data\" opacity=\"%g\"",
			 .3 + picture->stored[start] * .7 / 8);
		rectangle(pen, MARGIN + start, end - start, STORED_HEIGHT, attributes);
	}
	putc('\n', pen->out);
	pen->y += STORED_HEIGHT;
}

/* --- legend --------------------------------------------------------------------------------- */

static void draw_swatch(const struct pen *pen, const struct picture_row *row)
{
	unsigned colour = row->slice == PICTURE_GAP ? 0 : pen->picture->ranks[row->slice] % COLOURS;
	struct pen swatch = *pen;
	char attributes[32];

	swatch.y -= 12;
	if (row->slice == PICTURE_GAP) {
		rectangle(&swatch, MARGIN, 18, 16, "class=\"empty\"");
		rectangle(&swatch, MARGIN, 18, 16, "fill=\"url(#mmapfs-gap)\"");
		return;
	}
	snprintf(attributes, sizeof(attributes), "rx=\"3\" class=\"s%u\"", colour);
	rectangle(&swatch, MARGIN, 18, 16, attributes);
	fprintf(pen->out, "<text x=\"%d\" y=\"%u\" class=\"c on on%u\">%c</text>", MARGIN + 9,
		pen->y, colour, row->key);
}

/* row NULL: the headers */
static void draw_row(const struct pen *pen, const struct listing *listing,
		     const struct listing_row *row)
{
	unsigned column = 0;

	for (int i = 0; i < LISTING_COLUMNS; i++) {
		const char *content = row ? row->text[i] : listing_header(i);
		bool number = listing_is_number(i);

		if (listing->widths[i] == 0)
			continue;
		if (content && *content)
			text(pen,
			     MARGIN + LEGEND_INDENT +
				     (column + (number ? listing->widths[i] : 0)) * CHARACTER,
			     row      ? (number ? "r" : "")
			     : number ? "m r"
				      : "m",
			     content, listing->widths[i]);
		column += listing->widths[i] + LISTING_SPACE + (i == LISTING_OFFSET);
	}
}

static void draw_legend(struct pen *pen)
{
	const struct picture *picture = pen->picture;
	struct listing listing;
	struct listing_row row;
	struct picture_slice slice;
	char count[TEXT_COUNT_MAX];

	legend_measure(picture, TEXT_XML, (PICTURE_SVG_COLUMNS - LEGEND_INDENT) / CHARACTER,
		       &listing);
	pen->y += 24;
	if (picture->row_count > 0)
		draw_row(pen, &listing, NULL);
	for (size_t i = 0; i < picture->row_count; i++) {
		pen->y += ROW_STEP;
		legend_row(picture, i, &slice, &row);
		draw_swatch(pen, &picture->rows[i]);
		draw_row(pen, &listing, &row);
	}
	if (picture->unlisted > 0) {
		pen->y += ROW_STEP;
		fprintf(pen->out,
			"<text x=\"%d\" y=\"%u\" class=\"m\">and %s more, none of them larger</text>\n",
			MARGIN + LEGEND_INDENT, pen->y, text_count(picture->unlisted, count));
	}
}

/* --- words ---------------------------------------------------------------------------------- */

static void draw_facts(struct pen *pen)
{
	char fact[LEGEND_FACT_MAX];

	pen->y += ROW_STEP + 5;
	fprintf(pen->out, "<text x=\"%d\" y=\"%u\" class=\"m\">", MARGIN, pen->y);
	for (unsigned i = 0; i < LEGEND_FACTS; i++) {
		if (!legend_fact(pen->picture, i, fact))
			continue;
		fputs(i > 0 ? "; " : "", pen->out);
		text_put(fact, LEGEND_FACT_MAX, TEXT_XML, pen->out);
	}
	fputs("</text>\n", pen->out);
}

/* A sample of a sign, up to two layers of it, and a word. Returns where the next one goes. */
static double draw_sign(const struct pen *pen, double x, const char *below, const char *above,
			const char *word)
{
	struct pen sample = *pen;

	sample.y -= 10;
	rectangle(&sample, x, 18, 12, below);
	if (above)
		rectangle(&sample, x, 18, 12, above);
	text(pen, x + 24, "m", word, 40);
	return x + 24 + (strlen(word) + 3) * CHARACTER;
}

static void draw_signs(struct pen *pen)
{
	struct legend_signs signs;
	double x = MARGIN;
	char class[16];
	char word[32];

	legend_signs(pen->picture, &signs);
	pen->y += ROW_STEP;
	if (signs.gap)
		x = draw_sign(pen, x, "class=\"empty\"", "fill=\"url(#mmapfs-gap)\"",
			      "in no slice");
	for (unsigned i = 0; i < 4; i++) {
		snprintf(class, sizeof(class), "class=\"l%u\"", i);
		snprintf(word, sizeof(word), "%s slices", legend_crowds[i]);
		if (signs.crowds[i])
			x = draw_sign(pen, x, class, NULL, word);
	}
	if (signs.outside)
		x = draw_sign(pen, x, "class=\"s0\"",
			      "fill=\"url(#mmapfs-outside)\" opacity=\".35\"",
			      "past the image's end");
	if (pen->picture->stored) {
		x = draw_sign(pen, x, "class=\"empty\"", "class=\"data\"", "stored");
		x = draw_sign(pen, x, "class=\"empty line\"", NULL, "hole");
	}
	if (x == MARGIN)
		pen->y -= ROW_STEP;
}

static void draw_picture(struct pen *pen)
{
	draw_title(pen);
	draw_scale(pen);
	draw_lanes(pen);
	draw_stored(pen);
	draw_legend(pen);
	draw_facts(pen);
	draw_signs(pen);
	pen->y += MARGIN;
}

int picture_svg(const struct picture *pictures, size_t count, FILE *out)
{
	_cleanup_(cleanup_free) char *body = NULL;
	size_t size = 0;
	struct pen pen = { .out = open_memstream(&body, &size) };

	if (!pen.out)
		return -ENOMEM;
	for (size_t i = 0; i < count; i++) {
		pen.picture = &pictures[i];
		draw_picture(&pen);
	}
	if (fclose(pen.out) != 0)
		return -ENOMEM;
	fprintf(out,
		"<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
		"<svg xmlns=\"http://www.w3.org/2000/svg\" class=\"mmapfs\" role=\"img\" "
		"width=\"%d\" height=\"%u\" viewBox=\"0 0 %d %u\">\n",
		WIDTH, pen.y, WIDTH, pen.y);
	fprintf(out,
		"<title>mmapfs plan</title>\n%s<rect class=\"bg\" width=\"100%%\" height=\"100%%\"/>\n",
		style);
	fwrite(body, 1, size, out);
	fputs("</svg>\n", out);
	return 0;
}
