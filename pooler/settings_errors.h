/*
 * The faults of a configuration, collected so that one look at them is enough: a line for each, of the form
 *
 *      FILE:LINE: setting: reason
 *
 * up to CONFIG_ERRORS_MAX, in a caller's array of CONFIG_ERROR_BYTES. Control characters are shown as '?'. Nothing that
 * may be a secret belongs into them.
 *
 * Inside pooler/settings*.c only; one thread.
 */
#ifndef POOLER_SETTINGS_ERRORS_H
#define POOLER_SETTINGS_ERRORS_H

#include <stddef.h>

/* What is wrong with one value: the text that setting_parse and its like write. */
#define CONFIG_REASON_BYTES 256

struct config_errors {
	char *text; /* borrowed from the caller; always ends in a NUL */
	size_t bytes;
	size_t used;
	unsigned count;
};

void config_errors_init(struct config_errors *errors, char *text, size_t bytes);
/* `line` 0: the file as a whole. `file` NULL: no file. `subject` NULL: none. */
void config_errors_add(struct config_errors *errors, const char *file, unsigned line, const char *subject,
		       const char *format, ...) __attribute__((format(printf, 5, 6)));

#endif
