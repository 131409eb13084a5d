#!/bin/sh
# Backs a PostgreSQL warehouse up into a file: backup.sh ADDRESS FILE
#
# All tables in it are of one published run: pg_dump reads one snapshot. The file has its name when it is whole, and
# beside it stands FILE.sha256. A file that is there is never overwritten. The password comes from ~/.pgpass, or from
# the file that PGPASSFILE names.
set -eu
umask 077

fail() {
  printf 'backup.sh: %s\n' "$1" >&2
  exit "$2"
}

[ $# = 2 ] || fail "say what is backed up, and where to: backup.sh postgresql://owner@host/shop shop.dump" 2
address=$1
file=$2
case $address in
postgresql://*:*@* | postgres://*:*@* | *password=*)
  fail "leave the password out of the address, where others can see it; put it into ~/.pgpass." 2 ;;
esac
[ ! -e "$file" ] || fail "$file is there already; name another file." 2
[ ! -e "$file.sha256" ] || fail "$file.sha256 is there already; name another file." 2

part=$file.part.$$
trap 'rm -f "$part" "$part.sha256"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

pg_dump --no-password --format=custom --compress=6 --file="$part" --dbname="$address" ||
  fail "nothing was backed up; pg_dump has told why." 1
pg_restore --list "$part" >/dev/null || fail "what pg_dump wrote cannot be read; nothing was backed up." 1
(cd "$(dirname "$file")" && sha256sum "$(basename "$part")") |
  sed "s|$(basename "$part")|$(basename "$file")|" >"$part.sha256"
sync -- "$part" "$part.sha256"
# A second name fails where one is there by now; a new name over it would not.
ln "$part.sha256" "$file.sha256" || fail "$file.sha256 is there by now; name another file." 1
ln "$part" "$file" || fail "$file is there by now; name another file." 1
echo "$file: $(wc -c <"$file" | tr -d ' ') bytes; restore it by restore.sh $file ADDRESS"
