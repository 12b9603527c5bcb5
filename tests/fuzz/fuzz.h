/* SPDX-License-Identifier: MIT */
#ifndef FUZZ_FUZZ_H
#define FUZZ_FUZZ_H

#include "mmapfs/error.h"
#include "mmapfs/tree.h"

#include <stdint.h>
#include <stdio.h>

/* What the fuzz targets share. A target is one LLVMFuzzerTestOneInput(): libFuzzer feeds it with
 * what it makes up, replay.c with files. It states what must hold of any input by check().
 */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Holds in every build, and ends the program when it does not. */
#define check(condition) ((condition) ? (void)0 : check_failed(#condition, __FILE__, __LINE__))
_Noreturn void check_failed(const char *condition, const char *file, int line);

/* What every reader promises of its messages: there are some exactly when it has failed, and each
 * is one printable line.
 */
void check_messages(int result, const struct error *error);

/* A copy of data with a NUL behind it; the caller's. */
char *copy_text(const uint8_t *data, size_t size);

/* The strings that NULs separate in a text of size bytes: at most max of them, borrowed. */
size_t split_text(char *text, size_t size, char **ret, size_t max);

/* The tree's table; the caller's. */
char *table_of(const struct tree *tree);

/* Everything that holds of each finished tree (check_tree.c). */
void check_tree(const struct tree *tree);

/* The node of a path, found component by component; 0: none. */
uint32_t find_path(const struct tree *tree, const char *path);

#endif
