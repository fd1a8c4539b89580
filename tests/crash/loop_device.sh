#!/usr/bin/env bash
# The power fails under a real file system: a writer on a loop device is killed, the file system is shut down without
# its caches being written, mounted again, and the run is recovered and judged. Nothing is mounted outside of this
# process, and nothing is left behind.
#
#   [BUG=a seeded bug of power_writer.py] loop_device.sh PYTHON [ROUNDS [FILE-SYSTEM...]]
#
# Exit status: 0 nothing that was acknowledged is lost; 77 this machine cannot do it (the reason is printed); else lost.
set -euo pipefail

python=$1 rounds=${2:-3}
systems=("${@:3}")
[ ${#systems[@]} -gt 0 ] || systems=(ext4 xfs)
repository=$(cd "$(dirname "$0")/../.." && pwd)

cannot() {
    echo "cannot run here: $1"
    exit 77
}

if [ -z "${LOOP_DEVICE_INSIDE:-}" ]; then
    [ "$(id -u)" = 0 ] || cannot "mounting needs root"
    PATH=$PATH:/usr/sbin:/sbin
    for tool in unshare mount losetup xfs_io $(printf 'mkfs.%s ' "${systems[@]}"); do
        command -v "$tool" > /dev/null || cannot "$tool is not installed"
    done
    unshare -m true 2> /dev/null || cannot "no right to a mount namespace of its own"
    losetup -f > /dev/null 2>&1 || cannot "there is no loop device"
    export PATH LOOP_DEVICE_INSIDE=1
    exec unshare -m --propagation private "$0" "$@"
fi

work=$(mktemp -d)
disk=$work/disk
writer=
clean_up() {
    [ -z "$writer" ] || kill -KILL "$writer" 2> /dev/null || true
    umount "$disk" 2> /dev/null || true
    rm -rf "$work"
}
trap clean_up EXIT
mkdir "$disk"
cd "$repository"

# Nothing is written back on its own while this waits: what is not synced is to be lost.
crash() {
    local mode=$1 root=$disk/$1 told=$work/$1.told lines=0
    : > "$told"
    "$python" -m tests.crash.power_live write "$root" "$mode" "$told" ${BUG:+"$BUG"} &
    writer=$!
    for _ in $(seq 300); do
        lines=$(wc -l < "$told")
        [ "$lines" -lt $((20 + RANDOM % 200)) ] || break
        kill -0 "$writer" 2> /dev/null || break
        sleep 0.02
    done
    kill -KILL "$writer" 2> /dev/null || true
    wait "$writer" 2> /dev/null || true
    writer=
    [ "$lines" -gt 0 ] || { echo "the writer did not get to work"; exit 1; }
    xfs_io -x -c shutdown "$disk"
    umount "$disk"
    mount -o loop "$work/image" "$disk"
}

for system in "${systems[@]}"; do
    rm -f "$work/image" "$work"/*.told "$work"/*.safe
    truncate -s 400M "$work/image"
    "mkfs.$system" -q "$work/image"
    mount -o loop "$work/image" "$disk" 2> "$work/why" || cannot "no $system can be mounted ($(cat "$work/why"))"
    for mode in strict group; do
        for round in $(seq "$rounds"); do
            crash "$mode"
            echo -n "$system, $mode, round $round: "
            "$python" -m tests.crash.power_live judge "$disk/$mode" "$mode" "$work/$mode.told" "$work/$mode.safe"
        done
    done
    umount "$disk"
done
