/* SPDX-License-Identifier: MIT */
/* The marks by which archives are known. Each is strict enough that no disk image, text or random
 * data is taken for an archive, and touches a page or two.
 */
#include "archive_format.h"
#include "load.h"

#include "overflow.h"

#include <string.h>

static bool has_mark(const struct bytes *bytes, uint64_t offset, const char *mark, size_t length)
{
	return bytes->size >= offset && bytes->size - offset >= length &&
	       memcmp(bytes->data + offset, mark, length) == 0;
}

/* All of the digits are below base, as a number of a text header has them. */
static bool is_number(const unsigned char *p, size_t length, unsigned base)
{
	for (; length > 0; p++, length--) {
		unsigned digit = *p >= '0' && *p <= '9'   ? *p - '0'
				 : *p >= 'a' && *p <= 'f' ? *p - 'a' + 10
				 : *p >= 'A' && *p <= 'F' ? *p - 'A' + 10
							  : 16;

		if (digit >= base)
			return false;
	}
	return true;
}

#define TAR_BLOCK 512
#define TAR_CHECKSUM 148
#define TAR_TYPE 156
#define TAR_MAGIC 257
#define TAR_DEVICE 329

/* Octal digits, between spaces, up to a NUL or a space; or a binary number, where those may be. */
static bool is_tar_number(const unsigned char *p, size_t length, bool binary)
{
	size_t i = 0;

	if (binary && (p[0] == 0x80 || p[0] == 0xff))
		return true;
	while (i < length && p[i] == ' ')
		i++;
	while (i < length && p[i] >= '0' && p[i] <= '7')
		i++;
	while (i < length && (p[i] == ' ' || p[i] == '\0'))
		i++;
	return i == length;
}

static bool is_tar_checksum(const unsigned char *header)
{
	long wanted = 0;
	long sum = 0;
	long sum_signed = 0; /* as some old programs made it */
	bool digits = false;

	if (!is_tar_number(header + TAR_CHECKSUM, 8, false))
		return false;
	for (int i = TAR_CHECKSUM; i < TAR_CHECKSUM + 8; i++)
		if (header[i] >= '0' && header[i] <= '7') {
			wanted = wanted * 8 + header[i] - '0';
			digits = true;
		}
	for (int i = 0; i < TAR_BLOCK; i++) {
		bool blank = i >= TAR_CHECKSUM && i < TAR_CHECKSUM + 8;

		sum += blank ? ' ' : header[i];
		sum_signed += blank ? ' ' : (signed char)header[i];
	}
	return digits && (wanted == sum || wanted == sum_signed);
}

/* A header from before ustar has no mark: all of its fields must be as they were then. GNU tar fills
 * in the numbers of a device even so, and labels volumes with such a header.
 */
static bool is_old_tar(const unsigned char *header)
{
	const unsigned char *end = memchr(header, '\0', 100);
	unsigned char type = header[TAR_TYPE];

	if (end == header || header[0] < ' ' ||
	    !(type == 0 || (type >= '0' && type <= '7') || type == 'V'))
		return false;
	for (int i = TAR_MAGIC; i < TAR_BLOCK; i++)
		if ((i < TAR_DEVICE || i >= TAR_DEVICE + 16) && header[i])
			return false;
	return is_tar_number(header + 100, 8, false) && is_tar_number(header + 108, 8, false) &&
	       is_tar_number(header + 116, 8, false) && is_tar_number(header + 124, 12, false) &&
	       is_tar_number(header + 136, 12, false) &&
	       is_tar_number(header + TAR_DEVICE, 8, false) &&
	       is_tar_number(header + TAR_DEVICE + 8, 8, false);
}

static bool is_tar(const struct bytes *bytes)
{
	const unsigned char *header = bytes->data;

	if (bytes->size < TAR_BLOCK || !is_tar_checksum(header))
		return false;
	if (memcmp(header + TAR_MAGIC, "ustar", 5) == 0)
		return is_tar_number(header + 124, 12, true);
	return is_old_tar(header);
}

/* The binary header is of 16-bit words, in either order of bytes. */
static bool is_binary_cpio(const unsigned char *p, uint64_t size)
{
	bool little = load_le16(p) == 070707;
	uint16_t words[13];
	uint16_t type;
	uint16_t name_size;

	if (size < sizeof(words))
		return false;
	for (int i = 0; i < 13; i++)
		words[i] = little ? load_le16(p + 2 * i) : (uint16_t)(p[2 * i] << 8 | p[2 * i + 1]);
	type = words[3] >> 12;
	name_size = words[10];
	if (words[0] != 070707 || words[6] == 0 || name_size < 2 || name_size > 4096 ||
	    size < sizeof(words) + name_size)
		return false;
	p += sizeof(words);
	return (type == 1 || type == 2 || type == 4 || type == 6 || type == 8 || type == 10 ||
		type == 12) &&
	       memchr(p, '\0', name_size) == p + name_size - 1;
}

static bool is_cpio(const struct bytes *bytes)
{
	const unsigned char *p = bytes->data;

	if (bytes->size >= 110 && (memcmp(p, "070701", 6) == 0 || memcmp(p, "070702", 6) == 0))
		return is_number(p, 110, 16);
	if (bytes->size >= 76 && memcmp(p, "070707", 6) == 0)
		return is_number(p, 76, 8);
	if (bytes->size >= 116 && memcmp(p, "070727", 6) == 0)
		return is_number(p, 30, 16);
	return bytes->size >= 26 && is_binary_cpio(p, bytes->size);
}

static bool is_ar(const struct bytes *bytes)
{
	return has_mark(bytes, 0, "!<arch>\n", 8) &&
	       (bytes->size == 8 || has_mark(bytes, 8 + 58, "`\n", 2));
}

#define ZIP_END_SIZE 22
/* libarchive looks for the record in so many bytes at the end. */
#define ZIP_END_SEARCHED (16 * 1024)

/* Where the zip's end record is, if it ends with the bytes (exact) or lies near their end. */
static bool find_zip_end(const struct bytes *bytes, bool exact)
{
	uint64_t first = bytes->size - min_u64(bytes->size, ZIP_END_SEARCHED);

	if (bytes->size < ZIP_END_SIZE)
		return false;
	for (uint64_t at = bytes->size - ZIP_END_SIZE + 1; at-- > first;) {
		const unsigned char *p = bytes->data + at;
		bool wide = at >= 20 && memcmp(p - 20, "PK\6\7", 4) == 0;

		if (p[0] != 'P' || memcmp(p, "PK\5\6", 4) != 0)
			continue;
		if (!exact)
			return true;
		if (at + ZIP_END_SIZE + load_le16(p + 20) != bytes->size ||
		    load_le16(p + 4) != load_le16(p + 6) || load_le16(p + 8) != load_le16(p + 10))
			continue;
		/* The directory lies before it, and the numbers of zip64 before them. */
		if (wide || (uint64_t)load_le32(p + 12) + load_le32(p + 16) <= at)
			return true;
	}
	return false;
}

bool archive_zip_has_directory(const struct bytes *bytes)
{
	return find_zip_end(bytes, false);
}

static bool is_zip(const struct bytes *bytes)
{
	/* Not 0xffff: no method of compression has such a number. */
	if (has_mark(bytes, 0, "PK\3\4", 4) && bytes->size >= 30 && bytes->data[9] == 0)
		return true;
	return find_zip_end(bytes, true);
}

static bool is_iso9660(const struct bytes *bytes)
{
	const uint64_t first = 16 * 2048;

	return bytes->size >= first + 8 * 2048 && has_mark(bytes, first + 1, "CD001", 5) &&
	       (bytes->data[first] <= 3 || bytes->data[first] == 255);
}

static bool is_7zip(const struct bytes *bytes)
{
	return has_mark(bytes, 0, "7z\xbc\xaf\x27\x1c", 6) && bytes->size >= 32;
}

static bool is_cab(const struct bytes *bytes)
{
	return has_mark(bytes, 0, "MSCF\0\0\0\0", 8) && bytes->size >= 36 && bytes->data[25] == 1;
}

static bool is_lha(const struct bytes *bytes)
{
	const unsigned char *p = bytes->data;
	unsigned char sum = 0;

	if (bytes->size < 22 || memcmp(p + 2, "-l", 2) != 0 || p[6] != '-')
		return false;
	if (p[4] != 'h' && p[4] != 'z')
		return false;
	if (p[20] == 2)
		return load_le16(p) >= 26;
	if (p[20] == 3)
		return load_le16(p) == 4;
	if (p[20] > 3 || bytes->size < 2U + p[0] || p[0] < 20)
		return false;
	for (int i = 2; i < 2 + p[0]; i++)
		sum += p[i];
	return sum == p[1];
}

static bool is_xar(const struct bytes *bytes)
{
	return has_mark(bytes, 0, "xar!\0", 5) && bytes->size >= 28;
}

static bool is_warc(const struct bytes *bytes)
{
	return has_mark(bytes, 0, "WARC/0.", 7) || has_mark(bytes, 0, "WARC/1.", 7);
}

static bool is_rar(const struct bytes *bytes)
{
	return has_mark(bytes, 0, "Rar!\x1a\x07\0", 7) || has_mark(bytes, 0, "Rar!\x1a\x07\1\0", 8);
}

/* Both generations. */
static int support_rar(struct archive *archive)
{
	int result = archive_read_support_format_rar(archive);

	return result == ARCHIVE_OK ? archive_read_support_format_rar5(archive) : result;
}

/* Zip comes last: its mark may be that of a member at the end of another archive. */
static const struct archive_format formats[] = {
	{ "tar", archive_read_support_format_tar, is_tar, .modes = true, .owners = true,
	  .holes = true },
	{ "cpio", archive_read_support_format_cpio, is_cpio, .modes = true, .owners = true },
	{ "ar", archive_read_support_format_ar, is_ar, .modes = true, .owners = true },
	{ "iso9660", archive_read_support_format_iso9660, is_iso9660, .utf8 = true },
	{ "7zip", archive_read_support_format_7zip, is_7zip, .checksums = true, .modes = true,
	  .utf8 = true, .solid = true },
	{ "cab",
	  archive_read_support_format_cab,
	  is_cab,
	  { "(NONE)" },
	  .checksums = true,
	  .utf8 = true },
	{ "lha",
	  archive_read_support_format_lha,
	  is_lha,
	  { "-lh0-", "-lz4-" },
	  .checksums = true,
	  .modes = true,
	  .owners = true,
	  .utf8 = true },
	{ "xar", archive_read_support_format_xar, is_xar, .checksums = true, .modes = true,
	  .owners = true, .utf8 = true },
	{ "warc", archive_read_support_format_warc, is_warc },
	{ "rar", support_rar, is_rar, .checksums = true, .modes = true, .utf8 = true },
	{ "zip",
	  archive_read_support_format_zip,
	  is_zip,
	  { "(uncompressed)" },
	  .checksums = true,
	  .modes = true,
	  .owners = true },
};

#define FORMATS (sizeof(formats) / sizeof(*formats))

const struct archive_format *archive_format_of(const struct bytes *bytes)
{
	for (size_t i = 0; i < FORMATS; i++)
		if (formats[i].matches(bytes))
			return &formats[i];
	return NULL;
}

const struct archive_format *archive_format_find(const char *name)
{
	if (strcmp(name, "iso") == 0)
		name = "iso9660";
	for (size_t i = 0; i < FORMATS; i++)
		if (strcmp(formats[i].name, name) == 0)
			return &formats[i];
	return NULL;
}
