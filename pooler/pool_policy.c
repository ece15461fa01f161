/* From the settings to the policy of one pool. */
#include "pooler/pool.h"
#include "pooler/settings.h"

_Static_assert(SETTINGS_WORKERS_MAX == POOL_WORKERS_MAX, "a pool has a place for every worker");

void config_pool_policy(const struct config *config, const struct database *database, const char *user,
			struct pool_policy *policy)
{
	const struct settings *settings = &config->settings;
	const struct own_settings *size = config_find_own(config, database, user, OWN_POOL_SIZE);
	const struct own_settings *minimum = config_find_own(config, database, user, OWN_MIN_POOL_SIZE);
	const struct own_settings *lifetime = config_find_own(config, database, user, OWN_SERVER_LIFETIME);
	const struct own_settings *idle = config_find_own(config, database, user, OWN_SERVER_IDLE_TIMEOUT);

	policy->size = size ? size->pool_size : settings->default_pool_size;
	policy->min_size = minimum ? minimum->min_pool_size : settings->min_pool_size;
	policy->lifetime_us = lifetime ? lifetime->server_lifetime_us : settings->server_lifetime_us;
	policy->idle_timeout_us = idle ? idle->server_idle_timeout_us : settings->server_idle_timeout_us;
	policy->retry_us = settings->server_login_retry_us;
	if (policy->min_size > policy->size)
		policy->min_size = policy->size;
	if (policy->lifetime_us == 0) {
		/* Serves once: for the pool 0 is never, and one kept open without work would be renewed all the time. */
		policy->lifetime_us = 1;
		policy->min_size = 0;
	}
}
