/*
 * The pool's rules one by one, each as small as it gets. Their interplay is test_pool_simulation's.
 */
#include <check.h>

#include "pooler/pool.h"

Suite *pool_suite(void);

#define MS 1000ull
#define SECOND (1000 * MS)

static struct pool pool;
static struct pool_policy policy;
static struct pool_member members[8];
static struct pool_waiter waiters[8];
static uint64_t now_us;

/* Members and waiters 0 to 3 are worker 0's, 4 to 7 worker 1's. */
static void setup(void)
{
	now_us = 100 * SECOND;
	policy = (struct pool_policy){ .size = 4, .retry_us = SECOND };
	pool_init(&pool, &policy);
	for (uint32_t i = 0; i < 8; i++) {
		struct pool_handle handle = { (uint16_t)(i / 4), i, 7 };
		members[i] = (struct pool_member){ .handle = handle };
		waiters[i] = (struct pool_waiter){ .handle = handle };
	}
}

static enum pool_answer acquire(int waiter)
{
	return pool_acquire(&pool, &waiters[waiter], now_us).answer;
}

static enum pool_answer acquire_again(int waiter)
{
	return pool_acquire_again(&pool, &waiters[waiter], now_us).answer;
}

static enum pool_verdict release(int member)
{
	return pool_release(&pool, &members[member], now_us).verdict;
}

static bool remove_member(int member)
{
	return pool_remove(&pool, &members[member], false, now_us);
}

static bool fail_member(int member)
{
	return pool_remove(&pool, &members[member], true, now_us);
}

static bool open_due(bool warm)
{
	uint16_t worker = 0;

	return pool_open_due(&pool, warm, now_us, &worker);
}

/* Opened for a client of its own worker, which it serves. */
static void add_busy(int member)
{
	ck_assert_int_eq(acquire(member), POOL_OPEN);
	pool_attach(&pool, &members[member]);
	ck_assert_int_eq(release(member), POOL_GIVE);
}

static void rest(int member)
{
	ck_assert_int_eq(release(member), POOL_KEEP);
	now_us += MS;
}

static void set_size(uint32_t size)
{
	policy.size = size;
	pool_set_policy(&pool, &policy);
}

/* ---- opening and the bound ---- */

START_TEST(one_is_opened_for_each_who_waits_up_to_the_bound)
{
	for (int i = 0; i < 4; i++)
		ck_assert_int_eq(acquire(i), POOL_OPEN);
	ck_assert_int_eq(acquire(4), POOL_WAIT);
	for (int i = 0; i < 4; i++)
		pool_attach(&pool, &members[i]);
	struct pool_counts counts = pool_count(&pool);
	ck_assert_uint_eq(counts.opening, 4);
	ck_assert_uint_eq(counts.waiting, 5);
	ck_assert_uint_eq(counts.oldest_wait_us, now_us);
}
END_TEST

/* What is being opened for somebody who left, or was served meanwhile, serves the next. */
START_TEST(none_is_opened_while_enough_are_on_their_way)
{
	ck_assert_int_eq(acquire(0), POOL_OPEN);
	pool_leave(&pool, &waiters[0]);
	ck_assert_int_eq(acquire(1), POOL_WAIT);
	ck_assert_int_eq(acquire(2), POOL_OPEN);
}
END_TEST

START_TEST(a_closing_member_keeps_its_place)
{
	set_size(1);
	add_busy(0);
	pool_retire(&pool, &members[0]);
	ck_assert_uint_eq(pool_count(&pool).closing, 1);
	ck_assert_int_eq(acquire(1), POOL_WAIT);
	ck_assert(!open_due(false));
	ck_assert(remove_member(0));
	ck_assert_uint_eq(pool_count(&pool).opening, 1);
}
END_TEST

START_TEST(over_a_lowered_size_they_go_one_by_one)
{
	for (int i = 0; i < 3; i++)
		add_busy(i);
	set_size(2);
	ck_assert_int_eq(release(0), POOL_RETIRE);
	ck_assert_int_eq(release(1), POOL_KEEP); /* two are left, whether the first has ended or not */
	ck_assert_int_eq(acquire(3), POOL_TAKE);
	ck_assert_int_eq(acquire(0), POOL_WAIT);
	ck_assert(!remove_member(0));
	set_size(3);
	ck_assert(open_due(false));
	ck_assert(!open_due(false));
}
END_TEST

START_TEST(idle_ones_over_a_lowered_size_are_reaped_the_least_used_first)
{
	for (int i = 0; i < 3; i++)
		add_busy(i);
	for (int i = 2; i >= 0; i--)
		rest(i);
	set_size(2);
	ck_assert_ptr_null(pool_reap(&pool, 1, now_us));
	ck_assert_ptr_eq(pool_reap(&pool, 0, now_us), &members[2]);
	ck_assert_ptr_null(pool_reap(&pool, 0, now_us));
}
END_TEST

/* ---- who serves whom ---- */

START_TEST(the_most_recently_used_of_its_own_worker_serves)
{
	add_busy(0);
	add_busy(1);
	add_busy(4);
	rest(0);
	rest(1);
	rest(4);
	struct pool_decision decision = pool_acquire(&pool, &waiters[2], now_us);
	ck_assert_int_eq(decision.answer, POOL_TAKE);
	ck_assert_ptr_eq(decision.member, &members[1]);
	ck_assert_int_eq(waiters[2].waiting, POOL_NOT_WAITING);
}
END_TEST

START_TEST(another_worker_is_asked_for_its_most_recently_used)
{
	for (int i = 0; i < 3; i++) {
		members[i].handle.worker = (uint16_t)(i + 2);
		waiters[i].handle.worker = (uint16_t)(i + 2);
		add_busy(i);
	}
	rest(0);
	rest(2);
	rest(1);
	struct pool_decision decision = pool_acquire(&pool, &waiters[4], now_us);
	ck_assert_int_eq(decision.answer, POOL_ASK);
	ck_assert_uint_eq(decision.handle.worker, 3);
	ck_assert_uint_eq(decision.handle.slot, 1);
	ck_assert_uint_eq(decision.handle.generation, 7);
	ck_assert_int_eq(waiters[4].waiting, POOL_CLAIMED);
	ck_assert_int_eq(members[1].place, POOL_BUSY);
	pool_moved(&pool, &members[1], (struct pool_handle){ 1, 9, 1 });
	pool_arrived(&pool, &waiters[4]);
	ck_assert_int_eq(waiters[4].waiting, POOL_NOT_WAITING);
	rest(1);
	ck_assert_ptr_eq(pool_acquire(&pool, &waiters[5], now_us).member, &members[1]);
}
END_TEST

START_TEST(first_come_first_served_over_all_workers)
{
	set_size(1);
	add_busy(0);
	ck_assert_int_eq(acquire(4), POOL_WAIT);
	ck_assert_int_eq(acquire(1), POOL_WAIT);

	struct pool_release given = pool_release(&pool, &members[0], now_us);
	ck_assert_int_eq(given.verdict, POOL_GIVE);
	ck_assert_ptr_null(given.waiter);
	ck_assert_uint_eq(given.handle.worker, 1);
	ck_assert_uint_eq(given.handle.slot, 4);
	ck_assert_int_eq(waiters[4].waiting, POOL_CLAIMED);

	pool_leave(&pool, &waiters[4]);
	given = pool_release(&pool, &members[0], now_us);
	ck_assert_int_eq(given.verdict, POOL_GIVE);
	ck_assert_ptr_eq(given.waiter, &waiters[1]);
	ck_assert_int_eq(waiters[1].waiting, POOL_NOT_WAITING);
}
END_TEST

/* ---- broken claims ---- */

START_TEST(who_lost_a_claim_stands_in_front_again)
{
	set_size(2);
	add_busy(0);
	add_busy(1);
	now_us += SECOND;
	for (int i = 4; i < 8; i++)
		ck_assert_int_eq(acquire(i), POOL_WAIT);
	ck_assert_int_eq(release(0), POOL_GIVE); /* to 4 */
	ck_assert_int_eq(release(1), POOL_GIVE); /* to 5 */
	ck_assert(remove_member(1));
	ck_assert(remove_member(0));
	now_us += SECOND;
	ck_assert_int_eq(acquire_again(5), POOL_WAIT);
	ck_assert_int_eq(acquire_again(4), POOL_WAIT);
	ck_assert_uint_eq(pool_count(&pool).oldest_wait_us, now_us - SECOND);
	for (int i = 4; i < 6; i++) {
		pool_attach(&pool, &members[i]);
		ck_assert_ptr_eq(pool_release(&pool, &members[i], now_us).waiter, &waiters[i]);
	}
}
END_TEST

START_TEST(who_lost_a_claim_may_be_served_at_once)
{
	set_size(2);
	add_busy(0);
	add_busy(1);
	ck_assert_int_eq(acquire(4), POOL_WAIT);
	ck_assert_int_eq(release(0), POOL_GIVE);
	rest(1);
	ck_assert(!remove_member(0));
	struct pool_decision decision = pool_acquire_again(&pool, &waiters[4], now_us);
	ck_assert_int_eq(decision.answer, POOL_ASK);
	ck_assert_uint_eq(decision.handle.slot, 1);
	pool_retire(&pool, &members[1]); /* claimed meanwhile: it leaves all the same */
	ck_assert_int_eq(acquire_again(4), POOL_OPEN);
}
END_TEST

/* 88: nobody's place is lost with a waiter that leaves at the worst moment. */
START_TEST(a_member_that_finds_nobody_serves_the_next)
{
	set_size(1);
	add_busy(0);
	rest(0);
	ck_assert_int_eq(acquire(4), POOL_ASK);
	ck_assert_int_eq(acquire(5), POOL_WAIT);
	pool_leave(&pool, &waiters[4]);
	ck_assert_int_eq(waiters[4].waiting, POOL_NOT_WAITING);
	pool_leave(&pool, &waiters[4]);
	pool_moved(&pool, &members[0], (struct pool_handle){ 1, 9, 1 });
	ck_assert_ptr_eq(pool_release(&pool, &members[0], now_us).waiter, &waiters[5]);
}
END_TEST

/* ---- the end of a member ---- */

START_TEST(the_old_are_retired_when_they_are_free)
{
	policy.lifetime_us = 10 * SECOND;
	set_size(2);
	now_us += SECOND; /* it is as old as its login is long ago, not as its place */
	add_busy(0);
	now_us += 10 * SECOND - 1;
	rest(0);
	ck_assert_ptr_eq(pool_reap(&pool, 0, now_us), &members[0]);
	add_busy(1);
	ck_assert_int_eq(acquire(2), POOL_WAIT);
	now_us += 10 * SECOND;
	ck_assert_int_eq(release(1), POOL_RETIRE); /* although somebody waits */
	ck_assert(remove_member(1));
}
END_TEST

/* 85: the clock of the worker that it came from may be ahead. */
START_TEST(a_time_in_the_future_is_not_long_ago)
{
	policy.lifetime_us = policy.idle_timeout_us = SECOND;
	set_size(4);
	add_busy(0);
	now_us -= MS;
	rest(0);
	now_us -= 3 * MS;
	ck_assert_ptr_null(pool_reap(&pool, 0, now_us));
}
END_TEST

/* 82: the minimum is neither closed for being idle nor opened over and over, and the old ones of it are renewed. */
START_TEST(a_minimum_stays_open)
{
	policy.min_size = 2;
	policy.idle_timeout_us = SECOND;
	set_size(4);
	ck_assert(!open_due(false));
	ck_assert(open_due(true));
	ck_assert(open_due(true));
	ck_assert(!open_due(true));
	for (int i = 0; i < 2; i++) {
		pool_attach(&pool, &members[i]);
		rest(i);
	}
	for (int i = 0; i < 2; i++)
		ck_assert_int_eq(acquire(i), POOL_TAKE);
	add_busy(2);
	for (int i = 0; i < 3; i++)
		rest(i);
	now_us += SECOND;
	ck_assert_ptr_eq(pool_reap(&pool, 0, now_us), &members[0]);
	ck_assert_ptr_null(pool_reap(&pool, 0, now_us));
	ck_assert(!open_due(true));

	policy.lifetime_us = SECOND;
	set_size(4);
	ck_assert_ptr_eq(pool_reap(&pool, 0, now_us), &members[1]);
	ck_assert_ptr_eq(pool_reap(&pool, 0, now_us), &members[2]);
	ck_assert(open_due(true)); /* the closing ones leave room for one */
	ck_assert(!open_due(true));
	ck_assert(!remove_member(0));
	ck_assert(open_due(true));
	ck_assert(!open_due(true));
}
END_TEST

START_TEST(no_member_of_before_a_renewal_serves_anybody)
{
	set_size(3);
	add_busy(0);
	add_busy(1);
	rest(0);
	ck_assert_int_eq(acquire(2), POOL_TAKE);
	rest(0);
	pool_renew(&pool);
	ck_assert_int_eq(acquire(2), POOL_OPEN);
	pool_attach(&pool, &members[2]);
	ck_assert_int_eq(release(1), POOL_RETIRE);
	ck_assert_ptr_eq(pool_reap(&pool, 0, now_us), &members[0]);
	ck_assert_int_eq(release(2), POOL_GIVE);
	ck_assert_int_eq(release(2), POOL_KEEP);
}
END_TEST

/* ---- failures ---- */

START_TEST(failed_opens_back_off_and_double_up_to_the_limit)
{
	static const uint64_t pauses_ms[] = { 100, 200, 400, 800, 1000, 1000 };

	ck_assert_int_eq(acquire(0), POOL_OPEN);
	for (int i = 0; i < 6; i++) {
		pool_attach(&pool, &members[0]);
		ck_assert(!fail_member(0));
		ck_assert_int_eq(acquire(1), POOL_WAIT);
		pool_leave(&pool, &waiters[1]);
		now_us += pauses_ms[i] * MS - 1;
		ck_assert(!open_due(true));
		now_us += 1;
		ck_assert(open_due(false));
		ck_assert(!open_due(false));
	}
}
END_TEST

START_TEST(a_login_that_succeeds_ends_the_back_off)
{
	for (int i = 0; i < 3; i++) {
		ck_assert_int_eq(acquire(i), POOL_OPEN);
		pool_attach(&pool, &members[i]);
	}
	ck_assert(!fail_member(0));
	ck_assert_int_eq(release(1), POOL_GIVE);
	ck_assert(open_due(false));
	pool_attach(&pool, &members[0]);
	ck_assert(!fail_member(0));
	now_us += 100 * MS; /* the first of a new row */
	ck_assert(open_due(false));
}
END_TEST

START_TEST(logins_that_fail_together_are_one_failure)
{
	for (int i = 0; i < 4; i++) {
		ck_assert_int_eq(acquire(i), POOL_OPEN);
		pool_attach(&pool, &members[i]);
	}
	for (int i = 0; i < 4; i++)
		ck_assert(!fail_member(i));
	now_us += 100 * MS;
	for (int i = 0; i < 4; i++)
		ck_assert(open_due(false));
	pool_unreserve(&pool, now_us);
	now_us += 200 * MS - 1;
	ck_assert(!open_due(false));
	now_us += 1;
	ck_assert(open_due(false));
}
END_TEST

/* However short the pause may be: an open that fails at once must not lead to another in the same call. */
START_TEST(no_open_follows_a_failed_one_at_the_same_moment)
{
	policy.retry_us = 0;
	set_size(4);
	ck_assert_int_eq(acquire(0), POOL_OPEN);
	pool_attach(&pool, &members[0]);
	ck_assert(!fail_member(0));
	ck_assert(!open_due(true));
	now_us += MS;
	ck_assert(open_due(false));
	pool_unreserve(&pool, now_us);
	ck_assert(!open_due(false));
	pool_renew(&pool);
	ck_assert(open_due(false));
}
END_TEST

/* ---- pause ---- */

START_TEST(a_pause_serves_nobody_and_its_end_all_in_order)
{
	struct pool_handle member, waiter;

	set_size(2);
	add_busy(0);
	add_busy(1);
	rest(0);
	pool_pause(&pool);
	ck_assert_int_eq(acquire(4), POOL_WAIT);
	ck_assert_int_eq(acquire(1), POOL_WAIT);
	rest(1);
	ck_assert(!remove_member(0));
	ck_assert(!open_due(true));
	ck_assert(!pool_match(&pool, &member, &waiter));
	pool_resume(&pool);
	ck_assert_int_eq(acquire(2), POOL_OPEN); /* behind those who waited, though one is idle */
	ck_assert(pool_match(&pool, &member, &waiter));
	ck_assert_uint_eq(member.slot, 1);
	ck_assert_uint_eq(waiter.slot, 4);
	ck_assert_int_eq(waiters[4].waiting, POOL_CLAIMED);
	ck_assert(!pool_match(&pool, &member, &waiter));
	pool_attach(&pool, &members[0]);
	ck_assert_ptr_eq(pool_release(&pool, &members[0], now_us).waiter, &waiters[1]);
}
END_TEST

START_TEST(an_open_is_due_where_the_first_in_line_waits)
{
	uint16_t worker = 9;

	policy.min_size = 1;
	set_size(4);
	ck_assert(pool_open_due(&pool, true, now_us, &worker));
	ck_assert_uint_eq(worker, 9);
	pool_pause(&pool);
	ck_assert_int_eq(acquire(4), POOL_WAIT);
	ck_assert_int_eq(acquire(0), POOL_WAIT);
	pool_resume(&pool);
	ck_assert(pool_open_due(&pool, true, now_us, &worker));
	ck_assert_uint_eq(worker, 1);
}
END_TEST

static void add_rules(TCase *rules)
{
	tcase_add_test(rules, one_is_opened_for_each_who_waits_up_to_the_bound);
	tcase_add_test(rules, none_is_opened_while_enough_are_on_their_way);
	tcase_add_test(rules, a_closing_member_keeps_its_place);
	tcase_add_test(rules, over_a_lowered_size_they_go_one_by_one);
	tcase_add_test(rules, idle_ones_over_a_lowered_size_are_reaped_the_least_used_first);
	tcase_add_test(rules, the_most_recently_used_of_its_own_worker_serves);
	tcase_add_test(rules, another_worker_is_asked_for_its_most_recently_used);
	tcase_add_test(rules, first_come_first_served_over_all_workers);
	tcase_add_test(rules, who_lost_a_claim_stands_in_front_again);
	tcase_add_test(rules, who_lost_a_claim_may_be_served_at_once);
	tcase_add_test(rules, a_member_that_finds_nobody_serves_the_next);
	tcase_add_test(rules, the_old_are_retired_when_they_are_free);
	tcase_add_test(rules, a_time_in_the_future_is_not_long_ago);
	tcase_add_test(rules, a_minimum_stays_open);
	tcase_add_test(rules, no_member_of_before_a_renewal_serves_anybody);
	tcase_add_test(rules, failed_opens_back_off_and_double_up_to_the_limit);
	tcase_add_test(rules, a_login_that_succeeds_ends_the_back_off);
	tcase_add_test(rules, logins_that_fail_together_are_one_failure);
	tcase_add_test(rules, no_open_follows_a_failed_one_at_the_same_moment);
	tcase_add_test(rules, a_pause_serves_nobody_and_its_end_all_in_order);
	tcase_add_test(rules, an_open_is_due_where_the_first_in_line_waits);
}

Suite *pool_suite(void)
{
	Suite *suite = suite_create("pool");
	TCase *rules = tcase_create("rules");

	tcase_add_checked_fixture(rules, setup, NULL);
	add_rules(rules);
	suite_add_tcase(suite, rules);
	return suite;
}
