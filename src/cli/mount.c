/* SPDX-License-Identifier: MIT */
/* mmapfs mount: serve in the background, or in the foreground.
 *
 *     parent                       child (its own session; all the work)
 *       fork ----------------------> options, images, mount, INIT
 *       wait for a byte <----------- exit status, when the mount answers or cannot be made
 *       exit with it                 serve on, logging to syslog
 *
 * The fork comes first, so that no image is open, mapped or locked on both sides.
 */
#include "cli.h"

#include "cleanup.h"
#include "log.h"
#include "mmapfs/layout.h"
#include "mounts.h"
#include "session.h"
#include "signals.h"
#include "vec.h"

#include <dirent.h>
#include <fcntl.h>
#include <malloc.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/file.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#ifdef HAVE_SYSTEMD
#include <systemd/sd-daemon.h>
#endif

static void cleanup_session(struct session **session)
{
	session_free(*session);
}

/* A mount whose daemon has died answers ENOTCONN: take it away, if it is ours to take. */
static int remove_dead_mount(const char *mountpoint)
{
	struct mount mount;

	if (mount_find(mountpoint, &mount) < 0 || !mount.is_mmapfs ||
	    mount_detach(mountpoint, true, NULL) < 0) {
		complain("%s: a dead mount that is not ours is there", mountpoint);
		return EXIT_FAILED;
	}
	complain("%s: the mount there had lost its daemon; unmounted it", mountpoint);
	return 0;
}

static int check_not_mounted(const char *argument, const char *path)
{
	struct mount mount;

	if (mount_find(path, &mount) < 0)
		return 0;
	complain("mountpoint '%s': is busy: %s is mounted there already", argument,
		 mount.is_mmapfs ? "an mmapfs" : "another file system");
	return EXIT_FAILED;
}

/* The mountpoint's resolved path, the caller's, once it is fit to be mounted on. */
static int check_mountpoint(const char *argument, char **ret)
{
	_cleanup_(cleanup_free) char *path = mount_resolve(argument);
	struct statvfs alive; /* unlike stat(2) never answered from a cache */
	struct stat status;
	int result;

	if (path && statvfs(path, &alive) < 0 && mount_is_dead(errno)) {
		result = remove_dead_mount(path);
		if (result != 0)
			return result;
	}
	if (!path || stat(path, &status) < 0) {
		complain("mountpoint '%s': %s", argument, strerror(errno));
		return EXIT_FAILED;
	}
	if (!S_ISDIR(status.st_mode)) {
		complain("mountpoint '%s': is not a directory", argument);
		return EXIT_FAILED;
	}
	if (strcmp(path, "/") == 0) {
		complain("mountpoint '/': is the root directory");
		return EXIT_FAILED;
	}
	result = check_not_mounted(argument, path);
	if (result != 0)
		return result;
	/* fusermount3 asks for that; root may also mount on a folder of a read-only file system. */
	if (geteuid() != 0 && access(path, W_OK) < 0) {
		complain("mountpoint '%s': you must be able to write to it", argument);
		return EXIT_FAILED;
	}
	*ret = steal_pointer(&path);
	return 0;
}

/* An image below the mountpoint would be hidden by the mount that serves it. */
static int check_images_outside(const struct tree *tree, const char *mountpoint)
{
	size_t length = strlen(mountpoint);
	int status = 0;

	for (size_t i = 0; i < tree_image_count(tree); i++) {
		struct tree_image image = tree_image_at(tree, i);

		if (strncmp(image.path, mountpoint, length) != 0 || image.path[length] != '/')
			continue;
		complain("image '%s': %s: lies inside the mountpoint", image.name, image.path);
		status = EXIT_FAILED;
	}
	return status;
}

/* Who is told when the mount answers. */
struct readiness {
	int *status_fd; /* the waiting parent's pipe, -1 once it has had its answer; or NULL */
	const char *mountpoint;
};

/* What the caller had open when it started us: a lock's file, a pipe that somebody reads to its
 * end. It may be named as /dev/fd/N on the command line, so it is closed only when all is open.
 */
static VEC(int) inherited;

static void note_inherited(int own)
{
	DIR *directory = opendir("/proc/self/fd");
	const struct dirent *entry;

	while (directory && (entry = readdir(directory)) != NULL) {
		int fd = atoi(entry->d_name); /* 0 for . and .. */

		if (fd <= STDERR_FILENO || fd == own || fd == dirfd(directory))
			continue;
		(void)vec_push(&inherited, fd);
	}
	if (directory)
		closedir(directory);
}

static void close_inherited(void)
{
	while (inherited.count > 0)
		close(inherited.data[--inherited.count]);
	free(inherited.data);
	inherited.data = NULL;
}

static void become_daemon(int *status_fd)
{
	const char status = EXIT_DONE;
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	close_inherited();
	log_to_syslog();
	(void)!chdir("/");
	if (null >= 0) {
		dup2(null, STDIN_FILENO);
		dup2(null, STDOUT_FILENO);
		dup2(null, STDERR_FILENO);
		close(null);
	}
	/* Nobody waits any more: what was asked for has been taken back. */
	if (write(*status_fd, &status, 1) != 1)
		kill(getpid(), SIGTERM);
	close(steal_fd(status_fd));
}

static void on_ready(void *context)
{
	struct readiness *readiness = context;

#ifdef HAVE_SYSTEMD
	sd_notifyf(0, "READY=1\nSTATUS=serving %s\nMAINPID=%ld", readiness->mountpoint,
		   (long)getpid());
#endif
	if (readiness->status_fd)
		become_daemon(readiness->status_fd);
}

/* Two mounts at one place at a time: the second waits here, and then finds the first. Not for ever:
 * the folder's lock may be in use for something else.
 */
#define LOCK_TRIES 100
#define LOCK_PAUSE_US 50000

static int lock_mountpoint(const char *path)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	for (int i = 0; fd >= 0 && i < LOCK_TRIES && flock(fd, LOCK_EX | LOCK_NB) < 0; i++)
		usleep(LOCK_PAUSE_US);
	return fd;
}

static void note(const char *text)
{
	complain("%s", text);
}

/* What memory policies ask for. 0 or an exit status. */
static int prepare(const struct tree *tree)
{
	struct error error = ERROR_INIT;
	int result = tree_prepare(tree, note, &error);

	if (result == 0)
		return 0;
	if (result != -EINVAL)
		error_add(&error, NULL, "%s", strerror(-result));
	complain_all(&error);
	return EXIT_FAILED;
}

static int serve(const struct source *source, const struct options *options,
		 const char *mountpoint_argument, int *status_fd)
{
	_cleanup_(cleanup_free) char *mountpoint = NULL;
	_cleanup_(cleanup_free) char *name = NULL;
	_cleanup_(cleanup_tree) struct tree *tree = NULL;
	_cleanup_(cleanup_session) struct session *session = NULL;
	_cleanup_(cleanup_close) int lock = -1;
	struct readiness readiness = { status_fd, NULL };
	struct session_options session_options = {
		.cache = (enum cache_mode)options->cache,
		.writeback = options->writeback,
		.xattr = options->xattr,
		.random = options->policy.on & POLICY_RANDOM,
		.memory = options->has_memory ? options->memory : SESSION_MEMORY_DEFAULT,
		.debug = options->debug,
		.read_only = options->read_only,
		.uid = options->uid,
		.gid = options->gid,
		.directory_mode = options->has_mode ? options->mode : 0444,
		.fuse_options = options->fuse_options,
		.write_table = table_write,
		.ready = on_ready,
		.ready_context = &readiness,
	};
	struct error error = ERROR_INIT;
	int result;

	name = realpath(source->table ?: source->image ?: "", NULL);
	session_options.source = name ?: "mmapfs";
	result = session_start(&session_options, &session) ?:
		 check_mountpoint(mountpoint_argument, &mountpoint) ?:
		 source_build(source, options, false, NULL, &tree) ?:
		 check_images_outside(tree, mountpoint);
	if (result != 0 || options->fake)
		return result;
	/* What building has taken and given back lies in pieces between what stays: of a million
	 * slices a fifth.
	 */
	malloc_trim(0);
	readiness.mountpoint = mountpoint;
	result = prepare(tree);
	if (result != 0)
		return result;
	lock = lock_mountpoint(mountpoint);
	result = check_not_mounted(mountpoint_argument, mountpoint);
	if (result != 0)
		return result;
	result = session_mount(session, mountpoint, tree, &error);
	close(steal_fd(&lock));
	if (result < 0) {
		if (error.count == 0)
			error_add(&error, NULL, "%s: %s", mountpoint, strerror(-result));
		complain_all(&error);
		return EXIT_FAILED;
	}
	return session_run(session) < 0 ? EXIT_FAILED : EXIT_DONE;
}

/* Wait for the child's answer, or for a signal. 0, or the signal. */
static int wait_for_answer(int status_fd, int signals_fd)
{
	struct pollfd waiting[] = { { .fd = status_fd, .events = POLLIN },
				    { .fd = signals_fd, .events = POLLIN } };
	struct signalfd_siginfo taken;

	while (poll(waiting, 2, -1) < 0)
		;
	if (waiting[1].revents && read(signals_fd, &taken, sizeof(taken)) == sizeof(taken))
		return taken.ssi_signo;
	return 0;
}

/* The exit status that the child sends, or its end without one. A signal that comes first takes
 * back what was asked for: the child ends, and then we do, by that signal.
 */
static int wait_for_child(pid_t child, int status_fd, int signals_fd)
{
	int signal_number = wait_for_answer(status_fd, signals_fd);
	char status;
	ssize_t got;

	if (signal_number > 0) {
		sigset_t taken;

		kill(child, SIGTERM);
		while (waitpid(child, NULL, 0) < 0 && errno == EINTR)
			;
		sigemptyset(&taken);
		sigaddset(&taken, signal_number);
		signal(signal_number, SIG_DFL);
		raise(signal_number);
		sigprocmask(SIG_UNBLOCK, &taken, NULL);
		return EXIT_FAILED;
	}
	do
		got = read(status_fd, &status, 1);
	while (got < 0 && errno == EINTR);
	if (got == 1)
		return status;
	complain("the daemon died while mounting");
	return EXIT_FAILED;
}

/* Where signals are blocked they come even so. */
static void leave_out_ignored(sigset_t *set)
{
	for (int number = 1; number < SIGRTMIN; number++) {
		struct sigaction action;

		if (sigismember(set, number) == 1 && sigaction(number, NULL, &action) == 0 &&
		    action.sa_handler == SIG_IGN)
			sigdelset(set, number);
	}
}

static int serve_in_background(const struct source *source, const struct options *options,
			       const char *mountpoint)
{
	_cleanup_(cleanup_close) int signals_fd = -1;
	_cleanup_(cleanup_close) int read_end = -1;
	_cleanup_(cleanup_close) int write_end = -1;
	int ends[2];
	sigset_t ending;
	sigset_t before;
	pid_t child;
	char status;

	if (pipe2(ends, O_CLOEXEC) < 0) {
		complain("pipe: %s", strerror(errno));
		return EXIT_FAILED;
	}
	read_end = ends[0];
	write_end = ends[1];
	/* Before the fork, so that none gets lost. */
	signals_ending(&ending);
	leave_out_ignored(&ending);
	sigprocmask(SIG_BLOCK, &ending, &before);
	child = fork();
	if (child < 0) {
		complain("fork: %s", strerror(errno));
		return EXIT_FAILED;
	}
	if (child > 0) {
		close(steal_fd(&write_end));
		signals_fd = signalfd(-1, &ending, SFD_CLOEXEC);
		return wait_for_child(child, read_end, signals_fd);
	}
	close(steal_fd(&read_end));
	sigprocmask(SIG_SETMASK, &before, NULL);
	note_inherited(write_end);
	setsid();
	status = serve(source, options, mountpoint, &write_end);
	if (write_end >= 0)
		(void)!write(write_end, &status, 1);
	return status;
}

int verb_mount(const struct options *options)
{
	const char *mountpoint;
	struct source source;
	int status;

	if (options->argument_count == 0) {
		complain("no MOUNTPOINT given; see 'mmapfs --help'");
		return EXIT_USAGE;
	}
	mountpoint = options->arguments[options->argument_count - 1];
	status = source_choose(options, options->argument_count - 1, &source);
	if (status != 0)
		return status;
	if (options->foreground)
		return serve(&source, options, mountpoint, NULL);
	return serve_in_background(&source, options, mountpoint);
}
