#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/evp.h>

#include "protocol/scram.h"
#include "tests/unit/scram_exchange.h"

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
	expect_same_keys("\ufdfa\ufdfa",                    /* what grows most: 18 characters for one */
			 "\u0635\u0644\u0649 \u0627\u0644\u0644\u0647 "
			 "\u0639\u0644\u064a\u0647 \u0648\u0633\u0644\u0645"
			 "\u0635\u0644\u0649 \u0627\u0644\u0644\u0647 "
			 "\u0639\u0644\u064a\u0647 \u0648\u0633\u0644\u0645",
			 true);
	expect_same_keys("pass", "Pass", false); /* case stays */
	expect_same_keys("", "\u00ad", false);   /* nothing is left: as it stands */
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

/* The soft hyphen would go if SASLprep were not to refuse the rest. */
START_TEST(passwords_that_saslprep_refuses_stay_as_they_are)
{
	expect_raw_keys("");
	expect_raw_keys("tab\tand bell\a");
	expect_raw_keys("\u00ad\a");           /* a control character */
	expect_raw_keys("\u00ad\xff\xfe");     /* not UTF-8 */
	expect_raw_keys("\u00ad\xc3");         /* half a character */
	expect_raw_keys("\u00ad\xed\xa0\x80"); /* a surrogate */
	expect_raw_keys("\u00ad\xc0\xaf");     /* overlong */
	expect_raw_keys("\u00ad\ue000");       /* private use */
	expect_raw_keys("\u00ad\u0221");       /* not in Unicode 3.2 */
	expect_raw_keys("\u00ad\U0001f600");   /* nor this */
	expect_raw_keys("\u00ad\u0627a");      /* right to left mixed with left to right */
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

Suite *scram_secret_suite(void);
Suite *scram_secret_suite(void)
{
	Suite *suite = suite_create("scram_secret");
	TCase *tcase = tcase_create("scram_secret");
	tcase_add_checked_fixture(tcase, set_up, tear_down);
	tcase_set_timeout(tcase, 60); /* long passwords, under a sanitizer */
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
	suite_add_tcase(suite, tcase);
	return suite;
}
