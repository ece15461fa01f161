#include <check.h>
#include <stdio.h>

#include "pooler/hash.h"

Suite *hash_suite(void);

#define BUCKETS 64
#define NAMES 6400

START_TEST(equal_bytes_have_equal_hashes)
{
	char text[40];
	char copy[64];

	memset(text, 'a', sizeof(text));
	for (size_t bytes = 0; bytes <= sizeof(text); bytes++) {
		/* Elsewhere, at every alignment, and with other bytes behind it. */
		memset(copy, (int)bytes, sizeof(copy));
		memcpy(copy + bytes % 8, text, bytes);
		ck_assert_uint_eq(hash_bytes(text, bytes), hash_bytes(copy + bytes % 8, bytes));
	}
}
END_TEST

/* One bit, wherever it is, and a length in zeros that only the length tells apart. */
START_TEST(unequal_bytes_have_unequal_hashes)
{
	char zeros[24] = { 0 };
	uint32_t hash = hash_bytes(zeros, sizeof(zeros));

	for (size_t i = 0; i < sizeof(zeros); i++) {
		zeros[i] = 1;
		ck_assert_uint_ne(hash_bytes(zeros, sizeof(zeros)), hash);
		zeros[i] = 0;
	}
	for (size_t bytes = 0; bytes < sizeof(zeros); bytes++)
		ck_assert_uint_ne(hash_bytes(zeros, bytes), hash_bytes(zeros, bytes + 1));
}
END_TEST

/* uthash takes the lowest bits: names that differ in their last digits only must spread over them. */
START_TEST(names_spread_over_buckets)
{
	int filled[BUCKETS] = { 0 };
	char name[32];

	for (int i = 0; i < NAMES; i++) {
		int bytes = snprintf(name, sizeof(name), "database_%06d", i);
		filled[hash_bytes(name, (size_t)bytes) % BUCKETS]++;
	}
	for (int i = 0; i < BUCKETS; i++)
		ck_assert_msg(filled[i] > NAMES / BUCKETS / 3 && filled[i] < NAMES / BUCKETS * 3,
			      "seed %llx: bucket %d holds %d", (unsigned long long)hash_seed, i, filled[i]);
}
END_TEST

struct element {
	char name[16];
	UT_hash_handle hh;
};

START_TEST(tables_find_what_was_added)
{
	static struct element elements[1000];
	struct element *table = NULL;
	struct element *found;

	for (int i = 0; i < 1000; i++) {
		snprintf(elements[i].name, sizeof(elements[i].name), "name %d", i);
		HASH_ADD_STR(table, name, &elements[i]);
	}
	for (int i = 0; i < 1000; i++) {
		HASH_FIND_STR(table, elements[i].name, found);
		ck_assert_ptr_eq(found, &elements[i]);
	}
	HASH_FIND_STR(table, "name 1000", found);
	ck_assert_ptr_null(found);
	HASH_CLEAR(hh, table);
}
END_TEST

Suite *hash_suite(void)
{
	Suite *suite = suite_create("hash");
	TCase *cases = tcase_create("hash");

	tcase_add_test(cases, equal_bytes_have_equal_hashes);
	tcase_add_test(cases, unequal_bytes_have_unequal_hashes);
	tcase_add_test(cases, names_spread_over_buckets);
	tcase_add_test(cases, tables_find_what_was_added);
	suite_add_tcase(suite, cases);
	return suite;
}
