# shellcheck shell=bash
# 1,000 small sources in ten shards: how even the shards are, and how long a source takes. Sourced by scripts/bench.
begin
start_postgres
sources=${BENCH_SOURCES:-1000} shards=10
say "making five small databases"
for n in 0 1 2 3 4; do
  dropdb --if-exists --force "small_$n" 2>/dev/null
  createdb "small_$n"
  psql -qX -v ON_ERROR_STOP=1 -d "small_$n" -c "do \$\$ begin for t in 1..20 loop
    execute format('create table t_%s as select i as id, md5(i::text) as name from generate_series(1, 1000) i', t);
    execute format('alter table t_%s add primary key (id)', t); end loop; end \$\$"
done
rm -rf "$dir/fleet"
mkdir "$dir/fleet"
{
  printf '[store]\nurl = "file://%s/fleet"\n\n[policies.fleet.retention]\nlast = 3\n' "$dir"
  for ((n = 0; n < sources; n++)); do
    printf '\n[sources.tenant-%04d]\nengine = "postgres"\nurl = "postgres://%s@%s:%s/small_%d"\npolicy = "fleet"\n' \
      "$n" "$PGUSER" "$PGHOST" "$PGPORT" "$((n % 5))"
  done
} >"$dir/lifeboat.toml"
export LIFEBOAT_CONFIG=$dir/lifeboat.toml
say "sources of each shard"
for ((shard = 0; shard < shards; shard++)); do
  "$lifeboat" prune --dry-run --json --shard "$shard/$shards" | grep -o '"source":"[^"]*"' | sort -u | wc -l
done >"$dir/shards"
paste -sd ' ' "$dir/shards"
awk -v all="$sources" '{ sum += $1; if (NR == 1 || $1 < min) min = $1; if ($1 > max) max = $1 }
  END { printf "min %d, max %d, sum %d of %d\n", min, max, sum, all; exit sum != all }' "$dir/shards"
say "backing up shard 0/$shards, one source after the other"
for ((round = 1; round <= ${BENCH_ROUNDS:-3}; round++)); do
  measure "fleet.$round" "$lifeboat" backup --all --shard "0/$shards" --no-progress
done
python3 - "$dir" "$(head -1 "$dir/shards")" "${BENCH_ROUNDS:-3}" <<'PY'
import glob, json, statistics, sys
directory, sources, rounds = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
runs = [json.load(open(f"{directory}/fleet.{r}.json")) for r in range(1, rounds + 1)]
kept = len(glob.glob(f"{directory}/fleet/*/manifests/*.json"))
assert kept == sources * rounds, f"{kept} backups, not {sources * rounds}"
walls = [r["wall"] for r in runs]
peak = max(r["programs"]["lifeboat"]["peak_kib"] for r in runs) / 1024
print(f"{sources} sources: {statistics.median(walls):.0f} s (" + ", ".join(f"{w:.0f}" for w in walls) +
      f"), {statistics.median(walls) / sources:.2f} s each; peak memory of lifeboat {peak:.0f} MiB")
PY
