/* How clients log in, and how we log in at the server. */
#include <ctype.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "protocol/scram.h"
#include "protocol/startup.h"
#include "tests/support/clock.h"
#include "tests/support/directory.h"
#include "tests/support/stage.h"
#include "tests/support/wire.h"

Suite *auth_suite(void);

/* ---- the user list ---- */

static char auth_file[256];

/* PostgreSQL's own secrets for u_md5 and u_scram, a plain one, one without a password, and names that need quoting. */
static void write_auth_file(void)
{
	char text[4096], directory[200];

	directory_create(directory, sizeof(directory), "users");
	snprintf(auth_file, sizeof(auth_file), "%s/userlist.txt", directory);
	snprintf(text, sizeof(text),
		 "; users of the tests\n"
		 "\"plain_joe\" \"joe's pass\"\n"
		 "\"u_md5\" \"%s\"\n"
		 "\"u_scram\" \"%s\"\n"
		 "\"none_eve\" \"\"\n"
		 "\"quo\"\"te\" \"pass\"\"word\"\n"
		 "\"prep\" \"I\xc2\xadX\"\n"
		 "\"ops\" \"ops\"\n",
		 sql_value(stage.super, "SELECT rolpassword FROM pg_authid WHERE rolname = 'u_md5'"),
		 sql_value(stage.super, "SELECT rolpassword FROM pg_authid WHERE rolname = 'u_scram'"));
	file_write(auth_file, text);
}

static void forget_auth_file(void)
{
	*strrchr(auth_file, '/') = '\0';
	directory_remove(auth_file);
}

static void start_with(const char *auth_type, const char *more)
{
	weir_start(&stage.weir,
		   "auth_type = \"%s\"; auth_file = \"%s\"; admin_users = [ \"ops\" ];\n"
		   "databases = ( { name = \"app\"; conninfo = \"host=%s port=%u dbname=%s user=u_trust\"; } );\n%s",
		   auth_type, auth_file, stage.cluster.host, stage.cluster.port, stage.database, more);
}

static bool can_login(const char *user, const char *password)
{
	PGconn *client = sql_try_connect("host=127.0.0.1 port=%u dbname=app user='%s' password='%s'", stage.weir.port,
					 user, password);
	bool in = PQstatus(client) == CONNECTION_OK;

	if (in)
		ck_assert_str_eq(sql_value(client, "SELECT current_user"), "u_trust");
	PQfinish(client);
	return in;
}

/* ---- clients ---- */

static const struct {
	const char *auth_type, *user, *password;
	bool let_in;
} logins[] = {
	{ "trust", "plain_joe", "", true },
	{ "trust", "u_scram", "not asked for", true },
	{ "plain", "plain_joe", "joe\\'s pass", true },
	{ "plain", "u_md5", "md5 secret", true },
	{ "plain", "u_scram", "scram secret", true },
	{ "plain", "quo\"te", "pass\"word", true },
	{ "plain", "plain_joe", "joe\\'s pas", false },
	{ "plain", "plain_joe", "joe\\'s pass ", false },
	{ "plain", "u_md5", "md5 secreT", false },
	{ "plain", "u_scram", "wrong", false },
	{ "plain", "none_eve", "x", false },
	{ "plain", "nobody_here", "x", false },
	{ "md5", "plain_joe", "joe\\'s pass", true },
	{ "md5", "u_md5", "md5 secret", true },
	{ "md5", "quo\"te", "pass\"word", true },
	{ "md5", "plain_joe", "wrong", false },
	{ "md5", "u_md5", "wrong", false },
	{ "md5", "none_eve", "x", false },
	{ "md5", "nobody_here", "x", false },
	/* PgBouncer and PostgreSQL do SCRAM with a SCRAM secret, whatever asks for md5. */
	{ "md5", "u_scram", "scram secret", true },
	{ "md5", "u_scram", "wrong", false },
	{ "scram-sha-256", "plain_joe", "joe\\'s pass", true },
	{ "scram-sha-256", "u_scram", "scram secret", true },
	{ "scram-sha-256", "prep", "IX", true },
	{ "scram-sha-256", "quo\"te", "pass\"word", true },
	{ "scram-sha-256", "plain_joe", "wrong", false },
	{ "scram-sha-256", "u_scram", "wrong", false },
	/* An md5 secret does not tell the password. */
	{ "scram-sha-256", "u_md5", "md5 secret", false },
	{ "scram-sha-256", "none_eve", "x", false },
	{ "scram-sha-256", "nobody_here", "x", false },
};

START_TEST(every_type_with_every_secret)
{
	static const char *const types[] = { "trust", "plain", "md5", "scram-sha-256" };
	const char *type = types[_i];

	write_auth_file();
	start_with(type, "");
	for (size_t i = 0; i < sizeof(logins) / sizeof(*logins); i++) {
		if (strcmp(logins[i].auth_type, type) != 0)
			continue;
		bool in = can_login(logins[i].user, logins[i].password);
		ck_assert_msg(in == logins[i].let_in, "%s: %s with \"%s\" was %s", type, logins[i].user,
			      logins[i].password, in ? "let in" : "refused");
	}
	ck_assert(!weir_log_contains(&stage.weir, "scram secret"));
	ck_assert(!weir_log_contains(&stage.weir, "joe's pass"));
	ck_assert(!weir_log_contains(&stage.weir, "SCRAM-SHA-256$"));
	forget_auth_file();
}
END_TEST

/* What a client that fails is told, with its name taken out. */
static const char *refusal(const char *user, const char *password, const char *database)
{
	static char text[4][1024];
	static unsigned next;
	char quoted[128];
	char *out = text[next++ % 4];
	PGconn *client = sql_try_connect("host=127.0.0.1 port=%u dbname=%s user='%s' password='%s'", stage.weir.port,
					 database, user, password);

	ck_assert_int_eq(PQstatus(client), CONNECTION_BAD);
	snprintf(out, 1024, "%s", PQerrorMessage(client));
	snprintf(quoted, sizeof(quoted), "\"%s\"", user);
	char *name = strstr(out, quoted);
	if (name)
		memset(name, '?', strlen(quoted));
	PQfinish(client);
	return out;
}

/* Trap 76: who guesses learns nothing. The names have one length, as the text is compared. */
START_TEST(a_guess_learns_nothing)
{
	static const char *const types[] = { "plain", "md5", "scram-sha-256" };

	write_auth_file();
	start_with(types[_i], "");
	const char *wrong_password = refusal("plain_joe", "wrong", "app");
	ck_assert_ptr_nonnull(strstr(wrong_password, "password authentication failed"));
	ck_assert_str_eq(wrong_password, refusal("plain_foe", "wrong", "app"));
	ck_assert_str_eq(wrong_password, refusal("plain_joe", "wrong", "nowhere"));
	ck_assert_str_eq(wrong_password, refusal("plain_foe", "wrong", "nowhere"));
	/* And nothing was asked of the server for their sake. */
	ck_assert_int_eq(cluster_count_backends(stage.super, stage.database, NULL), 0);
	forget_auth_file();
}
END_TEST

/* The challenge that a user gets: salt and iterations. */
static void scram_challenge(const char *user, char *out, size_t out_bytes)
{
	struct wire wire;
	struct wire_message message;
	struct pg_buffer buffer = PG_BUFFER_EMPTY;
	static const char first[] = "n,,n=,r=clientnonceclientnonce";

	wire_open(&wire, stage.weir.port);
	pg_startup_put_session(&buffer, user, "app", NULL, 0);
	wire_send(&wire, &buffer);
	ck_assert(wire_read(&wire, &message));
	ck_assert_uint_eq(pg_load_u32(message.body), PG_AUTH_SASL);
	pg_build_sasl_initial(&buffer, "SCRAM-SHA-256", first, sizeof(first) - 1);
	wire_send(&wire, &buffer);
	ck_assert(wire_read(&wire, &message));
	ck_assert_uint_eq(pg_load_u32(message.body), PG_AUTH_SASL_CONTINUE);
	snprintf(out, out_bytes, "%.*s", (int)(message.body_bytes - 4), (const char *)message.body + 4);
	memmove(out, strstr(out, ",s="), strlen(strstr(out, ",s=")) + 1);
	wire_close(&wire);
}

/* A user who is not there has a salt as everybody has one: always the same, and unlike others'. */
START_TEST(the_challenge_does_not_tell_who_is_known)
{
	char known[256], unknown[256], again[256], other[256];

	write_auth_file();
	start_with("scram-sha-256", "");
	scram_challenge("u_scram", known, sizeof(known));
	scram_challenge("u_scrum", unknown, sizeof(unknown));
	scram_challenge("u_scrum", again, sizeof(again));
	scram_challenge("u_scram_2", other, sizeof(other));
	ck_assert_str_eq(unknown, again);
	ck_assert_str_ne(unknown, other);
	ck_assert_str_ne(unknown, known);
	ck_assert_uint_eq(strlen(unknown), strlen(known));
	ck_assert_str_eq(strstr(unknown, ",i="), strstr(known, ",i="));
	forget_auth_file();
}
END_TEST

/* Trap 58: the client has proven who it is before it learns what is wrong behind. */
START_TEST(a_missing_database_is_named_after_the_login_only)
{
	write_auth_file();
	start_with("scram-sha-256", "");
	sql_refused("nowhere", "host=127.0.0.1 port=%u dbname=nowhere user=plain_joe password='joe\\'s pass'",
		    stage.weir.port);
	forget_auth_file();
}
END_TEST

/* Trap 10: tokens are long. */
START_TEST(a_long_password)
{
	enum { BYTES = 60000 };
	static char password[BYTES + 1], text[BYTES + 100];

	write_auth_file();
	memset(password, 'p', BYTES);
	snprintf(text, sizeof(text), "\"token\" \"%s\"\n", password);
	file_write(auth_file, text);
	start_with("plain", "");
	ck_assert(can_login("token", password));
	password[BYTES - 1] = 'q';
	ck_assert(!can_login("token", password));
	forget_auth_file();
}
END_TEST

/* Trap 5, and the two requests that come first. */
START_TEST(a_login_byte_by_byte)
{
	struct wire wire;
	struct pg_buffer out = PG_BUFFER_EMPTY;
	uint8_t answer;

	write_auth_file();
	start_with("plain", "");
	wire_open(&wire, stage.weir.port);
	static const uint8_t requests[2][8] = { { 0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x30 },   /* GSSENCRequest */
						{ 0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f } }; /* SSLRequest */
	for (int i = 0; i < 2; i++) {
		for (int at = 0; at < 8; at++)
			wire_send_bytes(&wire, &requests[i][at], 1);
		ck_assert(eventually(recv(wire.fd, &answer, 1, MSG_DONTWAIT) == 1));
		ck_assert_int_eq(answer, 'N');
	}
	pg_startup_put_session(&out, "plain_joe", "app", NULL, 0);
	for (size_t at = 0; at < out.length; at++)
		wire_send_bytes(&wire, out.data + at, 1);
	pg_buffer_clear(&out);
	ck_assert_str_eq(wire_types_until(&wire, 'R'), "R");
	pg_build_password(&out, "joe's pass");
	for (size_t at = 0; at < out.length; at++)
		wire_send_bytes(&wire, out.data + at, 1);
	pg_buffer_clear(&out);
	ck_assert_str_eq(wire_types_until_ready(&wire), "RKZ");
	ck_assert_str_eq(wire_value(&wire, "SELECT 1"), "1");
	wire_close(&wire);
	forget_auth_file();
}
END_TEST

/* A startup packet of 3.2 with an option from the future. */
START_TEST(a_newer_protocol_is_negotiated_down)
{
	struct wire wire;
	struct wire_message message;
	struct pg_buffer out = PG_BUFFER_EMPTY;
	bool negotiated = false;

	stage_start("transaction", 1, "");
	wire_open(&wire, stage.weir.port);
	wire_put_startup(&out, 3u << 16 | 2,
			 (const char *[]){ "user", "joe", "database", "app", "_pq_.of_the_future", "yes", NULL });
	wire_send(&wire, &out);
	do {
		ck_assert(wire_read(&wire, &message));
		if (message.type != PG_BACKEND_NEGOTIATE_VERSION)
			continue;
		ck_assert(!negotiated); /* trap 16 */
		negotiated = true;
		ck_assert_uint_eq(pg_load_u32(message.body) & 0xffff, 0);
		ck_assert_uint_eq(pg_load_u32(message.body + 4), 1);
		ck_assert_str_eq((const char *)message.body + 8, "_pq_.of_the_future");
	} while (message.type != PG_BACKEND_READY);
	ck_assert(negotiated);
	ck_assert_str_eq(wire_value(&wire, "SELECT 1"), "1");
	wire_close(&wire);
}
END_TEST

START_TEST(other_protocols_are_refused)
{
	static const uint32_t versions[] = { 2u << 16, 4u << 16, 1, 99u << 16 | 99 };
	struct wire wire;
	struct pg_buffer out = PG_BUFFER_EMPTY;

	stage_start("transaction", 1, "");
	for (size_t i = 0; i < sizeof(versions) / sizeof(*versions); i++) {
		wire_open(&wire, stage.weir.port);
		wire_put_startup(&out, versions[i], (const char *[]){ "user", "joe", "database", "app", NULL });
		wire_send(&wire, &out);
		ck_assert_str_eq(wire_types_until_closed(&wire), "E");
		ck_assert_str_eq(wire.sqlstate, "0A000");
		wire_close(&wire);
	}
}
END_TEST

/* Trap 8: the lengths that PostgreSQL's names have. */
START_TEST(names_that_are_too_long_are_refused)
{
	struct wire wire;
	struct pg_buffer out = PG_BUFFER_EMPTY;
	char name[101];

	memset(name, 'n', 100);
	name[100] = '\0';
	stage_start("transaction", 1, "");
	for (int i = 0; i < 2; i++) {
		wire_open(&wire, stage.weir.port);
		wire_put_startup(&out, 3u << 16,
				 (const char *[]){ "user", i ? name : "joe", "database", i ? "app" : name, NULL });
		wire_send(&wire, &out);
		ck_assert_str_eq(wire_types_until_closed(&wire), i ? "E" : wire.sqlstate[0] ? "E" : "RE");
		ck_assert_str_ne(wire.sqlstate, "");
		wire_close(&wire);
	}
	PQfinish(weir_client(&stage.weir));
}
END_TEST

/* What the server reports at login reaches the client as if it were the server's own. */
START_TEST(the_welcome_is_the_servers)
{
	static const char *const names[] = { "server_version",
					     "server_encoding",
					     "client_encoding",
					     "DateStyle",
					     "TimeZone",
					     "integer_datetimes",
					     "IntervalStyle",
					     "is_superuser",
					     "standard_conforming_strings",
					     "in_hot_standby",
					     "application_name",
					     "session_authorization",
					     "default_transaction_read_only" };

	stage_start("transaction", 1, "");
	PGconn *direct = stage_direct();
	/* The second gets its welcome from what is known by then. */
	for (int round = 0; round < 2; round++) {
		PGconn *client = weir_client(&stage.weir);
		for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
			const char *expected = PQparameterStatus(direct, names[i]);
			const char *actual = PQparameterStatus(client, names[i]);
			ck_assert_msg(actual && expected && strcmp(actual, expected) == 0, "%s: %s instead of %s",
				      names[i], actual ? actual : "nothing", expected ? expected : "nothing");
		}
		ck_assert_int_eq(PQserverVersion(client), PQserverVersion(direct));
		ck_assert_int_gt(PQbackendPID(client), 0); /* trap 18 */
		PQfinish(client);
	}
	PQfinish(direct);
}
END_TEST

START_TEST(unix_sockets_and_ipv6)
{
	int probe = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct sockaddr_in6 any6 = { .sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT };
	bool has_v6 = probe >= 0 && bind(probe, (struct sockaddr *)&any6, sizeof(any6)) == 0;

	close(probe);
	write_auth_file();
	start_with("scram-sha-256", "");
	PGconn *client = sql_connect("host=%s port=%u dbname=app user=u_scram password='scram secret'",
				     stage.weir.socket, stage.weir.port);
	ck_assert_str_eq(sql_value(client, "SELECT 'by unix socket'"), "by unix socket");
	PQfinish(client);
	/* The user that runs pgweir may use the console there, whatever he calls himself and without a password. */
	client = sql_connect("host=%s port=%u dbname=pgweir user=me", stage.weir.socket, stage.weir.port);
	ck_assert_str_ne(sql_value(client, "SHOW VERSION"), "");
	sql_exec(client, "RELOAD");
	PQfinish(client);
	sql_refused("password", "host=%s port=%u dbname=app user=u_scram", stage.weir.socket, stage.weir.port);
	stage_stop();

	/* A machine without IPv6 has nothing to test there. */
	for (int i = 0; has_v6 && i < 2; i++) {
		weir_prepare(&stage.weir);
		stage.weir.listen_addr = i ? "*" : "::1";
		weir_configure(
			&stage.weir,
			"auth_type = \"trust\"; databases = ( { name = \"app\"; conninfo = \"host=%s port=%u dbname=%s "
			"user=u_trust\"; } );",
			stage.cluster.host, stage.cluster.port, stage.database);
		ck_assert(weir_launch(&stage.weir));
		client = sql_connect("host=::1 port=%u dbname=app user=joe", stage.weir.port);
		ck_assert_int_eq(sql_number(client, "SELECT 6"), 6);
		PQfinish(client);
		stage_stop();
	}
	forget_auth_file();
}
END_TEST

/* Trap 15: a client that begins and says no more is not kept for ever. */
START_TEST(who_stalls_in_the_login_is_closed)
{
	static const uint8_t ssl_request[8] = { 0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f };
	struct wire silent, stalled, half;
	struct pg_buffer out = PG_BUFFER_EMPTY;

	write_auth_file();
	start_with("plain", "client_login_timeout = \"300ms\";");
	wire_open(&silent, stage.weir.port);
	wire_open(&stalled, stage.weir.port);
	wire_send_bytes(&stalled, ssl_request, sizeof(ssl_request));
	ck_assert(eventually(recv(stalled.fd, &(char){ 0 }, 1, MSG_DONTWAIT) == 1));
	wire_open(&half, stage.weir.port);
	pg_startup_put_session(&out, "plain_joe", "app", NULL, 0);
	wire_send(&half, &out);
	ck_assert_str_eq(wire_types_until(&half, 'R'), "R");
	wire_types_until_closed(&silent);
	wire_types_until_closed(&stalled);
	wire_types_until_closed(&half);
	wire_close(&silent);
	wire_close(&stalled);
	wire_close(&half);
	ck_assert(can_login("plain_joe", "joe\\'s pass"));
	forget_auth_file();
}
END_TEST

START_TEST(more_clients_than_max_client_conn_are_refused)
{
	PGconn *clients[3];

	weir_start(&stage.weir,
		   "auth_type = \"trust\"; max_client_conn = 3; workers = 2;\n"
		   "databases = ( { name = \"app\"; conninfo = \"host=%s port=%u dbname=%s user=u_trust\"; } );",
		   stage.cluster.host, stage.cluster.port, stage.database);
	for (int round = 0; round < 3; round++) {
		for (int i = 0; i < 3; i++)
			clients[i] = weir_client(&stage.weir);
		sql_refused("max_client_conn", "host=127.0.0.1 port=%u dbname=app user=joe", stage.weir.port);
		for (int i = 0; i < 3; i++)
			PQfinish(clients[i]);
		/* Their places are free when their ends have been seen. */
		PGconn *next = NULL;
		int64_t deadline = now_ms() + PATIENCE_MS;
		do {
			PQfinish(next);
			next = sql_try_connect("host=127.0.0.1 port=%u dbname=app user=joe", stage.weir.port);
		} while (PQstatus(next) != CONNECTION_OK && now_ms() < deadline);
		ck_assert_int_eq(PQstatus(next), CONNECTION_OK);
		PQfinish(next);
		pause_ms(50);
	}
}
END_TEST

/* ---- the server's side ---- */

static const struct {
	const char *user, *password;
} roles[] = { { "u_trust", "" },
	      { "u_plain", "plain secret" },
	      { "u_md5", "md5 secret" },
	      { "u_scram", "scram secret" } };

START_TEST(we_log_in_by_every_method)
{
	char host[2][108];

	snprintf(host[0], sizeof(host[0]), "127.0.0.1");
	snprintf(host[1], sizeof(host[1]), "%s", stage.cluster.host);
	for (int local = 0; local < 2; local++) {
		weir_start(&stage.weir,
			   "auth_type = \"trust\"; databases = (\n"
			   "{ name = \"app\"; conninfo = \"host=%s port=%u dbname=%s user=%s password='%s'\"; } );",
			   host[local], stage.cluster.port, stage.database, roles[_i].user, roles[_i].password);
		PGconn *client = weir_client(&stage.weir);
		ck_assert_str_eq(sql_value(client, "SELECT current_user"), roles[_i].user);
		ck_assert_str_eq(sql_value(client, "SELECT inet_server_addr() IS NULL"), local ? "t" : "f");
		PQfinish(client);
		/* Trap 77: a second login, on a new connection, with what is kept of the first. */
		PGconn *console =
			sql_connect("host=%s port=%u dbname=pgweir user=me", stage.weir.socket, stage.weir.port);
		sql_exec(console, "RECONNECT");
		client = weir_client(&stage.weir);
		ck_assert_str_eq(sql_value(client, "SELECT current_user"), roles[_i].user);
		PQfinish(client);
		PQfinish(console);
		stage_stop();
	}
}
END_TEST

/* Without a user in conninfo each client is itself at the server: with its plain secret from the file, or with the plain
 * password that it has just sent. */
START_TEST(clients_log_in_as_themselves)
{
	char text[1024];

	write_auth_file();
	snprintf(text, sizeof(text),
		 "\"u_scram\" \"scram secret\"\n\"u_md5\" \"md5 secret\"\n\"u_plain\" \"plain secret\"\n");
	file_write(auth_file, text);
	for (int round = 0; round < 2; round++) {
		weir_start(&stage.weir,
			   "auth_type = \"%s\"; auth_file = \"%s\";\n"
			   "databases = ( { name = \"app\"; conninfo = \"host=%s port=%u dbname=%s\"; } );",
			   round ? "plain" : "scram-sha-256", auth_file, stage.cluster.host, stage.cluster.port,
			   stage.database);
		for (size_t i = 1; i < sizeof(roles) / sizeof(*roles); i++) {
			PGconn *client = weir_connect(&stage.weir, "dbname=app user=%s password='%s'", roles[i].user,
						      roles[i].password);
			ck_assert_str_eq(sql_value(client, "SELECT current_user"), roles[i].user);
			PQfinish(client);
		}
		stage_stop();
		/* For the second round the file has no password to log in with. */
		snprintf(text, sizeof(text), "\"u_scram\" \"%s\"\n\"u_md5\" \"%s\"\n\"u_plain\" \"plain secret\"\n",
			 sql_value(stage.super, "SELECT rolpassword FROM pg_authid WHERE rolname = 'u_scram'"),
			 sql_value(stage.super, "SELECT rolpassword FROM pg_authid WHERE rolname = 'u_md5'"));
		file_write(auth_file, text);
	}
	forget_auth_file();
}
END_TEST

/* A server's refusal reaches the client in the server's own words. */
START_TEST(what_the_server_refuses_is_told)
{
	static const struct {
		const char *conninfo, *expected;
	} cases[] = {
		{ "dbname=postgres user=u_scram password=wrong",
		  "password authentication failed for user \"u_scram\"" },
		{ "dbname=nowhere user=u_trust", "database \"nowhere\" does not exist" },
		{ "dbname=postgres user=nobody_here", "no pg_hba.conf entry" },
	};

	weir_start(&stage.weir,
		   "auth_type = \"trust\"; server_login_retry = 0; query_wait_timeout = 10; databases = (\n"
		   "{ name = \"d0\"; conninfo = \"host=%s port=%u %s\"; },\n"
		   "{ name = \"d1\"; conninfo = \"host=%s port=%u %s\"; },\n"
		   "{ name = \"d2\"; conninfo = \"host=%s port=%u %s\"; },\n"
		   "{ name = \"app\"; conninfo = \"host=%s port=%u dbname=%s user=u_trust\"; } );",
		   stage.cluster.host, stage.cluster.port, cases[0].conninfo, stage.cluster.host, stage.cluster.port,
		   cases[1].conninfo, stage.cluster.host, stage.cluster.port, cases[2].conninfo, stage.cluster.host,
		   stage.cluster.port, stage.database);
	PGconn *served = weir_client(&stage.weir);
	sql_exec(served, "BEGIN");
	for (int i = 0; i < 3; i++)
		sql_refused(cases[i].expected, "host=127.0.0.1 port=%u dbname=d%d user=joe", stage.weir.port, i);
	/* Trap 57: who is being served notices nothing. */
	ck_assert_str_eq(sql_value(served, "SELECT 1"), "1");
	sql_exec(served, "COMMIT");
	PQfinish(served);
}
END_TEST

START_TEST(a_server_that_is_not_there_is_told)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t bytes = sizeof(address);
	/* Takes the connection in its queue and never says a word. */
	int mute = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	ck_assert_int_eq(bind(mute, (struct sockaddr *)&address, sizeof(address)), 0);
	ck_assert_int_eq(listen(mute, 10), 0);
	ck_assert_int_eq(getsockname(mute, (struct sockaddr *)&address, &bytes), 0);

	weir_start(&stage.weir,
		   "auth_type = \"trust\"; server_login_retry = \"100ms\"; server_connect_timeout = \"300ms\";\n"
		   "query_wait_timeout = 1; databases = (\n"
		   "{ name = \"refusing\"; conninfo = \"host=127.0.0.1 port=%u dbname=x user=x\"; },\n"
		   "{ name = \"mute\"; conninfo = \"host=127.0.0.1 port=%u dbname=x user=x\"; },\n"
		   "{ name = \"nameless\"; conninfo = \"host=no.such.host.invalid port=1 dbname=x user=x\"; },\n"
		   "{ name = \"socketless\"; conninfo = \"host=/nonexistent port=1 dbname=x user=x\"; } );",
		   free_port(), ntohs(address.sin_port));
	sql_refused("refused", "host=127.0.0.1 port=%u dbname=refusing user=joe", stage.weir.port);
	sql_refused("server_connect_timeout", "host=127.0.0.1 port=%u dbname=mute user=joe", stage.weir.port);
	sql_refused("no.such.host.invalid", "host=127.0.0.1 port=%u dbname=nameless user=joe", stage.weir.port);
	sql_refused("/nonexistent", "host=127.0.0.1 port=%u dbname=socketless user=joe", stage.weir.port);
	close(mute);
}
END_TEST

START_TEST(a_connect_query_runs_first)
{
	weir_start(
		&stage.weir,
		"auth_type = \"trust\"; databases = (\n"
		"{ name = \"app\"; conninfo = \"host=%s port=%u dbname=%s user=u_trust\"; connect_query = \"SET work_mem = "
		"'7MB'; SET my.own = 'here'\"; },\n"
		"{ name = \"bad\"; conninfo = \"host=%s port=%u dbname=%s user=u_trust\"; connect_query = \"SELECT 1/0\"; "
		"} );",
		stage.cluster.host, stage.cluster.port, stage.database, stage.cluster.host, stage.cluster.port,
		stage.database);
	PGconn *client = weir_client(&stage.weir);
	ck_assert_str_eq(sql_value(client, "SHOW work_mem"), "7MB");
	ck_assert_str_eq(sql_value(client, "SHOW my.own"), "here");
	PQfinish(client);
	sql_refused("division by zero", "host=127.0.0.1 port=%u dbname=bad user=joe", stage.weir.port);
}
END_TEST

/* Database "*" is the one that the client names. */
START_TEST(the_fallback_database)
{
	weir_start(&stage.weir,
		   "auth_type = \"trust\"; databases = (\n"
		   "{ name = \"*\"; conninfo = \"host=%s port=%u user=u_trust\"; },\n"
		   "{ name = \"named\"; conninfo = \"host=%s port=%u user=u_trust dbname=postgres\"; } );",
		   stage.cluster.host, stage.cluster.port, stage.cluster.host, stage.cluster.port);
	PGconn *client = weir_connect(&stage.weir, "dbname=%s user=joe", stage.database);
	ck_assert_str_eq(sql_value(client, "SELECT current_database()"), stage.database);
	PQfinish(client);
	client = weir_connect(&stage.weir, "dbname=named user=joe");
	ck_assert_str_eq(sql_value(client, "SELECT current_database()"), "postgres");
	PQfinish(client);
	sql_refused("does not exist", "host=127.0.0.1 port=%u dbname=nowhere user=joe", stage.weir.port);
}
END_TEST

Suite *auth_suite(void)
{
	Suite *suite = suite_create("auth");
	TCase *clients = stage_case("clients", 60), *servers = stage_case("servers", 60);

	tcase_add_loop_test(clients, every_type_with_every_secret, 0, 4);
	tcase_add_loop_test(clients, a_guess_learns_nothing, 0, 3);
	tcase_add_test(clients, the_challenge_does_not_tell_who_is_known);
	tcase_add_test(clients, a_missing_database_is_named_after_the_login_only);
	tcase_add_test(clients, a_long_password);
	tcase_add_test(clients, a_login_byte_by_byte);
	tcase_add_test(clients, a_newer_protocol_is_negotiated_down);
	tcase_add_test(clients, other_protocols_are_refused);
	tcase_add_test(clients, names_that_are_too_long_are_refused);
	tcase_add_test(clients, the_welcome_is_the_servers);
	tcase_add_test(clients, unix_sockets_and_ipv6);
	tcase_add_test(clients, who_stalls_in_the_login_is_closed);
	tcase_add_test(clients, more_clients_than_max_client_conn_are_refused);
	suite_add_tcase(suite, clients);

	tcase_add_loop_test(servers, we_log_in_by_every_method, 0, 4);
	tcase_add_test(servers, clients_log_in_as_themselves);
	tcase_add_test(servers, what_the_server_refuses_is_told);
	tcase_add_test(servers, a_server_that_is_not_there_is_told);
	tcase_add_test(servers, a_connect_query_runs_first);
	tcase_add_test(servers, the_fallback_database);
	suite_add_tcase(suite, servers);
	return suite;
}
