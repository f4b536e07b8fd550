# Makes the data directory on the first start, with the databases and roles of /etc/postgresql-init, then is the server.
set -eu
if [ ! -s "$PGDATA/PG_VERSION" ]; then
    initdb -D "$PGDATA" -A scram-sha-256 --auth-local=trust --pwfile=/etc/postgresql-password/password -E UTF8 --locale=C.UTF-8
    echo "host all all all scram-sha-256" >> "$PGDATA/pg_hba.conf"
    # One statement a session: CREATE DATABASE does not run beside others.
    pg_ctl -D "$PGDATA" -w -o "-c listen_addresses='' -c unix_socket_directories=/tmp" start
    for file in /etc/postgresql-init/*.sql; do
        psql -X -v ON_ERROR_STOP=1 -h /tmp -d postgres -f "$file"
    done
    pg_ctl -D "$PGDATA" -w -m fast stop
fi
exec postgres -D "$PGDATA" -c listen_addresses='*' -c unix_socket_directories=/tmp -c max_connections=200 -c jit=off
