/*
 * A network that is slow, that cuts messages into pieces, that loses connections or stands still: on the clients' side of
 * pgweir and on the server's.
 */
#include <stdio.h>

#include "tests/faults/scene.h"
#include "tests/support/clock.h"

Suite *network_suite(void);

#define CLIENTS 12

enum side { FRONT, BACK, SIDES };

static const char *const side_names[SIDES] = { "clients' side", "server's side" };

static struct middle *start(const char *what, enum side side)
{
	char fault[sizeof(scene.fault)];

	snprintf(fault, sizeof(fault), "%s, %s", what, side_names[side]);
	scene_start(&(struct scene_options){
		.fault = fault, .clients = CLIENTS, .front = side == FRONT, .back = side == BACK });
	return side == FRONT ? scene.front : scene.back;
}

/* It is slow, and no fault: nobody loses anything, and everyone gets on. */
static void work_with(struct middle *middle, const struct middle_way *way, uint64_t commits)
{
	struct ledger_counts before = ledger_count(scene.ledger);

	middle_set(middle, MIDDLE_BOTH, way);
	ck_assert(ledger_goes_on(scene.ledger, commits, 4 * PATIENCE_MS));
	middle_set(middle, MIDDLE_BOTH, &(struct middle_way){ .piece_bytes = 0 });
	struct ledger_counts after = ledger_count(scene.ledger);
	ck_assert_uint_eq(after.connects, before.connects);
	ck_assert_uint_eq(after.unknown, 0);
}

START_TEST(everything_comes_in_pieces)
{
	static const size_t pieces[] = { 1, 7, 100 };
	struct middle *middle = start("in pieces", (enum side)_i);

	for (size_t i = 0; i < sizeof(pieces) / sizeof(pieces[0]); i++)
		work_with(middle, &(struct middle_way){ .piece_bytes = pieces[i] }, 2);
	scene_recovers();
	scene_end();
}
END_TEST

START_TEST(everything_comes_late)
{
	struct middle *middle = start("20 ms late", (enum side)_i);

	work_with(middle, &(struct middle_way){ .delay_ms = 20, .piece_bytes = 500 }, 2);
	scene_recovers();
	scene_end();
}
END_TEST

/* In the middle of messages and of transactions, of logins too. */
static void lose_connections(struct middle *middle, enum middle_end how, int ms)
{
	for (int64_t deadline = now_ms() + ms; now_ms() < deadline; pause_ms(50)) {
		middle_set_life(middle, 8000, how);
		middle_end(middle, 8, how);
	}
	middle_set_life(middle, 0, how);
	ck_assert_uint_gt(middle_count_ended(middle), CLIENTS);
}

START_TEST(connections_are_cut)
{
	struct middle *middle = start("cut", (enum side)_i);

	lose_connections(middle, MIDDLE_CUT, all_faults() ? 4000 : 1500);
	scene_recovers();
	scene_end();
}
END_TEST

START_TEST(connections_are_reset)
{
	struct middle *middle = start("reset", (enum side)_i);

	lose_connections(middle, MIDDLE_RESET, all_faults() ? 4000 : 1500);
	scene_recovers();
	scene_end();
}
END_TEST

/* Loop: the side, and the direction. */
START_TEST(one_direction_stands_still)
{
	enum middle_direction direction = _i / SIDES ? MIDDLE_DOWN : MIDDLE_UP;
	struct middle *middle = start(direction == MIDDLE_UP ? "stalled up" : "stalled down", (enum side)(_i % SIDES));
	struct ledger_counts before = ledger_count(scene.ledger);

	middle_set(middle, direction, &(struct middle_way){ .stalled = true });
	pause_ms(2000);
	middle_set(middle, direction, &(struct middle_way){ .stalled = false });
	scene_recovers();
	/* Two seconds are no reason to give anything up. */
	struct ledger_counts after = ledger_count(scene.ledger);
	ck_assert_uint_eq(after.unknown, before.unknown);
	ck_assert_uint_eq(after.connects, before.connects);
	scene_end();
}
END_TEST

START_TEST(new_connections_are_reset_at_once)
{
	struct middle *middle = start("slammed door", (enum side)_i);

	middle_set_door(middle, MIDDLE_SLAMMED);
	middle_end(middle, 1, MIDDLE_RESET);
	ck_assert(eventually(middle_count_all(middle) > 2 * CLIENTS));
	middle_set_door(middle, MIDDLE_OPEN);
	scene_recovers();
	scene_end();
}
END_TEST

static void make_trouble(struct middle *middle, uint64_t chance)
{
	middle_set(middle, (enum middle_direction)(chance % 2),
		   &(struct middle_way){ .delay_ms = (int64_t)(chance / 2 % 3 * 10),
					 .piece_bytes = chance / 6 % 4 * 20,
					 .stalled = chance / 24 % 5 == 0 });
	middle_set_life(middle, chance / 120 % 2 ? 20000 : 0, chance / 240 % 2 ? MIDDLE_CUT : MIDDLE_RESET);
	if (chance / 480 % 4 == 0)
		middle_end(middle, 4, chance / 1920 % 2 ? MIDDLE_CUT : MIDDLE_RESET);
	middle_set_door(middle, chance / 3840 % 8 == 0 ? MIDDLE_SLAMMED : MIDDLE_OPEN);
}

static void end_trouble(struct middle *middle)
{
	middle_set_door(middle, MIDDLE_OPEN);
	middle_set_life(middle, 0, MIDDLE_CUT);
	middle_set(middle, MIDDLE_BOTH, &(struct middle_way){ .piece_bytes = 0 });
}

/* The loop is the seed. */
START_TEST(anything_on_both_sides)
{
	uint64_t chance = (uint64_t)_i + 1;

	scene_start(&(struct scene_options){ .fault = "anything, both sides",
					     .clients = CLIENTS,
					     .front = true,
					     .back = true,
					     .more = "workers = 2;" });
	for (int64_t deadline = now_ms() + 6000; now_ms() < deadline; pause_ms(30)) {
		chance = chance * 6364136223846793005u + 1442695040888963407u;
		make_trouble(chance >> 63 ? scene.front : scene.back, chance >> 20 & 0xfffffff);
	}
	end_trouble(scene.front);
	end_trouble(scene.back);
	scene_recovers();
	scene_end();
}
END_TEST

Suite *network_suite(void)
{
	Suite *suite = suite_create("network");
	TCase *tcase = stage_case("network", 180);

	tcase_add_loop_test(tcase, everything_comes_in_pieces, 0, all_faults() ? SIDES : 1);
	tcase_add_loop_test(tcase, connections_are_cut, 0, SIDES);
	if (all_faults()) {
		tcase_add_loop_test(tcase, everything_comes_late, 0, SIDES);
		tcase_add_loop_test(tcase, connections_are_reset, 0, SIDES);
		tcase_add_loop_test(tcase, one_direction_stands_still, 0, 2 * SIDES);
		tcase_add_loop_test(tcase, new_connections_are_reset_at_once, 0, SIDES);
		tcase_add_loop_test(tcase, anything_on_both_sides, 0, 3);
	}
	suite_add_tcase(suite, tcase);
	return suite;
}
