/*
 * Writing messages: each function appends one whole message to `out` and, like every put, does nothing once
 * out->failed. That is also set by a message that grew beyond PG_MESSAGE_LENGTH_MAX or holds too many columns.
 *
 * Not shared between threads. Source: PostgreSQL manual, "Message Formats".
 */
#ifndef PROTOCOL_BUILD_H
#define PROTOCOL_BUILD_H

#include <stddef.h>
#include <stdint.h>

#include "protocol/buffer.h"
#include "protocol/message.h"

/* ---- to a client ---- */

/* An error or a notice of ours. NULL or "" leaves a field out; severity, sqlstate and message must be given. */
struct pg_report {
	const char *severity; /* "ERROR", "FATAL", "NOTICE", "WARNING" */
	const char *sqlstate; /* five characters */
	const char *message;
	const char *detail;
	const char *hint;
};
void pg_build_error(struct pg_buffer *out, const struct pg_report *report);
void pg_build_notice(struct pg_buffer *out, const struct pg_report *report);

void pg_build_authentication(struct pg_buffer *out, enum pg_authentication code, const void *payload, size_t bytes);
void pg_build_parameter_status(struct pg_buffer *out, const char *name, const char *value);
/* failed when the key is empty or longer than PG_CANCEL_KEY_BYTES_MAX. */
void pg_build_cancel_key(struct pg_buffer *out, uint32_t process_id, const uint8_t *key, size_t key_bytes);
void pg_build_ready(struct pg_buffer *out, enum pg_transaction_status status);
/* The newest minor version that we speak and the `_pq_.` options that we do not know: name NUL name NUL ... */
void pg_build_negotiate_version(struct pg_buffer *out, uint32_t newest_minor, const uint8_t *names, size_t names_bytes,
				uint32_t name_count);
void pg_build_command_complete(struct pg_buffer *out, const char *tag);
void pg_build_empty_query(struct pg_buffer *out);
/* Messages without a body: ParseComplete, BindComplete, CloseComplete, NoData, PortalSuspended ... */
void pg_build_bare(struct pg_buffer *out, uint8_t type);

/* The result of a table of ours, all columns in text format. */
struct pg_column {
	const char *name;
	uint32_t type_oid;
	int16_t type_bytes; /* -1: variable */
};
#define PG_OID_TEXT 25u
#define PG_OID_INT4 23u
#define PG_OID_INT8 20u
#define PG_OID_NUMERIC 1700u
#define PG_OID_BOOL 16u
void pg_build_row_description(struct pg_buffer *out, const struct pg_column *columns, size_t count);
/* A NULL value is SQL's NULL. */
void pg_build_data_row(struct pg_buffer *out, const char *const *values, size_t count);
void pg_build_parameter_description_empty(struct pg_buffer *out);

/* ---- to a server ---- */

void pg_build_query(struct pg_buffer *out, const char *query);
void pg_build_password(struct pg_buffer *out, const char *password);
/* NULL data: none is sent (length -1). */
void pg_build_sasl_initial(struct pg_buffer *out, const char *mechanism, const void *data, size_t bytes);
void pg_build_sasl_response(struct pg_buffer *out, const void *data, size_t bytes);
void pg_build_sync(struct pg_buffer *out);
void pg_build_copy_fail(struct pg_buffer *out, const char *reason);
void pg_build_terminate(struct pg_buffer *out);
/* Close of a prepared statement. */
void pg_build_close_statement(struct pg_buffer *out, const char *name);

#endif
