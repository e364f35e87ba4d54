# shellcheck shell=bash
# `list` of 10,000 backups in a local S3 server, and the retention plan of 100,000. Sourced by scripts/bench.
begin
cargo bench --locked --quiet --bench retention
start_postgres
start_s3
export AWS_MAX_ATTEMPTS=10
aws=${LIFEBOAT_BENCH_AWS:-aws}
if ! psql -qXAtc "select 1 from pg_database where datname = 'tables'" postgres | grep -q 1; then
  say "making a database with 5,000 tables"
  createdb tables
  psql -qX -v ON_ERROR_STOP=1 -d tables -c "do \$\$ begin for t in 1..50 loop for u in 1..100 loop
    execute format('create table t_%s_%s (id int primary key, name text)', t, u);
    execute format('insert into t_%s_%s values (1, ''one'')', t, u); end loop; commit; end loop; end \$\$"
fi
configure tables catalog
"$lifeboat" backup bench --no-progress
say "making 10,000 manifests of it"
id=$("$lifeboat" list bench --json | python3 -c 'import json, sys; print(json.loads(sys.stdin.readline())["id"])')
"$aws" --endpoint-url "$S3_URL" s3 cp --quiet "s3://$S3_BUCKET/catalog/bench/manifests/$id.json" "$dir/manifest.json"
rm -rf "$dir/manifests"
python3 - "$dir" <<'PY'
import datetime, json, os, sys
folder = sys.argv[1]
manifest = json.load(open(f"{folder}/manifest.json"))
os.makedirs(f"{folder}/manifests")
newest = datetime.datetime(2026, 11, 1)
for n in range(9999):
    time = newest - datetime.timedelta(hours=n)
    manifest["id"] = time.strftime("%Y%m%dT%H%M%SZ-") + "".join("abcdefghij"[int(d)] for d in f"{n:06d}")
    manifest["recovery_point"]["time"] = time.strftime("%Y-%m-%dT%H:%M:%S.000000Z")
    json.dump(manifest, open(f"{folder}/manifests/{manifest['id']}.json", "w"))
PY
"$aws" --endpoint-url "$S3_URL" s3 cp --quiet --recursive "$dir/manifests" "s3://$S3_BUCKET/catalog/bench/manifests"
say "listing"
for round in 1 2 3; do measure "list.$round" "$lifeboat" list bench --json; done
lines=$(grep -c backup_entry "$dir/list.1.log")
python3 - "$dir" "$lines" <<'PY'
import json, statistics, sys
runs = [json.load(open(f"{sys.argv[1]}/list.{r}.json")) for r in (1, 2, 3)]
wall = statistics.median(r["wall"] for r in runs)
peak = max(r["programs"]["lifeboat"]["peak_kib"] for r in runs) / 1024
print(f"list of {sys.argv[2]} backups: {wall:.2f} s   target < 5 s   {'met' if wall < 5 else 'MISSED'}")
print(f"peak memory: {peak:.0f} MiB   target < 128 MiB   {'met' if peak < 128 else 'MISSED'}")
PY
