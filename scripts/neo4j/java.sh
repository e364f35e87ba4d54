# Finds a Java; to be sourced.

# java_version JAVA: sets $major, as the file `release` beside it says
java_version() {
  local home line
  major=0
  home=$(readlink -f "$1") && home=${home%/bin/java}
  [[ -r $home/release ]] || return 1
  while read -r line; do
    if [[ $line =~ ^JAVA_VERSION=\"([0-9]+) ]]; then major=${BASH_REMATCH[1]}; fi
  done <"$home/release"
}

# find_java MINIMUM: sets $found. That of JAVA_HOME or none, if it is set; else the first
# that is new enough of those on the PATH and of those where Debian puts them.
find_java() {
  local candidates=()
  if [[ -n ${JAVA_HOME:-} ]]; then
    candidates=("$JAVA_HOME/bin/java")
  else
    mapfile -t candidates < <(type -aP java)
    candidates+=(/usr/lib/jvm/*/bin/java)
  fi
  for found in "${candidates[@]}"; do
    if [[ -x $found ]] && java_version "$found" && ((major >= $1)); then return 0; fi
  done
  return 1
}

# java_identity JAVA: a line that is another one for any other Java virtual machine
java_identity() {
  local home
  home=$(readlink -f "$1") && stat -Lc '%n %s %Y' "${home%/bin/java}/lib/server/libjvm.so"
}
