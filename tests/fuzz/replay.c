/* SPDX-License-Identifier: MIT */
/* usage: TARGET-replay FOLDER|FILE...
 *
 * Feeds files to a fuzz target without libFuzzer, so that what was found once is tried in every
 * build. Says of each what cmocka would say of a test. A folder without a file is a failure.
 */
#include "fuzz.h"

#include "cleanup.h"

#include <dirent.h>
#include <errno.h>
#include <error.h>
#include <string.h>

static uint8_t *read_whole(const char *path, size_t *ret_size)
{
	_cleanup_(cleanup_fclose) FILE *file = fopen(path, "re");
	uint8_t *data = NULL;
	size_t size = 0;
	size_t got = 1;

	if (!file)
		error(1, errno, "%s", path);
	while (got > 0) {
		data = realloc(data, size + 65536);
		check(data);
		got = fread(data + size, 1, 65536, file);
		size += got;
	}
	if (ferror(file))
		error(1, errno, "%s", path);
	*ret_size = size;
	return data;
}

static void replay_file(const char *path)
{
	size_t size;
	_cleanup_(cleanup_free) uint8_t *data = read_whole(path, &size);
	/* With nothing behind it, for the address sanitizer. */
	_cleanup_(cleanup_free) uint8_t *exact = malloc(size ?: 1);

	check(exact);
	memcpy(exact, data, size);
	printf("[ RUN      ] %s\n", path);
	fflush(stdout);
	LLVMFuzzerTestOneInput(exact, size);
	printf("[       OK ] %s\n", path);
}

static int is_visible(const struct dirent *entry)
{
	return entry->d_name[0] != '.';
}

static void replay_folder(const char *folder)
{
	struct dirent **entries;
	int count = scandir(folder, &entries, is_visible, alphasort);

	if (count < 0 && errno == ENOTDIR) {
		replay_file(folder);
		return;
	}
	if (count <= 0)
		error(1, count < 0 ? errno : ENOENT, "%s", folder);
	for (int i = 0; i < count; i++) {
		_cleanup_(cleanup_free) char *path = NULL;

		check(asprintf(&path, "%s/%s", folder, entries[i]->d_name) > 0);
		replay_file(path);
		free(entries[i]);
	}
	free(entries);
}

int main(int argc, char **argv)
{
	if (argc < 2)
		error(2, 0, "nothing to replay");
	for (int i = 1; i < argc; i++)
		replay_folder(argv[i]);
	return 0;
}
