#!/usr/bin/env bash
# Checks the manifests: kustomize builds each overlay, kubeconform knows every field in the oldest and the
# newest Kubernetes that they are for, kube-score finds nothing critical. Without a network.
set -euo pipefail
cd -- "${BASH_SOURCE[0]%/*}/../.."
: "${LIFEBOAT_TEST_KUSTOMIZE:?scripts/services get kustomize}" "${LIFEBOAT_TEST_KUBECONFORM:?}" "${LIFEBOAT_TEST_KUBE_SCHEMAS:?}" "${LIFEBOAT_TEST_KUBE_SCORE:?}"
built=$(mktemp) found=$(mktemp)
trap 'rm -f "$built" "$found"' EXIT

check() {
  local version summary
  for version in 1.33.0 1.37.0; do
    # ExternalSecret and SecretProviderClass are not Kubernetes' own.
    summary=$("$LIFEBOAT_TEST_KUBECONFORM" -strict -summary -kubernetes-version "$version" \
      -skip ExternalSecret,SecretProviderClass \
      -schema-location "$LIFEBOAT_TEST_KUBE_SCHEMAS"'/{{ .NormalizedKubernetesVersion }}-standalone{{ .StrictSuffix }}/{{ .ResourceKind }}{{ .KindSuffix }}.json' \
      <"$built") || { echo "$summary" >&2; return 1; }
    # Nothing found is nothing checked.
    [[ $summary =~ Valid:\ ([5-9]|[1-9][0-9]) ]] || { echo "too few objects: $summary" >&2; return 1; }
    echo "  $version: $summary"
  done
  # A registry that is down at night must not stop a backup whose image is on the node.
  "$LIFEBOAT_TEST_KUBE_SCORE" score --ignore-test container-image-pull-policy --output-format ci "$built" >"$found" && return
  grep -vE '^\[(OK|SKIPPED)\]' "$found" >&2
  return 1
}

for folder in k8s-cronjobs/base k8s-cronjobs/overlays/*/; do
  echo "$folder"
  "$LIFEBOAT_TEST_KUSTOMIZE" build "$folder" >"$built"
  check
done
if [[ -x ${1:-} ]]; then
  echo "k8s --shards 8"
  "$1" --config k8s-cronjobs/lifeboat.toml k8s --shards 8 --push-gateway 9091 -q >"$built"
  check
fi
