/* SPDX-License-Identifier: MIT */
/* Archives, read by libarchive over the bytes in memory. It hands out a member's data as blocks, and
 * where these are stored as they are, the blocks lie in the bytes themselves: their addresses say
 * where. So every format that stores members unpacked comes without a parser of our own.
 *
 * Which format it is, archive_match.c decides by the marks that formats have at fixed places;
 * libarchive's own guess would take zeros for an empty tar and any text for a list of files. Only
 * that one format is then enabled, for one more reason: to guess, libarchive looks far ahead, which
 * makes it copy a small archive as a whole.
 */
#include "archive_format.h"

#include <errno.h>
#include <locale.h>
#include <time.h>

static bool probe(const struct bytes *bytes, const struct detector_options *options)
{
	const struct archive_format *format;

	if (!options->format)
		return archive_format_of(bytes) != NULL;
	format = archive_format_find(options->format);
	return format && format->matches(bytes);
}

/* The charset and the time zone are files. What is loaded once is there for ever after: nobody frees
 * this locale, which is why it is found again when it is asked for.
 */
static void prepare(void)
{
	(void)newlocale(LC_CTYPE_MASK, ARCHIVE_UTF8_LOCALE, 0);
	tzset();
}

static int detect(const struct bytes *bytes, const struct detector_options *options,
		  struct sink *sink)
{
	const struct archive_format *format = options->format ? archive_format_find(options->format)
							      : archive_format_of(bytes);

	if (!format || bytes->size == 0)
		return sink->note(sink, "this is not an archive of a known format") ?: -EINVAL;
	return archive_read_members(bytes, format, sink);
}

static const char *const formats[] = {
	"tar", "cpio", "ar",  "zip",  "iso9660", "iso", "7zip",
	"cab", "lha",  "xar", "warc", "rar",     NULL,
};

const struct detector detector_archive = {
	.name = "archive",
	.formats = formats,
	.probe = probe,
	.prepare = prepare,
	.detect = detect,
};
