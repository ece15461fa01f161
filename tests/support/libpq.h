/*
 * libpq beside protocol/: both name something pg_result, libpq a structure that nobody outside ever names.
 */
#ifndef TESTS_SUPPORT_LIBPQ_H
#define TESTS_SUPPORT_LIBPQ_H

#define pg_result libpq_result
#include <libpq-fe.h>
#undef pg_result

#endif
