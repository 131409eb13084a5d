#!/bin/bash
# Tries the deployment where Docker is, in a project of its own that goes with the end: images, both databases, a load,
# a change and a second load, roles that are refused, dbt, a backup restored beside the target. Ports of this machine
# are not used, so that it can run beside another one.
set -euo pipefail
cd "$(dirname "$0")/.."

project=assay-smoke-$$
local=deploy/local/$project
mkdir -p deploy/local
deploy/prepare.sh "$local"
# Another project has volumes and networks of its own; its ports would be those of the first.
sed -E "s/^    ports: .*//; s|local/|local/$project/|" deploy/compose.yml >"deploy/.$project.yml"

compose() {
  docker compose --project-name "$project" --env-file "$local/compose.env" --file "deploy/.$project.yml" "$@"
}

ended() {
  code=$?
  ((code == 0)) || compose --profile '*' logs --tail 50 >&2
  compose --profile '*' down --volumes --timeout 5
  rm -rf "deploy/.$project.yml" "$local"
  exit "$code"
}
trap ended EXIT

asked() { # SERVICE SQL: what a database answers its administrator
  compose exec -T "$1" psql --username postgres --no-psqlrc --tuples-only --no-align --set ON_ERROR_STOP=1 \
    --command "$2" "${3:-shop}"
}

same() { # WHAT WANTED FOUND
  [ "$2" = "$3" ] || { echo "smoke.sh: $1 is $3 and should be $2" >&2; exit 1; }
  echo "smoke.sh: $1 is $2"
}

total="select count(*) || ' items, ' || sum(quantity * unit_price) from"
compose --profile etl build
compose up --detach --wait

compose run --rm migrate sync env:SHOP_URL --migrate
same "the first load" "$(asked source_db "$total order_items")" "$(asked target_db "$total raw.order_items")"

asked source_db "update order_items set quantity = quantity + 1 where id <= 3; delete from order_items where id = 4"
compose run --rm etl sync env:SHOP_URL
same "the second load" "$(asked source_db "$total order_items")" "$(asked target_db "$total raw.order_items")"

if asked target_db "set role loader; drop table raw.order_items" 2>/dev/null; then
  echo "smoke.sh: the loader may drop tables" >&2
  exit 1
fi

compose run --rm dbt build
same "the mart's first month" 1 "$(asked target_db "select least(count(*), 1) from marts.fct_sales")"

compose exec -T target_db pg_dump --username postgres --format=custom shop >"$local/$project.dump"
asked target_db "create database restored" postgres
compose exec -T target_db pg_restore --username postgres --exit-on-error --single-transaction --dbname restored \
  <"$local/$project.dump"
rm "$local/$project.dump"
same "the restored load" "$(asked target_db "$total raw.order_items")" \
  "$(asked target_db "$total raw.order_items" restored)"
same "the log" 2 "$(grep -c '"event": "run_ended"' "$local/logs/assay.jsonl")"
echo "smoke.sh: all is well"
