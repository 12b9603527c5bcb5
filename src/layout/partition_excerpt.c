/* SPDX-License-Identifier: MIT */
/* The sectors of a partition table, as a file for libfdisk, which wants a descriptor.
 *
 * The file is as large as the disk, but has nothing except what the table is made of: the disk's
 * first sectors, of a GPT one header and its entries that are known to be good, and the chain of
 * sectors that describe logical partitions. So libfdisk never meets a broken header, a chain that
 * bites its tail, or a disk that ends too early.
 */
#include "partition.h"

#include "cleanup.h"
#include "overflow.h"

#include <sys/mman.h>

#define START_SIZE 8192 /* of a BSD boot area with its label */

/* libfdisk takes 60 partitions, the primary ones among them; it changes the table of one more. */
#define LOGICAL_MAX 56

static int write_at(int fd, const void *data, uint64_t size, uint64_t offset)
{
	const unsigned char *from = data;

	while (size > 0) {
		ssize_t written = pwrite(fd, from, size, (off_t)offset);

		if (written < 0 && errno == EINTR)
			continue;
		if (written <= 0)
			return written < 0 ? -errno : -EIO;
		from += written;
		offset += (uint64_t)written;
		size -= (uint64_t)written;
	}
	return 0;
}

static int copy_range(int fd, const struct bytes *bytes, uint64_t offset, uint64_t length)
{
	return write_at(fd, bytes->data + offset, min_u64(length, bytes->size - offset), offset);
}

/* --- GPT --------------------------------------------------------------------------------------- */

/* libfdisk does not look for a GPT without this. */
static int write_protective_mbr(int fd)
{
	unsigned char sector[SECTOR_MIN] = { [510] = 0x55, [511] = 0xaa };
	unsigned char *entry = sector + MBR_ENTRIES;

	entry[4] = MBR_GPT;
	entry[8] = 1;                /* start */
	memset(entry + 12, 0xff, 4); /* count */
	return write_at(fd, sector, sizeof(sector), 0);
}

/* The disk ends where the GPT says, even if the bytes do not reach that far: libfdisk refuses one
 * that claims more than there is, and looks for a backup in the last sector.
 */
static int copy_gpt(int fd, const struct bytes *bytes, const struct partition_table *table)
{
	const struct gpt *gpt = &table->gpt;
	const uint64_t own = bytes->size / table->sector_size;
	const uint64_t sectors = table->primary_broken ? gpt->lba + 1
						       : max_u64(own, gpt->last_usable + 1);
	int result;

	if (ftruncate(fd, (off_t)(sectors * table->sector_size)) < 0)
		return -errno;
	result =
		copy_range(fd, bytes, gpt->entries_offset, gpt->entries_size)
			?: copy_range(fd, bytes, gpt->lba * table->sector_size, table->sector_size);
	if (result < 0)
		return result;
	return table->unprotected ? write_protective_mbr(fd) : copy_range(fd, bytes, 0, SECTOR_MIN);
}

/* --- logical partitions ------------------------------------------------------------------------ */

/* Each logical partition is described by a sector of its own, an EBR: one entry is the partition,
 * another the next EBR, in sectors from the extended partition's start.
 */
struct chain {
	uint32_t start; /* of the extended partition, in sectors */
	uint32_t seen[LOGICAL_MAX];
	size_t count;
};

static const char *chain_fault(struct chain *chain, const struct bytes *bytes, uint64_t sector_size,
			       uint32_t next)
{
	const uint64_t offset = ((uint64_t)chain->start + next) * sector_size;

	if (chain->count == LOGICAL_MAX)
		return "there are more logical partitions than can be shown";
	for (size_t i = 0; i < chain->count; i++)
		if (chain->seen[i] == next)
			return "the chain of logical partitions bites its tail";
	if (offset >= bytes->size || bytes->size - offset < sector_size)
		return "the chain of logical partitions leads out of the image";
	if (!mbr_is_signed(bytes->data + offset))
		return "the chain of logical partitions is broken";
	return NULL;
}

/* The entry that leads on, or NULL. */
static unsigned char *chain_link(unsigned char *sector)
{
	for (size_t i = 0; i < MBR_ENTRY_COUNT; i++) {
		const struct mbr_entry entry = mbr_entry(sector, i);

		if (entry.count > 0 && mbr_type_is_extended(entry.type))
			return sector + MBR_ENTRIES + i * MBR_ENTRY_SIZE;
	}
	return NULL;
}

/* Each EBR is copied when it is known where it leads: a link that cannot be followed is left out. */
static int copy_chain(int fd, const struct bytes *bytes, uint64_t sector_size, uint32_t start,
		      struct sink *sink)
{
	struct chain chain = { .start = start };
	unsigned char sector[SECTOR_MAX];
	const char *fault = chain_fault(&chain, bytes, sector_size, 0);
	unsigned char *link;
	int result = 0;

	for (uint32_t next = 0; !fault && result == 0;) {
		const uint64_t offset = ((uint64_t)start + next) * sector_size;

		memcpy(sector, bytes->data + offset, sector_size);
		chain.seen[chain.count++] = next;
		link = chain_link(sector);
		if (link) {
			next = load_le32(link + 8);
			fault = chain_fault(&chain, bytes, sector_size, next);
			if (fault)
				memset(link, 0, MBR_ENTRY_SIZE);
		}
		result = write_at(fd, sector, sector_size, offset);
		if (!link)
			break;
	}
	return fault && result == 0 ? sink->note(sink, fault) : result;
}

/* The kernel and libfdisk take the first extended partition. */
static int copy_logical(int fd, const struct bytes *bytes, uint64_t sector_size, struct sink *sink)
{
	for (size_t i = 0; i < MBR_ENTRY_COUNT; i++) {
		const struct mbr_entry entry = mbr_entry(bytes->data, i);

		if (mbr_type_is_extended(entry.type))
			return entry.start > 0
				       ? copy_chain(fd, bytes, sector_size, entry.start, sink)
				       : 0;
	}
	return 0;
}

/* ------------------------------------------------------------------------------------------------ */

static int copy_table(int fd, const struct bytes *bytes, const struct partition_table *table,
		      struct sink *sink)
{
	int result;

	if (strcmp(table->format, "gpt") == 0)
		return copy_gpt(fd, bytes, table);
	/* An MBR's sectors have 32 bits, and logical ones count from another one: no read of libfdisk's
	 * is to fail, as it forgets memory then.
	 */
	if (ftruncate(fd, (off_t)max_u64(bytes->size, table->sector_size << 33)) < 0)
		return -errno;
	if (strcmp(table->format, "dos") != 0)
		return copy_range(fd, bytes, 0, START_SIZE);
	result = copy_range(fd, bytes, 0, table->sector_size);
	return result < 0 ? result : copy_logical(fd, bytes, table->sector_size, sink);
}

int partition_excerpt(const struct bytes *bytes, const struct partition_table *table,
		      struct sink *sink, int *ret_fd)
{
	_cleanup_(cleanup_close) int fd = memfd_create("partition table", MFD_CLOEXEC);
	int result;

	if (fd < 0)
		return -errno;
	result = copy_table(fd, bytes, table, sink);
	if (result == 0)
		*ret_fd = steal_fd(&fd);
	return result;
}
