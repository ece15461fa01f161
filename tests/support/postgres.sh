#!/bin/sh
# A private PostgreSQL in a directory of its own, for the tests and for make run.
#
#	postgres.sh run DIR      makes the cluster when it is not there, and runs it until TERM or INT (fast stop) or QUIT
#				 (immediate stop) comes; a shell's background jobs get TERM only
#	postgres.sh start DIR    the same in the background; returns when it takes connections
#	postgres.sh stop DIR     stops what start has started
#
# DIR/env names the place, as shell assignments: PGHOST (the directory of the unix socket), PGPORT, PGDATA, PGBIN. It is there
# before the server takes connections; DIR/data/postmaster.pid says "ready" in its last line when it does. DIR/log is its log.
# POSTGRES_PORT and POSTGRES_SOCKET (a directory) set port and socket, which are else free and new ones.
#
# Started by root it runs as another user, because initdb refuses root. Where that user cannot reach DIR (a checkout under
# /root), the data lies under /tmp and DIR/data points to it.
#
# Roles, each with its own way to log in, by TCP and by unix socket: postgres (superuser, trust), app (SCRAM, password "app",
# may make databases), u_trust (trust), u_plain (password "plain secret"), u_md5 (md5, "md5 secret"), u_scram (SCRAM,
# "scram secret"). Database: app, owned by app; the u_... roles may use its schema public.
set -eu

say() {
	echo "postgres.sh: $*" >&2
}

die() {
	say "$*"
	exit 1
}

# The newest that is installed, with its server.
find_programs() {
	initdb=$(find /usr/lib/postgresql/*/bin /usr/local/pgsql/bin /usr/pgsql-*/bin -name initdb 2>/dev/null | sort -V | tail -1)
	[ -n "$initdb" ] || initdb=$(command -v initdb || true)
	[ -n "$initdb" ] || die "no initdb: install postgresql-15"
	PGBIN=$(dirname "$initdb")
}

find_user() {
	owner=
	[ "$(id -u)" = 0 ] || return 0
	for owner in postgres nobody; do
		! id "$owner" >/dev/null 2>&1 || return 0
	done
	die "started by root, and there is neither a user postgres nor nobody"
}

# Runs a command as the owner of the cluster, in a directory that it can enter.
as_owner() {
	if [ -n "$owner" ]; then
		(cd / && exec setpriv --reuid "$owner" --regid "$(id -g "$owner")" --clear-groups "$@")
	else
		"$@"
	fi
}

new_directory() {
	made=$(mktemp -d "${TEST_TMP:-/tmp}/pgweir-$1-XXXXXX")
	[ -z "$owner" ] || chown "$owner" "$made"
	chmod "$2" "$made"
	echo "$made"
}

# Below the ports that the kernel gives to outgoing connections, and free now.
free_port() {
	perl -MSocket -e '
		for (1 .. 1000) {
			my $port = 20000 + int rand 12768;
			socket(my $s, PF_INET, SOCK_STREAM, 0) or die;
			bind($s, sockaddr_in($port, INADDR_LOOPBACK)) and print($port), exit;
		}
		die "no free port"'
}

write_settings() {
	cat >>"$PGDATA/postgresql.conf" <<-END
		listen_addresses = '127.0.0.1'
		unix_socket_permissions = 0777
		max_connections = 300
		shared_buffers = 64MB
		dynamic_shared_memory_type = mmap
		fsync = off
		synchronous_commit = off
		full_page_writes = off
		autovacuum = off
		max_prepared_transactions = 10
		password_encryption = 'scram-sha-256'
		log_line_prefix = '%m [%p] %u@%d %a: '
	END
	cat >"$PGDATA/pg_hba.conf" <<-END
		local all postgres,u_trust trust
		local all u_plain password
		local all u_md5 md5
		local all app,u_scram scram-sha-256
		host all postgres,u_trust all trust
		host all u_plain all password
		host all u_md5 all md5
		host all app,u_scram all scram-sha-256
	END
}

# One statement a line: it is for the single-user mode.
write_roles() {
	cat <<-END
		CREATE ROLE app LOGIN CREATEDB PASSWORD 'app'
		CREATE ROLE u_trust LOGIN
		CREATE ROLE u_plain LOGIN PASSWORD 'plain secret'
		CREATE ROLE u_scram LOGIN PASSWORD 'scram secret'
		SET password_encryption = 'md5'
		CREATE ROLE u_md5 LOGIN PASSWORD 'md5 secret'
		CREATE DATABASE app OWNER app
	END
}

make_cluster() {
	if [ -n "$owner" ] && ! as_owner test -x "$directory"; then
		ln -sfn "$(new_directory data 700)" "$directory/data"
	else
		rm -rf "$directory/data"
		mkdir -m 700 "$directory/data"
		[ -z "$owner" ] || chown "$owner" "$directory/data"
	fi
	PGDATA=$(readlink -f "$directory/data")
	as_owner "$PGBIN/initdb" --no-sync --auth trust --username postgres --encoding UTF8 --locale C.UTF-8 --pgdata "$PGDATA" \
		>"$directory/initdb.log" 2>&1 || die "initdb failed: $(cat "$directory/initdb.log")"
	write_settings
	write_roles | as_owner "$PGBIN/postgres" --single -D "$PGDATA" postgres >"$directory/initdb.log" 2>&1
	echo 'GRANT ALL ON SCHEMA public TO PUBLIC' |
		as_owner "$PGBIN/postgres" --single -D "$PGDATA" app >>"$directory/initdb.log" 2>&1
	! grep -E 'ERROR|FATAL|PANIC' "$directory/initdb.log" >&2 || die "the roles could not be made"
	touch "$directory/complete"
}

prepare() {
	mkdir -p "$directory"
	directory=$(readlink -f "$directory")
	find_programs
	find_user
	if [ -e "$directory/complete" ] && [ -e "$directory/data/PG_VERSION" ]; then
		PGDATA=$(readlink -f "$directory/data")
	else
		make_cluster
	fi
	[ ! -e "$directory/env" ] || forget_socket
	PGHOST=${POSTGRES_SOCKET:-$(new_directory socket 755)}
	mkdir -p "$PGHOST"
	[ -z "$owner" ] || chown "$owner" "$PGHOST"
	PGPORT=${POSTGRES_PORT:-$(free_port)}
	printf 'PGHOST=%s\nPGPORT=%s\nPGDATA=%s\nPGBIN=%s\n' "$PGHOST" "$PGPORT" "$PGDATA" "$PGBIN" >"$directory/env.new"
	mv "$directory/env.new" "$directory/env"
}

forget_socket() {
	socket=$(sed -n 's/^PGHOST=//p' "$directory/env")
	case $socket in
	*/pgweir-socket-*) rm -rf "$socket" ;;
	esac
	rm -f "$directory/env"
}

# The postmaster's pid, while it runs.
postmaster() {
	pid=$(head -1 "$directory/data/postmaster.pid" 2>/dev/null) && [ -n "$pid" ] && kill -0 "$pid" 2>/dev/null && echo "$pid"
}

is_ready() {
	[ "$(tail -1 "$directory/data/postmaster.pid" 2>/dev/null | tr -d ' ')" = ready ]
}

# Stays as its parent, to take away the socket at the end. Should this shell be killed, the server stops too.
run() {
	! postmaster >/dev/null || die "$directory runs already"
	prepare
	rm -f "$PGDATA/postmaster.pid"
	set -- "$PGBIN/postgres" -D "$PGDATA" -k "$PGHOST" -p "$PGPORT"
	if [ -n "$owner" ]; then
		set -- setpriv --reuid "$owner" --regid "$(id -g "$owner")" --clear-groups --pdeathsig QUIT "$@"
	else
		set -- setpriv --pdeathsig QUIT "$@"
	fi
	# In a group of its own: a terminal's Ctrl-C is not for it.
	(cd / && exec setsid "$@") </dev/null >>"$directory/log" 2>&1 &
	child=$!
	trap 'kill -INT $child 2>/dev/null' INT TERM
	trap 'kill -QUIT $child 2>/dev/null' QUIT
	status=0
	wait "$child" || status=$?
	# A wait that a signal has ended says nothing about the child.
	while kill -0 "$child" 2>/dev/null; do
		status=0
		wait "$child" || status=$?
	done
	forget_socket
	exit "$status"
}

start() {
	mkdir -p "$directory"
	directory=$(readlink -f "$directory")
	setsid "$0" run "$directory" </dev/null >/dev/null 2>>"$directory/start.log" &
	child=$!
	tries=0
	until is_ready && postmaster >/dev/null; do
		kill -0 "$child" 2>/dev/null || die "it did not start: $(tail -5 "$directory/start.log" "$directory/log" 2>/dev/null)"
		tries=$((tries + 1))
		[ "$tries" -lt 1200 ] || die "not ready after a minute: $(tail -5 "$directory/log")"
		sleep 0.05
	done
}

stop() {
	tries=0
	signal=INT
	while pid=$(postmaster); do
		[ $((tries % 200)) != 0 ] || kill "-$signal" "$pid" 2>/dev/null || true
		tries=$((tries + 1))
		[ "$tries" -lt 200 ] || signal=QUIT
		[ "$tries" -lt 1200 ] || die "process $pid does not end"
		sleep 0.05
	done
	[ ! -e "$directory/env" ] || forget_socket
}

[ $# = 2 ] || die "usage: postgres.sh run|start|stop DIR"
directory=$2
case $1 in
run | start | stop) "$1" ;;
*) die "usage: postgres.sh run|start|stop DIR" ;;
esac
