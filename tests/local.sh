#!/usr/bin/env bash
# Compiles llama-cpp-python for machines like this one and installs it into .venv, with its server.
# It takes some minutes, once: the wheel is kept in the user's cache, by version, flags and machine.
#   TIMMY_WITHOUT_LOCAL=1   leave it out, and its tests with it; CI does not listen to that
set -euo pipefail
cd "$(dirname "$0")/.."
if [ -n "${TIMMY_WITHOUT_LOCAL:-}" ] && [ -z "${CI:-}" ]; then
  echo "timmy: note: without the local model, as TIMMY_WITHOUT_LOCAL asks; its tests are skipped"
  exit 0
fi
bin=$PWD/.venv/bin
work=$PWD/build/local
pip=("$bin/pip" --quiet --disable-pip-version-check)
mkdir -p "$work"

# What the processor can do, and no more: a wheel made for exactly this one would end with "illegal
# instruction" on an older one of the same kind. No weights are copied into another order anyway.
has() { grep -qwm1 "$1" /proc/cpuinfo && echo ON || echo OFF; }
case "$(uname -s)-$(uname -m)" in
  Linux-x86_64)
    flags="-DGGML_NATIVE=OFF -DGGML_SSE42=$(has sse4_2) -DGGML_AVX=$(has avx) -DGGML_AVX2=$(has avx2)"
    flags="$flags -DGGML_BMI2=$(has bmi2) -DGGML_FMA=$(has fma) -DGGML_F16C=$(has f16c)" ;;
  Linux-aarch64)
    flags="-DGGML_NATIVE=OFF"
    if [ "$(has asimddp)$(has asimdhp)" = ONON ]; then flags="$flags -DGGML_CPU_ARM_ARCH=armv8.2-a+dotprod+fp16"; fi ;;
  *) flags="" ;;
esac
flags="-DLLAVA_BUILD=OFF $flags"

awk '/^[a-z]/ {own = /^llama-cpp-python==/} own' requirements/local.txt > "$work/llama.txt"
awk '/^[a-z]/ {own = /^llama-cpp-python==/} !own' requirements/local.txt > "$work/others.txt"
key=$("$bin/python" - "$flags" "$work/llama.txt" requirements/local-build.txt << 'PY'
import hashlib, platform, sys
told = [sys.argv[1], platform.system(), platform.machine(), *platform.libc_ver()]
told += [open(path).read() for path in sys.argv[2:]]
print(hashlib.sha256("\0".join(told).encode()).hexdigest()[:16])
PY
)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/timmy/wheels/$key
if ! compgen -G "$cache/*.whl" > /dev/null; then
  tests/system.sh --compiler
  echo "timmy: compiling llama.cpp (five to ten minutes on two cores, once)"
  rm -rf "$work/venv" "$work/wheel"
  "$bin/python" -m venv "$work/venv"
  "$work/venv/bin/pip" --quiet --disable-pip-version-check install --require-hashes -r requirements/local-build.txt
  if ! PATH="$work/venv/bin:$PATH" CMAKE_ARGS="$flags" CMAKE_BUILD_PARALLEL_LEVEL="${JOBS:-$(nproc)}" \
      nice "$work/venv/bin/pip" --disable-pip-version-check wheel --no-deps --no-build-isolation --no-cache-dir \
      --require-hashes --wheel-dir "$work/wheel" -r "$work/llama.txt" > "$work/build.log" 2>&1; then
    tail -n 20 "$work/build.log" >&2
    echo "timmy: error: llama.cpp could not be compiled; all it said is in build/local/build.log" >&2
    exit 2
  fi
  mkdir -p "$(dirname "$cache")"
  mv "$work/wheel" "$cache.$$"
  if [ -e "$cache" ]; then rm -rf "$cache.$$"; else mv "$cache.$$" "$cache"; fi  # another one was faster
  rm -rf "$work/venv"
fi
"${pip[@]}" install --require-hashes -r "$work/others.txt"
"${pip[@]}" install --no-deps --force-reinstall "$cache"/*.whl
"$bin/python" -c 'import llama_cpp, llama_cpp.server.app' || {
  echo "timmy: error: what was compiled does not run here: remove $cache and try again" >&2; exit 2; }
touch .venv/.local-stamp
