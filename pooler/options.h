/*
 * The command line.
 *
 *      pgweir [OPTIONS] CONFIG | URL
 *
 * Only in the main thread, before anything else.
 */
#ifndef POOLER_OPTIONS_H
#define POOLER_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>

enum options_action {
	OPTIONS_RUN,
	OPTIONS_CHECK,         /* --check */
	OPTIONS_PRINT_CONFIG,  /* --print-config */
	OPTIONS_VERSION,       /* -V */
	OPTIONS_HELP,          /* -h */
	OPTIONS_HELP_MARKDOWN, /* --help-settings=markdown: docs/settings.md */
	OPTIONS_HELP_MAN,      /* --help-settings=man: docs/pgweir.1 */
};

struct options {
	enum options_action action;
	char *path;     /* owned; CONFIG; NULL when a URL was given */
	char *url;      /* owned; secret; NULL when a file was given */
	int verbosity;  /* -q: -1; each -v: one more. With the setting `verbose` added, what log_set_verbosity wants */
	bool daemonize; /* -d */
	const char *user; /* borrowed from argv; -u; NULL: stay who we are */
};

#define OPTIONS_ERROR_BYTES 512
#define OPTIONS_EXIT_FAILURE 1 /* the configuration is not good */
#define OPTIONS_EXIT_USAGE 2   /* the command line is not */

/* Reads the command line. A password in a URL is covered in argv itself, where ps shows it. False: `error` says why,
 * and `options` holds nothing. */
bool options_parse(struct options *options, int argc, char **argv, char *error, size_t error_bytes);
/* Wipes and frees. */
void options_clear(struct options *options);

struct config;
/* The configuration that the command line names; as config_load. */
struct config *options_load(const struct options *options, char *const *env, char *error, size_t error_bytes);
/* Does what every action but OPTIONS_RUN asks for: prints to stdout, errors to stderr. Returns the exit status. */
int options_inform(const struct options *options, char *const *env);

#endif
