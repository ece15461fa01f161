#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/evp.h>

#include "protocol/scram.h"
#include "tests/unit/guarded.h"

#define COUNT(array) (sizeof(array) / sizeof(*(array)))

/* Few rounds where the rounds do not matter: the tests derive many keys. */
#define ROUNDS 3u

static const uint8_t salt[PG_SCRAM_SALT_BYTES] = "0123456789abcde";
static const uint8_t client_raw[PG_SCRAM_NONCE_RAW_BYTES] = "client client cli";
static const uint8_t server_raw[PG_SCRAM_NONCE_RAW_BYTES] = "server server ser";

static struct guarded guarded;

static void set_up(void)
{
	guarded_init(&guarded);
}

static void tear_down(void)
{
	guarded_clear(&guarded);
}

static struct pg_scram_keys keys_of(const char *password)
{
	struct pg_scram_keys keys;
	ck_assert(pg_scram_derive_keys(password, salt, sizeof(salt), ROUNDS, &keys));
	return keys;
}

static struct pg_scram_secret secret_of(const char *password)
{
	struct pg_scram_keys keys = keys_of(password);
	struct pg_scram_secret secret;
	pg_scram_secret_from_keys(&keys, salt, sizeof(salt), ROUNDS, &secret);
	ck_assert_uint_eq(secret.iterations, ROUNDS);
	return secret;
}

static struct pg_buffer text_of(const char *text)
{
	struct pg_buffer buffer = PG_BUFFER_EMPTY;
	pg_buffer_put_bytes(&buffer, text, strlen(text));
	return buffer;
}

static void expect_text(const struct pg_buffer *buffer, const char *text)
{
	ck_assert(!buffer->failed);
	ck_assert_uint_eq(buffer->length, strlen(text));
	ck_assert_mem_eq(buffer->data, text, strlen(text));
}

/* ---- one exchange, both sides ours, stopped before any of its steps ---- */

struct exchange {
	struct pg_scram_client client;
	struct pg_scram_server server;
	struct pg_buffer client_final;
	struct pg_buffer server_final;
	uint8_t client_key[PG_SCRAM_KEY_BYTES];
	bool proven;
	const char *error;
};

static void exchange_init(struct exchange *it)
{
	*it = (struct exchange){ .error = "none" };
	pg_scram_client_init(&it->client, client_raw);
	pg_scram_server_init(&it->server);
	ck_assert(!it->client.client_first.failed);
}

static void exchange_clear(struct exchange *it)
{
	pg_scram_client_clear(&it->client);
	pg_scram_server_clear(&it->server);
	pg_buffer_clear(&it->client_final);
	pg_buffer_clear(&it->server_final);
}

static enum pg_result server_first(struct exchange *it, const struct pg_scram_secret *secret, const void *data,
				   size_t bytes)
{
	return pg_scram_server_first(&it->server, guarded_put(&guarded, data, bytes), bytes, secret, server_raw,
				     &it->error);
}

static enum pg_result server_final(struct exchange *it, const struct pg_scram_secret *secret, const void *data,
				   size_t bytes)
{
	pg_buffer_clear(&it->server_final);
	return pg_scram_server_final(&it->server, guarded_put(&guarded, data, bytes), bytes, secret, &it->proven,
				     it->client_key, &it->server_final, &it->error);
}

static enum pg_result challenge(struct exchange *it, const void *data, size_t bytes)
{
	return pg_scram_client_challenge(&it->client, guarded_put(&guarded, data, bytes), bytes, &it->error);
}

static enum pg_result verify(struct exchange *it, const struct pg_scram_keys *keys, const void *data, size_t bytes)
{
	return pg_scram_client_verify(&it->client, keys, guarded_put(&guarded, data, bytes), bytes, &it->error);
}

/* Up to the challenge, which the client has read. */
static void exchange_challenge(struct exchange *it, const struct pg_scram_secret *secret)
{
	exchange_init(it);
	const struct pg_buffer *first = &it->client.client_first;
	ck_assert_int_eq(server_first(it, secret, first->data, first->length), PG_OK);
	const struct pg_buffer *answer = &it->server.server_first;
	ck_assert_int_eq(challenge(it, answer->data, answer->length), PG_OK);
	ck_assert_uint_eq(it->client.salt_bytes, secret->salt_bytes);
	ck_assert_mem_eq(it->client.salt, secret->salt, secret->salt_bytes);
	ck_assert_uint_eq(it->client.iterations, secret->iterations);
}

/* All of it; answers whether the client was let in. */
static bool exchange_run(struct exchange *it, const struct pg_scram_secret *secret, const struct pg_scram_keys *keys)
{
	exchange_challenge(it, secret);
	pg_scram_client_answer(&it->client, keys, &it->client_final);
	ck_assert(!it->client_final.failed);
	ck_assert_int_eq(server_final(it, secret, it->client_final.data, it->client_final.length), PG_OK);
	return it->proven;
}

/* ---- vectors from outside ---- */

#define RFC_CLIENT_FIRST "n,,n=user,r=rOprNGfwEbeRWgbNEkqO"
#define RFC_NONCE "rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"
#define RFC_SERVER_FIRST "r=" RFC_NONCE ",s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"
#define RFC_CLIENT_FINAL "c=biws,r=" RFC_NONCE ",p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
#define RFC_SERVER_FINAL "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="

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

/* What PostgreSQL 15 stored for these passwords: SASLprep must agree with its own, the cases included where SASLprep
 * refuses and the password is taken as it stands. */
static const struct {
	const char *password;
	const char *stored;
} postgres_secrets[] = {
	{ "pencil", "SCRAM-SHA-256$4096:5jctz8PirbsnnpE9SvXDjQ==$viS9z5oUMYOy3rMf7ZmRUO8FRSkjHQp0YXc5sGddIjA=:"
		    "igodGVzDdP8RDUaxfW///9Ra5ji1gryLspmgJmVB/dc=" },
	{ "I\u00adX caf\u00e9 \u2168\u00a0.",
	  "SCRAM-SHA-256$4096:nJe8v1bKMtuIv159tkfyDw==$jvsyDjNctJEiJ6SeNQ7OzhVkLby1VqifmwKdn+/u0QY=:"
	  "It89w+XzyGU3btUO8SHG7fjw8p56B8+hmFUSD/VAan0=" },
	/* not assigned in Unicode 3.2 */
	{ "\u0221x", "SCRAM-SHA-256$4096:uRUT+rd9x1avAiyjAwwY7w==$8e0VC4nsMHZE9Hl3VoWgjsw12zH3HbHClqgimId5jFk=:"
		     "Kzehjz9uCzVc0mcizEs1ql9SS6ZshG2RR4R8jKKgPlY=" },
	/* a soft hyphen alone: nothing would be left */
	{ "\u00ad", "SCRAM-SHA-256$4096:JNC1iMOzoIBoqakho89oCw==$iM5hS9gWUQVUuMJe0Ifx3b10rV86Na2oSypWWqri24w=:"
		    "rXlA+vYFu4ss0SUjU+YkFZqRdO98boyRZwtEmyVdIbA=" },
	/* a space without width */
	{ "a\u200bb", "SCRAM-SHA-256$4096:NkENkk5Rld/LP4e9NkfSkQ==$QIthu4ujDvMPQR0qbcKiS1Ny9ZVvJe0YKnFp/3c7x34=:"
		      "zHgWrKUtB1t5vGUycDPd5D6yhYfMUUmJZB/xYSlcS3E=" },
	/* right to left, and does not end so */
	{ "\u06271", "SCRAM-SHA-256$4096:qW09FRX85j6fGFhtyICNsQ==$QHqgTFx8xDuBLktmODRml7SBDatRIAFOux4T6kg2B8k=:"
		     "0EMjhHDHgCT5FueYSX5T7aCfrygJzArq+0IwhTyagZM=" },
};

START_TEST(secrets_that_postgresql_made)
{
	struct pg_scram_secret stored;
	ck_assert_int_eq(pg_scram_secret_parse(postgres_secrets[_i].stored, &stored), PG_OK);
	struct pg_scram_keys keys;
	ck_assert(pg_scram_derive_keys(postgres_secrets[_i].password, stored.salt, stored.salt_bytes, stored.iterations,
				       &keys));
	struct pg_scram_secret made;
	pg_scram_secret_from_keys(&keys, stored.salt, stored.salt_bytes, stored.iterations, &made);
	struct pg_buffer printed = PG_BUFFER_EMPTY;
	pg_scram_secret_print(&made, &printed);
	ck_assert(!printed.failed);
	ck_assert_str_eq((const char *)printed.data, postgres_secrets[_i].stored);
	ck_assert_uint_eq(printed.length, strlen(postgres_secrets[_i].stored) + 1);
	pg_buffer_wipe(&printed);

	struct exchange it;
	ck_assert(exchange_run(&it, &stored, &keys));
	exchange_clear(&it);
}
END_TEST

/* ---- passwords ---- */

static void expect_same_keys(const char *a, const char *b, bool same)
{
	struct pg_scram_keys of_a = keys_of(a);
	struct pg_scram_keys of_b = keys_of(b);
	ck_assert_int_eq(memcmp(&of_a, &of_b, sizeof(of_a)) == 0, same);
}

START_TEST(saslprep)
{
	expect_same_keys("\u2168", "IX", true);             /* compatibility */
	expect_same_keys("a\u00a0b\u3000c", "a b c", true); /* spaces */
	expect_same_keys("a\u00adb\u200dc", "abc", true);   /* mapped to nothing */
	expect_same_keys("a\u200bb", "a b", true);          /* a space without width is one too */
	expect_same_keys("e\u0301", "\u00e9", true);        /* composed */
	expect_same_keys("pass", "Pass", false);            /* case stays */
	expect_same_keys("", "\u00ad", false);              /* nothing is left: as it stands */
}
END_TEST

/* The salted password without any preparation, from OpenSSL alone. */
static void expect_raw_keys(const char *password)
{
	uint8_t salted[PG_SCRAM_KEY_BYTES];
	uint8_t client_key[PG_SCRAM_KEY_BYTES];
	ck_assert_int_eq(PKCS5_PBKDF2_HMAC(password, (int)strlen(password), salt, sizeof(salt), ROUNDS, EVP_sha256(),
					   sizeof(salted), salted),
			 1);
	ck_assert_ptr_nonnull(EVP_Q_mac(NULL, "HMAC", NULL, "SHA256", NULL, salted, sizeof(salted),
					(const unsigned char *)"Client Key", 10, client_key, sizeof(client_key), NULL));
	struct pg_scram_keys keys = keys_of(password);
	ck_assert_mem_eq(keys.client_key, client_key, sizeof(client_key));
}

START_TEST(passwords_that_saslprep_refuses_stay_as_they_are)
{
	expect_raw_keys("");
	expect_raw_keys("tab\tand bell\a");
	expect_raw_keys("\u00e9\a");              /* a control character */
	expect_raw_keys("\xff\xfe latin");        /* not UTF-8 */
	expect_raw_keys("\xc3");                  /* half a character */
	expect_raw_keys("\xed\xa0\x80");          /* a surrogate */
	expect_raw_keys("\xc0\xaf");              /* overlong */
	expect_raw_keys("\ue000");                /* private use */
	expect_raw_keys("\U0001f600");            /* not in Unicode 3.2 */
	expect_raw_keys("\u0627a");               /* right to left mixed with left to right */
}
END_TEST

/* Trap 10: 64 KB tokens, in ASCII and in what SASLprep makes longest and slowest. */
START_TEST(long_passwords)
{
	static const char *const pieces[] = { "x", "\u00e9", "\ufdfa", "\u0301\u0323", "\u00ad" };
	char *password = malloc(65536 + 8);
	ck_assert_ptr_nonnull(password);
	size_t length = 0;
	while (length < 65536) {
		memcpy(password + length, pieces[_i], strlen(pieces[_i]));
		length += strlen(pieces[_i]);
	}
	password[length] = '\0';
	struct pg_scram_secret secret = secret_of(password);
	struct pg_scram_keys keys = keys_of(password);
	struct exchange it;
	ck_assert(exchange_run(&it, &secret, &keys));
	exchange_clear(&it);
	/* Its last character counts too. */
	password[length - strlen(pieces[_i])] = '\0';
	keys = keys_of(password);
	ck_assert(!exchange_run(&it, &secret, &keys));
	exchange_clear(&it);
	free(password);
}
END_TEST

START_TEST(keys_within_bounds_only)
{
	static const uint8_t long_salt[PG_SCRAM_SALT_BYTES_MAX + 1] = { 1 };
	struct pg_scram_keys keys;
	ck_assert(pg_scram_derive_keys("x", long_salt, PG_SCRAM_SALT_BYTES_MAX, 1, &keys));
	ck_assert(!pg_scram_derive_keys("x", long_salt, PG_SCRAM_SALT_BYTES_MAX + 1, 1, &keys));
	ck_assert(!pg_scram_derive_keys("x", long_salt, 16, 0, &keys));
	ck_assert(!pg_scram_derive_keys("x", long_salt, 16, PG_SCRAM_ITERATIONS_MAX + 1, &keys));
	ck_assert(!pg_scram_derive_keys("x", long_salt, 16, UINT32_MAX, &keys));
}
END_TEST

/* ---- secrets ---- */

#define STORED "viS9z5oUMYOy3rMf7ZmRUO8FRSkjHQp0YXc5sGddIjA="
#define SERVER "igodGVzDdP8RDUaxfW///9Ra5ji1gryLspmgJmVB/dc="

static const char *const bad_secrets[] = {
	"",
	"pencil",
	"md58bbf3f45673bf67d02e4214911f3417f",
	"SCRAM-SHA-1$4096:c2FsdA==$" STORED ":" SERVER,
	"SCRAM-SHA-256-PLUS$4096:c2FsdA==$" STORED ":" SERVER,
	"scram-sha-256$4096:c2FsdA==$" STORED ":" SERVER,
	"SCRAM-SHA-256$0:c2FsdA==$" STORED ":" SERVER,
	"SCRAM-SHA-256$:c2FsdA==$" STORED ":" SERVER,
	"SCRAM-SHA-256$-1:c2FsdA==$" STORED ":" SERVER,
	"SCRAM-SHA-256$+1:c2FsdA==$" STORED ":" SERVER,
	"SCRAM-SHA-256$4096x:c2FsdA==$" STORED ":" SERVER,
	"SCRAM-SHA-256$10000001:c2FsdA==$" STORED ":" SERVER,
	"SCRAM-SHA-256$4294967297:c2FsdA==$" STORED ":" SERVER,
	"SCRAM-SHA-256$18446744073709551617:c2FsdA==$" STORED ":" SERVER,
	"SCRAM-SHA-256$4096:$" STORED ":" SERVER,
	"SCRAM-SHA-256$4096:c2FsdA=$" STORED ":" SERVER,
	"SCRAM-SHA-256$4096:c2Fsd===$" STORED ":" SERVER,
	"SCRAM-SHA-256$4096: c2FsdA=$" STORED ":" SERVER,
	"SCRAM-SHA-256$4096:c2F*dA==$" STORED ":" SERVER,
	"SCRAM-SHA-256$4096:c2FsdA==$" STORED ":" SERVER "\n",
	"SCRAM-SHA-256$4096:c2FsdA==$" STORED ":" SERVER ":",
	"SCRAM-SHA-256$4096:c2FsdA==$" STORED ":c2FsdA==",
	"SCRAM-SHA-256$4096:c2FsdA==$c2FsdA==:" SERVER,
	"SCRAM-SHA-256$4096:c2FsdA==$" STORED "AAAA:" SERVER,
};

START_TEST(bad_secrets_are_refused)
{
	struct pg_scram_secret secret;
	const char *text = bad_secrets[_i];
	text = (const char *)guarded_put(&guarded, text, strlen(text) + 1);
	ck_assert_int_eq(pg_scram_secret_parse(text, &secret), PG_BAD);
}
END_TEST

START_TEST(every_prefix_of_a_secret_is_refused)
{
	char text[300];
	snprintf(text, sizeof(text), "%s", postgres_secrets[0].stored);
	for (size_t length = strlen(text); length-- > 0;) {
		text[length] = '\0';
		struct pg_scram_secret secret;
		const char *at = (const char *)guarded_put(&guarded, text, length + 1);
		ck_assert_int_eq(pg_scram_secret_parse(at, &secret), PG_BAD);
	}
}
END_TEST

/* Salts of every length there and back. */
START_TEST(secrets_round_trip)
{
	struct pg_scram_keys keys = keys_of("pencil");
	uint8_t long_salt[PG_SCRAM_SALT_BYTES_MAX + 1];
	for (size_t i = 0; i < sizeof(long_salt); i++)
		long_salt[i] = (uint8_t)(i * 7);
	for (size_t bytes = 1; bytes <= PG_SCRAM_SALT_BYTES_MAX; bytes++) {
		struct pg_scram_secret secret;
		struct pg_scram_secret again;
		pg_scram_secret_from_keys(&keys, long_salt, bytes, PG_SCRAM_ITERATIONS_MAX, &secret);
		struct pg_buffer printed = PG_BUFFER_EMPTY;
		pg_scram_secret_print(&secret, &printed);
		ck_assert(!printed.failed);
		ck_assert_int_eq(pg_scram_secret_parse((const char *)printed.data, &again), PG_OK);
		ck_assert_uint_eq(again.iterations, PG_SCRAM_ITERATIONS_MAX);
		ck_assert_uint_eq(again.salt_bytes, bytes);
		ck_assert_mem_eq(again.salt, long_salt, bytes);
		ck_assert_mem_eq(again.stored_key, secret.stored_key, PG_SCRAM_KEY_BYTES);
		ck_assert_mem_eq(again.server_key, keys.server_key, PG_SCRAM_KEY_BYTES);
		pg_buffer_clear(&printed);
	}
}
END_TEST

/* Neither salt can be a secret's: what is made of them lets nobody in. */
START_TEST(a_secret_with_a_bad_salt_is_unusable)
{
	static const size_t lengths[] = { 0, PG_SCRAM_SALT_BYTES_MAX + 1 };
	static const uint8_t bytes[PG_SCRAM_SALT_BYTES_MAX + 1] = { 1 };
	struct pg_scram_keys keys = keys_of("pencil");
	for (size_t i = 0; i < COUNT(lengths); i++) {
		struct pg_scram_secret secret;
		pg_scram_secret_from_keys(&keys, bytes, lengths[i], 4096, &secret);
		ck_assert_uint_eq(secret.iterations, 0);
		struct exchange it;
		exchange_init(&it);
		const struct pg_buffer *first = &it.client.client_first;
		ck_assert_int_eq(server_first(&it, &secret, first->data, first->length), PG_BAD);
		exchange_clear(&it);
	}
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

/* Trap 77: the keys that a client proved log in again, elsewhere and later, with the secret from the store or made anew;
 * and a login before or after does not disturb the next. */
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

/* Builds what a client that says "y,," would answer: the same but for c=. */
static void answer_with_flag_y(struct exchange *it, const struct pg_scram_keys *keys, const char *header)
{
	/* Our client says "n"; what it signs is rewritten between its steps. */
	struct pg_buffer bare = PG_BUFFER_EMPTY;
	pg_buffer_put_bytes(&bare, it->client.client_first.data + 3, it->client.client_first.length - 3);
	uint8_t stored_key[PG_SCRAM_KEY_BYTES];
	uint8_t signature[PG_SCRAM_KEY_BYTES];
	ck_assert_int_eq(EVP_Digest(keys->client_key, sizeof(keys->client_key), stored_key, NULL, EVP_sha256(), NULL), 1);

	char without_proof[200];
	snprintf(without_proof, sizeof(without_proof), "c=%s,r=%s", header, it->client.combined_nonce);
	pg_buffer_put_u8(&bare, ',');
	pg_buffer_put_bytes(&bare, it->server.server_first.data, it->server.server_first.length);
	pg_buffer_put_u8(&bare, ',');
	pg_buffer_put_bytes(&bare, without_proof, strlen(without_proof));
	ck_assert_ptr_nonnull(EVP_Q_mac(NULL, "HMAC", NULL, "SHA256", NULL, stored_key, sizeof(stored_key), bare.data,
					bare.length, signature, sizeof(signature), NULL));
	for (size_t i = 0; i < sizeof(signature); i++)
		signature[i] ^= keys->client_key[i];
	char proof[64];
	EVP_EncodeBlock((unsigned char *)proof, signature, sizeof(signature));

	pg_buffer_clear(&it->client_final);
	pg_buffer_put_bytes(&it->client_final, without_proof, strlen(without_proof));
	pg_buffer_put_bytes(&it->client_final, ",p=", 3);
	pg_buffer_put_bytes(&it->client_final, proof, strlen(proof));
	pg_buffer_clear(&bare);
}

/* Trap 78: who says "y" must repeat "y", though the proof be right. */
START_TEST(the_channel_binding_must_repeat_the_flag)
{
	static const struct {
		const char *flag;
		const char *header;
		bool good;
	} cases[] = { { "y", "eSws", true },  { "y", "biws", false }, { "n", "biws", true },
		      { "n", "eSws", false }, { "n", "bixh", false }, { "n", "biwsbiws", false } };
	struct pg_scram_secret secret = secret_of("pencil");
	struct pg_scram_keys keys = keys_of("pencil");
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct exchange it;
		exchange_init(&it);
		it.client.client_first.data[0] = (uint8_t)cases[i].flag[0];
		const struct pg_buffer *first = &it.client.client_first;
		ck_assert_int_eq(server_first(&it, &secret, first->data, first->length), PG_OK);
		const struct pg_buffer *answer = &it.server.server_first;
		ck_assert_int_eq(challenge(&it, answer->data, answer->length), PG_OK);
		answer_with_flag_y(&it, &keys, cases[i].header);
		enum pg_result result = server_final(&it, &secret, it.client_final.data, it.client_final.length);
		ck_assert_int_eq(result, cases[i].good ? PG_OK : PG_BAD);
		ck_assert_int_eq(it.proven, cases[i].good);
		if (!cases[i].good)
			ck_assert_str_eq(it.error, "the channel binding does not match");
		exchange_clear(&it);
	}
}
END_TEST

/* ---- damage: traps 1 and 2 ---- */

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
	const struct pg_buffer *answer = &it.server.server_first;
	ck_assert_int_eq(challenge(&it, answer->data, answer->length), PG_BAD);
	/* The other side's messages where ours are due. */
	ck_assert_int_eq(server_final(&it, &secret, answer->data, answer->length), PG_BAD);
	const struct pg_buffer *first = &it.client.client_first;
	ck_assert_int_eq(server_final(&it, &secret, first->data, first->length), PG_BAD);
	exchange_clear(&it);
}
END_TEST

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
	static const char foreign[] = "r=somebodyelse,s=c2FsdA==,i=1";
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
			enum pg_result result =
				i == 0 ? server_first(&fresh, &secret, message.data, message.length) :
				i == 1 ? challenge(&fresh, message.data, message.length) :
					 verify(&it, &keys, message.data, message.length);
			ck_assert_msg(result == (over ? PG_BAD : PG_OK), "message %zu, %zu over: %s", i, over,
				      i == 2 ? it.error : fresh.error);
			pg_buffer_clear(&message);
		}
		exchange_clear(&fresh);
	}
	exchange_clear(&it);
}
END_TEST

/* Random text made of what SCRAM is made of, into every reader. */
START_TEST(random_messages)
{
	static const char *const pieces[] = { "n,,", "y,,",  "p=x,,", "n=",    "r=",      "s=",   "i=",     "c=biws", "p=",
					      "v=",  "e=",   ",",     "=",     "4096",    "abcd", "c2FsdA==", "m=",   "a=",
					      "\xff", "\x01", "r=Y2xpZW50IGNsaWVudCBjbGkA", "99999999999" };
	struct pg_scram_secret secret = secret_of("pencil");
	struct pg_scram_keys keys = keys_of("pencil");
	struct exchange it;
	ck_assert(exchange_run(&it, &secret, &keys));
	unsigned seed = 5802;
	size_t accepted = 0;
	for (int round = 0; round < 50000; round++) {
		char message[256] = "";
		for (int count = rand_r(&seed) % 8; count > 0; count--)
			strcat(message, pieces[(size_t)rand_r(&seed) % COUNT(pieces)]);
		size_t bytes = strlen(message);
		struct exchange fresh;
		exchange_init(&fresh);
		accepted += server_first(&fresh, &secret, message, bytes) == PG_OK;
		accepted += challenge(&fresh, message, bytes) == PG_OK;
		exchange_clear(&fresh);
		server_final(&it, &secret, message, bytes);
		ck_assert(!it.proven);
		ck_assert_int_eq(verify(&it, &keys, message, bytes), PG_BAD);
	}
	ck_assert_uint_gt(accepted, 0);
	exchange_clear(&it);
}
END_TEST

/* ---- md5, compare ---- */

START_TEST(md5_secrets_and_answers)
{
	char secret[PG_MD5_TEXT_BYTES];
	char answer[PG_MD5_TEXT_BYTES];
	ck_assert(pg_md5_secret("password", "user", secret));
	ck_assert_str_eq(secret, "md54d45974e13472b5a0be3533de4666414");
	ck_assert(pg_md5_response(secret, (const uint8_t *)"\1\2\3\4", answer));
	ck_assert_str_eq(answer, "md5a3576f1ae039b8996bc4fc2720f9c71a");
	/* As PostgreSQL stored it for the role m. */
	ck_assert(pg_md5_secret("pencil", "m", secret));
	ck_assert_str_eq(secret, "md58bbf3f45673bf67d02e4214911f3417f");
	ck_assert(pg_md5_secret("", "", secret));
	ck_assert_str_eq(secret, "md5d41d8cd98f00b204e9800998ecf8427e");
	ck_assert(pg_md5_response(secret, (const uint8_t *)"\0\0\0\0", answer));
	ck_assert_str_ne(answer, secret);
}
END_TEST

START_TEST(compare)
{
	uint8_t a[64] = { 0 };
	uint8_t b[64] = { 0 };
	ck_assert(pg_equal_constant_time(a, b, sizeof(a)));
	ck_assert(pg_equal_constant_time(a, b, 0));
	for (size_t i = 0; i < sizeof(a); i++) {
		b[i] = 0x80;
		ck_assert(!pg_equal_constant_time(a, b, sizeof(a)));
		ck_assert(pg_equal_constant_time(a, b, i));
		b[i] = 0;
	}
}
END_TEST

static void add_password_tests(TCase *tcase)
{
	tcase_add_loop_test(tcase, secrets_that_postgresql_made, 0, (int)COUNT(postgres_secrets));
	tcase_add_test(tcase, saslprep);
	tcase_add_test(tcase, passwords_that_saslprep_refuses_stay_as_they_are);
	tcase_add_loop_test(tcase, long_passwords, 0, 5);
	tcase_add_test(tcase, keys_within_bounds_only);
	tcase_add_loop_test(tcase, bad_secrets_are_refused, 0, (int)COUNT(bad_secrets));
	tcase_add_test(tcase, every_prefix_of_a_secret_is_refused);
	tcase_add_test(tcase, secrets_round_trip);
	tcase_add_test(tcase, a_secret_with_a_bad_salt_is_unusable);
	tcase_add_test(tcase, md5_secrets_and_answers);
	tcase_add_test(tcase, compare);
}

static void add_exchange_tests(TCase *tcase)
{
	tcase_add_test(tcase, rfc_7677_as_client);
	tcase_add_test(tcase, rfc_7677_as_server);
	tcase_add_test(tcase, our_client_with_our_server);
	tcase_add_test(tcase, a_wrong_password_is_not_proven);
	tcase_add_test(tcase, a_server_that_does_not_know_us_is_refused);
	tcase_add_test(tcase, proven_keys_log_in_again);
	tcase_add_test(tcase, channel_binding_flags);
	tcase_add_test(tcase, the_channel_binding_must_repeat_the_flag);
	tcase_add_test(tcase, steps_out_of_order);
}

static void add_damage_tests(TCase *tcase)
{
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
}

Suite *scram_suite(void);
Suite *scram_suite(void)
{
	Suite *suite = suite_create("scram");
	TCase *tcase = tcase_create("scram");
	tcase_add_checked_fixture(tcase, set_up, tear_down);
	add_password_tests(tcase);
	add_exchange_tests(tcase);
	add_damage_tests(tcase);
	suite_add_tcase(suite, tcase);
	return suite;
}
