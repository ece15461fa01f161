#include <check.h>
#include <stdio.h>
#include <string.h>

#include "pooler/clock.h"
#include "pooler/keys.h"
#include "protocol/scram.h"

Suite *keys_suite(void);

#define SLOW_ITERATIONS 400000u /* some tenths of a second: time to queue more behind it */

static const uint8_t salt[] = { 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16 };

/* The asker: a loop with a mailbox, and what has come back. */
static struct ev_loop *loop;
static struct mailbox mailbox;
static struct keys_job *answers[64];
static int answer_count;
static int wanted;

static void asker_open(void)
{
	loop = ev_loop_new(EVFLAG_AUTO);
	mailbox_init(&mailbox, loop, NULL);
	ck_assert(keys_open());
}

static void asker_close(void)
{
	keys_close();
	mailbox_clear(&mailbox);
	for (int i = 0; i < answer_count; i++)
		keys_job_free(answers[i]);
	answer_count = 0;
	ev_loop_destroy(loop);
}

static void take_answer(void *owner, struct mail *mail)
{
	(void)owner;
	ck_assert_int_lt(answer_count, 64);
	answers[answer_count++] = (struct keys_job *)mail;
	if (answer_count == wanted)
		ev_break(loop, EVBREAK_ALL);
}

static void ask(const char *password, uint32_t iterations)
{
	struct keys_job *job = keys_job_create(password, salt, sizeof(salt), iterations);

	ck_assert_ptr_nonnull(job);
	job->mail.deliver = take_answer;
	job->reply_to = &mailbox;
	job->slot = iterations;
	keys_derive(job);
}

static void wait_for_answers(int count)
{
	wanted = count;
	if (answer_count < count)
		ev_run(loop, 0);
	ck_assert_int_eq(answer_count, count);
}

static void assert_keys_of(const struct pg_scram_keys *keys, const char *password, uint32_t iterations)
{
	struct pg_scram_keys right;

	ck_assert(pg_scram_derive_keys(password, salt, sizeof(salt), iterations, &right));
	ck_assert_mem_eq(keys->client_key, right.client_key, PG_SCRAM_KEY_BYTES);
	ck_assert_mem_eq(keys->server_key, right.server_key, PG_SCRAM_KEY_BYTES);
}

START_TEST(derives_and_answers_the_asker)
{
	ask("secret", 4096);
	wait_for_answers(1);
	ck_assert(answers[0]->derived);
	ck_assert_uint_eq(answers[0]->slot, 4096);
	ck_assert_str_eq(answers[0]->password, "secret");
	assert_keys_of(&answers[0]->keys, "secret", 4096);
}
END_TEST

START_TEST(remembers_what_it_derived)
{
	struct pg_scram_keys keys;
	uint64_t before = keys_derived();

	ck_assert(!keys_find("secret", salt, sizeof(salt), 4096, &keys));
	ask("secret", 4096);
	wait_for_answers(1);
	ck_assert(keys_find("secret", salt, sizeof(salt), 4096, &keys));
	assert_keys_of(&keys, "secret", 4096);
	ask("secret", 4096);
	wait_for_answers(2);
	ck_assert(answers[1]->derived);
	assert_keys_of(&answers[1]->keys, "secret", 4096);
	ck_assert_uint_eq(keys_derived() - before, 1);
}
END_TEST

/* Everything that goes into the keys tells them apart; also where one input ends and the next begins. */
START_TEST(other_inputs_are_not_found)
{
	struct pg_scram_keys keys;
	uint8_t other[sizeof(salt)];

	ask("secret", 4096);
	wait_for_answers(1);
	memcpy(other, salt, sizeof(salt));
	other[15] = 's';
	ck_assert(!keys_find("Secret", salt, sizeof(salt), 4096, &keys));
	ck_assert(!keys_find("", salt, sizeof(salt), 4096, &keys));
	ck_assert(!keys_find("secret", salt, sizeof(salt), 4097, &keys));
	ck_assert(!keys_find("secret", other, sizeof(other), 4096, &keys));
	ck_assert(!keys_find("ecret", other, sizeof(other), 4096, &keys));
	ck_assert(!keys_find("ssecret", other, sizeof(other) - 1, 4096, &keys));
	ck_assert(!keys_find("secret", salt, sizeof(salt) - 1, 4096, &keys));
	ck_assert(keys_find("secret", salt, sizeof(salt), 4096, &keys));
}
END_TEST

START_TEST(equal_jobs_are_derived_once)
{
	uint64_t before = keys_derived();

	ask("in the way", SLOW_ITERATIONS);
	for (int i = 0; i < 20; i++)
		ask("same", 4096);
	wait_for_answers(21);
	for (int i = 0; i < 21; i++)
		ck_assert(answers[i]->derived);
	assert_keys_of(&answers[20]->keys, "same", 4096);
	ck_assert_uint_eq(keys_derived() - before, 2);
}
END_TEST

/* The point of the whole thing. */
START_TEST(asking_takes_no_time)
{
	uint64_t start_us = clock_now_us();

	ask("slow", 10 * SLOW_ITERATIONS);
	uint64_t asked_us = clock_now_us() - start_us;
	wait_for_answers(1);
	uint64_t answered_us = clock_now_us() - start_us;
	ck_assert_msg(asked_us < answered_us / 10, "asked in %llu us, answered after %llu us",
		      (unsigned long long)asked_us, (unsigned long long)answered_us);
}
END_TEST

START_TEST(close_sends_queued_jobs_back)
{
	struct pg_scram_keys keys;
	uint64_t before = keys_derived();

	ask("slow", SLOW_ITERATIONS);
	for (uint32_t i = 1; i <= 20; i++)
		ask("queued", SLOW_ITERATIONS + i);
	keys_close();
	wait_for_answers(21);
	int derived = 0;
	for (int i = 0; i < 21; i++)
		derived += answers[i]->derived;
	/* The one that was under way, if the helper had begun at all. */
	ck_assert_int_le(derived, 1);
	ck_assert_uint_eq(keys_derived() - before, (uint64_t)derived);
	ck_assert(!keys_find("slow", salt, sizeof(salt), SLOW_ITERATIONS, &keys));
}
END_TEST

START_TEST(closed_helper_answers_at_once)
{
	keys_close();
	ask("late", 4096);
	wait_for_answers(1);
	ck_assert(!answers[0]->derived);
	keys_close();
}
END_TEST

START_TEST(helper_can_be_opened_again)
{
	keys_close();
	ck_assert(keys_open());
	ask("secret", 4096);
	wait_for_answers(1);
	ck_assert(answers[0]->derived);
}
END_TEST

static void derive_and_forget_answer(const char *password)
{
	ask(password, 1);
	wait_for_answers(1);
	ck_assert(answers[0]->derived);
	keys_job_free(answers[0]);
	answer_count = 0;
}

START_TEST(memory_is_bounded_and_the_unused_go_first)
{
	struct pg_scram_keys keys;
	char password[32];

	for (unsigned i = 0; i < KEYS_CACHED_MAX; i++) {
		snprintf(password, sizeof(password), "password %u", i);
		derive_and_forget_answer(password);
	}
	ck_assert(keys_find("password 0", salt, sizeof(salt), 1, &keys)); /* used: now the youngest */
	derive_and_forget_answer("one more");
	ck_assert(keys_find("password 0", salt, sizeof(salt), 1, &keys));
	assert_keys_of(&keys, "password 0", 1);
	ck_assert(!keys_find("password 1", salt, sizeof(salt), 1, &keys));
	ck_assert(keys_find("password 2", salt, sizeof(salt), 1, &keys));
	ck_assert(keys_find("one more", salt, sizeof(salt), 1, &keys));
}
END_TEST

START_TEST(job_refuses_a_salt_that_is_too_long)
{
	uint8_t longest[PG_SCRAM_SALT_BYTES_MAX + 1] = { 0 };
	struct keys_job *job = keys_job_create("x", longest, PG_SCRAM_SALT_BYTES_MAX, 1);

	ck_assert_ptr_nonnull(job);
	keys_job_free(job);
	ck_assert_ptr_null(keys_job_create("x", longest, sizeof(longest), 1));
	keys_job_free(NULL);
}
END_TEST

Suite *keys_suite(void)
{
	Suite *suite = suite_create("keys");
	TCase *cases = tcase_create("keys");

	tcase_set_timeout(cases, 60);
	tcase_add_checked_fixture(cases, asker_open, asker_close);
	tcase_add_test(cases, derives_and_answers_the_asker);
	tcase_add_test(cases, remembers_what_it_derived);
	tcase_add_test(cases, other_inputs_are_not_found);
	tcase_add_test(cases, equal_jobs_are_derived_once);
	tcase_add_test(cases, asking_takes_no_time);
	tcase_add_test(cases, close_sends_queued_jobs_back);
	tcase_add_test(cases, closed_helper_answers_at_once);
	tcase_add_test(cases, helper_can_be_opened_again);
	tcase_add_test(cases, memory_is_bounded_and_the_unused_go_first);
	tcase_add_test(cases, job_refuses_a_salt_that_is_too_long);
	suite_add_tcase(suite, cases);
	return suite;
}
