/* SPDX-License-Identifier: MIT */
#ifndef CLI_TEXT_H
#define CLI_TEXT_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

/* Names and other strings that may come out of an image, on a terminal or in XML. Bytes that are
 * no UTF-8, that control something, or that turn the direction of writing are shown as \ooo, so
 * that no name can do more than be read.
 */
enum text_form {
	TEXT_ASCII, /* everything else than ASCII as \ooo */
	TEXT_UTF8,
	TEXT_XML, /* UTF-8, with entities for what XML gives a meaning to */
};

/* Columns that text takes as a whole. */
unsigned text_width(const char *text, enum text_form form);

/* Write text in at most so many columns, with an ellipsis for what was cut out of its middle.
 * Returns the columns that it takes.
 */
unsigned text_put(const char *text, unsigned columns, enum text_form form, FILE *out);

/* "1,234,567" */
#define TEXT_COUNT_MAX 32
char *text_count(uint64_t count, char text[TEXT_COUNT_MAX]);

/* "37 %"; "<1 %" and ">99 %" where rounding would say none or all. */
#define TEXT_PERCENT_MAX 16
char *text_percent(uint64_t part, uint64_t whole, char text[TEXT_PERCENT_MAX]);

#endif
