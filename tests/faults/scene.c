#include "tests/faults/scene.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/support/clock.h"

/* "Within seconds": the pause between attempts to log in to the server (1 s, below) is the most of it. */
#define RECOVERY_MS 15000

struct scene scene;

static char conninfo[200];

bool all_faults(void)
{
	const char *wanted = getenv("FAULTS");

	return wanted && strcmp(wanted, "all") == 0;
}

/* ---- begin ---- */

static void configure(const struct scene_options *options)
{
	weir_configure(&stage.weir,
		       "auth_type = \"trust\";\n"
		       "admin_users = [ \"ops\" ];\n"
		       "max_client_conn = 4000;\n"
		       "pool_mode = \"transaction\";\n"
		       "query_wait_timeout = 5;\n"
		       "server_connect_timeout = \"1500ms\";\n"
		       "server_login_retry = 1;\n"
		       "databases = ( { name = \"app\"; pool_size = %d;\n"
		       "\tconninfo = \"host=127.0.0.1 port=%u dbname=%s user=u_trust\"; } );\n"
		       "%s",
		       options->pool_size ? options->pool_size : 6,
		       scene.back ? middle_port(scene.back) : stage.cluster.port, stage.database,
		       options->more ? options->more : "");
}

static void launch(const struct scene_options *options)
{
	weir_prepare(&stage.weir);
	if (options->log)
		snprintf(stage.weir.log, sizeof(stage.weir.log), "%s", options->log);
	if (options->back)
		scene.back = middle_open(stage.cluster.port, 1);
	configure(options);
	ck_assert_msg(weir_launch(&stage.weir), "pgweir does not start");
	if (options->front)
		scene.front = middle_open(stage.weir.port, 2);
	scene.console = weir_console(&stage.weir);
	scene.descriptors = process_descriptors(stage.weir.process.pid);
}

static PGconn *connect_past(void)
{
	return cluster_connect(&stage.cluster, stage.database);
}

void scene_start(const struct scene_options *options)
{
	PGconn *super = connect_past();

	memset(&scene, 0, sizeof(scene));
	snprintf(scene.fault, sizeof(scene.fault), "%s", options->fault);
	ledger_prepare(super);
	PQfinish(super);
	launch(options);
	if (!options->clients)
		return;
	snprintf(conninfo, sizeof(conninfo), "host=127.0.0.1 port=%u dbname=app user=app_user",
		 scene.front ? middle_port(scene.front) : stage.weir.port);
	scene.ledger = ledger_start(conninfo, options->clients, 3);
	ck_assert_msg(ledger_goes_on(scene.ledger, 2, PATIENCE_MS), "the ledger does not begin");
}

/* ---- after the fault ---- */

bool scene_is_served(void)
{
	PGconn *client =
		sql_try_connect("host=127.0.0.1 port=%u dbname=app user=late connect_timeout=5", stage.weir.port);
	PGresult *result = PQexec(client, "SELECT 1");
	bool served = PQresultStatus(result) == PGRES_TUPLES_OK;

	PQclear(result);
	PQfinish(client);
	return served;
}

/* One line for each fault, where somebody wants to see them: make faults does. */
static void tell(int64_t new_client_ms, int64_t all_ms)
{
	const char *path = getenv("FAULTS_FIGURES");
	FILE *file = path ? fopen(path, "ae") : NULL;

	if (!file)
		return;
	struct ledger_counts counts = ledger_count(scene.ledger);
	fprintf(file,
		"%-44s new client %5lld ms, all %5lld ms; %6llu committed %5llu refused %4llu unknown; longest wait %lld ms\n",
		scene.fault, (long long)new_client_ms, (long long)all_ms, (unsigned long long)counts.committed,
		(unsigned long long)counts.refused, (unsigned long long)counts.unknown, (long long)counts.longest_ms);
	fclose(file);
}

void scene_recovers(void)
{
	int64_t begin = now_ms();

	while (!scene_is_served())
		ck_assert_msg(now_ms() < begin + RECOVERY_MS, "no new client is served for %d ms", RECOVERY_MS);
	int64_t new_client_ms = now_ms() - begin;
	if (!scene.ledger)
		return;
	ck_assert_msg(ledger_goes_on(scene.ledger, 2, RECOVERY_MS), "a client of the ledger does not recover");
	tell(new_client_ms, now_ms() - begin);
}

/* ---- end ---- */

int64_t scene_pool_count(const char *column)
{
	return strtoll(weir_show(scene.console, "POOLS", "database", "app", column), NULL, 10);
}

static bool is_at_rest(void)
{
	static const char *const columns[] = { "cl_active", "cl_waiting", "cl_active_cancel_req", "sv_active",
					       "sv_tested", "sv_login",   "sv_closing",           "sv_being_canceled" };

	for (size_t i = 0; i < sizeof(columns) / sizeof(columns[0]); i++)
		if (scene_pool_count(columns[i]) != 0)
			return false;
	return true;
}

static bool has_only_its_descriptors(void)
{
	int servers = (int)scene_pool_count("sv_idle");

	return process_descriptors(stage.weir.process.pid) == scene.descriptors + servers;
}

static void check_ledger(void)
{
	PGconn *super = connect_past();
	char why[LEDGER_WHY_BYTES];

	ck_assert_msg(ledger_check(scene.ledger, super, why), "%s", why);
	ck_assert_uint_gt(ledger_count(scene.ledger).committed, 0);
	ledger_free(scene.ledger);
	PQfinish(super);
}

void scene_end(void)
{
	char why[LEDGER_WHY_BYTES];

	if (scene.ledger) {
		ck_assert_msg(ledger_stop(scene.ledger, why), "%s", why);
		check_ledger();
	}
	ck_assert_msg(child_is_running(&stage.weir.process), "pgweir has died: wait status %#x",
		      (unsigned)stage.weir.process.status);
	ck_assert_msg(eventually(is_at_rest()), "SHOW POOLS: cl_active %lld, cl_waiting, sv_active ... should be 0",
		      (long long)scene_pool_count("cl_active"));
	ck_assert_msg(eventually(has_only_its_descriptors()), "%d descriptors, and %d servers; without both it had %d",
		      process_descriptors(stage.weir.process.pid), (int)scene_pool_count("sv_idle"), scene.descriptors);
	PQfinish(scene.console);
	if (scene.front)
		middle_close(scene.front);
	if (scene.back)
		middle_close(scene.back);
}
