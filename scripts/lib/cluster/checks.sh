# How the cases of scripts/test-cluster look at a cluster, and say what they saw. Sourced by cases.sh.
# shellcheck shell=bash

passed=0 failures=() jobs=()

say() { printf '\n== %s (%ss)\n' "$1" "$SECONDS"; }

# check TEXT COMMAND…: does the command succeed? A failure is noted, and the cases go on.
check() {
  local text=$1
  shift
  if "$@" >"$dir/checked" 2>&1; then
    passed=$((passed + 1))
    printf '  ok    %s\n' "$text"
  else
    failures+=("$text")
    printf '  WRONG %s\n' "$text"
    tail -n 5 "$dir/checked" | cut -c 1-400 | sed 's/^/        | /'
  fi
}

# same WANTED GOT
same() {
  [[ $1 == "$2" ]] || { echo "wanted: $1; got: $2"; return 1; }
}

# await SECONDS COMMAND…: until it succeeds
await() {
  local end=$((SECONDS + $1))
  shift
  until "$@" >/dev/null 2>&1; do
    ((SECONDS < end)) || { echo "waited in vain for: $*" >&2; return 1; }
    sleep 0.2
  done
}

# ------------------------------------------------------------------------- jobs

# job NAME CRONJOB [OPTION OF job.py]…: a Job of that CronJob, now
job() {
  kubectl create job "$1" -n lifeboat --from="cronjob/lifeboat-$2" --dry-run=client -o json |
    python3 scripts/lib/cluster/job.py "${@:3}" | kubectl apply -f - >>"$dir/logs/apply"
}

# ended NAME: sets $outcome to Complete or Failed
ended() {
  outcome=$(kubectl get job "$1" -n lifeboat -o jsonpath='{range .status.conditions[?(@.status=="True")]}{.type}{"\n"}{end}' | grep -Ex -m 1 'Complete|Failed')
}

# pods NAME JSONPATH: of each pod of that Job
pods() { kubectl get pods -n lifeboat -l "batch.kubernetes.io/job-name=$1" -o jsonpath="{range .items[*]}$2{\" \"}{end}" | sed 's/ *$//'; }

codes() { pods "$1" '{.status.containerStatuses[0].state.terminated.exitCode}'; }

# run NAME CRONJOB EXIT-CODE [OPTION OF job.py]…: a Job from beginning to end
run() {
  job "$1" "$2" "${@:4}"
  finish "$1" 240
  check "the pod of $1 ends with exit code $3" same "$3" "$(codes "$1")"
}

# finish NAME SECONDS: waits for the end of a Job, and notes its pods for the table; sets $outcome
finish() {
  outcome=
  if await "$2" ended "$1"; then
    ended "$1"
    note "$1"
    return
  fi
  check "the job $1 ends within $2 s" false
  kubectl describe pods -n lifeboat -l "batch.kubernetes.io/job-name=$1" | tail -n 20
}

# note NAME: the pods of that Job, for the table
note() {
  local state=.status.containerStatuses[0].state.terminated pod row
  while read -r pod row; do
    jobs+=("$1 $row")
    kubectl logs "$pod" -n lifeboat >"$dir/logs/pod-$pod" 2>/dev/null || true
  done < <(pods "$1" "{.metadata.name} {.metadata.uid} {$state.exitCode} {$state.startedAt} {$state.finishedAt} {.spec.containers[0].resources.limits.memory}{\"\\n\"}" | grep .)
}

# process POD-UID: sets $pid to that of lifeboat's working process in the pod, as the node sees it
process() {
  local file
  pid=
  for file in /sys/fs/cgroup/{memory/,}"$LIFEBOAT_TEST_CLUSTER_CGROUP"/kubepods{,/burstable}/pod"$1"/*/cgroup.procs; do
    [[ -e $file ]] || continue
    for pid in $(tac "$file"); do
      if [[ $(cat "/proc/$pid/comm" 2>/dev/null) == lifeboat ]]; then return 0; fi
    done
  done
  pid=
  return 1
}

# working NAME: is lifeboat at work in the one pod of this Job? Sets $uid and $pid.
working() {
  uid=$(pods "$1" '{.metadata.uid}')
  [[ -n $uid ]] && process "$uid"
}

# ------------------------------------------------------ the store, from outside

# stored PATTERN: how many objects there are; the server keeps each as a file.
stored() {
  local files
  shopt -s nullglob globstar
  # shellcheck disable=SC2206
  files=("$bucket"/cluster/$1)
  shopt -u nullglob globstar
  echo "${#files[@]}"
}

# arriving: is something of a backup in the store that is not committed yet?
arriving() { [[ $(half_made) -gt 0 ]]; }

# half_made: objects and parts of uploads that belong to no manifest
half_made() {
  local data id n=0
  for data in "$bucket"/cluster/*/data/*/*; do
    [[ -f $data ]] || continue
    id=${data%/*}
    [[ -f ${id%/data/*}/manifests/${id##*/}.json ]] || n=$((n + 1))
  done
  echo $((n + $(find "$bucket/.sgwtmp/multipart" -type f 2>/dev/null | wc -l)))
}

# leases [SOURCE]: how many are held; one that was given back stays as an object that says so
leases() { grep -L '"released":true' "$bucket"/cluster/${1:-*}/lease.json | wc -l; }

# ------------------------------------------------------------------- monitoring

# metric NAME SOURCE COMMAND [LABEL="VALUE"]: its value in the push gateway
metric() {
  curl -fsS "$address:9091/metrics" | python3 -c '
import re, sys
name, source, command, more = sys.argv[1:]
for line in sys.stdin:
    if line.startswith(name + "{") and f"source=\"{source}\"" in line and f"command=\"{command}\"" in line and more in line:
        value = float(line.split()[-1])
        print(int(value) if value == int(value) else value)
' "$1" "$2" "$3" "${4:-}"
}

# alerts URL: names and sources of the alerts that fire in Prometheus, or that Alertmanager has
alerts() {
  curl -fsS "$1" | python3 -c '
import json, sys
answer = json.load(sys.stdin)
alerts = answer["data"]["alerts"] if isinstance(answer, dict) else answer
for alert in alerts:
    if alert.get("state") == "firing" or alert.get("status", {}) and alert["status"]["state"] == "active":
        print(alert["labels"]["alertname"], alert["labels"].get("source", "-"))
'
}

# has ALERT URL: 0 it is there, 1 it is not, 2 nobody answered (which is neither)
has() {
  local all
  all=$(alerts "$2") || return 2
  grep -qx "$1" <<<"$all"
}
firing() { has "$1" "$address:9090/api/v1/alerts"; }
arrived() { has "$1" "$address:9093/api/v2/alerts"; }
silent() { local rc=0; firing "$1" || rc=$?; ((rc == 1)); }
gone() { local rc=0; arrived "$1" || rc=$?; ((rc == 1)); }
not() { ! "$@"; }

# ------------------------------------------------------------------- the table

print_table() {
  printf '\n%s\n' "$images" | column -t
  printf '\n'
  python3 scripts/lib/cluster/table.py "$dir/peaks" "${jobs[@]}"
  printf '\n%s checks held, %s did not (%ss)\n' "$passed" "${#failures[@]}" "$SECONDS"
  if [[ ${#failures[@]} -gt 0 ]]; then printf 'WRONG: %s\n' "${failures[@]}"; fi
}
