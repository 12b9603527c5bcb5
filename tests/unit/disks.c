/* SPDX-License-Identifier: MIT */
#include "disks.h"

#include <string.h>

#define HEADER_SIZE 92
#define ENTRY_SIZE 128

struct disk disk_new(size_t sector_size, size_t sectors)
{
	struct disk disk = { calloc(sectors, sector_size), sectors * sector_size, sector_size };

	assert_non_null(disk.data);
	return disk;
}

void disk_clear(struct disk *disk)
{
	free(disk->data);
	*disk = (struct disk){ 0 };
}

static void put(unsigned char *at, uint64_t value, size_t size, bool big)
{
	for (size_t i = 0; i < size; i++)
		at[big ? size - 1 - i : i] = (unsigned char)(value >> (8 * i));
}

static uint64_t get(const unsigned char *at, size_t size, bool big)
{
	uint64_t value = 0;

	for (size_t i = 0; i < size; i++)
		value = value << 8 | at[big ? i : size - 1 - i];
	return value;
}

void put16(unsigned char *at, uint16_t value)
{
	put(at, value, 2, false);
}

void put32(unsigned char *at, uint32_t value)
{
	put(at, value, 4, false);
}

void put64(unsigned char *at, uint64_t value)
{
	put(at, value, 8, false);
}

void put16_big(unsigned char *at, uint16_t value)
{
	put(at, value, 2, true);
}

void put32_big(unsigned char *at, uint32_t value)
{
	put(at, value, 4, true);
}

unsigned char *disk_sector(const struct disk *disk, size_t lba)
{
	assert_in_range(lba, 0, disk->size / disk->sector_size - 1);
	return disk->data + lba * disk->sector_size;
}

void disk_put_entry(struct disk *disk, size_t lba, size_t index, unsigned char boot,
		    unsigned char type, uint32_t start, uint32_t count)
{
	unsigned char *sector = disk_sector(disk, lba);
	unsigned char *entry = sector + 446 + 16 * index;

	entry[0] = boot;
	entry[4] = type;
	put32(entry + 8, start);
	put32(entry + 12, count);
	sector[510] = 0x55;
	sector[511] = 0xaa;
}

/* --- GPT --------------------------------------------------------------------------------------- */

static uint32_t crc32_of(const unsigned char *data, size_t size)
{
	uint32_t crc = UINT32_MAX;

	for (size_t i = 0; i < size; i++) {
		crc ^= data[i];
		for (int bit = 0; bit < 8; bit++)
			crc = crc >> 1 ^ (crc & 1 ? 0xedb88320 : 0);
	}
	return ~crc;
}

void disk_seal_gpt(struct disk *disk, size_t lba)
{
	unsigned char *header = disk_sector(disk, lba);
	const uint64_t first = get(header + 72, 8, false);
	const uint64_t size = get(header + 80, 4, false) * get(header + 84, 4, false);
	const uint64_t header_size = get(header + 12, 4, false);

	if (first < disk->size / disk->sector_size &&
	    size <= disk->size - first * disk->sector_size)
		put32(header + 88, crc32_of(disk->data + first * disk->sector_size, size));
	put32(header + 16, 0);
	if (header_size <= disk->sector_size)
		put32(header + 16, crc32_of(header, header_size));
}

static void put_utf16(unsigned char *at, const wchar_t *text)
{
	for (; *text; text++) {
		const uint32_t letter = (uint32_t)*text;

		if (letter > 0xffff) {
			put16(at, (uint16_t)(0xd800 + ((letter - 0x10000) >> 10)));
			at += 2;
		}
		put16(at, (uint16_t)(letter > 0xffff ? 0xdc00 + (letter & 0x3ff) : letter));
		at += 2;
	}
}

static void put_header(struct disk *disk, size_t lba, size_t other, size_t entries)
{
	const size_t sectors = disk->size / disk->sector_size;
	const size_t used = (GPT_ENTRIES * ENTRY_SIZE + disk->sector_size - 1) / disk->sector_size;
	unsigned char *header = disk_sector(disk, lba);

	memcpy(header, "EFI PART", 8);
	put32(header + 8, 0x10000);
	put32(header + 12, HEADER_SIZE);
	put64(header + 24, lba);
	put64(header + 32, other);
	put64(header + 40, 2 + used);
	put64(header + 48, sectors - 2 - used);
	put64(header + 72, entries);
	put32(header + 80, GPT_ENTRIES);
	put32(header + 84, ENTRY_SIZE);
	disk_seal_gpt(disk, lba);
}

void disk_put_gpt(struct disk *disk, const struct gpt_entry *entries, size_t count)
{
	static const unsigned char linux_filesystem[16] = { 0xaf, 0x3d, 0xc6, 0x0f, 0x83, 0x84,
							    0x72, 0x47, 0x8e, 0x79, 0x3d, 0x69,
							    0xd8, 0x47, 0x7d, 0xe4 };
	const size_t used = (GPT_ENTRIES * ENTRY_SIZE + disk->sector_size - 1) / disk->sector_size;
	const size_t last = disk->size / disk->sector_size - 1;

	assert_in_range(count, 0, GPT_ENTRIES);
	for (size_t i = 0; i < count; i++) {
		unsigned char *entry = disk_sector(disk, 2) + i * ENTRY_SIZE;

		memcpy(entry, linux_filesystem, 16);
		memset(entry + 16, (int)(i + 1), 16);
		put64(entry + 32, entries[i].first);
		put64(entry + 40, entries[i].last);
		put64(entry + 48, entries[i].attributes);
		if (entries[i].name)
			put_utf16(entry + 56, entries[i].name);
	}
	memcpy(disk_sector(disk, last - used), disk_sector(disk, 2), GPT_ENTRIES * ENTRY_SIZE);
	put_header(disk, 1, last, 2);
	put_header(disk, last, 1, last - used);
	disk_put_entry(disk, 0, 0, 0, 0xee, 1, (uint32_t)last);
}

/* --- SUN, SGI, BSD ------------------------------------------------------------------------------ */

void disk_seal_sun(struct disk *disk)
{
	unsigned char sum[2] = { 0 };

	put16_big(disk->data + 508, 0xdabe);
	for (size_t i = 0; i < 510; i++)
		sum[i % 2] ^= disk->data[i];
	memcpy(disk->data + 510, sum, 2);
}

void disk_seal_sgi(struct disk *disk)
{
	uint32_t sum = 0;

	put32_big(disk->data, 0x0be5a941);
	put32(disk->data + 504, 0);
	for (size_t i = 0; i < 512; i += 4)
		sum -= (uint32_t)get(disk->data + i, 4, true);
	put32_big(disk->data + 504, sum);
}

void disk_seal_bsd(struct disk *disk)
{
	unsigned char *label = disk->data + 512;
	const size_t size = 148 + get(label + 138, 2, false) * 16;
	uint16_t sum = 0;

	put32(label, 0x82564557);
	put32(label + 132, 0x82564557);
	put16(label + 136, 0);
	for (size_t i = 0; i < size; i += 2)
		sum ^= (uint16_t)get(label + i, 2, false);
	put16(label + 136, sum);
}
