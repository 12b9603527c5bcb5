/* SPDX-License-Identifier: MIT */
/* A session's life: options, mount, the kernel's INIT, the loop, the last flush.
 *
 *     session_new -> session_mount -> INIT answered: ready() -> loop -> flush -> tell -> free
 */
#include "fs.h"

#include "cleanup.h"
#include "guard.h"
#include "log.h"
#include "mounts.h"
#include "signals.h"
#include "stats.h"
#include "status.h"
#include "trim.h"
#include "workers.h"

#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/sysmacros.h>
#include <syslog.h>

struct session {
	const struct session_options *options;
	struct fuse_session *fuse;
	struct fs fs;
	char *mountpoint;
	dev_t device; /* of the mount; 0: not known */
	int status_listener;
	bool mounted;
};

/* libfuse reports through a callback without a context, and a line in pieces. While options are
 * checked and the mount is made its first line is kept, later ones go to the log.
 */
static struct {
	char text[256];
	size_t length;
	bool complete; /* the newline has come */
	bool keeping;
	bool debug;
} fuse_message;

static void keep_message(const char *piece)
{
	size_t room = sizeof(fuse_message.text) - 1 - fuse_message.length;
	size_t length = strcspn(piece, "\n");

	if (fuse_message.complete)
		return;
	fuse_message.complete = piece[length] == '\n';
	length = length < room ? length : room;
	memcpy(fuse_message.text + fuse_message.length, piece, length);
	fuse_message.length += length;
}

__attribute__((format(printf, 2, 0))) static void on_fuse_log(enum fuse_log_level level,
							      const char *format, va_list arguments)
{
	char line[512];
	char *text = line;

	if (fuse_message.debug) {
		vfprintf(stderr, format, arguments);
		return;
	}
	if (level > FUSE_LOG_WARNING)
		return;
	vsnprintf(line, sizeof(line), format, arguments);
	if (strncmp(text, "fuse: ", 6) == 0)
		text += 6;
	if (fuse_message.keeping) {
		keep_message(text);
		return;
	}
	text[strcspn(text, "\n")] = '\0';
	log_message(level <= FUSE_LOG_ERR ? LOG_ERR : LOG_WARNING, "%s", text);
}

static const char *kept_message(const char *otherwise)
{
	return fuse_message.text[0] ? fuse_message.text : otherwise;
}

/* As libfuse reads option values: ',' and '\' are escaped. */
static void write_escaped_option(const char *value, FILE *out)
{
	for (; *value; value++) {
		if (*value == ',' || *value == '\\')
			putc('\\', out);
		putc(*value, out);
	}
}

/* The caller's; NULL when out of memory. */
static char *make_fuse_options(const struct session_options *options)
{
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	if (!out)
		return NULL;
	fputs("fsname=", out);
	write_escaped_option(options->source, out);
	if (options->read_only)
		fputs(",ro", out);
	if (options->debug)
		fputs(",debug", out);
	if (options->fuse_options && *options->fuse_options)
		fprintf(out, ",%s", options->fuse_options);
	/* Last, where nothing overrides them: by its type a mount is known as ours. */
	fputs(",default_permissions,subtype=mmapfs", out);
	if (fclose(out) != 0) {
		free(text);
		return NULL;
	}
	return text;
}

const char *session_libfuse_version(void)
{
	return fuse_pkgversion();
}

static void cleanup_session(struct session **session)
{
	session_free(*session);
}

/* What libfuse would take, and must not; NULL for nothing. */
static const char *find_refused(const char *options)
{
	static const char io_uring[] = "io_uring";
	const char *at = options;

	while (at && *at) {
		if (strncmp(at, io_uring, sizeof(io_uring) - 1) == 0)
			return io_uring;
		at += strcspn(at, ",");
		at += *at == ',';
	}
	return NULL;
}

static int check_options(const struct session_options *options, struct error *error)
{
	const char *refused = find_refused(options->fuse_options);

	if (!refused)
		return 0;
	error_add(error, NULL, "option '%s': is not supported, whatever libfuse can do", refused);
	return -EINVAL;
}

static int make_session(const struct session_options *options, struct error *error,
			struct session **ret)
{
	_cleanup_(cleanup_session) struct session *session = calloc(1, sizeof(*session));
	_cleanup_(cleanup_free) char *fuse_options = make_fuse_options(options);
	char *arguments[] = { (char *)"mmapfs", (char *)"-o", fuse_options, NULL };
	struct fuse_args parsed = FUSE_ARGS_INIT(3, arguments);

	if (session)
		session->status_listener = -1;
	if (!session || !fuse_options)
		return -ENOMEM;
	session->options = options;
	session->fs.options = options;
	fuse_message.debug = options->debug;
	fuse_message.keeping = true;
	fuse_set_log_func(on_fuse_log);
	session->fuse = fuse_session_new(&parsed, &operations, sizeof(operations), &session->fs);
	fuse_opt_free_args(&parsed);
	if (!session->fuse) {
		error_add(error, NULL, "%s", kept_message("options refused by libfuse"));
		return -EINVAL;
	}
	*ret = steal_pointer(&session);
	return 0;
}

int session_new(const struct session_options *options, struct error *error, struct session **ret)
{
	int result = check_options(options, error);

	return result < 0 ? result : make_session(options, error, ret);
}

static int init_fs(struct session *session, const struct tree *tree)
{
	struct fs *fs = &session->fs;
	size_t size = (tree_node_count(tree) + 1) * sizeof(*fs->states);
	void *states = mmap(NULL, size, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (states == MAP_FAILED)
		return -ENOMEM;
	fs->states = states;
	fs->tree = tree;
	fs->owner = geteuid();
	fs->group = getegid();
	fs->session = session->fuse;
	pthread_mutex_init(&fs->states_lock, NULL);
	pthread_cond_init(&fs->drops_done, NULL);
	clock_gettime(CLOCK_REALTIME, &fs->mounted);
	return handles_init(&fs->handles) ?: guard_install();
}

/* fuse_session_mount(), with what fusermount3 has to say kept for *ret_message, the caller's. */
static int mount_quietly(struct fuse_session *fuse, const char *mountpoint, char **ret_message)
{
	_cleanup_(cleanup_close) int said = memfd_create("fusermount3", MFD_CLOEXEC);
	_cleanup_(cleanup_close) int own = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3);
	int result;

	if (said >= 0 && own >= 0)
		dup2(said, STDERR_FILENO);
	result = fuse_session_mount(fuse, mountpoint);
	if (said >= 0 && own >= 0)
		dup2(own, STDERR_FILENO);
	if (result < 0 && said >= 0)
		*ret_message = mount_read_message(said);
	return result;
}

int session_mount(struct session *session, const char *mountpoint, const struct tree *tree,
		  struct error *error)
{
	_cleanup_(cleanup_free) char *message = NULL;
	struct mount mount;
	int result;

	session->mountpoint = strdup(mountpoint);
	session->fs.mountpoint = session->mountpoint;
	result = session->mountpoint ? init_fs(session, tree) : -ENOMEM;
	if (result < 0)
		return result;
	/* A signal from here on waits for the thread that unmounts. */
	signals_block();
	signal(SIGPIPE, SIG_IGN);
	signal(SIGXFSZ, SIG_IGN); /* growing past RLIMIT_FSIZE is EFBIG */
	signal(SIGIO, SIG_IGN);   /* somebody waits for a lease, which is dropped soon: lease.h */
	signal(SIGCHLD, SIG_DFL); /* libfuse waits for mount(8) from 3.17 on; ignored, it cannot */
	if (mount_quietly(session->fuse, mountpoint, &message) < 0) {
		error_add(error, NULL, "%s: %s", mountpoint,
			  message ?: kept_message("cannot be mounted"));
		return -EIO;
	}
	fuse_message.keeping = false;
	session->mounted = true;
	if (mount_find(mountpoint, &mount) == 0) {
		session->device = session->fs.device = mount.device;
		session->status_listener = status_listen(mount.device);
	}
	return 0;
}

/* The kernel's first request is INIT, and it is answered when its processing returns. */
static int serve_init(struct fuse_session *fuse)
{
	struct fuse_buf buf = { 0 };
	int result;

	do
		result = fuse_session_receive_buf(fuse, &buf);
	while (result == -EINTR);
	if (result > 0)
		fuse_session_process_buf(fuse, &buf);
	free(buf.mem);
	if (result > 0 && fuse_session_exited(fuse))
		return -EPROTO; /* libfuse has refused it, and said why */
	return result > 0 ? 0 : result < 0 ? result : -ENOTCONN;
}

static void set_kernel_limit(dev_t device, const char *name, int value)
{
	char path[64];
	FILE *setting;

	snprintf(path, sizeof(path), "/sys/class/bdi/%u:%u/%s", major(device), minor(device), name);
	setting = device ? fopen(path, "we") : NULL;
	if (!setting)
		return;
	fprintf(setting, "%d", value);
	fclose(setting);
}

/* Only root may raise these, and for others they stay as they are.
 *
 * The kernel reads ahead 128 KiB on FUSE mounts; as large as a request can be makes a first
 * sequential read 1.25 times, a scan of a mapping 1.5 times as fast. But a page that is touched in a
 * mapping brings along as much, too.
 *
 * It holds back 1 % of what all mounts together may have dirty. Its strict limit stays: it keeps
 * those who write into the images, as we do, from being held up for pages that wait for us. For the
 * same reason the workers, which this thread is going to start, are not to wait for the writing of
 * pages when they need memory.
 */
#define READAHEAD_KIB 1024

static void raise_limits(const struct session *session)
{
	if (!session->options->random)
		set_kernel_limit(session->device, "read_ahead_kb", READAHEAD_KIB);
	if (!session->fs.writeback)
		return;
	set_kernel_limit(session->device, "max_ratio", 100);
	(void)prctl(PR_SET_IO_FLUSHER, 1, 0, 0, 0);
}

/* fsync every slice that somebody may have mapped to write: it waits for the kernel's writeback,
 * which syncfs(2) on a FUSE mount only starts. Runs in a child, on its copy of the states.
 */
static bool sync_writers(void *context, int mount_fd)
{
	const struct fs *fs = context;
	bool all = true;

	for (uint32_t node = TREE_ROOT; node <= tree_node_count(fs->tree); node++) {
		struct tree_item item;
		int fd;

		if ((fs->states[node].writers == 0 && fs->states[node].direct == 0) ||
		    !tree_item(fs->tree, node, &item))
			continue;
		fd = openat(mount_fd, item.name, O_RDONLY | O_CLOEXEC);
		if (fd < 0 && errno == EACCES)
			fd = openat(mount_fd, item.name, O_WRONLY | O_CLOEXEC);
		all &= fd >= 0;
		if (fd < 0)
			continue;
		fsync(fd); /* what fails is counted where it comes in */
		close(fd);
	}
	return all;
}

/* A thread that waits in the kernel for a page cannot be left behind: it would keep the connection
 * alive, and the page waits for a worker.
 */
static void quiesce(void *context)
{
	drops_stop(context);
}

static int run_loop(struct session *session)
{
	struct workers *workers;
	struct stopper stopper = {
		.session = session->fuse,
		.mountpoint = session->mountpoint,
		.device = session->device,
		.sync = sync_writers,
		.quiesce = quiesce,
		.context = &session->fs,
	};
	int result;

	result = workers_new(session->fuse, &workers);
	if (result < 0)
		return result;
	slice_on_wait(worker_will_wait);
	result = stopper_start(&stopper);
	if (result == 0) {
		result = workers_run(workers);
		/* What is left of them returns, now that the connection is dead. */
		drops_stop(&session->fs);
		stopper_finish(&stopper);
		if (session->fs.writeback && stopper.unsynced)
			atomic_store(&session->fs.lost, true);
	}
	workers_free(workers);
	/* ECONNABORTED: the unmount came while a request was on its way. */
	return result == -ECONNABORTED ? 0 : result;
}

/* Put a dead descriptor in the place of the session's: fuse_session_unmount(), which must be called
 * to free what the session holds, then finds nothing to unmount. (The write end of a pipe without
 * a reader polls as POLLERR, just as /dev/fuse does after an unmount.)
 */
static void disconnect(struct fuse_session *fuse)
{
	int ends[2];

	if (pipe2(ends, O_CLOEXEC) < 0)
		return;
	close(ends[0]);
	dup3(ends[1], fuse_session_fd(fuse), O_CLOEXEC);
	close(ends[1]);
}

/* Take the mount away if it is still there, wherever that is, and close the connection. What has
 * come in its place is somebody else's.
 */
static void unmount(struct session *session)
{
	_cleanup_(cleanup_free) char *path = NULL;

	session->mounted = false;
	if (connection_alive(session->fuse) && session->device &&
	    (mount_find_device(session->device, session->mountpoint, &path) < 0 ||
	     strcmp(path, session->mountpoint) != 0)) {
		if (path)
			(void)mount_detach(path, true, NULL);
		disconnect(session->fuse);
	}
	fuse_session_unmount(session->fuse);
}

/* The last word on what failed, whatever the log has held back meanwhile. */
static void log_losses(const struct session *session)
{
	const struct tree *tree = session->fs.tree;

	for (size_t i = 0; i < tree_image_count(tree); i++) {
		struct tree_image image = tree_image_at(tree, i);
		int error = image_error_last(image.image);

		if (error < 0)
			log_message(LOG_CRIT, "image '%s': not everything reached the disk: %s",
				    image.path, strerror(-error));
	}
	log_message(LOG_CRIT, "'%s': not everything reached the disk", session->mountpoint);
}

static void start_trimmer(uint64_t limit)
{
	int result = 0;

	if (limit > 0)
		result = trim_start(limit == SESSION_MEMORY_DEFAULT ? trim_limit_default() : limit);
	if (result < 0)
		log_message(LOG_WARNING, "memory is not limited: %s", strerror(-result));
}

int session_run(struct session *session)
{
	int result = serve_init(session->fuse);
	int flushed;

	if (result == 0) {
		start_trimmer(session->options->memory);
		/* Not before: INIT sets the kernel's own value. */
		raise_limits(session);
		session->options->ready(session->options->ready_context);
		result = run_loop(session);
	}
	if (result < 0)
		log_message(LOG_ERR, "session ended: %s", strerror(-result));
	trim_stop();
	unmount(session);
	flushed = flush_images(session->fs.tree);
	if (flushed == 0 && (image_error_count() > 0 || atomic_load(&session->fs.lost)))
		flushed = -EIO;
	if (flushed < 0)
		log_losses(session);
	result = result < 0 ? result : flushed;
	if (session->status_listener >= 0)
		status_tell(steal_fd(&session->status_listener), result);
	return result;
}

void session_free(struct session *session)
{
	if (!session)
		return;
	if (session->mounted)
		unmount(session);
	if (session->fuse)
		fuse_session_destroy(session->fuse);
	if (session->status_listener >= 0)
		close(session->status_listener);
	handles_destroy(&session->fs.handles);
	free(session->fs.strays.data);
	if (session->fs.states) {
		munmap(session->fs.states,
		       (tree_node_count(session->fs.tree) + 1) * sizeof(*session->fs.states));
		pthread_cond_destroy(&session->fs.drops_done);
		pthread_mutex_destroy(&session->fs.states_lock);
	}
	free(session->mountpoint);
	free(session);
}
