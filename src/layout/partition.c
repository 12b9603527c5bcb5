/* SPDX-License-Identifier: MIT */
/* Partitions, by libfdisk: each is a file "p" and its number, as in the kernel's names of devices.
 *
 * What a GPT calls a partition follows: "p1-EFI-System-Partition", unless another one is called the
 * same. Partitions that contain others, or the whole disk, are left out: their bytes are those of
 * other files. Where a partition lies is said as the table says it, also outside of the bytes.
 */
#include "partition.h"

#include "cleanup.h"
#include "overflow.h"
#include "vec.h"

#include <inttypes.h>
#include <libfdisk/libfdisk.h>
#include <stdio.h>

#define SLUG_MAX 128 /* bytes; a GPT's names have 36 letters */

struct partition {
	struct fdisk_partition *entry; /* owned */
	size_t number;
	uint64_t offset; /* bytes */
	uint64_t length;
	char slug[SLUG_MAX]; /* a file name's part made of the label, or "" */
};

struct partitions {
	VEC(struct partition) parts;
	struct partition_table table;
	uint32_t disk_id; /* an MBR's, or 0 */
};

static void cleanup_context(struct fdisk_context **context)
{
	fdisk_unref_context(*context);
}

static void cleanup_partitions(struct partitions *partitions)
{
	for (size_t i = 0; i < partitions->parts.count; i++)
		fdisk_unref_partition(partitions->parts.data[i].entry);
	free(partitions->parts.data);
}

static bool partition_probe(const struct bytes *bytes, const struct detector_options *options)
{
	struct partition_table table;

	return partition_find(bytes, options, &table);
}

/* --- names ------------------------------------------------------------------------------------- */

/* The code point at *text, which moves on; -1: it is not UTF-8. */
static int32_t next_letter(const unsigned char **text)
{
	const unsigned char *at = *text;
	const int more = *at < 0x80   ? 0
			 : *at < 0xc2 ? -1
			 : *at < 0xe0 ? 1
			 : *at < 0xf0 ? 2
			 : *at < 0xf5 ? 3
				      : -1;
	int32_t letter;

	if (more < 0)
		return -1;
	letter = more == 0 ? *at : *at & (0x3f >> more);
	for (int i = 1; i <= more; i++) {
		if ((at[i] & 0xc0) != 0x80)
			return -1;
		letter = letter << 6 | (at[i] & 0x3f);
	}
	if (letter > 0x10ffff || (letter >= 0xd800 && letter < 0xe000))
		return -1;
	*text = at + more + 1;
	return letter;
}

/* What needs no quotes in a shell, and any letters beyond ASCII, but no blanks, nor what cannot be
 * seen or turns the line around.
 */
static bool belongs_in_name(int32_t letter)
{
	if (letter < 0x80)
		return (letter >= '0' && letter <= '9') || (letter >= 'A' && letter <= 'Z') ||
		       (letter >= 'a' && letter <= 'z') || letter == '.' || letter == '_' ||
		       letter == '+';
	return letter > 0xa0 && letter != 0xad && letter != 0x61c && letter != 0x1680 &&
	       letter != 0x180e && !(letter >= 0x2000 && letter < 0x2070) && letter != 0x3000 &&
	       letter != 0xfeff && !(letter >= 0xfff0 && letter <= 0xffff) && letter < 0xe0000;
}

/* All that does not belong becomes one '-'. False when the label is broken or too long; slug is then
 * undefined.
 */
static bool make_slug(const char *label, char slug[SLUG_MAX])
{
	const unsigned char *at = (const unsigned char *)label;
	size_t length = 0;
	bool gap = false;

	while (*at) {
		const unsigned char *from = at;
		const int32_t letter = next_letter(&at);
		const size_t size = (size_t)(at - from);

		if (letter < 0 || length + gap + size >= SLUG_MAX)
			return false;
		if (!belongs_in_name(letter)) {
			gap = length > 0;
			continue;
		}
		if (gap)
			slug[length++] = '-';
		gap = false;
		memcpy(slug + length, from, size);
		length += size;
	}
	slug[length] = '\0';
	return true;
}

static int compare_slugs(const void *a, const void *b)
{
	const struct partition *const *left = a, *const *right = b;

	return strcmp((*left)->slug, (*right)->slug);
}

static int drop_ambiguous_slugs(struct partitions *partitions)
{
	const size_t count = partitions->parts.count;
	_cleanup_(cleanup_free) struct partition **sorted = NULL;
	size_t same;

	if (count == 0)
		return 0;
	sorted = calloc(count, sizeof(struct partition *));
	if (!sorted)
		return -ENOMEM;
	for (size_t i = 0; i < count; i++)
		sorted[i] = &partitions->parts.data[i];
	qsort(sorted, count, sizeof(struct partition *), compare_slugs);
	for (size_t i = 0; i < count; i += same) {
		for (same = 1; i + same < count; same++)
			if (compare_slugs(&sorted[i], &sorted[i + same]) != 0)
				break;
		for (size_t j = i; same > 1 && j < i + same; j++)
			sorted[j]->slug[0] = '\0';
	}
	return 0;
}

/* --- what libfdisk says ------------------------------------------------------------------------- */

/* Warnings and questions: what matters of them has been found out before. */
static int answer_nothing(struct fdisk_context *context, struct fdisk_ask *ask, void *data)
{
	return 0;
}

static int open_table(const struct partition_table *table, int fd, struct fdisk_context **ret)
{
	_cleanup_(cleanup_context) struct fdisk_context *context = fdisk_new_context();
	struct fdisk_label *label = NULL;
	int result;

	if (!context)
		return -ENOMEM;
	fdisk_disable_dialogs(context, 1);
	fdisk_enable_listonly(context, 1);
	fdisk_set_ask(context, answer_nothing, NULL);
	while (fdisk_next_label(context, &label) == 0)
		fdisk_label_set_disabled(label,
					 strcmp(fdisk_label_get_name(label), table->format) != 0);
	result = fdisk_save_user_sector_size(context, (unsigned)table->sector_size,
					     (unsigned)table->sector_size);
	if (result == 0)
		result = fdisk_assign_device_by_fd(context, fd, "image", 1);
	if (result < 0)
		return result;
	if (!fdisk_has_label(context))
		return -EINVAL;
	*ret = steal_pointer(&context);
	return 0;
}

/* A BSD label has c, and often d, for all of what it is for, and for all of the disk. */
static bool is_whole_disk(const struct partition_table *table, struct fdisk_partition *entry)
{
	const size_t index = fdisk_partition_get_partno(entry);
	struct fdisk_parttype *type = fdisk_partition_get_type(entry);

	return fdisk_partition_is_wholedisk(entry) ||
	       (strcmp(table->format, "bsd") == 0 && (index == 2 || index == 3) && type &&
		fdisk_parttype_get_code(type) == 0);
}

/* Why a partition is no file, or NULL. */
static const char *partition_fault(const struct partition_table *table,
				   struct fdisk_partition *entry)
{
	struct fdisk_parttype *type = fdisk_partition_get_type(entry);
	const char *guid = type ? fdisk_parttype_get_string(type) : NULL;
	uint64_t offset, length, end;

	if (guid && strcmp(guid, "00000000-0000-0000-0000-000000000000") == 0)
		return "deleted partition";
	if (!fdisk_partition_has_size(entry) || fdisk_partition_get_size(entry) == 0)
		return "empty partition";
	if (fdisk_partition_is_container(entry))
		return "extended partition";
	if (is_whole_disk(table, entry))
		return "whole disk";
	if (fdisk_partition_get_start(entry) < table->origin)
		return "partition before the image";
	if (multiply_overflows(fdisk_partition_get_start(entry) - table->origin, table->sector_size,
			       &offset) ||
	    multiply_overflows(fdisk_partition_get_size(entry), table->sector_size, &length) ||
	    add_overflows(offset, length, &end) || end > INT64_MAX)
		return "partition past any disk's end";
	return NULL;
}

static int add_partition(struct partitions *partitions, struct fdisk_partition *entry,
			 struct sink *sink)
{
	const uint64_t sector_size = partitions->table.sector_size;
	const char *label = fdisk_partition_get_name(entry);
	const char *fault = partition_fault(&partitions->table, entry);
	struct partition partition = { .entry = entry };
	int result;

	if (fault)
		return sink->left_out(sink, fault, 1);
	partition.number = fdisk_partition_get_partno(entry) + 1;
	partition.offset =
		(fdisk_partition_get_start(entry) - partitions->table.origin) * sector_size;
	partition.length = fdisk_partition_get_size(entry) * sector_size;
	if (label && !make_slug(label, partition.slug))
		partition.slug[0] = '\0';
	if (strcmp(partitions->table.format, "bsd") == 0)
		partition.slug[0] = (char)('a' + partition.number - 1);
	result = vec_push(&partitions->parts, partition);
	if (result == 0)
		fdisk_ref_partition(entry);
	return result;
}

static int add_partitions(struct partitions *partitions, struct fdisk_context *context,
			  struct sink *sink)
{
	const size_t count = fdisk_get_npartitions(context);

	for (size_t i = 0; i < count; i++) {
		struct fdisk_partition *entry = NULL;
		int result;

		if (!fdisk_is_partition_used(context, i))
			continue;
		result = fdisk_get_partition(context, i, &entry);
		if (result == 0)
			result = add_partition(partitions, entry, sink);
		fdisk_unref_partition(entry);
		if (result < 0)
			return result;
	}
	return 0;
}

/* --- members ----------------------------------------------------------------------------------- */

#define ATTRIBUTES_MAX 8

struct attributes {
	struct attribute list[ATTRIBUTES_MAX];
	size_t count;
	char number[24];
	char type[24];
	char uuid[24];
	char sector_size[24];
	char label[SLUG_MAX];
};

static void set_attribute(struct attributes *attributes, const char *key, const char *value)
{
	if (value && *value)
		attributes->list[attributes->count++] = (struct attribute){ key, value };
}

static void set_type(struct attributes *attributes, struct fdisk_parttype *type)
{
	const char *text = type ? fdisk_parttype_get_string(type) : NULL;

	if (!type)
		return;
	if (!text || !*text) {
		snprintf(attributes->type, sizeof(attributes->type), "%x",
			 fdisk_parttype_get_code(type));
		text = attributes->type;
	}
	set_attribute(attributes, "type", text);
	if (!fdisk_parttype_is_unknown(type))
		set_attribute(attributes, "type-name", fdisk_parttype_get_name(type));
}

/* As it is in the table; a lone half of a UTF-16 pair is no text. */
static void set_label(struct attributes *attributes, const char *label)
{
	const unsigned char *at = (const unsigned char *)(label ?: "");

	snprintf(attributes->label, sizeof(attributes->label), "%s", label ?: "");
	for (char *to = attributes->label; *to;) {
		const unsigned char *from = at;

		if (next_letter(&at) < 0) {
			*to = '?';
			at++;
		}
		to += at - from;
	}
	set_attribute(attributes, "label", attributes->label);
}

static void set_uuid(struct attributes *attributes, const struct partitions *partitions,
		     const struct partition *partition)
{
	const char *uuid = fdisk_partition_get_uuid(partition->entry);

	/* An MBR's partitions have none; this is what others, as the kernel, make up for them. */
	if (!uuid && partitions->disk_id > 0) {
		snprintf(attributes->uuid, sizeof(attributes->uuid), "%08" PRIx32 "-%02zx",
			 partitions->disk_id, partition->number);
		uuid = attributes->uuid;
	}
	set_attribute(attributes, "uuid", uuid);
}

static void describe(struct attributes *attributes, const struct partitions *partitions,
		     const struct partition *partition)
{
	struct fdisk_partition *entry = partition->entry;

	attributes->count = 0;
	snprintf(attributes->number, sizeof(attributes->number), "%zu", partition->number);
	snprintf(attributes->sector_size, sizeof(attributes->sector_size), "%" PRIu64,
		 partitions->table.sector_size);
	set_attribute(attributes, "number", attributes->number);
	set_type(attributes, fdisk_partition_get_type(entry));
	set_uuid(attributes, partitions, partition);
	set_label(attributes, fdisk_partition_get_name(entry));
	set_attribute(attributes, "attrs", fdisk_partition_get_attrs(entry));
	set_attribute(attributes, "bootable", fdisk_partition_is_bootable(entry) ? "yes" : NULL);
	set_attribute(attributes, "sector-size", attributes->sector_size);
}

static int give_partition(const struct partitions *partitions, const struct partition *partition,
			  struct sink *sink)
{
	const struct piece piece = { partition->offset, partition->length };
	struct attributes attributes;
	char name[32 + SLUG_MAX];
	struct member member = {
		.kind = MEMBER_FILE,
		.name = name,
		.format = partitions->table.format,
		.pieces = &piece,
		.piece_count = 1,
		.attributes = attributes.list,
	};

	describe(&attributes, partitions, partition);
	member.attribute_count = attributes.count;
	snprintf(name, sizeof(name), "p%zu%s%s", partition->number, partition->slug[0] ? "-" : "",
		 partition->slug);
	return sink->member(sink, &member);
}

static int compare_offsets(const void *a, const void *b)
{
	const struct partition *left = a, *right = b;

	return (left->offset > right->offset) - (left->offset < right->offset);
}

static int give_gap(const struct partitions *partitions, size_t number, struct piece piece,
		    struct sink *sink)
{
	const struct attribute type = { "type", "unallocated" };
	char name[32];
	const struct member member = {
		.kind = MEMBER_FILE,
		.name = name,
		.format = partitions->table.format,
		.pieces = &piece,
		.piece_count = 1,
		.attributes = &type,
		.attribute_count = 1,
	};

	snprintf(name, sizeof(name), "gap%zu", number);
	return sink->member(sink, &member);
}

/* All that no partition has, so the table itself as well. Puts the partitions in another order. */
static int give_gaps(struct partitions *partitions, uint64_t size, struct sink *sink)
{
	size_t number = 0;
	uint64_t end = 0; /* of what has been covered so far */
	int result;

	if (partitions->parts.count > 0)
		qsort(partitions->parts.data, partitions->parts.count, sizeof(struct partition),
		      compare_offsets);
	for (size_t i = 0; i <= partitions->parts.count; i++) {
		const struct partition *next =
			i < partitions->parts.count ? &partitions->parts.data[i] : NULL;
		const uint64_t start = next ? min_u64(next->offset, size) : size;

		if (start > end) {
			result = give_gap(partitions, ++number, (struct piece){ end, start - end },
					  sink);
			if (result < 0)
				return result;
		}
		if (next)
			end = max_u64(end, next->offset + next->length);
	}
	return 0;
}

/* --- the detector ------------------------------------------------------------------------------ */

static int give_notes(const struct partition_table *table, struct sink *sink)
{
	int result = 0;

	if (table->unprotected)
		result = sink->note(sink, "there is no protective MBR before the GPT");
	if (result == 0 && table->primary_broken)
		result = sink->note(sink, "the primary GPT is broken: this is its backup");
	if (result == 0 && table->backup_broken)
		result = sink->note(sink, "the backup of the GPT is missing or broken");
	return result;
}

static int give_all(struct partitions *partitions, const struct bytes *bytes, bool gaps,
		    struct sink *sink)
{
	int result = drop_ambiguous_slugs(partitions);

	for (size_t i = 0; result == 0 && i < partitions->parts.count; i++)
		result = give_partition(partitions, &partitions->parts.data[i], sink);
	if (result == 0 && gaps)
		result = give_gaps(partitions, bytes->size, sink);
	return result;
}

static int partition_detect(const struct bytes *bytes, const struct detector_options *options,
			    struct sink *sink)
{
	_cleanup_(cleanup_partitions) struct partitions partitions = { 0 };
	_cleanup_(cleanup_context) struct fdisk_context *context = NULL;
	_cleanup_(cleanup_close) int fd = -1;
	int result;

	if (!partition_find(bytes, options, &partitions.table))
		return sink->note(sink, "no partition table is found") ?: -EINVAL;
	if (strcmp(partitions.table.format, "dos") == 0)
		partitions.disk_id = load_le32(bytes->data + MBR_DISK_ID);
	result = give_notes(&partitions.table, sink) ?:
		 partition_excerpt(bytes, &partitions.table, sink, &fd) ?:
		 open_table(&partitions.table, fd, &context);
	if (result == -EINVAL)
		return sink->note(sink, "the partition table makes no sense") ?: result;
	if (result < 0)
		return result;
	return add_partitions(&partitions, context, sink)
		       ?: give_all(&partitions, bytes, options->gaps, sink);
}

static const char *const formats[] = { "gpt", "dos", "mbr", "bsd", "sgi", "sun", NULL };

const struct detector detector_partition = {
	.name = "partition",
	.formats = formats,
	.probe = partition_probe,
	.detect = partition_detect,
};
