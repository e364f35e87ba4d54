#!/usr/bin/env bash
# cases.sh: what scripts/test-cluster asserts of lifeboat in a cluster; run by node.sh when the node is ready. Looks
# from outside only: at the store's files, the push gateway, Prometheus, Alertmanager, Kubernetes' API and the
# node's own view of the processes. Ends with 0 when all held.
set -euo pipefail
dir=${LIFEBOAT_TEST_CLUSTER_DIR:?} address=${LIFEBOAT_TEST_ADDRESS:?}
cd "${LIFEBOAT_TEST_CLUSTER_REPOSITORY:?}"
images=$(cat "$dir/image-sizes")
# Seconds within which the policy wants a backup: longer than until the first look at the alerts, and soon over.
freshness=90
source scripts/lib/cluster/checks.sh
source scripts/lib/cluster/servers.sh

say 'the node is ready; starting PostgreSQL, MongoDB, S3, push gateway, Prometheus, Alertmanager'
python3 scripts/lib/cluster/peaks.py "$LIFEBOAT_TEST_CLUSTER_CGROUP" "$dir/peaks" &
start_databases
start_store
start_monitoring
write_configuration
deploy

case_backup() {
  say 'backup: a Job of the CronJob as it is'
  job backup backup
  check 'a pod works' await 60 working backup
  cat "/proc/$pid/status" >"$dir/status" || true
  cat "/proc/$pid/mountinfo" >"$dir/mountinfo" || true
  finish backup 240
  check 'the pod ends with exit code 0' same 0 "$(codes backup)"
  check 'it ran as user and group 65532 alone' grep -qzP 'Uid:(\t65532){4}\nGid:(\t65532){4}\n(.*\n)*Groups:\t65532 ?\n' "$dir/status"
  check 'it had no capabilities' grep -qx $'CapEff:\t0000000000000000' "$dir/status"
  check 'it could gain no privileges' grep -qx $'NoNewPrivs:\t1' "$dir/status"
  check 'it ran under a seccomp filter' grep -qx $'Seccomp:\t2' "$dir/status"
  check 'its root was read-only' grep -qE '^[^ ]+ [^ ]+ [^ ]+ [^ ]+ / ro' "$dir/mountinfo"
  check 'its /tmp was writable' grep -qE '^[^ ]+ [^ ]+ [^ ]+ [^ ]+ /tmp rw' "$dir/mountinfo"
  local source
  for source in orders shop; do
    check "$source: one manifest in the bucket" same 1 "$(stored "$source/manifests/*.json")"
    check "$source: its data, too" test "$(stored "$source/data/*/*")" -gt 1
    check "$source: the gateway knows of the success" same 1 "$(metric lifeboat_last_run_success $source backup)"
    check "$source: and of its size" test "$(metric lifeboat_backup_raw_bytes $source backup)" -gt 10000000
  done
  check 'nothing half-made is left' same 0 "$(half_made)"
  check 'the leases are given back' same 0 "$(leases)"
}

case_silence() {
  say 'alerts: silent while backups are fresh'
  check 'Prometheus has the metrics and the rules' await 20 eval \
    'curl -fsS "$address:9090/api/v1/query?query=lifeboat_newest_backup_timestamp_seconds" | grep -q orders'
  sleep 6 # three evaluations: `for` is over
  check 'LifeboatBackupTooOld is silent' silent 'LifeboatBackupTooOld orders'
  check 'LifeboatAbsent is silent' silent 'LifeboatAbsent -'
}

case_others() {
  say 'prune, verify, drill: Jobs of the CronJobs as they are'
  run prune prune 0
  check 'prune kept the only backup' same 1 "$(metric lifeboat_prune_kept_backups orders prune)"
  run verify verify 0
  run drill drill 0
  local source
  for source in orders shop; do
    check "$source: verify found no damage" same 0 "$(metric lifeboat_verify_failed_backups $source verify)"
    check "$source: the drill's evidence is in the store" same 1 "$(stored "$source/drills/*/*.passed.json")"
    check "$source: and no other" same 0 "$(stored "$source/drills/*/*.failed.json")"
    check "$source: the gateway knows that it passed" same 1 "$(metric lifeboat_drill_passed $source drill)"
    check "$source: and how long a recovery takes" test -n "$(metric lifeboat_drill_rto_seconds $source drill)"
  done
}

case_shards() {
  say 'a fleet: an Indexed Job of three shards'
  local before
  before=$(stored '*/manifests/*.json')
  job fleet backup-fleet
  finish fleet 240
  check 'all three pods end with exit code 0' same '0 0 0' "$(codes fleet)"
  check 'all indexes are completed' same 0-2 "$(kubectl get job fleet -n lifeboat -o jsonpath='{.status.completedIndexes}')"
  check 'each source was backed up once' same $((before + 2)) "$(stored '*/manifests/*.json')"
}

case_status() {
  say 'status: with fresh backups and passed drills'
  run status status 0
  local source
  for source in orders shop; do
    check "$source: no objective is missed" same 0000 "$(metric lifeboat_objective_missed $source status | tr -d '\n')"
  done
}

case_two() {
  say 'two Jobs of the same source at once'
  local before outcomes good
  before=$(stored 'orders/manifests/*.json')
  job first backup --args backup orders --cpu 80m --once
  job second backup --args backup orders --cpu 80m --once
  finish first 240
  finish second 240
  outcomes=$(printf '%s\n' "$(codes first)" "$(codes second)" | sort -n | tr '\n' ' ')
  check "one works, the other exits 9 or runs after it (exit codes $outcomes)" grep -qE '^0 (0|9) $' <<<"$outcomes"
  good=$(grep -o '\b0\b' <<<"$outcomes" | wc -l)
  check 'as many backups more as Jobs that succeeded' same $((before + good)) "$(stored 'orders/manifests/*.json')"
  check 'nothing half-made is left' same 0 "$(half_made)"
  if [[ $outcomes == '0 9 ' ]]; then
    check 'Kubernetes gives the reason' grep -q PodFailurePolicy <(kubectl get jobs first second -n lifeboat -o jsonpath='{.items[*].status.conditions[*].reason}')
  fi
}

case_deleted() {
  say 'a pod deleted in mid-backup'
  local before began watcher
  before=$(stored 'orders/manifests/*.json')
  job deleted backup --args backup orders --cpu 150m --once
  check 'data arrives in the store' await 90 arriving
  check 'no manifest is visible meanwhile' same "$before" "$(stored 'orders/manifests/*.json')"
  # The pod goes once its Job has counted it: its states are followed, or the last would be missed.
  kubectl get pods -n lifeboat -l batch.kubernetes.io/job-name=deleted --watch \
    -o jsonpath='{.status.containerStatuses[0].state.terminated.exitCode}{"\n"}' >"$dir/followed" &
  watcher=$!
  began=$SECONDS
  kubectl delete pod -n lifeboat -l batch.kubernetes.io/job-name=deleted --wait=false >/dev/null
  check 'it ends by itself with exit code 143' await 40 grep -qx 143 "$dir/followed"
  echo "        after $((SECONDS - began)) s"
  kill "$watcher"
  await 60 ended deleted && ended deleted
  check 'the Job has failed' same Failed "$outcome"
  check 'no backup more' same "$before" "$(stored 'orders/manifests/*.json')"
  check 'it removed what it had stored' same 0 "$(half_made)"
  check 'it gave its lease back' same 0 "$(leases)"
}

case_memory() {
  say 'a pod over its memory limit'
  local before
  before=$(stored 'shop/manifests/*.json')
  job memory backup --args backup shop --memory 20Mi --once
  finish memory 120
  check 'it ends with exit code 137' same 137 "$(codes memory)"
  check 'Kubernetes says OOMKilled' same OOMKilled "$(pods memory '{.status.containerStatuses[0].state.terminated.reason}')"
  check 'no backup more' same "$before" "$(stored 'shop/manifests/*.json')"
}

case_killed() {
  say 'a pod killed in mid-backup, as by the loss of its node; the next runs'
  local before began
  before=$(stored '*/manifests/*.json')
  job killed backup --args backup orders --cpu 150m --once
  check 'data arrives in the store' await 90 arriving
  working killed
  kill -KILL "$pid"
  finish killed 60
  check 'it ends with exit code 137' same 137 "$(codes killed)"
  check 'no backup more' same "$before" "$(stored '*/manifests/*.json')"
  check 'its leftovers are in the store' arriving
  check 'and its lease' same 1 "$(leases orders)"
  began=$SECONDS
  job after-memory prune --args prune shop --env LIFEBOAT_TEST_GARBAGE_GRACE=1s
  run after-kill prune 0 --args prune orders --env LIFEBOAT_TEST_GARBAGE_GRACE=1s
  check "the next run waits for the lease to run out ($((SECONDS - began)) s)" test $((SECONDS - began)) -ge 50
  finish after-memory 120
  check 'that of the other source, too' same 0 "$(codes after-memory)"
  check 'they remove the leftovers (their grace of a day made one of a second)' same 0 "$(half_made)"
  check 'the leases are free' same 0 "$(leases)"
  check 'the backups are as they were' same "$before" "$(stored '*/manifests/*.json')"
}

case_failing() {
  say 'a backup that fails: the reason is with the pod'
  printf 'wrong-%s' "$(openssl rand -hex 8)" >"$dir/wrong"
  secret lifeboat-orders --from-file=password="$dir/wrong"
  run failing backup 4 --args backup orders --once
  local message
  message=$(pods failing '{.status.containerStatuses[0].state.terminated.message}')
  check 'the termination message has the error' grep -q 'refused the password of .postgres' <<<"$message"
  check 'and its hint' grep -q 'hint' <<<"$message"
  check 'and not the password' not grep -q "$(cat "$dir/wrong")" <<<"$message"
  check 'the gateway knows the kind' same 1 "$(metric lifeboat_last_run_error orders backup 'kind="unreachable"')"
  check 'LifeboatBackupFailed fires in Prometheus' await 30 firing 'LifeboatBackupFailed orders'
  check 'and arrives in Alertmanager' await 30 arrived 'LifeboatBackupFailed orders'
  secret lifeboat-orders --from-file=password="$PG_PASSWORD_FILE"
}

case_stopped() {
  say "backups stop for longer than the policy's $freshness s; then they go on"
  check 'LifeboatBackupTooOld fires in Prometheus' await $((freshness + 60)) firing 'LifeboatBackupTooOld orders'
  check 'and arrives in Alertmanager' await 30 arrived 'LifeboatBackupTooOld orders'
  check 'of the other source, too' await 30 arrived 'LifeboatBackupTooOld shop'
  run late status 7
  run again backup 0
  check 'the alerts end in Alertmanager' await 60 gone 'LifeboatBackupTooOld orders'
  check 'that of the failed backup, too' await 60 gone 'LifeboatBackupFailed orders'
  run well status 0
}

cases=(backup silence others shards status two deleted memory killed failing stopped)
for name in "${cases[@]}"; do "case_$name"; done
print_table
[[ ${#failures[@]} -eq 0 ]]
