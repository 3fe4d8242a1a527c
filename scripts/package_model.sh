#!/usr/bin/env bash
# What the package job does: gates beside the registry's champion, replay, bundle, image. Reads PIPELINE_CONFIG, ALLOW (gates that may
# fail), REASON and BUILDER; writes models/packaged, image, and what was found to summary/.
set -euo pipefail

name=$(jq -r .name models/trained/metrics.json)
# words and no patterns: a * is not the files of the folder
read -r -d '' -a gates <<<"${ALLOW:-}" || true
allowed=()
for gate in ${gates[@]+"${gates[@]}"}; do allowed+=(--allow "$gate"); done
if [ -n "${REASON:-}" ]; then allowed+=(--reason "$REASON"); fi
mkdir -p summary
programs/package --models-dir models --output models/packaged --pipeline-config "${PIPELINE_CONFIG:?}" \
  --champion "models:/$name@champion" ${allowed[@]+"${allowed[@]}"} --output-format json | tee summary/package.json

# the processor that a program is for, as its header says
processor() { od -An -j18 -N2 -tu2 "$1" | tr -d ' '; }
servers=(--serve programs/serve)
if [ "$(processor programs-arm64/serve)" != "$(processor programs/serve)" ]; then
  servers+=(--serve programs-arm64/serve)
else
  echo "programs-arm64/serve is for the same processor as programs/serve: the image is for that one alone" >&2
fi
programs/package image "$(jq -r .archive summary/package.json)" --output image "${servers[@]}" --builder-id "${BUILDER:?}" \
  --output-format json | tee summary/image.json
