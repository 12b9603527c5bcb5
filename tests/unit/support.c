/* SPDX-License-Identifier: MIT */
#include "support.h"

#include <fcntl.h>
#include <ftw.h>
#include <grp.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static const char *error_text(int64_t result)
{
	return result < 0 ? strerror(-result) : "no error";
}

void assert_result_(int64_t result, int64_t wanted, const char *call, const char *file, int line)
{
	if (result == wanted)
		return;
	print_error("%s = %" PRId64 " (%s), wanted %" PRId64 " (%s)\n", call, result,
		    error_text(result), wanted, error_text(wanted));
	_fail(file, line);
}

void assert_messages_(struct error *error, const char *const *wanted, const char *file, int line)
{
	size_t count = 0;
	bool equal = error->omitted == 0;

	while (wanted[count])
		count++;
	equal = equal && error->count == count;
	for (size_t i = 0; equal && i < count; i++)
		equal = strcmp(error->messages[i], wanted[i]) == 0;
	if (!equal) {
		for (size_t i = 0; i < error->count; i++)
			print_error("got:    %s\n", error->messages[i]);
		for (size_t i = 0; i < count; i++)
			print_error("wanted: %s\n", wanted[i]);
		print_error("%zu omitted\n", error->omitted);
		_fail(file, line);
	}
	error_clear(error);
}

static uint64_t random_state;

void random_begin(void)
{
	const char *given = getenv("MMAPFS_SEED");
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	if (given)
		random_state = strtoull(given, NULL, 0);
	else
		random_state = ((uint64_t)now.tv_sec * 1000000007 + now.tv_nsec) ^
			       (uint64_t)getpid() << 40;
	print_message("seed: MMAPFS_SEED=%" PRIu64 "\n", random_state);
}

/* splitmix64: https://prng.di.unimi.it/splitmix64.c */
uint64_t random_u64(void)
{
	uint64_t z = random_state += 0x9e3779b97f4a7c15;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
	z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
	return z ^ (z >> 31);
}

uint64_t random_below(uint64_t bound)
{
	return random_u64() % bound;
}

bool random_chance(unsigned percent)
{
	return random_below(100) < percent;
}

void random_bytes(void *buf, size_t size)
{
	unsigned char *bytes = buf;

	for (size_t i = 0; i < size; i += 8) {
		uint64_t word = random_u64();

		memcpy(bytes + i, &word, size - i < 8 ? size - i : 8);
	}
}

static const char *scratch_parent;

/* Of the running test. */
static char *scratch_path;
static int scratch_origin = -1;

void scratch_use(const char *parent)
{
	scratch_parent = parent;
}

int scratch_enter(void **state)
{
	const char *parent = scratch_parent;

	if (!parent)
		parent = getenv("TMPDIR");
	if (asprintf(&scratch_path, "%s/mmapfs-unit.XXXXXX", parent ? parent : "/tmp") < 0)
		return -1;
	scratch_origin = open(".", O_PATH | O_DIRECTORY | O_CLOEXEC);
	/* Open to the ordinary user that some tests become. */
	if (!mkdtemp(scratch_path) || chmod(scratch_path, 0755) < 0 || chdir(scratch_path) < 0) {
		print_error("%s: %s\n", scratch_path, strerror(errno));
		return -1;
	}
	return 0;
}

static int remove_entry(const char *path, const struct stat *status, int type, struct FTW *ftw)
{
	return remove(path);
}

int scratch_leave(void **state)
{
	int result = fchdir(scratch_origin);

	close(scratch_origin);
	nftw(scratch_path, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
	free(scratch_path);
	return result;
}

static int file_open(const char *path, int flags)
{
	int fd = open(path, flags | O_CLOEXEC, 0644);

	if (fd < 0)
		fail_msg("%s: %s", path, strerror(errno));
	return fd;
}

static void file_put(int fd, uint64_t offset, const void *data, size_t size)
{
	for (size_t done = 0; done < size;) {
		ssize_t written = pwrite(fd, (const char *)data + done, size - done, offset + done);

		assert_true(written > 0);
		done += written;
	}
	close(fd);
}

void file_write(const char *path, const void *data, size_t size)
{
	file_put(file_open(path, O_WRONLY | O_CREAT | O_TRUNC), 0, data, size);
}

void file_fill(const char *path, size_t size)
{
	char *data = malloc(size + 1);

	assert_non_null(data);
	random_bytes(data, size);
	file_write(path, data, size);
	free(data);
}

void file_write_at(const char *path, uint64_t offset, const void *data, size_t size)
{
	file_put(file_open(path, O_WRONLY), offset, data, size);
}

void file_read_at(const char *path, uint64_t offset, void *buf, size_t size)
{
	int fd = file_open(path, O_RDONLY);

	for (size_t done = 0; done < size;) {
		ssize_t got = pread(fd, (char *)buf + done, size - done, offset + done);

		assert_true(got > 0);
		done += got;
	}
	close(fd);
}

void file_resize(const char *path, uint64_t size)
{
	int fd = file_open(path, O_WRONLY | O_CREAT);

	assert_return_code(ftruncate(fd, size), errno);
	close(fd);
}

uint64_t file_size(const char *path)
{
	struct stat status;

	assert_return_code(stat(path, &status), errno);
	return status.st_size;
}

void file_assert(const char *path, const void *data, size_t size)
{
	char *found = malloc(size + 1);

	assert_non_null(found);
	assert_int_equal(file_size(path), size);
	file_read_at(path, 0, found, size);
	assert_memory_equal(found, data, size);
	free(found);
}

char *stream_text(FILE *stream)
{
	long size;
	char *text;

	assert_int_equal(fflush(stream), 0);
	fseek(stream, 0, SEEK_END);
	size = ftell(stream);
	rewind(stream);
	text = malloc(size + 1);
	assert_non_null(text);
	assert_int_equal(fread(text, 1, size, stream), size);
	text[size] = '\0';
	return text;
}

void become_ordinary_user(void)
{
	if (geteuid() != 0)
		return;
	assert_return_code(setgroups(0, NULL), errno);
	assert_return_code(setgid(65534), errno);
	assert_return_code(setuid(65534), errno);
}

static FILE *stderr_file;
static int stderr_saved = -1;

void stderr_begin(void)
{
	fflush(stderr);
	stderr_file = tmpfile();
	assert_non_null(stderr_file);
	stderr_saved = dup(STDERR_FILENO);
	dup2(fileno(stderr_file), STDERR_FILENO);
}

char *stderr_end(void)
{
	char *text;

	fflush(stderr);
	dup2(stderr_saved, STDERR_FILENO);
	close(stderr_saved);
	text = stream_text(stderr_file);
	fclose(stderr_file);
	return text;
}

/* cmocka leaves a failed assertion by a jump to the test's frame, which exists in the child, too;
 * the child would then go on with the other tests. So it runs its body as a test of its own.
 */
struct child {
	void (*body)(void *context);
	void *context;
};

static void child_test(void **state)
{
	struct child *child = *state;

	child->body(child->context);
}

int in_child(void (*body)(void *context), void *context)
{
	struct child child = { body, context };
	int status;
	pid_t pid;

	fflush(NULL);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		const struct CMUnitTest tests[] = {
			cmocka_unit_test_prestate(child_test, &child),
		};
		int quiet = open("/dev/null", O_WRONLY | O_CLOEXEC);
		char *said;
		int failed;

		/* Its report would only be counted twice; what failed is worth showing. */
		dup2(quiet, STDOUT_FILENO);
		stderr_begin();
		failed = _cmocka_run_group_tests("child", tests, 1, NULL, NULL);
		said = stderr_end();
		if (failed)
			fputs(said, stderr);
		fflush(NULL);
		_exit(failed != 0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return status;
}

void assert_in_child(void (*body)(void *context), void *context)
{
	int status = in_child(body, context);

	if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
		fail_msg("the child failed: wait status 0x%x", status);
}

bool sanitized(void)
{
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
	return true;
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
	return true;
#else
	return false;
#endif
#else
	return false;
#endif
}
