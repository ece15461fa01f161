/* A look over a file's text before libconfig reads it, for what libconfig (1.5) reads wrongly without a word. */
#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pooler/settings_build.h"

struct scanner {
	const char *at;
	const char *end;
	unsigned line;
	settings_scan_fault *fault;
	void *context;
	bool *absolute_include;
	bool include_seen;
};

static bool scanner_has(const struct scanner *scanner, const char *text)
{
	size_t bytes = strlen(text);

	return (size_t)(scanner->end - scanner->at) >= bytes && memcmp(scanner->at, text, bytes) == 0;
}

/* One byte further, counting lines. */
static void step(struct scanner *scanner)
{
	if (scanner->at < scanner->end && *scanner->at++ == '\n')
		scanner->line++;
}

static void skip_line(struct scanner *scanner)
{
	while (scanner->at < scanner->end && *scanner->at != '\n')
		scanner->at++;
}

static void skip_comment(struct scanner *scanner)
{
	unsigned line = scanner->line;

	while (scanner->at < scanner->end && !scanner_has(scanner, "*/"))
		step(scanner);
	if (scanner->at == scanner->end)
		scanner->fault(scanner->context, line, "a comment that begins here is not closed");
	step(scanner);
	step(scanner);
}

static void scan_string(struct scanner *scanner)
{
	unsigned line = scanner->line;
	bool cut = false, closed;

	for (step(scanner); scanner->at < scanner->end && *scanner->at != '"'; step(scanner)) {
		if (*scanner->at != '\\')
			continue;
		cut = cut || scanner_has(scanner, "\\x00") || scanner_has(scanner, "\\X00");
		step(scanner);
	}
	closed = scanner->at < scanner->end;
	step(scanner);
	if (!closed)
		scanner->fault(scanner->context, line, "a string that begins here is not closed");
	if (cut)
		scanner->fault(scanner->context, line, "a string cannot hold a zero byte");
}

static void scan_include(struct scanner *scanner)
{
	const char *first, *last;
	size_t rest = (size_t)(scanner->end - scanner->at);
	const char *line_end = memchr(scanner->at, '\n', rest);

	if (!line_end)
		line_end = scanner->end;
	first = memchr(scanner->at, '"', (size_t)(line_end - scanner->at));
	last = first ? memchr(first + 1, '"', (size_t)(line_end - first - 1)) : NULL;
	if (!last) {
		scanner->fault(scanner->context, scanner->line, "expected @include \"FILE\"");
	} else if (!scanner->include_seen) {
		*scanner->absolute_include = first[1] == '/';
		scanner->include_seen = true;
	}
	skip_line(scanner);
}

static bool number_fits(const char *number)
{
	bool hexadecimal = number[0] == '0' && (number[1] == 'x' || number[1] == 'X');
	bool wide = strchr(number, 'L') != NULL;
	char *end;
	long long value;

	errno = 0;
	value = strtoll(number, &end, hexadecimal ? 16 : 10);
	if (*end == '.' || *end == 'e' || *end == 'E')
		return true;
	return errno == 0 && (wide || (value >= INT_MIN && value <= INT_MAX));
}

static void scan_number(struct scanner *scanner)
{
	char number[64];
	size_t bytes = 0;

	while (scanner->at < scanner->end && (isalnum((unsigned char)*scanner->at) || strchr("+-.", *scanner->at))) {
		if (bytes < sizeof(number) - 1)
			number[bytes++] = *scanner->at;
		scanner->at++;
	}
	number[bytes] = '\0';
	if (!number_fits(number))
		scanner->fault(scanner->context, scanner->line, "a number is too large");
}

static void skip_name(struct scanner *scanner)
{
	while (scanner->at < scanner->end && (isalnum((unsigned char)*scanner->at) || *scanner->at == '_' ||
					      *scanner->at == '-' || *scanner->at == '*'))
		scanner->at++;
}

static void scan_token(struct scanner *scanner)
{
	char letter = *scanner->at;

	if (letter == '#' || scanner_has(scanner, "//"))
		skip_line(scanner);
	else if (scanner_has(scanner, "/*"))
		skip_comment(scanner);
	else if (letter == '"')
		scan_string(scanner);
	else if (letter == '@')
		scan_include(scanner);
	else if (isdigit((unsigned char)letter) || letter == '-' || letter == '+')
		scan_number(scanner);
	else if (isalpha((unsigned char)letter) || letter == '*')
		skip_name(scanner);
	else
		step(scanner);
}

void settings_scan(const char *text, size_t bytes, settings_scan_fault *fault, void *context, bool *absolute_include)
{
	struct scanner scanner = { .at = text,
				   .end = text + bytes,
				   .line = 1,
				   .fault = fault,
				   .context = context,
				   .absolute_include = absolute_include };
	const char *zero = memchr(text, '\0', bytes);

	*absolute_include = false;
	while (scanner.at < scanner.end && !zero)
		scan_token(&scanner);
	while (zero && scanner.at < zero)
		step(&scanner);
	if (zero)
		fault(context, scanner.line, "there is a zero byte in the file");
}
