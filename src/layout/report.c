/* SPDX-License-Identifier: MIT */
/* What layouts have found, told to those who print it. */
#include "report.h"

#include "cleanup.h"
#include "overflow.h"

#include <string.h>

#define NOTES_MAX 20
#define REASONS_MAX 20
#define TEXT_MAX 300 /* bytes */

/* A printable copy, cut at TEXT_MAX. The caller's, NULL when out of memory. */
static char *printable(const char *text)
{
	char *copy = strndup(text, TEXT_MAX);

	for (char *at = copy; copy && *at; at++) {
		if ((unsigned char)*at < ' ' || *at == 0x7f)
			*at = '_';
		/* U+0080 to U+009F, which are control characters as well */
		if ((unsigned char)*at == 0xc2 && ((unsigned char)at[1] & 0xe0) == 0x80) {
			*at++ = '_';
			*at = '_';
		}
	}
	return copy;
}

int report_begin(struct layout_report *report, const char *source, const char *directory,
		 struct layout_finding **ret)
{
	struct layout_finding finding = { .source = printable(source),
					  .directory = printable(directory) };
	struct layout_finding *findings =
		reallocarray(report->findings, report->count + 1, sizeof(*findings));

	if (findings)
		report->findings = findings;
	if (!findings || !finding.source || !finding.directory) {
		free(finding.source);
		free(finding.directory);
		return -ENOMEM;
	}
	findings[report->count] = finding;
	*ret = &findings[report->count++];
	return 0;
}

int report_note(struct layout_finding *finding, const char *text)
{
	char **notes;

	if (finding->note_count == NOTES_MAX)
		return 0;
	for (size_t i = 0; i < finding->note_count; i++)
		if (strncmp(finding->notes[i], text, TEXT_MAX) == 0)
			return 0;
	notes = reallocarray(finding->notes, finding->note_count + 1, sizeof(*notes));
	if (!notes)
		return -ENOMEM;
	finding->notes = notes;
	notes[finding->note_count] = printable(text);
	if (!notes[finding->note_count])
		return -ENOMEM;
	finding->note_count++;
	return 0;
}

int report_left_out(struct layout_finding *finding, const char *reason, uint64_t count)
{
	_cleanup_(cleanup_free) char *text = printable(reason);
	struct layout_left_out *list = finding->left_out;

	if (!text)
		return -ENOMEM;
	for (size_t i = 0; i < finding->left_out_count; i++)
		if (strcmp(list[i].reason, text) == 0) {
			if (add_overflows(list[i].count, count, &list[i].count))
				list[i].count = UINT64_MAX;
			return 0;
		}
	if (finding->left_out_count == REASONS_MAX)
		return 0;
	list = reallocarray(list, finding->left_out_count + 1, sizeof(*list));
	if (!list)
		return -ENOMEM;
	finding->left_out = list;
	list[finding->left_out_count++] =
		(struct layout_left_out){ .reason = steal_pointer(&text), .count = count };
	return 0;
}

int report_format(struct layout_finding *finding, const char *format)
{
	if (finding->format)
		return 0;
	finding->format = printable(format);
	return finding->format ? 0 : -ENOMEM;
}

void layout_report_clear(struct layout_report *report)
{
	for (size_t i = 0; i < report->count; i++) {
		struct layout_finding *finding = &report->findings[i];

		for (size_t j = 0; j < finding->left_out_count; j++)
			free(finding->left_out[j].reason);
		for (size_t j = 0; j < finding->note_count; j++)
			free(finding->notes[j]);
		free(finding->left_out);
		free(finding->notes);
		free(finding->source);
		free(finding->directory);
		free(finding->format);
	}
	free(report->findings);
	*report = (struct layout_report){ 0 };
}
