#include "tests/support/stage.h"

struct stage stage;

static void open_cluster(void)
{
	cluster_open(&stage.cluster);
}

static void open_own_cluster(void)
{
	cluster_open_own(&stage.cluster);
}

static void close_cluster(void)
{
	cluster_close(&stage.cluster);
}

static void set_up(void)
{
	cluster_create_database(&stage.cluster, stage.database);
	stage.super = cluster_connect(&stage.cluster, "postgres");
}

static void tear_down(void)
{
	if (stage.weir.process.pid)
		stage_stop();
	PQfinish(stage.super);
	cluster_drop_database(&stage.cluster, stage.database);
}

static TCase *make_case(const char *name, double seconds, SFun open)
{
	TCase *tcase = tcase_create(name);

	tcase_set_timeout(tcase, seconds);
	tcase_add_unchecked_fixture(tcase, open, close_cluster);
	tcase_add_checked_fixture(tcase, set_up, tear_down);
	return tcase;
}

TCase *stage_case(const char *name, double seconds)
{
	return make_case(name, seconds, open_cluster);
}

TCase *stage_case_with_own_cluster(const char *name, double seconds)
{
	return make_case(name, seconds, open_own_cluster);
}

void stage_start(const char *mode, int pool_size, const char *more)
{
	weir_start_pool(&stage.weir, &stage.cluster, stage.database, mode, pool_size, more);
}

void stage_stop(void)
{
	weir_stop(&stage.weir);
}

PGconn *stage_direct(void)
{
	return sql_connect("host=%s port=%u user=u_trust dbname=%s", stage.cluster.host, stage.cluster.port,
			   stage.database);
}
