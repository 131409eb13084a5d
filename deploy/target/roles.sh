#!/bin/sh
# Makes the roles of the target database when it is made. SECRETS is where their passwords are; no command line shows one.
#
#   owner        defines tables: `assay migrate`, and the first `assay sync`
#   loader       runs pipelines, and can define nothing
#   transformer  reads what is published, and makes tables in schemas of its own, as dbt does
#   reader       reads what is published
#   monitor      sees how the server is and, where watch.sql was carried out, what runs did
set -eu
export SECRETS="${SECRETS:-/run/secrets}"
psql --no-psqlrc --quiet --set ON_ERROR_STOP=1 --username "${POSTGRES_USER:-postgres}" --dbname "$POSTGRES_DB" <<'SQL'
\set owner `cat "$SECRETS/target_owner"`
\set loader `cat "$SECRETS/target_loader"`
\set transformer `cat "$SECRETS/target_transformer"`
\set reader `cat "$SECRETS/target_reader"`
\set monitor `cat "$SECRETS/target_monitor"`
begin;
create role owner login password :'owner' connection limit 40;
create role loader login password :'loader' connection limit 40;
create role transformer login password :'transformer' connection limit 16;
create role reader login password :'reader' connection limit 32;
create role monitor login password :'monitor' connection limit 4 in role pg_monitor;
revoke all on schema public from public;
revoke all on database :DBNAME from public;
grant connect on database :DBNAME to owner, loader, transformer, reader, monitor;
grant create, temporary on database :DBNAME to owner;
grant temporary on database :DBNAME to loader;
grant create on database :DBNAME to transformer;
-- What the owner makes later is for these at once. Schema assay holds rejected rows too, so readers have no way into it;
-- layers that a pipeline adds get their rights from `assay migrate --roles`.
create schema assay authorization owner;
create schema raw authorization owner;
grant usage on schema assay, raw to loader;
grant usage on schema raw to transformer, reader;
grant usage on schema assay to monitor;
alter default privileges for role owner in schema assay, raw grant select, insert, update, delete on tables to loader;
alter default privileges for role owner in schema assay grant usage on sequences to loader;
alter default privileges for role owner in schema raw grant select on tables to transformer, reader;
commit;
SQL
