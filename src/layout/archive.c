/* SPDX-License-Identifier: MIT */
#include "detector.h"

#include <errno.h>

static bool probe(const struct bytes *bytes, const struct detector_options *options)
{
	return false;
}

static int detect(const struct bytes *bytes, const struct detector_options *options,
		  struct sink *sink)
{
	return -EINVAL;
}

const struct detector detector_archive = {
	.name = "archive",
	.probe = probe,
	.detect = detect,
};
