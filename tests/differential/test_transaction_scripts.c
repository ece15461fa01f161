/* Every script, through pools in transaction mode. */
#include "tests/differential/every_script.h"

Suite *transaction_scripts_suite(void);
Suite *transaction_scripts_suite(void)
{
	return every_script_suite("transaction scripts", false);
}
