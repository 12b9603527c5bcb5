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
	handles->slots[index] = (struct handle){ 0 };
	*ret = index;
	return 0;
}

void handle_close(struct handles *handles, uint64_t index)
{
	struct handle *handle = handle_get(handles, index);

	free(handle->text);
	handle->text = NULL;
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
