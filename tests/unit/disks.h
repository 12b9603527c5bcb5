/* SPDX-License-Identifier: MIT */
#ifndef UNIT_DISKS_H
#define UNIT_DISKS_H

#include "support.h"

#include <wchar.h>

/* Disks in memory with partition tables, built from the formats' definitions, field by field. */
struct disk {
	unsigned char *data;
	size_t size; /* bytes */
	size_t sector_size;
};

struct disk disk_new(size_t sector_size, size_t sectors);
void disk_clear(struct disk *disk);

void put16(unsigned char *at, uint16_t value); /* little endian */
void put32(unsigned char *at, uint32_t value);
void put64(unsigned char *at, uint64_t value);
void put16_big(unsigned char *at, uint16_t value);
void put32_big(unsigned char *at, uint32_t value);

/* One of the four entries of the MBR or EBR in a sector, which is signed by it. */
void disk_put_entry(struct disk *disk, size_t lba, size_t index, unsigned char boot,
		    unsigned char type, uint32_t start, uint32_t count);

#define GPT_ENTRIES 8 /* of every GPT here */

struct gpt_entry {
	uint64_t first;
	uint64_t last;       /* sector, the last one of it */
	const wchar_t *name; /* UTF-32, put as UTF-16 */
	uint64_t attributes;
};

/* A protective MBR, the GPT and its backup in the last sectors; all of type "Linux filesystem". */
void disk_put_gpt(struct disk *disk, const struct gpt_entry *entries, size_t count);
unsigned char *disk_sector(const struct disk *disk, size_t lba);
/* Make the checksums of the header at lba, and of its entries where they are in the disk, right. */
void disk_seal_gpt(struct disk *disk, size_t lba);

void disk_seal_sun(struct disk *disk);
void disk_seal_sgi(struct disk *disk);
void disk_seal_bsd(struct disk *disk);

#endif
