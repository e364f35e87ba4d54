# shellcheck shell=bash
# Peak memory and temporary files while 4 GiB are backed up. Sourced by scripts/bench.
begin
start_postgres
start_s3
if ! psql -qXAtc "select 1 from pg_database where datname = 'big'" postgres | grep -q 1; then
  say "making a database with 4 GiB of rows"
  createdb big
  psql -qX -v ON_ERROR_STOP=1 -d big -c "create table rows as select i as id, md5(i::text) || repeat(md5((i / 7)::text), 6) || md5((i * 3)::text) as body from generate_series(1, 16500000) i"
fi
configure big memory
say "backing up"
(
  while sleep 0.2; do du -sk "${TMPDIR:-/tmp}" --exclude="${dir##*/}" 2>/dev/null | cut -f1; done > "$dir/tmp-sizes"
) &
watcher=$!
measure memory "$lifeboat" backup bench --no-progress --json
kill "$watcher"
python3 - "$dir" <<'PY'
import json, sys
folder = sys.argv[1]
run = json.load(open(f"{folder}/memory.json"))
line = next(json.loads(l) for l in open(f"{folder}/memory.log") if l.startswith("{") and '"backup"' in l)
sizes = [int(l) for l in open(f"{folder}/tmp-sizes") if l.strip()]
peak = run["programs"]["lifeboat"]["peak_kib"] / 1024
print(f"raw bytes        {line['raw_bytes'] / 2**30:.2f} GiB in {run['wall']:.1f} s")
print(f"peak memory      {peak:.0f} MiB   target < 128   {'met' if peak < 128 else 'MISSED'}")
print(f"temporary files  grew by {(max(sizes) - min(sizes)) / 1024:.1f} MiB at most")
PY
