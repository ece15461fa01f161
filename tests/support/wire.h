/*
 * A client that speaks the protocol byte by byte: for what no driver would send, and to see every message.
 *
 * Reads have a deadline (PATIENCE_MS); when it passes, the test fails. Messages to send are collected in a pg_buffer, by
 * protocol/build.h and the wire_put functions here, and sent at once, so that a test decides what shares a packet.
 */
#ifndef TESTS_SUPPORT_WIRE_H
#define TESTS_SUPPORT_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "protocol/buffer.h"
#include "protocol/build.h"
#include "protocol/parse.h"
#include "tests/support/weir.h"

struct wire {
	int fd;
	struct pg_buffer in; /* owned: received, not taken yet */
	size_t taken;        /* bytes of `in` that belong to the message last taken */
	char status;         /* of the last ReadyForQuery */
	uint32_t process_id; /* of BackendKeyData */
	uint8_t key[256];
	size_t key_bytes;
	char sqlstate[6]; /* of the last ErrorResponse, "" when there was none since the last wire_send */
	char message[512];
	char hint[512];
	char tags[512];  /* of the CommandCompletes since the last wire_send, with ";" between */
	char value[128]; /* the first column of the last DataRow, cut */
	size_t rows;     /* DataRows since the last wire_send */
};

struct wire_message {
	uint8_t type;
	const uint8_t *body; /* borrowed: until the next read */
	size_t body_bytes;
};

/* ---- connections ---- */

/* A bare connection: nothing was sent. */
void wire_open(struct wire *wire, uint16_t port);
void wire_open_local(struct wire *wire, const char *directory, uint16_t port);
/* Logs in by trust or by a plain password; it must be let in. `pairs` are further parameters: name, value, ..., NULL. */
void wire_login(struct wire *wire, const char *user, const char *database, const char *password,
		const char *const *pairs);
/* Both, as user "app_user" to the database "app". */
void wire_connect(struct wire *wire, const struct weir *weir);
/* Closes it; with `reset` so that the other side sees a reset rather than an end. */
void wire_close(struct wire *wire);
void wire_reset(struct wire *wire);
/* Ends our direction only. */
void wire_end(struct wire *wire);

/* ---- sending ---- */

/* Sends all of it, and empties it. Fails the test when that does not succeed. */
void wire_send(struct wire *wire, struct pg_buffer *out);
void wire_send_bytes(struct wire *wire, const void *data, size_t bytes);
/* As much as the socket takes without waiting; false when the other side has closed. */
bool wire_try_send(struct wire *wire, const void *data, size_t bytes);
/* One Query. */
void wire_query(struct wire *wire, const char *sql);

void wire_put_startup(struct pg_buffer *out, uint32_t version, const char *const *pairs);
void wire_put_parse(struct pg_buffer *out, const char *name, const char *sql);
/* Parameters and results in text format; `values` are `count` strings. */
void wire_put_bind(struct pg_buffer *out, const char *portal, const char *statement, const char *const *values,
		   uint16_t count);
/* 'S' or 'P' and a name. */
void wire_put_describe(struct pg_buffer *out, char kind, const char *name);
void wire_put_close(struct pg_buffer *out, char kind, const char *name);
void wire_put_execute(struct pg_buffer *out, const char *portal, uint32_t row_limit);
void wire_put_flush(struct pg_buffer *out);
void wire_put_copy_data(struct pg_buffer *out, const void *data, size_t bytes);
void wire_put_copy_done(struct pg_buffer *out);
/* Parse, Bind, Describe, Execute of the unnamed statement, without a Sync. */
void wire_put_statement(struct pg_buffer *out, const char *sql);
/* A message with any type and any length field, whatever its body is. */
void wire_put_raw(struct pg_buffer *out, char type, uint32_t length, const void *body, size_t bytes);

/* ---- receiving ---- */

/* The next message, whatever it is. False: the other side has closed, at the border of a message. */
bool wire_read(struct wire *wire, struct wire_message *message);
/* Reads on until a message of that type came; the types of all, in a string that lives until the next call, with runs of
 * DataRow and CopyData as one letter and without NoticeResponse, ParameterStatus and NotificationResponse. */
const char *wire_types_until(struct wire *wire, char type);
const char *wire_types_until_ready(struct wire *wire);
/* Reads on until the other side closes. */
const char *wire_types_until_closed(struct wire *wire);
/* True when nothing has come for `ms`: for what must not happen. */
bool wire_is_silent(struct wire *wire, int ms);

/* What a query's first column says: a Query and all its answers; the server must be at ReadyForQuery before and after. */
const char *wire_value(struct wire *wire, const char *sql);
/* A Query that must succeed. */
void wire_exec(struct wire *wire, const char *sql);

/* Sends a CancelRequest with this key on a connection of its own, and waits for its end. */
void wire_cancel_with(uint16_t port, uint32_t process_id, const uint8_t *key, size_t key_bytes);
void wire_cancel(const struct wire *wire, uint16_t port);

#endif
