/* SPDX-License-Identifier: MIT */
/* All detectors there are. */
#include "detector.h"

#include <string.h>

const struct detector *const detectors[] = {
	&detector_archive, /* before partitions: an ISO 9660 image may carry a table as well */
	&detector_partition,   &detector_elf,      &detector_gguf,
	&detector_safetensors, &detector_fmap, /* after what has its mark at the start: this one is searched for */
	&detector_chunk,       &detector_mtdparts, NULL,
};

const struct detector *detector_find(const char *name, const char **ret_format)
{
	for (size_t i = 0; detectors[i]; i++) {
		const char *const *format = detectors[i]->formats;

		if (strcmp(detectors[i]->name, name) == 0) {
			*ret_format = NULL;
			return detectors[i];
		}
		for (; format && *format; format++)
			if (strcmp(*format, name) == 0) {
				*ret_format = *format;
				return detectors[i];
			}
	}
	return NULL;
}
