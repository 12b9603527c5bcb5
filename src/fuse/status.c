/* SPDX-License-Identifier: MIT */
/* The abstract socket over which a mount's end is told. */
#include "status.h"

#include "cleanup.h"

#include <inttypes.h>
#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <time.h>

/* Width of a name without its time, and with it. */
#define PREFIX_MAX 40
#define NAME_MAX_SIZE (PREFIX_MAX + 16 + 1)

static void make_prefix(dev_t device, char ret[PREFIX_MAX])
{
	snprintf(ret, PREFIX_MAX, "mmapfs/%u:%u/", major(device), minor(device));
}

static socklen_t make_address(const char *name, struct sockaddr_un *ret)
{
	*ret = (struct sockaddr_un){ .sun_family = AF_UNIX };
	/* sun_path[0] is NUL: abstract. */
	strcpy(ret->sun_path + 1, name);
	return offsetof(struct sockaddr_un, sun_path) + 1 + strlen(name);
}

int status_listen(dev_t device)
{
	_cleanup_(cleanup_close) int fd =
		socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	char prefix[PREFIX_MAX];
	char name[NAME_MAX_SIZE];
	struct sockaddr_un address;
	struct timespec now;
	socklen_t size;

	clock_gettime(CLOCK_BOOTTIME, &now);
	make_prefix(device, prefix);
	/* Fixed width, so that later times sort behind earlier ones. */
	snprintf(name, sizeof(name), "%s%016" PRIx64, prefix,
		 (uint64_t)now.tv_sec * 1000000000 + now.tv_nsec);
	size = make_address(name, &address);
	if (fd < 0 || bind(fd, (struct sockaddr *)&address, size) < 0 || listen(fd, SOMAXCONN) < 0)
		return -errno;
	return steal_fd(&fd);
}

void status_tell(int listener, int result)
{
	int32_t answer = result;
	int peer;

	/* A peer takes a descriptor, and there may be none left. Nobody reads this one any more. */
	close(STDIN_FILENO);
	while ((peer = accept4(listener, NULL, NULL, SOCK_CLOEXEC)) >= 0) {
		(void)!send(peer, &answer, sizeof(answer), MSG_NOSIGNAL);
		close(peer);
	}
	close(listener);
}

/* The last name of a socket for device that sorts before the given one (NULL: the very last), as
 * the kernel lists them. -ENOENT when there is none.
 */
static int find_name(dev_t device, const char *before, char ret[NAME_MAX_SIZE])
{
	_cleanup_(cleanup_fclose) FILE *sockets = fopen("/proc/net/unix", "re");
	char prefix[PREFIX_MAX];
	char line[256];
	bool found = false;

	if (!sockets)
		return -errno;
	make_prefix(device, prefix);
	while (fgets(line, sizeof(line), sockets)) {
		char *name = strchr(line, '@');

		if (!name || strncmp(name + 1, prefix, strlen(prefix)) != 0)
			continue;
		name++;
		name[strcspn(name, "\n")] = '\0';
		if (strlen(name) >= NAME_MAX_SIZE || (before && strcmp(name, before) >= 0) ||
		    (found && strcmp(name, ret) <= 0))
			continue;
		strcpy(ret, name);
		found = true;
	}
	return found ? 0 : -ENOENT;
}

static int connect_to(const char *name, uid_t owner, struct status_connection *ret)
{
	/* Not blocking: waiters that gave up stay in the backlog, and may have filled it. */
	_cleanup_(cleanup_close) int fd =
		socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct sockaddr_un address;
	socklen_t size = make_address(name, &address);
	struct ucred peer;
	socklen_t peer_size = sizeof(peer);
	int process;

	if (fd < 0 || connect(fd, (struct sockaddr *)&address, size) < 0 ||
	    getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &peer_size) < 0)
		return -errno;
	/* Anybody may take a name; only the mount's owner can be its daemon. */
	if (peer.uid != owner && peer.uid != 0)
		return -EPERM;
	process = syscall(SYS_pidfd_open, peer.pid, 0);
	if (process < 0)
		return -errno;
	*ret = (struct status_connection){ steal_fd(&fd), process };
	return 0;
}

int status_connect(dev_t device, uid_t owner, struct status_connection *ret)
{
	char name[NAME_MAX_SIZE];
	char older[NAME_MAX_SIZE];
	int result = find_name(device, NULL, name);

	if (result == 0)
		result = connect_to(name, owner, ret);
	while (result == -EPERM && find_name(device, name, older) == 0) {
		strcpy(name, older);
		result = connect_to(name, owner, ret);
	}
	return result;
}

static int wait_readable(int fd, int timeout_ms)
{
	struct pollfd readable = { .fd = fd, .events = POLLIN };
	int result;

	do
		result = poll(&readable, 1, timeout_ms);
	while (result < 0 && errno == EINTR);
	return result;
}

int status_wait(struct status_connection *connection, int timeout_ms)
{
	int32_t answer;
	ssize_t got;

	if (wait_readable(connection->socket, timeout_ms) == 0)
		return -ETIMEDOUT;
	got = recv(connection->socket, &answer, sizeof(answer), 0);
	/* Its locks on the images go with the process, not before. */
	wait_readable(connection->process, -1);
	close(connection->socket);
	close(connection->process);
	return got == sizeof(answer) ? answer : -EOWNERDEAD;
}
