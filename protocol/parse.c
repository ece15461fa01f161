#include "protocol/parse.h"

#include "protocol/reader.h"
#include "protocol/startup.h"

static enum pg_result whole(const struct pg_reader *reader)
{
	return pg_reader_done(reader) ? PG_OK : PG_BAD;
}

enum pg_result pg_parse_error(const uint8_t *body, size_t size, struct pg_error_fields *fields)
{
	struct pg_reader reader;
	pg_reader_init(&reader, body, size);
	*fields = (struct pg_error_fields){ "", "", "", "", "" };

	bool plain_severity = false;
	for (uint8_t code = pg_reader_u8(&reader); code != 0; code = pg_reader_u8(&reader)) {
		const char *value = pg_reader_string(&reader);
		switch (code) {
		case 'V':
			fields->severity = value;
			plain_severity = true;
			break;
		case 'S':
			if (!plain_severity)
				fields->severity = value;
			break;
		case 'C':
			fields->sqlstate = value;
			break;
		case 'M':
			fields->message = value;
			break;
		case 'D':
			fields->detail = value;
			break;
		case 'H':
			fields->hint = value;
			break;
		default: /* position, file, line ... and what later versions add */
			break;
		}
	}
	return whole(&reader);
}

enum pg_result pg_parse_parameter_status(const uint8_t *body, size_t size, struct pg_parameter_status *status)
{
	struct pg_reader reader;
	pg_reader_init(&reader, body, size);
	status->name = pg_reader_string(&reader);
	status->value = pg_reader_string(&reader);
	return whole(&reader);
}

enum pg_result pg_parse_ready(const uint8_t *body, size_t size, enum pg_transaction_status *status)
{
	struct pg_reader reader;
	pg_reader_init(&reader, body, size);
	uint8_t byte = pg_reader_u8(&reader);
	if (byte != PG_TRANSACTION_IDLE && byte != PG_TRANSACTION_OPEN && byte != PG_TRANSACTION_FAILED)
		return PG_BAD;
	*status = (enum pg_transaction_status)byte;
	return whole(&reader);
}

enum pg_result pg_parse_cancel_key(const uint8_t *body, size_t size, struct pg_cancel_key *key)
{
	struct pg_reader reader;
	pg_reader_init(&reader, body, size);
	key->process_id = pg_reader_u32(&reader);
	key->key_bytes = pg_reader_left(&reader);
	key->key = pg_reader_bytes(&reader, key->key_bytes);
	if (key->key_bytes < 1 || key->key_bytes > PG_CANCEL_KEY_BYTES_MAX)
		return PG_BAD;
	return whole(&reader);
}

/* The list of mechanisms: strings, closed by an empty one, which is not counted into the payload. */
static enum pg_result parse_mechanisms(struct pg_reader *reader, struct pg_authentication_request *request)
{
	request->payload = reader->at;
	const char *mechanism;
	do {
		request->payload_bytes = (size_t)(reader->at - request->payload);
		mechanism = pg_reader_string(reader);
	} while (*mechanism != '\0');
	return whole(reader);
}

enum pg_result pg_parse_authentication(const uint8_t *body, size_t size, struct pg_authentication_request *request)
{
	struct pg_reader reader;
	pg_reader_init(&reader, body, size);
	request->code = pg_reader_u32(&reader);
	if (request->code == PG_AUTH_SASL)
		return parse_mechanisms(&reader, request);

	request->payload_bytes = pg_reader_left(&reader);
	request->payload = pg_reader_bytes(&reader, request->payload_bytes);
	if (request->code == PG_AUTH_MD5 && request->payload_bytes != 4)
		return PG_BAD;
	if ((request->code == PG_AUTH_OK || request->code == PG_AUTH_CLEARTEXT) && request->payload_bytes != 0)
		return PG_BAD;
	return whole(&reader);
}

/* A body that is one string and nothing else. */
static enum pg_result parse_one_string(const uint8_t *body, size_t size, const char **string)
{
	struct pg_reader reader;
	pg_reader_init(&reader, body, size);
	*string = pg_reader_string(&reader);
	return whole(&reader);
}

enum pg_result pg_parse_password(const uint8_t *body, size_t size, const char **password)
{
	return parse_one_string(body, size, password);
}

enum pg_result pg_parse_query(const uint8_t *body, size_t size, const char **query)
{
	return parse_one_string(body, size, query);
}

enum pg_result pg_parse_sasl_initial(const uint8_t *body, size_t size, struct pg_sasl_initial *initial)
{
	struct pg_reader reader;
	pg_reader_init(&reader, body, size);
	initial->mechanism = pg_reader_string(&reader);
	uint32_t length = pg_reader_u32(&reader);
	bool absent = length == UINT32_MAX; /* -1 */
	initial->data_bytes = absent ? 0 : length;
	initial->data = absent ? NULL : pg_reader_bytes(&reader, length);
	return whole(&reader);
}

enum pg_result pg_parse_parse(const uint8_t *body, size_t size, struct pg_parse_message *message)
{
	struct pg_reader reader;
	pg_reader_init(&reader, body, size);
	message->name = pg_reader_string(&reader);
	message->query = pg_reader_string(&reader);
	message->type_count = pg_reader_u16(&reader);
	message->types = pg_reader_bytes(&reader, (size_t)message->type_count * 4);
	return whole(&reader);
}

enum pg_result pg_parse_bind_head(const uint8_t *body, size_t size, struct pg_bind_head *head)
{
	struct pg_reader reader;
	pg_reader_init(&reader, body, size);
	head->portal = pg_reader_string(&reader);
	head->statement = pg_reader_string(&reader);
	head->head_bytes = size - pg_reader_left(&reader);
	return reader.failed ? PG_MORE : PG_OK;
}

enum pg_result pg_parse_named_target(const uint8_t *body, size_t size, struct pg_named_target *target)
{
	struct pg_reader reader;
	pg_reader_init(&reader, body, size);
	target->kind = pg_reader_u8(&reader);
	target->name = pg_reader_string(&reader);
	if (target->kind != 'S' && target->kind != 'P')
		return PG_BAD;
	return whole(&reader);
}
