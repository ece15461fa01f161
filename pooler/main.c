/*
 * pgweir: the command.
 */
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "pooler/clock.h"
#include "pooler/log.h"
#include "pooler/options.h"
#include "pooler/process.h"
#include "pooler/version.h"

extern char **environ;

/* What is still in the log's queue at the end gets this long. */
#define LOG_CLOSE_WAIT_US (2 * USEC_PER_SEC)

/* Else a socket could become descriptor 2 and be sent the log. */
static void open_standard_descriptors(void)
{
	int fd;

	while ((fd = open("/dev/null", O_RDWR)) >= 0 && fd <= STDERR_FILENO)
		continue;
	if (fd > STDERR_FILENO)
		close(fd);
}

static bool become_user(const char *name)
{
	const struct passwd *user = getpwnam(name);

	if (!user) {
		fprintf(stderr, "pgweir: there is no user \"%s\"\n", name);
		return false;
	}
	if (geteuid() == user->pw_uid)
		return true;
	if (initgroups(user->pw_name, user->pw_gid) != 0 || setgid(user->pw_gid) != 0 || setuid(user->pw_uid) != 0) {
		perror("pgweir: could not become another user");
		return false;
	}
	return true;
}

/* Says how to connect, to somebody who started it with nothing but a URL. */
static void print_how_to_connect(const struct config *config)
{
	const struct database *database = &config->databases[0];
	const struct settings *settings = &config->settings;
	const char *user = database->conninfo.user;

	if (settings->listen_addr.count) {
		printf("application: psql \"host=%s port=%u dbname=%s user=%s\"\n", settings->listen_addr.items[0],
		       settings->listen_port, database->name, user);
		printf("console:     psql \"host=%s port=%u dbname=pgweir user=%s\"\n", settings->listen_addr.items[0],
		       settings->listen_port, user);
	}
	if (settings->unix_socket_dir.count)
		printf("unix socket: psql \"host=%s port=%u dbname=%s user=%s\"\n", settings->unix_socket_dir.items[0],
		       settings->listen_port, database->name, user);
	fflush(stdout);
}

static int run(const struct options *options, struct config *config)
{
	static struct process process;

	if (options->daemonize && daemon(1, 1) != 0) {
		perror("pgweir: could not go into the background");
		config_drop(config);
		return 1;
	}
	if (!log_open()) {
		perror("pgweir: the log could not be opened");
		config_drop(config);
		return 1;
	}
	log_info("pgweir %s starts, %u worker%s", PGWEIR_VERSION, config->settings.workers,
		 config->settings.workers == 1 ? "" : "s");
	if (!process_start(&process, config, options->verbosity)) {
		log_close(LOG_CLOSE_WAIT_US);
		return 1;
	}
	if (options->url)
		print_how_to_connect(config);
	process_run(&process);
	int status = process.exit_status;
	process_end(&process);
	log_info("pgweir has ended");
	log_close(LOG_CLOSE_WAIT_US);
	return status;
}

int main(int argc, char **argv)
{
	static char error[CONFIG_ERROR_BYTES];
	struct options options;

	open_standard_descriptors();
	if (!options_parse(&options, argc, argv, error, sizeof(error))) {
		fprintf(stderr, "pgweir: %s\n", error);
		return 2;
	}
	if (options.action != OPTIONS_RUN) {
		int status = options_inform(&options, environ);
		options_clear(&options);
		return status;
	}
	if (options.user && !become_user(options.user)) {
		options_clear(&options);
		return 1;
	}
	struct config *config = options_load(&options, environ, error, sizeof(error));
	if (!config) {
		fprintf(stderr, "%s\n", error);
		options_clear(&options);
		return 1;
	}
	int status = run(&options, config);
	options_clear(&options);
	return status;
}
