/* SPDX-License-Identifier: MIT
 *
 * The calls that go by a name: attributes, and what would change a folder.
 */
#include "call.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

int call_stat(struct call *call)
{
	struct stat st;

	if (!strncmp(call->argv[1], "fd:", 3) ? fstat((int)number_parse(call->argv[1] + 3), &st)
					      : lstat(call->argv[1], &st))
		return -1;
	if (!strcmp(call->argv[2], "size"))
		call->value = st.st_size;
	else if (!strcmp(call->argv[2], "blocks"))
		call->value = st.st_blocks;
	else if (!strcmp(call->argv[2], "blksize"))
		call->value = st.st_blksize;
	else if (!strcmp(call->argv[2], "ino"))
		call->value = (long long)st.st_ino;
	else if (!strcmp(call->argv[2], "nlink"))
		call->value = (long long)st.st_nlink;
	else if (!strcmp(call->argv[2], "mtime"))
		call->value = st.st_mtim.tv_sec * 1000000000LL + st.st_mtim.tv_nsec;
	else if (!strcmp(call->argv[2], "atime"))
		call->value = st.st_atim.tv_sec * 1000000000LL + st.st_atim.tv_nsec;
	else
		usage("unknown field '%s'", call->argv[2]);
	return 0;
}

int call_statfs(struct call *call)
{
	struct statvfs st;

	if (statvfs(call->argv[1], &st))
		return -1;
	if (!strcmp(call->argv[2], "bsize"))
		call->value = (long long)st.f_bsize;
	else if (!strcmp(call->argv[2], "bytes"))
		call->value = (long long)(st.f_blocks * st.f_frsize);
	else if (!strcmp(call->argv[2], "files"))
		call->value = (long long)st.f_files;
	else if (!strcmp(call->argv[2], "namemax"))
		call->value = (long long)st.f_namemax;
	else
		usage("unknown field '%s'", call->argv[2]);
	return 0;
}

static int xattr_take(ssize_t size, char *buf, struct call *call)
{
	if (size < 0) {
		free(buf);
		return -1;
	}
	call->text = buf;
	call->text_length = (size_t)size;
	return 0;
}

/* getxattr FILE NAME [SIZE]: SIZE is that of the caller's buffer; 0 only asks for the length. */
int call_getxattr(struct call *call)
{
	size_t size = call->argc > 3 ? (size_t)number_parse(call->argv[3]) : CHUNK;
	char *buf = buffer_new(size);
	ssize_t got = getxattr(call->argv[1], call->argv[2], buf, size);

	if (call->argc <= 3)
		return xattr_take(got, buf, call);
	free(buf);
	call->value = got;
	return got < 0 ? -1 : 0;
}

int call_listxattr(struct call *call)
{
	char *buf = buffer_new(CHUNK);
	ssize_t size = listxattr(call->argv[1], buf, CHUNK);
	ssize_t i;

	for (i = 0; i < size; i++)
		if (!buf[i])
			buf[i] = '\n';
	return xattr_take(size, buf, call);
}

int call_setxattr(struct call *call)
{
	return setxattr(call->argv[1], call->argv[2], call->argv[3], strlen(call->argv[3]), 0);
}

int call_removexattr(struct call *call)
{
	return removexattr(call->argv[1], call->argv[2]);
}

int call_chmod(struct call *call)
{
	return chmod(call->argv[1], (mode_t)strtoul(call->argv[2], NULL, 8));
}

int call_chown(struct call *call)
{
	return chown(call->argv[1], (uid_t)number_parse(call->argv[2]),
		     (gid_t)number_parse(call->argv[3]));
}

/* utimens FILE ATIME MTIME, in nanoseconds since 1970. */
int call_utimens(struct call *call)
{
	struct timespec times[2];
	int i;

	for (i = 0; i < 2; i++) {
		long long when = number_parse(call->argv[2 + i]);

		times[i].tv_sec = when / 1000000000;
		times[i].tv_nsec = when % 1000000000;
	}
	return utimensat(AT_FDCWD, call->argv[1], times, 0);
}

int call_unlink(struct call *call)
{
	return unlink(call->argv[1]);
}

int call_rmdir(struct call *call)
{
	return rmdir(call->argv[1]);
}

int call_mkdir(struct call *call)
{
	return mkdir(call->argv[1], 0755);
}

int call_rename(struct call *call)
{
	return rename(call->argv[1], call->argv[2]);
}

int call_exchange(struct call *call)
{
	return renameat2(AT_FDCWD, call->argv[1], AT_FDCWD, call->argv[2], RENAME_EXCHANGE);
}

int call_link(struct call *call)
{
	return link(call->argv[1], call->argv[2]);
}

int call_symlink(struct call *call)
{
	return symlink(call->argv[1], call->argv[2]);
}

int call_readlink(struct call *call)
{
	char target[4096];

	call->value = readlink(call->argv[1], target, sizeof(target));
	return call->value < 0 ? -1 : 0;
}

int call_mknod(struct call *call)
{
	mode_t type = S_IFREG;

	if (call->argc > 2)
		type = !strcmp(call->argv[2], "fifo") ? S_IFIFO : S_IFCHR;
	return mknod(call->argv[1], type | 0644, type == S_IFCHR ? makedev(1, 3) : 0);
}

/* A directory's names as readdir() brings them, each with the position behind it. */
struct listing {
	char **names;
	long *positions;
	size_t count;
};

static int listing_read(DIR *dir, struct listing *list)
{
	size_t room = 0;

	for (;;) {
		struct dirent *entry;

		errno = 0;
		entry = readdir(dir);
		if (!entry)
			return errno ? -1 : 0;
		if (list->count == room) {
			room = room ? 2 * room : 256;
			list->names = realloc(list->names, room * sizeof(*list->names));
			list->positions = realloc(list->positions, room * sizeof(long));
		}
		if (!list->names || !list->positions)
			usage("out of memory");
		list->names[list->count] = strdup(entry->d_name);
		list->positions[list->count++] = telldir(dir);
	}
}

/* readdir DIR: prints every name in the order of the directory. */
int call_readdir(struct call *call)
{
	struct listing list = { 0 };
	DIR *dir = opendir(call->argv[1]);
	FILE *text;
	size_t i;
	int status;

	if (!dir)
		return -1;
	status = listing_read(dir, &list);
	closedir(dir);
	text = open_memstream(&call->text, &call->text_length);
	if (!text)
		usage("out of memory");
	for (i = 0; i < list.count; i++)
		fprintf(text, "%s\n", list.names[i]);
	fclose(text);
	return status;
}

static void seekdir_expect(DIR *dir, const struct listing *list, size_t index)
{
	struct dirent *entry = readdir(dir);
	const char *got = entry ? entry->d_name : "(end)";
	const char *want = index < list->count ? list->names[index] : "(end)";

	if (strcmp(got, want))
		usage("entry %zu: want '%s', got '%s'", index, want, got);
}

/* seekdir DIR SEED: goes to a thousand of its positions in random order, checks what follows
 * each, rewinds between them, and prints the number of entries.
 */
int call_seekdir(struct call *call)
{
	struct listing list = { 0 };
	DIR *dir = opendir(call->argv[1]);
	int i;

	if (!dir)
		return -1;
	if (listing_read(dir, &list))
		return -1;
	srandom((unsigned int)number_parse(call->argv[2]));
	for (i = 0; i < 1000 && list.count; i++) {
		size_t index = (size_t)random() % list.count;

		seekdir(dir, list.positions[index]);
		seekdir_expect(dir, &list, index + 1);
		if (i % 100 == 0) {
			rewinddir(dir);
			seekdir_expect(dir, &list, 0);
		}
	}
	call->value = (long long)list.count;
	return closedir(dir);
}
