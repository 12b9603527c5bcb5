/* SPDX-License-Identifier: MIT */
/* Build-time tool: the manual page from its template, with the options where it says so. */
#include "options.h"

#include <string.h>

int main(int argc, char **argv)
{
	FILE *template = argc == 2 ? fopen(argv[1], "r") : NULL;
	char line[1024];

	if (!template) {
		fprintf(stderr, "usage: %s TEMPLATE\n", argv[0]);
		return 2;
	}
	while (fgets(line, sizeof(line), template)) {
		if (strcmp(line, "@OPTIONS@\n") == 0)
			options_print_manual(stdout);
		else
			fputs(line, stdout);
	}
	fclose(template);
	return ferror(stdout) || fflush(stdout) != 0;
}
