#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pooler/conninfo.h"

Suite *conninfo_suite(void);

static char error[256];

static struct conninfo parse(const char *text)
{
	struct conninfo conninfo;

	error[0] = '\0';
	if (!conninfo_parse(&conninfo, text, NULL, error, sizeof(error)))
		ck_abort_msg("%s: %s", text, error);
	return conninfo;
}

/* Refused, and the reason has these words. */
static void refuse(const char *text, const char *words)
{
	struct conninfo conninfo;

	error[0] = '\0';
	ck_assert_msg(!conninfo_parse(&conninfo, text, NULL, error, sizeof(error)), "%s: accepted", text);
	ck_assert_msg(strstr(error, words) != NULL, "%s: \"%s\"", text, error);
	ck_assert_ptr_null(conninfo.hosts);
	ck_assert_ptr_null(conninfo.password);
}

static char *print(const struct conninfo *conninfo)
{
	struct pg_buffer out = PG_BUFFER_EMPTY;

	conninfo_print(conninfo, &out);
	pg_buffer_put_u8(&out, 0);
	ck_assert(!out.failed);
	return (char *)out.data;
}

START_TEST(keywords)
{
	struct conninfo it = parse("host=db1 port=5433 dbname=app user=joe password='p w\\'x' client_encoding=UTF8 "
				   "application_name=me options='-c a=b' connect_timeout=7");

	ck_assert_uint_eq(it.host_count, 1);
	ck_assert_str_eq(it.hosts[0].host, "db1");
	ck_assert_ptr_null(it.hosts[0].hostaddr);
	ck_assert_uint_eq(it.hosts[0].port, 5433);
	ck_assert(!it.hosts[0].is_local);
	ck_assert_str_eq(it.dbname, "app");
	ck_assert_str_eq(it.user, "joe");
	ck_assert_str_eq(it.password, "p w'x");
	ck_assert_str_eq(it.client_encoding, "UTF8");
	ck_assert_str_eq(it.application_name, "me");
	ck_assert_str_eq(it.options, "-c a=b");
	ck_assert_uint_eq(it.connect_timeout_us, 7000000);
	conninfo_clear(&it);
}
END_TEST

START_TEST(uri)
{
	struct conninfo it = parse("postgresql://joe:p%40w%2F@db1,[::1]:5433,db3:1/app?application_name=x");

	ck_assert_uint_eq(it.host_count, 3);
	ck_assert_str_eq(it.hosts[0].host, "db1");
	ck_assert_uint_eq(it.hosts[0].port, 5432);
	ck_assert_str_eq(it.hosts[1].host, "::1");
	ck_assert_uint_eq(it.hosts[1].port, 5433);
	ck_assert_uint_eq(it.hosts[2].port, 1);
	ck_assert_str_eq(it.user, "joe");
	ck_assert_str_eq(it.password, "p@w/");
	ck_assert_str_eq(it.dbname, "app");
	ck_assert_str_eq(it.application_name, "x");
	conninfo_clear(&it);

	it = parse("postgres://%2Fvar%2Frun/app");
	ck_assert_str_eq(it.hosts[0].host, "/var/run");
	ck_assert(it.hosts[0].is_local);
	conninfo_clear(&it);
}
END_TEST

START_TEST(nothing_is_the_usual_socket)
{
	struct conninfo it = parse("");

	ck_assert_uint_eq(it.host_count, 1);
	ck_assert_str_eq(it.hosts[0].host, CONNINFO_SOCKET_DIR);
	ck_assert(it.hosts[0].is_local);
	ck_assert_uint_eq(it.hosts[0].port, 5432);
	ck_assert_ptr_null(it.dbname);
	ck_assert_ptr_null(it.user);
	ck_assert_ptr_null(it.password);
	ck_assert_uint_eq(it.connect_timeout_us, 0);
	conninfo_clear(&it);
}
END_TEST

START_TEST(the_environment_is_not_looked_at)
{
	setenv("PGHOST", "elsewhere", 1);
	setenv("PGUSER", "somebody", 1);
	setenv("PGPASSWORD", "secret", 1);
	setenv("PGPORT", "1", 1);
	struct conninfo it = parse("dbname=app");
	ck_assert_str_eq(it.hosts[0].host, CONNINFO_SOCKET_DIR);
	ck_assert_uint_eq(it.hosts[0].port, 5432);
	ck_assert_ptr_null(it.user);
	ck_assert_ptr_null(it.password);
	conninfo_clear(&it);
}
END_TEST

START_TEST(hosts_addresses_and_ports_in_step)
{
	struct conninfo it = parse("host=a,b,/tmp hostaddr=10.0.0.1,,  port=1,2,3");

	ck_assert_uint_eq(it.host_count, 3);
	ck_assert_str_eq(it.hosts[0].hostaddr, "10.0.0.1");
	ck_assert_ptr_null(it.hosts[1].hostaddr);
	ck_assert(it.hosts[2].is_local);
	ck_assert_uint_eq(it.hosts[2].port, 3);
	conninfo_clear(&it);

	it = parse("hostaddr=10.0.0.1,::1 port=7");
	ck_assert_str_eq(it.hosts[1].host, "::1");
	ck_assert_str_eq(it.hosts[1].hostaddr, "::1");
	ck_assert_uint_eq(it.hosts[0].port, 7);
	ck_assert_uint_eq(it.hosts[1].port, 7);
	conninfo_clear(&it);

	/* An address makes a host of any name a TCP one. */
	it = parse("host=/tmp hostaddr=10.0.0.1");
	ck_assert(!it.hosts[0].is_local);
	conninfo_clear(&it);

	it = parse("host=@abstract,,c port=1,,3");
	ck_assert(it.hosts[0].is_local);
	ck_assert_str_eq(it.hosts[1].host, CONNINFO_SOCKET_DIR);
	ck_assert_uint_eq(it.hosts[1].port, 5432);
	conninfo_clear(&it);

	refuse("host=a,b hostaddr=10.0.0.1", "differ in their number");
	refuse("host=a,b port=1,2,3", "one port, or as many as hosts");
	refuse("hostaddr=db1", "not a numeric address");
}
END_TEST

START_TEST(ports_are_numbers)
{
	static const char *const bad[] = { "0", "65536", "-1", "x", "5432x", " 5432", "99999999999999999999", "+1" };

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		char text[64];
		snprintf(text, sizeof(text), "host=a port='%s'", bad[i]);
		refuse(text, "port");
		snprintf(text, sizeof(text), "host=/tmp port='%s'", bad[i]);
		refuse(text, "port");
	}
	struct conninfo it = parse("port=65535");
	ck_assert_uint_eq(it.hosts[0].port, 65535);
	conninfo_clear(&it);
}
END_TEST

START_TEST(timeouts_are_seconds)
{
	refuse("connect_timeout=-1", "connect_timeout");
	refuse("connect_timeout=1.5", "connect_timeout");
	refuse("connect_timeout=5s", "connect_timeout");
	refuse("connect_timeout=99999999999999999999", "connect_timeout");
	struct conninfo it = parse("connect_timeout=0");
	ck_assert_uint_eq(it.connect_timeout_us, 0);
	conninfo_clear(&it);
}
END_TEST

START_TEST(what_cannot_be_honoured_is_refused)
{
	refuse("sslmode=require", "sslmode");
	refuse("sslmode=verify-ca", "sslmode");
	refuse("sslmode=verify-full", "sslmode");
	refuse("postgres://db/app?ssl=true", "sslmode");
	refuse("gssencmode=require", "gssencmode");
	refuse("channel_binding=require", "channel_binding");
	refuse("target_session_attrs=read-write", "target_session_attrs");
	refuse("target_session_attrs=primary", "target_session_attrs");
	refuse("requirepeer=postgres", "requirepeer");
	refuse("replication=database", "replication");
	refuse("service=app", "service");
	refuse("passfile=/root/.pgpass", "passfile");
	refuse("sslcert=a.crt", "sslcert");
	refuse("sslkey=a.key", "sslkey");
	refuse("sslrootcert=ca.crt", "sslrootcert");
	refuse("ssl_min_protocol_version=TLSv1.3", "ssl_min_protocol_version");
	refuse("keepalives_idle=5", "keepalives_idle");
	refuse("tcp_user_timeout=5", "tcp_user_timeout");
	refuse("client_encoding=auto", "client_encoding");
	refuse("pool_size=20", "pool_size");
	refuse("load_balance_hosts=random", "load_balance_hosts");
}
END_TEST

START_TEST(what_is_done_anyway_is_accepted)
{
	struct conninfo it =
		parse("sslmode=disable gssencmode=disable channel_binding=disable target_session_attrs=any");
	conninfo_clear(&it);
	it = parse("sslmode=prefer gssencmode=prefer channel_binding=prefer");
	conninfo_clear(&it);
	it = parse("postgres://db/app?sslmode=allow&fallback_application_name=f");
	ck_assert_str_eq(it.application_name, "f");
	conninfo_clear(&it);
	/* Empty is not given, as for libpq. */
	it = parse("service='' sslcert='' user=''");
	ck_assert_ptr_null(it.user);
	conninfo_clear(&it);
}
END_TEST

/* No piece of a password in what goes to the log. */
START_TEST(errors_hold_no_password)
{
	static const char *const texts[] = {
		"password=hunter two",
		"password=my hunter=2",
		"password='hunter",
		"postgres://u:hun%zzter@h/d",
		"postgres://u:hunter@h:hunter/d",
		"postgres://u:hunter@h/d?hunter=1",
		"postgres://u:12/hunter@h/d",
		"postgres://u:p@hunter@h/d",
		"postgres://u:hunter/x@h/d",
		"host=h password=hunter2 sslmode=require",
	};
	struct conninfo conninfo;

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		error[0] = '\0';
		ck_assert_msg(!conninfo_parse(&conninfo, texts[i], NULL, error, sizeof(error)), "%s", texts[i]);
		ck_assert_str_ne(error, "");
		ck_assert_msg(!strstr(error, "hun"), "%s: %s", texts[i], error);
	}
	/* Where there is none, libpq's own words help. */
	refuse("host=a sslmod=disable", "sslmod");
	refuse("host=a b", "\"b\"");
}
END_TEST

START_TEST(names_have_bounds)
{
	char text[70000];

	snprintf(text, sizeof(text), "dbname=%0*d", 63, 1);
	struct conninfo it = parse(text);
	conninfo_clear(&it);
	snprintf(text, sizeof(text), "dbname=%0*d", 64, 1);
	refuse(text, "database");
	snprintf(text, sizeof(text), "user=%0*d", 64, 1);
	refuse(text, "user");
	snprintf(text, sizeof(text), "host=%0*d", 256, 1);
	refuse(text, "host");
	snprintf(text, sizeof(text), "host=/%0*d", 93, 1);
	refuse(text, "too long");
	snprintf(text, sizeof(text), "password=%0*d", 65536, 1);
	it = parse(text);
	ck_assert_uint_eq(strlen(it.password), 65536);
	conninfo_clear(&it);
	snprintf(text, sizeof(text), "password=%0*d", 65537, 1);
	refuse(text, "64 KB");
	memcpy(text, "host=", 5);
	memset(text + 5, ',', 64); /* 65 items */
	text[69] = '\0';
	refuse(text, "64 hosts");
}
END_TEST

START_TEST(parts_win_over_the_string)
{
	struct conninfo_parts parts = { .host = "h1,h2", .port = "9", .dbname = "d", .user = "u", .password = "p" };
	struct conninfo it;

	ck_assert(conninfo_parse(&it, "host=a hostaddr=10.0.0.1 port=1 dbname=b user=c password=e", &parts, error,
				 sizeof(error)));
	ck_assert_uint_eq(it.host_count, 2);
	ck_assert_str_eq(it.hosts[1].host, "h2");
	ck_assert_ptr_null(it.hosts[0].hostaddr);
	ck_assert_uint_eq(it.hosts[1].port, 9);
	ck_assert_str_eq(it.dbname, "d");
	ck_assert_str_eq(it.user, "u");
	ck_assert_str_eq(it.password, "p");
	conninfo_clear(&it);

	parts = (struct conninfo_parts){ .host = "" };
	ck_assert(conninfo_parse(&it, "host=a user=c", &parts, error, sizeof(error)));
	ck_assert_str_eq(it.hosts[0].host, CONNINFO_SOCKET_DIR);
	ck_assert_str_eq(it.user, "c");
	conninfo_clear(&it);
}
END_TEST

START_TEST(printed_it_can_be_read_again)
{
	static const char *const texts[] = {
		"",
		"host=db1",
		"host=a,b,c hostaddr=10.0.0.1,,::1 port=1,2,3 dbname='a b\\'c\\\\d' user=u",
		"hostaddr=10.0.0.1",
		"user=x://a@b@c dbname=p://a/b@c",
		"host=/tmp,@x options='-c a=b -c c=d\\\\ e' application_name='  ' connect_timeout=3 client_encoding=LATIN1",
	};

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		struct conninfo it = parse(texts[i]);
		char *printed = print(&it);
		struct conninfo again = parse(printed);
		ck_assert_msg(conninfo_equal(&it, &again), "%s: %s", texts[i], printed);
		free(printed);
		conninfo_clear(&it);
		conninfo_clear(&again);
	}
}
END_TEST

START_TEST(printed_it_hides_the_password)
{
	struct conninfo it = parse("host=h user=u password=hunter2");
	char *printed = print(&it);

	ck_assert_str_eq(printed, "host=h port=5432 user=u password=***");
	free(printed);
	conninfo_clear(&it);
}
END_TEST

START_TEST(equal_is_every_part)
{
	static const char *const different[] = {
		"host=b dbname=d user=u password=p",
		"host=a,b dbname=d user=u password=p",
		"host=a port=1 dbname=d user=u password=p",
		"host=a hostaddr=10.0.0.1 dbname=d user=u password=p",
		"host=a user=u password=p",
		"host=a dbname=e user=u password=p",
		"host=a dbname=d password=p",
		"host=a dbname=d user=u password=q",
		"host=a dbname=d user=u",
		"host=a dbname=d user=u password=p options='-c a=b'",
		"host=a dbname=d user=u password=p connect_timeout=1",
		"host=a dbname=d user=u password=p application_name=x",
		"host=a dbname=d user=u password=p client_encoding=UTF8",
	};
	struct conninfo it = parse("host=a dbname=d user=u password=p");
	struct conninfo same = parse("postgres://u:p@a:5432/d");

	ck_assert(conninfo_equal(&it, &same));
	for (size_t i = 0; i < sizeof(different) / sizeof(different[0]); i++) {
		struct conninfo other = parse(different[i]);
		ck_assert_msg(!conninfo_equal(&it, &other), "%s", different[i]);
		conninfo_clear(&other);
	}
	conninfo_clear(&it);
	conninfo_clear(&same);
}
END_TEST

Suite *conninfo_suite(void)
{
	Suite *suite = suite_create("conninfo");
	TCase *cases = tcase_create("conninfo");

	tcase_add_test(cases, keywords);
	tcase_add_test(cases, uri);
	tcase_add_test(cases, nothing_is_the_usual_socket);
	tcase_add_test(cases, the_environment_is_not_looked_at);
	tcase_add_test(cases, hosts_addresses_and_ports_in_step);
	tcase_add_test(cases, ports_are_numbers);
	tcase_add_test(cases, timeouts_are_seconds);
	tcase_add_test(cases, what_cannot_be_honoured_is_refused);
	tcase_add_test(cases, what_is_done_anyway_is_accepted);
	tcase_add_test(cases, errors_hold_no_password);
	tcase_add_test(cases, names_have_bounds);
	tcase_add_test(cases, parts_win_over_the_string);
	tcase_add_test(cases, printed_it_can_be_read_again);
	tcase_add_test(cases, printed_it_hides_the_password);
	tcase_add_test(cases, equal_is_every_part);
	suite_add_tcase(suite, cases);
	return suite;
}
