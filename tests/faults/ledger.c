#include "tests/faults/ledger.h"

#include <check.h>
#include <stdarg.h>
#include <stdio.h>
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

/* Neighbours must not begin alike. */
static uint64_t scatter(uint64_t number)
{
	number = (number ^ number >> 30) * 0xbf58476d1ce4e5b9u;
	number = (number ^ number >> 27) * 0x94d049bb133111ebu;
	return (number ^ number >> 31) | 1;
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
		client->random = scatter((seed << 32) + (uint64_t)i + 1);
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

/* The first thing that is wrong is told. */
struct verdict {
	char *why;
	bool good;
};

static void find(struct verdict *verdict, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void find(struct verdict *verdict, const char *format, ...)
{
	va_list arguments;

	if (!verdict->good)
		return;
	verdict->good = false;
	va_start(arguments, format);
	vsnprintf(verdict->why, LEDGER_WHY_BYTES, format, arguments);
	va_end(arguments);
}

bool ledger_stop(struct ledger *ledger, char why[LEDGER_WHY_BYTES])
{
	struct verdict verdict = { why, true };

	why[0] = '\0';
	ledger->stop = true;
	for (int i = 0; i < ledger->count; i++)
		pthread_join(ledger->clients[i].thread, NULL);
	for (int i = 0; i < ledger->count; i++)
		if (ledger->clients[i].complaint[0])
			find(&verdict, "client %d of the ledger: %s", i, ledger->clients[i].complaint);
	return verdict.good;
}

/* Marks those that are in the journal; they must have been sent, and not refused. */
static void check_journal(struct ledger *ledger, PGconn *super, bool **found, struct verdict *verdict)
{
	PGresult *result = sql_result(super, "SELECT client, sequence FROM ledger_journal");

	ck_assert_msg(PQresultStatus(result) == PGRES_TUPLES_OK, "%s", PQerrorMessage(super));
	for (int row = 0; row < PQntuples(result); row++) {
		int number = atoi(PQgetvalue(result, row, 0));
		size_t sequence = strtoul(PQgetvalue(result, row, 1), NULL, 10);
		const struct ledger_client *client = &ledger->clients[number];
		if (number >= ledger->count || sequence >= client->fates_count) {
			find(verdict, "nobody made transfer %d-%zu", number, sequence);
			continue;
		}
		if (client->fates[sequence] == FATE_REFUSED)
			find(verdict, "transfer %d-%zu was refused, and is in the database", number, sequence);
		found[number][sequence] = true;
	}
	PQclear(result);
}

static void check_acknowledged(const struct ledger_client *client, const bool *found, struct verdict *verdict)
{
	for (size_t i = 0; i < client->fates_count; i++)
		if (client->fates[i] == FATE_COMMITTED && !found[i])
			find(verdict, "transfer %d-%zu was acknowledged, and is not in the database", client->number,
			     i);
}

static void check_sums(PGconn *super, struct verdict *verdict)
{
	int64_t sum = sql_number(super, "SELECT sum(balance) FROM ledger_account");
	int64_t wrong = sql_number(super,
				   "SELECT count(*) FROM ledger_account LEFT JOIN (SELECT id, sum(moved) AS moved FROM"
				   " (SELECT giver AS id, -amount AS moved FROM ledger_journal UNION ALL"
				   " SELECT taker, amount FROM ledger_journal) moves GROUP BY id) sums USING (id)"
				   " WHERE balance <> %d + coalesce(moved, 0)",
				   LEDGER_BALANCE);

	if (sum != LEDGER_ACCOUNTS * LEDGER_BALANCE)
		find(verdict, "the sum of all accounts is %lld", (long long)sum);
	if (wrong)
		find(verdict, "%lld accounts do not have what the journal says", (long long)wrong);
}

bool ledger_check(struct ledger *ledger, PGconn *super, char why[LEDGER_WHY_BYTES])
{
	struct verdict verdict = { why, true };
	bool **found = calloc((size_t)ledger->count, sizeof(*found));

	why[0] = '\0';
	for (int i = 0; i < ledger->count; i++)
		found[i] = calloc(ledger->clients[i].fates_count + 1, sizeof(bool));
	/* A commit that nobody waits for any more may still come to pass: all in one snapshot. */
	sql_exec(super, "BEGIN ISOLATION LEVEL REPEATABLE READ");
	check_journal(ledger, super, found, &verdict);
	check_sums(super, &verdict);
	sql_exec(super, "COMMIT");
	for (int i = 0; i < ledger->count; i++) {
		check_acknowledged(&ledger->clients[i], found[i], &verdict);
		free(found[i]);
	}
	free(found);
	return verdict.good;
}

void ledger_free(struct ledger *ledger)
{
	for (int i = 0; i < ledger->count; i++)
		free(ledger->clients[i].fates);
	free(ledger->clients);
	free(ledger);
}
