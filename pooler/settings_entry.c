/* The entries of databases and users in a file. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/crypto.h>

#include "pooler/settings_file.h"

/* One group, as it is being read. */
struct entry {
	unsigned where;    /* SETTING_DATABASE or SETTING_USER */
	const char *kind;  /* "database" or "user", for errors */
	char subject[120]; /* database "app" */
	const config_setting_t *group;
	struct own_settings own;
	struct database_texts texts;
};

static void wipe_string(char *string)
{
	if (string)
		OPENSSL_cleanse(string, strlen(string));
	free(string);
}

static void entry_clear(struct entry *entry)
{
	free(entry->own.connect_query);
	free(entry->texts.name);
	wipe_string(entry->texts.conninfo);
	free(entry->texts.host);
	free(entry->texts.port);
	free(entry->texts.dbname);
	free(entry->texts.user);
	wipe_string(entry->texts.password);
}

static void entry_fault(struct config_builder *builder, const struct entry *entry, const config_setting_t *given,
			const char *name, const char *reason)
{
	struct config_place place = config_file_place(builder, given);
	char subject[200];

	snprintf(subject, sizeof(subject), "%s%s%.60s", entry->subject, name ? ": " : "", name ? name : "");
	config_errors_add(&builder->errors, place.file, place.line, subject, "%s", reason);
}

static void load_member(struct config_builder *builder, struct entry *entry, const config_setting_t *given)
{
	const char *name = config_setting_name(given);
	const struct setting *setting = setting_find(name, entry->where);
	char reason[CONFIG_REASON_BYTES];
	void *field;

	if (!setting) {
		setting_explain_unknown(name, entry->where, reason, sizeof(reason));
		entry_fault(builder, entry, given, name, reason);
		return;
	}
	if (setting->text_offset != SETTING_NO_FIELD)
		field = (char *)&entry->texts + setting->text_offset;
	else
		field = (char *)&entry->own + setting->own_offset;
	if (config_file_parse(setting, given, field, reason, sizeof(reason)))
		entry->own.given |= setting->own_bit;
	else
		entry_fault(builder, entry, given, name, reason);
}

/* The group's name comes first, since every error speaks of it. False: it has none, which is reported. */
static bool entry_name(struct config_builder *builder, struct entry *entry, size_t position)
{
	const config_setting_t *given = config_setting_get_member(entry->group, "name");
	const char *name = given ? config_setting_get_string(given) : NULL;

	snprintf(entry->subject, sizeof(entry->subject), "%s %zu", entry->kind, position + 1);
	if (!config_setting_is_group(entry->group)) {
		entry_fault(builder, entry, entry->group, NULL, "must be a group: { name = \"...\"; ... }");
		return false;
	}
	if (!name) {
		entry_fault(builder, entry, entry->group, NULL, "has no name: { name = \"...\"; ... }");
		return false;
	}
	snprintf(entry->subject, sizeof(entry->subject), "%s \"%.80s\"", entry->kind, name);
	return true;
}

/* False: faults were reported. */
static bool load_members(struct config_builder *builder, struct entry *entry, size_t position)
{
	unsigned before = builder->errors.count;
	char reason[CONFIG_REASON_BYTES];

	if (!entry_name(builder, entry, position))
		return false;
	for (int i = 0; i < config_setting_length(entry->group); i++)
		load_member(builder, entry, config_setting_get_elem(entry->group, (unsigned)i));
	if (builder->errors.count == 0 &&
	    !own_settings_check(&builder->config->settings, &entry->own, reason, sizeof(reason)))
		entry_fault(builder, entry, config_setting_get_member(entry->group, "min_pool_size"), "min_pool_size",
			    reason);
	return builder->errors.count == before;
}

static bool parse_conninfo(struct config_builder *builder, struct entry *entry, struct conninfo *conninfo)
{
	const struct database_texts *texts = &entry->texts;
	struct conninfo_parts parts = { .host = texts->host,
					.port = texts->port,
					.dbname = texts->dbname,
					.user = texts->user,
					.password = texts->password };
	const config_setting_t *given = config_setting_get_member(entry->group, "conninfo");
	char reason[CONFIG_REASON_BYTES];

	if (conninfo_parse(conninfo, texts->conninfo ? texts->conninfo : "", &parts, reason, sizeof(reason)))
		return true;
	entry_fault(builder, entry, given ? given : entry->group, "conninfo", reason);
	return false;
}

static void load_database(struct config_builder *builder, struct entry *entry, size_t position)
{
	struct database database = { 0 };
	const struct database *found;
	const char *fault;

	if (!load_members(builder, entry, position) || !parse_conninfo(builder, entry, &database.conninfo))
		return;
	found = config_find_database(builder->config, entry->texts.name);
	fault = database_name_fault(entry->texts.name);
	if (!fault && found && strcmp(found->name, entry->texts.name) == 0)
		fault = "there is another one of that name";
	if (fault) {
		entry_fault(builder, entry, entry->group, NULL, fault);
		conninfo_clear(&database.conninfo);
		return;
	}
	database.name = entry->texts.name;
	database.own = entry->own;
	entry->texts.name = NULL;
	entry->own.connect_query = NULL;
	if (!config_add_database(builder->config, &database))
		entry_fault(builder, entry, entry->group, NULL, "out of memory");
}

static void load_user(struct config_builder *builder, struct entry *entry, size_t position)
{
	struct user_settings user = { 0 };

	if (!load_members(builder, entry, position))
		return;
	if (config_find_user_settings(builder->config, entry->texts.name)) {
		entry_fault(builder, entry, entry->group, NULL, "there is another one of that name");
		return;
	}
	user.name = entry->texts.name;
	user.own = entry->own;
	entry->texts.name = NULL;
	if (!config_add_user_settings(builder->config, &user))
		entry_fault(builder, entry, entry->group, NULL, "out of memory");
}

void config_file_load_entries(struct config_builder *builder, const config_setting_t *list, unsigned where)
{
	struct config_place place = config_file_place(builder, list);
	bool databases = where == SETTING_DATABASE;

	if (!config_setting_is_list(list)) {
		config_errors_add(&builder->errors, place.file, place.line, config_setting_name(list),
				  "must be a list of groups: ( { name = \"...\"; ... }, { ... } )");
		return;
	}
	for (int i = 0; i < config_setting_length(list); i++) {
		struct entry entry = { .where = where,
				       .kind = databases ? "database" : "user",
				       .group = config_setting_get_elem(list, (unsigned)i) };
		if (databases)
			load_database(builder, &entry, (size_t)i);
		else
			load_user(builder, &entry, (size_t)i);
		entry_clear(&entry);
	}
}
