#include "tests/unit/console_stage.h"

#include <arpa/inet.h>
#include <check.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "protocol/build.h"
#include "protocol/frame.h"
#include "protocol/parse.h"
#include "protocol/reader.h"
#include "protocol/startup.h"

/* ---- the pretended PostgreSQL ---- */

static bool read_all(int fd, void *data, size_t size)
{
	char *at = data;

	while (size > 0) {
		ssize_t count = recv(fd, at, size, 0);
		if (count <= 0)
			return false;
		at += count;
		size -= (size_t)count;
	}
	return true;
}

static bool send_out(int fd, struct pg_buffer *out)
{
	bool sent = send(fd, out->data, out->length, MSG_NOSIGNAL) == (ssize_t)out->length;

	pg_buffer_clear(out);
	return sent;
}

static bool serve_startup(int fd)
{
	const uint8_t key[4] = { 1, 2, 3, 4 };
	uint8_t packet[PG_STARTUP_BYTES_MAX];
	struct pg_buffer out = PG_BUFFER_EMPTY;

	if (!read_all(fd, packet, 8))
		return false;
	size_t bytes = pg_load_u32(packet);
	if (bytes < 8 || bytes > sizeof(packet) || !read_all(fd, packet + 8, bytes - 8))
		return false;
	if (pg_load_u32(packet + 4) != PG_PROTOCOL_MAJOR << 16)
		return false; /* a cancel request */
	pg_build_authentication(&out, PG_AUTH_OK, NULL, 0);
	pg_build_parameter_status(&out, "server_version", "15.0");
	pg_build_parameter_status(&out, "client_encoding", "UTF8");
	pg_build_cancel_key(&out, 4711, key, sizeof(key));
	pg_build_ready(&out, PG_TRANSACTION_IDLE);
	return send_out(fd, &out);
}

/* Every Query is answered by "OK"; after BEGIN a transaction is open until the next one. */
static void *serve(void *argument)
{
	int fd = (int)(intptr_t)argument;
	enum pg_transaction_status status = PG_TRANSACTION_IDLE;
	uint8_t header[PG_FRAME_HEADER_BYTES], body[4096];
	struct pg_buffer out = PG_BUFFER_EMPTY;
	bool well = serve_startup(fd);

	while (well && read_all(fd, header, sizeof(header)) && header[0] != PG_FRONTEND_TERMINATE) {
		size_t bytes = pg_load_u32(header + 1) - 4;
		if (bytes > sizeof(body) || !read_all(fd, body, bytes))
			break;
		if (header[0] == PG_FRONTEND_QUERY)
			status = strcmp((char *)body, "BEGIN") == 0 ? PG_TRANSACTION_OPEN : PG_TRANSACTION_IDLE;
		pg_build_command_complete(&out, "OK");
		pg_build_ready(&out, status);
		well = send_out(fd, &out);
	}
	close(fd);
	return NULL;
}

static void *accept_all(void *argument)
{
	struct stage *stage = argument;
	pthread_t thread;
	int fd;

	while ((fd = accept(stage->server_fd, NULL, NULL)) >= 0)
		if (pthread_create(&thread, NULL, serve, (void *)(intptr_t)fd) == 0)
			pthread_detach(thread);
	return NULL;
}

static int listen_somewhere(uint16_t *port)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t size = sizeof(address);
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	ck_assert_int_eq(bind(fd, (struct sockaddr *)&address, size), 0);
	ck_assert_int_eq(listen(fd, 64), 0);
	ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&address, &size), 0);
	*port = ntohs(address.sin_port);
	return fd;
}

/* ---- pgweir ---- */

void stage_write_config(struct stage *stage, const char *more)
{
	struct sockaddr_in address;
	socklen_t size = sizeof(address);
	char path[100];

	getsockname(stage->server_fd, (struct sockaddr *)&address, &size);
	snprintf(path, sizeof(path), "%s/pgweir.conf", stage->directory);
	FILE *file = fopen(path, "w");
	ck_assert_ptr_nonnull(file);
	fprintf(file,
		"listen_port = %u; unix_socket_dir = \"\"; auth_type = \"trust\"; workers = 2;\n"
		"admin_users = [ \"ops\" ]; stats_users = [ \"watch\" ]; default_pool_size = 3;\n"
		"pool_mode = \"transaction\"; server_login_retry = 0;\n"
		"databases = ( { name = \"app\"; conninfo = \"host=127.0.0.1 port=%u user=joe\"; },\n"
		"  { name = \"other\"; conninfo = \"host=127.0.0.1 port=%u user=joe\"; } );\n%s\n",
		stage->port, ntohs(address.sin_port), ntohs(address.sin_port), more);
	fclose(file);
}

static void *run(void *argument)
{
	struct stage *stage = argument;

	process_run(&stage->process);
	return NULL;
}

void stage_start(struct stage *stage, const char *more)
{
	char error[CONFIG_ERROR_BYTES], path[100];
	char *const environment[] = { NULL };
	uint16_t unused;

	memset(stage, 0, sizeof(*stage));
	snprintf(stage->directory, sizeof(stage->directory), "/tmp/pgweir-console-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(stage->directory));
	stage->server_fd = listen_somewhere(&unused);
	int probe = listen_somewhere(&stage->port); /* a port that nobody has */
	close(probe);
	stage_write_config(stage, more);
	snprintf(path, sizeof(path), "%s/pgweir.conf", stage->directory);
	struct config *config = config_load(path, environment, error, sizeof(error));
	ck_assert_msg(config != NULL, "%s", error);
	ck_assert(process_start(&stage->process, config, -1));
	ck_assert_int_eq(pthread_create(&stage->server, NULL, accept_all, stage), 0);
	ck_assert_int_eq(pthread_create(&stage->thread, NULL, run, stage), 0);
}

void stage_stop(struct stage *stage)
{
	char path[100];

	kill(getpid(), SIGQUIT);
	pthread_join(stage->thread, NULL);
	process_end(&stage->process);
	shutdown(stage->server_fd, SHUT_RDWR);
	pthread_join(stage->server, NULL);
	close(stage->server_fd);
	snprintf(path, sizeof(path), "%s/pgweir.conf", stage->directory);
	unlink(path);
	rmdir(stage->directory);
}

/* ---- clients ---- */

bool talk_waits(struct talk *talk, int timeout_ms)
{
	struct pollfd ready = { .fd = talk->fd, .events = POLLIN };

	return talk->in.length > 0 || poll(&ready, 1, timeout_ms) > 0;
}

static void forget_answer(struct talk *talk)
{
	free(talk->names);
	free(talk->oids);
	free(talk->rows);
	talk->names = calloc(1, TALK_TYPES_BYTES);
	talk->oids = calloc(1, TALK_TYPES_BYTES);
	talk->rows = calloc(1, TALK_ROWS_BYTES);
	talk->row_count = 0;
	talk->rows_used = 0;
	memset(talk->types, 0, sizeof(talk->types));
	memset(talk->sqlstate, 0, sizeof(talk->sqlstate));
	talk->message[0] = talk->detail[0] = talk->notice[0] = talk->tag[0] = '\0';
	talk->status = 0;
}

static void append(char *text, size_t size, const char *more)
{
	size_t used = strlen(text);

	ck_assert_uint_lt(used + strlen(more), size);
	memcpy(text + used, more, strlen(more) + 1);
}

/* The same for rows, of which there may be many. */
static void append_row(struct talk *talk, const char *more)
{
	size_t bytes = strlen(more);

	ck_assert_uint_lt(talk->rows_used + bytes, TALK_ROWS_BYTES);
	memcpy(talk->rows + talk->rows_used, more, bytes + 1);
	talk->rows_used += bytes;
}

static void take_description(struct talk *talk, const uint8_t *body, size_t size)
{
	struct pg_reader reader;
	char oid[16];

	pg_reader_init(&reader, body, size);
	talk->names[0] = talk->oids[0] = '\0';
	talk->binary = false;
	uint16_t count = pg_reader_u16(&reader);
	for (uint16_t i = 0; i < count; i++) {
		append(talk->names, TALK_TYPES_BYTES, i ? "|" : "");
		append(talk->names, TALK_TYPES_BYTES, pg_reader_string(&reader));
		pg_reader_bytes(&reader, 6);
		snprintf(oid, sizeof(oid), "%s%u", i ? "|" : "", pg_reader_u32(&reader));
		append(talk->oids, TALK_TYPES_BYTES, oid);
		pg_reader_bytes(&reader, 6);
		talk->binary = pg_reader_u16(&reader) == 1;
	}
	ck_assert(pg_reader_done(&reader));
}

static void take_row(struct talk *talk, const uint8_t *body, size_t size)
{
	static char value[TALK_TYPES_BYTES];
	struct pg_reader reader;

	pg_reader_init(&reader, body, size);
	uint16_t count = pg_reader_u16(&reader);
	for (uint16_t i = 0; i < count; i++) {
		uint32_t bytes = pg_reader_u32(&reader);
		append_row(talk, i ? "|" : "");
		if (bytes == UINT32_MAX) {
			append_row(talk, "-");
			continue;
		}
		const uint8_t *data = pg_reader_bytes(&reader, bytes);
		ck_assert_uint_lt(bytes * 2, sizeof(value));
		for (uint32_t j = 0; j < bytes && talk->binary; j++)
			snprintf(value + 2 * (size_t)j, 3, "%02x", data[j]);
		if (!talk->binary && bytes)
			memcpy(value, data, bytes);
		value[talk->binary ? 2 * (size_t)bytes : bytes] = '\0';
		append_row(talk, value);
	}
	ck_assert(pg_reader_done(&reader));
	append_row(talk, "\n");
	talk->row_count++;
}

static void take_error(struct talk *talk, const uint8_t *body, size_t size, bool notice)
{
	struct pg_error_fields fields;

	ck_assert_int_eq(pg_parse_error(body, size, &fields), PG_OK);
	if (notice) {
		snprintf(talk->notice, sizeof(talk->notice), "%s", fields.message);
		return;
	}
	snprintf(talk->sqlstate, sizeof(talk->sqlstate), "%s", fields.sqlstate);
	snprintf(talk->message, sizeof(talk->message), "%s", fields.message);
	snprintf(talk->detail, sizeof(talk->detail), "%s", fields.detail);
}

static void take_message(struct talk *talk, const struct pg_frame *frame, const uint8_t *body)
{
	size_t used = strlen(talk->types);

	if (frame->type != PG_BACKEND_PARAMETER_STATUS &&
	    (frame->type != PG_BACKEND_DATA_ROW || !used || talk->types[used - 1] != PG_BACKEND_DATA_ROW))
		append(talk->types, sizeof(talk->types), (char[]){ (char)frame->type, '\0' });
	switch (frame->type) {
	case PG_BACKEND_ROW_DESCRIPTION:
		take_description(talk, body, frame->body_bytes);
		break;
	case PG_BACKEND_DATA_ROW:
		take_row(talk, body, frame->body_bytes);
		break;
	case PG_BACKEND_ERROR:
	case PG_BACKEND_NOTICE:
		take_error(talk, body, frame->body_bytes, frame->type == PG_BACKEND_NOTICE);
		break;
	case PG_BACKEND_COMMAND_COMPLETE:
		snprintf(talk->tag, sizeof(talk->tag), "%s", (const char *)body);
		break;
	case PG_BACKEND_CANCEL_KEY:
		talk->process_id = pg_load_u32(body);
		memcpy(talk->key, body + 4, sizeof(talk->key));
		break;
	case PG_BACKEND_READY:
		talk->status = (char)body[0];
		break;
	default:
		break;
	}
}

/* One message; false: the other side has closed. */
static bool read_message(struct talk *talk, struct pg_frame *frame)
{
	uint8_t chunk[16384];

	while (pg_frame_parse(talk->in.data, talk->in.length, frame) != PG_OK || talk->in.length < frame->total_bytes) {
		struct pollfd ready = { .fd = talk->fd, .events = POLLIN };
		ck_assert_msg(poll(&ready, 1, STAGE_PATIENCE_MS) > 0, "no answer; so far \"%.100s\"", talk->types);
		ssize_t count = recv(talk->fd, chunk, sizeof(chunk), 0);
		if (count <= 0)
			return false;
		pg_buffer_put_bytes(&talk->in, chunk, (size_t)count);
	}
	take_message(talk, frame, talk->in.data + PG_FRAME_HEADER_BYTES);
	pg_buffer_consume(&talk->in, frame->total_bytes);
	return true;
}

void talk_read(struct talk *talk, unsigned ready)
{
	struct pg_frame frame;

	while (ready > 0 && !talk->ended) {
		if (!read_message(talk, &frame))
			talk->ended = true;
		else if (frame.type == PG_BACKEND_READY)
			ready--;
	}
}

void talk_send(struct talk *talk, struct pg_buffer *out)
{
	forget_answer(talk);
	ck_assert(!out->failed);
	ck_assert_int_eq(send(talk->fd, out->data, out->length, MSG_NOSIGNAL), (ssize_t)out->length);
	pg_buffer_clear(out);
}

void talk_connect(struct talk *talk, const struct stage *stage, int receive_bytes)
{
	struct sockaddr_in address = { .sin_family = AF_INET,
				       .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
				       .sin_port = htons(stage->port) };

	memset(talk, 0, sizeof(*talk));
	talk->fd = socket(AF_INET, SOCK_STREAM, 0);
	if (receive_bytes)
		setsockopt(talk->fd, SOL_SOCKET, SO_RCVBUF, &receive_bytes, sizeof(receive_bytes));
	ck_assert_int_eq(connect(talk->fd, (struct sockaddr *)&address, sizeof(address)), 0);
}

void talk_log_in(struct talk *talk, const char *user, const char *database)
{
	struct pg_buffer out = PG_BUFFER_EMPTY;

	pg_startup_put_session(&out, user, database, NULL, 0);
	talk_send(talk, &out);
	talk_read(talk, 1);
}

void talk_open(struct talk *talk, const struct stage *stage, const char *user, const char *database)
{
	talk_connect(talk, stage, 0);
	talk_log_in(talk, user, database);
}

void talk_close(struct talk *talk)
{
	close(talk->fd);
	pg_buffer_clear(&talk->in);
	free(talk->names);
	free(talk->oids);
	free(talk->rows);
}

void talk_ask(struct talk *talk, const char *sql)
{
	struct pg_buffer out = PG_BUFFER_EMPTY;

	pg_build_query(&out, sql);
	talk_send(talk, &out);
}

void talk_query(struct talk *talk, const char *sql)
{
	talk_ask(talk, sql);
	talk_read(talk, 1);
}

/* The index of a name in "a|b|c"; -1: not there. */
static int name_index(const char *names, const char *name)
{
	size_t length = strlen(name);

	for (int index = 0; *names; index++) {
		size_t here = strcspn(names, "|");
		if (here == length && memcmp(names, name, length) == 0)
			return index;
		names += here + (names[here] == '|');
	}
	return -1;
}

const char *talk_value(const struct talk *talk, const char *row, const char *column)
{
	static char value[512];
	int index = name_index(talk->names, column);
	const char *line = talk->rows;

	while (*line && strncmp(line, row, strlen(row)) != 0)
		line += strcspn(line, "\n") + 1;
	if (!*line || index < 0)
		return NULL;
	while (index-- > 0)
		line += strcspn(line, "|\n") + 1;
	snprintf(value, sizeof(value), "%.*s", (int)strcspn(line, "|\n"), line);
	return value;
}

void talk_await(struct talk *talk, const char *sql, const char *row, const char *column, const char *value)
{
	const char *found = NULL;

	for (int i = 0; i < STAGE_PATIENCE_MS / 20; i++) {
		talk_query(talk, sql);
		found = talk_value(talk, row, column);
		if (found && strcmp(found, value) == 0)
			return;
		usleep(20000);
	}
	ck_abort_msg("%s: %s of %s stays %s", sql, column, row, found ? found : "away");
}

/* ---- messages ---- */

void put_parse(struct pg_buffer *out, const char *name, const char *sql)
{
	size_t begin = pg_buffer_begin(out, PG_FRONTEND_PARSE);
	pg_buffer_put_string(out, name);
	pg_buffer_put_string(out, sql);
	pg_buffer_put_u16(out, 0);
	pg_buffer_end(out, begin);
}

void put_bind(struct pg_buffer *out, const char *portal, const char *statement, uint16_t format)
{
	size_t begin = pg_buffer_begin(out, PG_FRONTEND_BIND);
	pg_buffer_put_string(out, portal);
	pg_buffer_put_string(out, statement);
	pg_buffer_put_u16(out, 0);
	pg_buffer_put_u16(out, 0);
	pg_buffer_put_u16(out, 1);
	pg_buffer_put_u16(out, format);
	pg_buffer_end(out, begin);
}

void put_describe(struct pg_buffer *out, char kind, const char *name)
{
	size_t begin = pg_buffer_begin(out, PG_FRONTEND_DESCRIBE);
	pg_buffer_put_u8(out, (uint8_t)kind);
	pg_buffer_put_string(out, name);
	pg_buffer_end(out, begin);
}

void put_execute(struct pg_buffer *out, const char *portal, uint32_t most_rows)
{
	size_t begin = pg_buffer_begin(out, PG_FRONTEND_EXECUTE);
	pg_buffer_put_string(out, portal);
	pg_buffer_put_u32(out, most_rows);
	pg_buffer_end(out, begin);
}

void put_sync(struct pg_buffer *out)
{
	pg_build_sync(out);
}
