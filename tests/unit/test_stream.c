/* Streams on real sockets: what the kernel does not take waits, and a failure to write leaves the last words readable. */
#include <check.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "pooler/stream.h"

#define MANY_BYTES (4u * 1024u * 1024u)

static struct ev_loop *loop;
static struct stream stream;
static int peer;
static int seen; /* events */

static void on_event(struct ev_loop *event_loop, ev_io *io, int revents)
{
	ck_assert_ptr_eq(event_loop, loop);
	ck_assert_ptr_eq(io->data, &stream);
	seen |= revents;
}

static void setup(void)
{
	int pair[2];

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
	loop = ev_loop_new(EVFLAG_AUTO);
	stream_init(&stream, loop, pair[0], STREAM_LAST, on_event, &stream);
	peer = pair[1];
	seen = 0;
}

static void teardown(void)
{
	stream_close(&stream);
	close(peer);
	ev_loop_destroy(loop);
}

START_TEST(what_is_not_taken_waits_in_order)
{
	uint8_t *sent = malloc(MANY_BYTES);
	uint8_t *got = malloc(MANY_BYTES);
	size_t count = 0;

	for (size_t i = 0; i < MANY_BYTES; i++)
		sent[i] = (uint8_t)(i * 7 + i / 256);
	ck_assert(stream_write(&stream, sent, MANY_BYTES / 2));
	ck_assert(stream_is_blocked(&stream));
	ck_assert(stream_write(&stream, sent + MANY_BYTES / 2, MANY_BYTES / 2));
	while (count < MANY_BYTES) {
		ssize_t now = read(peer, got + count, MANY_BYTES - count);
		if (now > 0)
			count += (size_t)now;
		seen = 0;
		ev_run(loop, EVRUN_NOWAIT);
		if (seen & EV_WRITE)
			ck_assert(stream_flush(&stream));
	}
	ck_assert(!stream_is_blocked(&stream));
	ck_assert_mem_eq(sent, got, MANY_BYTES);
	seen = 0;
	ev_run(loop, EVRUN_NOWAIT);
	ck_assert_int_eq(seen, 0); /* nothing to write, nothing is watched for */
	free(sent);
	free(got);
}
END_TEST

START_TEST(last_words_are_read_after_a_failed_write)
{
	char words[16];

	ck_assert_int_eq(write(peer, "goodbye", 7), 7);
	close(peer);
	ck_assert(!stream_write(&stream, "x", 1));
	ck_assert(stream.write_failed);
	ck_assert_int_eq(stream_read(&stream, words, sizeof(words)), 7);
	ck_assert_mem_eq(words, "goodbye", 7);
	ck_assert_int_eq(stream_read(&stream, words, sizeof(words)), STREAM_CLOSED);
	ck_assert(!stream_write(&stream, "x", 1));
	peer = -1;
}
END_TEST

START_TEST(reading_can_be_stopped_and_resumed)
{
	char words[16];

	ck_assert_int_eq(stream_read(&stream, words, sizeof(words)), STREAM_AGAIN);
	stream_set_reading(&stream, false);
	ck_assert_int_eq(write(peer, "hello", 5), 5);
	ev_run(loop, EVRUN_NOWAIT);
	ck_assert_int_eq(seen, 0);
	stream_set_reading(&stream, true);
	ev_run(loop, EVRUN_NOWAIT);
	ck_assert_int_eq(seen, EV_READ);
	ck_assert_int_eq(stream_read(&stream, words, sizeof(words)), 5);
}
END_TEST

START_TEST(a_stream_moves_to_another_loop)
{
	struct ev_loop *other = ev_loop_new(EVFLAG_AUTO);
	struct ev_loop *first = loop;

	stream_detach(&stream);
	ck_assert_int_eq(write(peer, "hello", 5), 5);
	ev_run(first, EVRUN_NOWAIT);
	ck_assert_int_eq(seen, 0);
	loop = other;
	stream_attach(&stream, other);
	ev_run(other, EVRUN_NOWAIT);
	ck_assert_int_eq(seen, EV_READ);
	stream_close(&stream);
	ev_loop_destroy(first);
}
END_TEST

START_TEST(connecting_says_why_it_failed)
{
	union address address;

	memset(&address, 0, sizeof(address));
	ck_assert(address_set_local(&address, "/nonexistent", 5432));
	ck_assert_int_eq(stream_connect(&address), -1);
}
END_TEST

Suite *stream_suite(void);
Suite *stream_suite(void)
{
	Suite *suite = suite_create("stream");
	TCase *tcase = tcase_create("stream");

	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_test(tcase, what_is_not_taken_waits_in_order);
	tcase_add_test(tcase, last_words_are_read_after_a_failed_write);
	tcase_add_test(tcase, reading_can_be_stopped_and_resumed);
	tcase_add_test(tcase, a_stream_moves_to_another_loop);
	tcase_add_test(tcase, connecting_says_why_it_failed);
	suite_add_tcase(suite, tcase);
	return suite;
}
