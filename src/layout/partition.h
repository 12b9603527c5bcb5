/* SPDX-License-Identifier: MIT */
#ifndef LAYOUT_PARTITION_H
#define LAYOUT_PARTITION_H

#include "load.h"

/* What the parts of the partition detector share: partition_find.c says which table there is,
 * partition_excerpt.c gives libfdisk the sectors of it, partition.c makes members of what libfdisk
 * says of them.
 */

#define SECTOR_MIN 512
#define SECTOR_MAX 4096

#define MBR_DISK_ID 440 /* byte */
#define MBR_ENTRIES 446
#define MBR_ENTRY_SIZE 16
#define MBR_ENTRY_COUNT 4
#define MBR_GPT 0xee

/* A GPT whose checksums are right. */
struct gpt {
	uint64_t lba;            /* of its header */
	uint64_t last_usable;    /* lba */
	uint64_t entries_offset; /* bytes */
	uint64_t entries_size;
};

struct partition_table {
	const char *format; /* as libfdisk calls the label */
	uint64_t sector_size;
	uint64_t origin; /* what the table calls the first of the bytes' sectors */
	/* format "gpt": */
	struct gpt gpt;
	bool primary_broken; /* gpt is the backup */
	bool backup_broken;
	bool unprotected; /* the MBR does not say that there is a GPT */
};

/* Which of the tables that the options allow the bytes start with. */
bool partition_find(const struct bytes *bytes, const struct detector_options *options,
		    struct partition_table *ret);

/* A file in memory, as large as the disk, with holes for all but the sectors of the table. 0 or a
 * negative errno; *ret_fd is the caller's to close. Where the chain of logical partitions breaks
 * off, the sink gets a note.
 */
int partition_excerpt(const struct bytes *bytes, const struct partition_table *table,
		      struct sink *sink, int *ret_fd);

/* One of an MBR's four entries, or an EBR's. */
struct mbr_entry {
	unsigned char boot;
	unsigned char type;
	uint32_t start; /* sectors */
	uint32_t count;
};

static inline bool mbr_is_signed(const unsigned char *sector)
{
	return sector[510] == 0x55 && sector[511] == 0xaa;
}

static inline struct mbr_entry mbr_entry(const unsigned char *sector, size_t index)
{
	const unsigned char *entry = sector + MBR_ENTRIES + index * MBR_ENTRY_SIZE;

	return (struct mbr_entry){ entry[0], entry[4], load_le32(entry + 8),
				   load_le32(entry + 12) };
}

static inline bool mbr_type_is_extended(unsigned char type)
{
	return type == 0x05 || type == 0x0f || type == 0x85;
}

#endif
