/* SPDX-License-Identifier: MIT */
/* The table of open files: indices for the kernel, slots for us. */
#include "fs.h"

#include "cleanup.h"

#include <assert.h>
#include <sys/mman.h>

int handles_init(struct handles *handles)
{
	void *slots = mmap(NULL, HANDLES_MAX * sizeof(struct handle), PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (slots == MAP_FAILED)
		return -errno;
	pthread_mutex_init(&handles->lock, NULL);
	handles->slots = slots;
	return 0;
}

void handles_destroy(struct handles *handles)
{
	if (!handles->slots)
		return;
	for (uint32_t i = 0; i < handles->used; i++)
		free(handles->slots[i].text);
	munmap(handles->slots, HANDLES_MAX * sizeof(struct handle));
	pthread_mutex_destroy(&handles->lock);
	handles->slots = NULL;
}

/* All but opener, which other threads may look at, and which is 0 already. */
static void handle_clear(struct handle *handle)
{
	handle->cursor = 0;
	handle->node = 0;
	handle->generation = 0;
	handle->losses = 0;
	handle->direct = false;
	handle->sync = false;
	handle->resize = false;
	handle->counted_cached = false;
	handle->counted_writer = false;
	handle->counted_direct = false;
	atomic_store(&handle->passed, 0);
	handle->text = NULL;
	handle->text_size = 0;
}

int handle_open(struct handles *handles, uint64_t *ret)
{
	uint32_t index;

	pthread_mutex_lock(&handles->lock);
	if (handles->free) {
		index = handles->free - 1;
		handles->free = handles->slots[index].next_free;
	} else if (handles->used < HANDLES_MAX) {
		index = handles->used++;
	} else {
		pthread_mutex_unlock(&handles->lock);
		return -ENFILE;
	}
	pthread_mutex_unlock(&handles->lock);
	handle_clear(&handles->slots[index]);
	*ret = index;
	return 0;
}

void handle_close(struct handles *handles, uint64_t index)
{
	struct handle *handle = handle_get(handles, index);

	free(handle->text);
	handle->text = NULL;
	atomic_store(&handle->opener, 0);
	pthread_mutex_lock(&handles->lock);
	handle->next_free = handles->free;
	handles->free = index + 1;
	pthread_mutex_unlock(&handles->lock);
}

struct handle *handle_get(struct handles *handles, uint64_t index)
{
	assert(index < HANDLES_MAX);
	return &handles->slots[index];
}

struct handle *handle_use(struct handles *handles, uint64_t index)
{
	struct handle *handle = handle_get(handles, index);

	/* Loaded first: requests come by all the time, and the line is shared by all workers. */
	if (atomic_load(&handle->opener) != 0)
		atomic_store(&handle->opener, 0);
	return handle;
}

bool handles_just_opened(struct handles *handles, uint32_t node, pid_t thread)
{
	bool found = false;
	uint32_t used;

	pthread_mutex_lock(&handles->lock);
	used = handles->used;
	pthread_mutex_unlock(&handles->lock);
	/* The slot looked for was filled by the thread that waits for the answer to this, so it
	 * does not move; whatever happens to the others, they do not match.
	 */
	for (uint32_t i = 0; i < used && !found; i++)
		found = atomic_load(&handles->slots[i].opener) == (uint32_t)thread + 1 &&
			handles->slots[i].node == node;
	return found;
}
