#!/usr/bin/env bash
# Mutation testing of ledger/core, on a copy in build/mutate: the files here stay as they are. mutmut
# writes the mutants, tests/mutants.py runs the tests over them. Arguments are names of mutants with
# wildcards, as `ledger.core.merkle*` (none: all of them), and the options of tests/mutants.py. What
# survived is listed at the end; docs/MUTATION.md explains those that may.
set -euo pipefail
cd "$(dirname "$0")/.."
work=build/mutate
if [ ! -x $work/env/bin/mutmut ]; then
  # An environment of its own: mutmut brings a terminal interface that nothing here needs.
  .venv/bin/python -m venv $work/env
  $work/env/bin/pip install --quiet --disable-pip-version-check mutmut==3.8.1
  packages=$(.venv/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
  echo "$packages" > "$($work/env/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/timmy.pth"
fi
# Files that git no longer knows would stay in the copy.
rm -rf $work/tree/tests $work/tree/ledger
mkdir -p $work/tree
git ls-files -z | tar --null --files-from=- --create | tar --extract --directory $work/tree
cd $work/tree
# The tests ask git which files there are.
[ -d .git ] || git init --quiet
git add --all
unset PYTHONPATH
nice ../env/bin/python -P ../../../tests/mutants.py "$@"
