# shellcheck shell=bash
# Backup and restore of a replica set with about 1 GiB of documents. Sourced by scripts/bench.
rounds=${BENCH_ROUNDS:-3}
begin
set -a
eval "$(scripts/services start mongodb replica "$dir/mongodb")"
set +a
start_s3
aws=${LIFEBOAT_BENCH_AWS:-aws}
bucket=$S3_BUCKET
export PATH="$LIFEBOAT_TEST_MONGO_TOOLS:$PATH"
mongo() { python3 scripts/lib/mongo.py "$MONGODB_URL" "$@"; }

# documents COLLECTION COUNT: made by the server itself, of about 280 bytes each.
documents() {
  local batch=100000 done=0
  while ((done < $2)); do
    mongo bench '{"aggregate": 1, "cursor": {}, "pipeline": [
      {"$documents": [{"n": {"$range": ['"$done, $((done + batch < $2 ? done + batch : $2))"']}}]},
      {"$unwind": "$n"},
      {"$project": {"_id": "$n", "user": {"$mod": ["$n", 50021]}, "kind": {"$arrayElemAt": [["view", "cart", "order", "refund"], {"$mod": ["$n", 4]}]},
        "at": {"$toDate": {"$add": [{"$long": 1700000000000}, {"$multiply": ["$n", 977]}]}}, "price": {"$rand": {}},
        "session": {"$concat": [{"$toString": {"$rand": {}}}, {"$toString": {"$rand": {}}}]},
        "payload": {"agent": "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36", "path": {"$concat": ["/shop/item/", {"$toString": {"$mod": ["$n", 9973]}}]},
          "trace": {"$concat": [{"$toString": {"$rand": {}}}, {"$toString": {"$rand": {}}}, {"$toString": {"$rand": {}}}]},
          "tags": ["a", "b", {"$toString": {"$mod": ["$n", 17]}}]}}},
      {"$merge": {"into": "'"$1"'", "whenMatched": "fail"}}]}' >/dev/null
    done=$((done + batch))
  done
}

if [[ $(mongo bench '{"count": "events"}') != *'"n": '[1-9]* ]]; then
  say "making the documents"
  documents events "${BENCH_DOCUMENTS:-4000000}"
  for i in $(seq 1 50); do documents "small$i" 2000; done
  mongo bench '{"createIndexes": "events", "indexes": [{"key": {"user": 1, "at": -1}, "name": "user_at"}, {"key": {"kind": 1}, "name": "kind"}, {"key": {"payload.path": 1}, "name": "path"}]}' >/dev/null
fi
mongo bench '{"dbStats": 1, "scale": 1048576}' | python3 -c 'import json,sys; d=json.load(sys.stdin); print("database:", round(d["dataSize"]), "MiB of documents,", round(d["storageSize"]), "MiB on disk")'

cat > "$dir/lifeboat.toml" <<TOML
[store]
url = "s3://$S3_BUCKET/mongodb"
endpoint = "$S3_URL"
path_style = true

[sources.bench]
engine = "mongodb"
url = "$MONGODB_URL"
tools = "$LIFEBOAT_TEST_MONGO_TOOLS"
policy = "bench"

[policies.bench.retention]
last = 3
TOML
export LIFEBOAT_CONFIG=$dir/lifeboat.toml
copy="$aws --endpoint-url $S3_URL s3 cp --quiet --expected-size 4000000000"
fetch="$aws --endpoint-url $S3_URL s3 cp --quiet"
uri="--quiet --uri $MONGODB_URL"
rename="--nsFrom bench.* --nsTo restored.* --nsInclude bench.*"
fresh() { mongo restored '{"dropDatabase": 1}' >/dev/null; mongo admin '{"fsync": 1}' >/dev/null; }

for ((round = 1; round <= rounds; round++)); do
  say "round $round of $rounds"
  measure "dump-null.$round" bash -c "mongodump $uri --oplog --archive > /dev/null"
  measure "backup-a.$round" bash -c "set -o pipefail; mongodump $uri --oplog --archive --gzip | $copy - s3://$bucket/a.gz"
  measure "backup-b.$round" bash -c "set -o pipefail; mongodump $uri --oplog --archive | zstd -3 -q | $copy - s3://$bucket/b.zst"
  measure "backup-l.$round" "$lifeboat" backup bench --no-progress
  [[ ${BENCH_RESTORES:-1} != 0 ]] || continue
  fresh
  measure "restore-a.$round" bash -c "set -o pipefail; $fetch s3://$bucket/a.gz - | mongorestore $uri $rename --archive --gzip"
  fresh
  measure "restore-b.$round" bash -c "set -o pipefail; $fetch s3://$bucket/b.zst - | zstd -d -q | mongorestore $uri $rename --archive"
  fresh
  measure "restore-l.$round" "$lifeboat" restore bench --only bench --map bench=restored --to "$MONGODB_URL" --no-progress
  fresh
done

say "the archive's reader alone"
mongodump --quiet --uri "$MONGODB_URL" --oplog --archive > "$dir/raw.archive"
LIFEBOAT_BENCH_ARCHIVE=$dir/raw.archive cargo bench --quiet --locked --bench archive > "$dir/reader.json"
rm -f "$dir/raw.archive"

python3 - "$dir" "$rounds" "${BENCH_RESTORES:-1}" <<'PY'
import json, statistics, sys
folder, rounds, restores = sys.argv[1], int(sys.argv[2]), sys.argv[3] != "0"
def runs(name): return [json.load(open(f"{folder}/{name}.{r}.json")) for r in range(1, rounds + 1)]
def median(name, f): return statistics.median(f(r) for r in runs(name))
wall = lambda r: r["wall"]
cpu = lambda r: r["cpu"]
def peak(r): return sum(p["peak_kib"] for n, p in r["programs"].items() if n not in ("bash",)) / 1024
rows = [("dump-null", "mongodump --archive > /dev/null"), ("backup-a", "(a) mongodump --gzip | aws s3 cp"),
        ("backup-b", "(b) mongodump | zstd -3 | aws s3 cp"), ("backup-l", "lifeboat backup"),
        ("restore-a", "(a) aws | mongorestore --gzip"), ("restore-b", "(b) aws | zstd -d | mongorestore"),
        ("restore-l", "lifeboat restore")]
print(f"\n{'median of ' + str(rounds):38}{'wall s':>9}{'CPU s':>9}{'peak MiB':>10}")
for name, label in rows if restores else rows[:4]:
    print(f"{label:38}{median(name, wall):9.2f}{median(name, cpu):9.2f}{median(name, peak):10.0f}")
lifeboat = max(r["programs"]["lifeboat"]["peak_kib"] for r in runs("backup-l")) / 1024
reader = json.load(open(f"{folder}/reader.json"))
share = reader["seconds"] / median("dump-null", wall) * 100
ratio = lambda a, b: median(a, wall) / median(b, wall)
print()
def target(text, value, met, unit, bound):
    print(f"{text:42}{value:8.2f}{unit}   target {bound}   {'met' if met else 'MISSED'}")
b = ratio("backup-l", "backup-b")
target("backup: lifeboat / (b)", b, b <= 1.05, "", "<= 1.05")
a = ratio("backup-a", "backup-l")
target("backup: (a) / lifeboat", a, a >= 1.5, "", ">= 1.50")
target("reader and digest at the dump's rate, 1 core", share, share < 15, " %", "< 15 %")
target("peak memory of lifeboat itself, MiB", lifeboat, lifeboat < 128, "", "< 128")
if restores:
    print(f"{'restore: lifeboat / (b)':42}{ratio('restore-l', 'restore-b'):8.2f}")
print(f"the archive has {reader['bytes'] / 2**30:.2f} GiB, read and digested at {reader['bytes'] / reader['seconds'] / 1e9:.1f} GB/s")
PY
