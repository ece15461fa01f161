/* SHOW HELP */

#include <ctype.h>

#include "pooler/console/command.h"
#include "pooler/console/tables.h"

static const struct table_column columns[] = {
	{ "command", TABLE_TEXT },
	{ "help", TABLE_TEXT },
};

static void table_line(struct table_rows *rows, const struct table *table)
{
	char name[64];
	size_t length = 0;

	for (; table->name[length] && length < sizeof(name) - 1; length++)
		name[length] = (char)toupper((unsigned char)table->name[length]);
	name[length] = '\0';
	row_format(rows, "SHOW %s", name);
	row_text(rows, table->help);
	row_end(rows);
}

static void each(const struct table_source *source, struct table_rows *rows)
{
	(void)source;
	for (const struct table *const *it = tables; *it; it++)
		table_line(rows, *it);
	for (const struct command *it = &commands[1]; it->name; it++) { /* behind SHOW */
		if (!it->help)
			continue;
		row_format(rows, "%s%s%s", it->name, *it->arguments ? " " : "", it->arguments);
		row_text(rows, it->help);
		row_end(rows);
	}
}

const struct table table_help = {
	.name = "help",
	.help = "this list",
	TABLE_COLUMNS(columns),
	.each = each,
};
