#define _GNU_SOURCE 1 /* asprintf */

#include "tests/differential/every_script.h"

#include <glob.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tests/differential/differ.h"
#include "tests/support/clock.h"

static struct cluster cluster;
static char **paths; /* of the scripts */
static size_t path_count;
static uint64_t seed;
static bool session;

static void set_up(void)
{
	cluster_open(&cluster);
}

static void tear_down(void)
{
	cluster_close(&cluster);
}

static void try_it(struct place *place, const struct script *script, const struct talk *reference, struct trial trial)
{
	static const enum cut cuts[] = { CUT_WHOLE, CUT_RANDOM, CUT_BYTES };

	trial.patience_ms = PATIENCE_MS;
	for (unsigned workers = 0; workers < 2; workers++)
		for (size_t i = 0; i < sizeof(cuts) / sizeof(cuts[0]); i++) {
			trial.cut = cuts[i];
			trial.way.workers = workers;
			/* The sockets of a server are split too, for some. */
			trial.way.split = cuts[i] != CUT_WHOLE && workers == (i & 1);
			trial.seed = seed++;
			char *difference = differ_trial(place, script, reference, &trial);
			ck_assert_msg(!difference, "%s", difference);
		}
}

/* Several clients at a time need several servers; one shares the only one with somebody else. */
static void try_mode(struct place *place, const struct script *script, const struct talk *reference)
{
	bool several = script->clients > 1;

	if (several || !session)
		try_it(place, script, reference, (struct trial){ .way = { .session = session, .wide = true } });
	if (!several)
		try_it(place, script, reference, (struct trial){ .way = { .session = session }, .neighbour = true });
}

START_TEST(the_answers_are_the_same)
{
	struct place place;
	struct script script;
	struct talk reference;

	script_load(&script, paths[_i]);
	ck_assert_msg(session ? script.session : script.transaction, "%s: modes stands in the first line", script.name);
	place_open(&place, &cluster);
	bool good = differ_reference(&place, &script, &reference, PATIENCE_MS);
	ck_assert_msg(good, "%s makes no sense to PostgreSQL: %s", script.name, reference.failure);
	try_mode(&place, &script, &reference);
	talk_clear(&reference);
	script_clear(&script);
	place_close(&place);
}
END_TEST

/* Only those which may run in this mode: a test that does nothing would count as one that has passed. Scripts are not parsed
 * here, where Check is not ready to hear of what is wrong with them. */
static void keep_path(const char *path)
{
	const char *other = session ? "\nmodes transaction\n" : "\nmodes session\n";

	if (file_contains(path, other))
		return;
	paths = realloc(paths, (path_count + 1) * sizeof(*paths));
	paths[path_count++] = strdup(path);
}

static void find_paths(const char *pattern)
{
	glob_t found;
	char *path;

	if (asprintf(&path, SOURCE_DIRECTORY "/tests/differential/scripts/%s.script", pattern) < 0)
		abort();
	if (glob(path, 0, NULL, &found) != 0) {
		printf("no script %s\n", path);
		exit(EXIT_FAILURE);
	}
	for (size_t i = 0; i < found.gl_pathc; i++)
		keep_path(found.gl_pathv[i]);
	globfree(&found);
	free(path);
}

Suite *every_script_suite(const char *name, bool for_session)
{
	Suite *suite = suite_create(name);
	TCase *tcase = tcase_create(name);
	const char *given = getenv("DIFFERENTIAL_SEED"), *pattern = getenv("DIFFERENTIAL_SCRIPTS");

	session = for_session;
	seed = given ? strtoull(given, NULL, 10) : 1;
	find_paths(pattern ? pattern : "*");
	tcase_set_timeout(tcase, 180);
	tcase_add_unchecked_fixture(tcase, set_up, tear_down);
	tcase_add_loop_test(tcase, the_answers_are_the_same, 0, (int)path_count);
	suite_add_tcase(suite, tcase);
	return suite;
}
