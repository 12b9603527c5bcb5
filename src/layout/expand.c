/* SPDX-License-Identifier: MIT */
/* From an image to slices of it.
 *
 *     builder      source.c opens what the request names
 *        |         sandbox.c starts a process that maps it and gives up all rights;
 *        |         detect.c runs there, and writes records
 *        |  <----- receive.c takes them here
 */
#include "mmapfs/layout.h"

#include "cleanup.h"
#include "detect.h"
#include "overflow.h"
#include "receive.h"
#include "record.h"
#include "report.h"
#include "sandbox.h"
#include "size.h"
#include "source.h"

#include <signal.h>
#include <string.h>

struct expansion {
	struct tree_builder *builder;
	const struct layout_request *request;
	const struct layout_settings *settings;
	struct error *error;
	struct layout_report own_report; /* where settings have none */
	struct layout_finding *finding;
	struct detection detection;
	struct source source;
	struct bytes bytes; /* in the sandbox only */
	struct receiver receiver;
};

/* --- in the sandbox ---------------------------------------------------------------------------- */

static int prepare(void *context)
{
	struct expansion *expansion = context;

	/* Nothing but its size is looked at, and that may be more than can be mapped. */
	if (expansion->detection.forced == &detector_chunk && expansion->detection.depth == 0) {
		expansion->bytes = (struct bytes){ NULL, expansion->source.size };
		return 0;
	}
	for (const struct detector *const *detector = detectors; *detector; detector++)
		if ((*detector)->prepare)
			(*detector)->prepare();
	return source_map(&expansion->source, &expansion->bytes);
}

static void work(void *context, int result, FILE *out)
{
	const struct expansion *expansion = context;
	const struct record failed = { .type = RECORD_END, .number = result };

	if (result < 0)
		(void)record_write(&failed, out);
	else
		detect_members(&expansion->detection, &expansion->bytes, out);
}

/* --- outside of it ----------------------------------------------------------------------------- */

#define fail(expansion, ...)                                                                       \
	({                                                                                         \
		error_add((expansion)->error, (expansion)->request->at, __VA_ARGS__);              \
		-EINVAL;                                                                           \
	})

/* The process has not come to its end. */
static int report_death(struct expansion *expansion, enum sandbox_end end, int signal_number)
{
	const char *source = expansion->request->source;
	char reason[100];

	if (end == SANDBOX_UNREADABLE)
		snprintf(reason, sizeof(reason), "it cannot be read, or has shrunk meanwhile");
	else if (end == SANDBOX_REFUSED)
		snprintf(reason, sizeof(reason), "there can be no sandbox to look for it in");
	else if (end == SANDBOX_TIMED_OUT)
		snprintf(reason, sizeof(reason), "looking for its layout takes too long");
	else if (signal_number > 0)
		snprintf(reason, sizeof(reason), "the detector crashed: %s",
			 strsignal(signal_number));
	else
		snprintf(reason, sizeof(reason), "the detector failed");
	return fail(expansion, "layout of '%s': %s (layout=none does without)", source, reason);
}

#define TOO_LARGE "it is too large to be mapped and looked into"

/* What the detector's own result means. */
static int report_result(struct expansion *expansion, int result)
{
	const struct layout_finding *finding = expansion->finding;
	const char *source = expansion->request->source;
	const char *type = expansion->request->type;

	if (result == -ENOENT && !type)
		return -ENOENT;
	if (result == 0 || result == -ENOENT)
		return 0;
	if (result == -EINVAL && finding->note_count > 0)
		return fail(expansion, "layout of '%s': %s%s", source, finding->notes[0],
			    type ? "" : " (layout=none does without)");
	if (result == -EINVAL && type)
		return fail(expansion, "layout of '%s': there is no %s in it", source, type);
	if (result == -EOPNOTSUPP)
		return fail(
			expansion,
			"layout of '%s': it is put together of parts that cannot be mapped in a row",
			source);
	/* Nobody has asked for one. */
	if (result == -EFBIG && !type)
		return report_note(expansion->finding, TOO_LARGE) ?: -ENOENT;
	return fail(expansion, "layout of '%s': %s (layout=none does without)", source,
		    result == -EFBIG ? TOO_LARGE : strerror(-result));
}

static int take_all(struct expansion *expansion)
{
	struct sandbox_job job = {
		.prepare = prepare,
		.work = work,
		.context = expansion,
		.memory = expansion->settings->memory ?: LAYOUT_MEMORY,
		.cpu_seconds = expansion->settings->cpu_seconds ?: LAYOUT_CPU_SECONDS,
	};
	struct sandbox sandbox;
	enum sandbox_end end;
	int signal_number;
	int detected = 0;
	int result = sandbox_start(&job, &sandbox);

	if (result < 0)
		return fail(expansion, "layout of '%s': no process to look for it: %s",
			    expansion->request->source, strerror(-result));
	expansion->receiver.source = &expansion->source;
	expansion->receiver.finding = expansion->finding;
	expansion->receiver.reader.in = sandbox.in;
	result = receive_members(&expansion->receiver, &detected);
	if (result == 0) /* its end of file is the end that is waited for */
		(void)getc(sandbox.in);
	end = sandbox_stop(&sandbox, &signal_number);
	if (result == -EPIPE || result == -EBADMSG)
		return report_death(expansion, end == SANDBOX_DONE ? SANDBOX_CRASHED : end,
				    result == -EPIPE ? signal_number : 0);
	return result ?: report_result(expansion, detected);
}

static int take_name(struct expansion *expansion)
{
	const char *name;

	if (!expansion->request->taken)
		return 0;
	return member_names_make(&expansion->receiver.names, expansion->request->taken, NAME_OTHER,
				 &name);
}

/* What the user asked for becomes what a detector is told. */
static int choose(struct expansion *expansion)
{
	const struct layout_request *request = expansion->request;

	expansion->detection = (struct detection){
		.detectors = detectors,
		.options = {
			.chunk = request->chunk,
			.mtdparts = request->mtdparts,
			.sector_size = request->sector_size,
			.gaps = request->gaps,
		},
		.depth = request->depth,
	};
	if (!request->type)
		return 0;
	expansion->detection.forced =
		detector_find(request->type, &expansion->detection.options.format);
	return expansion->detection.forced
		       ? 0
		       : fail(expansion, "there is no layout '%.80s'", request->type);
}

int layout_expand(struct tree_builder *builder, const struct layout_request *request,
		  const struct layout_settings *settings, struct error *error)
{
	struct expansion expansion = {
		.builder = builder,
		.request = request,
		.settings = settings,
		.error = error,
		.receiver = {
			.builder = builder,
			.source_name = request->source,
			.settings = settings,
			.error = error,
			.names = { .directory = request->directory },
		},
	};
	struct layout_report *report = settings->report ?: &expansion.own_report;
	int result = choose(&expansion) ?: take_name(&expansion) ?:
		     source_open(builder, request->source, request->at, error, &expansion.source) ?:
		     report_begin(report, request->source, request->directory,
				  &expansion.finding) ?:
		     take_all(&expansion);

	source_clear(&expansion.source);
	receiver_clear(&expansion.receiver);
	layout_report_clear(&expansion.own_report);
	return result;
}

bool layout_exists(const char *type)
{
	const char *format;

	return detector_find(type, &format) != NULL;
}
