/*
 * Memory runs out: each scenario is run again and again, and each time another allocation of ours fails, from the first to the
 * last: that one alone, or all from there on. Nothing may crash or leak, every client gets an answer, an error or its end, and
 * when there is memory again the next client is served.
 *
 * The allocations are ours only: the linker turns our calls of malloc and its kin to the functions here (--wrap), those of
 * libraries stay what they are.
 */
#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "pooler/admin.h"
#include "protocol/build.h"
#include "protocol/flow.h"
#include "protocol/parse.h"
#include "protocol/scram.h"
#include "protocol/startup.h"
#include "tests/fuzz/lone_worker.h"

#define SECOND_US 1000000ull
/* Where a scenario has more allocations than this, something allocates without end. */
#define ALLOCATIONS_MAX 5000u

Suite *allocation_suite(void);

/* ---- our malloc ---- */

static struct {
	bool armed;
	bool running; /* what is tested, not the test itself */
	bool lasting; /* not one allocation fails, but all from there on */
	unsigned fail_at;
	unsigned count;
	bool failed;
	long live; /* blocks that were allocated and not freed */
} memory;

static bool may_allocate(void)
{
	if (!memory.armed || !memory.running)
		return true;
	unsigned number = memory.count++;
	if (number < memory.fail_at || (number > memory.fail_at && !memory.lasting))
		return true;
	memory.failed = true;
	errno = ENOMEM;
	return false;
}

static void *counted(void *block)
{
	memory.live += block != NULL;
	return block;
}

void *__real_malloc(size_t bytes);
void *__real_calloc(size_t count, size_t bytes);
void *__real_realloc(void *block, size_t bytes);
int __real_posix_memalign(void **block, size_t alignment, size_t bytes);
char *__real_strdup(const char *text);
char *__real_strndup(const char *text, size_t bytes);
void __real_free(void *block);
void *__wrap_malloc(size_t bytes);
void *__wrap_calloc(size_t count, size_t bytes);
void *__wrap_realloc(void *block, size_t bytes);
int __wrap_posix_memalign(void **block, size_t alignment, size_t bytes);
char *__wrap_strdup(const char *text);
char *__wrap_strndup(const char *text, size_t bytes);
void __wrap_free(void *block);

void *__wrap_malloc(size_t bytes)
{
	return may_allocate() ? counted(__real_malloc(bytes)) : NULL;
}

void *__wrap_calloc(size_t count, size_t bytes)
{
	return may_allocate() ? counted(__real_calloc(count, bytes)) : NULL;
}

void *__wrap_realloc(void *block, size_t bytes)
{
	if (!may_allocate())
		return NULL;
	void *moved = __real_realloc(block, bytes);
	return block ? moved : counted(moved);
}

int __wrap_posix_memalign(void **block, size_t alignment, size_t bytes)
{
	if (!may_allocate())
		return ENOMEM;
	int result = __real_posix_memalign(block, alignment, bytes);
	memory.live += result == 0;
	return result;
}

char *__wrap_strdup(const char *text)
{
	return may_allocate() ? counted(__real_strdup(text)) : NULL;
}

char *__wrap_strndup(const char *text, size_t bytes)
{
	return may_allocate() ? counted(__real_strndup(text, bytes)) : NULL;
}

void __wrap_free(void *block)
{
	memory.live -= block != NULL;
	__real_free(block);
}

static void note_running(bool running)
{
	memory.running = running;
}

static void arm(unsigned fail_at, bool lasting)
{
	memory.armed = true;
	memory.lasting = lasting;
	memory.fail_at = fail_at;
	memory.count = 0;
	memory.failed = false;
}

/* ---- the protocol library ---- */

/* Runs `part` with each of its allocations failing once. It answers whether all went well, and must when none failed. */
static void sweep_part(bool (*part)(void))
{
	for (unsigned n = 0; n < ALLOCATIONS_MAX; n++) {
		long live = memory.live;
		arm(n, false);
		memory.running = true;
		bool good = part();
		memory.running = false;
		memory.armed = false;
		ck_assert_int_eq(memory.live, live);
		ck_assert_msg(good || memory.failed, "allocation %u", n);
		if (!memory.failed) {
			ck_assert_uint_gt(n, 0);
			return;
		}
	}
	ck_abort_msg("it never came to an end");
}

static bool build_messages(void)
{
	static const struct pg_column column = { "a column with a long name", PG_OID_TEXT, -1 };
	const char *const value =
		"a value that is longer than what a buffer begins with: it must grow on the way, twice";
	const struct pg_report report = { "ERROR", "42601", value, value, value };
	struct pg_buffer out = PG_BUFFER_EMPTY;

	pg_build_error(&out, &report);
	pg_build_row_description(&out, &column, 1);
	pg_build_data_row(&out, &value, 1);
	pg_build_parameter_status(&out, value, value);
	pg_build_authentication(&out, PG_AUTH_SASL, value, strlen(value));
	pg_build_query(&out, value);
	pg_build_sasl_initial(&out, PG_SCRAM_MECHANISM, value, strlen(value));
	pg_build_close_statement(&out, value);
	pg_startup_put_session(&out, "joe", value, (const uint8_t *)"a\0b", 4);
	bool good = !out.failed;
	pg_buffer_wipe(&out);
	return good;
}

START_TEST(building_messages)
{
	sweep_part(build_messages);
}
END_TEST

static bool read_options(void)
{
	struct pg_buffer pairs = PG_BUFFER_EMPTY;
	char error[80] = "";
	enum pg_result result = pg_startup_parse_options("-c search_path=a,b --work-mem=4MB -cname=some\\ value -c x=y",
							 &pairs, error, sizeof(error));

	if (result != PG_OK && (pairs.length != 0 || strcmp(error, "out of memory") != 0))
		memory.failed = false; /* it failed for another reason */
	pg_buffer_clear(&pairs);
	return result == PG_OK;
}

START_TEST(reading_options)
{
	sweep_part(read_options);
}
END_TEST

/* A queue that cannot grow is full, and as it was. */
static bool fill_flow(void)
{
	struct pg_flow flow;
	enum pg_flow_sent sent = PG_FLOW_SENT;
	uint32_t count = 0;

	pg_flow_init(&flow);
	for (int i = 0; i < 300 && sent == PG_FLOW_SENT; i++) {
		count = flow.count;
		sent = pg_flow_client(&flow, PG_FRONTEND_PARSE, false);
	}
	bool good = sent == PG_FLOW_SENT;
	if (!good && (sent != PG_FLOW_FULL || flow.count != count))
		memory.failed = false;
	while (flow.count && !pg_flow_server(&flow, PG_BACKEND_PARSE_COMPLETE, 0).bad)
		continue;
	good = good && flow.count == 0;
	pg_flow_clear(&flow);
	return good;
}

START_TEST(a_long_queue)
{
	sweep_part(fill_flow);
}
END_TEST

static const uint8_t salt[PG_SCRAM_SALT_BYTES] = "0123456789abcde";
static const uint8_t nonce[PG_SCRAM_NONCE_RAW_BYTES] = "nonce nonce nonce";

/* Both sides; answers whether the client was let in and believes the server. */
static bool exchange(struct pg_scram_client *client, struct pg_scram_server *server, struct pg_buffer *client_final,
		     struct pg_buffer *server_final)
{
	struct pg_scram_keys keys;
	struct pg_scram_secret secret;
	uint8_t client_key[PG_SCRAM_KEY_BYTES];
	const char *error;
	bool proven;

	if (!pg_scram_derive_keys("password", salt, sizeof(salt), 1, &keys))
		return false;
	pg_scram_secret_from_keys(&keys, salt, sizeof(salt), 1, &secret);
	pg_scram_client_init(client, nonce);
	if (client->client_first.failed ||
	    pg_scram_server_first(server, client->client_first.data, client->client_first.length, &secret, nonce,
				  &error) != PG_OK ||
	    pg_scram_client_challenge(client, server->server_first.data, server->server_first.length, &error) != PG_OK)
		return false;
	pg_scram_client_answer(client, &keys, client_final);
	return !client_final->failed &&
	       pg_scram_server_final(server, client_final->data, client_final->length, &secret, &proven, client_key,
				     server_final, &error) == PG_OK &&
	       proven &&
	       pg_scram_client_verify(client, &keys, server_final->data, server_final->length, &error) == PG_OK;
}

static bool prove_by_scram(void)
{
	struct pg_scram_client client = { .nonce = NULL };
	struct pg_scram_server server;
	struct pg_buffer client_final = PG_BUFFER_EMPTY, server_final = PG_BUFFER_EMPTY;

	pg_scram_server_init(&server);
	bool good = exchange(&client, &server, &client_final, &server_final);
	pg_scram_client_clear(&client);
	pg_scram_server_clear(&server);
	pg_buffer_clear(&client_final);
	pg_buffer_clear(&server_final);
	return good;
}

START_TEST(proving_by_scram)
{
	sweep_part(prove_by_scram);
}
END_TEST

/* ---- conversations ---- */

struct scenario {
	const char *name;
	const char *settings; /* beside those that all have */
	enum lone_login login;
	void (*play)(struct lone *lone);
};

static void log_in(struct lone *lone, unsigned index, const char *database, const char *application)
{
	const struct peer local = { .family = AF_UNIX, .pid = 1, .uid = (uint32_t)geteuid() };
	struct pg_buffer pairs = PG_BUFFER_EMPTY, out = PG_BUFFER_EMPTY;

	if (application) {
		pg_buffer_put_string(&pairs, "application_name");
		pg_buffer_put_string(&pairs, application);
	}
	pg_startup_put_session(&out, "joe", database, pairs.data, pairs.length);
	struct lone_end *end = lone_connect(lone, index, strcmp(database, "pgweir") == 0 ? &local : NULL);
	end->password = LONE_PASSWORD;
	lone_say_buffer(end, &out);
	pg_buffer_clear(&pairs);
	lone_turn(lone);
}

static void query(struct lone *lone, unsigned index, const char *text)
{
	struct pg_buffer out = PG_BUFFER_EMPTY;

	pg_build_query(&out, text);
	lone_say_buffer(&lone->clients[index], &out);
	lone_turn(lone);
}

static void put_message(struct pg_buffer *out, uint8_t type, const void *body, size_t bytes)
{
	size_t begin = pg_buffer_begin(out, type);

	pg_buffer_put_bytes(out, body, bytes);
	pg_buffer_end(out, begin);
}

/* Parse without a name where `text` is given, and Bind, Execute and Sync. */
static void extended(struct lone *lone, unsigned index, const char *text)
{
	struct pg_buffer out = PG_BUFFER_EMPTY;

	if (text) {
		size_t begin = pg_buffer_begin(&out, PG_FRONTEND_PARSE);
		pg_buffer_put_string(&out, "");
		pg_buffer_put_string(&out, text);
		pg_buffer_put_u16(&out, 0);
		pg_buffer_end(&out, begin);
	}
	put_message(&out, PG_FRONTEND_BIND, "\0\0\0\0\0\0\0\0", 8);
	put_message(&out, PG_FRONTEND_EXECUTE, "\0\0\0\0\0", 5);
	put_message(&out, PG_FRONTEND_SYNC, NULL, 0);
	lone_say_buffer(&lone->clients[index], &out);
	lone_turn(lone);
}

static void play_query(struct lone *lone)
{
	log_in(lone, 0, "app", NULL);
	query(lone, 0, "SELECT 1");
	query(lone, 0, "BEGIN");
	query(lone, 0, "ROLLBACK");
}

static void play_options(struct lone *lone)
{
	struct pg_buffer out = PG_BUFFER_EMPTY;
	static const char pairs[] = "options\0-c work_mem=4MB\0client_encoding\0LATIN1\0_pq_.x\0y";

	pg_startup_put_session(&out, "joe", "app", (const uint8_t *)pairs, sizeof(pairs));
	lone_say_buffer(lone_connect(lone, 0, NULL), &out);
	lone_turn(lone);
	query(lone, 0, "SELECT 1");
}

static void play_parameters(struct lone *lone)
{
	log_in(lone, 0, "app", "one");
	log_in(lone, 1, "app", "two");
	query(lone, 0, "SELECT 1");
	query(lone, 1, "SELECT 1");
	query(lone, 0, "SELECT 1");
}

static void play_statements(struct lone *lone)
{
	log_in(lone, 0, "app", NULL);
	log_in(lone, 1, "app", NULL);
	extended(lone, 0, "SELECT 1");
	extended(lone, 1, "SELECT 2");
	extended(lone, 0, NULL);
	extended(lone, 1, NULL);
	query(lone, 0, "SELECT 1");
}

static void play_waiting(struct lone *lone)
{
	log_in(lone, 0, "app", NULL);
	log_in(lone, 1, "app", NULL);
	query(lone, 0, "BEGIN");
	query(lone, 1, "SELECT 1");
	query(lone, 0, "ROLLBACK");
	query(lone, 0, "SELECT 1");
}

static void play_leaving(struct lone *lone)
{
	log_in(lone, 0, "app", NULL);
	log_in(lone, 1, "app", NULL);
	query(lone, 0, "BEGIN");
	lone_hang_up(&lone->clients[0]);
	query(lone, 1, "SELECT 1");
	query(lone, 1, "FROM STDIN");
	lone_hang_up(&lone->clients[1]);
	lone_turn(lone);
}

static void play_cancel(struct lone *lone)
{
	struct pg_buffer out = PG_BUFFER_EMPTY;

	log_in(lone, 0, "app", NULL);
	lone->answers = false;
	query(lone, 0, "SELECT 1");
	const uint8_t *key = lone->clients[0].key;
	pg_startup_put_cancel(&out, pg_load_u32(key), key + 4, 4);
	lone_say_buffer(lone_connect(lone, 1, NULL), &out);
	lone_turn(lone);
	lone->answers = true;
	/* The answer to the query that was left without one. */
	pg_build_error(&out, &(struct pg_report){ "ERROR", "57014", "canceled", NULL, NULL });
	pg_build_ready(&out, PG_TRANSACTION_IDLE);
	for (unsigned i = 0; i < LONE_SERVERS; i++)
		if (lone->servers[i].watch.counts[PG_FRONTEND_QUERY])
			lone_say_buffer(&lone->servers[i], &out);
	pg_buffer_clear(&out);
	lone_turn(lone);
}

static void play_refused_login(struct lone *lone)
{
	struct pg_buffer out = PG_BUFFER_EMPTY;

	lone->logs_in = false;
	log_in(lone, 0, "app", NULL);
	log_in(lone, 1, "app", NULL);
	pg_build_error(&out, &(struct pg_report){ "FATAL", "53300", "too many clients", NULL, NULL });
	lone_say_buffer(&lone->servers[0], &out);
	lone_turn(lone);
	lone_hang_up(&lone->servers[0]);
	lone_turn(lone);
	lone->logs_in = true;
}

static void play_lost_server(struct lone *lone)
{
	log_in(lone, 0, "app", NULL);
	query(lone, 0, "BEGIN");
	lone_hang_up(&lone->servers[0]);
	lone_turn(lone);
	log_in(lone, 1, "app", NULL);
	query(lone, 1, "SELECT 1");
}

/* A server that takes no more for a while, and then a client. */
static void play_backlog(struct lone *lone)
{
	static char text[20000];

	memset(text, 'S', sizeof(text) - 1);
	log_in(lone, 0, "app", NULL);
	query(lone, 0, "SELECT 1");
	lone_narrow(lone);
	lone->servers[0].deaf = true;
	query(lone, 0, text);
	lone->servers[0].deaf = false;
	lone_turn(lone);
	lone->clients[0].deaf = true;
	for (int i = 0; i < 60; i++)
		query(lone, 0, "SELECT 1");
	lone->clients[0].deaf = false;
	lone_turn(lone);
}

static void play_console(struct lone *lone)
{
	log_in(lone, 0, "app", NULL);
	log_in(lone, 1, "pgweir", NULL);
	query(lone, 1, "SHOW POOLS; SHOW CLIENTS; SHOW SERVERS; SHOW CONFIG");
	query(lone, 1, "SET default_pool_size = 3");
	extended(lone, 1, "SHOW STATS");
	query(lone, 1, "PAUSE app");
	query(lone, 0, "SELECT 1");
	lone_pass(lone, SECOND_US / 10);
	query(lone, 1, "RESUME app");
	query(lone, 1, "KILL app");
	lone_pass(lone, SECOND_US / 10);
	query(lone, 1, "RESUME app");
	lone_hang_up(&lone->clients[1]);
	lone_turn(lone);
}

static const struct scenario scenarios[] = {
	{ "query", "", LONE_TRUST, play_query },
	{ "options", "", LONE_TRUST, play_options },
	{ "plain passwords", "auth_type = \"plain\";", LONE_PLAIN, play_query },
	{ "md5 to the server", "", LONE_MD5, play_query },
	{ "SCRAM", "auth_type = \"scram-sha-256\";", LONE_SCRAM, play_query },
	{ "parameters", "", LONE_TRUST, play_parameters },
	{ "statements", "", LONE_TRUST, play_statements },
	{ "waiting", "", LONE_TRUST, play_waiting },
	{ "leaving", "", LONE_TRUST, play_leaving },
	{ "leaving a session", "pool_mode = \"session\";", LONE_TRUST, play_leaving },
	{ "cancel", "", LONE_TRUST, play_cancel },
	{ "refused login", "", LONE_TRUST, play_refused_login },
	{ "lost server", "", LONE_TRUST, play_lost_server },
	{ "backlog", "", LONE_TRUST, play_backlog },
	{ "console", "", LONE_TRUST, play_console },
};
#define SCENARIOS ((int)(sizeof(scenarios) / sizeof(scenarios[0])))

static const struct config *make_config(const struct scenario *scenario)
{
	char users[] = "/tmp/pgweir-test-users-XXXXXX", text[1024];
	static const char list[] = "\"joe\" \"" LONE_PASSWORD "\"\n";
	int fd = mkstemp(users);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(write(fd, list, sizeof(list) - 1), (ssize_t)sizeof(list) - 1);
	close(fd);
	snprintf(
		text, sizeof(text),
		"%s\nauth_file = \"%s\"; default_pool_size = 1; scram_iterations = 1;\n%s\n"
		"databases = ( { name = \"app\"; conninfo = \"host=%s dbname=app\"; connect_query = \"SELECT 1\"; } );\n",
		strstr(scenario->settings, "auth_type") ? "" : "auth_type = \"trust\";", users, scenario->settings,
		lone_host());
	const struct config *config = lone_config(text);
	unlink(users);
	return config;
}

/* It was answered, told of an error, or let go: it does not wait for ever. */
static void expect_settled(struct lone *lone, unsigned n)
{
	for (unsigned i = 0; i < LONE_CLIENTS; i++) {
		const struct lone_end *end = &lone->clients[i];
		const uint32_t *counts = end->watch.counts;
		ck_assert_msg(end->fd < 0 || end->ended || counts[PG_BACKEND_READY] || counts[PG_BACKEND_ERROR],
			      "allocation %u: client %u waits", n, i);
	}
}

static void expect_next_is_served(struct lone *lone, unsigned n)
{
	struct admin_error ignored;

	for (unsigned i = 0; i < 2; i++)
		lone_hang_up(&lone->clients[i]);
	lone_turn(lone);
	/* An administrator's RESUME may be what failed: he was told. */
	admin_resume(&lone->process, NULL, &ignored);
	admin_resume(&lone->process, "app", &ignored);
	for (int i = 0; i < 4; i++)
		lone_pass(lone, 20 * SECOND_US);
	log_in(lone, 2, "app", NULL);
	query(lone, 2, "SELECT 1");
	const uint32_t *counts = lone->clients[2].watch.counts;
	ck_assert_msg(counts[PG_BACKEND_READY] == 2 && counts[PG_BACKEND_COMMAND_COMPLETE] == 1,
		      "allocation %u: the next client got %u ReadyForQuery", n, counts[PG_BACKEND_READY]);
}

/* False: no allocation failed. */
static bool play_with_failure(const struct scenario *scenario, const struct config *config, unsigned n, bool lasting)
{
	long live = memory.live;
	struct lone *lone = lone_open(config);

	lone->logs_in = true;
	lone->answers = true;
	lone->login = scenario->login;
	arm(n, lasting);
	scenario->play(lone);
	bool failed = memory.failed;
	memory.armed = false;
	lone_pass(lone, SECOND_US);
	lone_pass(lone, 200 * SECOND_US);
	expect_settled(lone, n);
	expect_next_is_served(lone, n);
	lone_close(lone);
	ck_assert_msg(memory.live == live, "allocation %u: %ld blocks are left", n, memory.live - live);
	return failed;
}

static void sweep(const struct scenario *scenario, bool lasting)
{
	const struct config *config = make_config(scenario);
	unsigned n = 0;

	lone_running = note_running;
	/* What libraries make once for all is made before anything is counted. */
	play_with_failure(scenario, config, ALLOCATIONS_MAX, lasting);
	while (play_with_failure(scenario, config, n, lasting)) {
		n++;
		ck_assert_uint_lt(n, ALLOCATIONS_MAX);
	}
	ck_assert_uint_gt(n, 10);
	config_drop(config);
}

START_TEST(one_allocation_fails)
{
	sweep(&scenarios[_i], false);
}
END_TEST

START_TEST(all_allocations_fail)
{
	sweep(&scenarios[_i], true);
}
END_TEST

Suite *allocation_suite(void)
{
	Suite *suite = suite_create("allocation");
	TCase *protocol = tcase_create("protocol");
	TCase *conversations = tcase_create("conversations");

	tcase_add_test(protocol, building_messages);
	tcase_add_test(protocol, reading_options);
	tcase_add_test(protocol, a_long_queue);
	tcase_add_test(protocol, proving_by_scram);
	suite_add_tcase(suite, protocol);
	tcase_add_loop_test(conversations, one_allocation_fails, 0, SCENARIOS);
	tcase_add_loop_test(conversations, all_allocations_fail, 0, SCENARIOS);
	tcase_set_timeout(conversations, 120);
	suite_add_tcase(suite, conversations);
	return suite;
}
