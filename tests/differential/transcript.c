#include "tests/differential/transcript.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/frame.h"
#include "protocol/message.h"
#include "tests/differential/step.h"

/* The OIDs of what came with PostgreSQL are below. */
#define FIRST_USER_OID 16384u
/* Longer values are cut when they are shown. */
#define SHOWN_BYTES 100

static void store_u32(uint8_t *at, uint32_t value)
{
	for (int i = 0; i < 4; i++)
		at[i] = (uint8_t)(value >> (24 - 8 * i));
}

/* ---- what cannot be the same ---- */

static void number_oid(struct transcript *transcript, uint8_t *at)
{
	uint32_t oid = pg_load_u32(at);
	size_t nth = 0;

	if (oid < FIRST_USER_OID)
		return;
	while (nth < transcript->oid_count && transcript->oids[nth] != oid)
		nth++;
	if (nth == transcript->oid_count) {
		transcript->oids = realloc(transcript->oids, (nth + 1) * sizeof(oid));
		ck_assert_ptr_nonnull(transcript->oids);
		transcript->oids[transcript->oid_count++] = oid;
	}
	store_u32(at, FIRST_USER_OID + (uint32_t)nth);
}

/* RowDescription: for each column a name, table, number, type, length, modifier, format. */
static void number_columns(struct transcript *transcript, struct message *message)
{
	size_t at = 2;

	for (unsigned left = message->bytes >= 2 ? pg_load_u16(message->body) : 0; left > 0; left--) {
		at += strnlen((char *)message->body + at, message->bytes - at) + 1;
		if (at + 18 > message->bytes)
			return;
		number_oid(transcript, message->body + at);
		number_oid(transcript, message->body + at + 6);
		at += 18;
	}
}

static void number_parameters(struct transcript *transcript, struct message *message)
{
	for (size_t at = 2; at + 4 <= message->bytes; at += 4)
		number_oid(transcript, message->body + at);
}

static void make_comparable(struct transcript *transcript, struct message *message)
{
	switch (message->type) {
	case PG_BACKEND_CANCEL_KEY:
		message->bytes = 0;
		break;
	case PG_BACKEND_NOTIFICATION:
		memset(message->body, 0, message->bytes < 4 ? message->bytes : 4);
		break;
	case PG_BACKEND_ROW_DESCRIPTION:
		number_columns(transcript, message);
		break;
	case PG_BACKEND_PARAMETER_DESCRIPTION:
		number_parameters(transcript, message);
		break;
	default:
		break;
	}
}

/* ---- keeping ---- */

void transcript_add(struct transcript *transcript, uint8_t type, const uint8_t *body, size_t bytes)
{
	struct message *message;

	if (transcript->count == transcript->capacity) {
		transcript->capacity = transcript->capacity ? transcript->capacity * 2 : 64;
		transcript->messages =
			realloc(transcript->messages, transcript->capacity * sizeof(*transcript->messages));
		ck_assert_ptr_nonnull(transcript->messages);
	}
	message = &transcript->messages[transcript->count++];
	message->type = type;
	message->bytes = bytes;
	message->body = malloc(bytes + 1);
	ck_assert_ptr_nonnull(message->body);
	if (bytes)
		memcpy(message->body, body, bytes);
	message->body[bytes] = '\0';
	make_comparable(transcript, message);
}

void transcript_clear(struct transcript *transcript)
{
	for (size_t i = 0; i < transcript->count; i++)
		free(transcript->messages[i].body);
	free(transcript->messages);
	free(transcript->oids);
	memset(transcript, 0, sizeof(*transcript));
}

bool transcript_is_closed(const struct transcript *transcript)
{
	return transcript->count && transcript->messages[transcript->count - 1].type == TYPE_CLOSED;
}

/* ---- comparing ---- */

/* A field of an ErrorResponse: a letter and a string. NULL: there is none. */
static const char *error_field(const struct message *message, char letter)
{
	size_t at = 0;

	while (at < message->bytes && message->body[at] != '\0') {
		if (message->body[at] == (uint8_t)letter)
			return (const char *)message->body + at + 1;
		at += 1 + strnlen((char *)message->body + at + 1, message->bytes - at - 1) + 1;
	}
	return NULL;
}

const char *message_sqlstate(const struct message *message)
{
	static char sqlstate[6];
	const char *field = error_field(message, 'C');

	snprintf(sqlstate, sizeof(sqlstate), "%s", field ? field : "");
	return sqlstate;
}

static bool same_field(const struct message *one, const struct message *other, char letter)
{
	const char *a = error_field(one, letter), *b = error_field(other, letter);

	return a && b && strcmp(a, b) == 0;
}

static bool is_same(const struct message *one, const struct message *other, enum compare compare)
{
	bool error = one->type == PG_BACKEND_ERROR || one->type == PG_BACKEND_NOTICE;

	if (one->type != other->type)
		return false;
	if (error && compare == COMPARE_TYPES)
		return true;
	if (error && compare != COMPARE_ALL)
		return same_field(one, other, 'V') && same_field(one, other, 'C');
	return one->bytes == other->bytes && memcmp(one->body, other->body, one->bytes) == 0;
}

static bool is_farewell(const struct transcript *transcript, size_t nth)
{
	return nth + 1 < transcript->count && transcript->messages[nth].type == PG_BACKEND_ERROR &&
	       transcript->messages[nth + 1].type == TYPE_CLOSED;
}

bool transcript_differs(const struct transcript *one, const struct transcript *other, enum compare compare,
			size_t at[2])
{
	at[0] = at[1] = 0;
	while (at[0] < one->count && at[1] < other->count) {
		if (compare == COMPARE_FAREWELLS && is_farewell(one, at[0]) != is_farewell(other, at[1])) {
			at[is_farewell(other, at[1])]++;
			continue;
		}
		if (!is_same(&one->messages[at[0]], &other->messages[at[1]], compare))
			return true;
		at[0]++, at[1]++;
	}
	return at[0] < one->count || at[1] < other->count;
}

/* ---- showing ---- */

static void put(struct pg_buffer *out, const char *text)
{
	pg_buffer_put_bytes(out, text, strlen(text));
}

static void put_cut(struct pg_buffer *out, const uint8_t *bytes, size_t count)
{
	char more[40];

	put(out, " ");
	step_quote(out, bytes, count < SHOWN_BYTES ? count : SHOWN_BYTES);
	snprintf(more, sizeof(more), " ... %zu bytes", count);
	if (count > SHOWN_BYTES)
		put(out, more);
}

/* DataRow: lengths and values. */
static void put_row(struct pg_buffer *out, const struct message *message)
{
	size_t at = 2;

	while (at + 4 <= message->bytes) {
		uint32_t bytes = pg_load_u32(message->body + at);
		at += 4;
		if (bytes == UINT32_MAX) {
			put(out, " NULL");
			continue;
		}
		if (bytes > message->bytes - at)
			bytes = (uint32_t)(message->bytes - at);
		put_cut(out, message->body + at, bytes);
		at += bytes;
	}
}

static void put_columns(struct pg_buffer *out, const struct message *message)
{
	size_t at = 2;
	char types[80];

	while (at < message->bytes) {
		size_t name_bytes = strnlen((char *)message->body + at, message->bytes - at);
		if (at + name_bytes + 19 > message->bytes)
			break;
		const uint8_t *facts = message->body + at + name_bytes + 1;
		put_cut(out, message->body + at, name_bytes);
		snprintf(types, sizeof(types), " table %u.%u type %u format %u", pg_load_u32(facts),
			 pg_load_u16(facts + 4), pg_load_u32(facts + 6), pg_load_u16(facts + 16));
		put(out, types);
		at += name_bytes + 19;
	}
}

static void put_error(struct pg_buffer *out, const struct message *message)
{
	size_t at = 0;

	while (at < message->bytes && message->body[at] != '\0') {
		const char *field = (const char *)message->body + at;
		size_t bytes = strnlen(field, message->bytes - at);
		put(out, " ");
		pg_buffer_put_bytes(out, field, 1);
		put(out, "=");
		pg_buffer_put_bytes(out, field + 1, bytes - 1);
		at += bytes + 1;
	}
}

static const char *type_name(uint8_t type)
{
	static const char *const names[128] = {
		[TYPE_CLOSED] = "(closed)",
		['R'] = "Authentication",
		['2'] = "BindComplete",
		['K'] = "BackendKeyData",
		['3'] = "CloseComplete",
		['C'] = "CommandComplete",
		['W'] = "CopyBothResponse",
		['d'] = "CopyData",
		['c'] = "CopyDone",
		['G'] = "CopyInResponse",
		['H'] = "CopyOutResponse",
		['D'] = "DataRow",
		['I'] = "EmptyQueryResponse",
		['E'] = "ErrorResponse",
		['V'] = "FunctionCallResponse",
		['v'] = "NegotiateProtocolVersion",
		['n'] = "NoData",
		['N'] = "NoticeResponse",
		['A'] = "NotificationResponse",
		['t'] = "ParameterDescription",
		['S'] = "ParameterStatus",
		['1'] = "ParseComplete",
		['s'] = "PortalSuspended",
		['Z'] = "ReadyForQuery",
		['T'] = "RowDescription",
	};

	return type < 128 && names[type] ? names[type] : "(unknown)";
}

void message_print(struct pg_buffer *out, const struct message *message)
{
	put(out, type_name(message->type));
	if (message->type == PG_BACKEND_DATA_ROW)
		put_row(out, message);
	else if (message->type == PG_BACKEND_ROW_DESCRIPTION)
		put_columns(out, message);
	else if (message->type == PG_BACKEND_ERROR || message->type == PG_BACKEND_NOTICE)
		put_error(out, message);
	else if (message->bytes)
		put_cut(out, message->body, message->bytes);
}
