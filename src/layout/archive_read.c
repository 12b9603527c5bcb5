/* SPDX-License-Identifier: MIT */
/* From libarchive's entries to members. */
#include "archive_format.h"

#include "cleanup.h"
#include "overflow.h"

#include <locale.h>
#include <stdio.h>
#include <string.h>

#define NOTE_MAX 512
#define SECOND 1000000000

static const char *const reasons[LEFT_REASONS] = {
	[LEFT_COMPRESSED] = "compressed",
	[LEFT_ENCRYPTED] = "encrypted",
	[LEFT_DEVICE] = "device",
	[LEFT_FIFO] = "fifo",
	[LEFT_SOCKET] = "socket",
	[LEFT_MALFORMED] = "malformed",
	[LEFT_NAME] = "name cannot be read",
	[LEFT_SIZE] = "size is not known",
	[LEFT_TRUNCATED] = "truncated",
	[LEFT_BROKEN] = "broken",
};

static struct timespec mtime_of(struct archive_entry *entry, const struct archive_format *format)
{
	struct timespec time = { archive_entry_mtime(entry), archive_entry_mtime_nsec(entry) };

	if (time.tv_nsec < 0 || time.tv_nsec >= SECOND)
		time.tv_nsec = 0;
	/* libarchive reads -1.25 of a pax header as -1 and .25, which would be -0.75. */
	if (format->holes && time.tv_sec < 0 && time.tv_nsec > 0) {
		time.tv_sec--;
		time.tv_nsec = SECOND - time.tv_nsec;
	}
	return time;
}

static void describe(const struct archive_reading *reading, struct member *ret)
{
	struct archive_entry *entry = reading->entry;
	const struct archive_format *format = reading->format;
	int code = archive_format(reading->archive);
	bool rock_ridge = code == ARCHIVE_FORMAT_ISO9660_ROCKRIDGE;

	ret->format = format->name;
	ret->read_only = format->checksums || code == ARCHIVE_FORMAT_CPIO_SVR4_CRC;
	ret->has_mode = format->modes || rock_ridge;
	ret->mode = archive_entry_perm(entry);
	ret->uid = (uid_t)archive_entry_uid(entry);
	ret->gid = (gid_t)archive_entry_gid(entry);
	/* Where the data is checked, the owner is in an optional field, and 0 where there is none. */
	ret->has_uid = (format->owners || rock_ridge) && (!format->checksums || ret->uid > 0);
	ret->has_gid = (format->owners || rock_ridge) && (!format->checksums || ret->gid > 0);
	ret->has_mtime = archive_entry_mtime_is_set(entry);
	ret->mtime = mtime_of(entry, format);
}

static bool is_index(const struct archive_reading *reading, const char *name)
{
	static const char *const names[] = { "/", "//", "/SYM64/", "__.SYMDEF",
					     "__.SYMDEF SORTED" };

	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
		if (strcmp(reading->format->name, "ar") == 0 && strcmp(name, names[i]) == 0)
			return true;
	return false;
}

static int give_file(struct archive_reading *reading, struct member *member, int header)
{
	bool several = strcmp(reading->format->name, "cpio") == 0 &&
		       archive_entry_nlink(reading->entry) > 1;
	enum left_out reason;
	int result = archive_find_pieces(reading, header, &reason);

	if (result < 0)
		return result;
	member->kind = MEMBER_FILE;
	member->pieces = reading->pieces.data;
	member->piece_count = reading->pieces.count;
	if (several)
		return archive_links_add(reading->links,
					 (uint64_t)archive_entry_dev(reading->entry),
					 (uint64_t)archive_entry_ino64(reading->entry), member,
					 reason, reading->sink, reading->left_out);
	if (reason == LEFT_NOTHING)
		return reading->sink->member(reading->sink, member);
	reading->left_out[reason]++;
	if (reason == LEFT_COMPRESSED && reading->format->solid && !reading->all_packed)
		return archive_stop_unpacking(reading);
	return 0;
}

static enum left_out reason_of_type(const struct archive_reading *reading)
{
	switch (archive_entry_filetype(reading->entry)) {
	case AE_IFBLK:
	case AE_IFCHR:
		return LEFT_DEVICE;
	case AE_IFIFO:
		return LEFT_FIFO;
	case AE_IFSOCK:
		return LEFT_SOCKET;
	}
	/* An ISO image's file that lies beyond its end has no type. */
	return LEFT_TRUNCATED;
}

static int give_named(struct archive_reading *reading, struct member *member, int header)
{
	struct archive_entry *entry = reading->entry;
	const char *hardlink = archive_entry_hardlink(entry);
	unsigned type = archive_entry_filetype(entry);

	/* "ar D" writes no type. */
	if (strcmp(reading->format->name, "ar") == 0)
		type = AE_IFREG;
	if (type == AE_IFREG && strcmp(reading->format->name, "cpio") == 0)
		hardlink = NULL; /* see archive_links.c */
	if (hardlink) {
		member->kind = MEMBER_LINK;
		member->target = hardlink;
	} else if (type == AE_IFREG) {
		return give_file(reading, member, header);
	} else if (type == AE_IFDIR) {
		member->kind = MEMBER_DIRECTORY;
	} else if (type == AE_IFLNK && archive_entry_symlink(entry)) {
		member->kind = MEMBER_SYMLINK;
		member->target = archive_entry_symlink(entry);
	} else {
		reading->left_out[reason_of_type(reading)]++;
		return 0;
	}
	return reading->sink->member(reading->sink, member);
}

/* The end of a zip's local header: behind it, libarchive has read only a symlink's text. */
static uint64_t header_end(const struct archive_reading *reading)
{
	uint64_t position = (uint64_t)archive_filter_bytes(reading->archive, 0);
	const char *target = archive_entry_symlink(reading->entry);
	uint64_t text = target ? strlen(target) : 0;

	return position - min_u64(position, text);
}

static int give_member(struct archive_reading *reading, int header)
{
	_cleanup_(cleanup_free) char *raw = NULL;
	const char *name = archive_entry_pathname(reading->entry);
	struct member member = { 0 };

	if (!name && strcmp(reading->format->name, "zip") == 0) {
		raw = archive_zip_name(reading->bytes, header_end(reading));
		name = raw;
	}
	if (!name || !*name) {
		reading->left_out[LEFT_NAME]++;
		return 0;
	}
	if (is_index(reading, name))
		return 0;
	describe(reading, &member);
	member.name = name;
	return give_named(reading, &member, header);
}

/* --- the archive ------------------------------------------------------------------------------ */

static int note_error(const struct archive_reading *reading)
{
	const char *error = reading->archive ? archive_error_string(reading->archive) : NULL;
	char text[NOTE_MAX];

	snprintf(text, sizeof(text), "%s: the archive is broken: %s", reading->format->name,
		 error ?: "it ends too early");
	return reading->sink->note(reading->sink, text);
}

/* It is broken from its beginning, or of another kind than was asked for. */
static int none_of_it(const struct archive_reading *reading)
{
	int result = reading->format->matches(reading->bytes) ? note_error(reading) : 0;

	return result < 0 ? result : -EINVAL;
}

/* How far the reader is. Where it has looked beyond the bytes, that is their end. */
static uint64_t position_of(const struct archive_reading *reading)
{
	int64_t position = archive_filter_bytes(reading->archive, 0);

	return position < 0 ? 0 : min_u64((uint64_t)position, reading->bytes->size);
}

static int read_members(struct archive_reading *reading)
{
	int result = 0;

	while (result == 0 && !reading->broken) {
		int header = archive_read_next_header2(reading->archive, reading->entry);

		if (header == ARCHIVE_EOF)
			return 0;
		if (header == ARCHIVE_FAILED && strcmp(reading->format->name, "zip") == 0) {
			/* A symlink that is packed in a way that libarchive does not know. */
			reading->left_out[LEFT_COMPRESSED]++;
			continue;
		}
		/* After a damaged header, libarchive would search for another one, in the data of
		 * members, too.
		 */
		if (header != ARCHIVE_OK && header != ARCHIVE_WARN) {
			reading->broken = true;
			continue;
		}
		reading->entries++;
		result = give_member(reading, header);
		if (result == 0)
			result = reading->sink->progress(reading->sink, position_of(reading));
	}
	return result;
}

static int give_left_out(struct archive_reading *reading)
{
	int result = 0;

	for (int i = LEFT_NOTHING + 1; i < LEFT_REASONS && result == 0; i++)
		if (reading->left_out[i] > 0)
			result = reading->sink->left_out(reading->sink, reasons[i],
							 reading->left_out[i]);
	return result;
}

static int read_archive(struct archive_reading *reading)
{
	int result;

	if (archive_open(reading, &reading->archive) != ARCHIVE_OK)
		return none_of_it(reading);
	if (strcmp(reading->format->name, "zip") == 0 &&
	    !archive_zip_has_directory(reading->bytes)) {
		result = reading->sink->note(reading->sink, "zip: there is no central directory: "
							    "members may be missing");
		if (result < 0)
			return result;
	}
	result = read_members(reading);
	if (result == 0)
		result = archive_links_end(reading->links, !reading->broken, reading->sink,
					   reading->left_out);
	if (result == 0)
		result = give_left_out(reading);
	if (result == 0 && reading->broken)
		result = reading->entries > 0 ? note_error(reading) : none_of_it(reading);
	return result;
}

/* libarchive converts names to the charset of the thread's locale. In "C" it keeps the bytes of
 * those that it cannot convert. Formats with names in UTF-16 need UTF-8 instead.
 */
static locale_t locale_for(const struct archive_format *format)
{
	locale_t locale = 0;

	if (format->utf8)
		locale = newlocale(LC_CTYPE_MASK, ARCHIVE_UTF8_LOCALE, 0);
	return locale ?: newlocale(LC_CTYPE_MASK, "C", 0);
}

int archive_read_members(const struct bytes *bytes, const struct archive_format *format,
			 struct sink *sink)
{
	struct archive_reading reading = { .bytes = bytes, .format = format, .sink = sink };
	locale_t locale = locale_for(format);
	locale_t old;
	int result = -ENOMEM;

	if (!locale)
		return -ENOMEM;
	old = uselocale(locale);
	reading.entry = archive_entry_new();
	reading.links = archive_links_new();
	if (reading.entry && reading.links)
		result = read_archive(&reading);
	archive_read_free(reading.archive);
	archive_entry_free(reading.entry);
	archive_links_free(reading.links);
	free(reading.pieces.data);
	uselocale(old);
	freelocale(locale);
	return result;
}
