#define _GNU_SOURCE 1 /* vasprintf */

#include "tests/support/sql.h"

#include <check.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define VALUES 8

/* The formatted text, which the caller frees. */
#define FORMATTED(text, format) \
	char *text; \
	va_list arguments; \
	va_start(arguments, format); \
	ck_assert_int_ge(vasprintf(&(text), format, arguments), 0); \
	va_end(arguments)

static void drop_notice(void *context, const PGresult *result)
{
	(void)context, (void)result;
}

static PGconn *connect_to(const char *conninfo)
{
	PGconn *connection = PQconnectdb(conninfo);

	ck_assert_ptr_nonnull(connection);
	PQsetNoticeReceiver(connection, drop_notice, NULL);
	return connection;
}

PGconn *sql_connect(const char *conninfo, ...)
{
	FORMATTED(text, conninfo);
	PGconn *connection = connect_to(text);
	ck_assert_msg(PQstatus(connection) == CONNECTION_OK, "%s: %s", text, PQerrorMessage(connection));
	free(text);
	return connection;
}

PGconn *sql_try_connect(const char *conninfo, ...)
{
	FORMATTED(text, conninfo);
	PGconn *connection = connect_to(text);
	free(text);
	return connection;
}

void sql_refused(const char *expected, const char *conninfo, ...)
{
	FORMATTED(text, conninfo);
	PGconn *connection = connect_to(text);
	ck_assert_msg(PQstatus(connection) == CONNECTION_BAD, "%s: was let in", text);
	ck_assert_msg(strstr(PQerrorMessage(connection), expected) != NULL, "%s: \"%s\" is not in: %s", text, expected,
		      PQerrorMessage(connection));
	PQfinish(connection);
	free(text);
}

static bool is_good(const PGresult *result)
{
	ExecStatusType status = PQresultStatus(result);

	return status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK || status == PGRES_EMPTY_QUERY;
}

static PGresult *run_well(PGconn *connection, const char *sql)
{
	PGresult *result = PQexec(connection, sql);

	ck_assert_msg(is_good(result), "%s: %s", sql, PQerrorMessage(connection));
	return result;
}

void sql_exec(PGconn *connection, const char *sql, ...)
{
	FORMATTED(text, sql);
	PQclear(run_well(connection, text));
	free(text);
}

/* Keeps it for a while, so that a test may compare some of them in one line. */
static const char *keep(const char *value)
{
	static char *kept[VALUES];
	static unsigned next;
	char **place = &kept[next++ % VALUES];

	free(*place);
	*place = strdup(value);
	return *place;
}

static const char *first_value(PGconn *connection, const char *sql)
{
	PGresult *result = run_well(connection, sql);
	bool has_row = PQntuples(result) > 0 && PQnfields(result) > 0;
	const char *value = keep(has_row ? PQgetvalue(result, 0, 0) : "");

	PQclear(result);
	return value;
}

const char *sql_value(PGconn *connection, const char *sql, ...)
{
	FORMATTED(text, sql);
	const char *value = first_value(connection, text);
	free(text);
	return value;
}

int64_t sql_number(PGconn *connection, const char *sql, ...)
{
	FORMATTED(text, sql);
	int64_t number = strtoll(first_value(connection, text), NULL, 10);
	free(text);
	return number;
}

PGresult *sql_result(PGconn *connection, const char *sql, ...)
{
	FORMATTED(text, sql);
	PGresult *result = PQexec(connection, text);
	free(text);
	return result;
}

void sql_fails(PGconn *connection, const char *sqlstate, const char *sql, ...)
{
	FORMATTED(text, sql);
	PGresult *result = PQexec(connection, text);
	const char *actual = PQresultErrorField(result, PG_DIAG_SQLSTATE);
	ck_assert_msg(!is_good(result), "%s: succeeded", text);
	ck_assert_msg(actual && strcmp(actual, sqlstate) == 0, "%s: expected %s, got %s: %s", text, sqlstate,
		      actual ? actual : "no SQLSTATE", PQerrorMessage(connection));
	PQclear(result);
	free(text);
}

bool sql_is_lost(PGconn *connection)
{
	PQclear(PQexec(connection, "SELECT 1"));
	return PQstatus(connection) == CONNECTION_BAD;
}
