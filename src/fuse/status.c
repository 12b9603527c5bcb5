/* SPDX-License-Identifier: MIT */
/* The abstract socket over which a mount's end is told. */
#include "status.h"

#include "cleanup.h"

#include <poll.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/un.h>

static socklen_t make_address(dev_t device, struct sockaddr_un *ret)
{
	*ret = (struct sockaddr_un){ .sun_family = AF_UNIX };
	/* sun_path[0] is NUL: abstract. */
	snprintf(ret->sun_path + 1, sizeof(ret->sun_path) - 1, "mmapfs/%u:%u", major(device),
		 minor(device));
	return offsetof(struct sockaddr_un, sun_path) + 1 + strlen(ret->sun_path + 1);
}

int status_listen(dev_t device)
{
	_cleanup_(cleanup_close) int fd =
		socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct sockaddr_un address;
	socklen_t size = make_address(device, &address);

	if (fd < 0 || bind(fd, (struct sockaddr *)&address, size) < 0 || listen(fd, SOMAXCONN) < 0)
		return -errno;
	return steal_fd(&fd);
}

void status_tell(int listener, int result)
{
	int32_t answer = result;
	int peer;

	while ((peer = accept4(listener, NULL, NULL, SOCK_CLOEXEC)) >= 0) {
		(void)!send(peer, &answer, sizeof(answer), MSG_NOSIGNAL);
		close(peer);
	}
	close(listener);
}

int status_connect(dev_t device, uid_t owner, struct status_connection *ret)
{
	/* Not blocking: waiters that gave up stay in the backlog, and may have filled it. */
	_cleanup_(cleanup_close) int fd =
		socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct sockaddr_un address;
	socklen_t size = make_address(device, &address);
	struct ucred peer;
	socklen_t peer_size = sizeof(peer);
	int process;

	if (fd < 0 || connect(fd, (struct sockaddr *)&address, size) < 0 ||
	    getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &peer_size) < 0)
		return -errno;
	/* Anybody may bind the name first; only the mount's owner can be its daemon. */
	if (peer.uid != owner && peer.uid != 0)
		return -EPERM;
	process = syscall(SYS_pidfd_open, peer.pid, 0);
	if (process < 0)
		return -errno;
	*ret = (struct status_connection){ steal_fd(&fd), process };
	return 0;
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
