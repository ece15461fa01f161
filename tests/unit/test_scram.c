#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/evp.h>

#include "protocol/scram.h"
#include "tests/unit/scram_exchange.h"

START_TEST(rfc_7677_as_client)
{
	struct exchange it;
	exchange_init(&it);
	/* The vector's nonce is not base64, so no raw bytes give it. */
	pg_buffer_clear(&it.client.client_first);
	it.client.client_first = text_of(RFC_CLIENT_FIRST);
	free(it.client.nonce);
	it.client.nonce = strdup("rOprNGfwEbeRWgbNEkqO");

	ck_assert_int_eq(challenge(&it, RFC_SERVER_FIRST, strlen(RFC_SERVER_FIRST)), PG_OK);
	ck_assert_uint_eq(it.client.iterations, 4096);
	ck_assert_uint_eq(it.client.salt_bytes, 16);
	struct pg_scram_keys keys;
	ck_assert(pg_scram_derive_keys("pencil", it.client.salt, it.client.salt_bytes, it.client.iterations, &keys));
	pg_scram_client_answer(&it.client, &keys, &it.client_final);
	expect_text(&it.client_final, RFC_CLIENT_FINAL);
	ck_assert_int_eq(verify(&it, &keys, RFC_SERVER_FINAL, strlen(RFC_SERVER_FINAL)), PG_OK);
	exchange_clear(&it);
}
END_TEST

START_TEST(rfc_7677_as_server)
{
	struct exchange it;
	exchange_init(&it);
	static const uint8_t rfc_salt[] = { 0x5b, 0x6d, 0x99, 0x68, 0x9d, 0x12, 0x35, 0x8e,
					    0xec, 0xa0, 0x4b, 0x14, 0x12, 0x36, 0xfa, 0x81 };
	struct pg_scram_keys keys;
	struct pg_scram_secret secret;
	ck_assert(pg_scram_derive_keys("pencil", rfc_salt, sizeof(rfc_salt), 4096, &keys));
	pg_scram_secret_from_keys(&keys, rfc_salt, sizeof(rfc_salt), 4096, &secret);

	ck_assert_int_eq(server_first(&it, &secret, RFC_CLIENT_FIRST, strlen(RFC_CLIENT_FIRST)), PG_OK);
	expect_text(&it.server.client_first_bare, &RFC_CLIENT_FIRST[3]);
	free(it.server.nonce);
	it.server.nonce = strdup(RFC_NONCE);
	pg_buffer_clear(&it.server.server_first);
	it.server.server_first = text_of(RFC_SERVER_FIRST);
	ck_assert_int_eq(server_final(&it, &secret, RFC_CLIENT_FINAL, strlen(RFC_CLIENT_FINAL)), PG_OK);
	ck_assert(it.proven);
	expect_text(&it.server_final, RFC_SERVER_FINAL);
	ck_assert_mem_eq(it.client_key, keys.client_key, sizeof(keys.client_key));
	exchange_clear(&it);
}
END_TEST

/* ---- exchanges ---- */

START_TEST(our_client_with_our_server)
{
	struct pg_scram_secret secret = secret_of("pencil");
	struct pg_scram_keys keys = keys_of("pencil");
	struct exchange it;
	ck_assert(exchange_run(&it, &secret, &keys));
	ck_assert_int_eq(it.server.channel_flag, 'n');
	expect_text(&it.client.client_first, "n,,n=,r=Y2xpZW50IGNsaWVudCBjbGkA");
	expect_text(&it.server.server_first,
		    "r=Y2xpZW50IGNsaWVudCBjbGkAc2VydmVyIHNlcnZlciBzZXIA,s=MDEyMzQ1Njc4OWFiY2RlAA==,i=3");
	ck_assert_mem_eq(it.client_key, keys.client_key, sizeof(it.client_key));
	ck_assert_int_eq(verify(&it, &keys, it.server_final.data, it.server_final.length), PG_OK);
	exchange_clear(&it);
}
END_TEST

START_TEST(a_wrong_password_is_not_proven)
{
	static const char *const wrong[] = { "", "Pencil", "pencil ", "pencik" };
	struct pg_scram_secret secret = secret_of("pencil");
	static const uint8_t zeros[PG_SCRAM_KEY_BYTES];
	for (size_t i = 0; i < COUNT(wrong); i++) {
		struct pg_scram_keys keys = keys_of(wrong[i]);
		struct exchange it;
		ck_assert(!exchange_run(&it, &secret, &keys));
		ck_assert_uint_eq(it.server_final.length, 0);
		ck_assert_mem_eq(it.client_key, zeros, sizeof(zeros));
		exchange_clear(&it);
	}
}
END_TEST

/* A server that only has our salt cannot sign. */
START_TEST(a_server_that_does_not_know_us_is_refused)
{
	struct pg_scram_secret secret = secret_of("pencil");
	struct pg_scram_keys keys = keys_of("pencil");
	struct exchange it;
	ck_assert(exchange_run(&it, &secret, &keys));
	struct pg_scram_keys others = keys;
	others.server_key[31] ^= 1;
	ck_assert_int_eq(verify(&it, &others, it.server_final.data, it.server_final.length), PG_BAD);
	ck_assert_str_eq(it.error, "the server does not know the password");
	ck_assert_int_eq(verify(&it, &keys, "e=invalid-proof", 15), PG_BAD);
	ck_assert_str_eq(it.error, "the server refused the SCRAM exchange");
	ck_assert_int_eq(verify(&it, &keys, it.server_final.data, it.server_final.length), PG_OK);
	exchange_clear(&it);
}
END_TEST

/* Trap 77: the keys that a client proved log in again, elsewhere and later, with the secret from the store or made
 * anew; and a login before or after does not disturb the next. */
START_TEST(proven_keys_log_in_again)
{
	struct pg_scram_secret made = secret_of("pencil");
	struct pg_scram_keys keys = keys_of("pencil");
	struct pg_buffer printed = PG_BUFFER_EMPTY;
	pg_scram_secret_print(&made, &printed);
	struct pg_scram_secret stored;
	ck_assert_int_eq(pg_scram_secret_parse((const char *)printed.data, &stored), PG_OK);
	pg_buffer_clear(&printed);

	for (int login = 0; login < 4; login++) {
		struct exchange it;
		ck_assert(exchange_run(&it, login % 2 ? &stored : &made, &keys));
		memcpy(keys.client_key, it.client_key, sizeof(keys.client_key));
		memcpy(keys.server_key, stored.server_key, sizeof(keys.server_key));
		ck_assert_int_eq(verify(&it, &keys, it.server_final.data, it.server_final.length), PG_OK);
		exchange_clear(&it);
	}
	struct pg_scram_keys wrong = keys_of("wrong");
	struct exchange it;
	ck_assert(!exchange_run(&it, &stored, &wrong));
	exchange_clear(&it);
	ck_assert(exchange_run(&it, &stored, &keys));
	exchange_clear(&it);
}
END_TEST

/* Trap 78. */
START_TEST(channel_binding_flags)
{
	struct pg_scram_secret secret = secret_of("pencil");
	static const struct {
		const char *first;
		enum pg_result result;
		const char *error;
	} cases[] = {
		{ "n,,n=,r=abc", PG_OK, "none" },
		{ "y,,n=,r=abc", PG_OK, "none" },
		{ "p=tls-server-end-point,,n=,r=abc", PG_BAD,
		  "the client asks for channel binding, which was not offered" },
		{ "p", PG_BAD, "the client asks for channel binding, which was not offered" },
		{ "n,a=admin,n=,r=abc", PG_BAD, "authorization identities are not supported" },
		{ "n,,m=x,n=,r=abc", PG_BAD, "the client requires an unknown SCRAM extension" },
		{ "N,,n=,r=abc", PG_BAD, "malformed client-first message: wrong header" },
		{ "n;,n=,r=abc", PG_BAD, "malformed client-first message: wrong header" },
		{ "n,x,n=,r=abc", PG_BAD, "malformed client-first message: wrong header" },
	};
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct exchange it;
		exchange_init(&it);
		ck_assert_int_eq(server_first(&it, &secret, cases[i].first, strlen(cases[i].first)), cases[i].result);
		ck_assert_str_eq(it.error, cases[i].error);
		if (cases[i].result == PG_OK)
			ck_assert_int_eq(it.server.channel_flag, cases[i].first[0]);
		exchange_clear(&it);
	}
}
END_TEST

/* Answers with a right proof over whatever c= and r= say: what our client never does, but another may. */
static void answer_by_hand(struct exchange *it, const struct pg_scram_keys *keys, const char *header, const char *nonce)
{
	char without_proof[200];
	snprintf(without_proof, sizeof(without_proof), "c=%s,r=%s", header, nonce);
	struct pg_buffer signed_text = PG_BUFFER_EMPTY;
	pg_buffer_put_bytes(&signed_text, it->client.client_first.data + 3, it->client.client_first.length - 3);
	pg_buffer_put_u8(&signed_text, ',');
	pg_buffer_put_bytes(&signed_text, it->server.server_first.data, it->server.server_first.length);
	pg_buffer_put_u8(&signed_text, ',');
	pg_buffer_put_bytes(&signed_text, without_proof, strlen(without_proof));

	uint8_t stored_key[PG_SCRAM_KEY_BYTES];
	uint8_t proof[PG_SCRAM_KEY_BYTES];
	ck_assert_int_eq(EVP_Digest(keys->client_key, sizeof(keys->client_key), stored_key, NULL, EVP_sha256(), NULL),
			 1);
	ck_assert_ptr_nonnull(EVP_Q_mac(NULL, "HMAC", NULL, "SHA256", NULL, stored_key, sizeof(stored_key),
					signed_text.data, signed_text.length, proof, sizeof(proof), NULL));
	for (size_t i = 0; i < sizeof(proof); i++)
		proof[i] ^= keys->client_key[i];
	char proof_text[64];
	EVP_EncodeBlock((unsigned char *)proof_text, proof, sizeof(proof));

	pg_buffer_put_bytes(&it->client_final, without_proof, strlen(without_proof));
	pg_buffer_put_bytes(&it->client_final, ",p=", 3);
	pg_buffer_put_bytes(&it->client_final, proof_text, strlen(proof_text));
	pg_buffer_clear(&signed_text);
}

/* Trap 78: who says "y" must repeat "y", and the nonce must be this exchange's, though the proof be right. */
START_TEST(the_final_message_must_repeat_the_first)
{
	static const char nonce[] = "Y2xpZW50IGNsaWVudCBjbGkAc2VydmVyIHNlcnZlciBzZXIA";
	static const struct {
		char flag;
		const char *header;
		const char *nonce;
		const char *error; /* NULL: let in */
	} cases[] = {
		{ 'n', "biws", nonce, NULL },
		{ 'y', "eSws", nonce, NULL },
		{ 'y', "biws", nonce, "the channel binding does not match" },
		{ 'n', "eSws", nonce, "the channel binding does not match" },
		{ 'n', "biwt", nonce, "the channel binding does not match" },
		{ 'n', "biwsbiws", nonce, "the channel binding does not match" },
		{ 'n', "", nonce, "the channel binding does not match" },
		{ 'n', "biws", "Y2xpZW50IGNsaWVudCBjbGkA", "the nonce does not match" },
		{ 'n', "biws", "Y2xpZW50IGNsaWVudCBjbGkAc2VydmVyIHNlcnZlciBzZXIB", "the nonce does not match" },
		{ 'n', "biws", "Y2xpZW50IGNsaWVudCBjbGkAc2VydmVyIHNlcnZlciBzZXIAA", "the nonce does not match" },
		{ 'n', "biws", "", "the nonce does not match" },
	};
	struct pg_scram_secret secret = secret_of("pencil");
	struct pg_scram_keys keys = keys_of("pencil");
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct exchange it;
		exchange_init(&it);
		it.client.client_first.data[0] = (uint8_t)cases[i].flag;
		const struct pg_buffer *first = &it.client.client_first;
		ck_assert_int_eq(server_first(&it, &secret, first->data, first->length), PG_OK);
		answer_by_hand(&it, &keys, cases[i].header, cases[i].nonce);
		enum pg_result result = server_final(&it, &secret, it.client_final.data, it.client_final.length);
		ck_assert_int_eq(result, cases[i].error ? PG_BAD : PG_OK);
		ck_assert_int_eq(it.proven, cases[i].error == NULL);
		ck_assert_str_eq(it.error, cases[i].error ? cases[i].error : "none");
		exchange_clear(&it);
	}
}
END_TEST

/* Trap 9: steps out of order do nothing but fail. */
START_TEST(steps_out_of_order)
{
	struct pg_scram_secret secret = secret_of("pencil");
	struct pg_scram_keys keys = keys_of("pencil");
	struct exchange it;
	exchange_init(&it);
	ck_assert_int_eq(server_final(&it, &secret, RFC_CLIENT_FINAL, strlen(RFC_CLIENT_FINAL)), PG_BAD);
	ck_assert_int_eq(verify(&it, &keys, RFC_SERVER_FINAL, strlen(RFC_SERVER_FINAL)), PG_BAD);
	pg_scram_client_answer(&it.client, &keys, &it.client_final);
	ck_assert(it.client_final.failed);
	exchange_clear(&it);
	exchange_challenge(&it, &secret);
	ck_assert_int_eq(verify(&it, &keys, RFC_SERVER_FINAL, strlen(RFC_SERVER_FINAL)), PG_BAD);
	ck_assert_str_eq(it.error, "a server-final message was not due");
	const struct pg_buffer *answer = &it.server.server_first;
	ck_assert_int_eq(challenge(&it, answer->data, answer->length), PG_BAD);
	/* The other side's messages where ours are due. */
	ck_assert_int_eq(server_final(&it, &secret, answer->data, answer->length), PG_BAD);
	const struct pg_buffer *first = &it.client.client_first;
	ck_assert_int_eq(server_final(&it, &secret, first->data, first->length), PG_BAD);
	exchange_clear(&it);
}
END_TEST

Suite *scram_suite(void);
Suite *scram_suite(void)
{
	Suite *suite = suite_create("scram");
	TCase *tcase = tcase_create("scram");
	tcase_add_checked_fixture(tcase, set_up, tear_down);
	tcase_add_test(tcase, rfc_7677_as_client);
	tcase_add_test(tcase, rfc_7677_as_server);
	tcase_add_test(tcase, our_client_with_our_server);
	tcase_add_test(tcase, a_wrong_password_is_not_proven);
	tcase_add_test(tcase, a_server_that_does_not_know_us_is_refused);
	tcase_add_test(tcase, proven_keys_log_in_again);
	tcase_add_test(tcase, channel_binding_flags);
	tcase_add_test(tcase, the_final_message_must_repeat_the_first);
	tcase_add_test(tcase, steps_out_of_order);
	suite_add_tcase(suite, tcase);
	return suite;
}
