#include "tests/differential/place.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/clock.h"
#include "tests/support/sql.h"

static const unsigned worker_counts[2] = { 1, 3 };

/* ---- ways ---- */

static const char *pool_name(const struct way *way)
{
	static const char *const names[2][2][2] = { { { "t1", "t1_split" }, { "t4", "t4_split" } },
						    { { "s1", "s1_split" }, { "s4", "s4_split" } } };

	return names[way->session][way->wide][way->split];
}

const char *way_name(const struct way *way)
{
	static char name[100];

	snprintf(name, sizeof(name), "%s mode, pool of %d, %u workers%s", way->session ? "session" : "transaction",
		 way->wide ? 4 : 1, worker_counts[way->workers], way->split ? ", split on the server's side" : "");
	return name;
}

/* ---- pgweir ---- */

/* Eight pools in one database: transaction and session mode, one server and four, straight and through the middle. */
static void put_databases(const struct place *place, char *out, size_t bytes)
{
	static const char *const modes[] = { "transaction", "session" };
	static const unsigned sizes[] = { 1, 4 };
	size_t used = 0;

	for (unsigned i = 0; i < 8; i++) {
		bool split = i & 1, wide = i & 2, is_session = i & 4;
		struct way way = { .session = is_session, .wide = wide, .split = split };

		used += (size_t)snprintf(out + used, bytes - used,
					 "%s\t{ name = \"%s\"; conninfo = \"host=%s port=%u dbname=%s user=u_trust\"; "
					 "pool_mode = \"%s\"; pool_size = %u; }",
					 i ? ",\n" : "", pool_name(&way), split ? "127.0.0.1" : place->cluster->host,
					 split ? middle_port(place->middle) : place->cluster->port, place->database,
					 modes[is_session], sizes[wide]);
		ck_assert_uint_lt(used, bytes);
	}
}

static void start_weir(struct place *place, unsigned nth)
{
	char databases[4096];

	put_databases(place, databases, sizeof(databases));
	weir_start(&place->weirs[nth],
		   "auth_type = \"trust\";\n"
		   "admin_users = [ \"ops\" ];\n"
		   "workers = %u;\n"
		   "databases = (\n%s\n);\n",
		   worker_counts[nth], databases);
	place->consoles[nth] = weir_console(&place->weirs[nth]);
}

void place_renew(struct place *place)
{
	for (unsigned i = 0; i < 2; i++) {
		PQfinish(place->consoles[i]);
		child_kill(&place->weirs[i].process);
		start_weir(place, i);
	}
}

bool place_is_alive(struct place *place)
{
	return child_is_running(&place->weirs[0].process) && child_is_running(&place->weirs[1].process);
}

/* ---- life ---- */

void place_open(struct place *place, struct cluster *cluster)
{
	memset(place, 0, sizeof(*place));
	place->cluster = cluster;
	cluster_create_database(cluster, place->database);
	place->super = cluster_connect(cluster, place->database);
	/* A lock that a pooled session still holds is a fault to be found, not to be waited for. */
	sql_exec(place->super, "SET lock_timeout = '10s'; SET client_min_messages = 'error'");
	place->middle = middle_open(cluster->port, 1);
	for (unsigned i = 0; i < 2; i++)
		start_weir(place, i);
}

void place_split(const struct place *place, size_t piece_bytes)
{
	middle_set(place->middle, MIDDLE_BOTH, &(struct middle_way){ .piece_bytes = piece_bytes });
}

void place_close(struct place *place)
{
	for (unsigned i = 0; i < 2; i++) {
		PQfinish(place->consoles[i]);
		weir_stop(&place->weirs[i]);
	}
	middle_close(place->middle);
	PQfinish(place->super);
	cluster_drop_database(place->cluster, place->database);
}

static void put_sql(struct pg_buffer *out, const char *sql)
{
	pg_buffer_put_bytes(out, sql, strlen(sql));
	pg_buffer_put_bytes(out, ";\n", 2);
}

bool place_reset(struct place *place, const struct script *script)
{
	struct pg_buffer sql = PG_BUFFER_EMPTY;

	/* All in one go: it is done for each trial. */
	put_sql(&sql,
		"DROP SCHEMA IF EXISTS u_trust CASCADE; CREATE SCHEMA u_trust AUTHORIZATION u_trust; SET ROLE u_trust");
	for (size_t i = 0; i < script->count; i++) {
		const struct step *step = &script->steps[i];
		if (step->kind == STEP_OPTION && strcmp(step->verb, "setup") == 0)
			put_sql(&sql, step->words[0].text);
	}
	put_sql(&sql, "RESET ROLE");
	pg_buffer_put_u8(&sql, '\0');
	PGresult *result = PQexec(place->super, (const char *)sql.data);
	const char *sqlstate = PQresultErrorField(result, PG_DIAG_SQLSTATE);
	bool locked = sqlstate && strcmp(sqlstate, "55P03") == 0;
	bool good = PQresultStatus(result) == PGRES_COMMAND_OK;
	ck_assert_msg(good || locked, "%s: %s", script->name, PQerrorMessage(place->super));
	PQclear(result);
	pg_buffer_clear(&sql);
	return good;
}

/* ---- using it ---- */

struct endpoint place_direct(const struct place *place)
{
	return (struct endpoint){ place->cluster->host, place->cluster->port, place->database, "u_trust" };
}

struct endpoint place_pooled(const struct place *place, const struct way *way)
{
	return (struct endpoint){ NULL, place->weirs[way->workers].port, pool_name(way), "app_user" };
}

/* All of the pool's counters that speak of work. */
static int64_t count_busy(PGconn *console, const char *pool)
{
	static const char *const columns[] = { "cl_active", "cl_waiting", "sv_active", "sv_tested", "sv_login" };
	PGresult *result = sql_result(console, "SHOW POOLS");
	int key = PQfnumber(result, "database");
	int64_t busy = 0;

	ck_assert_msg(PQresultStatus(result) == PGRES_TUPLES_OK, "SHOW POOLS: %s", PQerrorMessage(console));
	for (int row = 0; row < PQntuples(result); row++)
		for (size_t i = 0; i < sizeof(columns) / sizeof(columns[0]); i++)
			if (strcmp(PQgetvalue(result, row, key), pool) == 0)
				busy += atoi(PQgetvalue(result, row, PQfnumber(result, columns[i])));
	PQclear(result);
	return busy;
}

bool place_is_quiet(const struct place *place, const struct way *way, int64_t patience_ms)
{
	int64_t deadline = now_ms() + patience_ms;

	while (count_busy(place->consoles[way->workers], pool_name(way)) > 0) {
		if (now_ms() > deadline)
			return false;
		pause_ms(1);
	}
	return true;
}
