/* Random conversations, each said to PostgreSQL and through pgweir. One that differs is made as short as it gets, and shown
 * as a script that may be put into tests/differential/scripts. */
#define _GNU_SOURCE 1 /* asprintf */

#include <check.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/differential/differ.h"
#include "tests/differential/generate.h"
#include "tests/differential/shrink.h"
#include "tests/support/clock.h"

/* What make test has time for. */
#define USUAL_COUNT 480
#define BLOCKS 8
/* While it is shrunk: long enough for a machine that is busy, and short enough for hundreds that hang. */
#define SHRINK_PATIENCE_MS 1500
#define SHRINK_MS 120000

Suite *random_suite(void);

static struct cluster cluster;
static uint64_t first_seed;
static unsigned count;

static void set_up(void)
{
	cluster_open(&cluster);
}

static void tear_down(void)
{
	cluster_close(&cluster);
}

/* ---- one conversation ---- */

struct setting {
	struct place *place;
	struct trial trial;
};

/* Everything that is not the script follows from the seed, too. */
static void choose_trial(struct trial *trial, uint64_t seed)
{
	struct random random = { seed ^ 0x7269616cu };

	*trial = (struct trial){
		.way = { .session = random_percent(&random, 40), .workers = random_percent(&random, 40) },
		.cut = (enum cut)random_below(&random, 3),
		.seed = seed,
		.patience_ms = PATIENCE_MS,
	};
	trial->neighbour = random_percent(&random, 60);
	trial->way.split = random_percent(&random, 40);
	trial->way.wide = !trial->neighbour && random_percent(&random, 30);
}

/* NULL, or what is different. */
static char *try_once(struct place *place, const struct script *script, const struct trial *trial)
{
	struct talk reference;
	char *difference = NULL;

	if (differ_reference(place, script, &reference, PATIENCE_MS))
		difference = differ_trial(place, script, &reference, trial);
	talk_clear(&reference);
	return difference;
}

/* A pgweir that has failed may be in any state: another one comes for the next. */
static bool still_fails(void *context, const struct script *script)
{
	struct setting *setting = context;

	for (int i = 0; i < 3; i++) {
		char *difference = try_once(setting->place, script, &setting->trial);
		if (!difference)
			continue;
		free(difference);
		place_renew(setting->place);
		return true;
	}
	return false;
}

/* The plainest way in which it still fails. */
static void simplify_trial(struct setting *setting, const struct script *script)
{
	struct trial plain = setting->trial;
	struct trial *const trial = &setting->trial;

	trial->cut = CUT_WHOLE;
	if (!still_fails(setting, script))
		trial->cut = plain.cut;
	trial->neighbour = false;
	if (!still_fails(setting, script))
		trial->neighbour = plain.neighbour;
	trial->way.split = false;
	if (!still_fails(setting, script))
		trial->way.split = plain.way.split;
	trial->way.workers = false;
	if (!still_fails(setting, script))
		trial->way.workers = plain.way.workers;
}

static void report(struct place *place, struct script *script, const struct trial *trial, char *first)
{
	struct setting setting = { place, *trial };

	setting.trial.patience_ms = SHRINK_PATIENCE_MS;
	place_renew(place);
	simplify_trial(&setting, script);
	shrink_script(script, still_fails, &setting, now_ms() + SHRINK_MS);
	char *shortest = NULL;
	for (int i = 0; i < 5 && !shortest; i++)
		shortest = try_once(place, script, &setting.trial);
	char *text = script_text(script);
	ck_abort_msg("%s\nThe shortest that was found to fail (%s):\n\n# %s, %s%s\n%s\nIt is repeated by "
		     "DIFFERENTIAL_SEED=%" PRIu64 " DIFFERENTIAL_COUNT=1. At first:\n%s",
		     script->name, shortest ? "always or often" : "but not when it was tried again",
		     way_name(&setting.trial.way), cut_name(setting.trial.cut),
		     setting.trial.neighbour ? ", with another client" : "", text, trial->seed,
		     shortest ? shortest : first);
}

static void try_seed(struct place *place, uint64_t seed)
{
	struct script script;
	struct trial trial;
	struct talk reference;

	choose_trial(&trial, seed);
	generate_script(&script, seed, trial.way.session);
	bool good = differ_reference(place, &script, &reference, PATIENCE_MS);
	ck_assert_msg(good, "%s makes no sense to PostgreSQL: %s", script.name, reference.failure);
	char *difference = differ_trial(place, &script, &reference, &trial);
	talk_clear(&reference);
	if (difference)
		report(place, &script, &trial, difference);
	script_clear(&script);
}

START_TEST(random_answers_are_the_same)
{
	struct place place;
	unsigned begin = (unsigned)((uint64_t)count * (unsigned)_i / BLOCKS);
	unsigned end = (unsigned)((uint64_t)count * ((unsigned)_i + 1) / BLOCKS);

	place_open(&place, &cluster);
	for (unsigned i = begin; i < end; i++)
		try_seed(&place, first_seed + i);
	place_close(&place);
}
END_TEST

Suite *random_suite(void)
{
	Suite *suite = suite_create("random");
	TCase *tcase = tcase_create("random");
	const char *given_seed = getenv("DIFFERENTIAL_SEED"), *given_count = getenv("DIFFERENTIAL_COUNT");

	first_seed = given_seed ? strtoull(given_seed, NULL, 10) : 1;
	count = given_count ? (unsigned)strtoul(given_count, NULL, 10) : USUAL_COUNT;
	/* Time to shrink, and with more than usual as long as it takes. */
	tcase_set_timeout(tcase, count > USUAL_COUNT ? 0 : 400);
	tcase_add_unchecked_fixture(tcase, set_up, tear_down);
	tcase_add_loop_test(tcase, random_answers_are_the_same, 0, BLOCKS);
	suite_add_tcase(suite, tcase);
	return suite;
}
