/* SPDX-License-Identifier: MIT
 *
 * The operations of a client that change bytes. Each is announced to the model, done, and judged.
 */
#include "client.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static void write_with(int flags, enum kind kind)
{
	struct slice *slice = some_own();
	bool past = one_in(12);
	uint64_t offset = some_offset(slice->size + (past ? 64 : 0));
	size_t length = some_length();
	size_t want = clip(slice, offset, length);
	struct hand *hand = hand_get(slice, flags);
	uint64_t from = shared->moment;
	ssize_t put;

	if (!past)
		length = want;
	chance_fill(model_begin(self, slice, offset, want, kind), length);
	model_publish(self);
	put = pwrite(hand->fd, me->payload[me->done % RING], length, (off_t)offset);
	if (want == 0) {
		if (put >= 0 || errno != ENOSPC)
			die("write at the end of slice %s gave %zd: %s", slice->name, put,
			    put < 0 ? strerror(errno) : "");
		me->enospc_end++;
		model_end(self, 0);
		return;
	}
	count(kind, put > 0 ? (size_t)put : 0);
	if (put >= 0)
		refute_lost(slice, offset, want, from);
	if (put == (ssize_t)want) {
		model_end(self, want);
		return;
	}
	if (!may_fail(slice, offset, want, from, put < 0 ? errno : 0))
		die("%s to slice %s, offset %ju length %zu gave %zd: %s", me->doing, slice->name,
		    (uintmax_t)offset, want, put, put < 0 ? strerror(errno) : "short");
	if (put < 0 && errno == ENOSPC)
		check_hole(slice, offset, want, from);
	/* What the image has of it now the next cut may take away, and a page of the kernel
	 * keep.
	 */
	if (from % 4 == BEGINNING || shared->moment % 4 == BEGINNING)
		redo();
	else
		model_settle(self, put < 0 ? 0 : (size_t)put);
}

void op_write(void)
{
	me->doing = "write";
	write_with(O_RDWR, KIND_WRITE);
}

void op_write_only(void)
{
	me->doing = "write, O_WRONLY";
	write_with(O_WRONLY, KIND_WRITE_ONLY);
}

void op_write_direct(void)
{
	me->doing = "write, O_DIRECT";
	write_with(O_RDWR | O_DIRECT, KIND_WRITE_DIRECT);
}

void op_write_sync(void)
{
	me->doing = "write, O_SYNC";
	write_with(one_in(2) ? O_RDWR | O_SYNC : O_WRONLY | O_DSYNC, KIND_WRITE_SYNC);
}

void op_store(void)
{
	struct slice *slice = some_own();
	uint64_t offset = some_offset(slice->size);
	size_t length = clip(slice, offset, some_length());
	uint64_t from = shared->moment;
	uint64_t start = offset & ~(PAGE - 1);
	struct hand *hand;
	int error = 0;

	me->doing = "store";
	/* One that fails is redone later, and the client waits: not too often. */
	if (!slice->mappable || (in_trouble(from) && !one_in(8)))
		return;
	hand = hand_get(slice, O_RDWR);
	if (!hand_map(hand))
		return;
	chance_fill(model_begin(self, slice, offset, length, KIND_STORE), length);
	model_publish(self);
	if (!copy_guarded(hand->map + offset, me->payload[me->done % RING], length))
		error = EIO;
	if (msync(hand->map + start, offset + length - start, MS_SYNC) && !error)
		error = errno;
	count(KIND_STORE, length);
	if (!error) {
		refute_lost(slice, offset, length, from);
		model_end(self, length);
		return;
	}
	if (!may_fail(slice, offset, length, from, error) && !may_fail_sync(slice, from, error))
		die("store and msync of slice %s, offset %ju length %zu: %s", slice->name,
		    (uintmax_t)offset, length, strerror(error));
	redo();
}

static bool has_image(const struct slice *slice, int image)
{
	for (int i = 0; i < slice->count; i++)
		if (slice->extents[i].image == image)
			return true;
	return false;
}

void op_allocate(void)
{
	static const struct {
		enum kind kind;
		int mode;
	} ways[] = {
		{ KIND_ALLOCATE, 0 },
		{ KIND_ALLOCATE, FALLOC_FL_KEEP_SIZE },
		{ KIND_PUNCH, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE },
		{ KIND_PUNCH, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE },
		{ KIND_ZERO, FALLOC_FL_ZERO_RANGE },
		{ KIND_ZERO, FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE },
	};
	size_t way = chance(sizeof(ways) / sizeof(ways[0]));
	struct slice *slice = some_own();
	uint64_t offset = some_offset(slice->size);
	size_t length = clip(slice, offset, some_length());
	struct hand *hand = hand_get(slice, one_in(2) ? O_RDWR : O_WRONLY);
	bool changes = ways[way].kind != KIND_ALLOCATE;
	uint64_t from = shared->moment;
	int error = 0;

	me->doing = "fallocate";
	/* ext4 without room can show old blocks of a range that it failed to zero. */
	if (ways[way].kind == KIND_ZERO && has_image(slice, THREE))
		return;
	if (changes) {
		memset(model_begin(self, slice, offset, length, ways[way].kind), 0, length);
		model_publish(self);
	}
	if (fallocate(hand->fd, ways[way].mode, (off_t)offset, (off_t)length))
		error = errno;
	count(ways[way].kind, error ? 0 : length);
	if (!error)
		refute_lost(slice, offset, length, from);
	me->unsupported += error == EOPNOTSUPP;
	if (error && error != EOPNOTSUPP && !may_fail(slice, offset, length, from, error))
		die("fallocate 0x%x of slice %s, offset %ju length %zu: %s",
		    (unsigned int)ways[way].mode, slice->name, (uintmax_t)offset, length,
		    strerror(error));
	if (!changes)
		return;
	if (!error || error == EOPNOTSUPP)
		model_end(self, error ? 0 : length);
	else
		redo();
}

void op_copy(void)
{
	struct slice *source = some_own();
	struct slice *target = some_own();
	uint64_t offset = some_offset(target->size);
	uint64_t source_offset = some_offset(source->size);
	size_t length = clip(target, offset, clip(source, source_offset, some_length()));
	struct hand *in;
	struct hand *out;
	uint64_t from;
	off_t at = (off_t)source_offset;
	off_t to = (off_t)offset;
	ssize_t put;
	int error;

	me->doing = "copy_file_range";
	if (source == target)
		return;
	in = hand_get(source, O_RDONLY);
	out = hand_get(target, one_in(2) ? O_RDWR : O_WRONLY);
	if (in->slice != source)
		return; /* had to make room */
	from = shared->moment;
	model_get(source, source_offset, length,
		  model_begin(self, target, offset, length, KIND_COPY));
	model_publish(self);
	put = copy_file_range(in->fd, &at, out->fd, &to, length, 0);
	error = put < 0 ? errno : 0;
	count(KIND_COPY, put > 0 ? (size_t)put : 0);
	if (put > 0) {
		refute_lost(source, source_offset, length, from);
		refute_lost(target, offset, length, from);
	}
	if (put == (ssize_t)length) {
		model_end(self, length);
		return;
	}
	if (!may_fail(target, offset, length, from, error) &&
	    ((error && error != EIO) ||
	     !met_trouble(source, source_offset, length, from, shared->moment, CUT)))
		die("copy_file_range from slice %s at %ju to %s at %ju length %zu gave %zd: %s",
		    source->name, (uintmax_t)source_offset, target->name, (uintmax_t)offset, length,
		    put, error ? strerror(error) : "short");
	redo();
}
