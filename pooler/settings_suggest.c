/* What to say about the name of a setting that is not one. */
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "pooler/settings_table.h"

#define SUGGEST_NAME_BYTES_MAX 64 /* longer ones resemble nothing */

/* PgBouncer's settings that this version does not have: not a typing mistake, but a file that expects more. */
/* clang-format off */
static const char *const absent[] = {
	"auth_dbname", "auth_hba_file", "auth_ident_file", "auth_ldap_options", "auth_query", "auth_user",
	"autodb_idle_timeout", "client_idle_timeout", "client_tls13_ciphers", "client_tls_ca_file",
	"client_tls_cert_file", "client_tls_ciphers", "client_tls_dheparams", "client_tls_ecdhcurve",
	"client_tls_key_file", "client_tls_protocols", "client_tls_sslmode", "conffile", "disable_pqexec",
	"dns_zone_check_period", "idle_transaction_timeout", "job_name", "load_balance_hosts", "logfile",
	"login_notify_message", "max_client_connections", "max_db_client_connections", "max_db_connections",
	"max_packet_size", "max_prepared_statements", "max_user_client_connections", "max_user_connections", "peer_id",
	"pidfile", "pkt_buf", "pool_idle_timeout", "query_timeout", "query_wait_notify", "reserve_pool_size",
	"reserve_pool_timeout", "resolv_conf", "sbuf_loopcnt", "server_check_delay", "server_check_query",
	"server_fast_close", "server_round_robin", "server_tls13_ciphers", "server_tls_ca_file",
	"server_tls_cert_file", "server_tls_ciphers", "server_tls_key_file", "server_tls_protocols",
	"server_tls_sslmode", "service_name", "so_reuseport", "suspend_timeout", "syslog", "syslog_facility",
	"syslog_ident", "tcp_defer_accept", "tcp_socket_buffer", "transaction_timeout",
};
/* clang-format on */

static bool is_absent(const char *name)
{
	for (size_t i = 0; i < sizeof(absent) / sizeof(absent[0]); i++) {
		if (strcmp(absent[i], name) == 0)
			return true;
	}
	return false;
}

static char fold(char letter)
{
	if (letter >= 'A' && letter <= 'Z')
		return (char)(letter - 'A' + 'a');
	return letter == '-' ? '_' : letter;
}

static size_t least(size_t a, size_t b, size_t c)
{
	size_t both = a < b ? a : b;
	return both < c ? both : c;
}

/* Letters to add, drop or change to make one of the other; capitals and '-' for '_' are free. */
static size_t edit_distance(const char *a, const char *b)
{
	size_t row[SUGGEST_NAME_BYTES_MAX + 1]; /* of the matrix of distances between their beginnings */
	size_t length_a = strlen(a), length_b = strlen(b);

	if (length_a > SUGGEST_NAME_BYTES_MAX || length_b > SUGGEST_NAME_BYTES_MAX)
		return SIZE_MAX;
	for (size_t j = 0; j <= length_b; j++)
		row[j] = j;
	for (size_t i = 1; i <= length_a; i++) {
		size_t diagonal = row[0];
		row[0] = i;
		for (size_t j = 1; j <= length_b; j++) {
			size_t change = diagonal + (fold(a[i - 1]) == fold(b[j - 1]) ? 0 : 1);
			diagonal = row[j];
			row[j] = least(row[j] + 1, row[j - 1] + 1, change);
		}
	}
	return row[length_b];
}

static const struct setting *closest(const char *name, unsigned where)
{
	const struct setting *best = NULL;
	size_t farthest = strlen(name) / 4 < 3 ? strlen(name) / 4 + 1 : 3; /* beyond it there is no resemblance */
	size_t best_distance = farthest + 1;

	for (size_t i = 0; i < settings_count; i++) {
		size_t distance;
		if (!(settings_table[i].where & where))
			continue;
		distance = edit_distance(name, settings_table[i].name);
		if (distance < best_distance) {
			best_distance = distance;
			best = &settings_table[i];
		}
	}
	return best;
}

static const char *where_name(unsigned where)
{
	switch (where) {
	case SETTING_GLOBAL:
		return "for all, outside of any entry";
	case SETTING_DATABASE:
		return "in an entry of databases";
	case SETTING_USER:
		return "in an entry of users";
	default:
		return "in an entry of databases or users";
	}
}

void setting_explain_unknown(const char *name, unsigned where, char *reason, size_t reason_bytes)
{
	const struct setting *elsewhere = setting_find(name, SETTING_GLOBAL | SETTING_DATABASE | SETTING_USER);
	const struct setting *similar = closest(name, where);

	if (elsewhere)
		snprintf(reason, reason_bytes, "cannot stand here, only %s", where_name(elsewhere->where));
	else if (is_absent(name))
		snprintf(reason, reason_bytes, "a setting of PgBouncer's that this version of pgweir does not have");
	else if (similar)
		snprintf(reason, reason_bytes, "unknown setting; did you mean \"%s\"?", similar->name);
	else
		snprintf(reason, reason_bytes, "unknown setting");
}
