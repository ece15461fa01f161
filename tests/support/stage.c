#include "tests/support/stage.h"

struct stage stage;

/* ---- the cluster for all tests of a case ---- */

static void open_cluster(void)
{
	cluster_open(&stage.cluster);
}

static void close_cluster(void)
{
	cluster_close(&stage.cluster);
}

/* ---- each test ---- */

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

/* A child of the test itself: who harms it must also be able to wait for it. */
static void set_up_own(void)
{
	cluster_open_own(&stage.cluster);
	set_up();
}

static void tear_down_own(void)
{
	tear_down();
	cluster_close(&stage.cluster);
}

TCase *stage_case(const char *name, double seconds)
{
	TCase *tcase = tcase_create(name);

	tcase_set_timeout(tcase, seconds);
	tcase_add_unchecked_fixture(tcase, open_cluster, close_cluster);
	tcase_add_checked_fixture(tcase, set_up, tear_down);
	return tcase;
}

TCase *stage_case_with_own_cluster(const char *name, double seconds)
{
	TCase *tcase = tcase_create(name);

	tcase_set_timeout(tcase, seconds);
	tcase_add_checked_fixture(tcase, set_up_own, tear_down_own);
	return tcase;
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
