/* SPDX-License-Identifier: MIT */
#ifndef MMAPFS_POLICY_H
#define MMAPFS_POLICY_H

#include <stdint.h>
#include <stdio.h>

/* What a slice, an image or the command line says of how bytes are used: docs/memory.md.
 *
 * The first of these three that says something decides it. Advice is one of four words, and so is
 * decided as a whole; normal is none of its bits.
 */
enum policy_bit {
	POLICY_SEQUENTIAL = 1 << 0,
	POLICY_RANDOM = 1 << 1,
	POLICY_WILLNEED = 1 << 2,
	POLICY_HUGEPAGES = 1 << 3,
	POLICY_POPULATE = 1 << 4,
	POLICY_LOCK = 1 << 5,
	POLICY_DROP_BEHIND = 1 << 6,
};

#define POLICY_ADVICE (POLICY_SEQUENTIAL | POLICY_RANDOM | POLICY_WILLNEED)

struct memory_policy {
	uint8_t said; /* bits that something is said about */
	uint8_t on;   /* those of them that are wanted */
};

/* What first says, and what second says of the rest. */
static inline struct memory_policy policy_over(struct memory_policy first,
					       struct memory_policy second)
{
	return (struct memory_policy){ first.said | second.said,
				       first.on | (second.on & ~first.said) };
}

/* Add what one option says: "advice=random", "hugepages", "populate=off". 0; -EINVAL a bad value;
 * -ENOENT it is no such option.
 */
int policy_parse(const char *option, struct memory_policy *policy);

/* The options that say the same, each with a comma before it. */
void policy_write(struct memory_policy policy, FILE *out);

#endif
