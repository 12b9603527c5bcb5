/* SPDX-License-Identifier: MIT */
/* What a process in the sandbox can do, and what becomes of it. Each test runs one that tries. */
#include "support.h"

#include "sandbox.h"

#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#define MIB (1UL << 20)

/* As where a container allows no filter. */
static bool no_filter;

int __wrap_seccomp_load(void *filter);
int __real_seccomp_load(void *filter);

int __wrap_seccomp_load(void *filter)
{
	return no_filter ? -EPERM : __real_seccomp_load(filter);
}

struct trial {
	void (*work)(struct trial *trial, FILE *out);
	int prepared;
	int fd; /* open before, and of no use behind the door */
	volatile const char *mapped;
};

static int prepare(void *context)
{
	return ((struct trial *)context)->prepared;
}

static void work(void *context, int result, FILE *out)
{
	struct trial *trial = context;

	if (result < 0)
		fprintf(out, "prepared %d", result);
	else
		trial->work(trial, out);
}

/* Run it; what it wrote goes into text. */
static enum sandbox_end run(struct trial *trial, char *text, size_t size, int *signal_number)
{
	const struct sandbox_job job = {
		.prepare = prepare,
		.work = work,
		.context = trial,
		.memory = 64 * MIB,
		.cpu_seconds = 1,
	};
	struct sandbox sandbox;
	size_t got;

	assert_result(sandbox_start(&job, &sandbox), 0);
	got = fread(text, 1, size - 1, sandbox.in);
	text[got] = '\0';
	assert_true(feof(sandbox.in));
	return sandbox_stop(&sandbox, signal_number);
}

static void assert_says(void (*job)(struct trial *trial, FILE *out), const char *wanted)
{
	struct trial trial = { .work = job };
	char text[2000];
	int signal_number;

	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	trial.fd = fcntl(null, F_DUPFD_CLOEXEC, 50); /* not the number that the pipe gets */
	assert_true(trial.fd >= 50);
	assert_int_equal(run(&trial, text, sizeof(text), &signal_number), SANDBOX_DONE);
	assert_int_equal(signal_number, 0);
	assert_string_equal(text, wanted);
	close(trial.fd);
	close(null);
}

static void assert_ends(struct trial *trial, enum sandbox_end wanted, int wanted_signal)
{
	char text[100];
	int signal_number;

	assert_int_equal(run(trial, text, sizeof(text), &signal_number), wanted);
	if (wanted_signal)
		assert_int_equal(signal_number, wanted_signal);
	assert_string_equal(text, "");
}

static void compute(struct trial *trial, FILE *out)
{
	char *memory = malloc(8 * MIB);
	int fd = memfd_create("x", 0);

	memset(memory, 1, 8 * MIB);
	fprintf(out, "sum %d, memory file %d", memory[1] + memory[8 * MIB - 1],
		pwrite(fd, "x", 1, 1L << 40) == 1 && ftruncate(fd, 1L << 41) == 0);
	free(memory);
}

static void test_it_can_compute_and_write(void **state)
{
	assert_says(compute, "sum 2, memory file 1");
}

static void test_it_is_told_what_preparing_came_to(void **state)
{
	struct trial trial = { .work = compute, .prepared = -EIO };
	char text[100];
	int signal_number;

	assert_int_equal(run(&trial, text, sizeof(text), &signal_number), SANDBOX_DONE);
	assert_string_equal(text, "prepared -5");
}

static void say(FILE *out, const char *what, long result)
{
	fprintf(out, "%s %s\n", what, result < 0 ? strerrorname_np(errno) : "works");
}

static void escape(struct trial *trial, FILE *out)
{
	struct rlimit limit;

	say(out, "open", open("/etc/passwd", O_RDONLY));
	say(out, "create", open("/tmp/mmapfs-escape", O_CREAT | O_WRONLY, 0600));
	say(out, "unlink", unlink("/tmp/mmapfs-escape"));
	say(out, "old descriptor", write(trial->fd, "x", 1));
	say(out, "socket", socket(AF_UNIX, SOCK_STREAM, 0));
	say(out, "fork", syscall(SYS_fork));
	say(out, "exec", execl("/bin/true", "true", NULL));
	say(out, "kill", kill(getppid(), 0));
	say(out, "ptrace", syscall(SYS_ptrace, 0, 0, 0, 0));
	say(out, "setuid", syscall(SYS_setuid, 0));
	say(out, "prctl", prctl(PR_SET_DUMPABLE, 1));
	say(out, "sleep", syscall(SYS_nanosleep, &(struct timespec){ 0, 1 }, NULL));
	say(out, "limits", getrlimit(RLIMIT_DATA, &limit));
	say(out, "terminal", isatty(1) - 1);
}

static void test_it_can_do_nothing_else(void **state)
{
	assert_says(escape, "open EPERM\n"
			    "create EPERM\n"
			    "unlink EPERM\n"
			    "old descriptor EBADF\n"
			    "socket EPERM\n"
			    "fork EPERM\n"
			    "exec EPERM\n"
			    "kill EPERM\n"
			    "ptrace EPERM\n"
			    "setuid EPERM\n"
			    "prctl EPERM\n"
			    "sleep EPERM\n"
			    "limits EPERM\n"
			    "terminal ENOTTY\n");
}

static void test_nothing_runs_without_a_filter(void **state)
{
	struct trial trial = { .work = compute };

	no_filter = true;
	assert_ends(&trial, SANDBOX_REFUSED, 0);
	no_filter = false;
}

static void crash(struct trial *trial, FILE *out)
{
	(void)raise(SIGSEGV);
	__builtin_trap();
}

static void abandon(struct trial *trial, FILE *out)
{
	abort();
}

static void test_a_crash_is_told(void **state)
{
	struct trial trap = { .work = crash };
	struct trial aborted = { .work = abandon };

	assert_ends(&trap, SANDBOX_CRASHED, 0);
	assert_ends(&aborted, SANDBOX_CRASHED, SIGABRT);
}

static void spin(struct trial *trial, FILE *out)
{
	for (volatile bool forever = true; forever;)
		;
}

static void tell_ignored(struct trial *trial, FILE *out)
{
	struct sigaction hup;
	struct sigaction usr1;

	if (sigaction(SIGHUP, NULL, &hup) == 0 && sigaction(SIGUSR1, NULL, &usr1) == 0)
		fprintf(out, "%d %d", hup.sa_handler == SIG_IGN, usr1.sa_handler == SIG_IGN);
}

/* As below nohup, whose hangup would else look like a crash. */
static void test_what_the_caller_ignores_does_not_end_it(void **state)
{
	struct trial trial = { .work = tell_ignored };
	int signal_number;
	char text[20];

	signal(SIGHUP, SIG_IGN);
	signal(SIGUSR1, SIG_IGN);
	assert_int_equal(run(&trial, text, sizeof(text), &signal_number), SANDBOX_DONE);
	signal(SIGHUP, SIG_DFL);
	signal(SIGUSR1, SIG_DFL);
	assert_string_equal(text, "1 0");
}

static void test_a_hang_is_ended(void **state)
{
	struct trial trial = { .work = spin };

	assert_ends(&trial, SANDBOX_TIMED_OUT, SIGXCPU);
}

static void read_mapped(struct trial *trial, FILE *out)
{
	if (trial->mapped[0])
		fputs("read", out);
}

static void test_an_image_that_shrinks_is_told_from_a_crash(void **state)
{
	struct trial trial = { .work = read_mapped };
	int fd = memfd_create("image", MFD_CLOEXEC);

	assert_return_code(ftruncate(fd, 4096), errno);
	trial.mapped = mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0);
	assert_ptr_not_equal(trial.mapped, MAP_FAILED);
	assert_return_code(ftruncate(fd, 0), errno);
	assert_ends(&trial, SANDBOX_UNREADABLE, SIGBUS);
	munmap((void *)trial.mapped, 4096);
	close(fd);
}

static void balloon(struct trial *trial, FILE *out)
{
	size_t taken = 0;
	volatile char *memory; /* so that nobody thinks it away */

	while (taken < 128 * MIB && (memory = malloc(MIB)) != NULL) {
		for (size_t i = 0; i < MIB; i += 4096)
			memory[i] = 1;
		taken += MIB;
	}
	fprintf(out, "%s", taken < 65 * MIB ? "bounded" : "unbounded");
}

static void test_memory_is_bounded(void **state)
{
#ifdef HAVE_SANITIZER
	const char *wanted = "unbounded"; /* the sanitizer's own memory is beyond any limit */
#else
	const char *wanted = "bounded";
#endif

	assert_says(balloon, wanted);
}

/* Whoever has lost interest need not wait for it. */
static void test_it_can_be_stopped_at_any_time(void **state)
{
	struct trial trial = { .work = spin };
	const struct sandbox_job job = {
		.prepare = prepare,
		.work = work,
		.context = &trial,
		.memory = 64 * MIB,
		.cpu_seconds = 1000,
	};
	struct sandbox sandbox;
	int signal_number;

	assert_result(sandbox_start(&job, &sandbox), 0);
	assert_int_equal(sandbox_stop(&sandbox, &signal_number), SANDBOX_CRASHED);
	assert_int_equal(signal_number, SIGKILL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_it_can_compute_and_write),
		cmocka_unit_test(test_it_is_told_what_preparing_came_to),
		cmocka_unit_test(test_it_can_do_nothing_else),
		cmocka_unit_test(test_nothing_runs_without_a_filter),
		cmocka_unit_test(test_a_crash_is_told),
		cmocka_unit_test(test_what_the_caller_ignores_does_not_end_it),
		cmocka_unit_test(test_a_hang_is_ended),
		cmocka_unit_test(test_an_image_that_shrinks_is_told_from_a_crash),
		cmocka_unit_test(test_memory_is_bounded),
		cmocka_unit_test(test_it_can_be_stopped_at_any_time),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
