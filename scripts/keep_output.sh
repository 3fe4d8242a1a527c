#!/usr/bin/env bash
# Packs what a stage left into output-STAGE.tar.gz, the same bytes for the same files, and says its digest: as a step's output, if there
# is a file for those.
# usage: scripts/keep_output.sh STAGE PATH...
set -euo pipefail

[ $# -ge 2 ] || { echo "usage: scripts/keep_output.sh STAGE PATH..." >&2; exit 2; }
stage=$1
shift
tar --sort=name --owner=0 --group=0 --numeric-owner --mtime=@0 -cf - "$@" | gzip -n >"output-$stage.tar.gz"
digest=sha256:$(sha256sum "output-$stage.tar.gz" | cut -d ' ' -f 1)
echo "output-$stage.tar.gz $digest"
if [ -n "${GITHUB_OUTPUT:-}" ]; then echo "digest=$digest" >>"$GITHUB_OUTPUT"; fi
