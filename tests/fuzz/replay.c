/*
 * Runs a fuzz target over files: for `make test`, and for looking at one file in a debugger.
 *
 *	fuzz_parse               every file of tests/fuzz/corpus/fuzz_parse
 *	fuzz_parse FILE...       these
 *
 * Each file is one check. The last line is in the form of Check's, which tests/run reads. A file that ends the process is
 * named by the line before.
 */
#define _GNU_SOURCE /* program_invocation_short_name */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "tests/fuzz/fuzz.h"

#define FILE_BYTES_MAX (1u << 20)

static unsigned done;
static unsigned unreadable;

static bool run_file(const char *path)
{
	static uint8_t room[FILE_BYTES_MAX];
	FILE *file = fopen(path, "rb");

	if (!file) {
		fprintf(stderr, "%s: %s\n", path, strerror(errno));
		return false;
	}
	size_t size = fread(room, 1, sizeof(room), file);
	fclose(file);
	printf("%s\n", path);
	fflush(stdout);
	uint8_t *input = fuzz_copy(room, size);
	LLVMFuzzerTestOneInput(input, size);
	free(input);
	return true;
}

static void run(const char *path)
{
	done++;
	unreadable += !run_file(path);
}

static bool run_corpus(void)
{
	char directory[512], path[1024];
	struct dirent **entries;

	snprintf(directory, sizeof(directory), "%s/tests/fuzz/corpus/%s", SOURCE_DIRECTORY,
		 program_invocation_short_name);
	int count = scandir(directory, &entries, NULL, alphasort);
	if (count < 0) {
		perror(directory);
		return false;
	}
	for (int i = 0; i < count; i++) {
		snprintf(path, sizeof(path), "%s/%s", directory, entries[i]->d_name);
		if (entries[i]->d_name[0] != '.')
			run(path);
		free(entries[i]);
	}
	free(entries);
	return true;
}

int main(int argc, char **argv)
{
	for (int i = 1; i < argc; i++)
		run(argv[i]);
	if (argc == 1 && !run_corpus())
		return EXIT_FAILURE;
	printf("%u%%: Checks: %u, Failures: %u, Errors: 0\n", done ? 100 * (done - unreadable) / done : 0, done,
	       unreadable);
	return unreadable || !done ? EXIT_FAILURE : EXIT_SUCCESS;
}
