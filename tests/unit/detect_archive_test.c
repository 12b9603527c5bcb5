/* SPDX-License-Identifier: MIT */
/* Archives that libarchive writes, or that are put together here where it would not write such. */
#include "members.h"

#include <archive.h>
#include <archive_entry.h>
#include <string.h>
#include <sys/mman.h>

#define ROOM (2 << 20)

static char room[ROOM];
static size_t used;

/* --- archives by libarchive -------------------------------------------------------------------- */

static struct archive *writer(int (*format)(struct archive *), const char *options)
{
	struct archive *archive = archive_write_new();

	assert_non_null(archive);
	assert_int_equal(format(archive), ARCHIVE_OK);
	assert_int_equal(archive_write_set_options(archive, options), ARCHIVE_OK);
	assert_int_equal(archive_write_set_bytes_per_block(archive, 0), ARCHIVE_OK);
	memset(room, 0, sizeof(room));
	assert_int_equal(archive_write_open_memory(archive, room, sizeof(room), &used), ARCHIVE_OK);
	return archive;
}

static struct archive_entry *entry_of(const char *name, unsigned type, size_t size)
{
	struct archive_entry *entry = archive_entry_new();

	assert_non_null(entry);
	archive_entry_copy_pathname(entry, name);
	archive_entry_set_filetype(entry, type);
	archive_entry_set_perm(entry, type == AE_IFDIR ? 0750 : 0640);
	archive_entry_set_uid(entry, 1000);
	archive_entry_set_gid(entry, 2000);
	archive_entry_set_mtime(entry, 1600000000, 0);
	archive_entry_set_size(entry, (int64_t)size);
	return entry;
}

static void add_entry(struct archive *archive, struct archive_entry *entry, const void *data)
{
	size_t size = (size_t)archive_entry_size(entry);

	assert_in_range(archive_write_header(archive, entry), 0, ARCHIVE_OK);
	if (data && size > 0)
		assert_int_equal(archive_write_data(archive, data, size), size);
	archive_entry_free(entry);
}

static void add_file(struct archive *archive, const char *name, const char *text)
{
	add_entry(archive, entry_of(name, AE_IFREG, strlen(text)), text);
}

static void finish(struct archive *archive)
{
	assert_int_equal(archive_write_close(archive), ARCHIVE_OK);
	assert_int_equal(archive_write_free(archive), ARCHIVE_OK);
}

static void assert_room(const char *wanted)
{
	assert_members(&detector_archive, room, used, NULL, wanted);
}

static void assert_attributes(const char *wanted)
{
	struct members members = members_of(&detector_archive, room, used, NULL, true);

	assert_result(members.result, 0);
	assert_string_equal(members.text, wanted);
	members_clear(&members);
}

/* Where the text is; it is there once. */
static size_t find(const char *text)
{
	const char *found = memmem(room, used, text, strlen(text));

	assert_non_null(found);
	return (size_t)(found - room);
}

/* --- what is one ------------------------------------------------------------------------------- */

static void test_zeros_and_text_are_no_archives(void **state)
{
	static const char *const texts[] = {
		"",
		"0707",
		"hello",
		"!<arch>",
		"PK",
		"#mtree\n/set\n",
		"070701 is how it begins, but no header follows, and so on until it is enough ....",
	};

	memset(room, 0, sizeof(room));
	assert_not_for(&detector_archive, room, sizeof(room));
	for (size_t i = 0; i < COUNT(texts); i++)
		assert_not_for(&detector_archive, texts[i], strlen(texts[i]));
}

static void test_random_bytes_are_no_archive(void **state)
{
	random_begin();
	for (int i = 0; i < 2000; i++) {
		random_bytes(room, 40960);
		assert_not_for(&detector_archive, room, 40960);
	}
}

static void test_a_format_that_is_named_must_be_the_one(void **state)
{
	struct detector_options options = { .format = "cpio" };
	const struct bytes bytes = { (const unsigned char *)room, sizeof(room) };
	struct archive *archive = writer(archive_write_set_format_ustar, "");

	add_file(archive, "a", "text");
	finish(archive);
	assert_false(detector_archive.probe(&bytes, &options));
	options.format = "tar";
	assert_members(&detector_archive, room, used, &options, "file a 512+4\n");
}

/* --- tar --------------------------------------------------------------------------------------- */

static void test_tar(void **state)
{
	struct archive *archive = writer(archive_write_set_format_ustar, "");
	struct archive_entry *entry;

	add_entry(archive, entry_of("dir/", AE_IFDIR, 0), NULL);
	add_file(archive, "dir/file", "some text");
	add_file(archive, "dir/empty", "");
	entry = entry_of("dir/symlink", AE_IFLNK, 0);
	archive_entry_copy_symlink(entry, "file");
	add_entry(archive, entry, NULL);
	entry = entry_of("dir/link", AE_IFREG, 0);
	archive_entry_copy_hardlink(entry, "dir/file");
	add_entry(archive, entry, NULL);
	finish(archive);
	assert_attributes(
		"directory dir/ [tar mode=0750 uid=1000 gid=2000 mtime=1600000000.000000000]\n"
		"file dir/file 1024+9 [tar mode=0640 uid=1000 gid=2000 mtime=1600000000.000000000]\n"
		"file dir/empty [tar mode=0640 uid=1000 gid=2000 mtime=1600000000.000000000]\n"
		"symlink dir/symlink -> file [tar mode=0640 uid=1000 gid=2000 "
		"mtime=1600000000.000000000]\n"
		"link dir/link -> dir/file [tar mode=0640 uid=1000 gid=2000 "
		"mtime=1600000000.000000000]\n");
}

static void test_devices_are_left_out(void **state)
{
	struct archive *archive = writer(archive_write_set_format_ustar, "");

	add_entry(archive, entry_of("null", AE_IFCHR, 0), NULL);
	add_entry(archive, entry_of("disk", AE_IFBLK, 0), NULL);
	add_entry(archive, entry_of("fifo", AE_IFIFO, 0), NULL);
	finish(archive);
	assert_room("left out 2 device\nleft out 1 fifo\n");
}

static void test_a_sparse_file_is_pieces_with_zeros_between(void **state)
{
	struct archive *archive = writer(archive_write_set_format_pax, "");
	struct archive_entry *entry = entry_of("sparse", AE_IFREG, 300000);
	static char data[300000];
	char wanted[200];

	memset(data, 0, sizeof(data));
	memcpy(data + 100000, "first", 5);
	memcpy(data + 200000, "second", 6);
	archive_entry_sparse_add_entry(entry, 100000, 5);
	archive_entry_sparse_add_entry(entry, 200000, 6);
	add_entry(archive, entry, data);
	finish(archive);
	snprintf(wanted, sizeof(wanted),
		 "file sparse zeros+100000 %zu+5 zeros+99995 %zu+6 zeros+99994\n", find("first"),
		 find("second"));
	assert_room(wanted);
}

static void test_a_path_that_is_there_twice_is_given_twice(void **state)
{
	struct archive *archive = writer(archive_write_set_format_ustar, "");

	add_file(archive, "a", "old");
	add_file(archive, "a", "newer");
	finish(archive);
	assert_room("file a 512+3\nfile a 1536+5\n");
}

#define TAR_BLOCK 512

/* One header as an old tar would write it. */
static void old_header(char *header, const char *name, char type, unsigned size)
{
	unsigned sum = 8 * ' ';

	memset(header, 0, TAR_BLOCK);
	strcpy(header, name);
	snprintf(header + 100, 8, "%6o ", 0644);
	snprintf(header + 108, 8, "%6o ", 1);
	snprintf(header + 116, 8, "%6o ", 2);
	snprintf(header + 124, 12, "%011o", size);
	snprintf(header + 136, 12, "%011o", 1000);
	header[156] = type;
	for (int i = 0; i < TAR_BLOCK; i++)
		sum += (unsigned char)header[i];
	snprintf(header + 148, 8, "%06o", sum);
	header[155] = ' ';
}

static void test_a_tar_without_a_mark_is_known_by_its_fields(void **state)
{
	memset(room, 0, sizeof(room));
	old_header(room, "old", 0, 5);
	used = 5 * TAR_BLOCK;
	assert_attributes("file old 512+5 [tar mode=0644 uid=1 gid=2 mtime=1000.000000000]\n");
	room[0] = 'O';
	assert_not_for(&detector_archive, room, used);
	old_header(room, "old", 0, 5);
	room[300] = 1;
	room[301] = -1;
	assert_not_for(&detector_archive, room, used);
}

/* A file "file" with a pax header of one record before it. */
static void pax_file(const char *record)
{
	unsigned long sum;

	memset(room, 0, sizeof(room));
	old_header(room, "pax", 'x', (unsigned)strlen(record));
	memcpy(room + 257, "ustar\00000", 8); /* which counts in the sum */
	sum = strtoul(room + 148, NULL, 8) + 'u' + 's' + 't' + 'a' + 'r' + '0' + '0';
	snprintf(room + 148, 8, "%06lo", sum);
	strcpy(room + TAR_BLOCK, record);
	old_header(room + 2 * TAR_BLOCK, "file", '0', 0);
	used = 5 * TAR_BLOCK;
}

static void test_a_time_before_1970_with_a_fraction(void **state)
{
	pax_file("20 mtime=-1.2500000\n");
	assert_attributes("file file [tar mode=0644 uid=1 gid=2 mtime=-2.750000000]\n");
}

/* The locale is "C"; libarchive would compose the second. */
static void test_names_are_the_bytes_in_the_archive(void **state)
{
	pax_file("15 path=na\xc3\xafve\n");
	assert_room("file na\xc3\xafve\n");
	pax_file("12 path=e\xcc\x81\n");
	assert_room("file e\xcc\x81\n");
	pax_file("11 path=\xe9t\n");
	assert_room("file \xe9t\n");
}

static void test_what_is_cut_off_is_a_shorter_list(void **state)
{
	struct archive *archive = writer(archive_write_set_format_ustar, "");

	add_file(archive, "a", "first");
	add_file(archive, "b", "second");
	finish(archive);
	used = 3 * TAR_BLOCK + 3;
	assert_room("file a 512+5\nleft out 1 broken\n"
		    "note tar: the archive is broken: Truncated tar archive\n");
	used = 2 * TAR_BLOCK + 100;
	assert_room("file a 512+5\nnote tar: the archive is broken: Truncated tar archive\n");
}

/* Or headers would be found in the data of members. */
static void test_nothing_is_searched_for_behind_a_damaged_header(void **state)
{
	struct archive *archive = writer(archive_write_set_format_ustar, "");

	add_file(archive, "a", "first");
	add_file(archive, "b", "second");
	add_file(archive, "c", "third");
	finish(archive);
	room[2 * TAR_BLOCK]++;
	assert_room("file a 512+5\nnote tar: the archive is broken: Damaged tar archive\n");
}

static void test_what_is_damaged_from_the_start_is_an_error(void **state)
{
	struct archive *archive = writer(archive_write_set_format_ar_svr4, "");
	struct members members;

	add_file(archive, "a", "text");
	finish(archive);
	memcpy(room + 8 + 48, "-1        ", 10);
	members = members_of(&detector_archive, room, used, NULL, false);
	assert_result(members.result, 0);
	members_clear(&members);
	memcpy(room + 8, "/7              ", 16);
	members = members_of(&detector_archive, room, used, NULL, false);
	assert_result(members.result, -EINVAL);
	assert_string_equal(members.text,
			    "note ar: the archive is broken: Can't find long filename "
			    "for GNU/SVR4 archive entry\n");
	members_clear(&members);
}

/* --- cpio -------------------------------------------------------------------------------------- */

/* One more entry as cpio(1) writes it: the data comes with the last name. */
static void newc(const char *name, unsigned inode, unsigned links, const char *data)
{
	used += (size_t)sprintf(room + used,
				"070701%08X%08X%08X%08X%08X%08X%08zX%08X%08X%08X%08X%08zX%08X%s",
				inode, 0100644, 1, 2, links, 3, strlen(data), 0, 0, 0, 0,
				strlen(name) + 1, 0, name);
	used = (used + 4) & ~3UL;
	memcpy(room + used, data, strlen(data));
	used = (used + strlen(data) + 3) & ~3UL;
}

static void newc_begin(void)
{
	memset(room, 0, sizeof(room));
	used = 0;
}

static void test_the_name_that_has_the_data_is_the_file(void **state)
{
	char wanted[100];

	newc_begin();
	newc("first", 7, 3, "");
	newc("other", 8, 1, "else");
	newc("second", 7, 3, "");
	newc("last", 7, 3, "data");
	newc("late", 7, 3, "");
	newc("TRAILER!!!", 0, 1, "");
	snprintf(wanted, sizeof(wanted),
		 "file other %zu+4\nfile last %zu+4\nlink first -> last\nlink second -> last\n"
		 "link late -> last\n",
		 find("else"), find("data"));
	assert_room(wanted);
}

static void test_names_whose_data_never_comes_are_of_an_empty_file(void **state)
{
	newc_begin();
	newc("a", 7, 2, "");
	newc("b", 7, 2, "");
	newc("TRAILER!!!", 0, 1, "");
	assert_room("file a\nlink b -> a\n");
}

static void test_names_whose_data_is_cut_off_are_left_out(void **state)
{
	struct members members;

	newc_begin();
	newc("a", 7, 3, "");
	newc("b", 7, 3, "");
	newc("c", 7, 3, "data");
	used -= 2;
	members = members_of(&detector_archive, room, used, NULL, false);
	assert_non_null(strstr(members.text, "left out 3 broken\n"));
	assert_null(strstr(members.text, "file a"));
	assert_null(strstr(members.text, "file c"));
	members_clear(&members);
}

static void test_a_cpio_with_checksums_is_read_only(void **state)
{
	newc_begin();
	newc("a", 7, 1, "");
	newc("TRAILER!!!", 0, 1, "");
	assert_attributes("file a [cpio mode=0644 uid=1 gid=2 mtime=3.000000000]\n");
	memcpy(room, "070702", 6);
	assert_attributes("file a [cpio ro mode=0644 uid=1 gid=2 mtime=3.000000000]\n");
}

/* --- ar ---------------------------------------------------------------------------------------- */

static void test_the_index_of_a_library_is_no_member(void **state)
{
	static const char library[] =
		"!<arch>\n"
		"/               0           0     0     0       4         `\n\0\0\0\0"
		"//                                              20        `\n"
		"a-long-member-name/\n"
		"/0              0           0     0     644     3         `\nabc\n"
		"b/              12          1     2     100600  4         `\ntext";
	struct members members =
		members_of(&detector_archive, library, sizeof(library) - 1, NULL, true);

	assert_string_equal(
		members.text,
		"file a-long-member-name 212+3 [ar mode=0644 uid=0 gid=0 mtime=0.000000000]\n"
		"file b 276+4 [ar mode=0600 uid=1 gid=2 mtime=12.000000000]\n");
	members_clear(&members);
}

/* --- zip --------------------------------------------------------------------------------------- */

static void test_stored_members_of_a_zip_are_read_only(void **state)
{
	struct archive *archive = writer(archive_write_set_format_zip, "compression=store");
	struct members members;
	char wanted[100];

	add_entry(archive, entry_of("dir/", AE_IFDIR, 0), NULL);
	add_file(archive, "dir/a", "stored text");
	finish(archive);
	snprintf(wanted, sizeof(wanted),
		 "file dir/a %zu+11 [zip ro mode=0640 uid=1000 gid=2000 mtime=1600000000.0",
		 find("stored text"));
	members = members_of(&detector_archive, room, used, NULL, true);
	assert_non_null(strstr(members.text, "directory dir/ ["));
	assert_non_null(strstr(members.text, wanted));
	members_clear(&members);
}

static void test_what_is_compressed_is_counted(void **state)
{
	struct archive *archive = writer(archive_write_set_format_zip, "compression=deflate");
	char wanted[60];

	add_file(archive, "a", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa");
	add_file(archive, "b", "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb");
	assert_int_equal(archive_write_zip_set_compression_store(archive), ARCHIVE_OK);
	add_file(archive, "c", "stored");
	finish(archive);
	snprintf(wanted, sizeof(wanted), "file c %zu+6\nleft out 2 compressed\n", find("stored"));
	assert_room(wanted);
}

/* One number of so many bytes, the lowest first. */
static void put(uint64_t value, int bytes)
{
	for (int i = 0; i < bytes; i++)
		room[used++] = (char)(value >> 8 * i);
}

/* What both headers of a zip have. */
static void put_common(unsigned flags, unsigned size, const char *name)
{
	put(20, 2);
	put(flags, 2);
	put(0, 2);
	put(0x50221882, 4);
	put(0, 4);
	put(size, 4);
	put(size, 4);
	put(strlen(name), 2);
	put(0, 2);
}

/* A zip of one stored file, as most programs write it. */
static void plain_zip(const char *name, unsigned flags, unsigned size_in_directory)
{
	size_t directory;

	memset(room, 0, sizeof(room));
	used = 0;
	put(0x04034b50, 4);
	put_common(flags, 4, name);
	used += (size_t)sprintf(room + used, "%stext", name);
	directory = used;
	put(0x02014b50, 4);
	put(0x314, 2);
	put_common(flags, size_in_directory, name);
	put(0, 6);
	put(0100600UL << 16, 4);
	put(0, 4);
	used += (size_t)sprintf(room + used, "%s", name);
	directory = used - directory;
	put(0x06054b50, 4);
	put(0, 4);
	put(1, 2);
	put(1, 2);
	put(directory, 4);
	put(30 + strlen(name) + 4, 4);
	put(0, 2);
}

/* libarchive itself does not give the names that are marked as UTF-8. */
static void test_names_in_a_zip_are_the_bytes_in_it(void **state)
{
	plain_zip("na\xc3\xafve", 0x800, 4);
	assert_room("file na\xc3\xafve 36+4\n");
	plain_zip("e\xcc\x81", 0x800, 4);
	assert_room("file e\xcc\x81 33+4\n");
	plain_zip("\x81", 0, 4);
	assert_room("file \x81 31+4\n");
}

static void test_what_is_encrypted_is_counted(void **state)
{
	plain_zip("a", 1, 4);
	assert_room("left out 1 encrypted\n");
}

static void test_headers_that_contradict_each_other_are_not_believed(void **state)
{
	plain_zip("a", 0, 3);
	assert_room("left out 1 malformed\n");
}

static void test_a_zip_behind_a_program(void **state)
{
	static const char program[] = "#!/bin/sh\nexit\n";

	plain_zip("a", 0, 4);
	memmove(room + sizeof(program), room, used);
	memcpy(room, program, sizeof(program));
	used += sizeof(program);
	assert_room("file a 47+4\n");
}

static void test_a_zip_without_its_directory(void **state)
{
	plain_zip("a", 0, 4);
	used = 35;
	assert_room("note zip: there is no central directory: members may be missing\nfile a 31+4\n"
		    "note zip: the archive is broken: it ends too early\n");
}

/* --- iso --------------------------------------------------------------------------------------- */

static void test_rock_ridge_has_all_attributes(void **state)
{
	struct archive *archive =
		writer(archive_write_set_format_iso9660, "rockridge=strict,!joliet");
	struct members members;
	char wanted[200];

	add_entry(archive, entry_of("dir", AE_IFDIR, 0), NULL);
	add_file(archive, "dir/Name in mixed case", "some text");
	finish(archive);
	snprintf(wanted, sizeof(wanted),
		 "file dir/Name in mixed case %zu+9 [iso9660 mode=0640 uid=1000 gid=2000 "
		 "mtime=1600000000.000000000]\n",
		 find("some text"));
	members = members_of(&detector_archive, room, used, NULL, true);
	assert_non_null(strstr(members.text, "directory dir [iso9660 mode="));
	assert_non_null(strstr(members.text, wanted));
	members_clear(&members);
}

/* Without these, only the bytes and a time are known. */
static void test_joliet_has_names_only(void **state)
{
	struct archive *archive = writer(archive_write_set_format_iso9660, "!rockridge,joliet");
	struct members members;
	char wanted[200];

	add_file(archive, "Some longer name.txt", "some text");
	finish(archive);
	snprintf(wanted, sizeof(wanted),
		 "file Some longer name.txt %zu+9 [iso9660 mtime=", find("some text"));
	members = members_of(&detector_archive, room, used, NULL, true);
	assert_non_null(strstr(members.text, wanted));
	members_clear(&members);
}

/* --- others ------------------------------------------------------------------------------------ */

static void test_a_7zip_archive_shows_what_is_stored_and_counts_the_rest(void **state)
{
	struct archive *archive = writer(archive_write_set_format_7zip, "compression=store");
	char wanted[60];

	add_file(archive, "a", "stored text");
	finish(archive);
	snprintf(wanted, sizeof(wanted), "file a %zu+11\n", find("stored text"));
	assert_room(wanted);

	archive = writer(archive_write_set_format_7zip, "compression=lzma1");
	add_file(archive, "a", "text");
	add_file(archive, "b", "more text");
	add_file(archive, "empty", "");
	finish(archive);
	assert_room("file empty\nleft out 2 compressed\n");
}

static void test_lha_and_rar_archives_of_stored_files(void **state)
{
	static const char lha[] =
		"\x1e\xca-lh0-\n\0\0\0\n\0\0\0\x82\x18\"P \1\5file1\2\xfeU\0\0hello lha\n";
	static const char rar[] =
		"Rar!\x1a\7\0\xcf\x90s\0\0\r\0\0\0\0\0\0\0X\xa9t\0\x80*\0\n\0\0\0"
		"\n\0\0\0\3\x9d\xd2\x80\xb1\x82\x18\"P\0240\n\0\xa4\x81\0\0stored.txt"
		"hello rar\n\xc4={\0@\7";
	static const char rar5[] = "Rar!\x1a\7\1\0\xc5\x1a"
				   "32\3\1\0\0\xc7"
				   "9\x91t\x1a\2\2\v\4\v\xa4\x83\2"
				   "\x84"
				   "C\6\xe4\0\1\vstored5.txthello rar5\n\x19\xb2:5\3\5\0";

	assert_members(&detector_archive, lha, sizeof(lha), NULL, "file file1 32+10\n");
	assert_members(&detector_archive, rar, sizeof(rar), NULL, "file stored.txt 62+10\n");
	assert_members(&detector_archive, rar5, sizeof(rar5), NULL, "file stored5.txt 47+11\n");
}

/* --- memory ------------------------------------------------------------------------------------ */

/* The pages of the data cannot be read: a look at them would end the test. The format is named, since
 * to guess it is to look where marks may be.
 */
static void assert_data_untouched(int (*format)(struct archive *), const char *options,
				  const char *name)
{
	const struct detector_options named = { .format = name };
	static char data[300000];
	struct archive *archive = writer(format, options);
	struct members members;
	const char *piece;
	size_t first;
	char *mapped;

	memset(data, 'x', sizeof(data));
	add_entry(archive, entry_of("big", AE_IFREG, sizeof(data)), data);
	add_file(archive, "small", "text");
	finish(archive);
	mapped = mmap(NULL, ROOM, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_ptr_not_equal(mapped, MAP_FAILED);
	memcpy(mapped, room, used);
	first = (find("xxxxxxxx") + 4095) & ~4095UL;
	assert_int_equal(mprotect(mapped + first, 290000 & ~4095UL, PROT_NONE), 0);
	members = members_of(&detector_archive, mapped, used, &named, false);
	piece = strstr(members.text, "file big ");
	assert_non_null(piece);
	assert_int_equal(strtoul(piece + strlen("file big "), NULL, 10), find("xxxxxxxx"));
	assert_non_null(strstr(members.text, "file small "));
	members_clear(&members);
	assert_int_equal(munmap(mapped, ROOM), 0);
}

static void test_data_is_not_looked_at(void **state)
{
	assert_data_untouched(archive_write_set_format_ustar, "", "tar");
	assert_data_untouched(archive_write_set_format_pax, "", "tar");
	assert_data_untouched(archive_write_set_format_cpio_newc, "", "cpio");
	assert_data_untouched(archive_write_set_format_ar_svr4, "", "ar");
	assert_data_untouched(archive_write_set_format_zip, "compression=store", "zip");
	assert_data_untouched(archive_write_set_format_iso9660, "", "iso");
	assert_data_untouched(archive_write_set_format_warc, "", "warc");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_zeros_and_text_are_no_archives),
		cmocka_unit_test(test_random_bytes_are_no_archive),
		cmocka_unit_test(test_a_format_that_is_named_must_be_the_one),
		cmocka_unit_test(test_tar),
		cmocka_unit_test(test_devices_are_left_out),
		cmocka_unit_test(test_a_sparse_file_is_pieces_with_zeros_between),
		cmocka_unit_test(test_a_path_that_is_there_twice_is_given_twice),
		cmocka_unit_test(test_a_tar_without_a_mark_is_known_by_its_fields),
		cmocka_unit_test(test_a_time_before_1970_with_a_fraction),
		cmocka_unit_test(test_names_are_the_bytes_in_the_archive),
		cmocka_unit_test(test_what_is_cut_off_is_a_shorter_list),
		cmocka_unit_test(test_nothing_is_searched_for_behind_a_damaged_header),
		cmocka_unit_test(test_what_is_damaged_from_the_start_is_an_error),
		cmocka_unit_test(test_the_name_that_has_the_data_is_the_file),
		cmocka_unit_test(test_names_whose_data_never_comes_are_of_an_empty_file),
		cmocka_unit_test(test_names_whose_data_is_cut_off_are_left_out),
		cmocka_unit_test(test_a_cpio_with_checksums_is_read_only),
		cmocka_unit_test(test_the_index_of_a_library_is_no_member),
		cmocka_unit_test(test_stored_members_of_a_zip_are_read_only),
		cmocka_unit_test(test_what_is_compressed_is_counted),
		cmocka_unit_test(test_names_in_a_zip_are_the_bytes_in_it),
		cmocka_unit_test(test_what_is_encrypted_is_counted),
		cmocka_unit_test(test_headers_that_contradict_each_other_are_not_believed),
		cmocka_unit_test(test_a_zip_behind_a_program),
		cmocka_unit_test(test_a_zip_without_its_directory),
		cmocka_unit_test(test_rock_ridge_has_all_attributes),
		cmocka_unit_test(test_joliet_has_names_only),
		cmocka_unit_test(test_a_7zip_archive_shows_what_is_stored_and_counts_the_rest),
		cmocka_unit_test(test_lha_and_rar_archives_of_stored_files),
		cmocka_unit_test(test_data_is_not_looked_at),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
