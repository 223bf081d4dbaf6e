#!/usr/bin/env bash
# Sets up a second Python version, if the machine has one, so that replay is compared across the two.
# Prints nothing and succeeds if there is none: the test then says so.
set -euo pipefail
cd "$(dirname "$0")/.."
mine=$(.venv/bin/python -c 'import sys; print("%d.%d" % sys.version_info[:2])')
for candidate in python3.14 python3.13 python3.12 python3.11 "$HOME"/.pyenv/versions/3.1[1-9].*/bin/python3; do
  found=$(command -v "$candidate" 2> /dev/null) || continue
  version=$("$found" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2> /dev/null) || continue
  [ "$version" = "$mine" ] && continue
  [ -e "build/python-$version/.ready" ] && exit 0
  echo "timmy: setting up Python $version beside $mine, to compare replays"
  rm -rf "build/python-$version"
  if "$found" -m venv "build/python-$version" &&
     "build/python-$version/bin/pip" install --quiet --disable-pip-version-check --require-hashes -r requirements/run.txt 2> "build/python-$version.log"; then
    touch "build/python-$version/.ready"
    exit 0
  fi
done
