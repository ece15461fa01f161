/*
 * libpq in tests: connections and statements that must succeed, or must fail in a known way.
 *
 * Where a test asserts, it does so with the server's own text in the message.
 */
#ifndef TESTS_SUPPORT_SQL_H
#define TESTS_SUPPORT_SQL_H

#include <stdbool.h>
#include <stdint.h>

#include "tests/support/libpq.h"

#define SQL_PRINTF __attribute__((format(printf, 1, 2)))
#define SQL_PRINTF_2 __attribute__((format(printf, 2, 3)))
#define SQL_PRINTF_3 __attribute__((format(printf, 3, 4)))

/* Connects; fails the test when that is refused. The caller finishes it. Notices are dropped. */
PGconn *sql_connect(const char *conninfo, ...) SQL_PRINTF;
/* Connects; the caller looks at PQstatus. */
PGconn *sql_try_connect(const char *conninfo, ...) SQL_PRINTF;
/* Connecting must fail with a text that has `expected` in it. */
void sql_refused(const char *expected, const char *conninfo, ...) SQL_PRINTF_2;

/* Runs statements by the simple protocol, which must succeed. */
void sql_exec(PGconn *connection, const char *sql, ...) SQL_PRINTF_2;
/* The first column of the first row; "" for NULL and for no row. Valid until the next call but seven. */
const char *sql_value(PGconn *connection, const char *sql, ...) SQL_PRINTF_2;
int64_t sql_number(PGconn *connection, const char *sql, ...) SQL_PRINTF_2;
/* A result that the caller clears, whatever it says. */
PGresult *sql_result(PGconn *connection, const char *sql, ...) SQL_PRINTF_2;
/* Must fail with that SQLSTATE. */
void sql_fails(PGconn *connection, const char *sqlstate, const char *sql, ...) SQL_PRINTF_3;

/* The connection has been ended from the other side: a statement on it fails and it is bad afterwards. */
bool sql_is_lost(PGconn *connection);

#endif
