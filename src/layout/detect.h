/* SPDX-License-Identifier: MIT */
#ifndef LAYOUT_DETECT_H
#define LAYOUT_DETECT_H

#include "detector.h"

#include <stdio.h>

/* The half that runs in the sandbox: choosing a detector, and writing down what it says. */
struct detection {
	const struct detector *const *detectors; /* ends with NULL: those to choose from */
	const struct detector *forced;           /* or NULL: the first whose probe() says yes */
	struct detector_options options;
	unsigned depth; /* also look into what is found */
};

/* Writes records, the last of them a RECORD_END with the result: 0, -ENOENT when nothing was
 * recognised, or what the detector returned.
 */
void detect_members(const struct detection *detection, const struct bytes *bytes, FILE *out);

#endif
