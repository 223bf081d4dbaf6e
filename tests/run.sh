#!/usr/bin/env bash
# Runs the test-suite on the installed project, with coverage, on every core, without a network
# where the machine lets us take it away. Arguments are handed to pytest.
set -euo pipefail
cd "$(dirname "$0")/.."
bin=$PWD/.venv/bin
export PATH="$bin:$PATH" PYTHONDONTWRITEBYTECODE=1
alone=()
if unshare --net true 2> /dev/null; then
  # A network namespace of our own holds loopback and nothing else.
  alone=(unshare --net -- bash -c 'ip link set lo up 2> /dev/null || '"$bin"'/python tests/loopback.py; exec "$@"' run)
else
  echo "timmy: note: this machine does not let the tests take the network away; they use loopback only"
fi
rm -f .coverage .coverage.* .pytest_cache/v/cache/lastfailed
workers=$(nproc)
"${alone[@]}" "$bin/coverage" run -m pytest -n "$workers" --dist loadfile --no-loadscope-reorder "$@" || {
  code=$?
  [ $# -eq 0 ] && [ $code -eq 1 ] || exit $code
  "${alone[@]}" "$bin/python" tests/again.py || exit $code
}
if [ $# -eq 0 ]; then
  "$bin/coverage" combine --quiet
  "$bin/coverage" report --skip-covered --include='*/core/*' --fail-under=98 > build/coverage-core.txt || { cat build/coverage-core.txt; exit 1; }
  "$bin/coverage" report --skip-covered --fail-under=91 > build/coverage.txt || { cat build/coverage.txt; exit 1; }
  grep TOTAL build/coverage-core.txt | sed 's/TOTAL/coverage of the cores:/'
  grep TOTAL build/coverage.txt | sed 's/TOTAL/coverage of everything:/'
fi
