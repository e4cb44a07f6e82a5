#!/usr/bin/env bash
# Fails when a Swift, C or Python file of the repository has more than 600 lines: split it then.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

readonly limit=600
code=0
while IFS= read -r -d '' file; do
  [[ -f $file ]] || continue
  lines=$(wc -l <"$file")
  if ((lines > limit)); then
    echo "$file: $lines lines, more than $limit; give each idea a file of its own" >&2
    code=1
  fi
done < <(git ls-files -z --cached --others --exclude-standard -- '*.swift' '*.c' '*.h' '*.py')
exit "$code"
