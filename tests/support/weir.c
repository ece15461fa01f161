#define _GNU_SOURCE 1 /* vasprintf */

#include "tests/support/weir.h"

#include <arpa/inet.h>
#include <check.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/support/clock.h"
#include "tests/support/directory.h"

/* ---- starting ---- */

void weir_prepare(struct weir *weir)
{
	memset(weir, 0, sizeof(*weir));
	directory_create(weir->directory, sizeof(weir->directory), "pgweir");
	directory_create_short(weir->socket, sizeof(weir->socket));
	snprintf(weir->config, sizeof(weir->config), "%s/pgweir.conf", weir->directory);
	snprintf(weir->log, sizeof(weir->log), "%s/log", weir->directory);
	weir->port = free_port();
	weir->listen_addr = "127.0.0.1";
}

/* TEST_WORKERS says how many there are where a test does not. */
static void write_config(const struct weir *weir, const char *settings)
{
	const char *workers = strstr(settings, "workers") ? NULL : getenv("TEST_WORKERS");
	char *text;

	ck_assert_int_ge(asprintf(&text,
				  "listen_addr = \"%s\";\nlisten_port = %u;\nunix_socket_dir = \"%s\";\n%s%s%s%s\n",
				  weir->listen_addr, weir->port, weir->socket, workers ? "workers = " : "",
				  workers ? workers : "", workers ? ";\n" : "", settings),
			 0);
	file_write(weir->config, text);
	free(text);
}

void weir_configure(struct weir *weir, const char *settings, ...)
{
	char *text;
	va_list arguments;

	va_start(arguments, settings);
	ck_assert_int_ge(vasprintf(&text, settings, arguments), 0);
	va_end(arguments);
	write_config(weir, text);
	free(text);
}

static bool can_connect(int family, const void *address, socklen_t bytes)
{
	int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	bool connected = connect(fd, address, bytes) == 0;

	close(fd);
	return connected;
}

/* By TCP when it listens at the usual address, and by its unix socket. */
static bool takes_connections(const struct weir *weir)
{
	struct sockaddr_in address = { .sin_family = AF_INET,
				       .sin_port = htons(weir->port),
				       .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	struct sockaddr_un local = { .sun_family = AF_UNIX };

	int bytes = snprintf(local.sun_path, sizeof(local.sun_path), "%s/.s.PGSQL.%u", weir->socket, weir->port);
	ck_assert_uint_lt((size_t)bytes, sizeof(local.sun_path));
	if (strcmp(weir->listen_addr, "127.0.0.1") == 0 && !can_connect(AF_INET, &address, sizeof(address)))
		return false;
	return can_connect(AF_UNIX, &local, sizeof(local));
}

bool weir_launch(struct weir *weir)
{
	char program[4200];
	int64_t deadline = now_ms() + PATIENCE_MS;

	snprintf(program, sizeof(program), "%s/pgweir", build_directory());
	child_start(&weir->process, (const char *[]){ program, weir->config, NULL },
		    &(struct child_options){ weir->log, weir->extra, 0 });
	while (child_is_running(&weir->process)) {
		if (takes_connections(weir))
			return child_is_running(&weir->process);
		ck_assert_msg(now_ms() < deadline, "pgweir takes no connections");
		pause_ms(2);
	}
	return false;
}

/* Somebody else may take the port between our look and its bind: then another is tried. */
static void launch_with(struct weir *weir, const char *settings)
{
	for (int i = 0; i < 5; i++) {
		write_config(weir, settings);
		if (weir_launch(weir))
			return;
		if (!weir_log_contains(weir, "in use"))
			break;
		weir->port = free_port();
	}
	char *log = file_text(weir->log);
	ck_abort_msg("pgweir does not start: %s", log);
}

void weir_start(struct weir *weir, const char *settings, ...)
{
	char *text;
	va_list arguments;

	weir_prepare(weir);
	va_start(arguments, settings);
	ck_assert_int_ge(vasprintf(&text, settings, arguments), 0);
	va_end(arguments);
	launch_with(weir, text);
	free(text);
}

void weir_start_pool(struct weir *weir, const struct cluster *cluster, const char *database, const char *mode,
		     int pool_size, const char *more)
{
	weir_start(weir,
		   "auth_type = \"trust\";\n"
		   "admin_users = [ \"ops\" ];\n"
		   "stats_users = [ \"viewer\" ];\n"
		   "max_client_conn = 2000;\n"
		   "pool_mode = \"%s\";\n"
		   "databases = (\n"
		   "\t{ name = \"app\"; conninfo = \"host=%s port=%u dbname=%s user=u_trust\"; pool_size = %d; }\n"
		   ");\n"
		   "%s",
		   mode, cluster->host, cluster->port, database, pool_size, more);
}

/* ---- ending ---- */

static void check_log(const struct weir *weir)
{
	bool clean = !weir_log_contains(weir, "Sanitizer") && !weir_log_contains(weir, "runtime error");

	ck_assert_msg(clean, "a sanitizer has found something: see the log");
}

static void clean_up(const struct weir *weir)
{
	directory_remove(weir->socket);
	directory_remove(weir->directory);
}

void weir_stop(struct weir *weir)
{
	ck_assert_msg(child_is_running(&weir->process), "pgweir has died: wait status %#x",
		      (unsigned)weir->process.status);
	child_signal(&weir->process, SIGTERM);
	/* Those who are still there are not waited for. */
	if (!child_wait(&weir->process, 500))
		child_signal(&weir->process, SIGTERM);
	ck_assert_msg(child_wait(&weir->process, PATIENCE_MS), "pgweir does not end");
	check_log(weir);
	ck_assert_msg(weir->process.status == 0, "pgweir ended with wait status %#x", (unsigned)weir->process.status);
	clean_up(weir);
}

int weir_ended(struct weir *weir)
{
	ck_assert_msg(child_wait(&weir->process, PATIENCE_MS), "pgweir does not end");
	check_log(weir);
	ck_assert_msg(WIFEXITED(weir->process.status), "pgweir ended with wait status %#x",
		      (unsigned)weir->process.status);
	clean_up(weir);
	return weir->process.status;
}

/* ---- clients ---- */

PGconn *weir_connect(const struct weir *weir, const char *conninfo, ...)
{
	char *text;
	va_list arguments;

	va_start(arguments, conninfo);
	ck_assert_int_ge(vasprintf(&text, conninfo, arguments), 0);
	va_end(arguments);
	PGconn *connection = sql_connect("host=127.0.0.1 port=%u %s", weir->port, text);
	free(text);
	return connection;
}

PGconn *weir_client(const struct weir *weir)
{
	return weir_connect(weir, "dbname=app user=app_user");
}

PGconn *weir_console(const struct weir *weir)
{
	return weir_connect(weir, "dbname=pgweir user=ops");
}

const char *weir_show(PGconn *console, const char *table, const char *key_column, const char *key, const char *column)
{
	static char value[256];
	PGresult *result = sql_result(console, "SHOW %s", table);
	int wanted = PQfnumber(result, column);
	int keys = PQfnumber(result, key_column);

	ck_assert_msg(PQresultStatus(result) == PGRES_TUPLES_OK, "SHOW %s: %s", table, PQerrorMessage(console));
	ck_assert_msg(wanted >= 0, "SHOW %s has no column %s", table, column);
	ck_assert_msg(keys >= 0, "SHOW %s has no column %s", table, key_column);
	value[0] = '\0';
	for (int row = PQntuples(result); row-- > 0;)
		if (strcmp(PQgetvalue(result, row, keys), key) == 0)
			snprintf(value, sizeof(value), "%s", PQgetvalue(result, row, wanted));
	PQclear(result);
	return value;
}

bool weir_log_contains(const struct weir *weir, const char *text)
{
	return file_contains(weir->log, text);
}
