#!/bin/bash
# make demo: 200 clients over a pool of 10, on a private PostgreSQL that is thrown away. Ends with 0 when pgbench met no error
# and PostgreSQL never saw more than 10 sessions.
#
#	demo.sh BUILD
set -euo pipefail

build=$1
support=$(dirname "$0")
clients=200
pool=10
seconds=8

"$support/../setup" postgresql
mkdir -p "$build"
work=$(mktemp -d "$build/demo.XXXXXX")
sockets=$(mktemp -d /tmp/pgweir-XXXXXX)
pgweir=
watcher=

clean_up() {
	[ -z "$watcher" ] || kill "$watcher" 2>/dev/null || true
	if [ -n "$pgweir" ]; then
		kill -TERM "$pgweir" 2>/dev/null || true
		wait "$pgweir" || true
	fi
	"$support/postgres.sh" stop "$work/postgres" || true
	rm -rf "$(readlink -f "$work/postgres/data" || true)" "$work" "$sockets"
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

"$support/postgres.sh" start "$work/postgres"
# shellcheck disable=SC1091 # made by postgres.sh
. "$work/postgres/env"

port=$(perl -MSocket -e '
	for (1 .. 1000) {
		my $port = 20000 + int rand 12768;
		socket(my $s, PF_INET, SOCK_STREAM, 0) or die;
		bind($s, sockaddr_in($port, INADDR_LOOPBACK)) and print($port), exit;
	}')
PGWEIR_LISTEN_PORT=$port PGWEIR_UNIX_SOCKET_DIR=$sockets PGWEIR_DEFAULT_POOL_SIZE=$pool \
	setsid "$build/pgweir" -q "postgres://app:app@/app?host=$PGHOST&port=$PGPORT" &
pgweir=$!
url=postgres://app:app@127.0.0.1:$port
tries=0
until "$PGBIN/psql" -X "$url/app" -c 'SELECT 1' >/dev/null 2>&1; do
	kill -0 "$pgweir"
	tries=$((tries + 1))
	[ "$tries" -lt 200 ]
	sleep 0.05
done

# What PostgreSQL sees, asked on a connection of its own as fast as it answers.
echo "SELECT count(*) FROM pg_stat_activity WHERE datname = 'app' AND backend_type = 'client backend' \\watch 0.01" |
	"$PGBIN/psql" -XAtq -h "$PGHOST" -p "$PGPORT" -U postgres postgres >"$work/seen" 2>/dev/null &
watcher=$!

echo
echo "pgbench: $clients clients for $seconds s"
"$PGBIN/pgbench" -q -i -s 10 "$url/app" 2>"$work/init" || { cat "$work/init"; exit 1; }
failed=
"$PGBIN/pgbench" -n -c "$clients" -j 2 -T "$seconds" "$url/app" 2>&1 | tee "$work/pgbench" || failed=yes
! grep -qiE 'aborted|error:' "$work/pgbench" || failed=yes

for table in POOLS STATS; do
	echo
	echo "SHOW $table"
	"$PGBIN/psql" -X -x "$url/pgweir" -c "SHOW $table"
done
kill "$watcher" 2>/dev/null || true
watcher=
seen=$(grep -xE '[0-9]+' "$work/seen" | sort -n | tail -1)
echo "PostgreSQL saw at most ${seen:-0} sessions at a time ($(grep -cxE '[0-9]+' "$work/seen") looks): $clients clients, pool of $pool"
[ -z "$failed" ] && [ "${seen:-0}" -gt 0 ] && [ "$seen" -le "$pool" ]
