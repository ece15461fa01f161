/* Traps 1 and 2: whatever bytes come, an answer, and nothing read or written outside. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/evp.h>

#include "protocol/scram.h"
#include "tests/unit/scram_exchange.h"
#include "tests/unit/seed.h"

START_TEST(every_prefix_of_client_first)
{
	struct pg_scram_secret secret = secret_of("pencil");
	static const char first[] = "n,,n=user,r=abcdef,x=ext";
	for (size_t size = 0; size < sizeof(first) - 1; size++) {
		struct exchange it;
		exchange_init(&it);
		/* A shorter nonce or extension is well formed; no nonce, or the beginning of an extension, is not. */
		bool good = size > strlen("n,,n=user,r=") && size != strlen("n,,n=user,r=abcdef,") &&
			    size != strlen("n,,n=user,r=abcdef,x");
		ck_assert_int_eq(server_first(&it, &secret, first, size), good ? PG_OK : PG_BAD);
		exchange_clear(&it);
	}
}
END_TEST

START_TEST(every_prefix_of_server_first)
{
	struct pg_scram_secret secret = secret_of("pencil");
	struct exchange it;
	exchange_challenge(&it, &secret);
	struct pg_buffer first = text_of("");
	pg_buffer_put_bytes(&first, it.server.server_first.data, it.server.server_first.length);
	exchange_clear(&it);
	for (size_t size = 0; size < first.length; size++) {
		exchange_init(&it);
		ck_assert_int_eq(challenge(&it, first.data, size), PG_BAD);
		exchange_clear(&it);
	}
	pg_buffer_clear(&first);
}
END_TEST

START_TEST(every_prefix_of_the_final_messages)
{
	struct pg_scram_secret secret = secret_of("pencil");
	struct pg_scram_keys keys = keys_of("pencil");
	struct exchange it;
	ck_assert(exchange_run(&it, &secret, &keys));
	struct pg_buffer final = PG_BUFFER_EMPTY;
	pg_buffer_put_bytes(&final, it.server_final.data, it.server_final.length);
	for (size_t size = 0; size < it.client_final.length; size++) {
		ck_assert_int_eq(server_final(&it, &secret, it.client_final.data, size), PG_BAD);
		ck_assert(!it.proven);
		ck_assert_uint_eq(it.server_final.length, 0);
	}
	for (size_t size = 0; size < final.length; size++)
		ck_assert_int_eq(verify(&it, &keys, final.data, size), PG_BAD);
	ck_assert_int_eq(verify(&it, &keys, final.data, final.length), PG_OK);
	pg_buffer_clear(&final);
	exchange_clear(&it);
}
END_TEST

START_TEST(malformed_client_first_messages)
{
	static const struct {
		const char *text;
		size_t bytes;
	} cases[] = {
#define CASE(text) { text, sizeof(text) - 1 }
		CASE("n,,r=abc"),         CASE("n,,n=user"),       CASE("n,,r=abc,n=user"),  CASE("n,,n=,r="),
		CASE("n,,n=,r=,x=y"),     CASE("n,,n=,r=a b"),     CASE("n,,n=,r=a\tb"),     CASE("n,,n=,r=a\x7f"),
		CASE("n,,n=,r=\xc3\xa9"), CASE("n,,n=,r=abc,"),    CASE("n,,n=,r=abc,,"),    CASE("n,,n=,r=abc,1=x"),
		CASE("n,,n=,r=abc\0"),    CASE("n,,n=a\0b,r=abc"), CASE("n,,n=,r=abc,x=\0"), CASE("\0n,,n=,r=abc"),
	};
	struct pg_scram_secret secret = secret_of("pencil");
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct exchange it;
		exchange_init(&it);
		ck_assert_msg(server_first(&it, &secret, cases[i].text, cases[i].bytes) == PG_BAD, "case %zu", i);
		ck_assert_uint_eq(it.server.server_first.length, 0);
		exchange_clear(&it);
	}
}
END_TEST

static const uint8_t damages[] = { 0, ',', '=', 'p', '-', ' ', 0x80, 0xff };

/* Every byte of each message replaced: never a crash, never a proof that is no proof. */
START_TEST(damaged_final_messages_prove_nothing)
{
	struct pg_scram_secret secret = secret_of("pencil");
	struct pg_scram_keys keys = keys_of("pencil");
	struct exchange it;
	ck_assert(exchange_run(&it, &secret, &keys));
	struct pg_buffer final = PG_BUFFER_EMPTY;
	pg_buffer_put_bytes(&final, it.server_final.data, it.server_final.length);
	for (size_t at = 0; at < it.client_final.length; at++) {
		uint8_t original = it.client_final.data[at];
		it.client_final.data[at] = damages[_i];
		server_final(&it, &secret, it.client_final.data, it.client_final.length);
		ck_assert_int_eq(it.proven, original == damages[_i]);
		it.client_final.data[at] = original;
	}
	for (size_t at = 0; at < final.length; at++) {
		uint8_t original = final.data[at];
		final.data[at] = damages[_i];
		enum pg_result result = verify(&it, &keys, final.data, final.length);
		ck_assert_int_eq(result, original == damages[_i] ? PG_OK : PG_BAD);
		final.data[at] = original;
	}
	pg_buffer_clear(&final);
	exchange_clear(&it);
}
END_TEST

START_TEST(damaged_first_messages_lead_nowhere)
{
	struct pg_scram_secret secret = secret_of("pencil");
	struct pg_scram_keys keys = keys_of("pencil");
	struct exchange it;
	exchange_challenge(&it, &secret);
	struct pg_buffer first = PG_BUFFER_EMPTY;
	pg_buffer_put_bytes(&first, it.server.server_first.data, it.server.server_first.length);
	exchange_clear(&it);
	for (size_t at = 0; at < first.length; at++) {
		uint8_t original = first.data[at];
		if (original == damages[_i])
			continue;
		exchange_init(&it);
		const struct pg_buffer *said = &it.client.client_first;
		ck_assert_int_eq(server_first(&it, &secret, said->data, said->length), PG_OK);
		first.data[at] = damages[_i];
		if (challenge(&it, first.data, first.length) == PG_OK) {
			/* Changed on the way, so what the two sign differs. */
			pg_scram_client_answer(&it.client, &keys, &it.client_final);
			server_final(&it, &secret, it.client_final.data, it.client_final.length);
			ck_assert(!it.proven);
		}
		first.data[at] = original;
		exchange_clear(&it);
	}
	pg_buffer_clear(&first);
}
END_TEST

static void expect_challenge(const char *rest, enum pg_result result)
{
	struct exchange it;
	exchange_init(&it);
	struct pg_buffer first = text_of("r=");
	pg_buffer_put_bytes(&first, it.client.nonce, strlen(it.client.nonce));
	pg_buffer_put_bytes(&first, rest, strlen(rest));
	ck_assert_msg(challenge(&it, first.data, first.length) == result, "r=NONCE%s: %s", rest, it.error);
	pg_buffer_clear(&first);
	exchange_clear(&it);
}

START_TEST(malformed_challenges)
{
	expect_challenge("x,s=c2FsdA==,i=1", PG_OK);
	expect_challenge("x,s=c2FsdA==,i=10000000", PG_OK);
	expect_challenge("x,s=c2FsdA==,i=1,e=xt", PG_OK);
	expect_challenge(",s=c2FsdA==,i=1", PG_BAD); /* the server added nothing */
	expect_challenge("\x7f,s=c2FsdA==,i=1", PG_BAD);
	expect_challenge("x,s=,i=1", PG_BAD);
	expect_challenge("x,s=c2FsdA,i=1", PG_BAD);
	expect_challenge("x,s=c2Fs dA==,i=1", PG_BAD);
	expect_challenge("x,s====,i=1", PG_BAD);
	expect_challenge("x,s=c2FsdA==,i=", PG_BAD);
	expect_challenge("x,s=c2FsdA==,i=0", PG_BAD);
	expect_challenge("x,s=c2FsdA==,i=-1", PG_BAD);
	expect_challenge("x,s=c2FsdA==,i=1x", PG_BAD);
	expect_challenge("x,s=c2FsdA==,i=10000001", PG_BAD);
	expect_challenge("x,s=c2FsdA==,i=4294967297", PG_BAD);
	expect_challenge("x,s=c2FsdA==,i=99999999999999999999", PG_BAD);
	expect_challenge("x,s=c2FsdA==,i=1,", PG_BAD);
	expect_challenge("x,s=c2FsdA==,i=1,1=1", PG_BAD);
	expect_challenge("x,i=1,s=c2FsdA==", PG_BAD);
	expect_challenge("x,s=c2FsdA==", PG_BAD);

	struct exchange it;
	exchange_init(&it);
	static const char foreign[] = "r=Y2xpZW50IGNsaWVudCBjbGkBserver,s=c2FsdA==,i=1";
	static const char mandatory[] = "m=x,r=somebodyelse,s=c2FsdA==,i=1";
	ck_assert_int_eq(challenge(&it, foreign, strlen(foreign)), PG_BAD);
	ck_assert_str_eq(it.error, "the server's nonce does not continue ours");
	ck_assert_int_eq(challenge(&it, mandatory, strlen(mandatory)), PG_BAD);
	ck_assert_str_eq(it.error, "the server requires an unknown SCRAM extension");
	exchange_clear(&it);
}
END_TEST

/* A server's salt as long as we take, and one byte longer; and so long that no stack holds it. */
START_TEST(long_salts)
{
	static const size_t lengths[] = { 254, 255, 256, 257, 258, 300, 40000 };
	for (size_t i = 0; i < COUNT(lengths); i++) {
		uint8_t *bytes = calloc(1, lengths[i]);
		unsigned char *text = malloc(lengths[i] * 2);
		ck_assert(bytes && text);
		EVP_EncodeBlock(text, bytes, (int)lengths[i]);
		struct exchange it;
		exchange_init(&it);
		struct pg_buffer first = text_of("r=");
		pg_buffer_put_bytes(&first, it.client.nonce, strlen(it.client.nonce));
		pg_buffer_put_bytes(&first, "x,s=", 4);
		pg_buffer_put_bytes(&first, text, strlen((char *)text));
		pg_buffer_put_bytes(&first, ",i=1", 4);
		enum pg_result result = challenge(&it, first.data, first.length);
		ck_assert_int_eq(result, lengths[i] <= PG_SCRAM_SALT_BYTES_MAX ? PG_OK : PG_BAD);
		if (result == PG_OK)
			ck_assert_uint_eq(it.client.salt_bytes, lengths[i]);
		exchange_clear(&it);
		pg_buffer_clear(&first);
		free(bytes);
		free(text);
	}
}
END_TEST

/* Trap 2: nonces of any length that fits a message go through a whole exchange, longer messages are refused. */
START_TEST(long_nonces)
{
	static const size_t lengths[] = { 1, 100, 1024, 4096, 30000, 65000 };
	struct pg_scram_secret secret = secret_of("pencil");
	struct pg_scram_keys keys = keys_of("pencil");
	for (size_t i = 0; i < COUNT(lengths); i++) {
		struct exchange it;
		exchange_init(&it);
		free(it.client.nonce);
		it.client.nonce = malloc(lengths[i] + 1);
		ck_assert_ptr_nonnull(it.client.nonce);
		memset(it.client.nonce, '~', lengths[i]);
		it.client.nonce[lengths[i]] = '\0';
		pg_buffer_clear(&it.client.client_first);
		it.client.client_first = text_of("n,,n=,r=");
		pg_buffer_put_bytes(&it.client.client_first, it.client.nonce, lengths[i]);

		const struct pg_buffer *first = &it.client.client_first;
		ck_assert_int_eq(server_first(&it, &secret, first->data, first->length), PG_OK);
		const struct pg_buffer *answer = &it.server.server_first;
		ck_assert_int_eq(challenge(&it, answer->data, answer->length), PG_OK);
		pg_scram_client_answer(&it.client, &keys, &it.client_final);
		ck_assert_int_eq(server_final(&it, &secret, it.client_final.data, it.client_final.length), PG_OK);
		ck_assert(it.proven);
		ck_assert_int_eq(verify(&it, &keys, it.server_final.data, it.server_final.length), PG_OK);
		exchange_clear(&it);
	}
}
END_TEST

START_TEST(oversized_messages_are_refused)
{
	struct pg_scram_secret secret = secret_of("pencil");
	struct pg_scram_keys keys = keys_of("pencil");
	struct exchange it;
	ck_assert(exchange_run(&it, &secret, &keys));
	for (size_t over = 0; over < 2; over++) {
		struct exchange fresh;
		exchange_init(&fresh);
		/* Each message followed by an extension that fills it to the bound, and one byte beyond. */
		struct pg_buffer *messages[] = { &it.client.client_first, &it.server.server_first, &it.server_final };
		for (size_t i = 0; i < COUNT(messages); i++) {
			struct pg_buffer message = PG_BUFFER_EMPTY;
			pg_buffer_put_bytes(&message, messages[i]->data, messages[i]->length);
			pg_buffer_put_bytes(&message, ",x=", 3);
			while (message.length < PG_SCRAM_MESSAGE_BYTES_MAX + over)
				pg_buffer_put_u8(&message, 'x');
			enum pg_result result = i == 0   ? server_first(&fresh, &secret, message.data, message.length)
						: i == 1 ? challenge(&fresh, message.data, message.length)
							 : verify(&it, &keys, message.data, message.length);
			ck_assert_msg(result == (over ? PG_BAD : PG_OK), "message %zu, %zu over: %s", i, over,
				      i == 2 ? it.error : fresh.error);
			pg_buffer_clear(&message);
		}
		exchange_clear(&fresh);
	}
	exchange_clear(&it);
}
END_TEST

/* Cuts a random piece out of the text, or puts one in. */
static void splice(char *text, size_t capacity, unsigned *seed)
{
	static const char *const pieces[] = { "n,,",         "y,,",
					      "p=x,,",       "n=",
					      "r=",          "s=",
					      "i=",          "c=biws",
					      "p=",          "v=",
					      "e=",          ",",
					      "=",           "m=",
					      "a=",          "4096",
					      "99999999999", "abcd",
					      "c2FsdA==",    "\xff",
					      "\x01",        "r=Y2xpZW50IGNsaWVudCBjbGkA" };
	size_t length = strlen(text);
	size_t at = (size_t)rand_r(seed) % (length + 1);
	if (rand_r(seed) % 2) {
		size_t cut = (size_t)rand_r(seed) % (length - at + 1);
		memmove(text + at, text + at + cut, length - at - cut + 1);
		return;
	}
	const char *piece = pieces[(size_t)rand_r(seed) % COUNT(pieces)];
	size_t bytes = strlen(piece);
	if (length + bytes >= capacity)
		return;
	memmove(text + at + bytes, text + at, length - at + 1);
	memcpy(text + at, piece, bytes);
}

/* Good messages with random pieces cut out and put in, into every reader. */
START_TEST(random_messages)
{
	static const char *const good[] = { "n,,n=,r=abcd", "r=Y2xpZW50IGNsaWVudCBjbGkAx,s=c2FsdA==,i=3",
					    RFC_CLIENT_FINAL, RFC_SERVER_FINAL };
	struct pg_scram_secret secret = secret_of("pencil");
	struct pg_scram_keys keys = keys_of("pencil");
	struct exchange it;
	ck_assert(exchange_run(&it, &secret, &keys));
	const unsigned first_seed = seed_or(5802);
	unsigned seed = first_seed;
	size_t accepted[2] = { 0, 0 };
	for (int round = 0; round < 20000; round++) {
		char message[256];
		snprintf(message, sizeof(message), "%s", good[(size_t)rand_r(&seed) % COUNT(good)]);
		for (int count = rand_r(&seed) % 4; count > 0; count--)
			splice(message, sizeof(message), &seed);
		size_t bytes = strlen(message);
		struct exchange fresh;
		exchange_init(&fresh);
		accepted[0] += server_first(&fresh, &secret, message, bytes) == PG_OK;
		accepted[1] += challenge(&fresh, message, bytes) == PG_OK;
		exchange_clear(&fresh);
		server_final(&it, &secret, message, bytes);
		ck_assert_msg(!it.proven, "seed %u: %s", first_seed, message);
		ck_assert_msg(verify(&it, &keys, message, bytes) == PG_BAD, "seed %u: %s", first_seed, message);
	}
	/* Not all was stopped at the first byte. */
	ck_assert_uint_gt(accepted[0], 1000);
	ck_assert_uint_gt(accepted[1], 1000);
	exchange_clear(&it);
}
END_TEST

Suite *scram_damage_suite(void);
Suite *scram_damage_suite(void)
{
	Suite *suite = suite_create("scram_damage");
	TCase *tcase = tcase_create("scram_damage");
	tcase_add_checked_fixture(tcase, set_up, tear_down);
	tcase_add_test(tcase, malformed_client_first_messages);
	tcase_add_test(tcase, every_prefix_of_client_first);
	tcase_add_test(tcase, every_prefix_of_server_first);
	tcase_add_test(tcase, every_prefix_of_the_final_messages);
	tcase_add_loop_test(tcase, damaged_final_messages_prove_nothing, 0, (int)COUNT(damages));
	tcase_add_loop_test(tcase, damaged_first_messages_lead_nowhere, 0, (int)COUNT(damages));
	tcase_add_test(tcase, malformed_challenges);
	tcase_add_test(tcase, long_salts);
	tcase_add_test(tcase, long_nonces);
	tcase_add_test(tcase, oversized_messages_are_refused);
	tcase_add_test(tcase, random_messages);
	suite_add_tcase(suite, tcase);
	return suite;
}
