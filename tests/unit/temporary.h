/*
 * Files for a test, in a directory of its own, which goes when the test ends.
 */
#ifndef TESTS_UNIT_TEMPORARY_H
#define TESTS_UNIT_TEMPORARY_H

#include <check.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TEMPORARY_PATH_BYTES 256

static char temporary_directory[64];

/* For tcase_add_checked_fixture. */
static void temporary_setup(void)
{
	snprintf(temporary_directory, sizeof(temporary_directory), "/tmp/pgweir-test-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(temporary_directory));
}

static int temporary_remove(const char *path, const struct stat *status, int type, struct FTW *walk)
{
	(void)status;
	(void)type;
	(void)walk;
	return remove(path);
}

static void temporary_teardown(void)
{
	nftw(temporary_directory, temporary_remove, 8, FTW_DEPTH | FTW_PHYS);
}

/* Where a file of that name is; good until the next call. */
static inline const char *temporary_path(const char *name)
{
	static char path[TEMPORARY_PATH_BYTES];

	snprintf(path, sizeof(path), "%s/%s", temporary_directory, name);
	return path;
}

static inline void temporary_write_bytes(const char *name, const void *data, size_t bytes)
{
	FILE *file = fopen(temporary_path(name), "w");

	ck_assert_ptr_nonnull(file);
	ck_assert_uint_eq(fwrite(data, 1, bytes, file), bytes);
	ck_assert_int_eq(fclose(file), 0);
}

static inline void temporary_write(const char *name, const char *text)
{
	temporary_write_bytes(name, text, strlen(text));
}

#endif
