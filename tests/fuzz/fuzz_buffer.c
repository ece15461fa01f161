/*
 * Reader and buffer are each other's inverse, and each builder is its parser's: what is built from the input's choices is
 * one whole frame that parses to the same.
 */
#include "protocol/buffer.h"
#include "protocol/build.h"
#include "protocol/parse.h"
#include "protocol/reader.h"
#include "protocol/startup.h"
#include "tests/fuzz/fuzz.h"

#define STEPS_MAX 64

/* ---- reader and buffer ---- */

struct step {
	unsigned kind;
	uint32_t number;
	char *text; /* owned */
};

static void put_step(struct pg_buffer *buffer, const struct step *step)
{
	switch (step->kind) {
	case 0:
		pg_buffer_put_u8(buffer, (uint8_t)step->number);
		break;
	case 1:
		pg_buffer_put_u16(buffer, (uint16_t)step->number);
		break;
	case 2:
		pg_buffer_put_u32(buffer, step->number);
		break;
	case 3:
		pg_buffer_put_bytes(buffer, step->text, strlen(step->text));
		break;
	default:
		pg_buffer_put_string(buffer, step->text);
		break;
	}
}

static void read_step(struct pg_reader *reader, const struct step *step)
{
	switch (step->kind) {
	case 0:
		assert(pg_reader_u8(reader) == (uint8_t)step->number);
		break;
	case 1:
		assert(pg_reader_u16(reader) == (uint16_t)step->number);
		break;
	case 2:
		assert(pg_reader_u32(reader) == step->number);
		break;
	case 3:
		assert(strncmp((const char *)pg_reader_bytes(reader, strlen(step->text)), step->text,
			       strlen(step->text)) == 0);
		break;
	default:
		assert(strcmp(pg_reader_string(reader), step->text) == 0);
		break;
	}
}

/* Reads the bytes cut short: nothing lies behind the end, and what failed stays failed. */
static void read_cut(const struct pg_buffer *buffer, size_t cut)
{
	uint8_t *short_copy = fuzz_copy(buffer->data, buffer->length - cut);
	struct pg_reader reader;

	pg_reader_init(&reader, short_copy, buffer->length - cut);
	while (!reader.failed)
		pg_reader_string(&reader);
	assert(pg_reader_u32(&reader) == 0 && !pg_reader_bytes(&reader, 1) && *pg_reader_string(&reader) == '\0');
	assert(reader.failed && !pg_reader_done(&reader));
	free(short_copy);
}

static void round_trip(struct choices *choices)
{
	struct pg_buffer buffer = PG_BUFFER_EMPTY;
	struct step steps[STEPS_MAX];
	struct pg_reader reader;
	size_t count = 0;

	while (count < STEPS_MAX && choices_left(choices)) {
		struct step *step = &steps[count++];
		step->kind = choose(choices, 5);
		step->number = choose_u32(choices);
		step->text = step->kind < 3 ? NULL : choose_string(choices);
		put_step(&buffer, step);
	}
	assert(!buffer.failed);
	pg_reader_init(&reader, buffer.data, buffer.length);
	for (size_t i = 0; i < count; i++) {
		read_step(&reader, &steps[i]);
		free(steps[i].text);
	}
	assert(pg_reader_done(&reader));
	if (buffer.length)
		read_cut(&buffer, choose(choices, 256) % buffer.length);
	pg_buffer_consume(&buffer, choose_byte(choices));
	pg_buffer_wipe(&buffer);
	assert(!buffer.data && !buffer.length);
}

/* ---- builders and parsers ---- */

/* One whole frame of this type; its body. */
static const uint8_t *expect_frame(const struct pg_buffer *out, uint8_t type, size_t *bytes)
{
	struct pg_frame frame;

	assert(!out->failed && pg_frame_parse(out->data, out->length, &frame) == PG_OK);
	assert(frame.type == type && frame.total_bytes == out->length);
	*bytes = frame.body_bytes;
	return out->data + PG_FRAME_HEADER_BYTES;
}

static void expect_text(const char *parsed, const char *given)
{
	assert(strcmp(parsed, given) == 0);
}

static void try_error(struct pg_buffer *out, struct choices *choices)
{
	char *text[5];
	struct pg_error_fields fields;
	size_t bytes;

	for (int i = 0; i < 5; i++)
		text[i] = choose_string(choices);
	pg_build_error(out, &(struct pg_report){ text[0], text[1], text[2], text[3], text[4] });
	const uint8_t *body = expect_frame(out, PG_BACKEND_ERROR, &bytes);
	assert(pg_parse_error(body, bytes, &fields) == PG_OK);
	expect_text(fields.severity, text[0]);
	expect_text(fields.sqlstate, text[1]);
	expect_text(fields.message, text[2]);
	expect_text(fields.detail, text[3]);
	expect_text(fields.hint, text[4]);
	for (int i = 0; i < 5; i++)
		free(text[i]);
}

static void try_parameter(struct pg_buffer *out, struct choices *choices)
{
	char *name = choose_string(choices);
	char *value = choose_string(choices);
	struct pg_parameter_status status;
	size_t bytes;

	pg_build_parameter_status(out, name, value);
	const uint8_t *body = expect_frame(out, PG_BACKEND_PARAMETER_STATUS, &bytes);
	assert(pg_parse_parameter_status(body, bytes, &status) == PG_OK);
	expect_text(status.name, name);
	expect_text(status.value, value);
	free(name);
	free(value);
}

static void try_key(struct pg_buffer *out, struct choices *choices)
{
	uint32_t process_id = choose_u32(choices);
	uint8_t most = choose_byte(choices);
	size_t key_bytes, bytes;
	const uint8_t *key = choose_bytes(choices, most, &key_bytes);
	struct pg_cancel_key parsed;
	struct pg_startup startup;

	pg_build_cancel_key(out, process_id, key, key_bytes);
	if (key_bytes == 0) {
		assert(out->failed);
		return;
	}
	const uint8_t *body = expect_frame(out, PG_BACKEND_CANCEL_KEY, &bytes);
	assert(pg_parse_cancel_key(body, bytes, &parsed) == PG_OK && parsed.process_id == process_id);
	assert(parsed.key_bytes == key_bytes && memcmp(parsed.key, key, key_bytes) == 0);
	pg_buffer_clear(out);
	pg_startup_put_cancel(out, process_id, key, key_bytes);
	assert(pg_startup_parse(out->data, out->length, &startup) == PG_OK && startup.process_id == process_id);
	assert(startup.kind == PG_STARTUP_CANCEL_REQUEST && startup.key_bytes == key_bytes);
	assert(memcmp(startup.key, key, key_bytes) == 0);
}

static void try_text(struct pg_buffer *out, struct choices *choices)
{
	char *text = choose_string(choices);
	const char *parsed;
	struct pg_named_target target;
	size_t bytes;

	pg_build_query(out, text);
	const uint8_t *body = expect_frame(out, PG_FRONTEND_QUERY, &bytes);
	assert(pg_parse_query(body, bytes, &parsed) == PG_OK);
	expect_text(parsed, text);
	pg_buffer_clear(out);
	pg_build_password(out, text);
	body = expect_frame(out, PG_FRONTEND_PASSWORD, &bytes);
	assert(pg_parse_password(body, bytes, &parsed) == PG_OK);
	expect_text(parsed, text);
	pg_buffer_clear(out);
	pg_build_close_statement(out, text);
	body = expect_frame(out, PG_FRONTEND_CLOSE, &bytes);
	assert(pg_parse_named_target(body, bytes, &target) == PG_OK && target.kind == 'S');
	expect_text(target.name, text);
	free(text);
}

static void try_sasl(struct pg_buffer *out, struct choices *choices)
{
	char *mechanism = choose_string(choices);
	bool sent = choose(choices, 2);
	uint8_t most = choose_byte(choices);
	size_t data_bytes, bytes;
	const uint8_t *data = choose_bytes(choices, most, &data_bytes);
	struct pg_sasl_initial initial;
	struct pg_authentication_request request;

	pg_build_sasl_initial(out, mechanism, sent ? data : NULL, sent ? data_bytes : 0);
	const uint8_t *body = expect_frame(out, PG_FRONTEND_PASSWORD, &bytes);
	assert(pg_parse_sasl_initial(body, bytes, &initial) == PG_OK && !initial.data == !sent);
	assert(!sent || (initial.data_bytes == data_bytes && memcmp(initial.data, data, data_bytes) == 0));
	expect_text(initial.mechanism, mechanism);
	pg_buffer_clear(out);
	pg_build_authentication(out, PG_AUTH_SASL_CONTINUE, data, data_bytes);
	body = expect_frame(out, PG_BACKEND_AUTHENTICATION, &bytes);
	assert(pg_parse_authentication(body, bytes, &request) == PG_OK && request.code == PG_AUTH_SASL_CONTINUE);
	assert(request.payload_bytes == data_bytes && memcmp(request.payload, data, data_bytes) == 0);
	free(mechanism);
}

static void try_table(struct pg_buffer *out, struct choices *choices)
{
	struct pg_column columns[3];
	const char *values[3];
	char *text[3];
	size_t bytes, count = choose(choices, 4);

	for (size_t i = 0; i < 3; i++) {
		text[i] = choose_string(choices);
		columns[i] = (struct pg_column){ text[i], PG_OID_TEXT, -1 };
		values[i] = choose(choices, 4) ? text[i] : NULL;
	}
	pg_build_row_description(out, columns, count);
	const uint8_t *body = expect_frame(out, PG_BACKEND_ROW_DESCRIPTION, &bytes);
	assert(bytes >= 2 && pg_load_u16(body) == count);
	pg_buffer_clear(out);
	pg_build_data_row(out, values, count);
	body = expect_frame(out, PG_BACKEND_DATA_ROW, &bytes);
	struct pg_reader reader;
	pg_reader_init(&reader, body, bytes);
	assert(pg_reader_u16(&reader) == count);
	for (size_t i = 0; i < count; i++) {
		uint32_t length = pg_reader_u32(&reader);
		assert(length == (values[i] ? strlen(values[i]) : UINT32_MAX));
		if (values[i])
			assert(strncmp((const char *)pg_reader_bytes(&reader, length), values[i], length) == 0);
	}
	assert(pg_reader_done(&reader));
	for (size_t i = 0; i < 3; i++)
		free(text[i]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static void (*const tries[])(struct pg_buffer *, struct choices *) = { try_error, try_parameter, try_key,
									       try_text,  try_sasl,      try_table };
	struct choices choices = { data, data + size };
	unsigned which = choose(&choices, 7);
	struct pg_buffer out = PG_BUFFER_EMPTY;

	if (which < sizeof(tries) / sizeof(tries[0]))
		tries[which](&out, &choices);
	else
		round_trip(&choices);
	pg_buffer_clear(&out);
	return 0;
}
