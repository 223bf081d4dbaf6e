#!/usr/bin/env bash
# System packages that are no Python packages: bubblewrap confines the agent process and the judge;
# git and OpenSSH judge the signed tags of SOUL.md in the tests; the agent's tools use git and ripgrep;
# nats-server is what the fleet bus is tried with.
# Installs what is missing where that is allowed; else says in one line what is missing.
#   --optional   a node runs without them: say so and go on
#   --compiler   what compiles the local model, and nothing else
set -euo pipefail
optional=${1:-}
packages=()
if [ "$optional" = --compiler ]; then
  command -v c++ > /dev/null || packages+=(g++)
else
  command -v bwrap > /dev/null || packages+=(bubblewrap)
fi
if [ -z "$optional" ]; then
  command -v git > /dev/null || packages+=(git)
  command -v rg > /dev/null || packages+=(ripgrep)
  command -v ssh-keygen > /dev/null || packages+=(openssh-client)
  PATH=$PATH:/usr/sbin command -v nats-server > /dev/null || packages+=(nats-server)
fi
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
if [ "$optional" = --compiler ]; then
  echo "timmy: error: the local model is compiled, and there is no C++ compiler: apt install ${packages[*]}" >&2
  exit 2
fi
echo "timmy: error: the tests need ${packages[*]}: apt install ${packages[*]}" >&2
exit 2
