/*
 * For the console's tests: a whole pgweir in threads of the test's own process, a PostgreSQL that is only pretended, and
 * clients that speak the protocol byte by byte.
 */
#ifndef TESTS_UNIT_CONSOLE_STAGE_H
#define TESTS_UNIT_CONSOLE_STAGE_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "pooler/process.h"
#include "protocol/buffer.h"

#define STAGE_PATIENCE_MS 5000

/* ---- pgweir ---- */

/* Databases "app" and "other" at the pretended server, two workers, admin "ops", watcher "watch", no passwords. */
struct stage {
	struct process process;
	pthread_t thread;
	pthread_t server;
	int server_fd;
	uint16_t port;
	char directory[64];
};

/* `more` are further lines of the configuration. */
void stage_start(struct stage *stage, const char *more);
void stage_stop(struct stage *stage);
/* Replaces the configuration file. */
void stage_write_config(struct stage *stage, const char *more);

/* ---- clients ---- */

#define TALK_TYPES_BYTES 16384
#define TALK_ROWS_BYTES (1u << 24)

struct talk {
	int fd;
	uint32_t process_id;
	uint8_t key[4];
	/* Since the last talk_send: */
	char types[TALK_TYPES_BYTES]; /* the type of each message, rows only once in a row */
	char sqlstate[6];             /* of the last error */
	char message[512];
	char detail[512];
	char notice[512];
	char tag[64]; /* of the last CommandComplete */
	char status;  /* of the last ReadyForQuery */
	char *names;  /* owned: "database|user|..." of the last RowDescription */
	char *oids;   /* owned: "25|25|23|..." */
	char *rows;   /* owned: "app|joe|0\n..."; NULL is "-"; in binary as hex */
	size_t rows_used;
	size_t row_count;
	bool binary; /* the last RowDescription or Bind spoke of it: rows are shown as hex */
	bool ended;  /* the other side has closed */
	struct pg_buffer in;
};

/* A bare connection. `receive_bytes`: how much the kernel keeps for it; 0: as it likes. */
void talk_connect(struct talk *talk, const struct stage *stage, int receive_bytes);
/* On a bare connection; ends at ReadyForQuery, or at an error. */
void talk_log_in(struct talk *talk, const char *user, const char *database);
/* Both. */
void talk_open(struct talk *talk, const struct stage *stage, const char *user, const char *database);
void talk_close(struct talk *talk);
void talk_send(struct talk *talk, struct pg_buffer *out);
/* Reads up to `ready` times ReadyForQuery, or to the end. Fails the test when it takes too long. */
void talk_read(struct talk *talk, unsigned ready);
/* True when something came within so long; then talk_read. */
bool talk_waits(struct talk *talk, int timeout_ms);
/* Sends one Query and reads its answer. */
void talk_query(struct talk *talk, const char *sql);
/* Sends it only. */
void talk_ask(struct talk *talk, const char *sql);
/* Asks until the value of a column of the row that begins with `row` ("app|") is `value`; fails the test after a while. */
void talk_await(struct talk *talk, const char *sql, const char *row, const char *column, const char *value);
/* A column's value in the row that begins with `row`; NULL: no such row or column. Valid until the next call. */
const char *talk_value(const struct talk *talk, const char *row, const char *column);

/* Messages of the extended protocol. */
void put_parse(struct pg_buffer *out, const char *name, const char *sql);
/* With `format` for all result columns: 0 text, 1 binary. */
void put_bind(struct pg_buffer *out, const char *portal, const char *statement, uint16_t format);
void put_describe(struct pg_buffer *out, char kind, const char *name);
void put_execute(struct pg_buffer *out, const char *portal, uint32_t most_rows);
void put_sync(struct pg_buffer *out);

#endif
