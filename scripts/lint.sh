#!/usr/bin/env bash
# Checks workflows, Dockerfiles, compose files, scripts and documents with the checkers of scripts/delivery_tools.sh. Exceptions, with their
# reasons, are in .yamllint.yaml, .hadolint.yaml, .checkov.yaml, .dclintrc, .shellcheckrc, typos.toml, .github/actionlint.yaml and
# .github/zizmor.yml.
# usage: scripts/lint.sh              everything
#        scripts/lint.sh TOOL FILE    one checker on one file, in the way that everything is checked
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

tools=$("$root/scripts/delivery_tools.sh" lint docs checkov node)
export PATH="$tools/lint/bin:$tools/docs/bin:$tools/bin:$PATH"

actionlint_of() {
  actionlint -no-color -oneline -config-file "$root/.github/actionlint.yaml" "$1" || return
  # the inputs of actions are only known by their tags: once more, with the tags in the place of the commits
  sed -E 's/@[0-9a-f]{40}( +# (v[0-9]+)\S*)/@\2\1/' "$1" |
    actionlint -no-color -oneline -config-file "$root/.github/actionlint.yaml" -ignore 'is not a commit SHA' -stdin-filename "$1" -
}
github_of() { python3 "$root/scripts/run_workflow.py" --check "$1"; }
zizmor_of() { zizmor --offline --strict-collection -q --no-progress --color=never --persona=auditor --config "$root/.github/zizmor.yml" "$1"; }
timeout_of() { check-jsonschema --color never --builtin-schema custom.github-workflows-require-timeout "$1"; }
# an action is named by the commit, and by the version that a person knows it by
pins_of() { if grep -nE 'uses: ' "$1" | grep -vE 'uses: [A-Za-z0-9._/-]+@[0-9a-f]{40} # v[0-9]+\.[0-9]+\.[0-9]+$'; then return 1; fi; }
issue_form_of() { check-jsonschema --color never --builtin-schema vendor.github-issue-forms "$1"; }
issue_config_of() { check-jsonschema --color never --builtin-schema vendor.github-issue-config "$1"; }
yamllint_of() { yamllint -s -c "$root/.yamllint.yaml" -f parsable "$1"; }
# a space that is none looks like one, and YAML may take it for a part of a name
spaces_of() { if LC_ALL=C grep -n $'\xC2\xA0' "$1"; then return 1; fi; }
hadolint_of() { hadolint --no-color -c "$root/.hadolint.yaml" "$1"; }
checkov_of() {
  local copy told status=0
  # it looks for its settings in the folder, and at workflows only where GitHub does
  copy=$(mktemp -d)
  case "$1" in
    *Dockerfile) cp "$1" "$copy/Dockerfile" ;;
    *)
      mkdir -p "$copy/.github/workflows"
      # it passes over a workflow with what is newer than its own schema, without a word
      sed -E '/^ +attestations: /d; s/(cancel-in-progress:) .*/\1 true/' "$1" >"$copy/.github/workflows/$(basename "$1")"
      ;;
  esac
  told=$(cd "$copy" && "$tools/checkov/bin/checkov" -d . --config-file "$root/.checkov.yaml" 2>&1) || status=$?
  rm -rf "$copy"
  printf '%s\n' "$told"
  # having looked at nothing is no answer
  [ "$status" = 0 ] && grep -qE 'Passed checks: [1-9]' <<<"$told"
}
# what the last stage of a Dockerfile must say, whatever those before it say
last_stage_of() {
  local last
  last=$(awk '/^FROM /{ text = "" } { text = text $0 "\n" } END { printf "%s", text }' "$1")
  grep -qE '^USER [1-9][0-9]*(:[1-9][0-9]*)?$' <<<"$last" || { echo "$1: the last stage has no USER by number other than 0"; return 1; }
  grep -qE '^HEALTHCHECK ' <<<"$last" || { echo "$1: the last stage has no HEALTHCHECK"; return 1; }
  grep -qE '^STOPSIGNAL ' <<<"$last" || { echo "$1: the last stage has no STOPSIGNAL"; return 1; }
}
# rust-toolchain.toml names the compiler; base images have this very version, and Cargo.toml states it as the minimum
toolchain_of() {
  local version
  version=$(sed -n 's/^channel = "\(.*\)"$/\1/p' "$root/rust-toolchain.toml")
  grep -noE '(rust:|^rust-version = ")[0-9.]+' "$1" | grep -vE "(rust:$version|rust-version = \"${version%.*})\$" || return 0
  echo "$1: the version differs from $version of rust-toolchain.toml"
  return 1
}
shellcheck_of() { shellcheck --color=never -S style "$1"; }
typos_of() { typos --config "$root/typos.toml" --format brief "$1"; }
# links between files, and to their headings; nothing is asked of the network
links_of() { lychee --offline --include-fragments --no-progress --format compact --root-dir "$root" "$1"; }
# every document is a chapter of the book
summary_of() { python3 "$root/scripts/book_summary.py" --check "$1"; }
retired_words_of() { python3 "$root/scripts/retired_words.py" "$1"; }
dclint_of() { "$tools/node/node_modules/.bin/dclint" --color=false --max-warnings 0 -c "$root/.dclintrc" "$1"; }
compose_of() {
  local rendered
  "$root/scripts/delivery_tools.sh" containers >/dev/null
  rendered=$(mktemp --suffix .yaml)
  docker-compose -f "$1" --profile '*' config >"$rendered" && check-jsonschema --color never --builtin-schema vendor.compose-spec "$rendered"
  local status=$?
  rm -f "$rendered"
  return "$status"
}

if [ $# -eq 2 ]; then
  declare -F "$1_of" >/dev/null || { printf 'error: there is no checker %s\n' "$1" >&2; exit 2; }
  "$1_of" "$2"
  exit
fi
[ $# -eq 0 ] || { echo "usage: scripts/lint.sh [TOOL FILE]" >&2; exit 2; }

cd "$root"
failed=0
count=0
check() {
  local told
  count=$((count + 1))
  if told=$("$1_of" "$2" 2>&1); then return; fi
  printf '%s of %s:\n%s\n' "$1" "$2" "$told"
  failed=$((failed + 1))
}
each() {
  local file checker
  for file in "${@:2}"; do for checker in $1; do check "$checker" "$file"; done; done
}
each "actionlint github zizmor timeout pins yamllint spaces checkov toolchain" .github/workflows/*.yml
each "hadolint checkov last_stage toolchain" deployment/images/*.Dockerfile
each toolchain Cargo.toml
each "dclint compose yamllint spaces" deployment/compose.yaml
each "yamllint spaces" configs/*.yaml deployment/monitoring/*.yml .github/*.y*ml .github/ISSUE_TEMPLATE/*.yml .yamllint.yaml .hadolint.yaml .checkov.yaml
each issue_config .github/ISSUE_TEMPLATE/config.yml
each issue_form .github/ISSUE_TEMPLATE/*_*.yml
each shellcheck scripts/*.sh .ci/run
each typos .
mapfile -t documents < <(git ls-files --cached --others --exclude-standard '*.md')
each links "${documents[@]}"
each summary docs/SUMMARY.md
check retired_words .
printf '%s checks, %s failed\n' "$count" "$failed"
[ "$failed" = 0 ]
