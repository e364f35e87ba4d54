# What the programs in bin share; sourced by them. They take the place of the vendor's
# scripts, for a home that scripts/services made out of the published jars.
#
#   NEO4J_HOME   where data, logs, run and the like are; default: the parent of bin
#   NEO4J_CONF   the directory with neo4j.conf; default: $NEO4J_HOME/conf
#   JAVA_HOME    the Java to use; default: its own if it has one, else the
#                first on the PATH that is new enough
#   HEAP_SIZE    the heap, such as 512m; without it, small
#   JAVA_OPTS    more arguments for Java
#
# shellcheck disable=SC2034 # $program and others are for who sources this
set -euo pipefail

program=${0##*/}
# The jars are beside this file, wherever NEO4J_HOME is.
lib=$(dirname -- "$(readlink -f "${BASH_SOURCE[0]}")")
# shellcheck source=java.sh
source "$lib/java.sh"
export NEO4J_HOME=${NEO4J_HOME:-${lib%/*}}
export NEO4J_CONF=${NEO4J_CONF:-$NEO4J_HOME/conf}

fail() {
  printf '%s: %s\n' "$program" "$*" >&2
  exit 1
}

# settings NAME: its values in neo4j.conf, one a line
settings() {
  [[ -r $NEO4J_CONF/neo4j.conf ]] || return 0
  # Awk reads backslashes in -v; a name has none.
  awk -v name="$1" '{
    at = index($0, "="); key = substr($0, 1, at - 1); value = substr($0, at + 1)
    gsub(/^[ \t]+|[ \t\r]+$/, "", key); gsub(/^[ \t]+|[ \t\r]+$/, "", value)
    if (at && key == name && value != "") print value
  }' "$NEO4J_CONF/neo4j.conf"
}

# directory NAME: where the configuration, or else the default, puts it
directory() {
  local path
  path=$(settings "server.directories.$1" | tail -n 1)
  path=${path:-$1}
  [[ $path == /* ]] || path=$NEO4J_HOME/$path
  printf '%s\n' "$path"
}

# heap TEXT: sets $size, in the way Java writes it
heap() {
  size=${1%[bB]}
  size=${size%i}
  [[ $size =~ ^[0-9]+[kKmMgG]?$ ]] || fail "not a whole size of a heap: $1"
}

# choose_java: sets $found and $major
choose_java() {
  local minimum
  # One that came along, unless another is asked for
  if [[ -z ${JAVA_HOME:-} && -x ${lib%/*}/java/bin/java ]]; then local JAVA_HOME=${lib%/*}/java; fi
  read -r minimum <"$lib/java-minimum"
  find_java "$minimum" || fail "needs Java $minimum or newer: install it, or set JAVA_HOME"
}

# java_command ARCHIVE: sets $command, up to the name of the class. ARCHIVE names the
# archive of loaded classes, which makes the start faster; it fits one Java alone.
java_command() {
  local classpath
  choose_java
  command=("$found" -XX:TieredStopAtLevel=1 -Xlog:disable -Dfile.encoding=UTF-8
    --add-opens=java.base/java.nio=ALL-UNNAMED --add-opens=java.base/java.io=ALL-UNNAMED
    --add-opens=java.base/sun.nio.ch=ALL-UNNAMED)
  if ((major >= 24)); then command+=(--enable-native-access=ALL-UNNAMED --sun-misc-unsafe-memory-access=allow); fi
  if [[ -r $lib/cds/$1.jsa && -r $lib/cds/java && $(java_identity "$found") == "$(<"$lib/cds/java")" ]]; then
    command+=("-XX:SharedArchiveFile=$lib/cds/$1.jsa")
  fi
  jars # the same order at all times: the archive asks for it
  # shellcheck disable=SC2206
  command+=(${JAVA_OPTS:-} -cp "$classpath")
}

# jars: sets $classpath; plugins last, since the archive may be continued only
jars() {
  local LC_ALL=C jar plugins
  plugins=$(directory plugins)
  classpath=
  for jar in "$lib"/*.jar "$plugins"/*.jar; do
    [[ ! -e $jar ]] || classpath+=:$jar
  done
  classpath=${classpath#:}
}
