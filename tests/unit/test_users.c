#define _GNU_SOURCE /* nftw */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pooler/users.h"
#include "tests/unit/seed.h"
#include "tests/unit/temporary.h"

Suite *users_suite(void);

#define SCRAM_SECRET \
	"SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:" \
	"wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU="
#define MD5_SECRET "md5d41d8cd98f00b204e9800998ecf8427e"

/* The faults of the last file, as "line:text;". */
static char faults[4096];

static void note_fault(void *context, const char *file, unsigned line, const char *text)
{
	size_t used = strlen(faults);

	(void)context;
	ck_assert_str_eq(file, temporary_path("userlist.txt"));
	ck_assert(used + strlen(text) + 16 < sizeof(faults));
	snprintf(faults + used, sizeof(faults) - used, "%u:%s;", line, text);
}

static bool read_bytes(struct users *users, const void *data, size_t bytes)
{
	faults[0] = '\0';
	temporary_write_bytes("userlist.txt", data, bytes);
	return users_read_file(users, temporary_path("userlist.txt"), note_fault, NULL);
}

static struct users *read_good(const char *text)
{
	struct users *users = users_create();

	ck_assert_msg(read_bytes(users, text, strlen(text)), "%s: %s", text, faults);
	ck_assert_str_eq(faults, "");
	return users;
}

/* Refused, and the first fault begins so. */
static void refuse(const char *text, const char *fault)
{
	struct users *users = users_create();

	ck_assert_msg(!read_bytes(users, text, strlen(text)), "accepted: %s", text);
	ck_assert_msg(strncmp(faults, fault, strlen(fault)) == 0, "%s: \"%s\", not \"%s\"", text, faults, fault);
	users_drop(users);
}

START_TEST(kinds_of_secrets)
{
	struct users *users = read_good("\"joe\" \"hunter2\"\n"
					"\"ann\" \"" MD5_SECRET "\"\n"
					"\"bob\" \"" SCRAM_SECRET "\"\n"
					"\"eve\" \"\"\n"
					"\"max\" \"md5short\"\n"
					"\"may\" \"md5D41D8CD98F00B204E9800998ECF8427E\"\n"
					"\"moe\" \"SCRAM-SHA-256\"\n");

	ck_assert_uint_eq(users_count(users), 7);
	ck_assert_int_eq(users_find(users, "joe")->kind, USER_SECRET_PLAIN);
	ck_assert_str_eq(users_find(users, "joe")->secret, "hunter2");
	ck_assert_ptr_null(users_find(users, "joe")->scram);
	ck_assert_int_eq(users_find(users, "ann")->kind, USER_SECRET_MD5);
	ck_assert_str_eq(users_find(users, "ann")->secret, MD5_SECRET);
	ck_assert_int_eq(users_find(users, "bob")->kind, USER_SECRET_SCRAM);
	ck_assert_uint_eq(users_find(users, "bob")->scram->iterations, 4096);
	ck_assert_uint_eq(users_find(users, "bob")->scram->salt_bytes, 16);
	ck_assert_int_eq(users_find(users, "eve")->kind, USER_SECRET_NONE);
	ck_assert_str_eq(users_find(users, "eve")->secret, "");
	ck_assert_int_eq(users_find(users, "max")->kind, USER_SECRET_PLAIN);
	ck_assert_int_eq(users_find(users, "may")->kind, USER_SECRET_PLAIN);
	ck_assert_int_eq(users_find(users, "moe")->kind, USER_SECRET_PLAIN);
	ck_assert_ptr_null(users_find(users, "JOE"));
	ck_assert_ptr_null(users_find(users, ""));
	ck_assert_str_eq(users_at(users, 0)->name, "joe");
	ck_assert_str_eq(users_at(users, 6)->name, "moe");
	users_drop(users);
}
END_TEST

START_TEST(comments_blanks_and_ends_of_lines)
{
	struct users *users = read_good("; comment\n"
					"# comment \"x\" \"y\"\n"
					"\n"
					"   \t \r\n"
					"  ; \"x\" \"y\"\n"
					"  \"a\"\t \t\"1\" rest of the line is \"ignored\"\r\n"
					"\"b\" \"2\"");

	ck_assert_uint_eq(users_count(users), 2);
	ck_assert_str_eq(users_find(users, "a")->secret, "1");
	users_drop(users);
}
END_TEST

START_TEST(quotes_are_doubled)
{
	struct users *users = read_good("\"b\"\"c\" \"\"\"\"\r\n\"d\" \"x;y#z\" ; comment");

	ck_assert_str_eq(users_find(users, "b\"c")->secret, "\"");
	ck_assert_str_eq(users_find(users, "d")->secret, "x;y#z");
	users_drop(users);
}
END_TEST

START_TEST(faults_name_their_line)
{
	refuse("\n\njoe hunter\n", "3:expected a user's name in double quotes;");
	refuse("\"joe\n", "1:the double quote around the name is not closed;");
	refuse("\"joe\"\n\"x\" \"y\"", "1:expected a secret in double quotes after the name;");
	refuse("\"joe\" hunter\n", "1:expected a secret");
	refuse("; x\n\"joe\" \"hunter\n\"x\" \"y\"", "2:the double quote around the secret is not closed;");
	refuse("\"joe\" \"hun\"ter\"\n", "1:expected a blank after the secret");
	refuse("\"joe\" \"a\"\n\"ann\" \"b\"\n\"joe\" \"c\"\n", "3:this user is there already;");
	refuse("\"\" \"a\"\n", "1:a user's name has 1 to 63 bytes;");
	refuse("\"joe\" \"SCRAM-SHA-256$4096:x\"\n", "1:the SCRAM-SHA-256 secret is broken;");
}
END_TEST

START_TEST(every_fault_is_told)
{
	struct users *users = users_create();
	const char *text = "x\n\"a\" \"1\"\ny\n";

	ck_assert(!read_bytes(users, text, strlen(text)));
	ck_assert_str_eq(faults,
			 "1:expected a user's name in double quotes;3:expected a user's name in double quotes;");
	users_drop(users);
}
END_TEST

START_TEST(zero_bytes_are_refused)
{
	static const char text[] = "\"a\" \"1\"\n\"b\" \"2\0\"\n";
	struct users *users = users_create();

	ck_assert(!read_bytes(users, text, sizeof(text) - 1));
	ck_assert_str_eq(faults, "2:there is a zero byte in this line;");
	users_drop(users);
}
END_TEST

START_TEST(names_and_secrets_have_bounds)
{
	static char text[70000];
	struct users *users;

	snprintf(text, sizeof(text), "\"%063d\" \"%065536d\"\n", 1, 2);
	users = read_good(text);
	ck_assert_uint_eq(strlen(users_at(users, 0)->name), 63);
	ck_assert_uint_eq(strlen(users_at(users, 0)->secret), 65536);
	users_drop(users);
	snprintf(text, sizeof(text), "\"%064d\" \"x\"\n", 1);
	refuse(text, "1:a user's name has 1 to 63 bytes;");
	snprintf(text, sizeof(text), "\"x\" \"%065537d\"\n", 1);
	refuse(text, "1:the secret is longer than 64 KB;");
}
END_TEST

START_TEST(a_missing_file_is_a_fault)
{
	struct users *users = users_create();

	faults[0] = '\0';
	temporary_path("userlist.txt");
	ck_assert(!users_read_file(users, temporary_path("userlist.txt"), note_fault, NULL));
	ck_assert_str_eq(faults, "0:cannot be read: No such file or directory;");
	users_drop(users);
}
END_TEST

START_TEST(many_users_are_found)
{
	static char text[2000000];
	size_t used = 0;
	struct users *users;

	for (int i = 0; i < 20000; i++)
		used += (size_t)snprintf(text + used, sizeof(text) - used, "\"user%d\" \"secret%d\"\n", i, i);
	users = read_good(text);
	ck_assert_uint_eq(users_count(users), 20000);
	for (int i = 0; i < 20000; i++) {
		char name[32], secret[32];
		snprintf(name, sizeof(name), "user%d", i);
		snprintf(secret, sizeof(secret), "secret%d", i);
		ck_assert_str_eq(users_find(users, name)->secret, secret);
	}
	users_drop(users);
}
END_TEST

START_TEST(a_password_is_what_it_is)
{
	struct users *users = users_create();
	const char *fault;

	ck_assert(users_add_password(users, "joe", MD5_SECRET, &fault));
	ck_assert(users_add_password(users, "ann", "SCRAM-SHA-256$x", &fault));
	ck_assert(users_add_password(users, "eve", "", &fault));
	ck_assert(!users_add_password(users, "eve", "x", &fault));
	ck_assert_int_eq(users_find(users, "joe")->kind, USER_SECRET_PLAIN);
	ck_assert_int_eq(users_find(users, "ann")->kind, USER_SECRET_PLAIN);
	ck_assert_int_eq(users_find(users, "eve")->kind, USER_SECRET_NONE);
	users_drop(users);
}
END_TEST

START_TEST(the_last_holder_frees)
{
	struct users *users = read_good("\"a\" \"1\"\n");
	const struct users *held = users_hold(users);

	users_drop(users);
	ck_assert_str_eq(users_find(held, "a")->secret, "1");
	users_drop(held);
	users_drop(NULL);
}
END_TEST

/* Damaged files: an answer, a line for each fault, and whatever was taken is whole. */
START_TEST(damaged_files)
{
	static const char good[] = "; c\n\"joe\" \"hunter2\"\n\"a\"\"b\" \"\"\"\"\n\"bob\" \"" SCRAM_SECRET "\" x\r\n";
	static const char letters[] = "\"\"\"\n; #\\\0a";
	unsigned seed = seed_or(20261);

	for (int round = 0; round < 20000; round++) {
		char text[sizeof(good)];
		size_t bytes = 1 + (size_t)rand_r(&seed) % (sizeof(good) - 1);
		struct users *users = users_create();
		memcpy(text, good, sizeof(text));
		for (int changes = rand_r(&seed) % 5; changes > 0; changes--)
			text[(size_t)rand_r(&seed) % bytes] = letters[(size_t)rand_r(&seed) % (sizeof(letters) - 1)];
		ck_assert(read_bytes(users, text, bytes) == (faults[0] == '\0'));
		for (size_t i = 0; i < users_count(users); i++) {
			const struct user *user = users_at(users, i);
			ck_assert_ptr_eq(users_find(users, user->name), user);
			ck_assert(user->name[0] != '\0' && !strchr(user->name, '\n') && !strchr(user->secret, '\n'));
			ck_assert((user->kind == USER_SECRET_SCRAM) == (user->scram != NULL));
		}
		users_drop(users);
	}
}
END_TEST

Suite *users_suite(void)
{
	Suite *suite = suite_create("users");
	TCase *cases = tcase_create("users");

	tcase_set_timeout(cases, 60);
	tcase_add_checked_fixture(cases, temporary_setup, temporary_teardown);
	tcase_add_test(cases, kinds_of_secrets);
	tcase_add_test(cases, comments_blanks_and_ends_of_lines);
	tcase_add_test(cases, quotes_are_doubled);
	tcase_add_test(cases, faults_name_their_line);
	tcase_add_test(cases, every_fault_is_told);
	tcase_add_test(cases, zero_bytes_are_refused);
	tcase_add_test(cases, names_and_secrets_have_bounds);
	tcase_add_test(cases, a_missing_file_is_a_fault);
	tcase_add_test(cases, many_users_are_found);
	tcase_add_test(cases, a_password_is_what_it_is);
	tcase_add_test(cases, the_last_holder_frees);
	tcase_add_test(cases, damaged_files);
	suite_add_tcase(suite, cases);
	return suite;
}
