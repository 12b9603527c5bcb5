/* SPDX-License-Identifier: MIT */
/* The members of ELF files that are made here, of each width and byte order. */
#include "blob.h"
#include "members.h"

#include <elf.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

struct section {
	uint32_t name;
	uint32_t type;
	uint64_t flags;
	uint64_t offset;
	uint64_t size;
};

struct segment {
	uint32_t type;
	uint32_t flags;
	uint64_t offset;
	uint64_t address;
	uint64_t size;
};

/* A file that is being made: its header is there from the start, and filled in at last. */
struct file {
	struct blob blob;
	bool wide;
	uint16_t type;
	uint64_t sections;
	uint64_t segments;
	size_t section_count;
	size_t segment_count;
	size_t names; /* index of the section of names */
};

static size_t header_size(const struct file *file)
{
	return file->wide ? sizeof(Elf64_Ehdr) : sizeof(Elf32_Ehdr);
}

static void file_start(struct file *file, bool wide, bool big, uint16_t type)
{
	*file = (struct file){ .wide = wide, .type = type, .blob.big = big };
	blob_grow(&file->blob, header_size(file));
}

/* As wide as an address. */
static void add_word(struct file *file, uint64_t value)
{
	blob_number(&file->blob, file->wide ? 8 : 4, value);
}

static void add_section(struct file *file, const struct section *section)
{
	if (file->section_count++ == 0)
		file->sections = file->blob.size;
	blob_number(&file->blob, 4, section->name);
	blob_number(&file->blob, 4, section->type);
	add_word(file, section->flags);
	add_word(file, section->flags & SHF_ALLOC ? 0x400000 : 0);
	add_word(file, section->offset);
	add_word(file, section->size);
	blob_number(&file->blob, 4, 0); /* link */
	blob_number(&file->blob, 4, 0); /* info */
	add_word(file, 16);
	add_word(file, 0);
}

static void add_segment(struct file *file, const struct segment *segment)
{
	if (file->segment_count++ == 0)
		file->segments = file->blob.size;
	blob_number(&file->blob, 4, segment->type);
	if (file->wide)
		blob_number(&file->blob, 4, segment->flags);
	add_word(file, segment->offset);
	add_word(file, segment->address);
	add_word(file, 0);
	add_word(file, segment->size);
	add_word(file, segment->size + 8); /* in memory */
	if (!file->wide)
		blob_number(&file->blob, 4, segment->flags);
	add_word(file, 4096);
}

/* Counts that are too large for the header are in section 0, which is there then. */
static void file_finish(struct file *file)
{
	const size_t word = file->wide ? 8 : 4;
	struct blob *blob = &file->blob;
	size_t at = 16;

	memcpy(blob->data, ELFMAG, SELFMAG);
	blob->data[EI_CLASS] = file->wide ? ELFCLASS64 : ELFCLASS32;
	blob->data[EI_DATA] = blob->big ? ELFDATA2MSB : ELFDATA2LSB;
	blob->data[EI_VERSION] = EV_CURRENT;
	blob_set(blob, at, 2, file->type);
	blob_set(blob, at + 2, 2, file->wide ? EM_X86_64 : EM_386);
	blob_set(blob, at + 4, 4, EV_CURRENT);
	at += 8 + word;
	blob_set(blob, at, word, file->segments);
	blob_set(blob, at + word, word, file->sections);
	at += 2 * word + 4;
	blob_set(blob, at, 2, header_size(file));
	blob_set(blob, at + 2, 2, file->wide ? sizeof(Elf64_Phdr) : sizeof(Elf32_Phdr));
	blob_set(blob, at + 4, 2, file->segment_count < PN_XNUM ? file->segment_count : PN_XNUM);
	blob_set(blob, at + 6, 2, file->wide ? sizeof(Elf64_Shdr) : sizeof(Elf32_Shdr));
	blob_set(blob, at + 8, 2, file->section_count < SHN_LORESERVE ? file->section_count : 0);
	blob_set(blob, at + 10, 2, file->names < SHN_LORESERVE ? file->names : SHN_XINDEX);
	at = file->sections + 8 + 3 * word;
	if (file->section_count >= SHN_LORESERVE)
		blob_set(blob, at, word, file->section_count);
	if (file->names >= SHN_LORESERVE)
		blob_set(blob, at + word, 4, file->names);
	if (file->segment_count >= PN_XNUM)
		blob_set(blob, at + word + 4, 4, file->segment_count);
}

static void assert_file(const struct file *file, const char *wanted)
{
	struct members members =
		members_of(&detector_elf, file->blob.data, file->blob.size, NULL, true);

	assert_result(members.result, 0);
	assert_string_equal(members.text, wanted);
	members_clear(&members);
}

/* Calls test with each width and byte order. */
static void each_kind(void (*test)(bool wide, bool big))
{
	for (int kind = 0; kind < 4; kind++)
		test(kind & 1, kind & 2);
}

static const char names[] = "\0.text\0.bss\0.shstrtab\0a/b/c\0";
#define NAME_TEXT 1
#define NAME_BSS 7
#define NAME_SHSTRTAB 12
#define NAME_SLASHES 22

static void check_sections(bool wide, bool big)
{
	struct file file;
	char wanted[800];
	size_t start;

	file_start(&file, wide, big, ET_REL);
	start = file.blob.size;
	blob_add(&file.blob, names, sizeof(names));
	add_section(&file, &(struct section){ 0 });
	add_section(&file, &(struct section){ NAME_TEXT, SHT_PROGBITS, SHF_ALLOC | SHF_EXECINSTR,
					      start, 5 });
	add_section(&file, &(struct section){ NAME_BSS, SHT_NOBITS, SHF_ALLOC, 99999, 99999 });
	add_section(&file, &(struct section){ NAME_SHSTRTAB, SHT_STRTAB, 0, start, sizeof(names) });
	add_section(&file, &(struct section){ NAME_SLASHES, 0x70001234, SHF_EXCLUDE, 3, 4 });
	add_section(&file, &(struct section){ 0, SHT_NOTE, 0, 1, 2 });
	file.names = 3;
	file_finish(&file);
	snprintf(wanted, sizeof(wanted),
		 "file sections/.text %zu+5 [elf index=1 type=PROGBITS flags=AX address=0x400000 "
		 "alignment=16]\n"
		 "file sections/.shstrtab %zu+%zu [elf index=3 type=STRTAB alignment=16]\n"
		 "file sections/a_b_c 3+4 [elf index=4 type=0x70001234 flags=E alignment=16]\n"
		 "file sections/section5 1+2 [elf index=5 type=NOTE alignment=16]\n"
		 "left out 1 no bytes\n",
		 start, start, sizeof(names));
	assert_file(&file, wanted);
	blob_clear(&file.blob);
}

static void test_sections_have_their_names(void **state)
{
	each_kind(check_sections);
}

static void check_segments(bool wide, bool big)
{
	struct file file;

	file_start(&file, wide, big, ET_EXEC);
	add_segment(&file, &(struct segment){ PT_LOAD, PF_R | PF_X, 0, 0x10000, 20 });
	add_segment(&file, &(struct segment){ PT_GNU_STACK, PF_R | PF_W, 0, 0, 0 });
	add_segment(&file, &(struct segment){ 0x6abcdef0, 0, 4, 0x20000, 1 });
	file_finish(&file);
	assert_file(&file, "file segments/00-LOAD 0+20 [elf index=0 type=LOAD flags=r-x "
			   "address=0x10000 memory-size=28 alignment=4096]\n"
			   "file segments/02-0x6abcdef0 4+1 [elf index=2 type=0x6abcdef0 flags=--- "
			   "address=0x20000 memory-size=9 alignment=4096]\n"
			   "left out 1 no bytes\n");
	blob_clear(&file.blob);
}

static void test_segments_have_their_numbers(void **state)
{
	each_kind(check_segments);
}

static void check_core(bool wide, bool big)
{
	struct file file;

	file_start(&file, wide, big, ET_CORE);
	add_segment(&file, &(struct segment){ PT_NOTE, 0, 50, 0, 7 });
	add_segment(&file, &(struct segment){ PT_LOAD, PF_R | PF_W, 60, 0xab000000, 0x1000 });
	add_segment(&file, &(struct segment){ PT_LOAD, PF_R, 60, 0xac000000, 0 });
	file_finish(&file);
	blob_grow(&file.blob, 60 + 0x1000);
	assert_file(&file,
		    wide ? "file segments/00-NOTE 50+7 [elf index=0 type=NOTE flags=--- "
			   "address=0x0 memory-size=15 alignment=4096]\n"
			   "file memory/00000000ab000000-00000000ab001000 60+4096 [elf index=1 "
			   "type=LOAD flags=rw- address=0xab000000 memory-size=4104 "
			   "alignment=4096]\n"
			   "left out 1 no bytes\n"
			 : "file segments/00-NOTE 50+7 [elf index=0 type=NOTE flags=--- "
			   "address=0x0 memory-size=15 alignment=4096]\n"
			   "file memory/ab000000-ab001000 60+4096 [elf index=1 "
			   "type=LOAD flags=rw- address=0xab000000 memory-size=4104 "
			   "alignment=4096]\n"
			   "left out 1 no bytes\n");
	blob_clear(&file.blob);
}

static void test_the_memory_of_a_core_dump_is_named_by_address(void **state)
{
	each_kind(check_core);
}

static void check_compressed(bool wide, bool big)
{
	static const struct {
		uint32_t type;
		const char *wanted;
	} cases[] = { { 1, "compressed=zlib]" },
		      { 2, "compressed=zstd]" },
		      { 9, "compressed=0x9]" } };

	for (size_t i = 0; i < 3; i++) {
		struct members members;
		struct file file;

		file_start(&file, wide, big, ET_REL);
		blob_number(&file.blob, 4, cases[i].type);
		add_section(&file, &(struct section){ 0 });
		add_section(&file, &(struct section){ 0, SHT_PROGBITS, SHF_COMPRESSED,
						      header_size(&file), 4 });
		file_finish(&file);
		members = members_of(&detector_elf, file.blob.data, file.blob.size, NULL, true);
		assert_non_null(strstr(members.text, cases[i].wanted));
		members_clear(&members);
		blob_clear(&file.blob);
	}
}

static void test_a_compressed_section_says_so(void **state)
{
	each_kind(check_compressed);
}

static void check_many(bool wide, bool big)
{
	struct members members;
	struct file file;
	size_t start;

	file_start(&file, wide, big, ET_CORE);
	start = file.blob.size;
	blob_add(&file.blob, names, sizeof(names));
	for (size_t i = 0; i < 66000; i++)
		add_section(&file, &(struct section){ NAME_TEXT, SHT_PROGBITS, 0, i, 1 });
	file.names = 65999;
	blob_set(&file.blob, file.blob.size - (wide ? 60 : 36), 4, SHT_STRTAB);
	blob_set(&file.blob, file.blob.size - (wide ? 40 : 24), wide ? 8 : 4, start);
	blob_set(&file.blob, file.blob.size - (wide ? 32 : 20), wide ? 8 : 4, sizeof(names));
	for (size_t i = 0; i < 70000; i++)
		add_segment(&file, &(struct segment){ PT_LOAD, PF_R, i, 0x1000 * i, 1 });
	file_finish(&file);
	members = members_of(&detector_elf, file.blob.data, file.blob.size, NULL, true);
	assert_result(members.result, 0);
	assert_non_null(strstr(members.text, "file sections/.text 65998+1 [elf index=65998 "));
	assert_non_null(strstr(members.text, wide ? "\nfile memory/000000001116f000-"
						    "000000001116f001 69999+1 [elf index=69999 "
						  : "\nfile memory/1116f000-1116f001 69999+1 [elf "
						    "index=69999 "));
	assert_null(strstr(members.text, "note"));
	members_clear(&members);
	blob_clear(&file.blob);
}

static void test_more_sections_and_segments_than_the_header_can_count(void **state)
{
	each_kind(check_many);
}

/* Where libelf has to turn the bytes around, or cannot use them where they are, it must copy. */
static void check_untouched(bool wide, bool big)
{
	const size_t page = sysconf(_SC_PAGESIZE);

	for (size_t shift = 0; shift < 8; shift++) {
		struct members members;
		unsigned char *area;
		struct file file;
		size_t at;

		file_start(&file, wide, big, ET_EXEC);
		blob_add(&file.blob, names, sizeof(names));
		blob_grow(&file.blob, 160 + shift);
		add_segment(&file, &(struct segment){ PT_LOAD, PF_R, 1, 0, 2 });
		add_section(&file, &(struct section){ 0 });
		add_section(&file, &(struct section){ NAME_TEXT, SHT_STRTAB, 0, header_size(&file),
						      sizeof(names) });
		file.names = 1;
		file_finish(&file);

		/* At the end of the last page that there is. */
		area = mmap(NULL, 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
			    0);
		assert_ptr_not_equal(area, MAP_FAILED);
		at = page - file.blob.size;
		memcpy(area + at, file.blob.data, file.blob.size);
		assert_int_equal(mprotect(area, page, PROT_READ), 0);
		assert_int_equal(mprotect(area + page, page, PROT_NONE), 0);
		members = members_of(&detector_elf, area + at, file.blob.size, NULL, false);
		assert_result(members.result, 0);
		assert_non_null(strstr(members.text, "file sections/.text "));
		assert_non_null(strstr(members.text, "file segments/00-LOAD 1+2\n"));
		members_clear(&members);
		assert_int_equal(munmap(area, 2 * page), 0);
		blob_clear(&file.blob);
	}
}

static void test_the_bytes_are_only_read_wherever_they_are(void **state)
{
	each_kind(check_untouched);
}

static void check_truncated(bool wide, bool big)
{
	struct file file;
	size_t size;

	file_start(&file, wide, big, ET_EXEC);
	add_segment(&file, &(struct segment){ PT_LOAD, PF_R, 40, 0, 1 << 20 });
	size = file.blob.size;
	add_section(&file, &(struct section){ 0 });
	add_section(&file, &(struct section){ 0, SHT_PROGBITS, 0, 0, 1 });
	file_finish(&file);
	file.blob.size = size;
	assert_file(&file, "note the table of sections is not in the file\n"
			   "file segments/00-LOAD 40+1048576 [elf index=0 type=LOAD flags=r-- "
			   "address=0x0 memory-size=1048584 alignment=4096]\n");
	file.blob.size = header_size(&file);
	assert_file(&file, "note the table of sections is not in the file\n"
			   "note the table of segments is not in the file\n");
	blob_clear(&file.blob);
}

static void test_of_a_truncated_file_what_is_left(void **state)
{
	each_kind(check_truncated);
}

static void test_names_that_are_not_there(void **state)
{
	struct file file;
	size_t start;

	file_start(&file, true, false, ET_REL);
	start = file.blob.size;
	blob_add(&file.blob, "ab", 2);
	add_section(&file, &(struct section){ 0 });
	add_section(&file, &(struct section){ 0, SHT_PROGBITS, 0, 0, 1 });
	add_section(&file, &(struct section){ 2, SHT_STRTAB, 0, 0, 1 });
	add_section(&file, &(struct section){ UINT32_MAX, SHT_STRTAB, 0, start, 2 });
	file.names = 3;
	file_finish(&file);
	assert_members(&detector_elf, file.blob.data, file.blob.size, NULL,
		       "file sections/section1 0+1\nfile sections/section2 0+1\n"
		       "file sections/section3 64+2\n");
	/* No table of names at all, or one beyond the end. */
	for (size_t i = 0; i < 3; i++) {
		static const size_t indices[] = { 0, 77, 2 };

		file.names = indices[i];
		blob_set(&file.blob, file.sections + 2 * 64 + 24, 8, 1ULL << 40);
		file_finish(&file);
		assert_members(&detector_elf, file.blob.data, file.blob.size, NULL,
			       "file sections/section1 0+1\n"
			       "file sections/section2 1099511627776+1\n"
			       "file sections/section3 64+2\n");
	}
	blob_clear(&file.blob);
}

static void test_a_range_that_overflows_is_left_out(void **state)
{
	struct file file;

	file_start(&file, true, false, ET_EXEC);
	add_section(&file, &(struct section){ 0 });
	add_section(&file, &(struct section){ 0, SHT_PROGBITS, 0, UINT64_MAX, 2 });
	add_section(&file, &(struct section){ 0, SHT_PROGBITS, 0, 0, UINT64_MAX });
	add_segment(&file, &(struct segment){ PT_LOAD, 0, 2, 0, UINT64_MAX });
	file_finish(&file);
	assert_members(&detector_elf, file.blob.data, file.blob.size, NULL,
		       "file sections/section2 0+18446744073709551615\nleft out 2 malformed\n");
	blob_clear(&file.blob);
}

static void test_other_bytes_are_not_for_it(void **state)
{
	static const size_t places[] = { 0, 3, EI_CLASS, EI_DATA, EI_VERSION };
	struct members members;
	struct file file;

	file_start(&file, true, false, ET_EXEC);
	file_finish(&file);
	assert_members(&detector_elf, file.blob.data, file.blob.size, NULL, "");
	assert_not_for(&detector_elf, file.blob.data, file.blob.size - 1);
	assert_not_for(&detector_elf, NULL, 0);
	for (size_t i = 0; i < sizeof(places) / sizeof(*places); i++) {
		file.blob.data[places[i]] ^= 0x40;
		assert_not_for(&detector_elf, file.blob.data, file.blob.size);
		file.blob.data[places[i]] ^= 0x40;
	}
	blob_clear(&file.blob);

	/* Named by the user all the same. */
	const struct detector forced = { .detect = detector_elf.detect };

	members = members_of(&forced, "\177ELF", 4, NULL, false);
	assert_result(members.result, -EINVAL);
	assert_string_equal(members.text, "note not an ELF file\n");
	members_clear(&members);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sections_have_their_names),
		cmocka_unit_test(test_segments_have_their_numbers),
		cmocka_unit_test(test_the_memory_of_a_core_dump_is_named_by_address),
		cmocka_unit_test(test_a_compressed_section_says_so),
		cmocka_unit_test(test_more_sections_and_segments_than_the_header_can_count),
		cmocka_unit_test(test_the_bytes_are_only_read_wherever_they_are),
		cmocka_unit_test(test_of_a_truncated_file_what_is_left),
		cmocka_unit_test(test_names_that_are_not_there),
		cmocka_unit_test(test_a_range_that_overflows_is_left_out),
		cmocka_unit_test(test_other_bytes_are_not_for_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
