/* SPDX-License-Identifier: MIT */
/* The words for memory policies. */
#include "mmapfs/policy.h"

#include <errno.h>
#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof(*(array)))

static const struct {
	const char *word;
	uint8_t bits;
} advices[] = {
	{ "normal", 0 },
	{ "sequential", POLICY_SEQUENTIAL },
	{ "random", POLICY_RANDOM },
	{ "willneed", POLICY_WILLNEED },
};

static const struct {
	const char *word;
	uint8_t bit;
} switches[] = {
	{ "hugepages", POLICY_HUGEPAGES },
	{ "populate", POLICY_POPULATE },
	{ "lock-memory", POLICY_LOCK },
	{ "drop-behind", POLICY_DROP_BEHIND },
};

static void say(struct memory_policy *policy, uint8_t bits, uint8_t on)
{
	policy->said |= bits;
	policy->on = (policy->on & ~bits) | on;
}

static int parse_advice(const char *value, struct memory_policy *policy)
{
	for (size_t i = 0; i < COUNT(advices); i++)
		if (strcmp(value, advices[i].word) == 0) {
			say(policy, POLICY_ADVICE, advices[i].bits);
			return 0;
		}
	return -EINVAL;
}

int policy_parse(const char *option, struct memory_policy *policy)
{
	if (strncmp(option, "advice=", 7) == 0)
		return parse_advice(option + 7, policy);
	for (size_t i = 0; i < COUNT(switches); i++) {
		size_t length = strlen(switches[i].word);
		const char *value = option + length;

		if (strncmp(option, switches[i].word, length) != 0)
			continue;
		if (*value == '\0' || strcmp(value, "=on") == 0)
			say(policy, switches[i].bit, switches[i].bit);
		else if (strcmp(value, "=off") == 0)
			say(policy, switches[i].bit, 0);
		else
			return *value == '=' ? -EINVAL : -ENOENT;
		return 0;
	}
	return -ENOENT;
}

void policy_write(struct memory_policy policy, FILE *out)
{
	for (size_t i = 0; (policy.said & POLICY_ADVICE) && i < COUNT(advices); i++)
		if ((policy.on & POLICY_ADVICE) == advices[i].bits)
			fprintf(out, ",advice=%s", advices[i].word);
	for (size_t i = 0; i < COUNT(switches); i++)
		if (policy.said & switches[i].bit)
			fprintf(out, ",%s%s", switches[i].word,
				policy.on & switches[i].bit ? "" : "=off");
}
