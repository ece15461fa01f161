/*
 * Whole conversations: up to three clients and the servers behind them, all played by the input, with a real worker, the
 * pools and the console between them. Nothing may crash, leak or grow; each side must only ever see whole messages; and when
 * everybody has left the worker is empty.
 *
 * The first two bytes choose the settings. Then each byte is a step: its high three bits say which, the low five a number n.
 *
 *      0, 1, 2   client 0, 1 or 2 says n bytes of the input (31: 31 more than the next byte says)
 *      3         the server says n bytes
 *      4, 5      client 0 or 1 says a whole message, number n of a list
 *      6         the server says a whole message, number n of a list
 *      7         something happens: somebody hangs up, time passes, an administrator speaks
 */
#include <malloc.h>
#include <sys/socket.h>
#include <unistd.h>

#include "pooler/admin.h"
#include "pooler/worker_thread.h"
#include "protocol/startup.h"
#include "tests/fuzz/lone_worker.h"
#include "tests/fuzz/memory_file.h"

/* How much more than at first may be in use at any moment: the worker reads 64 KB at a time and keeps no more than twice
 * that for anybody, and the console's answers are a few KB. */
#define GROWTH_BYTES_MAX (4u << 20)
#define STEPS_MAX 400

/* ---- settings ---- */

static const char users_text[] =
	"\"joe\" \"secret\"\n"
	"\"ann\" \"md5d41d8cd98f00b204e9800998ecf8427e\"\n"
	"\"bob\" \"SCRAM-SHA-256$1:MDEyMzQ1Njc4OWFiY2RlAA==$"
	"WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=\"\n"
	"\"eve\" \"\"\n";

/* The first byte of the input. */
#define FIRST_MODE 0x03u
#define FIRST_AUTH 0x0cu
#define FIRST_LOGS_IN 0x10u  /* the servers */
#define FIRST_ANSWERS 0x20u  /* the servers */
#define FIRST_CLIENT_0 0x40u /* has sent its startup packet */
#define FIRST_CLIENT_1 0x80u
/* The second. */
#define SECOND_CONSOLE 0x01u /* client 1 wants the console */
#define SECOND_NAME 0x02u    /* client 1 has an application name */
#define SECOND_WORKERS 0x04u /* two of them */
#define SECOND_LOGIN 0x18u   /* how the servers ask for a password */
#define SECOND_HONEST 0x20u  /* clients answer when they are asked for one */
#define CONFIGS 32u

/* Made once each, and kept: the snapshots never change. */
static const struct config *config_of(unsigned first, unsigned second)
{
	static const struct config *made[CONFIGS];
	static const char *const modes[] = { "transaction", "session", "statement", "transaction" };
	static const char *const auths[] = { "trust", "plain", "md5", "scram-sha-256" };
	unsigned mode = first & FIRST_MODE, auth = (first & FIRST_AUTH) >> 2, workers = second & SECOND_WORKERS ? 2 : 1;
	unsigned index = mode + 4 * auth + 16 * (workers - 1);
	struct memory_file users;
	char text[1024];

	if (made[index])
		return made[index];
	memory_file_open(&users, users_text, strlen(users_text));
	snprintf(
		text, sizeof(text),
		"auth_type = \"%s\"; auth_file = \"%s\"; pool_mode = \"%s\"; default_pool_size = 2; max_client_conn = 3;\n"
		"server_reset_query_always = %s; admin_users = [ \"joe\" ]; stats_users = [ \"ann\" ]; workers = %u;\n"
		"scram_iterations = 1;\n"
		"databases = ( { name = \"app\"; conninfo = \"host=%s dbname=app\"; },\n"
		"              { name = \"query\"; conninfo = \"host=%s dbname=app\"; connect_query = \"SELECT 2\"; },\n"
		"              { name = \"*\"; conninfo = \"host=%s password=secret\"; pool_size = 1; } );\n",
		auths[auth], users.path, modes[mode], mode == 3 ? "true" : "false", workers, lone_host(), lone_host(),
		lone_host());
	made[index] = lone_config(text);
	memory_file_close(&users);
	return made[index];
}

/* ---- whole messages ---- */

struct canned {
	uint8_t type;
	const char *body;
	size_t bytes;
};
#define CANNED(type, body) \
	{ \
		type, body, sizeof(body) - 1 \
	}

static const struct canned requests[] = {
	CANNED('Q', "SELECT 1\0"),
	CANNED('Q', "BEGIN\0"),
	CANNED('Q', "ROLLBACK\0"),
	CANNED('Q', "ERROR\0"),
	CANNED('Q', "FROM STDIN\0"), /* a COPY */
	CANNED('Q', "\0"),
	CANNED('P', "\0SELECT 1\0\0\0"),
	CANNED('P', "\0SELECT 2\0\0\1\0\0\0\x17"),
	CANNED('P', "s1\0SELECT 1\0\0\0"),
	CANNED('B', "\0\0\0\0\0\0\0\0"),
	CANNED('B', "c\0s1\0\0\0\0\0\0\0"),
	CANNED('D', "S\0"),
	CANNED('D', "P\0"),
	CANNED('E', "\0\0\0\0\0"),
	CANNED('E', "\0\0\0\0\1"),
	CANNED('C', "S\0"),
	CANNED('C', "Pc\0"),
	CANNED('S', ""),
	CANNED('H', ""),
	CANNED('F', "\0\0\0\1\0\0\0\0\0\0"),
	CANNED('d', "1\t2\n"),
	CANNED('c', ""),
	CANNED('f', "no\0"),
	CANNED('X', ""),
	CANNED('p', "secret\0"),
	CANNED('p', "SCRAM-SHA-256\0\0\0\0\x0bn,,n=,r=abc"),
	CANNED('Q', "SHOW POOLS; SHOW CLIENTS; SHOW SERVERS\0"),
	CANNED('Q', "SET default_pool_size = 1; PAUSE\0"),
	CANNED('Q', "KILL app; RESUME app; RECONNECT\0"),
	CANNED('P', "\0SHOW STATS\0\0\0"),
};

static const struct canned answers[] = {
	CANNED('Z', "I"),
	CANNED('Z', "T"),
	CANNED('Z', "E"),
	CANNED('C', "SELECT 1\0"),
	CANNED('C', "SET\0"),
	CANNED('T', "\0\1a\0\0\0\0\0\0\0\0\0\0\x17\0\4\xff\xff\xff\xff\0\0"),
	CANNED('D', "\0\1\0\0\0\0011"),
	CANNED('G', "\0\0\0"),
	CANNED('H', "\0\0\0"),
	CANNED('W', "\0\0\0"),
	CANNED('d', "1\t2\n"),
	CANNED('c', ""),
	CANNED('1', ""),
	CANNED('2', ""),
	CANNED('3', ""),
	CANNED('n', ""),
	CANNED('t', "\0\0"),
	CANNED('s', ""),
	CANNED('I', ""),
	CANNED('V', "\xff\xff\xff\xff"),
	CANNED('E', "SERROR\0VERROR\0C42601\0Msyntax error\0\0"),
	CANNED('E', "SFATAL\0VFATAL\0C57P01\0Mterminating connection\0\0"),
	CANNED('N', "SNOTICE\0C00000\0Mhello\0\0"),
	CANNED('S', "application_name\0other\0"),
	CANNED('A', "\0\0\0\1channel\0payload\0"),
	CANNED('R', "\0\0\0\0"),
	CANNED('R', "\0\0\0\3"),
	CANNED('R', "\0\0\0\5salt"),
	CANNED('R', "\0\0\0\nSCRAM-SHA-256\0\0"),
	CANNED('K', "\0\0\0\1abcd"),
	CANNED('S', "client_encoding\0UTF8\0"),
};

static void say_canned(struct lone_end *end, const struct canned *list, size_t count, unsigned n)
{
	struct pg_buffer out = PG_BUFFER_EMPTY;
	const struct canned *message = &list[n % count];
	size_t begin = pg_buffer_begin(&out, message->type);

	pg_buffer_put_bytes(&out, message->body, message->bytes);
	pg_buffer_end(&out, begin);
	lone_say_buffer(end, &out);
}

/* ---- what happens ---- */

struct play {
	struct lone *lone;
	struct choices choices;
	bool honest;
	unsigned server;    /* the place of the one that speaks */
	size_t first_bytes; /* in use at the beginning */
};

static struct lone_end *server_of(struct play *play)
{
	return &play->lone->servers[play->server % LONE_SERVERS];
}

static void log_in(struct play *play, unsigned index, const char *user, const char *database, const char *name)
{
	const struct peer local = { .family = AF_UNIX, .pid = 1, .uid = (uint32_t)geteuid() };
	bool console = strcmp(database, "pgweir") == 0;
	struct pg_buffer pairs = PG_BUFFER_EMPTY, out = PG_BUFFER_EMPTY;

	if (name) {
		pg_buffer_put_string(&pairs, "application_name");
		pg_buffer_put_string(&pairs, name);
	}
	pg_startup_put_session(&out, user, database, pairs.data, pairs.length);
	lone_say_buffer(lone_connect(play->lone, index, console ? &local : NULL), &out);
	play->lone->clients[index].password = play->honest ? LONE_PASSWORD : NULL;
	pg_buffer_clear(&pairs);
}

/* Client 2 brings the key of client 0. */
static void cancel(struct play *play)
{
	struct pg_buffer out = PG_BUFFER_EMPTY;
	const uint8_t *key = play->lone->clients[0].key;

	pg_startup_put_cancel(&out, pg_load_u32(key), key + 4, 4);
	lone_say_buffer(lone_connect(play->lone, 2, NULL), &out);
}

static void end_our_half(struct lone_end *end)
{
	if (end->fd >= 0)
		shutdown(end->fd, SHUT_WR);
}

static void administer(struct play *play, unsigned n)
{
	struct process *process = &play->lone->process;
	struct admin_error error;

	switch (n) {
	case 0:
		admin_pause(process, NULL, &error);
		break;
	case 1:
		admin_resume(process, NULL, &error);
		break;
	case 2:
		admin_reconnect(process, "app", &error);
		break;
	case 3:
		process_stop(process, WORKER_WAITS_FOR_CLIENTS);
		break;
	case 4:
		process_stop(process, WORKER_WAITS_FOR_SERVERS);
		break;
	default:
		process_stop(process, WORKER_STOPS_NOW);
		break;
	}
}

static void refuse_servers(struct lone *lone)
{
	if (lone->listen_fd >= 0)
		close(lone->listen_fd);
	lone->listen_fd = -1;
}

static void happen(struct play *play, unsigned n)
{
	static const uint64_t times_us[] = { 100000, 1100000, 20000000, 130000000 };
	struct lone *lone = play->lone;

	switch (n) {
	case 0:
	case 1:
	case 2:
		lone_connect(lone, n, NULL);
		break;
	case 3:
	case 4:
		log_in(play, n - 3, "joe", "app", NULL);
		break;
	case 5:
		log_in(play, 1, "joe", "app", "other");
		break;
	case 6:
		log_in(play, 1, "joe", "query", NULL);
		break;
	case 7:
		log_in(play, 1, "joe", "pgweir", NULL);
		break;
	case 8:
		cancel(play);
		break;
	case 9:
	case 10:
		lone_hang_up(&lone->clients[n - 9]);
		break;
	case 11:
		end_our_half(&lone->clients[0]);
		break;
	case 12:
		lone_hang_up(server_of(play));
		break;
	case 13:
		end_our_half(server_of(play));
		break;
	case 14:
		lone->clients[0].deaf = !lone->clients[0].deaf;
		break;
	case 15:
		server_of(play)->deaf = !server_of(play)->deaf;
		break;
	case 16:
		server_of(play)->mute = !server_of(play)->mute;
		break;
	case 17:
		lone->answers = !lone->answers;
		break;
	case 18:
		lone->logs_in = !lone->logs_in;
		break;
	case 19:
		refuse_servers(lone);
		break;
	case 20:
		lone_narrow(lone);
		break;
	case 21:
		play->server++;
		break;
	case 22:
	case 23:
	case 24:
	case 25:
		lone_pass(lone, times_us[n - 22]);
		break;
	default:
		administer(play, n - 26);
		break;
	}
}

/* ---- the play ---- */

static size_t choose_length(struct play *play, unsigned n)
{
	return n < 31 ? n : 31u + choose_byte(&play->choices);
}

static void say_bytes(struct play *play, struct lone_end *end, unsigned n)
{
	size_t bytes;
	const uint8_t *at = choose_bytes(&play->choices, choose_length(play, n), &bytes);

	lone_say(end, at, bytes);
}

static void step(struct play *play)
{
	uint8_t byte = choose_byte(&play->choices);
	unsigned which = byte >> 5, n = byte & 31;

	switch (which) {
	case 0:
	case 1:
	case 2:
		say_bytes(play, &play->lone->clients[which], n);
		break;
	case 3:
		say_bytes(play, server_of(play), n);
		break;
	case 4:
	case 5:
		say_canned(&play->lone->clients[which - 4], requests, sizeof(requests) / sizeof(requests[0]), n);
		break;
	case 6:
		say_canned(server_of(play), answers, sizeof(answers) / sizeof(answers[0]), n);
		break;
	default:
		happen(play, n);
		break;
	}
}

size_t __sanitizer_get_current_allocated_bytes(void) __attribute__((weak));

static size_t bytes_in_use(void)
{
	if (__sanitizer_get_current_allocated_bytes)
		return __sanitizer_get_current_allocated_bytes();
	struct mallinfo2 info = mallinfo2();
	return info.uordblks + info.hblkhd;
}

static void begin(struct play *play)
{
	uint8_t first = choose_byte(&play->choices);
	uint8_t second = choose_byte(&play->choices);

	play->lone = lone_open(config_of(first, second));
	play->lone->logs_in = first & FIRST_LOGS_IN;
	play->lone->answers = first & FIRST_ANSWERS;
	play->lone->login = (enum lone_login)((second & SECOND_LOGIN) >> 3);
	play->honest = second & SECOND_HONEST;
	if (first & FIRST_CLIENT_0)
		log_in(play, 0, "joe", "app", NULL);
	if (first & FIRST_CLIENT_1)
		log_in(play, 1, "joe", second & SECOND_CONSOLE ? "pgweir" : "app",
		       second & SECOND_NAME ? "other" : NULL);
	lone_turn(play->lone);
	play->first_bytes = bytes_in_use();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct play play = { .choices = { data, data + size } };

	begin(&play);
	for (int i = 0; i < STEPS_MAX && choices_left(&play.choices); i++) {
		step(&play);
		lone_turn(play.lone);
		assert(bytes_in_use() < play.first_bytes + GROWTH_BYTES_MAX);
	}
	lone_close(play.lone);
	return 0;
}
