/* SPDX-License-Identifier: MIT */
/* All tables but GPT, which has a file of its own. */
#include "disks.h"
#include "members.h"

#include <string.h>

static void test_primary_partitions_with_attributes(void **state)
{
	struct disk disk = disk_new(512, 64);
	struct members members;

	disk_put_entry(&disk, 0, 0, 0x80, 0x0c, 8, 8);
	disk_put_entry(&disk, 0, 3, 0, 0x83, 16, 48);
	put32(disk.data + 440, 0x12ab34cd);
	members = members_of(&detector_partition, disk.data, disk.size, NULL, true);
	assert_result(members.result, 0);
	assert_string_equal(members.text,
			    "file p1 4096+4096 [dos number=1 type=c type-name=W95 FAT32 (LBA) "
			    "uuid=12ab34cd-01 attrs=80 bootable=yes sector-size=512]\n"
			    "file p4 8192+24576 [dos number=4 type=83 type-name=Linux "
			    "uuid=12ab34cd-04 sector-size=512]\n");
	members_clear(&members);
	disk_clear(&disk);
}

static void test_partitions_outside_of_a_truncated_image(void **state)
{
	struct disk disk = disk_new(512, 10);

	disk_put_entry(&disk, 0, 0, 0, 0x83, 8, 8);
	disk_put_entry(&disk, 0, 1, 0, 0x83, UINT32_MAX, UINT32_MAX);
	assert_members(&detector_partition, disk.data, disk.size, NULL,
		       "file p1 4096+4096\nfile p2 2199023255040+2199023255040\n");
	disk_clear(&disk);
}

/* --- what is no MBR ----------------------------------------------------------------------------- */

static void test_a_boot_sector_without_partitions_is_no_table(void **state)
{
	struct disk disk = disk_new(512, 64);

	disk.data[510] = 0x55;
	disk.data[511] = 0xaa;
	assert_not_for(&detector_partition, disk.data, disk.size);
	memset(disk.data, 'x', 510); /* text or code where entries would be */
	assert_not_for(&detector_partition, disk.data, disk.size);
	disk_clear(&disk);
}

static void test_an_entry_that_cannot_be_one_makes_it_no_table(void **state)
{
	struct disk disk = disk_new(512, 64);

	disk_put_entry(&disk, 0, 0, 0, 0x83, 8, 8);
	disk_put_entry(&disk, 0, 1, 0x7f, 0, 0, 0);
	assert_not_for(&detector_partition, disk.data, disk.size);
	disk_clear(&disk);
}

/* As mkfs.fat --mbr makes it for the whole of a stick. */
static void test_a_partition_that_has_the_mbr_in_it_is_none(void **state)
{
	struct disk disk = disk_new(512, 64);

	disk_put_entry(&disk, 0, 0, 0x80, 0x0c, 0, 64);
	assert_not_for(&detector_partition, disk.data, disk.size);
	disk_clear(&disk);
}

static void test_a_table_whose_partitions_are_all_outside_is_none(void **state)
{
	struct disk disk = disk_new(512, 8);

	disk_put_entry(&disk, 0, 0, 0, 0x83, 8, 8);
	assert_not_for(&detector_partition, disk.data, disk.size);
	disk_clear(&disk);
}

static void test_a_file_system_with_a_table_needs_a_good_one(void **state)
{
	static const struct {
		size_t offset;
		const char *name;
	} file_systems[] = {
		{ 3, "NTFS    " }, { 3, "EXFAT   " }, { 54, "FAT16   " }, { 82, "FAT32   " }
	};

	for (size_t i = 0; i < COUNT(file_systems); i++) {
		struct disk disk = disk_new(512, 64);

		memcpy(disk.data + file_systems[i].offset, file_systems[i].name, 8);
		disk_put_entry(&disk, 0, 0, 0, 0x83, 8, 56);
		assert_members(&detector_partition, disk.data, disk.size, NULL,
			       "file p1 4096+28672\n");
		disk_put_entry(&disk, 0, 0, 0, 0x83, 8, 57);
		assert_not_for(&detector_partition, disk.data, disk.size);
		disk_clear(&disk);
	}
}

static void test_a_protective_mbr_alone_is_no_table(void **state)
{
	const struct detector_options dos = { .format = "dos" };
	struct disk disk = disk_new(512, 64);

	disk_put_entry(&disk, 0, 0, 0, 0xee, 1, 63);
	assert_not_for(&detector_partition, disk.data, disk.size);
	assert_members(&detector_partition, disk.data, disk.size, &dos, "file p1 512+32256\n");
	disk_clear(&disk);
}

static void test_too_few_bytes_are_no_table(void **state)
{
	struct disk disk = disk_new(512, 2);

	disk_put_entry(&disk, 0, 0, 0, 0x83, 1, 1);
	for (size_t size = 0; size <= 512; size++)
		assert_not_for(&detector_partition, disk.data, size);
	disk_clear(&disk);
}

/* --- logical partitions ------------------------------------------------------------------------- */

/* p1, and an extended partition from sector 8 on with three logical ones. */
static struct disk disk_with_chain(size_t sector_size)
{
	struct disk disk = disk_new(sector_size, 64);

	disk_put_entry(&disk, 0, 0, 0, 0x83, 4, 4);
	disk_put_entry(&disk, 0, 1, 0, 0x05, 8, 56);
	disk_put_entry(&disk, 8, 0, 0, 0x83, 2, 2);
	disk_put_entry(&disk, 8, 1, 0, 0x05, 8, 8);
	disk_put_entry(&disk, 16, 0, 0, 0x82, 1, 7);
	disk_put_entry(&disk, 16, 1, 0, 0x05, 24, 8);
	disk_put_entry(&disk, 32, 0, 0, 0x83, 1, 1);
	return disk;
}

#define EXTENDED "left out 1 extended partition\n"

static void test_logical_partitions_count_from_5(void **state)
{
	struct disk disk = disk_with_chain(512);

	assert_members(&detector_partition, disk.data, disk.size, NULL,
		       EXTENDED "file p1 2048+2048\nfile p5 5120+1024\nfile p6 8704+3584\n"
				"file p7 16896+512\n");
	disk_clear(&disk);
}

/* The chain of EBRs is only where it is when sectors are of the right size. */
static void test_a_chain_tells_the_size_of_sectors(void **state)
{
	struct disk disk = disk_with_chain(4096);

	assert_members(&detector_partition, disk.data, disk.size, NULL,
		       EXTENDED "file p1 16384+16384\nfile p5 40960+8192\nfile p6 69632+28672\n"
				"file p7 135168+4096\n");
	disk_clear(&disk);
}

static void test_a_chain_that_bites_its_tail(void **state)
{
	struct disk disk = disk_with_chain(512);

	disk_put_entry(&disk, 32, 1, 0, 0x05, 8, 8);
	assert_members(&detector_partition, disk.data, disk.size, NULL,
		       "note the chain of logical partitions bites its tail\n" EXTENDED
		       "file p1 2048+2048\nfile p5 5120+1024\nfile p6 8704+3584\n"
		       "file p7 16896+512\n");
	disk_clear(&disk);
}

static void test_a_chain_that_breaks_off(void **state)
{
	struct disk disk = disk_with_chain(512);

	disk_sector(&disk, 32)[510] = 0;
	assert_members(&detector_partition, disk.data, disk.size, NULL,
		       "note the chain of logical partitions is broken\n" EXTENDED
		       "file p1 2048+2048\nfile p5 5120+1024\nfile p6 8704+3584\n");
	disk_clear(&disk);
}

static void test_a_chain_that_leads_out_of_a_truncated_image(void **state)
{
	struct disk disk = disk_with_chain(512);

	assert_members(&detector_partition, disk.data, 33 * 512 - 1, NULL,
		       "note the chain of logical partitions leads out of the image\n" EXTENDED
		       "file p1 2048+2048\nfile p5 5120+1024\nfile p6 8704+3584\n");
	assert_members(&detector_partition, disk.data, 8 * 512, NULL,
		       "note the chain of logical partitions leads out of the image\n" EXTENDED
		       "file p1 2048+2048\n");
	disk_clear(&disk);
}

static struct disk disk_with_long_chain(size_t logical)
{
	struct disk disk = disk_new(512, 2 * logical + 2);

	disk_put_entry(&disk, 0, 0, 0, 0x05, 2, (uint32_t)(2 * logical));
	for (size_t i = 0; i < logical; i++) {
		disk_put_entry(&disk, 2 + 2 * i, 0, 0, 0x83, 1, 1);
		if (i + 1 < logical)
			disk_put_entry(&disk, 2 + 2 * i, 1, 0, 0x05, (uint32_t)(2 * i + 2), 2);
	}
	return disk;
}

static void test_as_many_partitions_as_libfdisk_takes(void **state)
{
	for (size_t logical = 56; logical <= 57; logical++) {
		struct disk disk = disk_with_long_chain(logical);
		struct members members =
			members_of(&detector_partition, disk.data, disk.size, NULL, false);

		assert_result(members.result, 0);
		assert_non_null(strstr(members.text, "\nfile p60 57856+512\n"));
		assert_null(strstr(members.text, "file p61"));
		assert_int_equal(strncmp(members.text, "note there are more logical partitions",
					 38) == 0,
				 logical == 57);
		members_clear(&members);
		disk_clear(&disk);
	}
}

/* --- sectors ------------------------------------------------------------------------------------ */

static void test_contents_tell_the_size_of_sectors(void **state)
{
	struct disk disk = disk_new(2048, 64);

	disk_put_entry(&disk, 0, 0, 0, 0x83, 8, 56);
	assert_members(&detector_partition, disk.data, disk.size, NULL, "file p1 4096+28672\n");
	memcpy(disk.data + 8 * 2048 + 1080, "\x53\xef", 2); /* ext4 */
	assert_members(&detector_partition, disk.data, disk.size, NULL, "file p1 16384+114688\n");
	disk_put_entry(&disk, 0, 0, 0, 0x83, 8, 57); /* but not one that ends outside */
	assert_members(&detector_partition, disk.data, disk.size, NULL, "file p1 4096+29184\n");
	disk_put_entry(&disk, 0, 0, 0, 0x83, 8, 56);
	memcpy(disk.data + 8 * 512, "XFSB", 4); /* 512 is more likely */
	assert_members(&detector_partition, disk.data, disk.size, NULL, "file p1 4096+28672\n");
	disk_clear(&disk);
}

static void test_the_size_of_sectors_may_be_said(void **state)
{
	struct detector_options options = { .sector_size = 1024 };
	struct disk disk = disk_new(512, 64);
	struct bytes bytes = { disk.data, disk.size };

	disk_put_entry(&disk, 0, 0, 0, 0x83, 4, 4);
	assert_members(&detector_partition, disk.data, disk.size, &options, "file p1 4096+4096\n");
	for (options.sector_size = 1; options.sector_size <= 8192; options.sector_size++)
		assert_int_equal(detector_partition.probe(&bytes, &options),
				 options.sector_size == 512 || options.sector_size == 1024 ||
					 options.sector_size == 2048 ||
					 options.sector_size == 4096);
	disk_clear(&disk);
}

/* detect() may be asked without probe(). */
static int take_note(struct sink *sink, const char *text)
{
	assert_string_equal(text, "no partition table is found");
	return 0;
}

static void test_no_table_is_said_so(void **state)
{
	const struct detector_options options = { 0 };
	struct disk disk = disk_new(512, 8);
	const struct bytes bytes = { disk.data, disk.size };
	struct sink sink = { .note = take_note };

	assert_result(detector_partition.detect(&bytes, &options, &sink), -EINVAL);
	disk_clear(&disk);
}

/* --- gaps --------------------------------------------------------------------------------------- */

static void test_gaps_are_all_that_no_partition_has(void **state)
{
	const struct detector_options options = { .gaps = true };
	struct disk disk = disk_new(512, 64);

	/* Out of order, overlapping, adjacent, and past the end. */
	disk_put_entry(&disk, 0, 0, 0, 0x83, 40, 4);
	disk_put_entry(&disk, 0, 1, 0, 0x83, 8, 8);
	disk_put_entry(&disk, 0, 2, 0, 0x83, 10, 2);
	disk_put_entry(&disk, 0, 3, 0, 0x83, 16, 4);
	assert_members(&detector_partition, disk.data, disk.size, &options,
		       "file p1 20480+2048\nfile p2 4096+4096\nfile p3 5120+1024\n"
		       "file p4 8192+2048\n"
		       "file gap1 0+4096\nfile gap2 10240+10240\nfile gap3 22528+10240\n");
	disk_put_entry(&disk, 0, 0, 0, 0x83, 70, 4);
	assert_members(&detector_partition, disk.data, disk.size, &options,
		       "file p1 35840+2048\nfile p2 4096+4096\nfile p3 5120+1024\n"
		       "file p4 8192+2048\nfile gap1 0+4096\nfile gap2 10240+22528\n");
	disk_put_entry(&disk, 0, 0, 0, 0x83, 40, 24);
	assert_members(&detector_partition, disk.data, disk.size - 1, &options,
		       "file p1 20480+12288\nfile p2 4096+4096\nfile p3 5120+1024\n"
		       "file p4 8192+2048\nfile gap1 0+4096\nfile gap2 10240+10240\n");
	disk_clear(&disk);
}

static void test_a_gap_says_what_it_is(void **state)
{
	const struct detector_options options = { .gaps = true };
	struct disk disk = disk_new(512, 8);
	struct members members;

	disk_put_entry(&disk, 0, 0, 0, 0, 1, 7);
	disk_put_entry(&disk, 0, 1, 0, 0x83, 4, 4);
	members = members_of(&detector_partition, disk.data, disk.size, &options, true);
	assert_non_null(strstr(members.text, "file gap1 0+512 [dos type=unallocated]\n"));
	members_clear(&members);
	disk_clear(&disk);
}

/* --- BSD, SGI, SUN ------------------------------------------------------------------------------ */

static void put_bsd(struct disk *disk, size_t index, uint32_t start, uint32_t count,
		    unsigned char type)
{
	unsigned char *entry = disk->data + 512 + 148 + index * 16;

	put32(entry, count);
	put32(entry + 4, start);
	entry[12] = type;
	put16(disk->data + 512 + 138, 8);
	disk_seal_bsd(disk);
}

static void test_bsd_partitions_have_letters_too(void **state)
{
	struct disk disk = disk_new(512, 64);

	put_bsd(&disk, 0, 16, 16, 7);
	put_bsd(&disk, 2, 0, 64, 0);
	put_bsd(&disk, 4, 32, 32, 7);
	assert_members(&detector_partition, disk.data, disk.size, NULL,
		       "left out 1 whole disk\nfile p1-a 8192+8192\nfile p5-e 16384+16384\n");
	disk.data[512 + 40] ^= 1;
	assert_not_for(&detector_partition, disk.data, disk.size); /* the checksum */
	disk_clear(&disk);
}

static void test_a_bsd_label_may_count_from_the_disks_start(void **state)
{
	struct disk disk = disk_new(512, 64);

	put_bsd(&disk, 0, 1016, 16, 7);
	put_bsd(&disk, 1, 10, 16, 7);
	put_bsd(&disk, 2, 1000, 64, 0);
	put_bsd(&disk, 3, 0, 5000, 0);
	assert_members(&detector_partition, disk.data, disk.size, NULL,
		       "left out 1 partition before the image\nleft out 1 whole disk\n"
		       "left out 1 whole disk\nfile p1-a 8192+8192\n");
	put_bsd(&disk, 0, 16, 16, 7);
	put_bsd(&disk, 1, 0, 0, 0);
	put_bsd(&disk, 2, 32, 16, 7); /* an ordinary one */
	assert_members(&detector_partition, disk.data, disk.size, NULL,
		       "left out 1 whole disk\nfile p1-a 8192+8192\nfile p3-c 16384+8192\n");
	disk_clear(&disk);
}

static void test_an_openbsd_label_notes_where_it_counts_from(void **state)
{
	struct disk disk = disk_new(512, 64);
	unsigned char *label = disk.data + 512;

	put16(label + 114, 1);   /* version */
	put32(label + 76, 1000); /* start of its area */
	put_bsd(&disk, 0, 1016, 16, 7);
	put_bsd(&disk, 2, 0, 5000, 0);
	assert_members(&detector_partition, disk.data, disk.size, NULL,
		       "left out 1 whole disk\nfile p1-a 8192+8192\n");
	put16(label + 148 + 8, 1); /* the upper half of a start */
	disk_seal_bsd(&disk);
	assert_not_for(&detector_partition, disk.data, disk.size);
	disk_clear(&disk);
}

static void test_a_bsd_label_knows_its_size_of_sectors(void **state)
{
	struct disk disk = disk_new(512, 64);

	put32(disk.data + 512 + 40, 2048);
	put_bsd(&disk, 0, 4, 4, 7);
	assert_members(&detector_partition, disk.data, disk.size, NULL, "file p1-a 8192+8192\n");
	disk_clear(&disk);
}

static void test_sgi(void **state)
{
	struct disk disk = disk_new(512, 64);
	unsigned char *entries = disk.data + 312;

	put32_big(entries, 16);
	put32_big(entries + 4, 8);
	put32_big(entries + 8, 10);
	put32_big(entries + 8 * 12, 8); /* the volume header */
	put32_big(entries + 10 * 12, 64);
	put32_big(entries + 10 * 12 + 8, 6); /* all of the disk */
	disk_seal_sgi(&disk);
	assert_members(&detector_partition, disk.data, disk.size, NULL,
		       "left out 1 whole disk\nfile p1 4096+8192\nfile p9 0+4096\n");
	disk.data[100] ^= 1;
	assert_not_for(&detector_partition, disk.data, disk.size);
	disk_clear(&disk);
}

static void test_sun(void **state)
{
	struct disk disk = disk_new(512, 64);

	put16_big(disk.data + 436, 2); /* tracks */
	put16_big(disk.data + 438, 4); /* sectors */
	put32_big(disk.data + 444, 1); /* start in cylinders of 2 * 4 */
	put32_big(disk.data + 448, 16);
	put16_big(disk.data + 142, 0x83);
	put32_big(disk.data + 464, 64);
	put16_big(disk.data + 150, 5); /* all of the disk */
	disk_seal_sun(&disk);
	assert_members(&detector_partition, disk.data, disk.size, NULL,
		       "left out 1 whole disk\nfile p1 4096+8192\n");
	disk.data[0] ^= 1;
	assert_not_for(&detector_partition, disk.data, disk.size);
	disk_clear(&disk);
}

/* --- formats ------------------------------------------------------------------------------------ */

static void test_only_the_format_that_is_named(void **state)
{
	static const char *const names[] = { "gpt", "dos", "mbr", "bsd", "sgi", "sun" };
	struct disk disk = disk_new(512, 64);
	struct bytes bytes = { disk.data, disk.size };

	disk_put_entry(&disk, 0, 0, 0, 0x83, 8, 8);
	for (size_t i = 0; i < COUNT(names); i++) {
		const struct detector_options options = { .format = names[i] };

		assert_int_equal(detector_partition.probe(&bytes, &options), i == 1 || i == 2);
	}
	disk_clear(&disk);
}

static void test_a_named_format_is_taken_where_nothing_is_sure(void **state)
{
	const struct detector_options mbr = { .format = "mbr" };
	struct disk disk = disk_new(512, 64);

	disk_put_gpt(&disk, &(struct gpt_entry){ 10, 19, L"root", 0 }, 1);
	disk_put_entry(&disk, 0, 1, 0, 0x83, 0, 64);
	assert_members(&detector_partition, disk.data, disk.size, NULL, "file p1-root 5120+5120\n");
	assert_members(&detector_partition, disk.data, disk.size, &mbr,
		       "file p1 512+32256\nfile p2 0+32768\n");
	disk_clear(&disk);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_primary_partitions_with_attributes),
		cmocka_unit_test(test_partitions_outside_of_a_truncated_image),
		cmocka_unit_test(test_a_boot_sector_without_partitions_is_no_table),
		cmocka_unit_test(test_an_entry_that_cannot_be_one_makes_it_no_table),
		cmocka_unit_test(test_a_partition_that_has_the_mbr_in_it_is_none),
		cmocka_unit_test(test_a_table_whose_partitions_are_all_outside_is_none),
		cmocka_unit_test(test_a_file_system_with_a_table_needs_a_good_one),
		cmocka_unit_test(test_a_protective_mbr_alone_is_no_table),
		cmocka_unit_test(test_too_few_bytes_are_no_table),
		cmocka_unit_test(test_logical_partitions_count_from_5),
		cmocka_unit_test(test_a_chain_tells_the_size_of_sectors),
		cmocka_unit_test(test_a_chain_that_bites_its_tail),
		cmocka_unit_test(test_a_chain_that_breaks_off),
		cmocka_unit_test(test_a_chain_that_leads_out_of_a_truncated_image),
		cmocka_unit_test(test_as_many_partitions_as_libfdisk_takes),
		cmocka_unit_test(test_contents_tell_the_size_of_sectors),
		cmocka_unit_test(test_the_size_of_sectors_may_be_said),
		cmocka_unit_test(test_no_table_is_said_so),
		cmocka_unit_test(test_gaps_are_all_that_no_partition_has),
		cmocka_unit_test(test_a_gap_says_what_it_is),
		cmocka_unit_test(test_bsd_partitions_have_letters_too),
		cmocka_unit_test(test_a_bsd_label_may_count_from_the_disks_start),
		cmocka_unit_test(test_an_openbsd_label_notes_where_it_counts_from),
		cmocka_unit_test(test_a_bsd_label_knows_its_size_of_sectors),
		cmocka_unit_test(test_sgi),
		cmocka_unit_test(test_sun),
		cmocka_unit_test(test_only_the_format_that_is_named),
		cmocka_unit_test(test_a_named_format_is_taken_where_nothing_is_sure),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
