/*
 * The ledger itself: that it finds what a fault could do.
 */
#include "tests/faults/ledger.h"

#include <stdio.h>
#include <string.h>

#include "tests/support/clock.h"
#include "tests/support/stage.h"

Suite *ledger_suite(void);

#define CLIENTS 3

struct crime {
	const char *sql;
	const char *found;
};

static char conninfo[200];

/* With PostgreSQL alone. */
static struct ledger *start(PGconn *super)
{
	ledger_prepare(super);
	snprintf(conninfo, sizeof(conninfo), "host=127.0.0.1 port=%u dbname=%s user=u_trust", stage.cluster.port,
		 stage.database);
	struct ledger *ledger = ledger_start(conninfo, CLIENTS, 1);
	ck_assert(ledger_goes_on(ledger, 20, PATIENCE_MS));
	return ledger;
}

/* Loop: each in turn. */
START_TEST(a_crime_is_found)
{
	static const struct crime crimes[] = {
		{ "SELECT 1", "" },
		{ "DELETE FROM ledger_journal WHERE ctid IN (SELECT ctid FROM ledger_journal LIMIT 1)", "do not have" },
		{ "WITH gone AS (DELETE FROM ledger_journal RETURNING *) UPDATE ledger_account SET balance = 1000",
		  "was acknowledged" },
		{ "UPDATE ledger_account SET balance = balance + 1 WHERE id = 7", "the sum" },
		{ "UPDATE ledger_account SET balance = balance + (2 * id - 1) WHERE id IN (0, 1)", "do not have" },
		{ "INSERT INTO ledger_journal VALUES (1, 1000000, 1, 1, 1)", "nobody made" },
		{ "INSERT INTO ledger_journal SELECT c, i, 1, 1, 1 FROM generate_series(0, 2) c, generate_series(0, 19) i"
		  " ON CONFLICT DO NOTHING",
		  "was refused" },
	};
	char why[LEDGER_WHY_BYTES];
	PGconn *super = cluster_connect(&stage.cluster, stage.database);
	struct ledger *ledger = start(super);

	ck_assert(ledger_stop(ledger, why));
	sql_exec(super, "%s", crimes[_i].sql);
	ck_assert_msg(ledger_check(ledger, super, why) == (crimes[_i].found[0] == '\0'), "%s: %s", crimes[_i].sql, why);
	ck_assert_msg(strstr(why, crimes[_i].found) != NULL, "%s", why);
	ledger_free(ledger);
	PQfinish(super);
}
END_TEST

/* What a client would see of a pooler that mixes up servers, or answers with errors of its own making. Loop: each in turn. */
START_TEST(a_client_complains)
{
	static const struct crime crimes[] = {
		{ "CREATE FUNCTION lose() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';"
		  "CREATE TRIGGER lose BEFORE INSERT ON ledger_journal FOR EACH ROW EXECUTE FUNCTION lose();"
		  "TRUNCATE ledger_journal",
		  "is missing" },
		{ "CREATE SCHEMA other; GRANT USAGE ON SCHEMA other TO PUBLIC;"
		  "CREATE FUNCTION other.current_setting(text) RETURNS text LANGUAGE sql AS 'SELECT ''another''';"
		  "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET search_path = other, pg_catalog, public',"
		  " current_database()); END $$;"
		  "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
		  " WHERE datname = current_database() AND pid <> pg_backend_pid()",
		  "should be" },
		{ "DROP TABLE ledger_journal", "42P01" },
	};
	char why[LEDGER_WHY_BYTES];
	PGconn *super = cluster_connect(&stage.cluster, stage.database);
	struct ledger *ledger = start(super);

	sql_exec(super, "%s", crimes[_i].sql);
	pause_ms(300);
	ck_assert(!ledger_stop(ledger, why));
	ck_assert_msg(strstr(why, crimes[_i].found) != NULL, "%s", why);
	ledger_free(ledger);
	PQfinish(super);
}
END_TEST

Suite *ledger_suite(void)
{
	Suite *suite = suite_create("ledger");
	TCase *tcase = stage_case("ledger", 60);

	tcase_add_loop_test(tcase, a_crime_is_found, 0, 7);
	tcase_add_loop_test(tcase, a_client_complains, 0, 3);
	suite_add_tcase(suite, tcase);
	return suite;
}
