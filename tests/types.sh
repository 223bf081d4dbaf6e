#!/usr/bin/env bash
# Types, import direction, unused dependencies. Says what is wrong, and nothing if nothing is.
set -euo pipefail
cd "$(dirname "$0")/.."
mkdir -p build
.venv/bin/mypy --no-error-summary
.venv/bin/lint-imports > build/lint-imports.log 2>&1 || { cat build/lint-imports.log; exit 1; }
.venv/bin/deptry . 2> build/deptry.log || { cat build/deptry.log; exit 1; }
