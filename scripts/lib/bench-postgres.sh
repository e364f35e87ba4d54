# shellcheck shell=bash
# Backup and restore of a database of about 2 GiB. Sourced by scripts/bench.
rounds=${BENCH_ROUNDS:-3}
begin
start_postgres
start_s3
aws=${LIFEBOAT_BENCH_AWS:-aws}
bucket=$S3_BUCKET

if ! psql -qXAtc "select 1 from pg_database where datname = 'bench'" postgres | grep -q 1; then
  say "making the database"
  createdb bench
  pgbench -i -s 50 -q bench >/dev/null 2>&1
  psql -qX -v ON_ERROR_STOP=1 -d bench -f scripts/lib/bench.sql
  psql -qXc 'vacuum analyze' bench
fi
psql -qXAtc "select 'database: ' || pg_size_pretty(pg_database_size('bench'))" bench
configure bench bench

copy="$aws --endpoint-url $S3_URL s3 cp --quiet --expected-size 2000000000"
fetch="$aws --endpoint-url $S3_URL s3 cp --quiet"
fresh() { dropdb --if-exists --force "$1"; [[ ${2:-} == none ]] || createdb -T template0 "$1"; psql -qXc checkpoint postgres; }

for ((round = 1; round <= rounds; round++)); do
  say "round $round of $rounds"
  measure "dump-null.$round" bash -c 'pg_dump -Fc -Z0 bench > /dev/null'
  measure "backup-a.$round" bash -c "set -o pipefail; pg_dump -Fc bench | $copy - s3://$bucket/a.dump"
  measure "backup-b.$round" bash -c "set -o pipefail; pg_dump -Fc -Z0 bench | zstd -3 -T0 -q | $copy - s3://$bucket/b.zst"
  measure "backup-l.$round" "$lifeboat" backup bench --no-progress
  pg_dump -Fc -Z0 bench > "$dir/raw"
  measure "zstd.$round" bash -c "zstd -3 -T1 -q -c < $dir/raw > /dev/null"
  rm -f "$dir/raw"
  fresh restored
  measure "restore-a.$round" bash -c "set -o pipefail; $fetch s3://$bucket/a.dump - | pg_restore -d restored"
  fresh restored
  measure "restore-b.$round" bash -c "set -o pipefail; $fetch s3://$bucket/b.zst - | zstd -d -q | pg_restore -d restored"
  fresh restored none
  measure "restore-l.$round" "$lifeboat" restore bench --to "postgres://$PGUSER@$PGHOST:$PGPORT/restored" --no-progress
  fresh restored none
done

python3 - "$dir" "$rounds" <<'PY'
import json, statistics, sys
folder, rounds = sys.argv[1], int(sys.argv[2])
def runs(name): return [json.load(open(f"{folder}/{name}.{r}.json")) for r in range(1, rounds + 1)]
def median(name, f): return statistics.median(f(r) for r in runs(name))
wall = lambda r: r["wall"]
cpu = lambda r: r["cpu"]
own = lambda r: r["programs"].get("lifeboat", {}).get("cpu", 0)
def peak(r): return sum(p["peak_kib"] for n, p in r["programs"].items() if n not in ("bash",)) / 1024
rows = [("dump-null", "pg_dump -Fc -Z0 > /dev/null"), ("backup-a", "(a) pg_dump -Fc | aws s3 cp"),
        ("backup-b", "(b) pg_dump -Z0 | zstd -3 -T0 | aws"), ("backup-l", "lifeboat backup"),
        ("restore-a", "(a) aws | pg_restore"), ("restore-b", "(b) aws | zstd -d | pg_restore"), ("restore-l", "lifeboat restore")]
print(f"\n{'median of ' + str(rounds):38}{'wall s':>9}{'CPU s':>9}{'peak MiB':>10}")
for name, label in rows:
    print(f"{label:38}{median(name, wall):9.2f}{median(name, cpu):9.2f}{median(name, peak):10.0f}")
lifeboat = max(r["programs"]["lifeboat"]["peak_kib"] for r in runs("backup-l")) / 1024
ratio = lambda a, b: median(a, wall) / median(b, wall)
print()
for text, value, target in [
    ("backup: lifeboat / (a)", ratio("backup-l", "backup-a"), 0.52),
    ("backup: lifeboat / (b)", ratio("backup-l", "backup-b"), 0.90),
    ("restore: lifeboat / (b)", ratio("restore-l", "restore-b"), 0.95),
    ("CPU: lifeboat's own / zstd -3 alone", median("backup-l", own) / median("zstd", cpu), 1.20)]:
    print(f"{text:38}{value:9.2f}   target <= {target:.2f}   {'met' if value <= target else 'MISSED'}")
print(f"{'peak memory of lifeboat itself':38}{lifeboat:9.0f} MiB")
PY
