#!/usr/bin/env bash
# System packages that are no Python packages: bubblewrap confines the agent process and the judge.
# Installs what is missing where that is allowed; else says in one line what is missing.
#   --optional   a node runs without them: say so and go on
set -euo pipefail
optional=${1:-}
packages=()
command -v bwrap > /dev/null || packages+=(bubblewrap)
[ ${#packages[@]} -eq 0 ] && exit 0
if [ "$(id -u)" = 0 ] && command -v apt-get > /dev/null; then
  echo "timmy: installing ${packages[*]}"
  if { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq "${packages[@]}"; } > /dev/null 2>&1; then
    exit 0
  fi
fi
if [ "$optional" = --optional ]; then
  echo "timmy: note: without ${packages[*]} the agent process is not confined (apt install ${packages[*]})"
  exit 0
fi
echo "timmy: error: the tests need ${packages[*]}: apt install ${packages[*]}" >&2
exit 2
