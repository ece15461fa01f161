/* The auth_file: what is read is found by its name, and what is refused says why. */
#include "pooler/users.h"
#include "protocol/message.h"
#include "tests/fuzz/memory_file.h"

static void count_fault(void *context, const char *file, unsigned line, const char *text)
{
	size_t *faults = context;

	(void)line;
	assert(file && *file && text && *text);
	++*faults;
}

static void expect_user(const struct users *users, const struct user *user)
{
	assert(users_find(users, user->name) == user);
	assert(*user->name && strlen(user->name) <= PG_NAME_BYTES_MAX &&
	       strlen(user->secret) <= USERS_SECRET_BYTES_MAX);
	assert((user->kind == USER_SECRET_SCRAM) == (user->scram != NULL));
	assert(!user->scram || (user->scram->iterations >= 1 && user->scram->salt_bytes >= 1));
	assert((user->kind == USER_SECRET_NONE) == (user->secret[0] == '\0'));
	assert(user->kind != USER_SECRET_MD5 || strlen(user->secret) == PG_MD5_TEXT_BYTES - 1);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct memory_file file;
	struct users *users = users_create();
	size_t faults = 0;

	assert(users);
	memory_file_open(&file, data, size);
	bool good = users_read_file(users, file.path, count_fault, &faults);
	memory_file_close(&file);
	assert(good == (faults == 0));
	for (size_t i = 0; i < users_count(users); i++)
		expect_user(users, users_at(users, i));
	users_drop(users);
	return 0;
}
