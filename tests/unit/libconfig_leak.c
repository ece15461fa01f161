/*
 * libconfig 1.5 loses the last string that it read before a syntax error. Nothing outside can free it, so the leak checker
 * is told to let it pass. Linked into every unit test; without that checker it is never called.
 */
const char *__lsan_default_suppressions(void);

const char *__lsan_default_suppressions(void)
{
	return "leak:strbuf_append\nleak:libconfig_yylex\n";
}
