#include "pooler/settings_errors.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "pooler/settings.h"

/* Twenty of these, their newlines and the last line fit CONFIG_ERROR_BYTES. */
#define ERROR_LINE_BYTES 384
#define ERROR_FILE_BYTES 80 /* of a longer path its end is shown */

_Static_assert(CONFIG_ERROR_BYTES >= 64 + CONFIG_ERRORS_MAX * ERROR_LINE_BYTES, "the lines fit");

void config_errors_init(struct config_errors *errors, char *text, size_t bytes)
{
	*errors = (struct config_errors){ .text = text, .bytes = bytes };
	if (bytes > 0)
		text[0] = '\0';
}

static void errors_put(struct config_errors *errors, const char *line)
{
	size_t room = errors->bytes - errors->used;
	int wanted = snprintf(errors->text + errors->used, room, "%s%s", errors->used > 0 ? "\n" : "", line);

	if (wanted >= 0 && (size_t)wanted < room)
		errors->used += (size_t)wanted;
	else if (room > 0)
		errors->text[errors->used] = '\0'; /* half a line helps nobody */
}

static void hide_control_characters(char *text)
{
	for (; *text; text++) {
		if ((unsigned char)*text < ' ' || *text == 0x7f)
			*text = '?';
	}
}

/* "FILE:LINE: ", or nothing. */
static void print_place(const char *file, unsigned line, char *out, size_t out_bytes)
{
	size_t bytes = file ? strlen(file) : 0;
	const char *dots = bytes > ERROR_FILE_BYTES - 4 ? "..." : "";
	const char *shown = *dots ? file + bytes - (ERROR_FILE_BYTES - 4) : file;

	if (!file)
		out[0] = '\0';
	else if (line > 0)
		snprintf(out, out_bytes, "%s%s:%u: ", dots, shown, line);
	else
		snprintf(out, out_bytes, "%s%s: ", dots, shown);
}

void config_errors_add(struct config_errors *errors, const char *file, unsigned line, const char *subject,
		       const char *format, ...)
{
	char place[ERROR_FILE_BYTES + 16], reason[CONFIG_REASON_BYTES], whole[ERROR_LINE_BYTES];
	va_list arguments;

	errors->count++;
	if (errors->count > CONFIG_ERRORS_MAX) {
		if (errors->count == CONFIG_ERRORS_MAX + 1)
			errors_put(errors, "... and more");
		return;
	}
	va_start(arguments, format);
	vsnprintf(reason, sizeof(reason), format, arguments);
	va_end(arguments);
	print_place(file, line, place, sizeof(place));
	if (subject)
		snprintf(whole, sizeof(whole), "%s%.100s: %.180s", place, subject, reason);
	else
		snprintf(whole, sizeof(whole), "%s%s", place, reason);
	hide_control_characters(whole);
	errors_put(errors, whole);
}
