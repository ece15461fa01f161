#include "tests/faults/ledger_client.h"

#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/clock.h"

/* Longer than pgweir or PostgreSQL may ever let a client of these tests wait. */
#define ANSWER_MS 20000
#define PAUSE_AFTER_ERROR_MS 10
#define STEPS 7
#define STEP_BYTES 256
#define QUERY_BYTES (STEPS * STEP_BYTES)

/* BY_... : how a transfer is sent. */
enum way { BY_QUERIES, BY_STATEMENTS, BY_ONE_QUERY, BY_PIPELINE, WAYS };

/* What came back for what was sent. */
enum answer { ANSWER_GOOD, ANSWER_ERROR, ANSWER_LOST };

struct transfer {
	enum way way;
	bool take_back; /* ROLLBACK instead of COMMIT */
	char steps[STEPS][STEP_BYTES];
};

#define READING_STEP 5

static void complain(struct ledger_client *client, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void complain(struct ledger_client *client, const char *format, ...)
{
	va_list arguments;

	if (client->complaint[0])
		return;
	va_start(arguments, format);
	vsnprintf(client->complaint, sizeof(client->complaint), format, arguments);
	va_end(arguments);
}

static unsigned draw(struct ledger_client *client, unsigned sides)
{
	client->random ^= client->random << 13;
	client->random ^= client->random >> 7;
	client->random ^= client->random << 17;
	return (unsigned)(client->random % sides);
}

static void note_wait(struct ledger_client *client, int64_t since_ms)
{
	int64_t took_ms = now_ms() - since_ms;

	if (took_ms > client->longest_ms)
		client->longest_ms = took_ms;
}

/* ---- waiting, never for ever ---- */

static bool wait_for(PGconn *connection, short events, int64_t deadline)
{
	struct pollfd poller = { PQsocket(connection), events, 0 };
	int64_t left = deadline - now_ms();

	return left > 0 && poll(&poller, 1, (int)left) == 1;
}

static void drop_notice(void *context, const PGresult *result)
{
	(void)context, (void)result;
}

static void disconnect(struct ledger_client *client)
{
	PQfinish(client->connection);
	client->connection = NULL;
}

static bool connect_within(PGconn *connection, int64_t deadline)
{
	PostgresPollingStatusType status = PGRES_POLLING_WRITING;

	while (status != PGRES_POLLING_OK && status != PGRES_POLLING_FAILED) {
		if (!wait_for(connection, status == PGRES_POLLING_READING ? POLLIN : POLLOUT, deadline))
			return false;
		status = PQconnectPoll(connection);
	}
	return status == PGRES_POLLING_OK;
}

static bool is_connected(struct ledger_client *client)
{
	int64_t begin = now_ms();

	if (client->connection)
		return true;
	client->connection = PQconnectStart(client->conninfo);
	bool connected = PQstatus(client->connection) != CONNECTION_BAD &&
			 connect_within(client->connection, begin + ANSWER_MS);
	note_wait(client, begin);
	if (now_ms() >= begin + ANSWER_MS)
		complain(client, "no answer to a login for %d ms", ANSWER_MS);
	if (!connected) {
		disconnect(client);
		return false;
	}
	PQsetNoticeReceiver(client->connection, drop_notice, NULL);
	client->connects++;
	return true;
}

/* Gives up, and the connection too, when no result comes. NULL as PQgetResult, and then. */
static PGresult *next_result(struct ledger_client *client)
{
	int64_t begin = now_ms();

	while (PQisBusy(client->connection)) {
		if (wait_for(client->connection, POLLIN, begin + ANSWER_MS)) {
			if (!PQconsumeInput(client->connection))
				break;
			continue;
		}
		complain(client, "no answer for %d ms", ANSWER_MS);
		disconnect(client);
		return NULL;
	}
	note_wait(client, begin);
	return PQgetResult(client->connection);
}

/* ---- what comes back ---- */

/* Errors that a fault explains: connections, resources, an operator's or a crash's doing, pgweir's own time limits. */
static bool is_explained(const char *sqlstate)
{
	static const char *const classes[] = { "08", "53", "57" };

	if (strcmp(sqlstate, "08P01") == 0)
		return false;
	for (size_t i = 0; i < sizeof(classes) / sizeof(classes[0]); i++)
		if (strncmp(sqlstate, classes[i], 2) == 0)
			return true;
	return false;
}

static void judge_error(struct ledger_client *client, const PGresult *result)
{
	const char *sqlstate = PQresultErrorField(result, PG_DIAG_SQLSTATE);

	/* Without one it is libpq's own: the connection is lost. */
	if (sqlstate && !is_explained(sqlstate))
		complain(client, "%s %s", sqlstate, PQresultErrorMessage(result));
}

static void judge_value(struct ledger_client *client, const PGresult *result, int row, int column, const char *wanted)
{
	const char *value = PQgetvalue(result, row, column);

	if (strcmp(value, wanted) != 0)
		complain(client, "column %d is \"%s\" and should be \"%s\"", column, value, wanted);
}

/* The answer to a reading: the number that was asked with, the client, and in a transaction what was set in it. */
static void judge_rows(struct ledger_client *client, const PGresult *result)
{
	char number[16];

	snprintf(number, sizeof(number), "%d", client->number);
	for (int row = 0; row < PQntuples(result); row++) {
		judge_value(client, result, row, 0, client->nonce);
		judge_value(client, result, row, 1, number);
		if (PQnfields(result) > 2)
			judge_value(client, result, row, 2, client->setting);
	}
	/* In a transaction there is at least the row that it has just written. */
	if (PQnfields(result) > 2 && PQntuples(result) == 0)
		complain(client, "a row of this transaction is missing");
}

static enum answer judge(struct ledger_client *client, const PGresult *result)
{
	switch (PQresultStatus(result)) {
	case PGRES_TUPLES_OK:
		if (PQnfields(result) > 1)
			judge_rows(client, result);
		return ANSWER_GOOD;
	case PGRES_COMMAND_OK:
		client->committed |= strcmp(PQcmdStatus((PGresult *)(uintptr_t)result), "COMMIT") == 0;
		return ANSWER_GOOD;
	case PGRES_PIPELINE_SYNC:
		return ANSWER_GOOD;
	case PGRES_PIPELINE_ABORTED:
		return ANSWER_ERROR;
	case PGRES_FATAL_ERROR:
		judge_error(client, result);
		return ANSWER_ERROR;
	default:
		complain(client, "a result of status %s", PQresStatus(PQresultStatus(result)));
		return ANSWER_ERROR;
	}
}

/* All results; in a pipeline up to its end. */
static enum answer take_results(struct ledger_client *client, bool pipeline)
{
	enum answer answer = ANSWER_GOOD;
	bool ended = false;

	while (!ended) {
		PGresult *result = next_result(client);
		if (!client->connection || PQstatus(client->connection) == CONNECTION_BAD) {
			if (result)
				judge(client, result);
			PQclear(result);
			return ANSWER_LOST;
		}
		/* Between the statements of a pipeline there is a NULL, too. */
		ended = pipeline ? result && PQresultStatus(result) == PGRES_PIPELINE_SYNC : !result;
		if (result && judge(client, result) != ANSWER_GOOD)
			answer = ANSWER_ERROR;
		PQclear(result);
	}
	return answer;
}

/* ---- what is sent ---- */

static void make_transfer(struct ledger_client *client, struct transfer *transfer)
{
	unsigned giver = draw(client, LEDGER_ACCOUNTS),
		 taker = (giver + 1 + draw(client, LEDGER_ACCOUNTS - 1)) % LEDGER_ACCOUNTS;
	int amount = 1 + (int)draw(client, 100);
	bool giver_first = giver <
			   taker; /* always in one order: transfers wait for each other, and never in a circle */

	transfer->way = draw(client, WAYS);
	transfer->take_back = draw(client, 8) == 0;
	snprintf(client->nonce, sizeof(client->nonce), "%d.%llu", client->number,
		 (unsigned long long)++client->questions);
	snprintf(client->setting, sizeof(client->setting), "%d-%zu", client->number, client->fates_count);
	snprintf(transfer->steps[0], STEP_BYTES, "BEGIN");
	snprintf(transfer->steps[1], STEP_BYTES, "SELECT set_config('ledger.transfer', '%s', true)", client->setting);
	for (int i = 0; i < 2; i++) {
		bool gives = (i == 0) == giver_first;
		snprintf(transfer->steps[2 + i], STEP_BYTES,
			 "UPDATE ledger_account SET balance = balance %+d WHERE id = %u", gives ? -amount : amount,
			 gives ? giver : taker);
	}
	snprintf(transfer->steps[4], STEP_BYTES, "INSERT INTO ledger_journal VALUES (%d, %zu, %u, %u, %d)",
		 client->number, client->fates_count, giver, taker, amount);
	snprintf(transfer->steps[READING_STEP], STEP_BYTES,
		 "SELECT '%s', client, current_setting('ledger.transfer') FROM ledger_journal"
		 " WHERE client = %d ORDER BY sequence DESC LIMIT 3",
		 client->nonce, client->number);
	snprintf(transfer->steps[6], STEP_BYTES, transfer->take_back ? "ROLLBACK" : "COMMIT");
}

static bool send_statement(struct ledger_client *client, const char *sql)
{
	return PQsendQueryParams(client->connection, sql, 0, NULL, NULL, NULL, NULL, 0);
}

static enum answer ask(struct ledger_client *client, const char *sql, bool extended)
{
	bool sent = extended ? send_statement(client, sql) : PQsendQuery(client->connection, sql);

	return sent ? take_results(client, false) : ANSWER_LOST;
}

/* *ending says whether the COMMIT has been sent. */
static enum answer go_step_by_step(struct ledger_client *client, const struct transfer *transfer, bool *ending)
{
	enum answer answer = ANSWER_GOOD;

	*ending = false;
	for (int i = 0; i < STEPS && answer == ANSWER_GOOD; i++) {
		*ending = i == STEPS - 1;
		answer = ask(client, transfer->steps[i], transfer->way == BY_STATEMENTS);
	}
	return answer;
}

static enum answer go_in_one_query(struct ledger_client *client, const struct transfer *transfer)
{
	char text[QUERY_BYTES + 2 * STEPS];
	size_t bytes = 0;

	for (int i = 0; i < STEPS; i++)
		bytes += (size_t)snprintf(text + bytes, sizeof(text) - bytes, "%s; ", transfer->steps[i]);
	return ask(client, text, false);
}

static enum answer go_as_pipeline(struct ledger_client *client, const struct transfer *transfer)
{
	bool sent = PQenterPipelineMode(client->connection);

	for (int i = 0; i < STEPS && sent; i++)
		sent = send_statement(client, transfer->steps[i]);
	sent = sent && PQpipelineSync(client->connection);
	enum answer answer = sent ? take_results(client, true) : ANSWER_LOST;
	if (answer != ANSWER_LOST && !PQexitPipelineMode(client->connection))
		complain(client, "%s", PQerrorMessage(client->connection));
	return answer;
}

/* ---- a transfer's fate ---- */

static void note_fate(struct ledger_client *client, enum fate fate)
{
	if (client->fates_count == client->fates_capacity) {
		client->fates_capacity = client->fates_capacity ? 2 * client->fates_capacity : 1024;
		client->fates = realloc(client->fates, client->fates_capacity);
	}
	client->fates[client->fates_count++] = (uint8_t)fate;
	client->counts[fate]++;
}

/* An error leaves no doubt while the connection lives: the server has rolled back, or never begun. */
static enum fate fate_of(const struct ledger_client *client, const struct transfer *transfer, enum answer answer,
			 bool ending)
{
	if (client->committed)
		return FATE_COMMITTED;
	if (answer != ANSWER_LOST || !ending || transfer->take_back)
		return FATE_REFUSED;
	return FATE_UNKNOWN;
}

/* After an error. */
static void leave_transaction(struct ledger_client *client)
{
	if (PQtransactionStatus(client->connection) == PQTRANS_IDLE)
		return;
	if (ask(client, "ROLLBACK", false) != ANSWER_GOOD)
		disconnect(client);
}

static enum answer transfer_once(struct ledger_client *client)
{
	struct transfer transfer;
	enum answer answer;
	bool ending = true;

	make_transfer(client, &transfer);
	client->committed = false;
	if (transfer.way == BY_ONE_QUERY)
		answer = go_in_one_query(client, &transfer);
	else if (transfer.way == BY_PIPELINE)
		answer = go_as_pipeline(client, &transfer);
	else
		answer = go_step_by_step(client, &transfer, &ending);
	if (answer == ANSWER_GOOD && client->committed == transfer.take_back)
		complain(client, "%s was answered with something else", transfer.steps[STEPS - 1]);
	note_fate(client, fate_of(client, &transfer, answer, ending));
	return answer;
}

/* Without a transaction, so that each may be another server's. */
static enum answer read_once(struct ledger_client *client)
{
	char sql[STEP_BYTES];

	snprintf(client->nonce, sizeof(client->nonce), "%d.%llu", client->number,
		 (unsigned long long)++client->questions);
	snprintf(sql, sizeof(sql),
		 "SELECT '%s', client FROM ledger_journal WHERE client = %d ORDER BY sequence DESC LIMIT 20",
		 client->nonce, client->number);
	return ask(client, sql, draw(client, 2));
}

void *ledger_client_run(void *argument)
{
	struct ledger_client *client = argument;

	while (!*client->stop && !client->complaint[0]) {
		enum answer answer = ANSWER_LOST;
		if (is_connected(client))
			answer = draw(client, 4) ? transfer_once(client) : read_once(client);
		if (answer == ANSWER_LOST)
			disconnect(client);
		else if (answer == ANSWER_ERROR)
			leave_transaction(client);
		if (answer != ANSWER_GOOD)
			pause_ms(PAUSE_AFTER_ERROR_MS);
	}
	disconnect(client);
	return NULL;
}
