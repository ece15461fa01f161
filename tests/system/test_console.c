/* The console: PgBouncer's tables with its columns, the commands, and who may use them. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/clock.h"
#include "tests/support/stage.h"
#include "tests/support/wire.h"

Suite *console_suite(void);

/* ---- tables ---- */

#define SOCKET_COLUMNS \
	"type:text user:text database:text replication:text state:text addr:text port:int4 local_addr:text local_port:int4 " \
	"connect_time:text request_time:text wait:int4 wait_us:int4 close_needed:int4 ptr:text link:text remote_pid:int4 " \
	"tls:text application_name:text prepared_statements:int4 id:int4"

/* What PgBouncer 1.25 shows, in its order; we may have more columns behind them. */
static const struct {
	const char *table, *columns;
} tables[] = {
	{ "CLIENTS", SOCKET_COLUMNS },
	{ "SERVERS", SOCKET_COLUMNS },
	{ "SOCKETS",
	  SOCKET_COLUMNS " recv_pos:int4 pkt_pos:int4 pkt_remain:int4 send_pos:int4 send_remain:int4 pkt_avail:int4 "
			 "send_avail:int4" },
	{ "ACTIVE_SOCKETS", SOCKET_COLUMNS " recv_pos:int4 pkt_pos:int4 pkt_remain:int4 send_pos:int4 send_remain:int4 "
					   "pkt_avail:int4 send_avail:int4" },
	{ "CONFIG", "key:text value:text default:text changeable:text" },
	{ "DATABASES", "name:text host:text port:int4 database:text force_user:text pool_size:int4 min_pool_size:int4 "
		       "reserve_pool_size:int4 server_lifetime:int4 pool_mode:text load_balance_hosts:text "
		       "max_connections:int4 current_connections:int4 max_client_connections:int4 "
		       "current_client_connections:int4 paused:int4 disabled:int4" },
	{ "LISTS", "list:text items:int4" },
	{ "POOLS",
	  "database:text user:text cl_active:int4 cl_waiting:int4 cl_active_cancel_req:int4 "
	  "cl_waiting_cancel_req:int4 sv_active:int4 sv_active_cancel:int4 sv_being_canceled:int4 sv_idle:int4 "
	  "sv_used:int4 sv_tested:int4 sv_login:int4 maxwait:int4 maxwait_us:int4 pool_mode:text "
	  "load_balance_hosts:text" },
	{ "STATE", "key:text value:text" },
	{ "STATS",
	  "database:text total_server_assignment_count:numeric total_xact_count:numeric total_query_count:numeric "
	  "total_received:numeric total_sent:numeric total_xact_time:numeric total_query_time:numeric total_wait_time:numeric "
	  "total_client_parse_count:numeric total_server_parse_count:numeric total_bind_count:numeric "
	  "total_client_login_count:numeric avg_server_assignment_count:numeric avg_xact_count:numeric avg_query_count:numeric "
	  "avg_recv:numeric avg_sent:numeric avg_xact_time:numeric avg_query_time:numeric avg_wait_time:numeric "
	  "avg_client_parse_count:numeric avg_server_parse_count:numeric avg_bind_count:numeric "
	  "avg_client_login_count:numeric" },
	{ "STATS_TOTALS",
	  "database:text server_assignment_count:numeric xact_count:numeric query_count:numeric bytes_received:numeric "
	  "bytes_sent:numeric xact_time:numeric query_time:numeric wait_time:numeric client_parse_count:numeric "
	  "server_parse_count:numeric bind_count:numeric client_login_count:numeric" },
	{ "STATS_AVERAGES",
	  "database:text server_assignment_count:numeric xact_count:numeric query_count:numeric bytes_received:numeric "
	  "bytes_sent:numeric xact_time:numeric query_time:numeric wait_time:numeric avg_client_parse_count:numeric "
	  "avg_server_parse_count:numeric avg_bind_count:numeric avg_client_login_count:numeric" },
	{ "USERS", "name:text pool_size:text reserve_pool_size:text pool_mode:text max_user_connections:int4 "
		   "current_connections:int4 max_user_client_connections:int4 current_client_connections:int4" },
	{ "TOTALS", "name:text value:numeric" },
	{ "MEM", "name:text size:int4 used:int4 free:int4 memtotal:int4" },
	{ "VERSION", "version:text" },
};

static const char *type_name(Oid type)
{
	switch (type) {
	case PG_OID_TEXT:
		return "text";
	case PG_OID_INT4:
		return "int4";
	case PG_OID_NUMERIC:
		return "numeric";
	default:
		return "other";
	}
}

START_TEST(tables_have_pgbouncers_columns)
{
	stage_start("transaction", 2, "users = ( { name = \"batch\"; pool_mode = \"session\"; } );");
	PGconn *client = weir_client(&stage.weir);
	sql_exec(client, "SELECT 1");
	PGconn *console = weir_console(&stage.weir);
	for (size_t i = 0; i < sizeof(tables) / sizeof(*tables); i++) {
		/* By the simple and by the extended protocol, which most drivers use. */
		char sql[64];
		snprintf(sql, sizeof(sql), "SHOW %s", tables[i].table);
		PGresult *simple = PQexec(console, sql);
		PGresult *extended = PQexecParams(console, sql, 0, NULL, NULL, NULL, NULL, 0);
		ck_assert_msg(PQresultStatus(simple) == PGRES_TUPLES_OK, "%s: %s", sql, PQerrorMessage(console));
		ck_assert_msg(PQresultStatus(extended) == PGRES_TUPLES_OK, "%s: %s", sql, PQerrorMessage(console));
		ck_assert_int_eq(PQnfields(simple), PQnfields(extended));
		char *columns = strdup(tables[i].columns);
		int at = 0;
		for (char *save, *column = strtok_r(columns, " ", &save); column;
		     column = strtok_r(NULL, " ", &save), at++) {
			char actual[128];
			ck_assert_msg(at < PQnfields(simple), "%s: no %s", sql, column);
			snprintf(actual, sizeof(actual), "%s:%s", PQfname(simple, at), type_name(PQftype(simple, at)));
			ck_assert_msg(strcmp(actual, column) == 0, "%s: %s instead of %s", sql, actual, column);
			ck_assert_str_eq(PQfname(simple, at), PQfname(extended, at));
		}
		free(columns);
		bool may_be_empty = strstr(tables[i].table, "SOCKETS") != NULL;
		ck_assert_msg(may_be_empty || PQntuples(simple) > 0, "%s: no row", sql);
		PQclear(simple);
		PQclear(extended);
	}
	PQfinish(console);
	PQfinish(client);
}
END_TEST

/* Tools look for these rows. */
START_TEST(tables_have_pgbouncers_rows)
{
	static const struct {
		const char *table, *key, *rows;
	} cases[] = {
		{ "LISTS", "list",
		  "databases users peers pools peer_pools free_clients used_clients login_clients free_servers used_servers "
		  "dns_names dns_zones dns_queries dns_pending" },
		{ "TOTALS", "name",
		  "total_server_assignment_count total_xact_count total_query_count total_client_bytes total_server_bytes "
		  "total_xact_time total_query_time total_wait_time total_ps_client_parse_count total_ps_server_parse_count "
		  "total_ps_bind_count total_client_login_count avg_server_assignment_count avg_xact_count avg_query_count "
		  "avg_client_bytes avg_server_bytes avg_xact_time avg_query_time avg_wait_time avg_ps_client_parse_count "
		  "avg_ps_server_parse_count avg_ps_bind_count avg_client_login_count" },
		{ "STATE", "key", "active paused suspended" },
		{ "CONFIG", "key",
		  "listen_port pool_mode default_pool_size max_client_conn query_wait_timeout server_lifetime "
		  "admin_users auth_type workers" },
	};

	stage_start("transaction", 2, "");
	PGconn *console = weir_console(&stage.weir);
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		char *rows = strdup(cases[i].rows);
		for (char *save, *row = strtok_r(rows, " ", &save); row; row = strtok_r(NULL, " ", &save))
			ck_assert_msg(strcmp(weir_show(console, cases[i].table, cases[i].key, row, cases[i].key),
					     row) == 0,
				      "SHOW %s has no row %s", cases[i].table, row);
		free(rows);
	}
	PQfinish(console);
}
END_TEST

static int pool_figure(PGconn *console, const char *column)
{
	return atoi(weir_show(console, "POOLS", "database", "app", column));
}

START_TEST(pools_clients_and_servers_say_what_is)
{
	struct wire active[3], waiting[2], idle;

	stage_start("transaction", 3, _i ? "workers = 3;" : "");
	PGconn *console = weir_console(&stage.weir);
	for (int i = 0; i < 3; i++) {
		wire_open(&active[i], stage.weir.port);
		wire_login(&active[i], "joe", "app", NULL, (const char *[]){ "application_name", "billing", NULL });
		wire_exec(&active[i], "BEGIN");
	}
	for (int i = 0; i < 2; i++) {
		wire_connect(&waiting[i], &stage.weir);
		wire_query(&waiting[i], "SELECT 1");
	}
	wire_connect(&idle, &stage.weir);
	ck_assert(eventually(pool_figure(console, "cl_waiting") == 2));
	ck_assert_int_eq(pool_figure(console, "sv_active"), 3);
	ck_assert_int_eq(pool_figure(console, "sv_idle"), 0);
	/* PgBouncer counts idle clients as active, so that the two together are all. */
	ck_assert_int_eq(pool_figure(console, "cl_active") + pool_figure(console, "cl_waiting"), 6);
	ck_assert_str_eq(weir_show(console, "POOLS", "database", "app", "pool_mode"), "transaction");
	ck_assert_str_eq(weir_show(console, "POOLS", "database", "app", "user"), "u_trust");
	pause_ms(50);
	ck_assert(pool_figure(console, "maxwait") > 0 || pool_figure(console, "maxwait_us") >= 50000);

	PGresult *clients = sql_result(console, "SHOW CLIENTS");
	PGresult *servers = sql_result(console, "SHOW SERVERS");
	ck_assert_int_eq(PQntuples(servers), 3);
	int linked = 0, of_app = 0;
	for (int row = 0; row < PQntuples(clients); row++) {
		of_app += strcmp(PQgetvalue(clients, row, PQfnumber(clients, "database")), "app") == 0;
		if (strcmp(PQgetvalue(clients, row, PQfnumber(clients, "application_name")), "billing") != 0)
			continue;
		ck_assert_str_eq(PQgetvalue(clients, row, PQfnumber(clients, "type")), "C");
		ck_assert_str_eq(PQgetvalue(clients, row, PQfnumber(clients, "user")), "joe");
		ck_assert_str_eq(PQgetvalue(clients, row, PQfnumber(clients, "addr")), "127.0.0.1");
		ck_assert_str_eq(PQgetvalue(clients, row, PQfnumber(clients, "state")), "active");
		ck_assert_int_eq(atoi(PQgetvalue(clients, row, PQfnumber(clients, "local_port"))), stage.weir.port);
		/* Its link is the ptr of one of the servers, and that one's link is this client. */
		for (int other = 0; other < PQntuples(servers); other++)
			linked += strcmp(PQgetvalue(clients, row, PQfnumber(clients, "link")),
					 PQgetvalue(servers, other, PQfnumber(servers, "ptr"))) == 0 &&
				  strcmp(PQgetvalue(servers, other, PQfnumber(servers, "link")),
					 PQgetvalue(clients, row, PQfnumber(clients, "ptr"))) == 0;
	}
	ck_assert_int_eq(of_app, 6);
	ck_assert_int_eq(linked, 3);
	for (int row = 0; row < 3; row++) {
		ck_assert_str_eq(PQgetvalue(servers, row, PQfnumber(servers, "type")), "S");
		ck_assert_str_eq(PQgetvalue(servers, row, PQfnumber(servers, "state")), "active");
		/* The pid is a backend's. */
		int pid = atoi(PQgetvalue(servers, row, PQfnumber(servers, "remote_pid")));
		ck_assert(!cluster_backend_is_gone(stage.super, pid));
	}
	PQclear(clients);
	PQclear(servers);

	for (int i = 0; i < 3; i++) {
		wire_exec(&active[i], "COMMIT");
		wire_close(&active[i]);
	}
	for (int i = 0; i < 2; i++) {
		wire_types_until_ready(&waiting[i]);
		wire_close(&waiting[i]);
	}
	wire_close(&idle);
	ck_assert(eventually(pool_figure(console, "cl_active") == 0 && pool_figure(console, "sv_idle") == 3));
	ck_assert_int_eq(pool_figure(console, "sv_active"), 0);
	ck_assert_int_eq(pool_figure(console, "cl_waiting"), 0);
	PQfinish(console);
}
END_TEST

static int64_t total(PGconn *console, const char *column)
{
	return strtoll(weir_show(console, "STATS_TOTALS", "database", "app", column), NULL, 10);
}

/* Trap 89: against what was done. */
START_TEST(statistics_count_what_was_done)
{
	struct wire wire;

	stage_start("transaction", 1, "");
	PGconn *console = weir_console(&stage.weir);
	wire_connect(&wire, &stage.weir);
	wire_exec(&wire, "SELECT 1");
	int64_t xacts = total(console, "xact_count"), queries = total(console, "query_count");
	int64_t sent = total(console, "bytes_sent"), received = total(console, "bytes_received");
	int64_t query_us = total(console, "query_time"), xact_us = total(console, "xact_time");
	for (int i = 0; i < 10; i++)
		wire_exec(&wire, "SELECT 1");
	wire_exec(&wire, "BEGIN");
	wire_exec(&wire, "SELECT pg_sleep(0.1)");
	pause_ms(100);
	wire_exec(&wire, "COMMIT");
	ck_assert_int_eq(total(console, "xact_count") - xacts, 11);
	ck_assert_int_eq(total(console, "query_count") - queries, 13);
	/* In microseconds: a sleep in the server is a query's time, one of the client is only its transaction's. */
	query_us = total(console, "query_time") - query_us;
	xact_us = total(console, "xact_time") - xact_us;
	ck_assert_int_ge(query_us, 95000);
	ck_assert_int_ge(xact_us, query_us + 90000);
	ck_assert_int_lt(xact_us, 20000000);
	ck_assert_int_ge(total(console, "bytes_received") - received, 11 * 14);
	ck_assert_int_ge(total(console, "bytes_sent") - sent, 11 * 60);
	ck_assert_int_eq(total(console, "client_login_count"), 1);

	/* Time in line is wait_time. */
	struct wire waiter;
	wire_connect(&waiter, &stage.weir);
	int64_t wait_us = total(console, "wait_time");
	wire_exec(&wire, "BEGIN");
	wire_query(&waiter, "SELECT 1");
	pause_ms(150);
	wire_exec(&wire, "COMMIT");
	wire_types_until_ready(&waiter);
	wait_us = total(console, "wait_time") - wait_us;
	ck_assert_int_ge(wait_us, 140000);
	ck_assert_int_lt(wait_us, 20000000);
	wire_close(&wire);
	wire_close(&waiter);
	PQfinish(console);
}
END_TEST

/* ---- who may ---- */

static const char *const commands[] = { "RELOAD",       "SET default_pool_size = 7",
					"PAUSE",        "RESUME",
					"DISABLE app",  "ENABLE app",
					"RECONNECT",    "KILL app",
					"SHUTDOWN",     "WAIT_CLOSE app",
					"KILL_CLIENT 1" };

/* Trap 75: each command asks for the right to it, not only the login. */
START_TEST(a_stats_user_may_look_and_not_touch)
{
	stage_start("transaction", 1, "");
	PGconn *viewer = weir_connect(&stage.weir, "dbname=pgbouncer user=viewer");
	sql_exec(viewer, "SHOW POOLS");
	for (size_t i = 0; i < sizeof(commands) / sizeof(*commands); i++)
		sql_fails(viewer, "42501", "%s", commands[i]);
	ck_assert_str_eq(weir_show(viewer, "CONFIG", "key", "default_pool_size", "value"), "20");
	PQfinish(viewer);
	/* And others are not let in. */
	sql_refused("", "host=127.0.0.1 port=%u dbname=pgweir user=joe", stage.weir.port);
	PQfinish(weir_client(&stage.weir));
}
END_TEST

START_TEST(words_that_it_does_not_know)
{
	static const char *const nonsense[] = { "SELEKT",
						"SHOW",
						"SHOW NOTHING",
						"SET",
						"SET x",
						"SET no_such_setting = 1",
						"SET default_pool_size = many",
						"PAUSE nowhere",
						"SELECT 1; SELECT 2",
						"SHOW POOLS nonsense",
						"KILL_CLIENT x",
						"'",
						"SET listen_port = 1" };

	stage_start("transaction", 1, "");
	PGconn *console = weir_console(&stage.weir);
	for (size_t i = 0; i < sizeof(nonsense) / sizeof(*nonsense); i++) {
		PGresult *result = sql_result(console, "%s", nonsense[i]);
		ck_assert_msg(PQresultStatus(result) == PGRES_FATAL_ERROR, "%s was taken", nonsense[i]);
		ck_assert_ptr_nonnull(PQresultErrorField(result, PG_DIAG_SQLSTATE));
		PQclear(result);
		ck_assert_str_ne(sql_value(console, "show version;"), "");
	}
	PQfinish(console);
}
END_TEST

/* ---- commands ---- */

START_TEST(pause_and_resume)
{
	struct wire busy, waiter;
	PGconn *console, *second;

	stage_start("transaction", 2, _i ? "workers = 2;" : "");
	console = weir_console(&stage.weir);
	second = weir_console(&stage.weir);
	for (int all = 0; all < 2; all++) {
		wire_connect(&busy, &stage.weir);
		wire_connect(&waiter, &stage.weir);
		wire_exec(&busy, "BEGIN");
		/* It waits until what is active has ended, and lets nothing new begin. */
		ck_assert_int_eq(PQsendQuery(console, all ? "PAUSE" : "PAUSE app"), 1);
		ck_assert(eventually(strcmp(weir_show(second, "DATABASES", "name", "app", "paused"), "1") == 0));
		wire_query(&waiter, "SELECT 'later'");
		ck_assert(wire_is_silent(&waiter, 100));
		ck_assert_int_eq(PQconsumeInput(console), 1);
		ck_assert(PQisBusy(console));
		wire_exec(&busy, "COMMIT");
		PGresult *result = PQgetResult(console);
		ck_assert_msg(PQresultStatus(result) == PGRES_COMMAND_OK, "%s", PQerrorMessage(console));
		PQclear(result);
		ck_assert_ptr_null(PQgetResult(console));
		ck_assert_int_eq(cluster_count_backends(stage.super, stage.database, NULL), 0);
		ck_assert(wire_is_silent(&waiter, 50));
		sql_exec(console, all ? "RESUME" : "RESUME app");
		ck_assert_str_eq(wire_types_until_ready(&waiter), "TDCZ");
		ck_assert_str_eq(waiter.value, "later");
		wire_close(&busy);
		wire_close(&waiter);
	}
	PQfinish(console);
	PQfinish(second);
}
END_TEST

START_TEST(disable_and_enable)
{
	stage_start("transaction", 2, "");
	PGconn *console = weir_console(&stage.weir), *client = weir_client(&stage.weir);

	sql_exec(console, "DISABLE app");
	ck_assert_str_eq(weir_show(console, "DATABASES", "name", "app", "disabled"), "1");
	sql_refused("", "host=127.0.0.1 port=%u dbname=app user=joe", stage.weir.port);
	/* Who is in, stays. */
	ck_assert_str_eq(sql_value(client, "SELECT 1"), "1");
	sql_exec(console, "ENABLE app");
	PQfinish(weir_client(&stage.weir));
	PQfinish(client);
	PQfinish(console);
}
END_TEST

START_TEST(reconnect_renews_all_servers)
{
	struct wire busy;
	char pid[32];

	stage_start("transaction", 2, _i ? "workers = 2;" : "");
	PGconn *console = weir_console(&stage.weir), *client = weir_client(&stage.weir);
	snprintf(pid, sizeof(pid), "%s", sql_value(client, "SELECT pg_backend_pid()"));
	wire_connect(&busy, &stage.weir);
	wire_exec(&busy, "BEGIN");
	char *held = strdup(wire_value(&busy, "SELECT pg_backend_pid()"));
	sql_exec(console, "RECONNECT app");
	/* Not in the middle of a transaction. */
	ck_assert_str_eq(wire_value(&busy, "SELECT pg_backend_pid()"), held);
	/* WAIT_CLOSE waits for the last of the old ones. */
	ck_assert_int_eq(PQsendQuery(console, "WAIT_CLOSE app"), 1);
	pause_ms(100);
	ck_assert_int_eq(PQconsumeInput(console), 1);
	ck_assert(PQisBusy(console));
	wire_exec(&busy, "COMMIT");
	PGresult *result = PQgetResult(console);
	ck_assert_int_eq(PQresultStatus(result), PGRES_COMMAND_OK);
	PQclear(result);
	ck_assert_ptr_null(PQgetResult(console));
	ck_assert(cluster_backend_is_gone(stage.super, atoi(held)));
	ck_assert(cluster_backend_is_gone(stage.super, atoi(pid)));
	ck_assert_str_ne(sql_value(client, "SELECT pg_backend_pid()"), pid);
	free(held);
	wire_close(&busy);
	PQfinish(client);
	PQfinish(console);
}
END_TEST

START_TEST(kill_ends_clients_and_servers)
{
	struct wire in_transaction, idle;

	stage_start("transaction", 2, _i ? "workers = 2;" : "");
	PGconn *console = weir_console(&stage.weir);
	wire_connect(&in_transaction, &stage.weir);
	wire_connect(&idle, &stage.weir);
	wire_exec(&in_transaction, "BEGIN");
	sql_exec(console, "KILL app");
	wire_types_until_closed(&in_transaction);
	wire_types_until_closed(&idle);
	ck_assert(eventually(cluster_count_backends(stage.super, stage.database, NULL) == 0));
	wire_close(&in_transaction);
	wire_close(&idle);
	/* Until RESUME nobody is served, as in PgBouncer. */
	sql_exec(console, "RESUME app");
	PGconn *client = weir_client(&stage.weir);
	ck_assert_str_eq(sql_value(client, "SELECT 1"), "1");
	PQfinish(client);
	PQfinish(console);
}
END_TEST

START_TEST(kill_client_ends_that_one)
{
	struct wire victim, other;
	char id[32];

	stage_start("transaction", 2, _i ? "workers = 2;" : "");
	PGconn *console = weir_console(&stage.weir);
	wire_open(&victim, stage.weir.port);
	wire_login(&victim, "joe", "app", NULL, (const char *[]){ "application_name", "victim", NULL });
	wire_connect(&other, &stage.weir);
	wire_exec(&victim, "BEGIN");
	snprintf(id, sizeof(id), "%s", weir_show(console, "CLIENTS", "application_name", "victim", "id"));
	sql_exec(console, "KILL_CLIENT %s", id);
	wire_types_until_closed(&victim);
	ck_assert_str_ne(victim.sqlstate, "");
	wire_close(&victim);
	ck_assert_str_eq(wire_value(&other, "SELECT 1"), "1");
	wire_close(&other);
	sql_fails(console, "42704", "KILL_CLIENT %s", id);
	PQfinish(console);
}
END_TEST

START_TEST(set_changes_what_may_be_changed)
{
	struct wire holder, waiter;

	stage_start("transaction", 1, "");
	PGconn *console = weir_console(&stage.weir);
	sql_exec(console, "SET query_wait_timeout = '300ms'");
	wire_connect(&holder, &stage.weir);
	wire_connect(&waiter, &stage.weir);
	wire_exec(&holder, "BEGIN");
	int64_t begin = now_ms();
	wire_query(&waiter, "SELECT 1");
	wire_types_until(&waiter, 'E');
	ck_assert_int_lt(now_ms() - begin, 15000);
	wire_close(&waiter);
	wire_close(&holder);
	sql_exec(console, "SET default_pool_size TO 3");
	ck_assert_str_eq(weir_show(console, "CONFIG", "key", "default_pool_size", "value"), "3");
	ck_assert_str_eq(weir_show(console, "CONFIG", "key", "default_pool_size", "default"), "20");
	/* RELOAD goes back to what the file says. */
	sql_exec(console, "RELOAD");
	ck_assert_str_eq(weir_show(console, "CONFIG", "key", "default_pool_size", "value"), "20");
	PQfinish(console);
}
END_TEST

/* A pool that grows while clients wait for it, and shrinks while it is in use. */
START_TEST(a_reload_changes_the_bound)
{
	static const char *const format =
		"auth_type = \"trust\"; admin_users = [ \"ops\" ]; workers = 2; databases = (\n"
		"{ name = \"app\"; conninfo = \"host=%s port=%u dbname=%s user=u_trust\"; pool_size = "
		"%d; } );";
	struct wire wires[4];

	weir_start(&stage.weir, format, stage.cluster.host, stage.cluster.port, stage.database, 1);
	PGconn *console = weir_console(&stage.weir);
	for (int i = 0; i < 4; i++) {
		wire_connect(&wires[i], &stage.weir);
		wire_query(&wires[i], "BEGIN");
	}
	ck_assert(eventually(pool_figure(console, "cl_waiting") == 3));
	weir_configure(&stage.weir, format, stage.cluster.host, stage.cluster.port, stage.database, 4);
	sql_exec(console, "RELOAD");
	for (int i = 0; i < 4; i++)
		ck_assert_str_eq(wire_types_until_ready(&wires[i]), "CZ");
	weir_configure(&stage.weir, format, stage.cluster.host, stage.cluster.port, stage.database, 2);
	sql_exec(console, "RELOAD");
	ck_assert_str_eq(wire_value(&wires[3], "SELECT 1"), "1");
	for (int i = 0; i < 4; i++)
		wire_exec(&wires[i], "COMMIT");
	ck_assert(eventually(cluster_count_backends(stage.super, stage.database, NULL) <= 2));
	for (int i = 0; i < 4; i++)
		wire_close(&wires[i]);
	PQfinish(console);
}
END_TEST

/* ---- shutting down ---- */

START_TEST(shutdown_at_once)
{
	struct wire busy;

	stage_start("transaction", 1, "");
	PGconn *console = weir_console(&stage.weir);
	wire_connect(&busy, &stage.weir);
	wire_exec(&busy, "BEGIN");
	PQclear(sql_result(console, "SHUTDOWN"));
	weir_ended(&stage.weir);
	wire_types_until_closed(&busy);
	wire_close(&busy);
	PQfinish(console);
	ck_assert(eventually(cluster_count_backends(stage.super, stage.database, NULL) == 0));
}
END_TEST

START_TEST(shutdown_waits_for_clients)
{
	stage_start("transaction", 1, "");
	PGconn *console = weir_console(&stage.weir), *client = weir_client(&stage.weir);

	PQclear(sql_result(console, "SHUTDOWN WAIT_FOR_CLIENTS"));
	PQfinish(console);
	/* New ones are not taken; the old one is served until it leaves. */
	ck_assert(eventually(({
		PGconn *new = sql_try_connect("host=127.0.0.1 port=%u dbname=app user=joe", stage.weir.port);
		bool refused = PQstatus(new) == CONNECTION_BAD;
		PQfinish(new);
		refused;
	})));
	for (int i = 0; i < 10; i++)
		ck_assert_str_eq(sql_value(client, "SELECT 1"), "1");
	ck_assert(child_is_running(&stage.weir.process));
	PQfinish(client);
	ck_assert_int_eq(weir_ended(&stage.weir), 0);
}
END_TEST

START_TEST(shutdown_waits_for_servers)
{
	struct wire busy, idle;

	stage_start("transaction", 2, "");
	PGconn *console = weir_console(&stage.weir);
	wire_connect(&busy, &stage.weir);
	wire_connect(&idle, &stage.weir);
	wire_exec(&busy, "BEGIN");
	PQclear(sql_result(console, "SHUTDOWN WAIT_FOR_SERVERS"));
	PQfinish(console);
	ck_assert_str_eq(wire_value(&busy, "SELECT 'still'"), "still");
	ck_assert(child_is_running(&stage.weir.process));
	wire_exec(&busy, "COMMIT");
	ck_assert_int_eq(weir_ended(&stage.weir), 0);
	wire_close(&busy);
	wire_close(&idle);
}
END_TEST

Suite *console_suite(void)
{
	Suite *suite = suite_create("console");
	TCase *shown = stage_case("tables", 60), *done = stage_case("commands", 60), *end = stage_case("shutdown", 60);

	tcase_add_test(shown, tables_have_pgbouncers_columns);
	tcase_add_test(shown, tables_have_pgbouncers_rows);
	tcase_add_loop_test(shown, pools_clients_and_servers_say_what_is, 0, 2);
	tcase_add_test(shown, statistics_count_what_was_done);
	suite_add_tcase(suite, shown);

	tcase_add_test(done, a_stats_user_may_look_and_not_touch);
	tcase_add_test(done, words_that_it_does_not_know);
	tcase_add_loop_test(done, pause_and_resume, 0, 2);
	tcase_add_test(done, disable_and_enable);
	tcase_add_loop_test(done, reconnect_renews_all_servers, 0, 2);
	tcase_add_loop_test(done, kill_ends_clients_and_servers, 0, 2);
	tcase_add_loop_test(done, kill_client_ends_that_one, 0, 2);
	tcase_add_test(done, set_changes_what_may_be_changed);
	tcase_add_test(done, a_reload_changes_the_bound);
	suite_add_tcase(suite, done);

	tcase_add_test(end, shutdown_at_once);
	tcase_add_test(end, shutdown_waits_for_clients);
	tcase_add_test(end, shutdown_waits_for_servers);
	suite_add_tcase(suite, end);
	return suite;
}
