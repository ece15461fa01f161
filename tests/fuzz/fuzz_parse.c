/* Frames, and every parser of protocol/parse.h over the same body: what they answer lies within the body. */
#include "protocol/frame.h"
#include "protocol/parse.h"
#include "tests/fuzz/fuzz.h"

struct body {
	const uint8_t *data;
	size_t size;
};

static void expect_bytes(const struct body *body, const uint8_t *at, size_t bytes)
{
	assert(at >= body->data && at <= body->data + body->size);
	assert(bytes <= (size_t)(body->data + body->size - at));
}

/* It ends inside the body. */
static void expect_string(const struct body *body, const char *string)
{
	const uint8_t *at = (const uint8_t *)string;

	expect_bytes(body, at, 1);
	assert(memchr(at, '\0', (size_t)(body->data + body->size - at)));
}

/* A field that is absent is "" from elsewhere. */
static void expect_field(const struct body *body, const char *string)
{
	if (*string)
		expect_string(body, string);
}

static void parse_error(const struct body *body)
{
	struct pg_error_fields fields;

	pg_parse_error(body->data, body->size, &fields); /* the fields count whatever it answers */
	expect_field(body, fields.severity);
	expect_field(body, fields.sqlstate);
	expect_field(body, fields.message);
	expect_field(body, fields.detail);
	expect_field(body, fields.hint);
}

static void parse_of_server(const struct body *body)
{
	struct pg_parameter_status parameter;
	struct pg_cancel_key key;
	struct pg_authentication_request request;
	enum pg_transaction_status status;

	parse_error(body);
	if (pg_parse_parameter_status(body->data, body->size, &parameter) == PG_OK) {
		expect_string(body, parameter.name);
		expect_string(body, parameter.value);
		assert(strlen(parameter.name) + strlen(parameter.value) + 2 == body->size);
	}
	if (pg_parse_ready(body->data, body->size, &status) == PG_OK)
		assert(body->size == 1 && body->data[0] == (uint8_t)status && strchr("ITE", (int)status));
	if (pg_parse_cancel_key(body->data, body->size, &key) == PG_OK) {
		expect_bytes(body, key.key, key.key_bytes);
		assert(key.key_bytes >= 1 && key.key_bytes <= 256 && key.key_bytes + 4 == body->size);
	}
	if (pg_parse_authentication(body->data, body->size, &request) == PG_OK && request.payload_bytes)
		expect_bytes(body, request.payload, request.payload_bytes);
}

static void parse_of_client(const struct body *body)
{
	struct pg_sasl_initial initial;
	struct pg_parse_message message;
	struct pg_named_target target;
	const char *text;

	if (pg_parse_password(body->data, body->size, &text) == PG_OK) {
		expect_string(body, text);
		assert(strlen(text) + 1 == body->size);
	}
	if (pg_parse_query(body->data, body->size, &text) == PG_OK) {
		expect_string(body, text);
		assert(strlen(text) + 1 == body->size);
	}
	if (pg_parse_sasl_initial(body->data, body->size, &initial) == PG_OK) {
		expect_string(body, initial.mechanism);
		if (initial.data)
			expect_bytes(body, initial.data, initial.data_bytes);
	}
	if (pg_parse_parse(body->data, body->size, &message) == PG_OK) {
		expect_string(body, message.name);
		expect_string(body, message.query);
		expect_bytes(body, message.types, 4u * message.type_count);
	}
	if (pg_parse_named_target(body->data, body->size, &target) == PG_OK) {
		expect_string(body, target.name);
		assert(target.kind == 'S' || target.kind == 'P');
	}
}

/* A prefix of the body will do: what MORE answers becomes OK with more of the same bytes, and never BAD. */
static void parse_bind_head(const struct body *body)
{
	struct pg_bind_head head = { 0 };
	enum pg_result whole = pg_parse_bind_head(body->data, body->size, &head);

	assert(whole != PG_BAD);
	if (whole != PG_OK)
		return;
	expect_string(body, head.portal);
	expect_string(body, head.statement);
	assert(head.head_bytes == strlen(head.portal) + strlen(head.statement) + 2);
	for (size_t size = 0; size <= head.head_bytes && size < 64; size++) {
		uint8_t *prefix = fuzz_copy(body->data, size);
		struct pg_bind_head again;
		enum pg_result expected = size < head.head_bytes ? PG_MORE : PG_OK;
		assert(pg_parse_bind_head(prefix, size, &again) == expected);
		free(prefix);
	}
}

static void parse_frames(const uint8_t *data, size_t size)
{
	while (size > 0) {
		struct pg_frame frame;
		enum pg_result result = pg_frame_parse(data, size, &frame);
		assert((result == PG_MORE) == (size < PG_FRAME_HEADER_BYTES));
		if (result != PG_OK)
			return;
		assert(frame.type == data[0]);
		assert(frame.total_bytes == frame.body_bytes + PG_FRAME_HEADER_BYTES);
		assert(frame.total_bytes <= PG_MESSAGE_LENGTH_MAX + 1);
		if (frame.total_bytes > size)
			return;
		data += frame.total_bytes;
		size -= frame.total_bytes;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t *copy = fuzz_copy(data, size);
	struct body body = { copy, size };

	parse_frames(copy, size);
	parse_of_server(&body);
	parse_of_client(&body);
	parse_bind_head(&body);
	free(copy);
	return 0;
}
