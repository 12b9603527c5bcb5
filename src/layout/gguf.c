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

const struct detector detector_gguf = {
	.name = "gguf",
	.probe = probe,
	.detect = detect,
};
