/* SPDX-License-Identifier: MIT
 *
 * What a client does where, which errors it takes, and how it gets over them.
 */
#include "client.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

/* --- choosing
 * -----------------------------------------------------------------------------------
 */

struct slice *some_own(void)
{
	return own[!one_in(3) ? chance(own_count < 6 ? own_count : 6) : chance(own_count)];
}

struct slice *some_slice(void)
{
	return &layout.slices[chance(!one_in(3) ? 48 : SLICES - 1)];
}

size_t some_length(void)
{
	switch (chance(8)) {
	case 0:
	case 1:
		return 1 + chance(16);
	case 2:
		return PAGE * (1 + chance(8));
	case 3:
		return 1 + chance(LENGTH_MAX);
	default:
		return 1 + chance(2 * PAGE);
	}
}

uint64_t some_offset(uint64_t size)
{
	uint64_t offset = chance(size);

	switch (chance(8)) {
	case 0:
		return offset & ~(PAGE - 1);
	case 1:
		return size - 1 - chance(size < 100 ? size : 100);
	default:
		return offset;
	}
}

size_t clip(const struct slice *slice, uint64_t offset, size_t length)
{
	uint64_t left = offset < slice->size ? slice->size - offset : 0;

	return length < left ? length : left;
}

/* --- judging
 * ------------------------------------------------------------------------------------
 */

void count(enum kind kind, size_t length)
{
	me->counts[kind]++;
	me->bytes[kind] += length;
}

bool may_fail(const struct slice *slice, uint64_t offset, size_t length, uint64_t from, int error)
{
	uint64_t to = shared->moment;

	if (error != ENOSPC && met_trouble(slice, offset, length, from, to, CUT)) {
		if (error == EIO || error == 0) {
			me->eio += error == EIO;
			return true;
		}
	}
	if (error != EIO && met_trouble(slice, offset, length, from, to, FULL)) {
		if (error == ENOSPC || error == 0) {
			me->enospc += error == ENOSPC;
			return true;
		}
	}
	return false;
}

bool may_fail_sync(const struct slice *slice, uint64_t from, int error)
{
	if (error != EIO || !met_trouble(slice, 0, slice->size, from, shared->moment, CUT))
		return false;
	me->eio++;
	return true;
}

void check_hole(const struct slice *slice, uint64_t offset, size_t length, uint64_t from)
{
	int fd = image_open(THREE);
	bool hole = false;
	struct piece piece;

	for_each_piece(piece, slice, offset, length)
	{
		off_t start = (off_t)(piece.offset & ~(PAGE - 1));
		off_t end = (off_t)(piece.offset + piece.length);

		hole |= piece.image == THREE && lseek(fd, start, SEEK_HOLE) < end;
	}
	close(fd);
	if (!hole && shared->moment == from && from % 4 == STEADY)
		die("ENOSPC, but image %d has no hole below slice %s, offset %ju length %zu", THREE,
		    slice->name, (uintmax_t)offset, length);
}

void refute_lost(const struct slice *slice, uint64_t offset, size_t length, uint64_t from)
{
	if (was_lost(slice, offset, length, from, shared->moment))
		die("%s of slice %s, offset %ju length %zu, which is lost: no error", me->doing,
		    slice->name, (uintmax_t)offset, length);
}

void redo(void)
{
	static uint8_t buf[LENGTH_MAX];
	const struct record *record = &me->ring[me->done % RING];
	const struct slice *slice = &layout.slices[record->slice];
	const uint8_t *payload = me->payload[me->done % RING];
	size_t length = record->length;

	hands_drop();
	for (;;) {
		uint64_t from;
		ssize_t got;
		ssize_t put = -1;
		int fd;

		me->unsettled = true;
		while (in_trouble(shared->moment) && !shared->failed) {
			me->beat = now_ms();
			usleep(2000);
		}
		me->unsettled = false;
		from = shared->moment;
		if (in_trouble(from))
			continue;
		fd = slice_open(slice, O_RDWR);
		(void)fsync(fd); /* an error that nobody has been told of */
		got = pread(fd, buf, length, (off_t)record->offset);
		if (got == (ssize_t)length) {
			check_either(self, buf, length);
			put = pwrite(fd, payload, length, (off_t)record->offset);
		}
		(void)close(fd);
		if (put == (ssize_t)length)
			break;
		if (shared->moment == from)
			die("redo of slice %s, offset %ju length %zu: read %zd, wrote %zd: %s",
			    slice->name, (uintmax_t)record->offset, length, got, put,
			    strerror(errno));
	}
	model_end(self, length);
	me->redone++;
}
