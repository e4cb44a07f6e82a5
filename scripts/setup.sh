#!/usr/bin/env bash
# Installs the Debian/Ubuntu packages that Retort is built against, those that are missing.
# Says what it does; when all is there it prints one line and does nothing.
#
# Exit codes: 0 ready, 64 usage, 69 no Swift toolchain, no apt, or no right to install.
set -euo pipefail

readonly packages=(libhdf5-dev libopenblas-dev liblz4-dev zlib1g-dev libdnnl-dev libpcre2-dev
  pkg-config)
readonly needed_major=6 needed_minor=2

fail() { # MESSAGE...
  printf 'setup: %s\n' "$@" >&2
  exit 69
}

[[ $# -eq 0 ]] || { echo 'usage: scripts/setup.sh' >&2; exit 64; }

check_swift() {
  local found="no 'swift' on the PATH" line
  if command -v swift >/dev/null; then
    line=$(swift --version 2>&1 || true)
    if [[ $line =~ Swift\ version\ ([0-9]+)\.([0-9]+) ]]; then
      local major=${BASH_REMATCH[1]} minor=${BASH_REMATCH[2]}
      if ((major > needed_major || (major == needed_major && minor >= needed_minor))); then
        swift_found="$major.$minor"
        return
      fi
      found="Swift $major.$minor at $(command -v swift)"
    else
      found="$(command -v swift), which does not tell its version: ${line%%$'\n'*}"
    fi
  fi
  fail "found:  $found" \
    "needed: a Swift toolchain, $needed_major.$needed_minor or later" \
    'get it: https://www.swift.org/install/linux/ (then open a new shell and run this again)'
}

is_installed() { # PACKAGE; pkgconf provides pkg-config on newer systems
  local name=$1 status
  status=$(dpkg-query -W -f '${db:Status-Status}\n' "$name" 2>/dev/null || true)
  [[ $'\n'$status$'\n' == *$'\ninstalled\n'* ]] && return
  [[ $name == pkg-config ]] && command -v pkg-config >/dev/null
}

check_swift

if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
  fail 'this system has no apt, so nothing was installed or checked.' \
    'Install the development files of HDF5 (1.10 or later), OpenBLAS, LZ4, zlib, oneDNN and PCRE2,' \
    "and pkg-config, by your system's own means. On Debian they are: ${packages[*]}" \
    'Then build with: swift build -c release --product retort'
fi

missing=()
for name in "${packages[@]}"; do
  is_installed "$name" || missing+=("$name")
done
if [[ ${#missing[@]} -eq 0 ]]; then
  echo "setup: Swift $swift_found and all libraries are there"
  exit 0
fi

as_root=()
if [[ $EUID -ne 0 ]]; then
  command -v sudo >/dev/null ||
    fail "missing: ${missing[*]}" 'no sudo here; as root, run:' \
      "  apt-get update && apt-get install -y ${missing[*]}"
  as_root=(sudo)
fi

echo "setup: installing ${missing[*]} with apt-get"
if ! "${as_root[@]}" apt-get update -qq; then
  echo 'setup: apt-get update failed; trying with the lists that are there' >&2
fi
"${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
  apt-get install -y -qq --no-install-recommends "${missing[@]}" ||
  fail 'apt-get could not install them (its message is above). Once that is mended, run this again.'
echo "setup: Swift $swift_found and all libraries are there"
