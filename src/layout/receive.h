/* SPDX-License-Identifier: MIT */
#ifndef LAYOUT_RECEIVE_H
#define LAYOUT_RECEIVE_H

#include "member_names.h"
#include "mmapfs/layout.h"
#include "record.h"
#include "source.h"

/* Takes what comes out of the sandbox. Each member is checked, named, turned from offsets of the source
 * into those of its images, and added to the builder.
 */
struct receiver {
	struct tree_builder *builder; /* these are borrowed */
	const struct source *source;
	const char *source_name;
	const struct layout_settings *settings;
	struct layout_finding *finding;
	struct error *error;
	struct member_names names; /* with its directory set */
	/* The last file of each level, where those that are found in it belong; NULL: left out. */
	const char *holders[LAYOUT_DEPTH_MAX + 1];
	struct record_reader reader; /* with its stream set */
};

/* Take all records up to the end: 0, and *ret_result is the detector's own result.
 *
 * -EPIPE: they end before their end; -EBADMSG: they are none; -ENOMEM; what the builder gives, with a
 * message, or progress.
 */
int receive_members(struct receiver *receiver, int *ret_result);

/* Frees names and reader; the stream stays open. */
void receiver_clear(struct receiver *receiver);

#endif
