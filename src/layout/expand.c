/* SPDX-License-Identifier: MIT */
/* From an image to slices of it: the half that takes what a detector says, and trusts none of it.
 *
 *     builder      source.c opens what the request names
 *        |         sandbox.c starts a process that maps it and gives up all rights;
 *        |         detect.c runs there, and writes records
 *        |  <----- record.c reads them here; each is checked, named (member_names.c), turned from
 *        |         offsets of the source to those of its images, and added
 */
#include "mmapfs/layout.h"

#include "cleanup.h"
#include "detect.h"
#include "member_names.h"
#include "overflow.h"
#include "record.h"
#include "report.h"
#include "sandbox.h"
#include "size.h"
#include "source.h"

#include <signal.h>
#include <string.h>

/* Of a member. Its line in a table has to hold them. */
#define ATTRIBUTES_MAX 16

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
	struct member_names names;
	struct record_reader reader;
};

/* --- in the sandbox ---------------------------------------------------------------------------- */

static int prepare(void *context)
{
	struct expansion *expansion = context;

	/* Nothing but its size is looked at, and that may be more than can be mapped. */
	if (expansion->detection.forced == &detector_chunk) {
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

/* Index of the last range that starts at or before offset. */
static size_t find_range(const struct source *source, uint64_t offset)
{
	size_t low = 0;
	size_t high = source->ranges.count;

	while (high - low > 1) {
		size_t middle = low + (high - low) / 2;

		if (source->ranges.data[middle].start <= offset)
			low = middle;
		else
			high = middle;
	}
	return low;
}

static int add_extent(struct expansion *expansion, const struct source_range *range,
		      uint64_t offset, uint64_t length)
{
	return tree_builder_extent(expansion->builder, range->image,
				   range->image ? range->offset + (offset - range->start) : 0,
				   length, expansion->error);
}

/* One piece as extents of the images. What lies past the end of the source lies past the end of its
 * last image; where the source ends before that, it is cut: what comes there belongs to others.
 */
static int add_piece(struct expansion *expansion, const struct piece *piece, bool *cut)
{
	const struct source *source = &expansion->source;
	uint64_t offset = piece->offset;
	uint64_t left = piece->length;

	if (offset == PIECE_ZEROS)
		return tree_builder_extent(expansion->builder, NULL, 0, left, expansion->error);
	for (size_t i = find_range(source, offset); i < source->ranges.count && left > 0; i++) {
		const struct source_range *range = &source->ranges.data[i];
		bool last = i + 1 == source->ranges.count;
		uint64_t within = range->start + range->length -
				  min_u64(offset, range->start + range->length);
		uint64_t length = last && range->to_end ? left : min_u64(left, within);
		int result;

		if (length == 0)
			continue;
		result = add_extent(expansion, range, offset, length);
		if (result < 0)
			return result;
		offset += length;
		left -= length;
	}
	*cut |= left > 0;
	return 0;
}

/* The sum of the pieces, none of which may be absurd. -EBADMSG where one is. */
static int check_pieces(const struct member *member)
{
	uint64_t total = 0;
	uint64_t end;

	for (size_t i = 0; i < member->piece_count; i++) {
		const struct piece *piece = &member->pieces[i];

		if (add_overflows(total, piece->length, &total) || total > SIZE_LIMIT)
			return -EBADMSG;
		if (piece->offset != PIECE_ZEROS &&
		    (add_overflows(piece->offset, piece->length, &end) || end > SIZE_LIMIT / 2))
			return -EBADMSG;
	}
	return 0;
}

static int add_file(struct expansion *expansion, const struct member *member, const char *name,
		    const struct slice_options *options)
{
	bool cut = false;
	int result = tree_builder_slice(expansion->builder, name, options, expansion->error);

	for (size_t i = 0; result == 0 && i < member->piece_count; i++)
		result = add_piece(expansion, &member->pieces[i], &cut);
	/* Nothing of it is there. */
	if (result == 0 &&
	    (member->piece_count == 0 || (cut && member->piece_count == 1 &&
					  member->pieces[0].offset >= expansion->source.size)))
		result = tree_builder_extent(expansion->builder, NULL, 0, 0, expansion->error);
	if (result == 0 && cut)
		result = tree_builder_attribute(expansion->builder, "cut", "yes", expansion->error);
	expansion->finding->members++;
	return result;
}

static int add_attributes(struct expansion *expansion, const struct member *member)
{
	int result = tree_builder_attribute(expansion->builder, "layout", member->format,
					    expansion->error);

	for (size_t i = 0; result == 0 && i < min_u64(member->attribute_count, ATTRIBUTES_MAX); i++)
		result = tree_builder_attribute(expansion->builder, member->attributes[i].key,
						member->attributes[i].value, expansion->error);
	return result;
}

static int add_link(struct expansion *expansion, const struct member *member)
{
	const char *name;
	const char *target;
	int result =
		member_names_link(&expansion->names, member->name, member->target, &name, &target);

	if (result == -ENOENT)
		return report_left_out(expansion->finding, "links to nothing", 1);
	return result ?: tree_builder_link(expansion->builder, name, target, expansion->error);
}

static int add_named(struct expansion *expansion, const struct member *member, const char *name)
{
	struct slice_options options = {
		.access = member->read_only || expansion->source.read_only ? IMAGE_ACCESS_RO
									   : IMAGE_ACCESS_AUTO,
		.found = true,
		.has_mode = member->has_mode,
		.has_uid = member->has_uid && member->uid != (uid_t)-1,
		.has_gid = member->has_gid && member->gid != (gid_t)-1,
		.has_mtime = member->has_mtime,
		.mode = member->mode & 0777,
		.uid = member->uid,
		.gid = member->gid,
		.mtime = member->mtime,
	};
	size_t length;

	switch (member->kind) {
	case MEMBER_FILE:
		return add_file(expansion, member, name, &options)
			       ?: add_attributes(expansion, member);
	case MEMBER_DIRECTORY:
		options.access = IMAGE_ACCESS_AUTO;
		return tree_builder_directory(expansion->builder, name, &options, expansion->error);
	default:
		length = strlen(member->target);
		if (length == 0 || length > TREE_PATH_MAX)
			return report_left_out(expansion->finding, "symlinks without a target", 1);
		options.access = IMAGE_ACCESS_AUTO;
		options.has_mode = false;
		return tree_builder_symlink(expansion->builder, name, member->target, &options,
					    expansion->error);
	}
}

static int add_member(struct expansion *expansion, const struct member *member)
{
	static const enum name_kind kinds[] = {
		[MEMBER_FILE] = NAME_FILE,
		[MEMBER_DIRECTORY] = NAME_DIRECTORY,
		[MEMBER_SYMLINK] = NAME_OTHER,
	};
	const char *name;
	int result = report_format(expansion->finding, member->format);

	if (result == 0 && check_pieces(member) < 0)
		return report_left_out(expansion->finding, "malformed", 1);
	if (result == 0 && member->kind == MEMBER_LINK) {
		result = add_link(expansion, member);
	} else if (result == 0) {
		result = member_names_make(&expansion->names, member->name, kinds[member->kind],
					   &name);
		if (result == -EEXIST) /* once is enough for a directory */
			return 0;
		result = result ?: add_named(expansion, member, name);
	}
	return result == -ENAMETOOLONG ? report_left_out(expansion->finding, "name too long", 1)
				       : result;
}

static int show_progress(struct expansion *expansion, int64_t offset)
{
	const struct layout_settings *settings = expansion->settings;

	if (!settings->progress)
		return 0;
	return settings->progress(settings->context, expansion->request->source,
				  min_u64(offset, expansion->source.size), expansion->source.size,
				  expansion->finding->members)
		       ? -EINTR
		       : 0;
}

/* 1: there is more; 0: that was the end, and *ret_result is the detector's; or negative errno. */
static int take_record(struct expansion *expansion, int *ret_result)
{
	struct record record;
	int result = record_read(&expansion->reader, &record);

	if (result <= 0)
		return result < 0 ? result : -EPIPE;
	switch (record.type) {
	case RECORD_MEMBER:
		result = add_member(expansion, &record.member);
		break;
	case RECORD_LEFT_OUT:
		result = report_left_out(expansion->finding, record.text, record.number);
		break;
	case RECORD_NOTE:
		result = report_note(expansion->finding, record.text);
		break;
	case RECORD_PROGRESS:
		result = show_progress(expansion, record.number);
		break;
	case RECORD_END:
		*ret_result = record.number < 0 && record.number > -4096 ? (int)record.number : 0;
		return 0;
	}
	return result < 0 ? result : 1;
}

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
		return fail(expansion, "layout of '%s': %s", source, finding->notes[0]);
	if (result == -EINVAL && type)
		return fail(expansion, "layout of '%s': there is no %s in it", source, type);
	if (result == -EOPNOTSUPP)
		return fail(
			expansion,
			"layout of '%s': it is put together of parts that cannot be mapped in a row",
			source);
	return fail(expansion, "layout of '%s': %s (layout=none does without)", source,
		    strerror(-result));
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
	expansion->reader.in = sandbox.in;
	do
		result = take_record(expansion, &detected);
	while (result > 0);
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
	return member_names_make(&expansion->names, expansion->request->taken, NAME_OTHER, &name);
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
		.names = { .directory = request->directory },
	};
	struct layout_report *report = settings->report ?: &expansion.own_report;
	int result = choose(&expansion) ?: take_name(&expansion) ?:
		     source_open(builder, request->source, request->at, error, &expansion.source) ?:
		     report_begin(report, request->source, request->directory,
				  &expansion.finding) ?:
		     take_all(&expansion);

	source_clear(&expansion.source);
	member_names_clear(&expansion.names);
	record_reader_clear(&expansion.reader);
	layout_report_clear(&expansion.own_report);
	return result;
}

bool layout_exists(const char *type)
{
	const char *format;

	return detector_find(type, &format) != NULL;
}

const char *layout_name(size_t index)
{
	for (size_t i = 0; i <= index; i++)
		if (!detectors[i])
			return NULL;
	return detectors[index]->name;
}
