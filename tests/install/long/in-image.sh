#!/bin/sh
# Runs a command inside an unpacked image as a container engine would: namespaces of its own for processes and mounts, the
# image's root read-only, /tmp in memory, /data and /models from outside, no privileges, the command as process 1. The
# network is this machine's. Needs root and Linux.
#   in-image.sh ROOT DATA MODELS USER:GROUP NAME=VALUE… -- COMMAND…
set -eu
if [ "${IN_NAMESPACES:-}" = "" ]; then
  IN_NAMESPACES=yes exec unshare --mount --pid --fork --kill-child=KILL "$0" "$@"
fi
root=$1 data=$2 models=$3 user=${4%:*} group=${4#*:}
shift 4
mount --make-rprivate /
mount --bind "$root" "$root"
mount -o remount,bind,ro "$root"
mount -t proc proc "$root/proc"
mount --bind /sys "$root/sys"
mount -t tmpfs -o mode=1777 tmpfs "$root/tmp"
mount -t tmpfs -o mode=755 tmpfs "$root/dev"
for device in null zero full random urandom; do
  touch "$root/dev/$device"
  mount --bind "/dev/$device" "$root/dev/$device"
done
mkdir -m 1777 "$root/dev/shm"
ln -s /proc/self/fd "$root/dev/fd"
mount --bind "$data" "$root/data"
mount --bind "$models" "$root/models"
mount -o remount,bind,ro "$root/models"

set -- "$@" ""
count=$#
environment_done=
while [ "$count" -gt 1 ]; do
  argument=$1
  shift
  count=$((count - 1))
  if [ -z "$environment_done" ] && [ "$argument" = -- ]; then
    environment_done=yes
    set -- "$@" /bin/sh -c 'cd /data && exec "$@"' sh
  else
    set -- "$@" "$argument"
  fi
done
shift
exec chroot "$root" /usr/bin/setpriv "--reuid=$user" "--regid=$group" --clear-groups --no-new-privs \
  --bounding-set=-all --inh-caps=-all /usr/bin/env -i "$@"
