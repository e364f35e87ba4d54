# What pods back up, where to, and who watches: real servers on the node's address. Sourced by cases.sh.
# shellcheck shell=bash

# start_databases: PostgreSQL with the database `orders`, MongoDB with `shop`
start_databases() {
  local variables
  variables=$(scripts/services start postgres 15 "$dir/postgres")
  eval "export $variables"
  psql=$PG_BIN/psql
  "$psql" -qX -c 'create database orders'
  "$psql" -qX -v ON_ERROR_STOP=1 -d orders -f scripts/lib/cluster/data.sql
  variables=$(scripts/services start mongodb replica "$dir/mongodb")
  eval "export $variables"
  python3 scripts/lib/mongo.py "$MONGODB_URL" shop '{"aggregate": 1, "cursor": {}, "pipeline": [
    {"$documents": [{"n": {"$range": [0, 400000]}}]}, {"$unwind": "$n"},
    {"$project": {"_id": "$n", "customer": {"$mod": ["$n", 5003]}, "price": {"$rand": {}},
      "note": {"$concat": ["visit ", {"$toString": {"$rand": {}}}, {"$toString": {"$rand": {}}}]}}},
    {"$out": "visits"}]}' '{"createIndexes": "visits", "indexes": [{"key": {"customer": 1}, "name": "customer"}]}' >/dev/null
}

start_store() {
  local variables
  variables=$(scripts/services start s3 "$dir/s3")
  eval "export $variables"
  bucket=$S3_DATA/lifeboat
}

# start_monitoring: a push gateway, Prometheus with the rules that lifeboat ships, and Alertmanager. Of the rules one
# thing is changed: they wait 4 seconds (`for:`) instead of minutes.
start_monitoring() {
  mkdir -p "$dir/monitoring"
  sed 's/^\( *for:\) .*/\1 4s/' k8s-cronjobs/alerts/lifeboat.rules.yaml >"$dir/monitoring/lifeboat.rules.yaml"
  cat >"$dir/monitoring/prometheus.yaml" <<END
global: {scrape_interval: 2s, evaluation_interval: 2s}
alerting: {alertmanagers: [{static_configs: [{targets: ["$address:9093"]}]}]}
rule_files: [lifeboat.rules.yaml]
scrape_configs:
  - job_name: pushgateway
    honor_labels: true
    static_configs: [{targets: ["$address:9091"]}]
END
  cat >"$dir/monitoring/alertmanager.yaml" <<'END'
route: {receiver: nobody, group_wait: 1s, group_interval: 1s}
receivers: [{name: nobody}]
END
  "$LIFEBOAT_TEST_PUSHGATEWAY" --web.listen-address="$address:9091" >"$dir/logs/pushgateway" 2>&1 &
  # Debian's, unpacked and not installed, misses its templates: in this namespace they are where it looks.
  if [[ ! -e /usr/share/prometheus/alertmanager ]]; then
    mount -t overlay overlay -o "lowerdir=${LIFEBOAT_TEST_ALERTMANAGER%/*}:/usr/share" /usr/share
  fi
  "$LIFEBOAT_TEST_ALERTMANAGER" --config.file="$dir/monitoring/alertmanager.yaml" --storage.path="$dir/monitoring/alertmanager" \
    --web.listen-address="$address:9093" --cluster.listen-address= >"$dir/logs/alertmanager" 2>&1 &
  "${LIFEBOAT_TEST_PROMTOOL%promtool}prometheus" --config.file="$dir/monitoring/prometheus.yaml" \
    --storage.tsdb.path="$dir/monitoring/prometheus" --web.listen-address="$address:9090" >"$dir/logs/prometheus" 2>&1 &
  await 60 curl -fsS -o /dev/null "$address:9091/-/ready"
  await 60 curl -fsS -o /dev/null "$address:9093/-/ready"
  await 60 curl -fsS -o /dev/null "$address:9090/-/ready"
}

# write_configuration: lifeboat.toml of what was started
write_configuration() {
  mkdir -p "$dir/deploy"
  cat >"$dir/deploy/lifeboat.toml" <<END
[store]
url = "s3://lifeboat/cluster"
endpoint = "$S3_URL"
region = "$AWS_REGION"
path_style = true
access_key_id_file = "/secrets/store/access-key-id"
secret_access_key_file = "/secrets/store/secret-access-key"

[metrics]
push_url = "http://$address:9091"

[sources.orders]
engine = "postgres"
url = "postgres://postgres@$address:$PGPORT/orders"
password_file = "/secrets/orders/password"
policy = "cluster"
staging.url = "ephemeral"

[sources.shop]
engine = "mongodb"
url = "$MONGODB_URL"
policy = "cluster"
staging.url = "ephemeral"

[policies.cluster.retention]
last = 100

[policies.cluster.objectives]
rto = "30m"
rpo = "24h"
freshness = "${freshness}s"
proven_within = "8d"
END
}

# deploy: the manifests that `lifeboat k8s` writes, with the overlay; the same as a fleet of three shards; and Secrets
deploy() {
  local lifeboat=("$dir/lifeboat" --config "$dir/deploy/lifeboat.toml" k8s)
  "${lifeboat[@]}" --output "$dir/deploy/base"
  "${lifeboat[@]}" --output "$dir/deploy/shards" --shards 3
  cp -r scripts/lib/cluster/overlay "$dir/deploy/overlay"
  cp -r "$dir/deploy/overlay" "$dir/deploy/fleet"
  sed -i 's#\.\./base#../shards#' "$dir/deploy/fleet/kustomization.yaml"
  echo 'nameSuffix: -fleet' >>"$dir/deploy/fleet/kustomization.yaml"
  kubectl apply -k "$dir/deploy/overlay" >"$dir/logs/apply"
  kubectl apply -k "$dir/deploy/fleet" >>"$dir/logs/apply"
  (umask 077 && printf %s "$AWS_ACCESS_KEY_ID" >"$dir/s3/access-key-id" && printf %s "$AWS_SECRET_ACCESS_KEY" >"$dir/s3/secret-access-key")
  secret lifeboat-store --from-file=access-key-id="$dir/s3/access-key-id" --from-file=secret-access-key="$dir/s3/secret-access-key"
  secret lifeboat-orders --from-file=password="$PG_PASSWORD_FILE"
}

# secret NAME ARGUMENT…
secret() { kubectl create secret generic "$@" -n lifeboat --dry-run=client -o yaml | kubectl apply -f - >>"$dir/logs/apply"; }
