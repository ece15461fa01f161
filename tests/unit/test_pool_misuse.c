/*
 * Calls that cannot be right: a broken invariant must not be survived, in no build.
 */
#include <check.h>
#include <signal.h>

#include "pooler/pool.h"

Suite *pool_misuse_suite(void);

static struct pool pool;
static struct pool_member member;
static struct pool_waiter waiter;

static void setup(void)
{
	struct pool_policy policy = { .size = 2 };

	pool_init(&pool, &policy);
}

static void add_busy(void)
{
	ck_assert_int_eq(pool_acquire(&pool, &waiter, 1).answer, POOL_OPEN);
	pool_attach(&pool, &member);
	ck_assert_int_eq(pool_release(&pool, &member, 1).verdict, POOL_GIVE);
}

static void rest(void)
{
	ck_assert_int_eq(pool_release(&pool, &member, 1).verdict, POOL_KEEP);
}

START_TEST(an_idle_member_cannot_be_released)
{
	add_busy();
	rest();
	pool_release(&pool, &member, 1);
}
END_TEST

START_TEST(a_member_cannot_be_attached_without_a_reserved_place)
{
	pool_attach(&pool, &member);
}
END_TEST

START_TEST(a_member_cannot_be_removed_twice)
{
	add_busy();
	pool_remove(&pool, &member, false, 1);
	pool_remove(&pool, &member, false, 1);
}
END_TEST

START_TEST(a_closing_member_cannot_be_retired)
{
	add_busy();
	pool_retire(&pool, &member);
	pool_retire(&pool, &member);
}
END_TEST

START_TEST(an_idle_member_cannot_move)
{
	add_busy();
	rest();
	pool_moved(&pool, &member, (struct pool_handle){ 1, 1, 1 });
}
END_TEST

START_TEST(who_waits_cannot_ask_again)
{
	pool_acquire(&pool, &waiter, 1);
	pool_acquire(&pool, &waiter, 1);
}
END_TEST

START_TEST(nothing_arrives_at_who_is_not_claimed)
{
	pool_acquire(&pool, &waiter, 1);
	pool_arrived(&pool, &waiter);
}
END_TEST

START_TEST(who_is_not_claimed_lost_nothing)
{
	pool_acquire(&pool, &waiter, 1);
	pool_acquire_again(&pool, &waiter, 1);
}
END_TEST

START_TEST(a_pool_in_use_cannot_be_cleared)
{
	add_busy();
	pool_clear(&pool);
}
END_TEST

Suite *pool_misuse_suite(void)
{
	Suite *suite = suite_create("pool_misuse");
	TCase *aborts = tcase_create("aborts");

	tcase_add_checked_fixture(aborts, setup, NULL);
	tcase_add_test_raise_signal(aborts, an_idle_member_cannot_be_released, SIGABRT);
	tcase_add_test_raise_signal(aborts, a_member_cannot_be_attached_without_a_reserved_place, SIGABRT);
	tcase_add_test_raise_signal(aborts, a_member_cannot_be_removed_twice, SIGABRT);
	tcase_add_test_raise_signal(aborts, a_closing_member_cannot_be_retired, SIGABRT);
	tcase_add_test_raise_signal(aborts, an_idle_member_cannot_move, SIGABRT);
	tcase_add_test_raise_signal(aborts, who_waits_cannot_ask_again, SIGABRT);
	tcase_add_test_raise_signal(aborts, nothing_arrives_at_who_is_not_claimed, SIGABRT);
	tcase_add_test_raise_signal(aborts, who_is_not_claimed_lost_nothing, SIGABRT);
	tcase_add_test_raise_signal(aborts, a_pool_in_use_cannot_be_cleared, SIGABRT);
	suite_add_tcase(suite, aborts);
	return suite;
}
