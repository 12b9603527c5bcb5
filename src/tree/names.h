/* SPDX-License-Identifier: MIT */
#ifndef TREE_NAMES_H
#define TREE_NAMES_H

#include <stddef.h>
#include <stdint.h>

/* Interned names: each string once, numbered in order of arrival from 0. Zero-initialise. */
struct names {
	char **strings; /* by number; owned */
	size_t count;
	size_t capacity;
	uint32_t *slots; /* hash table of number + 1; 0 is free */
	size_t slot_count;
	uint64_t seed; /* of the hash */
};

/* 0, -EEXIST (*ret is the number it has), or -ENOMEM. */
int names_add(struct names *names, const char *name, uint32_t *ret);

/* 0 or -ENOENT. */
int names_find(const struct names *names, const char *name, uint32_t *ret);

void names_clear(struct names *names);

/* What is wrong with a slice's name (a path within the mount), or NULL when nothing is. */
const char *name_fault(const char *name);

#endif
