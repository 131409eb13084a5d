#!/bin/sh
# Makes the roles of the source database when it is made: who reads it, and who watches it. SECRETS is where their
# passwords are; no command line shows one.
set -eu
export SECRETS="${SECRETS:-/run/secrets}"
psql --no-psqlrc --quiet --set ON_ERROR_STOP=1 --username "${POSTGRES_USER:-postgres}" --dbname "$POSTGRES_DB" <<'SQL'
\set reader `cat "$SECRETS/source_reader"`
\set monitor `cat "$SECRETS/source_monitor"`
begin;
create role reader login password :'reader' connection limit 8;
grant pg_read_all_data, pg_read_all_stats to reader; -- whether a transaction is open that may yet commit
create role monitor login password :'monitor' connection limit 4 in role pg_monitor;
revoke all on schema public from public;
revoke temporary on database :DBNAME from public;
commit;
SQL
