/*
 * Whatever bytes a server sends, in its login or later: that one connection ends, its client is told or closed, memory stays
 * bounded, and nobody else notices.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "tests/support/clock.h"
#include "tests/support/fake_server.h"
#include "tests/support/stage.h"
#include "tests/support/wire.h"

Suite *bad_server_suite(void);

struct bytes {
	const char *name;
	const char *data;
	size_t size;
	bool usable; /* odd, but PostgreSQL may do it: the client is served */
};
#define BYTES(name, literal) \
	{ \
		name, literal, sizeof(literal) - 1, false \
	}
#define USABLE(name, literal) \
	{ \
		name, literal, sizeof(literal) - 1, true \
	}

#define AUTH_OK "R\0\0\0\10\0\0\0\0"
#define READY "Z\0\0\0\5I"
#define KEY "K\0\0\0\14\0\0\0\1key!"

static struct fake_server fake;

/* "fake" is the server of the test, "app" the real one beside it; a bad login is not tried again soon. */
static void start(void (*serve)(int fd, const void *context), const void *context)
{
	fake_server_start(&fake, serve, context);
	weir_start(
		&stage.weir,
		"auth_type = \"trust\"; query_wait_timeout = 1; server_connect_timeout = \"500ms\"; admin_users = [ \"ops\" ];\n"
		"server_login_retry = \"50ms\"; databases = (\n"
		"{ name = \"fake\"; conninfo = \"host=127.0.0.1 port=%u dbname=x user=u_trust password=secret\"; pool_size = 1; },\n"
		"{ name = \"app\"; conninfo = \"host=%s port=%u dbname=%s user=u_trust\"; pool_size = 1; } );",
		fake.port, stage.cluster.host, stage.cluster.port, stage.database);
}

static void finish(PGconn *witness)
{
	ck_assert_str_eq(sql_value(witness, "SELECT 'in peace'"), "in peace");
	PQfinish(witness);
	ck_assert(child_is_running(&stage.weir.process));
	if (!built_with_sanitizer())
		ck_assert_int_lt(process_status(stage.weir.process.pid, "VmHWM"), 20 * 1024);
	stage_stop();
	fake_server_stop(&fake);
}

/* ---- in the login ---- */

static const struct bytes logins[] = {
	/* Trap 3. */
	BYTES("an error without fields", "E\0\0\0\5\0"),
	BYTES("an error without a body", "E\0\0\0\4"),
	BYTES("an error without SQLSTATE", "E\0\0\0\20SFATAL\0Mno\0\0"),
	BYTES("an error without its end", "E\0\0\0\14SFATAL\0M"),
	BYTES("an error in the words of protocol 2", "Esorry, too many clients already\n"),
	/* Trap 1. */
	BYTES("length 0", "R\0\0\0\0"),
	BYTES("length 3", "R\0\0\0\3"),
	BYTES("length INT_MAX", "R\177\377\377\377"),
	BYTES("length UINT_MAX", "R\377\377\377\377"),
	BYTES("length 1 GB, and no more", "R\77\377\377\376\0\0\0\0"),
	BYTES("no code", "R\0\0\0\4"),
	BYTES("half a code", "R\0\0\0\6\0\0"),
	BYTES("an unknown method", "R\0\0\0\10\0\0\0\143"),
	BYTES("GSS", "R\0\0\0\10\0\0\0\7"),
	BYTES("md5 without a salt", "R\0\0\0\10\0\0\0\5"),
	BYTES("SASL without a mechanism", "R\0\0\0\11\0\0\0\12\0"),
	BYTES("SASL without an end", "R\0\0\0\14\0\0\0\12SCRA"),
	BYTES("SASL with a mechanism of its own", "R\0\0\0\20\0\0\0\12MAGIC-1\0\0"),
	BYTES("SASL data without SASL", "R\0\0\0\15\0\0\0\13r=xyz"),
	BYTES("SASL's end without its beginning", "R\0\0\0\15\0\0\0\14v=xyz"),
	BYTES("a row", "D\0\0\0\6\0\0"),
	BYTES("ready before anything", READY),
	BYTES("a key before anything", KEY READY),
	BYTES("a parameter without an end", AUTH_OK "S\0\0\0\10abcd"),
	BYTES("a parameter without a value", AUTH_OK "S\0\0\0\11abcd\0"),
	BYTES("ready in a transaction", AUTH_OK KEY "Z\0\0\0\5T"),
	BYTES("ready in no state", AUTH_OK KEY "Z\0\0\0\5x"),
	BYTES("ready without a state", AUTH_OK KEY "Z\0\0\0\4"),
	BYTES("a request for a password after the login", AUTH_OK "R\0\0\0\10\0\0\0\3"),
	BYTES("a result after the login", AUTH_OK KEY "T\0\0\0\6\0\0"),
	BYTES("noise", "\1\2\3\4\5\6\7\10\11\12\13\14\15\16\17\20\21\22\23\24"),
	BYTES("HTTP", "HTTP/1.1 400 Bad Request\r\n\r\n"),
	BYTES("nothing, and the end", ""),
	/* Traps 11 and 17. */
	USABLE("a notice first", "N\0\0\0\27SNOTICE\0C00000\0Mx\0\0" AUTH_OK KEY READY),
	USABLE("no key", AUTH_OK "S\0\0\0\24server_version\0"
				 "9\0" READY),
	USABLE("a key of 32 bytes", AUTH_OK "K\0\0\0\50\0\0\0\1"
					    "12345678901234567890123456789012" READY),
};

static void serve_login(int fd, const void *context)
{
	const struct bytes *bytes = context;
	uint8_t type;

	if (!fake_read_startup(fd) || !fake_send(fd, bytes->data, bytes->size))
		return;
	/* "The end" is one of the things that it may say. */
	if (bytes->size == 0)
		return;
	if (bytes->usable) {
		while (fake_read(fd, &type, NULL, 0) && type == PG_FRONTEND_QUERY)
			if (!fake_send(fd, "C\0\0\0\15SELECT 0\0" READY, 14 + 6))
				return;
		return;
	}
	fake_wait_for_end(fd);
}

START_TEST(bad_logins)
{
	start(serve_login, &logins[0]);
	PGconn *witness = weir_client(&stage.weir);
	for (size_t i = 0; i < sizeof(logins) / sizeof(*logins); i++) {
		fake.context = &logins[i];
		int64_t begin = now_ms();
		PGconn *client = sql_try_connect("host=127.0.0.1 port=%u dbname=fake user=joe", stage.weir.port);
		if (logins[i].usable)
			ck_assert_msg(PQstatus(client) == CONNECTION_OK, "%s: %s", logins[i].name,
				      PQerrorMessage(client));
		else
			ck_assert_msg(PQstatus(client) == CONNECTION_BAD && strstr(PQerrorMessage(client), "FATAL"),
				      "%s: %s", logins[i].name, PQerrorMessage(client));
		ck_assert_msg(now_ms() - begin < 15000, "%s took %d ms", logins[i].name, (int)(now_ms() - begin));
		PQfinish(client);
		ck_assert_str_eq(sql_value(witness, "SELECT 1"), "1");
		/* The next is a new login, not what the last one has left. */
		PGconn *console = weir_console(&stage.weir);
		sql_exec(console, "RECONNECT fake");
		PQfinish(console);
	}
	finish(witness);
}
END_TEST

/* ---- SCRAM ---- */

enum scram_fault {
	NONCE_NOT_OURS,
	NONCE_NOT_LONGER,
	NONCE_HUGE, /* trap 2 */
	ITERATIONS_NONE,
	ITERATIONS_TOO_MANY,
	ITERATIONS_NO_NUMBER,
	SALT_NONE,
	SALT_NO_BASE64,
	FIRST_EMPTY,
	FIRST_NOISE,
	SIGNATURE_WRONG,
	SIGNATURE_NONE,
	FINAL_MISSING,
	SCRAM_FAULTS
};

static bool send_sasl(int fd, uint32_t code, const char *text)
{
	struct pg_buffer out = PG_BUFFER_EMPTY;

	pg_build_authentication(&out, (enum pg_authentication)code, text, strlen(text));
	bool sent = !out.failed && fake_send(fd, out.data, out.length);
	pg_buffer_clear(&out);
	return sent;
}

static void print_server_first(enum scram_fault fault, const char *nonce, char *out, size_t out_bytes)
{
	static char huge[60001];

	memset(huge, 'n', sizeof(huge) - 1);
	snprintf(out, out_bytes, "r=%s%s,s=%s,i=%s", fault == NONCE_NOT_OURS ? "another" : nonce,
		 fault == NONCE_HUGE         ? huge
		 : fault == NONCE_NOT_LONGER ? ""
					     : "server",
		 fault == SALT_NONE        ? ""
		 : fault == SALT_NO_BASE64 ? "*?*"
					   : "QSXCR+Q6sek8bf92",
		 fault == ITERATIONS_NONE        ? "0"
		 : fault == ITERATIONS_TOO_MANY  ? "4000000000"
		 : fault == ITERATIONS_NO_NUMBER ? "many"
						 : "4096");
	if (fault == FIRST_EMPTY)
		out[0] = '\0';
	if (fault == FIRST_NOISE)
		snprintf(out, out_bytes, "=,=,,;;x");
}

static void serve_scram(int fd, const void *context)
{
	enum scram_fault fault = (enum scram_fault)(uintptr_t)context;
	uint8_t type, body[1024] = { 0 };
	char first[70000];

	if (!fake_read_startup(fd) || !fake_send(fd, "R\0\0\0\27\0\0\0\12SCRAM-SHA-256\0\0", 24))
		return;
	if (!fake_read(fd, &type, body, sizeof(body) - 1))
		return;
	/* Behind the mechanism's name and a length: "n,,n=,r=NONCE". */
	const char *nonce = strstr((char *)body + strlen((char *)body) + 1 + 4, "r=");
	if (!nonce)
		return;
	print_server_first(fault, nonce + 2, first, sizeof(first));
	if (!send_sasl(fd, PG_AUTH_SASL_CONTINUE, first) || !fake_read(fd, &type, body, sizeof(body)))
		return;
	if (fault == SIGNATURE_WRONG && !send_sasl(fd, PG_AUTH_SASL_FINAL, "v=rmF9pqV8S7suAoZWja4dJRkFsKQ="))
		return;
	if (fault == SIGNATURE_NONE && !send_sasl(fd, PG_AUTH_SASL_FINAL, "v="))
		return;
	/* A server that knows the password proves it: one that goes on without is none of ours. */
	if (fake_send(fd, AUTH_OK KEY READY, 9 + 13 + 6))
		fake_wait_for_end(fd);
}

START_TEST(bad_scram)
{
	start(serve_scram, NULL);
	PGconn *witness = weir_client(&stage.weir);
	for (uintptr_t fault = 0; fault < SCRAM_FAULTS; fault++) {
		fake.context = (const void *)fault;
		PGconn *client = sql_try_connect("host=127.0.0.1 port=%u dbname=fake user=joe", stage.weir.port);
		ck_assert_msg(PQstatus(client) == CONNECTION_BAD && strstr(PQerrorMessage(client), "FATAL"),
			      "fault %d: %s", (int)fault, PQerrorMessage(client));
		PQfinish(client);
	}
	ck_assert(!weir_log_contains(&stage.weir, "secret"));
	finish(witness);
}
END_TEST

/* ---- behind a good login ---- */

static const struct bytes answers[] = {
	BYTES("length 0", "C\0\0\0\0"),
	BYTES("length 3", "T\0\0\0\3"),
	BYTES("length UINT_MAX", "D\377\377\377\377"),
	BYTES("above PostgreSQL's bound", "D\100\0\0\0"),
	BYTES("a type that there is not", "\1\0\0\0\4"),
	BYTES("a type of clients", "Q\0\0\0\5\0"),
	BYTES("the answer to a Parse", "1\0\0\0\4"),
	BYTES("the answer to a Close", "3\0\0\0\4"),
	BYTES("a login request", "R\0\0\0\10\0\0\0\3"),
	BYTES("COPY data without COPY", "d\0\0\0\5x"),
	BYTES("ready in no state", "C\0\0\0\15SELECT 0\0Z\0\0\0\5x"),
	BYTES("ready without a state", "C\0\0\0\15SELECT 0\0Z\0\0\0\4"),
	BYTES("ready twice", "C\0\0\0\15SELECT 0\0" READY READY READY),
	BYTES("half a row, and the end", "T\0\0\0\6\0\0D\0\0\1\0\0\1"),
	BYTES("nothing, and the end", ""),
	BYTES("noise", "\377\376\375\374\373\372\371\370"),
	USABLE("a notice, a parameter, a notification",
	       "N\0\0\0\27SNOTICE\0C00000\0Mx\0\0S\0\0\0\21TimeZone\0UTC\0A\0\0\0\16\0\0\0\1chan\0\0C\0\0\0\15SELECT "
	       "0\0" READY),
	USABLE("an empty query", "I\0\0\0\4" READY),
};

static void serve_answer(int fd, const void *context)
{
	const struct bytes *bytes = context;
	uint8_t type;

	if (!fake_welcome(fd))
		return;
	while (fake_read(fd, &type, NULL, 0) && type == PG_FRONTEND_QUERY) {
		if (!fake_send(fd, bytes->data, bytes->size))
			return;
		if (bytes->size == 0 || strstr(bytes->name, "and the end"))
			return;
	}
}

/* What a client sees of one query: an answer, an error, an end; in bounded time. */
static void query_fake(const struct bytes *bytes)
{
	struct wire wire;
	struct wire_message message;
	bool open, error = false, ready = false;

	wire_open(&wire, stage.weir.port);
	wire_login(&wire, "joe", "fake", NULL, NULL);
	wire_query(&wire, "SELECT 0");
	while ((open = wire_read(&wire, &message))) {
		error |= message.type == PG_BACKEND_ERROR;
		ready |= message.type == PG_BACKEND_READY;
		if (ready)
			break;
	}
	if (bytes->usable)
		ck_assert_msg(ready && !error, "%s: %s %s", bytes->name, wire.sqlstate, wire.message);
	else if (strcmp(bytes->name, "ready twice") != 0)
		ck_assert_msg(error && !open, "%s: %s", bytes->name, error ? "left open" : "no error");
	wire_close(&wire);
}

START_TEST(bad_answers)
{
	start(serve_answer, &answers[0]);
	PGconn *witness = weir_client(&stage.weir);
	for (size_t i = 0; i < sizeof(answers) / sizeof(*answers); i++) {
		fake.context = &answers[i];
		/* A half message has gone to the client already: there no error can follow. */
		if (strcmp(answers[i].name, "half a row, and the end") != 0)
			query_fake(&answers[i]);
		ck_assert_str_eq(sql_value(witness, "SELECT 1"), "1");
		PGconn *console = weir_console(&stage.weir);
		sql_exec(console, "RECONNECT fake");
		PQfinish(console);
	}
	finish(witness);
}
END_TEST

/* The client has half a row: it can only be closed. */
START_TEST(an_end_in_half_a_row)
{
	struct wire wire;
	uint8_t byte;
	ssize_t got;
	int64_t deadline = now_ms() + PATIENCE_MS;
	const struct bytes *half = NULL;

	for (size_t i = 0; i < sizeof(answers) / sizeof(*answers); i++)
		if (strcmp(answers[i].name, "half a row, and the end") == 0)
			half = &answers[i];
	ck_assert_ptr_nonnull(half);
	start(serve_answer, half);
	PGconn *witness = weir_client(&stage.weir);
	wire_open(&wire, stage.weir.port);
	wire_login(&wire, "joe", "fake", NULL, NULL);
	wire_query(&wire, "SELECT 0");
	while ((got = recv(wire.fd, &byte, 1, MSG_DONTWAIT)) != 0 && now_ms() < deadline)
		if (got < 0)
			pause_ms(1);
	ck_assert_int_eq(got, 0);
	wire_close(&wire);
	finish(witness);
}
END_TEST

/* What was under way is said. */
START_TEST(an_end_under_a_statement_is_told)
{
	static const struct bytes end = BYTES("nothing, and the end", "");
	struct wire wire;

	start(serve_answer, &end);
	PGconn *witness = weir_client(&stage.weir);
	wire_open(&wire, stage.weir.port);
	wire_login(&wire, "joe", "fake", NULL, NULL);
	wire_query(&wire, "SELECT 0");
	wire_types_until_closed(&wire);
	ck_assert_str_eq(wire.sqlstate, "08006");
	wire_close(&wire);
	finish(witness);
}
END_TEST

/* A row of a gigabyte that never comes: what came is passed on, nothing is kept, and the client may go. */
static void serve_endless_row(int fd, const void *context)
{
	uint8_t type;
	static const uint8_t zeros[65536];

	(void)context;
	if (!fake_welcome(fd) || !fake_read(fd, &type, NULL, 0))
		return;
	if (!fake_send(fd, "T\0\0\0\6\0\0D\77\377\377\375\0\1\77\377\377\0", 7 + 11))
		return;
	for (int i = 0; i < 1600; i++)
		if (!fake_send(fd, zeros, sizeof(zeros)))
			return;
	fake_wait_for_end(fd);
}

START_TEST(an_endless_row)
{
	struct wire wire;
	static uint8_t buffer[65536];
	size_t got = 0;
	int64_t deadline = now_ms() + PATIENCE_MS;

	start(serve_endless_row, NULL);
	PGconn *witness = weir_client(&stage.weir);
	wire_open(&wire, stage.weir.port);
	wire_login(&wire, "joe", "fake", NULL, NULL);
	wire_query(&wire, "SELECT 0");
	while (got < 100u * 1024 * 1024 && now_ms() < deadline) {
		ssize_t part = recv(wire.fd, buffer, sizeof(buffer), MSG_DONTWAIT);
		if (part > 0)
			got += (size_t)part;
		else
			pause_ms(1);
	}
	ck_assert_uint_ge(got, 100u * 1024 * 1024);
	wire_reset(&wire);
	finish(witness);
}
END_TEST

/* Trap 56: what an idle server may say, and what it may not. */
static void serve_idle_words(int fd, const void *context)
{
	const struct bytes *bytes = context;
	uint8_t type;

	if (!fake_welcome(fd))
		return;
	if (!fake_read(fd, &type, NULL, 0) || !fake_send(fd, "C\0\0\0\15SELECT 0\0" READY, 14 + 6))
		return;
	/* Only when it is idle. */
	pause_ms(50);
	if (!fake_send(fd, bytes->data, bytes->size))
		return;
	while (fake_read(fd, &type, NULL, 0) && type == PG_FRONTEND_QUERY)
		if (!fake_send(fd, "C\0\0\0\15SELECT 0\0" READY, 14 + 6))
			return;
}

START_TEST(words_of_an_idle_server)
{
	static const struct bytes words[] = {
		USABLE("a notice", "N\0\0\0\27SNOTICE\0C00000\0Mx\0\0"),
		USABLE("a parameter", "S\0\0\0\21TimeZone\0UTC\0"),
		USABLE("a notification", "A\0\0\0\16\0\0\0\1chan\0\0"),
		BYTES("ready", READY),
		BYTES("a row", "D\0\0\0\6\0\0"),
		BYTES("an error", "E\0\0\0\34SFATAL\0C57P01\0Mbye bye\0\0"),
		BYTES("noise", "\1\2\3\4\5\6\7\10"),
		BYTES("half a message", "S\0\0\0\21Time"),
	};

	start(serve_idle_words, &words[0]);
	PGconn *witness = weir_client(&stage.weir);
	for (size_t i = 0; i < sizeof(words) / sizeof(*words); i++) {
		fake.context = &words[i];
		struct wire wire;
		PGconn *console = weir_console(&stage.weir);
		int before = fake.connections;
		wire_open(&wire, stage.weir.port);
		wire_login(&wire, "joe", "fake", NULL, NULL);
		wire_exec(&wire, "SELECT 0");
		pause_ms(150);
		/* Half a message may be completed yet: then the server is asked, and closed for what comes next. */
		if (strcmp(words[i].name, "half a message") != 0) {
			wire_exec(&wire, "SELECT 0");
			ck_assert_msg(fake.connections == before + (words[i].usable ? 1 : 2), "%s: %d servers",
				      words[i].name, fake.connections - before);
		}
		wire_close(&wire);
		sql_exec(console, "RECONNECT fake");
		PQfinish(console);
		ck_assert(eventually(strcmp(sql_value(witness, "SELECT 1"), "1") == 0));
	}
	finish(witness);
}
END_TEST

Suite *bad_server_suite(void)
{
	Suite *suite = suite_create("bad_server");
	TCase *tcase = stage_case("bad_server", 120);

	tcase_add_test(tcase, bad_logins);
	tcase_add_test(tcase, bad_scram);
	tcase_add_test(tcase, bad_answers);
	tcase_add_test(tcase, an_end_in_half_a_row);
	tcase_add_test(tcase, an_end_under_a_statement_is_told);
	tcase_add_test(tcase, an_endless_row);
	tcase_add_test(tcase, words_of_an_idle_server);
	suite_add_tcase(suite, tcase);
	return suite;
}
