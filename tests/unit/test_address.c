#include <arpa/inet.h>
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "pooler/address.h"

Suite *address_suite(void);

static void assert_numeric(const char *host, const char *printed, const char *printed_host)
{
	union address address;
	char text[ADDRESS_TEXT_BYTES];

	ck_assert_msg(address_parse_numeric(host, 5432, &address), "%s", host);
	address_print(&address, text, sizeof(text));
	ck_assert_str_eq(text, printed);
	address_print_host(&address, text, sizeof(text));
	ck_assert_str_eq(text, printed_host);
	ck_assert_uint_eq(address_port(&address), 5432);
}

START_TEST(numeric_addresses_are_read_and_printed)
{
	union address address;

	assert_numeric("127.0.0.1", "127.0.0.1:5432", "127.0.0.1");
	assert_numeric("255.255.255.255", "255.255.255.255:5432", "255.255.255.255");
	assert_numeric("::1", "[::1]:5432", "::1");
	assert_numeric("2001:DB8:0:0::1", "[2001:db8::1]:5432", "2001:db8::1");
	assert_numeric("ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255",
		       "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:5432", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff");
	assert_numeric("fe80::1%lo", "[fe80::1%lo]:5432", "fe80::1%lo");
	assert_numeric("fe80::1%4000000000", "[fe80::1%4000000000]:5432", "fe80::1%4000000000");
	ck_assert(address_parse_numeric("127.0.0.1", 0, &address));
	ck_assert_uint_eq(address_length(&address), sizeof(struct sockaddr_in));
	ck_assert(address_parse_numeric("::", 0, &address));
	ck_assert_uint_eq(address_length(&address), sizeof(struct sockaddr_in6));
}
END_TEST

START_TEST(names_are_not_numeric)
{
	static const char *const names[] = {
		"",      "localhost", "127.0.0",      "127.0.0.256",         "127.0.0.1 ",
		"[::1]", "::1::",     "fe80::1%",     "fe80::1%-1",          "fe80::1%none",
		"%lo",   "1%lo",      "127.0.0.1%lo", "fe80::1%99999999999", "/tmp",
		"@x"
	};
	char longest[300];
	union address address;

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		ck_assert_msg(!address_parse_numeric(names[i], 1, &address), "\"%s\"", names[i]);
	memset(longest, '1', sizeof(longest) - 1);
	longest[sizeof(longest) - 1] = 0;
	ck_assert(!address_parse_numeric(longest, 1, &address));
}
END_TEST

START_TEST(unix_sockets_are_named_as_libpq_does)
{
	union address address;
	char text[ADDRESS_TEXT_BYTES];

	ck_assert(address_set_local(&address, "/run/postgresql", 5432));
	ck_assert(address_is_local(&address) && !address_is_abstract(&address));
	ck_assert_str_eq(address.local.sun_path, "/run/postgresql/.s.PGSQL.5432");
	address_print(&address, text, sizeof(text));
	ck_assert_str_eq(text, "/run/postgresql/.s.PGSQL.5432");
	address_print_host(&address, text, sizeof(text));
	ck_assert_str_eq(text, "unix");
	ck_assert_uint_eq(address_port(&address), 0);
	address_set_port(&address, 1);
	ck_assert_uint_eq(address_length(&address),
			  offsetof(struct sockaddr_un, sun_path) + sizeof("/run/postgresql/.s.PGSQL.5432"));
}
END_TEST

START_TEST(abstract_sockets_count_every_byte)
{
	union address address;
	char text[ADDRESS_TEXT_BYTES];

	ck_assert(address_set_local(&address, "@x", 65535));
	ck_assert(address_is_abstract(&address));
	ck_assert_int_eq(address.local.sun_path[0], 0);
	address_print(&address, text, sizeof(text));
	ck_assert_str_eq(text, "@x/.s.PGSQL.65535");
	ck_assert_uint_eq(address_length(&address),
			  offsetof(struct sockaddr_un, sun_path) + strlen("@x/.s.PGSQL.65535"));
}
END_TEST

/* The longest path has no NUL in the structure when somebody else bound it. */
START_TEST(longest_path)
{
	const size_t room = sizeof(((struct sockaddr_un *)0)->sun_path);
	const size_t tail = strlen("/.s.PGSQL.5432");
	union address address;
	char directory[200];
	char text[ADDRESS_TEXT_BYTES];

	memset(directory, 'd', sizeof(directory));
	directory[room - tail - 1] = 0;
	ck_assert(address_set_local(&address, directory, 5432));
	ck_assert_uint_eq(address_length(&address), offsetof(struct sockaddr_un, sun_path) + room);
	directory[room - tail - 1] = 'd';
	directory[room - tail] = 0;
	ck_assert(!address_set_local(&address, directory, 5432));
	memset(address.local.sun_path, 'x', room);
	ck_assert_uint_eq(address_length(&address), sizeof(struct sockaddr_un));
	address_print(&address, text, sizeof(text));
	ck_assert_uint_eq(strlen(text), room);
}
END_TEST

START_TEST(address_without_a_name)
{
	union address address = { .local.sun_family = AF_UNIX };
	char text[ADDRESS_TEXT_BYTES];

	address_print(&address, text, sizeof(text));
	ck_assert_str_eq(text, "unix");
	ck_assert_uint_eq(address_length(&address), sizeof(sa_family_t));
	address.local.sun_family = AF_UNSPEC;
	address_print(&address, text, sizeof(text));
	ck_assert_str_eq(text, "?:0");
}
END_TEST

START_TEST(printing_is_cut)
{
	union address address;
	char text[8];

	ck_assert(address_parse_numeric("127.0.0.1", 5432, &address));
	address_print(&address, text, sizeof(text));
	ck_assert_str_eq(text, "127.0.0");
	address_print_host(&address, text, sizeof(text));
	ck_assert_str_eq(text, "127.0.0");
}
END_TEST

Suite *address_suite(void)
{
	Suite *suite = suite_create("address");
	TCase *cases = tcase_create("address");

	tcase_add_test(cases, numeric_addresses_are_read_and_printed);
	tcase_add_test(cases, names_are_not_numeric);
	tcase_add_test(cases, unix_sockets_are_named_as_libpq_does);
	tcase_add_test(cases, abstract_sockets_count_every_byte);
	tcase_add_test(cases, longest_path);
	tcase_add_test(cases, address_without_a_name);
	tcase_add_test(cases, printing_is_cut);
	suite_add_tcase(suite, cases);
	return suite;
}
