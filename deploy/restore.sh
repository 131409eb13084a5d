#!/bin/sh
# Restores a backup into an empty database: restore.sh FILE ADDRESS [OPTION OF pg_restore...]
#
# All is restored, or nothing is. The file must be what backup.sh wrote, by its sum, and the database must hold nothing:
# what is there is never overwritten. Roles are the server's and in no backup; they must be there, or their rights are
# left out by --no-owner --no-privileges. The password comes from ~/.pgpass, or from the file that PGPASSFILE names.
set -eu

fail() {
  printf 'restore.sh: %s\n' "$1" >&2
  exit "$2"
}

[ $# -ge 2 ] || fail "say what is restored, and where to: restore.sh shop.dump postgresql://postgres@host/shop" 2
file=$1
address=$2
shift 2
case $address in
postgresql://*:*@* | postgres://*:*@* | *password=*)
  fail "leave the password out of the address, where others can see it; put it into ~/.pgpass." 2 ;;
esac
[ -f "$file" ] || fail "$file is not there." 2
[ -f "$file.sha256" ] || fail "$file.sha256 is not there; it stands beside every backup." 2
(cd "$(dirname "$file")" && sha256sum --check --status "$(basename "$file").sha256") ||
  fail "$file is not what was backed up: its sum is another one. Take another backup." 1

held=$(
  psql --no-psqlrc --no-password --tuples-only --no-align --dbname="$address" --command="
    select count(*) from (
      select oid from pg_class where relnamespace in (
        select oid from pg_namespace where nspname !~ '^pg_' and nspname <> 'information_schema')
      union all
      select oid from pg_namespace where nspname !~ '^pg_' and nspname not in ('information_schema', 'public')
    ) as held"
) || fail "the database cannot be read; make an empty one: createdb shop." 1
[ "$held" = 0 ] || fail "the database is not empty, and nothing in it is overwritten; make an empty one: createdb shop." 2

pg_restore --no-password --exit-on-error --single-transaction "$@" --dbname="$address" "$file" ||
  fail "nothing was restored; pg_restore has told why. Roles that are not there: see --no-owner --no-privileges." 1
echo "$file is restored; \`assay verify --warehouse ADDRESS\` compares every file with its sum"
