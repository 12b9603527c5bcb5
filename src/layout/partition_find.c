/* SPDX-License-Identifier: MIT */
/* Which partition table there is.
 *
 * It is asked about every image, so it looks at some signatures in the first and the last sectors
 * and reads on only where one is. It has to be sure as well: GPT, BSD, SGI and SUN labels have
 * checksums, but an MBR is any sector that ends in 55 AA, as do boot sectors of FAT, exFAT and NTFS,
 * and boot loaders. So an MBR counts when all of its four entries can be ones, and one of them is a
 * partition that starts behind the MBR and inside the bytes.
 *
 * An image file has no sectors. A GPT header lies at sector 1 and says so. An MBR does not tell:
 * its sectors are of 512 bytes unless what lies at the starts of partitions shows otherwise.
 */
#include "partition.h"

#include "overflow.h"

#define GPT_SIGNATURE "EFI PART"
#define GPT_HEADER_MIN 92
#define GPT_ENTRY_MIN 128
#define GPT_ENTRIES_MAX (4 << 20) /* bytes, as in the kernel; a usual one has 16 KiB */

#define BSD_LABEL 512 /* byte */
#define BSD_MAGIC 0x82564557
#define BSD_VERSION 114 /* of the label: 1 is OpenBSD's */
#define BSD_COUNT 138
#define BSD_ENTRIES 148 /* size, start, in sectors */
#define BSD_ENTRY_SIZE 16
#define BSD_PARTITIONS_MAX 16
#define SGI_MAGIC 0x0be5a941
#define SUN_MAGIC 0xdabe

static const uint64_t sector_sizes[] = { 512, 1024, 2048, 4096 };

static bool sector_size_allowed(const struct detector_options *options, uint64_t sector_size)
{
	return options->sector_size == 0 || options->sector_size == sector_size;
}

static bool has_range(const struct bytes *bytes, uint64_t offset, uint64_t length)
{
	return offset <= bytes->size && length <= bytes->size - offset;
}

static bool has_text(const struct bytes *bytes, uint64_t offset, const char *text, size_t length)
{
	return has_range(bytes, offset, length) && memcmp(bytes->data + offset, text, length) == 0;
}

/* --- GPT --------------------------------------------------------------------------------------- */

/* That of Ethernet, four bits at a time. */
static uint32_t crc32_add(uint32_t crc, const unsigned char *data, size_t size)
{
	static const uint32_t table[16] = {
		0x00000000, 0x1db71064, 0x3b6e20c8, 0x26d930ac, 0x76dc4190, 0x6b6b51f4,
		0x4db26158, 0x5005713c, 0xedb88320, 0xf00f9344, 0xd6d6a3e8, 0xcb61b38c,
		0x9b64c2b0, 0x86d3d2d4, 0xa00ae278, 0xbdbdf21c,
	};

	for (size_t i = 0; i < size; i++) {
		crc = crc >> 4 ^ table[(crc ^ data[i]) & 15];
		crc = crc >> 4 ^ table[(crc ^ data[i] >> 4) & 15];
	}
	return crc;
}

static bool gpt_header_is_whole(const unsigned char *header, uint64_t sector_size)
{
	static const unsigned char zeros[4];
	const uint32_t size = load_le32(header + 12);
	uint32_t crc = UINT32_MAX;

	if (size < GPT_HEADER_MIN || size > sector_size)
		return false;
	crc = crc32_add(crc, header, 16);
	crc = crc32_add(crc, zeros, 4); /* where the checksum itself is */
	crc = crc32_add(crc, header + 20, size - 20);
	return ~crc == load_le32(header + 16);
}

/* The header at sector lba, whole and sane, with all of its entries. Whatever libfdisk would refuse
 * is refused here, and sizes of entries that it would stumble over.
 */
static bool gpt_read(const struct bytes *bytes, uint64_t sector_size, uint64_t lba, struct gpt *ret)
{
	const unsigned char *header;
	uint64_t first_usable, last_usable, offset, count, entry_size;

	if (multiply_overflows(lba, sector_size, &offset) ||
	    !has_text(bytes, offset, GPT_SIGNATURE, 8) || !has_range(bytes, offset, sector_size))
		return false;
	header = bytes->data + offset;
	if (!gpt_header_is_whole(header, sector_size) || load_le64(header + 24) != lba)
		return false;
	first_usable = load_le64(header + 40);
	last_usable = load_le64(header + 48);
	if (first_usable < 2 || last_usable < first_usable ||
	    last_usable >= INT64_MAX / sector_size)
		return false;
	count = load_le32(header + 80);
	entry_size = load_le32(header + 84);
	if (count == 0 || entry_size < GPT_ENTRY_MIN || entry_size % 8 != 0 ||
	    count * entry_size > GPT_ENTRIES_MAX ||
	    multiply_overflows(load_le64(header + 72), sector_size, &offset) ||
	    !has_range(bytes, offset, count * entry_size) ||
	    ~crc32_add(UINT32_MAX, bytes->data + offset, count * entry_size) !=
		    load_le32(header + 88))
		return false;
	*ret = (struct gpt){ lba, last_usable, offset, count * entry_size };
	return true;
}

/* libfdisk looks for a backup in the disk's last sector, so its entries have to lie before it. */
static bool gpt_read_backup(const struct bytes *bytes, uint64_t sector_size, uint64_t lba,
			    struct gpt *ret)
{
	struct gpt gpt;

	if (lba <= 1 || !gpt_read(bytes, sector_size, lba, &gpt) || gpt.last_usable >= lba ||
	    gpt.entries_offset > lba * sector_size ||
	    gpt.entries_size > lba * sector_size - gpt.entries_offset)
		return false;
	*ret = gpt;
	return true;
}

static bool gpt_find_primary(const struct bytes *bytes, const struct detector_options *options,
			     struct partition_table *ret)
{
	for (size_t i = 0; i < sizeof(sector_sizes) / sizeof(sector_sizes[0]); i++) {
		const uint64_t sector_size = sector_sizes[i];
		struct gpt backup;

		if (!sector_size_allowed(options, sector_size) ||
		    !gpt_read(bytes, sector_size, 1, &ret->gpt))
			continue;
		ret->sector_size = sector_size;
		ret->backup_broken = !gpt_read_backup(
			bytes, sector_size, load_le64(bytes->data + sector_size + 32), &backup);
		return true;
	}
	return false;
}

/* In the last sector, or where what is left of the primary says. */
static bool gpt_find_backup(const struct bytes *bytes, const struct detector_options *options,
			    struct partition_table *ret)
{
	for (size_t i = 0; i < sizeof(sector_sizes) / sizeof(sector_sizes[0]); i++) {
		const uint64_t sector_size = sector_sizes[i];

		if (!sector_size_allowed(options, sector_size) || bytes->size < 2 * sector_size)
			continue;
		if (gpt_read_backup(bytes, sector_size, bytes->size / sector_size - 1, &ret->gpt) ||
		    (has_text(bytes, sector_size, GPT_SIGNATURE, 8) &&
		     gpt_read_backup(bytes, sector_size, load_le64(bytes->data + sector_size + 32),
				     &ret->gpt))) {
			ret->sector_size = sector_size;
			ret->primary_broken = true;
			return true;
		}
	}
	return false;
}

static bool mbr_protects(const struct bytes *bytes)
{
	if (bytes->size < SECTOR_MIN || !mbr_is_signed(bytes->data))
		return false;
	for (size_t i = 0; i < MBR_ENTRY_COUNT; i++)
		if (mbr_entry(bytes->data, i).type == MBR_GPT)
			return true;
	return false;
}

/* Without a protective MBR, which makes a GPT one, it may be a rest of what the disk was before: two
 * whole ones are none, as a file system would have destroyed the first.
 */
static bool gpt_find(const struct bytes *bytes, const struct detector_options *options,
		     struct partition_table *ret)
{
	struct partition_table table = { .format = "gpt", .unprotected = !mbr_protects(bytes) };

	if (!gpt_find_primary(bytes, options, &table) && !gpt_find_backup(bytes, options, &table))
		return false;
	if (table.unprotected && !options->format && (table.primary_broken || table.backup_broken))
		return false;
	*ret = table;
	return true;
}

/* --- MBR --------------------------------------------------------------------------------------- */

/* What starts many a partition. */
static bool has_contents(const struct bytes *bytes, uint64_t offset)
{
	static const struct {
		uint64_t offset;
		const char *text;
		size_t length;
	} marks[] = {
		{ 510, "\x55\xaa", 2 },     /* a boot sector, and each EBR */
		{ 1080, "\x53\xef", 2 },    /* ext */
		{ 0, "XFSB", 4 },           /* XFS */
		{ 0, "hsqs", 4 },           /* squashfs */
		{ 0, "LUKS\xba\xbe", 6 },   /* LUKS */
		{ 4086, "SWAPSPACE2", 10 }, /* swap */
		{ 65600, "_BHRfS_M", 8 },   /* btrfs */
	};

	for (size_t i = 0; i < sizeof(marks) / sizeof(marks[0]); i++)
		if (has_text(bytes, offset + marks[i].offset, marks[i].text, marks[i].length))
			return true;
	return false;
}

static bool fits_sector_size(const struct bytes *bytes, uint64_t sector_size)
{
	bool seen = false;

	for (size_t i = 0; i < MBR_ENTRY_COUNT; i++) {
		const struct mbr_entry entry = mbr_entry(bytes->data, i);
		const uint64_t start = entry.start * sector_size;

		if (entry.count == 0 || entry.start == 0)
			continue;
		if (sector_size > SECTOR_MIN && !has_range(bytes, start, entry.count * sector_size))
			return false;
		seen = seen || has_contents(bytes, start);
	}
	return seen;
}

static uint64_t mbr_sector_size(const struct bytes *bytes, const struct detector_options *options)
{
	if (options->sector_size > 0)
		return options->sector_size;
	for (size_t i = 0; i < sizeof(sector_sizes) / sizeof(sector_sizes[0]); i++)
		if (fits_sector_size(bytes, sector_sizes[i]))
			return sector_sizes[i];
	return SECTOR_MIN;
}

static bool has_file_system(const struct bytes *bytes)
{
	return has_text(bytes, 3, "NTFS    ", 8) || has_text(bytes, 3, "EXFAT   ", 8) ||
	       has_text(bytes, 54, "FAT", 3) || has_text(bytes, 82, "FAT32", 5);
}

/* Boot loaders, and file systems that pretend to be a disk (mkfs.fat --mbr), have no partition that
 * starts behind the MBR. What has a file system in its first sector must have partitions that are
 * all inside the bytes to be a disk nevertheless.
 */
static bool mbr_is_table(const struct bytes *bytes, uint64_t sector_size)
{
	const bool strict = has_file_system(bytes);
	bool found = false;

	for (size_t i = 0; i < MBR_ENTRY_COUNT; i++) {
		const struct mbr_entry entry = mbr_entry(bytes->data, i);
		const uint64_t start = entry.start * sector_size;

		if (entry.boot != 0 && entry.boot != 0x80)
			return false;
		if (entry.count == 0 || entry.type == MBR_GPT)
			continue;
		if (strict && (start == 0 || !has_range(bytes, start, entry.count * sector_size)))
			return false;
		if (entry.type != 0 && start > 0 && start < bytes->size)
			found = true;
	}
	return found;
}

static bool mbr_has_entry(const struct bytes *bytes)
{
	for (size_t i = 0; i < MBR_ENTRY_COUNT; i++)
		if (mbr_entry(bytes->data, i).count > 0)
			return true;
	return false;
}

static bool mbr_find(const struct bytes *bytes, const struct detector_options *options,
		     struct partition_table *ret)
{
	const struct partition_table table = {
		.format = "dos",
		.sector_size = bytes->size < SECTOR_MIN ? SECTOR_MIN
							: mbr_sector_size(bytes, options),
	};

	if (bytes->size < table.sector_size || !mbr_is_signed(bytes->data) ||
	    has_text(bytes, 0, "\xc9\xc2\xd4\xc1", 4)) /* AIX */
		return false;
	if (options->format ? !mbr_has_entry(bytes) : !mbr_is_table(bytes, table.sector_size))
		return false;
	*ret = table;
	return true;
}

/* --- BSD, SGI, SUN ------------------------------------------------------------------------------ */

static uint16_t xor_of(const unsigned char *data, size_t size)
{
	uint16_t sum = 0;

	for (size_t i = 0; i + 1 < size; i += 2)
		sum ^= load_le16(data + i);
	return sum;
}

/* A label within an MBR's partition may count from the disk's start. OpenBSD notes where its own
 * area starts; others have a partition c, of no type, for all of it.
 */
static uint64_t bsd_origin(const unsigned char *label, size_t count)
{
	const unsigned char *whole = label + BSD_ENTRIES + 2 * BSD_ENTRY_SIZE;

	if (load_le16(label + BSD_VERSION) == 1)
		return load_le32(label + 76);
	return count > 2 && load_le32(whole) > 0 && whole[12] == 0 ? load_le32(whole + 4) : 0;
}

/* OpenBSD has sectors of 48 bits, of which libfdisk knows 32. */
static bool bsd_is_large(const unsigned char *label, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (load_le32(label + BSD_ENTRIES + i * BSD_ENTRY_SIZE + 8) > 0)
			return load_le16(label + BSD_VERSION) == 1;
	return false;
}

static bool bsd_find(const struct bytes *bytes, const struct detector_options *options,
		     struct partition_table *ret)
{
	const unsigned char *label = bytes->data + BSD_LABEL;
	struct partition_table table = { .format = "bsd", .sector_size = options->sector_size };
	uint32_t own;
	size_t count;

	if (bytes->size < (uint64_t)2 * SECTOR_MIN || load_le32(label) != BSD_MAGIC ||
	    load_le32(label + 132) != BSD_MAGIC)
		return false;
	count = load_le16(label + BSD_COUNT);
	if (count == 0 || count > BSD_PARTITIONS_MAX ||
	    xor_of(label, BSD_ENTRIES + count * BSD_ENTRY_SIZE) != 0 || bsd_is_large(label, count))
		return false;
	own = load_le32(label + 40);
	for (size_t i = 0; i < sizeof(sector_sizes) / sizeof(sector_sizes[0]); i++)
		if (table.sector_size == 0 && own == sector_sizes[i])
			table.sector_size = own;
	if (table.sector_size == 0)
		table.sector_size = SECTOR_MIN;
	table.origin = bsd_origin(label, count);
	*ret = table;
	return true;
}

static bool sgi_find(const struct bytes *bytes, const struct detector_options *options,
		     struct partition_table *ret)
{
	uint32_t sum = 0;

	if (bytes->size < SECTOR_MIN || load_be32(bytes->data) != SGI_MAGIC)
		return false;
	for (size_t i = 0; i < SECTOR_MIN; i += 4)
		sum += load_be32(bytes->data + i);
	if (sum != 0)
		return false;
	*ret = (struct partition_table){
		.format = "sgi",
		.sector_size = options->sector_size ?: SECTOR_MIN,
	};
	return true;
}

static bool sun_find(const struct bytes *bytes, const struct detector_options *options,
		     struct partition_table *ret)
{
	const unsigned char *label = bytes->data;

	/* Tracks and sectors a cylinder are what starts are given in. */
	if (bytes->size < SECTOR_MIN || label[508] != SUN_MAGIC >> 8 ||
	    label[509] != (SUN_MAGIC & 0xff) || xor_of(label, SECTOR_MIN) != 0 ||
	    load_le16(label + 436) == 0 || load_le16(label + 438) == 0)
		return false;
	*ret = (struct partition_table){
		.format = "sun",
		.sector_size = options->sector_size ?: SECTOR_MIN,
	};
	return true;
}

/* ------------------------------------------------------------------------------------------------ */

bool partition_find(const struct bytes *bytes, const struct detector_options *options,
		    struct partition_table *ret)
{
	/* The surest first; a BSD label is often below an MBR that makes one partition of it all. */
	static const struct {
		const char *names[3];
		bool (*find)(const struct bytes *bytes, const struct detector_options *options,
			     struct partition_table *ret);
	} tables[] = {
		{ { "gpt" }, gpt_find },        { { "sgi" }, sgi_find }, { { "sun" }, sun_find },
		{ { "dos", "mbr" }, mbr_find }, { { "bsd" }, bsd_find },
	};
	bool sane = options->sector_size == 0;

	for (size_t i = 0; i < sizeof(sector_sizes) / sizeof(sector_sizes[0]); i++)
		sane = sane || options->sector_size == sector_sizes[i];
	for (size_t i = 0; sane && i < sizeof(tables) / sizeof(tables[0]); i++)
		for (size_t j = 0; tables[i].names[j]; j++)
			if ((!options->format ||
			     strcmp(options->format, tables[i].names[j]) == 0) &&
			    tables[i].find(bytes, options, ret))
				return true;
	return false;
}
