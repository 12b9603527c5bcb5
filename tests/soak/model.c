/* SPDX-License-Identifier: MIT
 *
 * The bytes that must be there. All processes share one copy of each image; who owns a byte changes
 * it there just after the call that wrote it has returned.
 */
#include "soak.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static uint64_t min_u64(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

bool piece_next(const struct slice *slice, uint64_t offset, uint64_t length, int *index,
		struct piece *ret)
{
	uint64_t start = 0;

	for (int i = 0; i < slice->count; i++) {
		const struct extent *extent = &slice->extents[i];
		/* The tail that grows has its room in the model. */
		uint64_t has = slice->resize ? UINT64_MAX / 2 : extent->length;
		uint64_t from = offset > start ? offset : start;
		uint64_t to = min_u64(offset + length, start + has);

		if (i >= *index && from < to) {
			*index = i + 1;
			*ret = (struct piece){ extent->image, extent->offset + (from - start),
					       to - from, from - offset };
			return true;
		}
		start += has;
	}
	return false;
}

void model_get(const struct slice *slice, uint64_t offset, size_t length, uint8_t *ret)
{
	struct piece piece;

	for_each_piece(piece, slice, offset, length)
	{
		if (piece.image == ZEROS)
			memset(ret + piece.position, 0, piece.length);
		else
			memcpy(ret + piece.position, shared->model[piece.image] + piece.offset,
			       piece.length);
	}
}

void model_put(const struct slice *slice, uint64_t offset, size_t length, const uint8_t *data)
{
	struct piece piece;

	for_each_piece(piece, slice, offset, length) memcpy(
		shared->model[piece.image] + piece.offset, data + piece.position, piece.length);
}

int image_open(int image)
{
	int fd = open(shared->paths[image], O_RDWR | O_CLOEXEC);

	if (fd < 0)
		die("open of image %d: %s", image, strerror(errno));
	return fd;
}

uint64_t image_size(int image)
{
	struct stat st;

	if (stat(shared->paths[image], &st))
		die("stat of image %d: %s", image, strerror(errno));
	return (uint64_t)st.st_size;
}

/* --- operations
 * ---------------------------------------------------------------------------------
 */

uint8_t *model_begin(int client, const struct slice *slice, uint64_t offset, size_t length,
		     enum kind kind)
{
	struct client *me = &shared->clients[client];
	uint64_t place = me->begun % RING;

	me->ring[place] =
		(struct record){ (uint32_t)(slice - layout.slices), kind, offset, length };
	return me->payload[place];
}

void model_publish(int client)
{
	shared->clients[client].begun++;
}

void model_end(int client, size_t length)
{
	struct client *me = &shared->clients[client];
	uint64_t place = me->done % RING;
	const struct record *record = &me->ring[place];

	model_put(&layout.slices[record->slice], record->offset, length, me->payload[place]);
	me->written += length;
	me->done++;
}

/* The last operations of the owner that have touched the byte. */
static void tell_history(const struct slice *slice, int image, uint64_t byte)
{
	const struct client *owner = &shared->clients[slice->owner];
	uint64_t begun = owner->begun;

	fprintf(stderr, "soak: image %d, byte %ju; its owner is client %d; operations on it:\n",
		image, (uintmax_t)byte, slice->owner);
	for (uint64_t n = begun > RING ? begun - RING : 0; n < begun; n++) {
		const struct record *record = &owner->ring[n % RING];
		struct piece piece;

		for_each_piece(piece, &layout.slices[record->slice], record->offset,
			       record->length) if (piece.image == image && byte >= piece.offset &&
						   byte - piece.offset < piece.length)
			fprintf(stderr,
				"soak:   %ju of %ju: kind %u, slice %s, offset %ju "
				"length %ju: 0x%02x\n",
				(uintmax_t)n, (uintmax_t)begun, record->kind,
				layout.slices[record->slice].name, (uintmax_t)record->offset,
				(uintmax_t)record->length,
				owner->payload[n % RING][piece.position + byte - piece.offset]);
	}
}

/* What the image has of a piece that may or may not have been written. */
static void settle_piece(const struct slice *slice, const struct piece *piece,
			 const uint8_t *payload)
{
	static uint8_t buf[LENGTH_MAX];
	uint8_t *model = shared->model[piece->image] + piece->offset;
	int fd = image_open(piece->image);
	ssize_t got = pread(fd, buf, piece->length, (off_t)piece->offset);
	ssize_t first = -1;
	ssize_t last = 0;

	if (got < 0)
		die("pread of image %d: %s", piece->image, strerror(errno));
	close(fd);
	for (ssize_t i = 0; i < got; i++) {
		if (buf[i] == model[i] || buf[i] == payload[i]) {
			model[i] = buf[i];
			continue;
		}
		if (first < 0)
			first = i;
		last = i;
	}
	if (first < 0)
		return;
	tell_history(slice, piece->image, piece->offset + (uint64_t)first);
	die("image %d, bytes %ju to %ju, after a write that failed, are neither old nor new: the "
	    "first is 0x%02x, not 0x%02x or 0x%02x",
	    piece->image, (uintmax_t)piece->offset + first, (uintmax_t)piece->offset + last,
	    buf[first], model[first], payload[first]);
}

void model_settle(int client, size_t length)
{
	struct client *me = &shared->clients[client];
	uint64_t place = me->done % RING;
	const struct record *record = &me->ring[place];
	const struct slice *slice = &layout.slices[record->slice];
	struct piece piece;

	model_put(slice, record->offset, length, me->payload[place]);
	for_each_piece(piece, slice, record->offset + length, record->length - length)
		settle_piece(slice, &piece, me->payload[place] + length + piece.position);
	me->written += length;
	me->done++;
}

/* --- comparing
 * ----------------------------------------------------------------------------------
 */

static void die_wrong(const char *what, const struct slice *slice, uint64_t offset, size_t length,
		      size_t first, const uint8_t *data, const uint8_t *want)
{
	struct piece piece;
	size_t wrong = 0;
	size_t last = first;

	for (size_t i = first; i < length; i++) {
		if (data[i] != want[i]) {
			wrong++;
			last = i;
		}
	}
	for_each_piece(piece, slice, offset + first, 1)
		tell_history(slice, piece.image, piece.offset);
	die("%s: slice %s, offset %ju length %zu: %zu bytes from %zu to %zu differ; the first is "
	    "0x%02x, not 0x%02x",
	    what, slice->name, (uintmax_t)offset, length, wrong, first, last, data[first],
	    want[first]);
}

void check_own(const struct slice *slice, uint64_t offset, size_t length, const uint8_t *data)
{
	static uint8_t want[LENGTH_MAX];

	model_get(slice, offset, length, want);
	if (!memcmp(want, data, length))
		return;
	for (size_t i = 0; i < length; i++)
		if (data[i] != want[i])
			die_wrong("wrong", slice, offset, length, i, data, want);
}

void glance_begin(struct glance *glance, const struct slice *slice, uint64_t offset, size_t length)
{
	glance->low = shared->clients[slice->owner].done;
	model_get(slice, offset, length, glance->before);
}

/* Whether an operation of the owner, from low on, has this value for the byte of the image. */
static bool on_its_way(const struct client *owner, uint64_t low, int image, uint64_t byte,
		       uint8_t value)
{
	for (uint64_t n = low; n < owner->begun; n++) {
		struct record record = owner->ring[n % RING];
		struct piece piece;

		if (record.slice >= SLICES || record.length > LENGTH_MAX)
			continue; /* being replaced: too old in any case */
		for_each_piece(piece, &layout.slices[record.slice], record.offset,
			       record.length) if (piece.image == image && byte >= piece.offset &&
						  byte - piece.offset < piece.length &&
						  owner->payload[n % RING][piece.position + byte -
									   piece.offset] ==
							  value) return true;
	}
	return false;
}

bool glance_check(struct glance *glance, const struct slice *slice, uint64_t offset, size_t length,
		  const uint8_t *data)
{
	static uint8_t after[LENGTH_MAX];
	const struct client *owner = &shared->clients[slice->owner];
	struct piece piece;
	size_t wrong = SIZE_MAX;

	model_get(slice, offset, length, after);
	for_each_piece(piece, slice, offset, length)
	{
		for (size_t i = piece.position; i < piece.position + piece.length; i++) {
			if (data[i] == glance->before[i] || data[i] == after[i] ||
			    on_its_way(owner, glance->low, piece.image,
				       piece.offset + (i - piece.position), data[i]))
				continue;
			wrong = i;
			break;
		}
		if (wrong != SIZE_MAX)
			break;
	}
	if (wrong == SIZE_MAX)
		return true;
	/* Model and ring tell only as long as nothing in the ring has been replaced. */
	atomic_thread_fence(memory_order_seq_cst);
	if (owner->begun - glance->low >= RING)
		return false;
	die_wrong("wrong, in another's slice", slice, offset, length, wrong, data, after);
	return false;
}

void check_either(int client, const uint8_t *data, size_t length)
{
	const struct client *me = &shared->clients[client];
	uint64_t place = me->done % RING;
	const struct record *record = &me->ring[place];
	const struct slice *slice = &layout.slices[record->slice];
	static uint8_t old[LENGTH_MAX];

	model_get(slice, record->offset, length, old);
	for (size_t i = 0; i < length; i++)
		if (data[i] != old[i] && data[i] != me->payload[place][i])
			die_wrong("neither old nor new", slice, record->offset, length, i, data,
				  old);
}

/* --- windows
 * ------------------------------------------------------------------------------------
 */

bool in_trouble(uint64_t moment)
{
	return moment % 4 != CALM;
}

static bool window_met(const struct window *window, const struct slice *slice, uint64_t offset,
		       uint64_t length, enum trouble trouble)
{
	struct piece piece;

	if (window->trouble != trouble)
		return false;
	if (slice->tail && slice->extents[0].image == TWO)
		return trouble == CUT;
	for_each_piece(piece, slice, offset, length)
	{
		if (trouble == FULL && piece.image == THREE)
			return true;
		if (trouble == CUT && piece.image == TWO &&
		    piece.offset + piece.length > window->lost_from)
			return true;
	}
	return false;
}

bool met_trouble(const struct slice *slice, uint64_t offset, size_t length, uint64_t from,
		 uint64_t to, enum trouble trouble)
{
	uint64_t start = offset & ~(PAGE - 1);
	uint64_t end = min_u64((offset + length + PAGE - 1) & ~(PAGE - 1), slice->size);

	for (uint64_t w = from / 4; w <= to / 4; w++)
		if (from <= 4 * w + ENDING && to >= 4 * w + BEGINNING &&
		    window_met(&shared->windows[w % WINDOWS], slice, start, end - start, trouble))
			return true;
	return false;
}

bool was_lost(const struct slice *slice, uint64_t offset, size_t length, uint64_t from, uint64_t to)
{
	const struct window *window = &shared->windows[from / 4 % WINDOWS];
	struct piece piece;

	if (from != to || from % 4 != STEADY || window->trouble != CUT || length == 0)
		return false;
	for_each_piece(piece, slice, offset,
		       length) if (piece.image != TWO ||
				   piece.offset < window->lost_from) return false;
	return true;
}
