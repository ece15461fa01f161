#include "protocol/build.h"

#include <string.h>

#include "protocol/startup.h"

/* ---- to a client ---- */

static void put_field(struct pg_buffer *out, uint8_t code, const char *value)
{
	if (!value || *value == '\0')
		return;
	pg_buffer_put_u8(out, code);
	pg_buffer_put_string(out, value);
}

static void put_report(struct pg_buffer *out, uint8_t type, const struct pg_report *report)
{
	size_t begin = pg_buffer_begin(out, type);
	put_field(out, 'S', report->severity);
	put_field(out, 'V', report->severity);
	put_field(out, 'C', report->sqlstate);
	put_field(out, 'M', report->message);
	put_field(out, 'D', report->detail);
	put_field(out, 'H', report->hint);
	pg_buffer_put_u8(out, 0);
	pg_buffer_end(out, begin);
}

void pg_build_error(struct pg_buffer *out, const struct pg_report *report)
{
	put_report(out, PG_BACKEND_ERROR, report);
}

void pg_build_notice(struct pg_buffer *out, const struct pg_report *report)
{
	put_report(out, PG_BACKEND_NOTICE, report);
}

void pg_build_authentication(struct pg_buffer *out, enum pg_authentication code, const void *payload, size_t bytes)
{
	size_t begin = pg_buffer_begin(out, PG_BACKEND_AUTHENTICATION);
	pg_buffer_put_u32(out, (uint32_t)code);
	pg_buffer_put_bytes(out, payload, bytes);
	pg_buffer_end(out, begin);
}

void pg_build_parameter_status(struct pg_buffer *out, const char *name, const char *value)
{
	size_t begin = pg_buffer_begin(out, PG_BACKEND_PARAMETER_STATUS);
	pg_buffer_put_string(out, name);
	pg_buffer_put_string(out, value);
	pg_buffer_end(out, begin);
}

void pg_build_cancel_key(struct pg_buffer *out, uint32_t process_id, const uint8_t *key, size_t key_bytes)
{
	if (key_bytes < 1 || key_bytes > PG_CANCEL_KEY_BYTES_MAX) {
		out->failed = true;
		return;
	}
	size_t begin = pg_buffer_begin(out, PG_BACKEND_CANCEL_KEY);
	pg_buffer_put_u32(out, process_id);
	pg_buffer_put_bytes(out, key, key_bytes);
	pg_buffer_end(out, begin);
}

void pg_build_ready(struct pg_buffer *out, enum pg_transaction_status status)
{
	size_t begin = pg_buffer_begin(out, PG_BACKEND_READY);
	pg_buffer_put_u8(out, (uint8_t)status);
	pg_buffer_end(out, begin);
}

void pg_build_negotiate_version(struct pg_buffer *out, uint32_t newest_minor, const uint8_t *names, size_t names_bytes,
				uint32_t name_count)
{
	size_t begin = pg_buffer_begin(out, PG_BACKEND_NEGOTIATE_VERSION);
	/* The manual says "newest minor version"; the server sends, and libpq wants, the number with its major. */
	pg_buffer_put_u32(out, PG_PROTOCOL_MAJOR << 16 | (newest_minor & 0xffff));
	pg_buffer_put_u32(out, name_count);
	pg_buffer_put_bytes(out, names, names_bytes);
	pg_buffer_end(out, begin);
}

/* A message that is one string. */
static void put_string_message(struct pg_buffer *out, uint8_t type, const char *string)
{
	size_t begin = pg_buffer_begin(out, type);
	pg_buffer_put_string(out, string);
	pg_buffer_end(out, begin);
}

void pg_build_command_complete(struct pg_buffer *out, const char *tag)
{
	put_string_message(out, PG_BACKEND_COMMAND_COMPLETE, tag);
}

void pg_build_empty_query(struct pg_buffer *out)
{
	pg_build_bare(out, PG_BACKEND_EMPTY_QUERY);
}

void pg_build_bare(struct pg_buffer *out, uint8_t type)
{
	pg_buffer_end(out, pg_buffer_begin(out, type));
}

static void put_count(struct pg_buffer *out, size_t count)
{
	if (count > INT16_MAX)
		out->failed = true;
	pg_buffer_put_u16(out, (uint16_t)count);
}

void pg_build_row_description(struct pg_buffer *out, const struct pg_column *columns, size_t count)
{
	size_t begin = pg_buffer_begin(out, PG_BACKEND_ROW_DESCRIPTION);
	put_count(out, count);
	for (size_t i = 0; i < count && !out->failed; i++) {
		pg_buffer_put_string(out, columns[i].name);
		pg_buffer_put_u32(out, 0); /* of no table */
		pg_buffer_put_u16(out, 0); /* nor one of its columns */
		pg_buffer_put_u32(out, columns[i].type_oid);
		pg_buffer_put_u16(out, (uint16_t)columns[i].type_bytes);
		pg_buffer_put_u32(out, UINT32_MAX); /* no type modifier: -1 */
		pg_buffer_put_u16(out, 0);          /* text */
	}
	pg_buffer_end(out, begin);
}

/* A value with its length before it. */
static void put_value(struct pg_buffer *out, const char *value)
{
	if (!value) {
		pg_buffer_put_u32(out, UINT32_MAX); /* -1: NULL */
		return;
	}
	/* Whatever does not fit 32 bits does not fit a message either; pg_buffer_end sees to that. */
	size_t bytes = strlen(value);
	pg_buffer_put_u32(out, (uint32_t)bytes);
	pg_buffer_put_bytes(out, value, bytes);
}

void pg_build_data_row(struct pg_buffer *out, const char *const *values, size_t count)
{
	size_t begin = pg_buffer_begin(out, PG_BACKEND_DATA_ROW);
	put_count(out, count);
	for (size_t i = 0; i < count && !out->failed; i++)
		put_value(out, values[i]);
	pg_buffer_end(out, begin);
}

void pg_build_parameter_description_empty(struct pg_buffer *out)
{
	size_t begin = pg_buffer_begin(out, PG_BACKEND_PARAMETER_DESCRIPTION);
	put_count(out, 0);
	pg_buffer_end(out, begin);
}

/* ---- to a server ---- */

void pg_build_query(struct pg_buffer *out, const char *query)
{
	put_string_message(out, PG_FRONTEND_QUERY, query);
}

void pg_build_password(struct pg_buffer *out, const char *password)
{
	/* Room for all of it at once: a growing buffer would leave pieces of the password in freed memory. */
	pg_buffer_reserve(out, PG_FRAME_HEADER_BYTES + strlen(password) + 1);
	put_string_message(out, PG_FRONTEND_PASSWORD, password);
}

void pg_build_sasl_initial(struct pg_buffer *out, const char *mechanism, const void *data, size_t bytes)
{
	size_t begin = pg_buffer_begin(out, PG_FRONTEND_PASSWORD);
	pg_buffer_put_string(out, mechanism);
	pg_buffer_put_u32(out, data ? (uint32_t)bytes : UINT32_MAX);
	pg_buffer_put_bytes(out, data, data ? bytes : 0);
	pg_buffer_end(out, begin);
}

void pg_build_sasl_response(struct pg_buffer *out, const void *data, size_t bytes)
{
	size_t begin = pg_buffer_begin(out, PG_FRONTEND_PASSWORD);
	pg_buffer_put_bytes(out, data, bytes);
	pg_buffer_end(out, begin);
}

void pg_build_sync(struct pg_buffer *out)
{
	pg_build_bare(out, PG_FRONTEND_SYNC);
}

void pg_build_copy_fail(struct pg_buffer *out, const char *reason)
{
	put_string_message(out, PG_FRONTEND_COPY_FAIL, reason);
}

void pg_build_terminate(struct pg_buffer *out)
{
	pg_build_bare(out, PG_FRONTEND_TERMINATE);
}

void pg_build_close_statement(struct pg_buffer *out, const char *name)
{
	size_t begin = pg_buffer_begin(out, PG_FRONTEND_CLOSE);
	pg_buffer_put_u8(out, 'S');
	pg_buffer_put_string(out, name);
	pg_buffer_end(out, begin);
}
