/* SPDX-License-Identifier: MIT */
/* Files of several names in a cpio archive. Some programs write the data with the first name, some
 * with the last, some with each: the first name that has data is the file, all others are links to
 * it. Names wait until then. The memory is that of the names.
 */
#include "archive_format.h"

#include "cleanup.h"
#include "vec.h"

#include <search.h>
#include <string.h>

struct inode {
	struct inode *next; /* that appeared */
	uint64_t device;
	uint64_t number;
	char *file;               /* the name of the member with the data, once that has come */
	enum left_out reason;     /* why the member with the data is not shown */
	struct member attributes; /* of the first that waits */
	VEC(char *) waiting;
};

struct archive_links {
	void *by_number; /* a tree */
	struct inode *first;
	struct inode **end; /* where the next one goes; NULL: first */
};

static void inode_free(struct inode *inode)
{
	for (size_t i = 0; i < inode->waiting.count; i++)
		free(inode->waiting.data[i]);
	free(inode->waiting.data);
	free(inode->file);
	free(inode);
}

static void keep(void *inode)
{
}

struct archive_links *archive_links_new(void)
{
	return calloc(1, sizeof(struct archive_links));
}

void archive_links_free(struct archive_links *links)
{
	if (!links)
		return;
	tdestroy(links->by_number, keep);
	while (links->first) {
		struct inode *next = links->first->next;

		inode_free(links->first);
		links->first = next;
	}
	free(links);
}

static int compare(const void *a, const void *b)
{
	const struct inode *left = a;
	const struct inode *right = b;

	if (left->device != right->device)
		return left->device < right->device ? -1 : 1;
	return (left->number > right->number) - (left->number < right->number);
}

/* NULL: no memory */
static struct inode *find_inode(struct archive_links *links, uint64_t device, uint64_t number)
{
	const struct inode wanted = { .device = device, .number = number };
	struct inode *const *found = tfind(&wanted, &links->by_number, compare);
	struct inode *inode;

	if (found)
		return *found;
	inode = calloc(1, sizeof(*inode));
	if (!inode)
		return NULL;
	inode->device = device;
	inode->number = number;
	if (!tsearch(inode, &links->by_number, compare)) {
		free(inode);
		return NULL;
	}
	*(links->end ?: &links->first) = inode;
	links->end = &inode->next;
	return inode;
}

static int give_link(const struct inode *inode, const struct member *file, const char *name,
		     struct sink *sink)
{
	struct member link = *file;

	link.kind = MEMBER_LINK;
	link.name = name;
	link.target = inode->file;
	link.pieces = NULL;
	link.piece_count = 0;
	return sink->member(sink, &link);
}

/* The file itself, then the links that have waited for it. */
static int give_file(struct inode *inode, const struct member *file, struct sink *sink)
{
	int result = 0;

	inode->file = strdup(file->name);
	if (!inode->file)
		return -ENOMEM;
	result = sink->member(sink, file);
	for (size_t i = 0; i < inode->waiting.count; i++) {
		if (result == 0)
			result = give_link(inode, file, inode->waiting.data[i], sink);
		free(inode->waiting.data[i]);
	}
	inode->waiting.count = 0;
	return result;
}

static int wait_for_data(struct inode *inode, const struct member *member)
{
	char *name;

	if (vec_reserve(&inode->waiting, 1) < 0)
		return -ENOMEM;
	name = strdup(member->name);
	if (!name)
		return -ENOMEM;
	if (inode->waiting.count == 0)
		inode->attributes = *member;
	inode->waiting.data[inode->waiting.count++] = name;
	return 0;
}

int archive_links_add(struct archive_links *links, uint64_t device, uint64_t inode_number,
		      const struct member *member, enum left_out reason, struct sink *sink,
		      uint64_t *left_out)
{
	struct inode *inode = find_inode(links, device, inode_number);

	if (!inode)
		return -ENOMEM;
	if (inode->file)
		return give_link(inode, member, member->name, sink);
	if (reason != LEFT_NOTHING || inode->reason != LEFT_NOTHING) {
		inode->reason = reason != LEFT_NOTHING ? reason : inode->reason;
		left_out[inode->reason]++;
		return 0;
	}
	if (member->piece_count > 0)
		return give_file(inode, member, sink);
	return wait_for_data(inode, member);
}

static int end_inode(struct inode *inode, bool complete, struct sink *sink, uint64_t *left_out)
{
	_cleanup_(cleanup_free) char *name = NULL;
	struct member file = inode->attributes;

	if (inode->waiting.count == 0)
		return 0;
	if (inode->reason != LEFT_NOTHING || !complete) {
		left_out[inode->reason ?: LEFT_BROKEN] += inode->waiting.count;
		return 0;
	}
	name = inode->waiting.data[0];
	inode->waiting.count--;
	memmove(inode->waiting.data, inode->waiting.data + 1,
		inode->waiting.count * sizeof(*inode->waiting.data));
	file.name = name;
	return give_file(inode, &file, sink);
}

int archive_links_end(struct archive_links *links, bool complete, struct sink *sink,
		      uint64_t *left_out)
{
	for (struct inode *inode = links->first; inode; inode = inode->next) {
		int result = end_inode(inode, complete, sink, left_out);

		if (result < 0)
			return result;
	}
	return 0;
}
