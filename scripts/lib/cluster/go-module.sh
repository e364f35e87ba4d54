#!/usr/bin/env bash
# go-module.sh VERSION GO.MOD DIR: writes a Go module to DIR that builds Kubernetes' programs. Its own module cannot be
# installed by version, since it replaces its parts by folders beside it; those parts are published as v0.x.y, too.
set -euo pipefail
version=$1 theirs=$2 module=$3 parts=v0.${1#*.}
{
  printf 'module cluster\n\n%s\n\nrequire k8s.io/kubernetes v%s\n\n' "$(grep '^go ' "$theirs")" "$version"
  # Exactly the versions that Kubernetes was released with
  awk '/^require \(/ { on = 1 } on { print } /^\)/ { on = 0 }' "$theirs" | sed "s#\(k8s.io/[a-z-]*\) v0\.0\.0\$#\1 $parts#"
  printf '\nreplace (\n'
  sed -n "s#^\t\(k8s.io/[a-z-]*\) => ./staging/.*#\t\1 => \1 $parts#p" "$theirs"
  printf ')\n'
} >"$module/go.mod"
{
  printf '//go:build tools\n\npackage tools\n\nimport (\n'
  for program in kube-apiserver kube-controller-manager kube-scheduler kubelet kubectl; do
    printf '\t_ "k8s.io/kubernetes/cmd/%s"\n' "$program"
  done
  printf ')\n'
} >"$module/tools.go"
