/*
 * Directories for what a test writes. They lie where tests/run shows what a failed test has left, and are short enough for
 * the names of unix sockets only when asked for.
 */
#ifndef TESTS_SUPPORT_DIRECTORY_H
#define TESTS_SUPPORT_DIRECTORY_H

#include <stddef.h>

/* A new directory under TEST_DIR, or under /tmp. */
void directory_create(char *path, size_t path_bytes, const char *name);
/* A new directory under TEST_TMP or /tmp with a short name: for unix sockets. */
void directory_create_short(char *path, size_t path_bytes);
/* With all that is in it. */
void directory_remove(const char *path);

/* build/ of this test binary, where pgweir lies. */
const char *build_directory(void);

#endif
