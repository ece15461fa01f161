#!/bin/bash
# make run: pgweir in the foreground, over the server in DATABASE_URL or over a private PostgreSQL under BUILD/run.
#
#	run.sh BUILD
#
# The first Ctrl-C (or TERM) lets transactions end, the second does not wait for them; then PostgreSQL is stopped.
set -eu

build=$1
support=$(dirname "$0")

[ -z "${DATABASE_URL:-}" ] || exec "$build/pgweir" "$DATABASE_URL"

"$support/../setup" postgresql
"$support/postgres.sh" start "$build/run"
trap '"$support/postgres.sh" stop "$build/run"' EXIT
# shellcheck disable=SC1091 # made by postgres.sh
. "$build/run/env"
port=${PGWEIR_LISTEN_PORT:-6432}
echo "PostgreSQL: $PGBIN/psql -h $PGHOST -p $PGPORT -U postgres app"

pgweir=
asked=
stop() {
	[ -n "$pgweir" ] || exit 130
	if [ -z "$asked" ]; then
		kill -INT "$pgweir" 2>/dev/null || true
	else
		kill -QUIT "$pgweir" 2>/dev/null || true
	fi
	asked=yes
}
trap stop INT TERM HUP

# In a session of its own: a terminal's Ctrl-C comes to it from here only, and once.
setsid "$build/pgweir" "postgres://app:app@/app?host=$PGHOST&port=$PGPORT" &
pgweir=$!
tries=0
until (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; do
	kill -0 "$pgweir" 2>/dev/null && [ "$tries" -lt 200 ] || break
	tries=$((tries + 1))
	sleep 0.05
done
! kill -0 "$pgweir" 2>/dev/null || cat <<END

With its password, and with any client:
  application: psql postgres://app:app@127.0.0.1:$port/app
  console:     psql postgres://app:app@127.0.0.1:$port/pgweir -c 'SHOW POOLS'

END
status=0
wait "$pgweir" || status=$?
while kill -0 "$pgweir" 2>/dev/null; do
	status=0
	wait "$pgweir" || status=$?
done
exit "$status"
