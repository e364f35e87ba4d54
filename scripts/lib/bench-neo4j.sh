# shellcheck shell=bash
# Export and restore of a graph beside neo4j-admin's dump and load, and the crate `neo4j`. Sourced by scripts/bench.
rounds=${BENCH_ROUNDS:-3} nodes=${BENCH_NODES:-200000} relationships=${BENCH_RELATIONSHIPS:-500000}
begin
# The tests' servers start quickly and run slowly; these are to run as they do elsewhere.
export JAVA_OPTS=-XX:TieredStopAtLevel=4
eval "$(scripts/services start neo4j "$dir/source")"
source_url=$NEO4J_URL source_home=$NEO4J_HOME port=$NEO4J_PORT
eval "$(scripts/services start neo4j "$dir/target")"
target_url=$NEO4J_URL target_home=$NEO4J_HOME
start_s3
home=$LIFEBOAT_TEST_NEO4J
cypher() { "$home/bin/cypher-shell" -a "$1" --format plain --non-interactive "$2"; }
count() { cypher "$1" 'MATCH (n) RETURN count(n)' | tail -n 1; }
wipe() { # URL
  cypher "$1" 'MATCH ()-[r]->() CALL { WITH r DELETE r } IN TRANSACTIONS OF 10000 ROWS; MATCH (n) CALL { WITH n DELETE n } IN TRANSACTIONS OF 10000 ROWS; DROP INDEX person IF EXISTS;'
}
if [[ $(count "$source_url") != "$nodes" ]]; then
  say "making $nodes nodes and $relationships relationships"
  wipe "$source_url"
  cypher "$source_url" "
    UNWIND range(0, $nodes - 1) AS i CALL { WITH i CREATE (p:Person {id: i, name: 'name ' + i, age: i % 90,
      city: 'city ' + (i % 100), born: date('1960-01-01') + duration({days: i % 20000}), score: i / 7.0}) }
      IN TRANSACTIONS OF 20000 ROWS;
    CREATE INDEX person IF NOT EXISTS FOR (p:Person) ON (p.id); CALL db.awaitIndexes(300);
    UNWIND range(0, $relationships - 1) AS i CALL { WITH i MATCH (a:Person {id: i % $nodes})
      MATCH (b:Person {id: (i * 7 + 1) % $nodes}) CREATE (a)-[:KNOWS {since: i}]->(b) } IN TRANSACTIONS OF 20000 ROWS;"
fi
cat > "$dir/lifeboat.toml" <<TOML
[store]
url = "s3://$S3_BUCKET/neo4j"
endpoint = "$S3_URL"
path_style = true

[sources.bench]
engine = "neo4j"
url = "$source_url"
policy = "bench"

[policies.bench.retention]
last = 3
TOML
export LIFEBOAT_CONFIG=$dir/lifeboat.toml
say "building what streams by the crate neo4j"
cargo build --release --quiet --manifest-path scripts/lib/neo4j-stream/Cargo.toml --target-dir "$dir/neo4j-stream"
stream=$dir/neo4j-stream/release/neo4j-stream
# Warm: the JIT compiler of the server is what the first runs measure.
for _ in 1 2 3; do "$lifeboat" backup bench --no-progress >/dev/null 2>&1; "$stream" "$port" >/dev/null; done
for ((round = 1; round <= rounds; round++)); do
  say "round $round of $rounds"
  measure "stream.$round" "$stream" "$port"
  measure "backup-l.$round" "$lifeboat" backup bench --no-progress
  [[ ${BENCH_RESTORES:-1} != 0 ]] || continue
  measure "restore-l.$round" "$lifeboat" restore bench --to "$target_url" --no-progress
  wipe "$target_url"
done
if [[ ${BENCH_RESTORES:-1} != 0 ]]; then
  scripts/services stop "$dir/source"
  scripts/services stop "$dir/target"
  for ((round = 1; round <= rounds; round++)); do
    measure "dump.$round" env NEO4J_HOME="$source_home" NEO4J_CONF="$source_home/conf" "$home/bin/neo4j-admin" database dump neo4j --to-path="$dir" --overwrite-destination=true
    measure "load.$round" env NEO4J_HOME="$target_home" NEO4J_CONF="$target_home/conf" "$home/bin/neo4j-admin" database load neo4j --from-path="$dir" --overwrite-destination=true
  done
fi
python3 - "$dir" "$rounds" "$nodes" "$relationships" "${BENCH_RESTORES:-1}" <<'PY'
import json, statistics, sys
folder, rounds, nodes, relationships, restores = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]), sys.argv[5] != "0"
def runs(name): return [json.load(open(f"{folder}/{name}.{r}.json")) for r in range(1, rounds + 1)]
def median(name, f): return statistics.median(f(r) for r in runs(name))
wall, cpu = (lambda r: r["wall"]), (lambda r: r["cpu"])
def peak(r): return max(p["peak_kib"] for p in r["programs"].values()) / 1024
rows = [("stream", "the crate neo4j, streaming alone"), ("backup-l", "lifeboat backup (export) to S3")]
if restores:
    rows += [("restore-l", "lifeboat restore from S3"), ("dump", "neo4j-admin dump (stopped)"), ("load", "neo4j-admin load (stopped)")]
print(f"\n{'median of ' + str(rounds):38}{'wall s':>9}{'CPU s':>9}{'peak MiB':>10}{'rows/s':>11}")
for name, label in rows:
    print(f"{label:38}{median(name, wall):9.2f}{median(name, cpu):9.2f}{median(name, peak):10.0f}{(nodes + relationships) / median(name, wall):11,.0f}")
print()
def target(text, value, met, unit, bound):
    print(f"{text:46}{value:10.2f}{unit}   target {bound}   {'met' if met else 'MISSED'}")
ratio = median("backup-l", wall) / median("stream", wall)
print(f"{'export: lifeboat / the crate streaming':46}{ratio:10.2f}")
rate = (nodes + relationships) / median("backup-l", wall)
target("export, nodes and relationships a second", rate, rate >= 90000, "", ">= 90000")
per = median("backup-l", cpu) * 200000 / (nodes + relationships)
target("export, client CPU s for 200,000 rows", per, per < 0.2, "", "< 0.2")
memory = median("backup-l", peak)
target("peak memory of the export, MiB", memory, memory < 128, "", "< 128 and 16 bytes a node")
if restores:
    share = median("restore-l", cpu) / median("restore-l", wall) * 100
    target("restore, CPU of lifeboat", share, share < 5, " %", "< 5 % of one core")
PY
