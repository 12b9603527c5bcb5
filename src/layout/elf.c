/* SPDX-License-Identifier: MIT */
/* ELF: what its two tables say lies in the file. Objects, programs and libraries:
 *
 *   sections/.text      a section by its name; section7 without one
 *   segments/02-LOAD    a segment by its number, as `readelf -l` counts, and type
 *
 * and of a core dump, in which segments are the memory of a process:
 *
 *   memory/00007f12ab000000-00007f12ab021000      a PT_LOAD; the addresses that the file holds
 *   segments/00-NOTE                              the others
 *
 * libelf reads both tables: either width, either byte order. It only ever reads the bytes; what it
 * has to turn around, it copies first. Its readers of names and of compression headers are not
 * used: to find that a string ends in its table it may search all of the table each time, and it
 * copies all of a section to turn its first bytes.
 */
#include "detector.h"

#include "load.h"
#include "overflow.h"

#include <errno.h>
#include <gelf.h>
#include <inttypes.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>

/* Of a section's name; those of C++ are the longest. */
#define NAME_MAX_LENGTH 4095

/* Newer than some elf.h. */
#ifndef SHT_RELR
#define SHT_RELR 19
#endif
#ifndef SHF_GNU_RETAIN
#define SHF_GNU_RETAIN (1 << 21)
#endif
#ifndef ELFCOMPRESS_ZSTD
#define ELFCOMPRESS_ZSTD 2
#endif

struct reader {
	const struct bytes *bytes;
	struct sink *sink;
	Elf *elf;
	GElf_Ehdr header;
	GElf_Shdr strings; /* the section of sections' names; size 0: none */
	uint64_t no_bytes;
	uint64_t malformed;
};

/* A member that is made: its one piece, and room for what is said of it. */
struct part {
	char name[sizeof("sections/") + NAME_MAX_LENGTH];
	struct piece piece;
	struct attribute attributes[8];
	size_t attribute_count;
	char text[8][24];
};

struct type_name {
	uint32_t type;
	const char *name;
};

/* As `readelf -S` has them. */
static const struct type_name section_types[] = {
	{ SHT_NULL, "NULL" },
	{ SHT_PROGBITS, "PROGBITS" },
	{ SHT_SYMTAB, "SYMTAB" },
	{ SHT_STRTAB, "STRTAB" },
	{ SHT_RELA, "RELA" },
	{ SHT_HASH, "HASH" },
	{ SHT_DYNAMIC, "DYNAMIC" },
	{ SHT_NOTE, "NOTE" },
	{ SHT_REL, "REL" },
	{ SHT_SHLIB, "SHLIB" },
	{ SHT_DYNSYM, "DYNSYM" },
	{ SHT_INIT_ARRAY, "INIT_ARRAY" },
	{ SHT_FINI_ARRAY, "FINI_ARRAY" },
	{ SHT_PREINIT_ARRAY, "PREINIT_ARRAY" },
	{ SHT_GROUP, "GROUP" },
	{ SHT_SYMTAB_SHNDX, "SYMTAB SECTION INDICES" },
	{ SHT_RELR, "RELR" },
	{ SHT_GNU_ATTRIBUTES, "GNU_ATTRIBUTES" },
	{ SHT_GNU_HASH, "GNU_HASH" },
	{ SHT_GNU_LIBLIST, "GNU_LIBLIST" },
	{ SHT_GNU_verdef, "VERDEF" },
	{ SHT_GNU_verneed, "VERNEED" },
	{ SHT_GNU_versym, "VERSYM" },
	{ 0, NULL },
};

/* As `readelf -l` has them. */
static const struct type_name segment_types[] = {
	{ PT_NULL, "NULL" },
	{ PT_LOAD, "LOAD" },
	{ PT_DYNAMIC, "DYNAMIC" },
	{ PT_INTERP, "INTERP" },
	{ PT_NOTE, "NOTE" },
	{ PT_SHLIB, "SHLIB" },
	{ PT_PHDR, "PHDR" },
	{ PT_TLS, "TLS" },
	{ PT_GNU_EH_FRAME, "GNU_EH_FRAME" },
	{ PT_GNU_STACK, "GNU_STACK" },
	{ PT_GNU_RELRO, "GNU_RELRO" },
	{ PT_GNU_PROPERTY, "GNU_PROPERTY" },
	{ 0, NULL },
};

static void type_format(const struct type_name *names, uint32_t type, char *text, size_t size)
{
	while (names->name && names->type != type)
		names++;
	if (names->name)
		snprintf(text, size, "%s", names->name);
	else
		snprintf(text, size, "0x%" PRIx32, type);
}

/* ret holds a letter for each of the flags that has one, as `readelf -S` writes them. */
static void section_flags_format(const GElf_Ehdr *header, uint64_t flags, char *ret)
{
	static const char letters[] = "WAX MSILOGTC";
	const unsigned char abi = header->e_ident[EI_OSABI];

	for (size_t bit = 0; letters[bit]; bit++)
		if (letters[bit] != ' ' && flags & 1ULL << bit)
			*ret++ = letters[bit];
	if (flags & SHF_GNU_RETAIN && (abi == ELFOSABI_GNU || abi == ELFOSABI_FREEBSD))
		*ret++ = 'R';
	if (flags & SHF_EXCLUDE)
		*ret++ = 'E';
	*ret = '\0';
}

__attribute__((format(printf, 3, 4))) static void part_attribute(struct part *part, const char *key,
								 const char *format, ...)
{
	size_t index = part->attribute_count++;
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(part->text[index], sizeof(part->text[index]), format, arguments);
	va_end(arguments);
	part->attributes[index] = (struct attribute){ key, part->text[index] };
}

/* A part may lie beyond the end of a truncated file; its offset and length are what they should be. */
static int part_give(struct reader *reader, const struct part *part)
{
	const struct member member = {
		.kind = MEMBER_FILE,
		.name = part->name,
		.format = "elf",
		.pieces = &part->piece,
		.piece_count = 1,
		.attributes = part->attributes,
		.attribute_count = part->attribute_count,
	};
	uint64_t end;

	if (add_overflows(part->piece.offset, part->piece.length, &end)) {
		reader->malformed++;
		return 0;
	}
	return reader->sink->member(reader->sink, &member);
}

/* Puts the name into name, of size bytes; false where the table has none for it. */
static bool section_name(const struct reader *reader, const GElf_Shdr *section, char *name,
			 size_t size)
{
	const GElf_Shdr *strings = &reader->strings;
	const char *from;
	size_t length;

	if (section->sh_name >= strings->sh_size)
		return false;
	size = min_u64(size, strings->sh_size - section->sh_name);
	from = (const char *)reader->bytes->data + strings->sh_offset + section->sh_name;
	length = strnlen(from, size);
	if (length == 0 || length == size)
		return false;
	memcpy(name, from, length + 1);
	name_flatten(name);
	return true;
}

/* How the bytes of a compressed section are compressed: its first word. */
static void compression_format(const struct reader *reader, const GElf_Shdr *section, char *text,
			       size_t size)
{
	uint32_t type;

	if (section->sh_size < sizeof(type) ||
	    !bytes_hold(reader->bytes, section->sh_offset, sizeof(type))) {
		snprintf(text, size, "unknown");
		return;
	}
	type = load_le32(reader->bytes->data + section->sh_offset);
	if (reader->header.e_ident[EI_DATA] == ELFDATA2MSB)
		type = __builtin_bswap32(type);
	if (type == ELFCOMPRESS_ZLIB || type == ELFCOMPRESS_ZSTD)
		snprintf(text, size, "%s", type == ELFCOMPRESS_ZLIB ? "zlib" : "zstd");
	else
		snprintf(text, size, "0x%" PRIx32, type);
}

static int give_section(struct reader *reader, size_t index, const GElf_Shdr *section)
{
	struct part part = { .piece = { section->sh_offset, section->sh_size } };
	const size_t folder = strlen("sections/");
	char text[24];

	if (section->sh_type == SHT_NOBITS || section->sh_size == 0) {
		reader->no_bytes++;
		return 0;
	}
	memcpy(part.name, "sections/", folder);
	if (!section_name(reader, section, part.name + folder, sizeof(part.name) - folder))
		snprintf(part.name + folder, sizeof(part.name) - folder, "section%zu", index);
	part_attribute(&part, "index", "%zu", index);
	type_format(section_types, section->sh_type, text, sizeof(text));
	part_attribute(&part, "type", "%s", text);
	section_flags_format(&reader->header, section->sh_flags, text);
	if (*text)
		part_attribute(&part, "flags", "%s", text);
	if (section->sh_flags & SHF_ALLOC)
		part_attribute(&part, "address", "0x%" PRIx64, section->sh_addr);
	part_attribute(&part, "alignment", "%" PRIu64, section->sh_addralign);
	if (section->sh_flags & SHF_COMPRESSED) {
		compression_format(reader, section, text, sizeof(text));
		part_attribute(&part, "compressed", "%s", text);
	}
	return part_give(reader, &part);
}

/* Where the names are, if they are in the bytes. (elf_getshdrstrndx() looks for a large index in a
 * file, even where there is none.)
 */
static void find_strings(struct reader *reader)
{
	GElf_Shdr *strings = &reader->strings;
	size_t index = reader->header.e_shstrndx;
	Elf_Scn *section = elf_getscn(reader->elf, 0);

	if (index == SHN_XINDEX && section && gelf_getshdr(section, strings))
		index = strings->sh_link;
	section = elf_getscn(reader->elf, index);
	if (!section || !gelf_getshdr(section, strings) || strings->sh_type != SHT_STRTAB ||
	    strings->sh_flags & SHF_COMPRESSED || strings->sh_offset > reader->bytes->size) {
		strings->sh_size = 0;
		return;
	}
	strings->sh_size = min_u64(strings->sh_size, reader->bytes->size - strings->sh_offset);
}

static int give_sections(struct reader *reader)
{
	size_t count = 0;

	if (elf_getshdrnum(reader->elf, &count) < 0 || count == 0) {
		if (reader->header.e_shoff == 0)
			return 0;
		return reader->sink->note(reader->sink, "the table of sections is not in the file");
	}
	find_strings(reader);
	for (size_t i = 1; i < count; i++) {
		Elf_Scn *section = elf_getscn(reader->elf, i);
		GElf_Shdr header;
		int result;

		if (!section || !gelf_getshdr(section, &header))
			return reader->sink->note(reader->sink, "the table of sections is broken");
		result = give_section(reader, i, &header);
		if (result < 0)
			return result;
	}
	return 0;
}

static int give_segment(struct reader *reader, size_t index, int width, const GElf_Phdr *segment)
{
	const int digits = reader->header.e_ident[EI_CLASS] == ELFCLASS64 ? 16 : 8;
	struct part part = { .piece = { segment->p_offset, segment->p_filesz } };
	char type[24];

	if (segment->p_filesz == 0) {
		reader->no_bytes++;
		return 0;
	}
	type_format(segment_types, segment->p_type, type, sizeof(type));
	if (reader->header.e_type == ET_CORE && segment->p_type == PT_LOAD)
		snprintf(part.name, sizeof(part.name), "memory/%0*" PRIx64 "-%0*" PRIx64, digits,
			 segment->p_vaddr, digits, segment->p_vaddr + segment->p_filesz);
	else
		snprintf(part.name, sizeof(part.name), "segments/%0*zu-%s", width, index, type);
	part_attribute(&part, "index", "%zu", index);
	part_attribute(&part, "type", "%s", type);
	part_attribute(&part, "flags", "%c%c%c", segment->p_flags & PF_R ? 'r' : '-',
		       segment->p_flags & PF_W ? 'w' : '-', segment->p_flags & PF_X ? 'x' : '-');
	part_attribute(&part, "address", "0x%" PRIx64, segment->p_vaddr);
	part_attribute(&part, "memory-size", "%" PRIu64, segment->p_memsz);
	part_attribute(&part, "alignment", "%" PRIu64, segment->p_align);
	return part_give(reader, &part);
}

static int give_segments(struct reader *reader)
{
	size_t count = 0;
	int width;

	if (elf_getphdrnum(reader->elf, &count) < 0 || count == 0) {
		if (reader->header.e_phoff == 0)
			return 0;
		return reader->sink->note(reader->sink, "the table of segments is not in the file");
	}
	width = snprintf(NULL, 0, "%02zu", count - 1);
	for (size_t i = 0; i < count; i++) {
		GElf_Phdr header;
		int result;

		if (i > INT_MAX || !gelf_getphdr(reader->elf, i, &header))
			return reader->sink->note(reader->sink, "the table of segments is broken");
		result = give_segment(reader, i, width, &header);
		if (result < 0)
			return result;
	}
	return 0;
}

static int give_all(struct reader *reader)
{
	struct sink *sink = reader->sink;
	int result = give_sections(reader) ?: give_segments(reader);

	if (result == 0 && reader->no_bytes > 0)
		result = sink->left_out(sink, "no bytes", reader->no_bytes);
	if (result == 0 && reader->malformed > 0)
		result = sink->left_out(sink, "malformed", reader->malformed);
	return result;
}

static bool probe(const struct bytes *bytes, const struct detector_options *options)
{
	const unsigned char *data = bytes->data;
	bool wide;

	if (bytes->size < sizeof(Elf32_Ehdr) || memcmp(data, ELFMAG, SELFMAG) != 0)
		return false;
	wide = data[EI_CLASS] == ELFCLASS64;
	return (wide || data[EI_CLASS] == ELFCLASS32) &&
	       (data[EI_DATA] == ELFDATA2LSB || data[EI_DATA] == ELFDATA2MSB) &&
	       data[EI_VERSION] == EV_CURRENT &&
	       bytes->size >= (wide ? sizeof(Elf64_Ehdr) : sizeof(Elf32_Ehdr));
}

static int detect(const struct bytes *bytes, const struct detector_options *options,
		  struct sink *sink)
{
	struct reader reader = { .bytes = bytes, .sink = sink };
	int result;

	if (!probe(bytes, options))
		return sink->note(sink, "not an ELF file") ?: -EINVAL;
	elf_version(EV_CURRENT);
	/* Not const in its prototype, but only read: without a file to update libelf copies. */
	reader.elf = elf_memory((char *)bytes->data, bytes->size);
	if (!reader.elf || !gelf_getehdr(reader.elf, &reader.header)) {
		elf_end(reader.elf);
		return sink->note(sink, "libelf cannot read this ELF file") ?: -EINVAL;
	}
	result = give_all(&reader);
	elf_end(reader.elf);
	return result;
}

const struct detector detector_elf = {
	.name = "elf",
	.probe = probe,
	.detect = detect,
};
