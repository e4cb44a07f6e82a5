#!/usr/bin/env bash
# Looks at the report in a real browser: installs Debian's chromium and, into .venv-browser, what drives it, then
# runs reference/browser_check.py with the arguments given here.
#
# Exit codes: 0 all held, 1 something did not, 69 no browser and no right to install one.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

if ! command -v chromium >/dev/null; then
  if ! command -v apt-get >/dev/null || [[ $EUID -ne 0 ]]; then
    echo 'browser: chromium is missing; install it (Debian: apt-get install chromium) and run this again' >&2
    exit 69
  fi
  echo 'browser: installing chromium'
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq chromium >/dev/null
fi

readonly venv=.venv-browser
if ! [[ $venv/.done -nt reference/browser-requirements.txt ]]; then
  echo "browser: installing what drives it into $venv"
  python3 -m venv "$venv"
  "$venv/bin/pip" install -q --disable-pip-version-check -r reference/browser-requirements.txt
  touch "$venv/.done"
fi

swift build --product retort
"$venv/bin/python" reference/browser_check.py "$@"
