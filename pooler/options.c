#define _GNU_SOURCE /* memrchr */
#include "pooler/options.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/crypto.h>

#include "pooler/settings.h"
#include "pooler/settings_table.h"
#include "pooler/version.h"

static const char help[] = "pgweir pools connections to PostgreSQL.\n"
			   "\n"
			   "Usage:\n"
			   "  pgweir [OPTIONS] CONFIG                      as a file says\n"
			   "  pgweir [OPTIONS] postgres://user:pw@host/db  one database, no file\n"
			   "\n"
			   "Options:\n"
			   "      --check         check the configuration, and exit\n"
			   "      --print-config  print the settings in force, passwords as ***, and exit\n"
			   "  -d, --daemon        run in the background\n"
			   "  -u, --user=USER     become this user once the sockets are open\n"
			   "  -q, --quiet         log only warnings and errors\n"
			   "  -v, --verbose       log more; twice: everything\n"
			   "  -V, --version       print the version, and exit\n"
			   "  -h, --help          print this, and exit\n"
			   "\n"
			   "Settings can also be given in the environment: PGWEIR_LISTEN_PORT=7000.\n"
			   "The settings are listed in docs/settings.md and in pgweir(1).\n";

enum {
	OPTION_CHECK = 256, /* beyond the letters */
	OPTION_PRINT_CONFIG,
	OPTION_HELP_SETTINGS,
};

static const struct option long_options[] = {
	{ "check", no_argument, NULL, OPTION_CHECK },
	{ "print-config", no_argument, NULL, OPTION_PRINT_CONFIG },
	{ "help-settings", required_argument, NULL, OPTION_HELP_SETTINGS },
	{ "daemon", no_argument, NULL, 'd' },
	{ "user", required_argument, NULL, 'u' },
	{ "quiet", no_argument, NULL, 'q' },
	{ "verbose", no_argument, NULL, 'v' },
	{ "version", no_argument, NULL, 'V' },
	{ "help", no_argument, NULL, 'h' },
	{ NULL, 0, NULL, 0 },
};

/* ---- the URL in argv ---- */

/* Overwrites what is between, and closes the gap. */
static void cover(char *from, char *to)
{
	size_t rest = strlen(to);

	OPENSSL_cleanse(from, (size_t)(to - from));
	memmove(from, to, rest);
	memset(from + rest, 0, (size_t)(to - from));
}

/* Between the first ':' and the last '@', and in a parameter. */
static void cover_passwords(char *url)
{
	char *user = strstr(url, "://"), *query, *at, *colon, *parameter;

	if (!user)
		return;
	user += 3;
	query = strchr(user, '?');
	at = query ? memrchr(user, '@', (size_t)(query - user)) : strrchr(user, '@');
	colon = at ? memchr(user, ':', (size_t)(at - user)) : NULL;
	if (colon)
		cover(colon, at);
	for (parameter = strstr(url, "password="); parameter; parameter = strstr(parameter, "password=")) {
		parameter += strlen("password=");
		cover(parameter, parameter + strcspn(parameter, "&"));
	}
}

/* ---- parsing ---- */

static bool take_help_settings(struct options *options, const char *format)
{
	if (strcmp(format, "markdown") == 0)
		options->action = OPTIONS_HELP_MARKDOWN;
	else if (strcmp(format, "man") == 0)
		options->action = OPTIONS_HELP_MAN;
	else
		return false;
	return true;
}

/* False: there is no such option, or what it needs is missing. */
static bool take_option(struct options *options, int option)
{
	switch (option) {
	case OPTION_CHECK:
		options->action = OPTIONS_CHECK;
		return true;
	case OPTION_PRINT_CONFIG:
		options->action = OPTIONS_PRINT_CONFIG;
		return true;
	case OPTION_HELP_SETTINGS:
		return take_help_settings(options, optarg);
	case 'V':
		options->action = OPTIONS_VERSION;
		return true;
	case 'h':
		options->action = OPTIONS_HELP;
		return true;
	case 'd':
		options->daemonize = true;
		return true;
	case 'u':
		options->user = optarg;
		return true;
	case 'q':
		options->verbosity = -1;
		return true;
	case 'v':
		options->verbosity += options->verbosity < 0 ? 2 : 1;
		return true;
	default:
		return false;
	}
}

static bool needs_configuration(enum options_action action)
{
	return action == OPTIONS_RUN || action == OPTIONS_CHECK || action == OPTIONS_PRINT_CONFIG;
}

static bool take_configuration(struct options *options, char *argument)
{
	char *copy = strdup(argument);

	if (!copy)
		return false;
	if (config_is_url(argument)) {
		options->url = copy;
		cover_passwords(argument);
	} else {
		options->path = copy;
	}
	return true;
}

static const char *take_arguments(struct options *options, int argc, char **argv)
{
	if (!needs_configuration(options->action))
		return NULL;
	if (optind == argc)
		return "a configuration is needed: pgweir CONFIG, or pgweir postgres://user:password@host/database";
	if (argc - optind > 1)
		return "only one configuration can be given";
	return take_configuration(options, argv[optind]) ? NULL : "out of memory";
}

bool options_parse(struct options *options, int argc, char **argv, char *error, size_t error_bytes)
{
	const char *fault;
	int option;

	*options = (struct options){ .action = OPTIONS_RUN };
	opterr = 0;
	optind = 0; /* glibc: begin anew */
	while ((option = getopt_long(argc, argv, ":Vhdqvu:", long_options, NULL)) != -1) {
		/* getopt has stepped over the word, but for a letter in the middle of one. */
		const char *word = argv[optind > 1 ? optind - 1 : 1];
		if (take_option(options, option))
			continue;
		if (option == ':')
			snprintf(error, error_bytes, "the option %s needs a value", word);
		else if (option == '?' && optopt > 0 && optopt < OPTION_CHECK)
			snprintf(error, error_bytes, "unknown option -%c", optopt);
		else
			snprintf(error, error_bytes, "unknown option %s", word);
		return false;
	}
	fault = take_arguments(options, argc, argv);
	if (!fault)
		return true;
	snprintf(error, error_bytes, "%s", fault);
	options_clear(options);
	return false;
}

void options_clear(struct options *options)
{
	free(options->path);
	if (options->url)
		OPENSSL_cleanse(options->url, strlen(options->url));
	free(options->url);
	*options = (struct options){ .action = OPTIONS_RUN };
}

/* ---- acting ---- */

struct config *options_load(const struct options *options, char *const *env, char *error, size_t error_bytes)
{
	if (options->url)
		return config_from_url(options->url, env, error, error_bytes);
	return config_load(options->path, env, error, error_bytes);
}

static int inform_of_config(const struct options *options, char *const *env)
{
	char error[CONFIG_ERROR_BYTES];
	struct config *config = options_load(options, env, error, sizeof(error));
	bool printed = true;

	if (!config) {
		fprintf(stderr, "%s\n", error);
		return OPTIONS_EXIT_FAILURE;
	}
	if (options->action == OPTIONS_PRINT_CONFIG)
		printed = config_print(config, stdout);
	else if (options->verbosity >= 0)
		printed = printf("%s: the configuration is good\n", options->url ? "URL" : options->path) >= 0;
	config_drop(config);
	return printed && fflush(stdout) == 0 ? EXIT_SUCCESS : OPTIONS_EXIT_FAILURE;
}

int options_inform(const struct options *options, char *const *env)
{
	switch (options->action) {
	case OPTIONS_CHECK:
	case OPTIONS_PRINT_CONFIG:
		return inform_of_config(options, env);
	case OPTIONS_VERSION:
		puts("pgweir " PGWEIR_VERSION);
		break;
	case OPTIONS_HELP:
		fputs(help, stdout);
		break;
	case OPTIONS_HELP_MARKDOWN:
		settings_print_markdown(stdout);
		break;
	case OPTIONS_HELP_MAN:
		settings_print_man(stdout);
		break;
	case OPTIONS_RUN:
		break;
	}
	return fflush(stdout) == 0 && !ferror(stdout) ? EXIT_SUCCESS : OPTIONS_EXIT_FAILURE;
}
