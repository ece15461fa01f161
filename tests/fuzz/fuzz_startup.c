/*
 * The first packet of a connection, cut at every place, and the `options` string in it. What parses is built again and
 * parses to the same.
 */
#include "protocol/reader.h"
#include "protocol/startup.h"
#include "tests/fuzz/fuzz.h"

static void expect_within(const uint8_t *data, size_t size, const uint8_t *at, size_t bytes)
{
	assert(at >= data && bytes <= size && (size_t)(at - data) <= size - bytes);
}

/* The pairs that pg_startup_parse_options has appended: strings, two by two. */
static void expect_pairs(const struct pg_buffer *pairs)
{
	struct pg_reader reader;

	pg_reader_init(&reader, pairs->data, pairs->length);
	while (pg_reader_left(&reader) > 0) {
		const char *name = pg_reader_string(&reader);
		pg_reader_string(&reader);
		assert(*name && !strchr(name, '-') && !reader.failed);
	}
}

static void try_options(const char *options)
{
	struct pg_buffer pairs = PG_BUFFER_EMPTY;
	char error[40] = "";

	pg_buffer_put_string(&pairs, "before");
	size_t before = pairs.length;
	if (pg_startup_parse_options(options, &pairs, error, sizeof(error)) == PG_OK) {
		pg_buffer_consume(&pairs, before);
		expect_pairs(&pairs);
	} else {
		assert(pairs.length == before && strlen(error) > 0 && strlen(error) < sizeof(error));
	}
	pg_buffer_clear(&pairs);
}

/* Walks the pairs, and builds a packet of the same ones. */
static void rebuild_session(const struct pg_startup *startup)
{
	const char *name, *value;
	size_t at = 0, walked = 0;
	struct pg_buffer out = PG_BUFFER_EMPTY;
	struct pg_startup again;

	while (pg_startup_next(startup, &at, &name, &value) == PG_OK) {
		expect_within(startup->parameters, startup->parameters_bytes, (const uint8_t *)name, 1);
		assert(*name);
		walked += strlen(name) + strlen(value) + 2;
		if (strcmp(name, "options") == 0)
			try_options(value);
	}
	assert(walked == startup->parameters_bytes);
	pg_startup_put_session(&out, "u", NULL, startup->parameters, startup->parameters_bytes);
	/* The user's name makes it longer: it may be just too long now. */
	if (!out.failed) {
		assert(pg_startup_parse(out.data, out.length, &again) == PG_OK && again.kind == PG_STARTUP_SESSION);
		assert(again.total_bytes == out.length && again.parameters_bytes >= startup->parameters_bytes);
	}
	pg_buffer_clear(&out);
}

static void rebuild_cancel(const uint8_t *data, const struct pg_startup *startup)
{
	struct pg_buffer out = PG_BUFFER_EMPTY;

	assert(startup->key_bytes >= 1 && startup->key_bytes <= PG_CANCEL_KEY_BYTES_MAX);
	pg_startup_put_cancel(&out, startup->process_id, startup->key, startup->key_bytes);
	assert(!out.failed && out.length == startup->total_bytes && memcmp(out.data, data, out.length) == 0);
	pg_buffer_clear(&out);
}

/* A beginning of a good packet asks for more, wherever it ends. */
static void try_prefixes(const uint8_t *data, size_t total)
{
	size_t step = total / 64 + 1;

	for (size_t size = 0; size < total; size += step) {
		struct pg_startup startup;
		uint8_t *prefix = fuzz_copy(data, size);
		assert(pg_startup_parse(prefix, size, &startup) == PG_MORE);
		free(prefix);
	}
}

static void try_packet(const uint8_t *data, size_t size)
{
	struct pg_startup startup;
	uint8_t *packet = fuzz_copy(data, size);

	if (pg_startup_parse(packet, size, &startup) == PG_OK) {
		assert(startup.total_bytes >= 8 && startup.total_bytes <= size);
		assert(startup.total_bytes <= PG_STARTUP_BYTES_MAX);
		try_prefixes(packet, startup.total_bytes);
		if (startup.kind == PG_STARTUP_CANCEL_REQUEST)
			rebuild_cancel(packet, &startup);
		else if (startup.kind == PG_STARTUP_SESSION && startup.major == PG_PROTOCOL_MAJOR)
			rebuild_session(&startup);
		else
			assert(startup.kind != PG_STARTUP_SESSION || !startup.parameters);
	}
	free(packet);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *options = fuzz_string(data, size);

	try_packet(data, size);
	try_options(options);
	free(options);
	return 0;
}
