#!/usr/bin/env bash
# litewitness, a public witness that others wrote and run: Debian 14 has it, in torchwood. (Debian 13's, in
# litetlog, ends each request that it should sign with a panic.) Where it is not installed, Debian 14's file is
# fetched from the mirror that this machine's apt uses, held to its digest, and unpacked into build/; nothing is
# installed. Where that cannot be done its tests are skipped, visibly.
set -euo pipefail
cd "$(dirname "$0")/.."
[ -x build/torchwood/usr/bin/litewitness ] && exit 0
if dpkg-query -s torchwood > /dev/null 2>&1; then
  mkdir -p build/torchwood/usr && ln -sfn /usr/bin build/torchwood/usr/bin
  exit 0
fi
case "$(uname -s)-$(uname -m)" in
  Linux-x86_64) kind=amd64 digest=1b5791fccfb96dac2609cb66aa727839ac4eca2db2d7b14e5882f5fa9c35fcb2 ;;
  Linux-aarch64) kind=arm64 digest=263bc6ccbaee588dad86578aee1fd61ef124a0e5ffcc8f6e391fa4883720650b ;;
  *) kind="" digest="" ;;
esac
helper=/usr/lib/apt/apt-helper
if [ -n "$kind" ] && [ -x $helper ] && command -v dpkg-deb > /dev/null; then
  made=build/torchwood.$$
  mkdir -p "$made"
  trap 'rm -rf "$made"' EXIT
  for mirror in $(apt-get indextargets --format '$(REPO_URI)' 2> /dev/null | sort -u); do
    if $helper download-file "${mirror%/}/pool/main/t/torchwood/torchwood_0.9.0-6_$kind.deb" \
        "$made/package.deb" "SHA256:$digest" > /dev/null 2>&1 && dpkg-deb -x "$made/package.deb" "$made"; then
      rm -rf build/torchwood "$made/package.deb"
      mv "$made" build/torchwood
      exit 0
    fi
  done
fi
echo "timmy: note: there is no litewitness (Debian 14: apt install torchwood): no witness of others is asked in the tests"
