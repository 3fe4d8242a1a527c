#!/usr/bin/env bash
# What the publish job does: signs the image in image/, if there is a key, and pushes it. Reads REGISTRY, GITHUB_REPOSITORY, TAG,
# COSIGN_PRIVATE_KEY, COSIGN_PASSWORD and the registry's login; says the image's name and digest as a step's outputs.
set -euo pipefail

name=$(printf '%s/%s' "${REGISTRY:?}" "${GITHUB_REPOSITORY:?}" | tr '[:upper:]' '[:lower:]')
# what a tag may not have in it becomes a dash
tag=$(printf '%s' "${TAG:?}" | tr -c 'A-Za-z0-9._-' '-')
if [ -n "${COSIGN_PRIVATE_KEY:-}" ]; then
  programs/package sign image --key env:COSIGN_PRIVATE_KEY --push "$name:$tag" --output-format json | tee summary/push.json
else
  echo "there is no COSIGN_PRIVATE_KEY: the image is attested, and not signed by a key" >&2
  programs/package push image "$name:$tag" --output-format json | tee summary/push.json
fi
digest=$(jq -r .digest summary/push.json)
if [ -n "${GITHUB_OUTPUT:-}" ]; then printf 'name=%s\ndigest=%s\n' "$name" "$digest" >>"$GITHUB_OUTPUT"; fi
