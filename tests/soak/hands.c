/* SPDX-License-Identifier: MIT
 *
 * The files that a client has open, and its mappings.
 */
#include "client.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define HANDS 16

static struct hand hands[HANDS];

void path_of(const struct slice *slice, char *ret, size_t size)
{
	snprintf(ret, size, "%s/%s", shared->mountpoint, slice->name);
}

int slice_open(const struct slice *slice, int flags)
{
	char path[4096];
	int fd;

	path_of(slice, path, sizeof(path));
	fd = open(path, flags | O_CLOEXEC);
	if (fd < 0)
		die("open of %s with flags 0x%x: %s", slice->name, (unsigned int)flags,
		    strerror(errno));
	return fd;
}

/* The kernel tells of stores that it could not write back to whoever closes next. */
static bool may_inherit_error(const struct hand *hand)
{
	uint64_t moment = shared->moment;

	if (moment != hand->moment || in_trouble(moment))
		return true;
	for (int i = 0; i < CLIENTS; i++)
		if (shared->clients[i].unsettled)
			return true;
	return false;
}

void hand_drop(struct hand *hand)
{
	if (!hand->slice)
		return;
	if (hand->map && munmap(hand->map, hand->slice->size))
		die("munmap of %s: %s", hand->slice->name, strerror(errno));
	if (close(hand->fd) && ((errno != EIO && errno != ENOSPC) || !may_inherit_error(hand)))
		die("close of %s: %s", hand->slice->name, strerror(errno));
	*hand = (struct hand){ 0 };
}

void hands_drop(void)
{
	for (int i = 0; i < HANDS; i++)
		hand_drop(&hands[i]);
}

struct hand *hand_get(const struct slice *slice, int flags)
{
	struct hand *hand = &hands[chance(HANDS)];

	for (int i = 0; i < HANDS; i++)
		if (hands[i].slice == slice && hands[i].flags == flags && !one_in(4))
			return &hands[i];
	hand_drop(hand);
	*hand = (struct hand){ .flags = flags, .moment = shared->moment };
	hand->fd = slice_open(slice, flags);
	hand->slice = slice;
	me->counts[KIND_OPEN]++;
	return hand;
}

/* --- mappings
 * -----------------------------------------------------------------------------------
 */

static sigjmp_buf bus_jump;

static void on_bus(int number)
{
	siglongjmp(bus_jump, 1);
}

bool copy_guarded(uint8_t *target, const uint8_t *source, size_t length)
{
	if (sigsetjmp(bus_jump, 1)) {
		signal(SIGBUS, SIG_DFL);
		me->sigbus++;
		return false;
	}
	signal(SIGBUS, on_bus);
	memcpy(target, source, length);
	signal(SIGBUS, SIG_DFL);
	return true;
}

bool hand_map(struct hand *hand)
{
	int protection = PROT_READ | ((hand->flags & O_ACCMODE) == O_RDWR ? PROT_WRITE : 0);

	if (hand->map)
		return true;
	hand->map = mmap(NULL, hand->slice->size, protection, MAP_SHARED, hand->fd, 0);
	if (hand->map != MAP_FAILED)
		return true;
	hand->map = NULL;
	if (errno != ENODEV)
		die("mmap of %s: %s", hand->slice->name, strerror(errno));
	me->enodev++;
	return false;
}

/* --- the end
 * ------------------------------------------------------------------------------------
 */

void slice_check_all(const struct slice *slice, int flags)
{
	static uint8_t buf[LENGTH_MAX];
	int fd = slice_open(slice, flags);

	for (uint64_t offset = 0; offset < slice->size;) {
		size_t want = clip(slice, offset, LENGTH_MAX);
		ssize_t got = pread(fd, buf, want, (off_t)offset);

		if (got != (ssize_t)want)
			die("read of slice %s at the end, offset %ju length %zu gave %zd: %s",
			    slice->name, (uintmax_t)offset, want, got,
			    got < 0 ? strerror(errno) : "short");
		check_own(slice, offset, want, buf);
		offset += want;
	}
	if (close(fd))
		die("close of slice %s: %s", slice->name, strerror(errno));
}
