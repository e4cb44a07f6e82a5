#!/usr/bin/env bash
# Fetches the vocabulary-only GGUF files that llama.cpp tests its tokenizers with, and published chat
# templates, out of the source package of llama-cpp-python on PyPI (77 MB), whose SHA-256 pip checks.
# Nothing is built: pip only unpacks it to learn its name and needs.
#
#   scripts/fetch-vocabs.sh [FOLDER]        default: models/vocabs
#
# Then:  python3 reference/vocab_check.py FOLDER
#        RETORT_VOCABS=FOLDER swift test --filter GGMLVocabularyFileTests
#
# RETORT_VOCABS_SDIST=/path/to/llama_cpp_python-0.3.36.tar.gz takes a package that you have (no network).
# RETORT_PYTHON names the Python to use (default python3, with pip).
#
# Exit codes: 0 there, 64 usage, 65 not the expected package, 66 the given package is missing,
# 69 Python, pip or the network is missing, 74 could not be written.
set -euo pipefail

readonly package='llama-cpp-python==0.3.36'
readonly sha256='832db0699007f1be95a7e41ef12e88926b02ba836461e36a36372db2760c1a2e'
python=${RETORT_PYTHON:-python3}

fail() { # CODE MESSAGE...
  local code=$1
  shift
  printf 'fetch-vocabs: %s\n' "$@" >&2
  exit "$code"
}

if [[ $# -gt 1 || ${1:-} == -* ]]; then
  fail 64 'usage: scripts/fetch-vocabs.sh [FOLDER]'
fi
folder=${1:-$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)/models/vocabs}
command -v "$python" >/dev/null || fail 69 "$python is missing: apt-get install python3 python3-pip"
mkdir -p "$folder" || fail 74 "cannot make the folder $folder"
work=$(mktemp -d "$folder/.fetch-vocabs.XXXXXX") || fail 74 "cannot write into $folder"
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

if [[ -n ${RETORT_VOCABS_SDIST:-} ]]; then
  sdist=$RETORT_VOCABS_SDIST
  [[ -f $sdist ]] || fail 66 "RETORT_VOCABS_SDIST names $sdist, which is not there"
else
  "$python" -m pip --version >/dev/null 2>&1 ||
    fail 69 "$python has no pip: apt-get install python3-pip"
  echo "vocabs: downloading the source package of $package from PyPI (77 MB)"
  if ! "$python" -m pip download "$package" --no-deps --no-binary llama-cpp-python \
    --disable-pip-version-check --quiet --dest "$work/sdist"; then
    fail 69 "pip could not download $package (its message is above)." \
      'Without a network, fetch that package elsewhere and run this again with' \
      'RETORT_VOCABS_SDIST=/path/to.tar.gz'
  fi
  sdists=("$work"/sdist/*.tar.gz)
  [[ ${#sdists[@]} -eq 1 && -f ${sdists[0]} ]] || fail 65 "pip left no single package of $package"
  sdist=${sdists[0]}
fi
if ! echo "$sha256  $sdist" | sha256sum --check --status; then
  fail 65 "$sdist is not the expected package; nothing was kept" "expected SHA-256 $sha256"
fi

# Members' bytes are copied to names of ours: nothing in the archive chooses a path.
"$python" - "$sdist" "$work/out" <<'PYTHON' || exit $?
import pathlib
import re
import shutil
import sys
import tarfile

sdist, target = sys.argv[1], pathlib.Path(sys.argv[2])
wanted = re.compile(
    r"[^/]+/vendor/llama\.cpp/models/"
    r"(ggml-vocab-[\w.-]+\.gguf(?:\.inp|\.out)?|templates/[\w.-]+\.jinja)"
)
(target / "templates").mkdir(parents=True)
count = 0
with tarfile.open(sdist) as archive:
    for member in archive:
        match = wanted.fullmatch(member.name)
        if not match or not member.isreg() or member.size > 64 << 20:
            continue
        with archive.extractfile(member) as source, open(target / match[1], "wb") as sink:
            shutil.copyfileobj(source, sink, 1 << 20)
        count += 1
print(f"vocabs: {count} files")
if count == 0:
    sys.exit(65)
PYTHON

rm -rf "$folder/templates"
mv -f "$work"/out/* "$folder"/ || fail 74 "cannot write into $folder"
echo "vocabs: in $folder"
