#include "tests/support/pgbench.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/directory.h"
#include "tests/support/sql.h"

#define RUN_TIMEOUT_MS 180000
#define ARGUMENTS_MAX 40

void pgbench_create_tables(const struct cluster *cluster, const char *database, int scale)
{
	char program[300], port[16], scale_text[16], directory[200], output[256];

	directory_create(directory, sizeof(directory), "pgbench");
	snprintf(program, sizeof(program), "%s/pgbench", cluster->program);
	snprintf(output, sizeof(output), "%s/log", directory);
	snprintf(port, sizeof(port), "%u", cluster->port);
	snprintf(scale_text, sizeof(scale_text), "%d", scale);
	int status = child_run((const char *[]){ program, "-i", "-q", "-s", scale_text, "-h", cluster->host, "-p", port,
						 "-U", "u_trust", database, NULL },
			       NULL, output, RUN_TIMEOUT_MS);
	ck_assert_msg(status == 0, "pgbench -i failed: %s", file_text(output));
	directory_remove(directory);
}

/* pgbench ends with 0 although clients of it were aborted, so its words are read too. */
static void judge(const char *output, int status, const struct pgbench *bench)
{
	char expected[128];
	char *text = file_text(output);
	int all = bench->clients * bench->transactions;

	snprintf(expected, sizeof(expected), "number of transactions actually processed: %d/%d\n", all, all);
	ck_assert_msg(status == 0 && strstr(text, expected) && !strstr(text, "aborted") && !strstr(text, "error"),
		      "pgbench ended with %#x, expected \"%s\": %s", (unsigned)status, expected, text);
	free(text);
}

void pgbench_run(const struct cluster *cluster, const struct weir *weir, const struct pgbench *bench)
{
	char program[300], port[16], clients[16], transactions[16], directory[200], script[256], output[256];
	const char *argv[ARGUMENTS_MAX] = { program, "-n", "-h", "127.0.0.1", "-p",    port, "-U",
					    "bench", "-j", "2",  "-c",        clients, "-t", transactions };
	size_t count = 14;

	directory_create(directory, sizeof(directory), "pgbench");
	snprintf(program, sizeof(program), "%s/pgbench", cluster->program);
	snprintf(port, sizeof(port), "%u", weir->port);
	snprintf(clients, sizeof(clients), "%d", bench->clients);
	snprintf(transactions, sizeof(transactions), "%d", bench->transactions);
	snprintf(script, sizeof(script), "%s/script", directory);
	snprintf(output, sizeof(output), "%s/log", directory);
	for (size_t i = 0; bench->arguments && bench->arguments[i]; i++)
		argv[count++] = bench->arguments[i];
	if (bench->script) {
		file_write(script, bench->script);
		argv[count++] = "-f";
		argv[count++] = script;
	}
	argv[count++] = "app";
	ck_assert_uint_lt(count, ARGUMENTS_MAX);
	int status = child_run(argv, NULL, output, RUN_TIMEOUT_MS);
	judge(output, status, bench);
	directory_remove(directory);
}
