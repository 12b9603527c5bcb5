/* SPDX-License-Identifier: MIT */
/* Taking all rights from a process. */
#include "sandbox.h"

#include "cleanup.h"
#include "overflow.h"

#include <fcntl.h>
#include <linux/futex.h>
#include <seccomp.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>

/* Where work() has not been begun. */
#define EXIT_REFUSED 111

/* What computing takes: memory, time, and the end; memory files, which libraries want where they
 * know files only; and output. Everything else fails with EPERM, so that a library that only tries
 * goes on. Nothing here can sleep, so that the limit on processor time is one on time, as far as the
 * image itself answers.
 */
static const int allowed_calls[] = {
	SCMP_SYS(read),
	SCMP_SYS(write),
	SCMP_SYS(pread64),
	SCMP_SYS(pwrite64),
	SCMP_SYS(lseek),
	SCMP_SYS(close),
	SCMP_SYS(fstat),
	SCMP_SYS(ftruncate),
	SCMP_SYS(memfd_create),
	SCMP_SYS(mmap),
	SCMP_SYS(munmap),
	SCMP_SYS(mremap),
	SCMP_SYS(mprotect),
	SCMP_SYS(madvise),
	SCMP_SYS(brk),
	SCMP_SYS(clock_gettime),
	SCMP_SYS(gettimeofday),
	SCMP_SYS(getrandom),
	SCMP_SYS(getpid),
	SCMP_SYS(gettid),
	SCMP_SYS(rt_sigaction),
	SCMP_SYS(rt_sigprocmask),
	SCMP_SYS(rt_sigreturn),
	SCMP_SYS(sigaltstack),
	SCMP_SYS(restart_syscall),
	SCMP_SYS(exit),
	SCMP_SYS(exit_group),
};

static int filter_calls(void)
{
	scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ERRNO(EPERM));
	int result = filter ? 0 : -ENOMEM;

	for (size_t i = 0; result == 0 && i < sizeof(allowed_calls) / sizeof(*allowed_calls); i++)
		result = seccomp_rule_add(filter, SCMP_ACT_ALLOW, allowed_calls[i], 0);
	/* Whether this is a terminal or a device; it is not. */
	if (result == 0)
		result = seccomp_rule_add(filter, SCMP_ACT_ERRNO(ENOTTY), SCMP_SYS(ioctl), 0);
	/* fstat(2), as glibc calls it. It lets any path be asked about, which cannot be seen here. */
	if (result == 0)
		result = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(newfstatat), 1,
					  SCMP_A3(SCMP_CMP_EQ, AT_EMPTY_PATH));
	/* Nobody sleeps here who could be woken, but pthread_once(3) tries. */
	if (result == 0)
		result = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(futex), 1,
					  SCMP_A1(SCMP_CMP_MASKED_EQ, (uint64_t)FUTEX_CMD_MASK,
						  FUTEX_WAKE));
	/* abort(3), and nobody else. */
	if (result == 0)
		result = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(tgkill), 2,
					  SCMP_A0(SCMP_CMP_EQ, getpid()),
					  SCMP_A2(SCMP_CMP_EQ, SIGABRT));
	if (result == 0)
		result = seccomp_load(filter); /* sets no_new_privs as well */
	if (filter)
		seccomp_release(filter);
	return result;
}

/* Or what the limit is by now, where that is less: nobody but root can raise it. */
static int limit(int resource, uint64_t soft, uint64_t hard)
{
	struct rlimit both;

	if (getrlimit(resource, &both) < 0)
		return -errno;
	both.rlim_max = min_u64(both.rlim_max, hard);
	both.rlim_cur = min_u64(both.rlim_max, soft);
	return setrlimit(resource, &both) < 0 ? -errno : 0;
}

static int limit_resources(const struct sandbox_job *job)
{
	/* One more at the top: SIGXCPU at the lower limit, and the end at the upper. */
	int result = limit(RLIMIT_CPU, job->cpu_seconds, job->cpu_seconds + 1);

	result = result ?: limit(RLIMIT_CORE, 0, 0);
#ifndef HAVE_SANITIZER /* whose own memory is far more than that */
	result = result ?: limit(RLIMIT_DATA, job->memory, job->memory);
#endif
	return result;
}

/* Keep nothing open but the pipe, which becomes number 3. */
static int close_others(int pipe_fd)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	if (null < 0)
		return -errno;
	for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++) {
#ifdef HAVE_SANITIZER /* which reports there */
		if (fd == STDERR_FILENO)
			continue;
#endif
		if (dup2(null, fd) < 0)
			return -errno;
	}
	if (pipe_fd != 3 && dup2(pipe_fd, 3) < 0)
		return -errno;
	return syscall(SYS_close_range, 4, ~0U, 0) < 0 ? -errno : 0;
}

/* What the caller has told us to ignore (nohup, a script's background) also is for this process. */
static void reset_signals(void)
{
	for (int number = 1; number < NSIG; number++) {
		struct sigaction action;
		bool ends_all = number == SIGINT || number == SIGQUIT || number == SIGHUP ||
				number == SIGTERM;

		if (ends_all && sigaction(number, NULL, &action) == 0 &&
		    action.sa_handler == SIG_IGN)
			continue;
		(void)signal(number, SIG_DFL);
	}
}

static _Noreturn void run(const struct sandbox_job *job, int pipe_fd, pid_t parent)
{
	FILE *out;
	int result;

	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(EXIT_REFUSED);
	reset_signals();
	result = job->prepare(job->context);
	if (close_others(pipe_fd) < 0)
		_exit(EXIT_REFUSED);
	out = fdopen(3, "w");
	if (!out || prctl(PR_SET_DUMPABLE, 0) < 0 || limit_resources(job) < 0 || filter_calls() < 0)
		_exit(EXIT_REFUSED);
	job->work(job->context, result, out);
	_exit(fflush(out) == 0 ? 0 : 1);
}

int sandbox_start(const struct sandbox_job *job, struct sandbox *ret)
{
	_cleanup_(cleanup_close) int read_end = -1;
	_cleanup_(cleanup_close) int write_end = -1;
	struct sandbox sandbox;
	pid_t parent = getpid();
	int ends[2];

	if (pipe2(ends, O_CLOEXEC) < 0)
		return -errno;
	read_end = ends[0];
	write_end = ends[1];
	sandbox.in = fdopen(read_end, "r");
	if (!sandbox.in)
		return -errno;
	(void)steal_fd(&read_end);
	sandbox.pid = fork();
	if (sandbox.pid < 0) {
		int result = -errno;

		fclose(sandbox.in);
		return result;
	}
	if (sandbox.pid == 0)
		run(job, write_end, parent);
	*ret = sandbox;
	return 0;
}

enum sandbox_end sandbox_stop(struct sandbox *sandbox, int *ret_signal)
{
	int status = 0;

	/* At the end of its output it is about to end by itself, and how is what is asked. */
	if (!feof(sandbox->in))
		kill(sandbox->pid, SIGKILL);
	fclose(sandbox->in);
	while (waitpid(sandbox->pid, &status, 0) < 0 && errno == EINTR)
		;
	*ret_signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
	if (WIFEXITED(status) && WEXITSTATUS(status) == EXIT_REFUSED)
		return SANDBOX_REFUSED;
	if (WIFEXITED(status))
		return WEXITSTATUS(status) == 0 ? SANDBOX_DONE : SANDBOX_CRASHED;
	if (*ret_signal == SIGXCPU)
		return SANDBOX_TIMED_OUT;
	return *ret_signal == SIGBUS ? SANDBOX_UNREADABLE : SANDBOX_CRASHED;
}
