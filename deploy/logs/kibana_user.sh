#!/bin/bash
# Gives Kibana's own user the password of the secret `kibana`, as Elasticsearch's administrator. What is secret reaches
# curl by its standard input, since every process of a machine can see the words of a command.
set -euo pipefail
secrets=${SECRETS:-/run/secrets}
url=${ELASTICSEARCH:-http://elasticsearch:9200}

curl --config - <<CONFIG
url = "$url/_security/user/kibana_system/_password"
user = "elastic:$(<"$secrets/elastic")"
header = "Content-Type: application/json"
data = "{\"password\": \"$(<"$secrets/kibana")\"}"
silent
show-error
fail
CONFIG
