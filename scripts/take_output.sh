#!/usr/bin/env bash
# Unpacks what a stage left, after comparing its digest: output-STAGE.tar.gz of this run, if it was downloaded; else the last good one of
# an earlier run on this branch or the default one, which GitHub is asked for. Where there is none it says so and fails (with --optional it
# says so and goes on).
# usage: scripts/take_output.sh [--optional] STAGE [DIGEST]
set -euo pipefail

fail() { printf 'error: %s\n' "$1" >&2; exit 2; }

optional=
if [ "${1:-}" = --optional ]; then optional=yes; shift; fi
[ $# -ge 1 ] || fail "usage: scripts/take_output.sh [--optional] STAGE [DIGEST]"
stage=$1
expected=${2:-}
file=output-$stage.tar.gz

digest_of() { printf 'sha256:%s' "$(sha256sum "$1" | cut -d ' ' -f 1)"; }

if [ -f "$file" ]; then
  found=$(digest_of "$file")
  [ "$found" = "$expected" ] || fail "$file: is not what \`$stage\` left in this run (digest $found, it left ${expected:-nothing})"
  tar -xzf "$file"
  echo "took $file of this run, $found"
  exit
fi

repository=${GITHUB_REPOSITORY:?names the repository whose earlier runs are asked}
branches=$(printf '%s\n%s\n' "${GITHUB_REF_NAME:-main}" "${DEFAULT_BRANCH:-main}" | sort -u)
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
gh api "repos/$repository/actions/artifacts?name=output-$stage&per_page=100" >"$scratch/list.json"
# an output is kept only if its stage ended well
newest=$(jq -c --arg branches "$branches" \
  '[.artifacts[] | select(.expired | not) | select([.workflow_run.head_branch] | inside($branches | split("\n")))]
   | sort_by(.created_at) | last // empty' "$scratch/list.json")
if [ -z "$newest" ]; then
  missing="there is no output of \`$stage\` to go on with: it was skipped in this run, and no earlier run on ${branches//$'\n'/ or } has one"
  if [ -n "$optional" ]; then echo "$missing"; exit 0; fi
  fail "$missing. Switch the stage on"
fi
id=$(jq -r .id <<<"$newest")
listed=$(jq -r '.digest // ""' <<<"$newest")
gh api "repos/$repository/actions/artifacts/$id/zip" >"$scratch/artifact.zip"
found=$(digest_of "$scratch/artifact.zip")
[ "$found" = "$listed" ] || fail "output-$stage of run $(jq -r .workflow_run.id <<<"$newest"): has digest $found, ${listed:-none} is listed"
unzip -q -o "$scratch/artifact.zip" -d "$scratch"
tar -xzf "$scratch/$file"
echo "took $file of run $(jq -r .workflow_run.id <<<"$newest"), $(digest_of "$scratch/$file")"
