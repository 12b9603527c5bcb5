/* SPDX-License-Identifier: MIT */
/* plan -h, --map and --svg: where they go to, and what the terminal can show. */
#include "cli.h"

#include "cleanup.h"
#include "size.h"
#include "view.h"

#include <fcntl.h>
#include <langinfo.h>
#include <locale.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

#define COLUMNS_MIN 20
#define COLUMNS_MAX 1000

static void cleanup_view(struct view **view)
{
	view_free(*view);
}

static bool is_stdout(const char *path)
{
	return path && strcmp(path, "-") == 0;
}

int draw_check(const struct options *options)
{
	if (options->json && (options->map || options->human)) {
		complain("--json does not go together with --map or -h");
		return EXIT_USAGE;
	}
	if (is_stdout(options->svg) && (options->json || options->map || options->human)) {
		complain("only one thing goes to standard output; give --svg a file");
		return EXIT_USAGE;
	}
	return 0;
}

/* --- the terminal --------------------------------------------------------------------------- */

static bool locale_is_utf8(void)
{
	locale_t locale = newlocale(LC_CTYPE_MASK, "", NULL);
	bool is_utf8 = locale && strcmp(nl_langinfo_l(CODESET, locale), "UTF-8") == 0;

	if (locale)
		freelocale(locale);
	return is_utf8;
}

static unsigned terminal_columns(void)
{
	const char *given = getenv("COLUMNS");
	unsigned long columns = 80;
	struct winsize window;

	if ((!given || number_parse(given, 10, UINT32_MAX, &columns) < 0 || columns == 0) &&
	    ioctl(STDOUT_FILENO, TIOCGWINSZ, &window) == 0 && window.ws_col > 0)
		columns = window.ws_col;
	if (columns < COLUMNS_MIN)
		return COLUMNS_MIN;
	return columns < COLUMNS_MAX ? columns : COLUMNS_MAX;
}

/* As https://no-color.org has it: set and not empty means none. */
static unsigned terminal_colours(void)
{
	const char *term = getenv("TERM");
	const char *no_colour = getenv("NO_COLOR");

	if (!isatty(STDOUT_FILENO) || (no_colour && *no_colour) || !term || !*term ||
	    strcmp(term, "dumb") == 0)
		return 0;
	return strstr(term, "256") || strstr(term, "direct") || getenv("COLORTERM") ? 256 : 8;
}

static int draw_map(const struct view *view)
{
	struct picture_style style = {
		.columns = terminal_columns(),
		.utf8 = locale_is_utf8(),
		.colours = terminal_colours(),
	};
	int result = 0;

	for (size_t i = 0; i < view_image_count(view) && result == 0; i++) {
		_cleanup_(picture_clear) struct picture picture = { 0 };

		result = picture_make(view_image(view, i), style.columns, &picture);
		if (i > 0)
			putchar('\n');
		if (result == 0)
			picture_print(&picture, &style, stdout);
	}
	return result;
}

/* --- SVG ------------------------------------------------------------------------------------ */

static int write_svg(const struct view *view, FILE *out)
{
	size_t count = view_image_count(view);
	struct picture *pictures = calloc(count + 1, sizeof(*pictures));
	int result = pictures ? 0 : -ENOMEM;

	for (size_t i = 0; i < count && result == 0; i++)
		result = picture_make(view_image(view, i), PICTURE_SVG_COLUMNS, &pictures[i]);
	if (result == 0)
		result = picture_svg(pictures, count, out);
	for (size_t i = 0; pictures && i < count; i++)
		picture_clear(&pictures[i]);
	free(pictures);
	return result;
}

/* Not an image that is to be drawn: a slip, and a costly one. */
static bool is_image(const struct tree *tree, const struct stat *status)
{
	for (size_t i = 0; i < tree_image_count(tree); i++)
		if (image_is(tree_image_at(tree, i).image, status))
			return true;
	return false;
}

static int open_output(const struct tree *tree, const char *path, FILE **ret)
{
	_cleanup_(cleanup_close) int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0666);
	struct stat status;
	FILE *out;

	if (fd < 0 || fstat(fd, &status) < 0)
		return -errno;
	if (is_image(tree, &status))
		return -EBUSY;
	if (S_ISREG(status.st_mode) && ftruncate(fd, 0) < 0)
		return -errno;
	out = fdopen(fd, "w");
	if (!out)
		return -errno;
	(void)steal_fd(&fd);
	*ret = out;
	return 0;
}

static int draw_svg(const struct tree *tree, const struct view *view, const char *path)
{
	FILE *out = NULL;
	int result;

	if (is_stdout(path))
		return write_svg(view, stdout);
	result = open_output(tree, path, &out);
	if (result == 0) {
		result = write_svg(view, out);
		if (result == 0 && (fflush(out) != 0 || ferror(out)))
			result = -errno ?: -EIO;
		if (fclose(out) != 0 && result == 0)
			result = -errno;
	}
	if (result == -EBUSY)
		complain("%s: this is an image, and stays as it is", path);
	else if (result < 0 && result != -ENOMEM)
		complain("%s: %s", path, strerror(-result));
	return result == 0 || result == -ENOMEM ? result : EXIT_FAILED;
}

int draw(const struct tree *tree, const struct options *options)
{
	_cleanup_(cleanup_view) struct view *view = NULL;
	int result = view_new(tree, &view);

	if (result == 0 && options->svg)
		result = draw_svg(tree, view, options->svg);
	if (result == 0 && options->map)
		result = draw_map(view);
	else if (result == 0 && options->human)
		view_list(view, locale_is_utf8(), stdout);
	if (result < 0)
		complain("%s", strerror(-result));
	return result < 0 ? EXIT_FAILED : result;
}
