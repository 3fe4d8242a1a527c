#!/usr/bin/env bash
# Builds docs/ as a book of HTML pages, and prints where it is: target/book/index.html.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
tools=$(scripts/delivery_tools.sh docs book)
target=$(cd "$(dirname "${CARGO_TARGET_DIR:-target}")" && pwd)/$(basename "${CARGO_TARGET_DIR:-target}")

python3 scripts/book_summary.py --check
git ls-files -z --cached --others --exclude-standard '*.md' |
  xargs -0 "$tools/docs/bin/lychee" --offline --include-fragments --no-progress --format compact --root-dir "$PWD"
MDBOOK_LOG=warn "$tools/book/bin/mdbook" build docs --dest-dir "$target/book"
echo "$target/book/index.html"
