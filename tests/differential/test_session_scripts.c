/* Every script, through pools in session mode. */
#include "tests/differential/every_script.h"

Suite *session_scripts_suite(void);
Suite *session_scripts_suite(void)
{
	return every_script_suite("session scripts", true);
}
