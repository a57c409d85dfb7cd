#!/usr/bin/env bash
# Builds a target of the Dockerfile without Docker, as root: buildah in a chroot. Behind a proxy or a mirror, npm and
# pip take their registry and certificates from the settings of npm and NODE_EXTRA_CA_CERTS.
#   deploy/docker/build.sh cpu|cuda [NAME]
set -euo pipefail
cd "$(dirname "$0")/../.."
target=$1
name=${2:-localhost/kinora:$target}

settings=$(mktemp -d)
trap 'rm -rf "$settings"' EXIT
printf 'registry=%s\n' "$(npm config get registry)" >"$settings/npmrc"
printf '[global]\n' >"$settings/pip.conf"
certificates=()
if [ -n "${NODE_EXTRA_CA_CERTS:-}" ]; then
  certificates=(--volume "$(readlink -f "$NODE_EXTRA_CA_CERTS"):/etc/kinora-build-ca.crt:ro")
  printf 'cafile=/etc/kinora-build-ca.crt\n' >>"$settings/npmrc"
  printf 'cert=/etc/kinora-build-ca.crt\n' >>"$settings/pip.conf"
fi
buildah bud --isolation chroot --format docker --layers --target "$target" --tag "$name" "${certificates[@]}" \
  --volume "$settings/npmrc:/root/.npmrc:ro" --volume "$settings/pip.conf:/etc/pip.conf:ro" \
  --file Dockerfile .
