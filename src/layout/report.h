/* SPDX-License-Identifier: MIT */
#ifndef LAYOUT_REPORT_H
#define LAYOUT_REPORT_H

#include "mmapfs/layout.h"

/* Filling a report, from what is not to be trusted: texts are cut and made printable, what is more
 * than a person would read is dropped.
 */

/* A new finding, in *ret until the next one; or -ENOMEM. */
int report_begin(struct layout_report *report, const char *source, const char *directory,
		 struct layout_finding **ret);

/* 0 or -ENOMEM. */
int report_note(struct layout_finding *finding, const char *text);
int report_left_out(struct layout_finding *finding, const char *reason, uint64_t count);
int report_format(struct layout_finding *finding, const char *format);

#endif
