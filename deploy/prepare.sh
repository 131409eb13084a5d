#!/bin/sh
# Makes what is this machine's alone, in the folder $1: random passwords that only their owner can read, the files that
# programs want them in, and the folder of the logs. What is there stays: a database knows its passwords since it was made.
set -eu
umask 077

local=${1:?prepare.sh: name the folder: prepare.sh deploy/local}
folder=$local/secrets

made() { # NAME: a password of 32 letters and digits
  [ -s "$folder/$1" ] ||
    head -c 512 /dev/urandom | LC_ALL=C tr -dc 'A-Za-z0-9' | head -c 32 >"$folder/$1"
  cat "$folder/$1"
}

kept() { # NAME: a file with what comes on standard input
  cat >"$folder/$1.new"
  mv "$folder/$1.new" "$folder/$1"
}

mkdir -p "$folder" "$local/logs"
chmod 700 "$local" "$folder" "$local/logs"
for name in source_admin source_monitor target_admin target_monitor target_reader \
  airflow_api airflow_fernet_seed airflow_jwt elastic grafana_admin; do
  made "$name" >/dev/null
done

kept owner.pgpass <<FILE
source_db:5432:shop:reader:$(made source_reader)
target_db:5432:shop:owner:$(made target_owner)
FILE
kept loader.pgpass <<FILE
source_db:5432:shop:reader:$(made source_reader)
target_db:5432:shop:loader:$(made target_loader)
FILE
kept dbt.pgpass <<FILE
target_db:5432:shop:transformer:$(made target_transformer)
127.0.0.1:5434:shop:transformer:$(made target_transformer)
FILE
kept airflow.pgpass <<FILE
airflow_db:5432:airflow:airflow:$(made airflow_db)
FILE

# A key of Fernet is 32 bytes, written in base64 for addresses.
base64 <"$folder/airflow_fernet_seed" | tr '+/' '-_' | kept airflow_fernet
kept airflow_logins.json <<FILE
{"admin": "$(made airflow_login)"}
FILE
kept kibana.yml <<FILE
server.host: "0.0.0.0"
elasticsearch.hosts: ["http://elasticsearch:9200"]
elasticsearch.username: "kibana_system"
elasticsearch.password: "$(made kibana)"
xpack.encryptedSavedObjects.encryptionKey: "$(made kibana_key)"
telemetry.optIn: false
FILE
kept shipper.conf <<FILE
@define elastic_password "$(made elastic)"
FILE

# Containers run as who can read these files; root's are given to the user of the image.
owner=$(id -u):$(id -g)
[ "$owner" != 0:0 ] || owner=10001:10001
printf 'ASSAY_UID=%s\nASSAY_GID=%s\n' "${owner%:*}" "${owner#*:}" >"$local/compose.env"
[ "$(id -u)" != 0 ] || chown -R "$owner" "$local"
