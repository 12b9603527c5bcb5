/* SPDX-License-Identifier: MIT */
/* Which listings carry attributes. For those who only want names, attributes make a listing six
 * times as slow: the kernel makes an inode of each entry. For those who ask about every entry then,
 * as `ls -l` and `du` do, each costs a request of its own without them.
 *
 * So threads that list folders are watched: one that has asked about more than one in ASK_WORTH of
 * the entries that it was told gets attributes from then on. It is advice only: a slot that two
 * threads share, or a thread whose number comes back, makes a listing slower and never wrong.
 */
#include "fs.h"

#define RELAXED memory_order_relaxed /* nothing hangs on what is noted here */

/* A request costs as much as the attributes of so many entries. */
#define ASK_WORTH 6

/* Who has listed millions of names without a question is no less heard later. */
#define BALANCE_MIN (-1000000)

static struct lister *find_lister(fuse_req_t request, uint32_t *ret_thread)
{
	*ret_thread = fuse_req_ctx(request)->pid;
	return &request_fs(request)->listers[*ret_thread % LISTERS];
}

bool lister_asks(fuse_req_t request)
{
	uint32_t thread;
	struct lister *lister = find_lister(request, &thread);

	return atomic_load_explicit(&lister->thread, RELAXED) == thread &&
	       atomic_load_explicit(&lister->balance, RELAXED) > 0;
}

void lister_told(fuse_req_t request, uint32_t directory, unsigned count)
{
	uint32_t thread;
	struct lister *lister = find_lister(request, &thread);
	int32_t balance = 0;

	if (atomic_exchange_explicit(&lister->thread, thread, RELAXED) == thread)
		balance = atomic_load_explicit(&lister->balance, RELAXED);
	balance = balance - (int32_t)count > BALANCE_MIN ? balance - (int32_t)count : BALANCE_MIN;
	atomic_store_explicit(&lister->balance, balance, RELAXED);
	atomic_store_explicit(&lister->directory, directory, RELAXED);
}

void lister_asked(fuse_req_t request, uint32_t directory)
{
	uint32_t thread;
	struct lister *lister = find_lister(request, &thread);

	if (atomic_load_explicit(&lister->directory, RELAXED) == directory &&
	    atomic_load_explicit(&lister->thread, RELAXED) == thread &&
	    atomic_load_explicit(&lister->balance, RELAXED) <= 0)
		atomic_fetch_add_explicit(&lister->balance, ASK_WORTH, RELAXED);
}
