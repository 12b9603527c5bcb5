/* SPDX-License-Identifier: MIT */
#ifndef CLI_OPTIONS_INTERNAL_H
#define CLI_OPTIONS_INTERNAL_H

#include "options.h"

#define COUNT(array) (sizeof(array) / sizeof(*(array)))

enum mount_option_key {
	MOUNT_OPTION_END,
#define OPTION(key, ...)
#define MOUNT_OPTION(key, ...) MOUNT_OPTION_##key,
#define IGNORED(name)
#include "options.def"
#undef OPTION
#undef MOUNT_OPTION
#undef IGNORED
};

struct mount_option_entry {
	enum mount_option_key key;
	const char *name;
	const char *argument;
	const char *help;
};

/* In the order of options.def; ends with one without a name. */
extern const struct mount_option_entry mount_option_entries[];

/* What -o takes for the sake of fstab(5), and does nothing about; ends with NULL. */
extern const char *const mount_options_ignored[];

/* Decode the list behind a -o. 0, -EINVAL with messages, or -ENOMEM. */
int mount_options_read(struct options *options, const char *list, struct error *error);

/* Index of value in the words, or -EINVAL. */
int option_word(const char *value, const char *const *words, size_t count);

#endif
