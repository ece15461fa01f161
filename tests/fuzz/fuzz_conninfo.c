/*
 * Connection strings, alone and with the options that stand beside them. What is accepted is printed without its password,
 * and what was printed reads as the same.
 */
#include "pooler/conninfo.h"
#include "protocol/message.h"
#include "tests/fuzz/fuzz.h"

#define ERROR_BYTES 256

static void expect_sound(const struct conninfo *conninfo)
{
	assert(conninfo->host_count >= 1 && conninfo->host_count <= CONNINFO_HOSTS_MAX);
	for (size_t i = 0; i < conninfo->host_count; i++) {
		const struct conninfo_host *host = &conninfo->hosts[i];
		assert(host->host && *host->host && host->port != 0);
		assert(!host->hostaddr || (*host->hostaddr && !host->is_local));
		assert(host->is_local || strlen(host->host) <= CONNINFO_HOST_BYTES_MAX);
	}
	assert(!conninfo->dbname || strlen(conninfo->dbname) <= PG_NAME_BYTES_MAX);
	assert(!conninfo->user || strlen(conninfo->user) <= PG_NAME_BYTES_MAX);
	assert(!conninfo->password || strlen(conninfo->password) <= CONNINFO_PASSWORD_BYTES_MAX);
}

static void print_and_read(struct conninfo *conninfo)
{
	struct pg_buffer printed = PG_BUFFER_EMPTY;
	struct conninfo again;
	char error[ERROR_BYTES];

	conninfo_print(conninfo, &printed);
	pg_buffer_put_u8(&printed, 0);
	assert(!printed.failed);
	assert(conninfo_parse(&again, (const char *)printed.data, NULL, error, sizeof(error)));
	if (conninfo->password) {
		assert(strcmp(again.password, "***") == 0);
		free(again.password);
		again.password = strdup(conninfo->password);
	}
	assert(conninfo_equal(conninfo, &again));
	conninfo_clear(&again);
	pg_buffer_clear(&printed);
}

static void try_one(const char *text, const struct conninfo_parts *parts)
{
	struct conninfo conninfo;
	char error[ERROR_BYTES] = "";

	if (conninfo_parse(&conninfo, text, parts, error, sizeof(error))) {
		expect_sound(&conninfo);
		print_and_read(&conninfo);
	} else {
		assert(*error && strlen(error) < sizeof(error) && !conninfo.hosts && !conninfo.password);
	}
	conninfo_clear(&conninfo);
}

/* The input is up to six strings: the connection string, and what stands beside it. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = fuzz_string(data, size);
	const char *part[6] = { text };
	const char *end = text + size;
	struct conninfo_parts parts;

	for (int i = 1; i < 6; i++) {
		const char *next = part[i - 1] ? part[i - 1] + strlen(part[i - 1]) + 1 : end;
		part[i] = next < end ? next : NULL;
	}
	try_one(text, NULL);
	parts = (struct conninfo_parts){ part[1], part[2], part[3], part[4], part[5] };
	if (part[1])
		try_one(text, &parts);
	free(text);
	return 0;
}
