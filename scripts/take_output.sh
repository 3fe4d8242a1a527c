#!/usr/bin/env bash
# Unpacks the output of a stage into the working directory. With a digest it is the output of this very run, of this attempt or an earlier
# one. Without a digest the stage was skipped: it is the newest output of a run that is trusted (scripts/workflow/take_output.py says which).
# Nothing to take is an error, or with --optional a line on stderr.
# usage: scripts/take_output.sh [--optional] STAGE [DIGEST]
set -euo pipefail

exec python3 -B "$(dirname "${BASH_SOURCE[0]}")/workflow/take_output.py" "$@"
