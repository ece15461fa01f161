#define _GNU_SOURCE 1 /* nftw, readlink */

#include "tests/support/directory.h"

#include <check.h>
#include <errno.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void create(char *path, size_t path_bytes, const char *parent, const char *name)
{
	int bytes = snprintf(path, path_bytes, "%s/%s.XXXXXX", parent, name);

	ck_assert_uint_lt((size_t)bytes, path_bytes);
	ck_assert_msg(mkdtemp(path) != NULL, "%s: %s", path, strerror(errno));
}

void directory_create(char *path, size_t path_bytes, const char *name)
{
	const char *parent = getenv("TEST_DIR");

	create(path, path_bytes, parent ? parent : "/tmp", name);
}

void directory_create_short(char *path, size_t path_bytes)
{
	const char *parent = getenv("TEST_TMP");

	create(path, path_bytes, parent ? parent : "/tmp", "pgw");
}

static int remove_one(const char *path, const struct stat *what, int kind, struct FTW *where)
{
	(void)what, (void)kind, (void)where;
	return remove(path);
}

void directory_remove(const char *path)
{
	nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

/* From the place of the binary: BUILD/tests/system/test_X. */
const char *build_directory(void)
{
	static char path[4096];
	const char *given = getenv("TEST_BUILD");

	if (given)
		return given;
	ssize_t bytes = readlink("/proc/self/exe", path, sizeof(path) - 1);
	ck_assert_int_gt(bytes, 0);
	path[bytes] = '\0';
	for (int i = 0; i < 3; i++)
		*strrchr(path, '/') = '\0';
	return path;
}
