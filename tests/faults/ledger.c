#include "tests/faults/ledger.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "tests/faults/ledger_client.h"
#include "tests/support/clock.h"
#include "tests/support/sql.h"

struct ledger {
	atomic_bool stop;
	int count;
	struct ledger_client *clients; /* owned */
};

/* ---- begin ---- */

void ledger_prepare(PGconn *super)
{
	sql_exec(super, "SET synchronous_commit = on");
	sql_exec(super,
		 "CREATE TABLE ledger_account (id int PRIMARY KEY, balance bigint NOT NULL) WITH (fillfactor = 20)");
	sql_exec(super, "CREATE TABLE ledger_journal (client int, sequence int, giver int NOT NULL, taker int NOT NULL,"
			" amount int NOT NULL, PRIMARY KEY (client, sequence))");
	sql_exec(super, "INSERT INTO ledger_account SELECT i, %d FROM generate_series(0, %d) i", LEDGER_BALANCE,
		 LEDGER_ACCOUNTS - 1);
	sql_exec(super, "GRANT ALL ON ledger_account, ledger_journal TO PUBLIC");
	/* What is acknowledged must outlive a crash; the tests' PostgreSQL is set up to forget. */
	sql_exec(
		super,
		"DO $$ BEGIN EXECUTE format('ALTER DATABASE %%I SET synchronous_commit = on', current_database()); END $$");
}

struct ledger *ledger_start(const char *conninfo, int clients, uint64_t seed)
{
	struct ledger *ledger = calloc(1, sizeof(*ledger));

	ck_assert_ptr_nonnull(ledger);
	ledger->count = clients;
	ledger->clients = calloc((size_t)clients, sizeof(*ledger->clients));
	for (int i = 0; i < clients; i++) {
		struct ledger_client *client = &ledger->clients[i];
		client->number = i;
		client->conninfo = conninfo;
		client->stop = &ledger->stop;
		client->random = (seed + 1) * 6364136223846793005u + (uint64_t)i * 1442695040888963407u + 1;
		ck_assert_int_eq(pthread_create(&client->thread, NULL, ledger_client_run, client), 0);
	}
	return ledger;
}

/* ---- meanwhile ---- */

struct ledger_counts ledger_count(struct ledger *ledger)
{
	struct ledger_counts counts = { .fewest_committed = UINT64_MAX };

	for (int i = 0; i < ledger->count; i++) {
		struct ledger_client *client = &ledger->clients[i];
		uint64_t committed = client->counts[FATE_COMMITTED];
		counts.committed += committed;
		counts.refused += client->counts[FATE_REFUSED];
		counts.unknown += client->counts[FATE_UNKNOWN];
		counts.connects += client->connects;
		if (committed < counts.fewest_committed)
			counts.fewest_committed = committed;
		if (client->longest_ms > counts.longest_ms)
			counts.longest_ms = client->longest_ms;
	}
	return counts;
}

bool ledger_goes_on(struct ledger *ledger, uint64_t more, int64_t timeout_ms)
{
	int64_t deadline = now_ms() + timeout_ms;
	uint64_t *wanted = calloc((size_t)ledger->count, sizeof(*wanted));
	int behind = 0;

	for (int i = 0; i < ledger->count; i++)
		wanted[i] = ledger->clients[i].counts[FATE_COMMITTED] + more;
	do {
		pause_ms(2);
		behind = 0;
		for (int i = 0; i < ledger->count; i++)
			behind += ledger->clients[i].counts[FATE_COMMITTED] < wanted[i];
	} while (behind && now_ms() < deadline);
	free(wanted);
	return !behind;
}

/* ---- end ---- */

void ledger_stop(struct ledger *ledger)
{
	ledger->stop = true;
	for (int i = 0; i < ledger->count; i++)
		pthread_join(ledger->clients[i].thread, NULL);
	for (int i = 0; i < ledger->count; i++)
		ck_assert_msg(!ledger->clients[i].complaint[0], "client %d of the ledger: %s", i,
			      ledger->clients[i].complaint);
}

/* Marks those that are in the journal; they must have been sent, and not refused. */
static void check_journal(struct ledger *ledger, PGconn *super, bool **found)
{
	PGresult *result = sql_result(super, "SELECT client, sequence FROM ledger_journal");

	ck_assert_msg(PQresultStatus(result) == PGRES_TUPLES_OK, "%s", PQerrorMessage(super));
	for (int row = 0; row < PQntuples(result); row++) {
		int number = atoi(PQgetvalue(result, row, 0));
		size_t sequence = strtoul(PQgetvalue(result, row, 1), NULL, 10);
		ck_assert_int_lt(number, ledger->count);
		const struct ledger_client *client = &ledger->clients[number];
		ck_assert_uint_lt(sequence, client->fates_count);
		ck_assert_msg(client->fates[sequence] != FATE_REFUSED,
			      "transfer %d-%zu was refused, and is in the database", number, sequence);
		found[number][sequence] = true;
	}
	PQclear(result);
}

static void check_acknowledged(const struct ledger_client *client, const bool *found)
{
	for (size_t i = 0; i < client->fates_count; i++)
		ck_assert_msg(client->fates[i] != FATE_COMMITTED || found[i],
			      "transfer %d-%zu was acknowledged, and is not in the database", client->number, i);
}

static void check_sums(PGconn *super)
{
	ck_assert_int_eq(sql_number(super, "SELECT sum(balance) FROM ledger_account"),
			 LEDGER_ACCOUNTS * LEDGER_BALANCE);
	ck_assert_int_eq(sql_number(super,
				    "SELECT count(*) FROM ledger_account LEFT JOIN (SELECT id, sum(moved) AS moved FROM"
				    " (SELECT giver AS id, -amount AS moved FROM ledger_journal UNION ALL"
				    " SELECT taker, amount FROM ledger_journal) moves GROUP BY id) sums USING (id)"
				    " WHERE balance <> %d + coalesce(moved, 0)",
				    LEDGER_BALANCE),
			 0);
}

void ledger_check(struct ledger *ledger, PGconn *super)
{
	bool **found = calloc((size_t)ledger->count, sizeof(*found));

	for (int i = 0; i < ledger->count; i++)
		found[i] = calloc(ledger->clients[i].fates_count + 1, sizeof(bool));
	/* A commit that nobody waits for any more may still come to pass: all in one snapshot. */
	sql_exec(super, "BEGIN ISOLATION LEVEL REPEATABLE READ");
	check_journal(ledger, super, found);
	check_sums(super);
	sql_exec(super, "COMMIT");
	for (int i = 0; i < ledger->count; i++) {
		check_acknowledged(&ledger->clients[i], found[i]);
		free(found[i]);
	}
	free(found);
}

void ledger_free(struct ledger *ledger)
{
	for (int i = 0; i < ledger->count; i++)
		free(ledger->clients[i].fates);
	free(ledger->clients);
	free(ledger);
}
