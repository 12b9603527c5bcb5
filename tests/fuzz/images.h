/* SPDX-License-Identifier: MIT */
#ifndef FUZZ_IMAGES_H
#define FUZZ_IMAGES_H

#include <stdbool.h>

/* The only images there are for a fuzz target, in the folder IMAGES_FOLDER; nothing else of the
 * machine is ever looked at. They are files in memory. A target that names images is linked with
 * IMAGES_WRAPPED of meson.build.
 *
 *   disk      1 MiB
 *   again     another name of disk, as a hard link is
 *   link      a symbolic link to disk
 *   small     100 bytes
 *   odd       4097 bytes
 *   empty     0 bytes
 *   big       5 TiB
 *   huge      2^63 - 1 bytes: larger than address space
 */
#define IMAGES_FOLDER "/images"

/* Whether the last tree that was built can also be mapped: it has no huge image. */
bool images_can_be_mapped(void);

#endif
