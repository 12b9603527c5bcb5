/* SPDX-License-Identifier: MIT */
#include "disks.h"
#include "members.h"

#include <string.h>

#define SECTORS 64

static const struct gpt_entry two[] = {
	{ 10, 19, L"EFI System Partition", 0 },
	{ 20, 29, L"root", 0 },
};

static struct disk disk_with(const struct gpt_entry *entries, size_t count)
{
	struct disk disk = disk_new(512, SECTORS);

	disk_put_gpt(&disk, entries, count);
	return disk;
}

static void test_partitions_at_each_size_of_sector(void **state)
{
	for (size_t sector_size = 512; sector_size <= 4096; sector_size *= 2) {
		struct disk disk = disk_new(sector_size, SECTORS);
		char wanted[200];

		disk_put_gpt(&disk, two, COUNT(two));
		snprintf(wanted, sizeof(wanted),
			 "file p1-EFI-System-Partition %zu+%zu\nfile p2-root %zu+%zu\n",
			 10 * sector_size, 10 * sector_size, 20 * sector_size, 10 * sector_size);
		assert_members(&detector_partition, disk.data, disk.size, NULL, wanted);
		disk_clear(&disk);
	}
}

static void test_another_size_of_sector_may_be_said(void **state)
{
	const struct detector_options right = { .sector_size = 1024 };
	const struct detector_options wrong = { .sector_size = 512 };
	struct disk disk = disk_new(1024, SECTORS);
	struct bytes bytes = { disk.data, disk.size };

	disk_put_gpt(&disk, two, COUNT(two));
	assert_true(detector_partition.probe(&bytes, &right));
	assert_false(detector_partition.probe(&bytes, &wrong));
	disk_clear(&disk);
}

static void test_attributes(void **state)
{
	const struct gpt_entry entries[] = { { 10, 19, L"a/b", 1ULL << 2 | 1ULL << 60 } };
	struct disk disk = disk_with(entries, COUNT(entries));
	struct members members = members_of(&detector_partition, disk.data, disk.size, NULL, true);

	assert_string_equal(members.text,
			    "file p1-a-b 5120+5120 [gpt number=1 "
			    "type=0FC63DAF-8483-4772-8E79-3D69D8477DE4 type-name=Linux filesystem "
			    "uuid=01010101-0101-0101-0101-010101010101 label=a/b "
			    "attrs=LegacyBIOSBootable GUID:60 sector-size=512]\n");
	members_clear(&members);
	disk_clear(&disk);
}

/* The name of the only partition, labelled so. */
static void assert_named(const wchar_t *label, const char *wanted)
{
	const struct gpt_entry entries[] = { { 10, 19, label, 0 } };
	struct disk disk = disk_with(entries, COUNT(entries));
	char line[200];

	snprintf(line, sizeof(line), "file %s 5120+5120\n", wanted);
	assert_members(&detector_partition, disk.data, disk.size, NULL, line);
	disk_clear(&disk);
}

static void test_names_are_fit_for_a_shell(void **state)
{
	assert_named(L"boot_a", "p1-boot_a");
	assert_named(L"v1.2+3", "p1-v1.2+3");
	assert_named(L"Microsoft reserved partition", "p1-Microsoft-reserved-partition");
	assert_named(L"../../etc/$(x) `y`", "p1-..-..-etc-x-y");
	assert_named(L" -rf * ", "p1-rf");
	assert_named(L"a\nb\tc\x7f"
		     L"d\x85"
		     L"e",
		     "p1-a-b-c-d-e");
	assert_named(L"Übergröße 日本", "p1-Übergröße-日本");
	assert_named(L"\U0001f4be", "p1-\U0001f4be");
	assert_named(L"a\u202eb\u2003c\u3000d\ufeffe", "p1-a-b-c-d-e");
	assert_named(L"日日日日日日日日日日日日日日日日日日日日日日日日日日日日日日日日日日日日",
		     "p1-日日日日日日日日日日日日日日日日日日日日日日日日日日日日日日日日日日日日");
}

static void test_a_label_without_letters_gives_no_name(void **state)
{
	assert_named(L"", "p1");
	assert_named(L"/ / /", "p1");
	assert_named((const wchar_t[]){ 'a', 0xd800, 'b', 0 }, "p1");
}

static void test_a_label_that_is_not_unique_gives_no_name(void **state)
{
	const struct gpt_entry entries[] = {
		{ 10, 11, L"data", 0 }, { 12, 13, L"a b", 0 },  { 14, 15, L"one", 0 },
		{ 16, 17, L"a/b", 0 },  { 18, 19, L"data", 0 },
	};
	struct disk disk = disk_with(entries, COUNT(entries));

	assert_members(&detector_partition, disk.data, disk.size, NULL,
		       "file p1 5120+1024\nfile p2 6144+1024\nfile p3-one 7168+1024\n"
		       "file p4 8192+1024\nfile p5 9216+1024\n");
	disk_clear(&disk);
}

static void test_numbers_are_those_of_the_entries(void **state)
{
	const struct gpt_entry entries[] = { { 30, 39, NULL, 0 }, { 0 }, { 10, 19, NULL, 0 } };
	struct disk disk = disk_with(entries, COUNT(entries));

	memset(disk_sector(&disk, 2) + 128, 0, 128);
	disk_seal_gpt(&disk, 1);
	assert_members(&detector_partition, disk.data, disk.size, NULL,
		       "file p1 15360+5120\nfile p3 5120+5120\n");
	disk_clear(&disk);
}

static void test_what_is_no_partition_is_counted(void **state)
{
	const struct gpt_entry entries[] = {
		{ 10, 9, NULL, 0 },
		{ 1ULL << 62, 1ULL << 63, NULL, 0 },
		{ UINT64_MAX, UINT64_MAX, NULL, 0 },
		{ INT64_MAX / 512 + 1, INT64_MAX / 512 + 1, NULL, 0 },
		{ 10, 10, NULL, 0 },
	};
	struct disk disk = disk_with(entries, COUNT(entries));

	assert_members(&detector_partition, disk.data, disk.size, NULL,
		       "left out 1 empty partition\n"
		       "left out 1 partition past any disk's end\n"
		       "left out 1 partition past any disk's end\n"
		       "left out 1 partition past any disk's end\n"
		       "file p5 5120+512\n");
	disk_clear(&disk);
}

/* --- what is broken ----------------------------------------------------------------------------- */

#define PARTITIONS "file p1-EFI-System-Partition 5120+5120\nfile p2-root 10240+5120\n"

static void test_the_backup_stands_in_for_a_broken_primary(void **state)
{
	/* The signature, the header, the entries; and all of the first sectors but the MBR. */
	static const struct {
		size_t offset, length;
	} damages[] = { { 512, 1 }, { 512 + 60, 1 }, { 1024 + 5, 1 }, { 512, 2048 } };

	for (size_t i = 0; i < COUNT(damages); i++) {
		struct disk disk = disk_with(two, COUNT(two));

		for (size_t j = 0; j < damages[i].length; j++)
			disk.data[damages[i].offset + j] ^= 0x80;
		assert_members(&detector_partition, disk.data, disk.size, NULL,
			       "note the primary GPT is broken: this is its backup\n" PARTITIONS);
		disk_clear(&disk);
	}
}

static void test_a_backup_is_found_where_a_grown_image_had_its_end(void **state)
{
	struct disk disk = disk_with(two, COUNT(two));

	disk.data = realloc(disk.data, disk.size + 10000);
	assert_non_null(disk.data);
	memset(disk.data + disk.size, 0, 10000);
	disk.size += 10000;
	assert_members(&detector_partition, disk.data, disk.size, NULL, PARTITIONS);
	disk_sector(&disk, 2)[0] ^= 1;
	assert_members(&detector_partition, disk.data, disk.size, NULL,
		       "note the primary GPT is broken: this is its backup\n" PARTITIONS);
	disk_clear(&disk);
}

static void test_a_broken_backup_is_noted(void **state)
{
	struct disk disk = disk_with(two, COUNT(two));

	disk_sector(&disk, SECTORS - 1)[70] ^= 1;
	assert_members(&detector_partition, disk.data, disk.size, NULL,
		       "note the backup of the GPT is missing or broken\n" PARTITIONS);
	disk_clear(&disk);
}

static void test_two_broken_ones_are_none(void **state)
{
	struct disk disk = disk_with(two, COUNT(two));

	disk_sector(&disk, 1)[70] ^= 1;
	disk_sector(&disk, SECTORS - 1)[70] ^= 1;
	assert_not_for(&detector_partition, disk.data, disk.size);
	disk_clear(&disk);
}

static void test_a_truncated_image_still_has_its_table(void **state)
{
	struct disk disk = disk_with(two, COUNT(two));

	assert_members(&detector_partition, disk.data, 15 * 512 + 7, NULL,
		       "note the backup of the GPT is missing or broken\n" PARTITIONS);
	assert_members(&detector_partition, disk.data, 4 * 512, NULL,
		       "note the backup of the GPT is missing or broken\n" PARTITIONS);
	assert_not_for(&detector_partition, disk.data, 4 * 512 - 1); /* cuts the entries */
	disk_clear(&disk);
}

static void test_without_a_protective_mbr_both_have_to_be_whole(void **state)
{
	const struct detector_options gpt = { .format = "gpt" };
	struct disk disk = disk_with(two, COUNT(two));

	memset(disk.data, 0, 512);
	assert_members(&detector_partition, disk.data, disk.size, NULL,
		       "note there is no protective MBR before the GPT\n" PARTITIONS);
	disk_sector(&disk, 1)[70] ^= 1;
	assert_not_for(&detector_partition, disk.data, disk.size);
	assert_members(&detector_partition, disk.data, disk.size, &gpt,
		       "note there is no protective MBR before the GPT\n"
		       "note the primary GPT is broken: this is its backup\n" PARTITIONS);
	disk_clear(&disk);
}

/* --- what is hostile ---------------------------------------------------------------------------- */

static void test_absurd_headers_with_right_checksums(void **state)
{
	static const struct {
		size_t field, size;
		uint64_t value;
	} absurd[] = {
		{ 12, 4, 91 },         { 12, 4, 513 },        { 12, 4, UINT32_MAX },
		{ 24, 8, 2 },          { 40, 8, 0 },          { 40, 8, UINT64_MAX },
		{ 48, 8, 0 },          { 48, 8, UINT64_MAX }, { 48, 8, INT64_MAX / 512 },
		{ 72, 8, UINT64_MAX }, { 72, 8, SECTORS },    { 72, 8, UINT64_MAX / 512 },
		{ 80, 4, 0 },          { 80, 4, 1 << 20 },    { 80, 4, UINT32_MAX },
		{ 84, 4, 0 },          { 84, 4, 1 },          { 84, 4, 64 },
		{ 84, 4, 129 },        { 84, 4, UINT32_MAX },
	};

	for (size_t i = 0; i < COUNT(absurd); i++) {
		struct disk disk = disk_with(two, COUNT(two));
		unsigned char *header = disk_sector(&disk, 1);

		memset(disk_sector(&disk, SECTORS - 1), 0, 512);
		if (absurd[i].size == 8)
			put64(header + absurd[i].field, absurd[i].value);
		else
			put32(header + absurd[i].field, (uint32_t)absurd[i].value);
		disk_seal_gpt(&disk, 1);
		assert_not_for(&detector_partition, disk.data, disk.size);
		disk_clear(&disk);
	}
}

static void test_a_backup_that_claims_its_own_sector(void **state)
{
	struct disk disk = disk_with(two, COUNT(two));

	disk_sector(&disk, 1)[0] ^= 1;
	put64(disk_sector(&disk, SECTORS - 1) + 48, SECTORS - 1);
	disk_seal_gpt(&disk, SECTORS - 1);
	assert_not_for(&detector_partition, disk.data, disk.size);
	disk_clear(&disk);
}

/* As many entries as the kernel takes, and one more. */
static void test_as_many_entries_as_there_may_be(void **state)
{
	struct disk disk = disk_new(512, 10000);
	unsigned char *header;
	struct members members;

	disk_put_gpt(&disk, two, COUNT(two));
	header = disk_sector(&disk, 1);
	for (uint32_t i = 2; i < 32768; i++) {
		unsigned char *entry = disk.data + 1024 + (size_t)i * 128;

		memcpy(entry, disk.data + 1024, 16);
		put64(entry + 32, 9000);
		put64(entry + 40, 9000);
		put16(entry + 56, (uint16_t)(0x4e00 + i % 20000));
	}
	put32(header + 80, 32768);
	disk_seal_gpt(&disk, 1);
	members = members_of(&detector_partition, disk.data, disk.size, NULL, false);
	assert_result(members.result, 0);
	assert_non_null(strstr(members.text, "file p1-EFI-System-Partition "));
	assert_non_null(strstr(members.text, "file p32768 4608000+512\n"));
	assert_non_null(strstr(members.text, "file p15000-")); /* the only one called so */
	members_clear(&members);

	put32(header + 80, 32769);
	disk_seal_gpt(&disk, 1);
	memset(disk_sector(&disk, 9999), 0, 512);
	assert_not_for(&detector_partition, disk.data, disk.size);
	disk_clear(&disk);
}

static void test_any_entries_with_right_checksums(void **state)
{
	const struct detector_options options = { .gaps = true };

	random_begin();
	for (int round = 0; round < 500; round++) {
		struct disk disk = disk_with(two, COUNT(two));
		unsigned char *entries = disk_sector(&disk, 2);
		struct members members;

		for (uint64_t i = random_below(200); i > 0; i--)
			entries[random_below(GPT_ENTRIES * 128)] = (unsigned char)random_u64();
		disk_seal_gpt(&disk, 1);
		members = members_of(&detector_partition, disk.data, disk.size, &options, true);
		assert_result(members.result, 0);
		members_clear(&members);
		disk_clear(&disk);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_partitions_at_each_size_of_sector),
		cmocka_unit_test(test_another_size_of_sector_may_be_said),
		cmocka_unit_test(test_attributes),
		cmocka_unit_test(test_names_are_fit_for_a_shell),
		cmocka_unit_test(test_a_label_without_letters_gives_no_name),
		cmocka_unit_test(test_a_label_that_is_not_unique_gives_no_name),
		cmocka_unit_test(test_numbers_are_those_of_the_entries),
		cmocka_unit_test(test_what_is_no_partition_is_counted),
		cmocka_unit_test(test_the_backup_stands_in_for_a_broken_primary),
		cmocka_unit_test(test_a_backup_is_found_where_a_grown_image_had_its_end),
		cmocka_unit_test(test_a_broken_backup_is_noted),
		cmocka_unit_test(test_two_broken_ones_are_none),
		cmocka_unit_test(test_a_truncated_image_still_has_its_table),
		cmocka_unit_test(test_without_a_protective_mbr_both_have_to_be_whole),
		cmocka_unit_test(test_absurd_headers_with_right_checksums),
		cmocka_unit_test(test_a_backup_that_claims_its_own_sector),
		cmocka_unit_test(test_as_many_entries_as_there_may_be),
		cmocka_unit_test(test_any_entries_with_right_checksums),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
