#!/bin/sh
# First process of a virtual machine: mounts what the tests look for, runs the test binary, says how it ended, and stops
# the machine. The lines that begin with "beeline-vm:" are read by xtask.
# Programs that are there already stay; busybox tells of each.
/bin/busybox --install -s /bin 2>/dev/null
export PATH=/bin HOME=/tmp RUST_BACKTRACE=1

mount -t devtmpfs dev /dev
exec </dev/console >/dev/console 2>&1
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t bpf bpf /sys/fs/bpf
mount -t tmpfs tmp /tmp
mount -t tmpfs run /run
# Kernels before 5.11 charge maps to the locked memory of a process.
ulimit -l unlimited

while read -r module; do
    insmod "/modules/$module.ko" || echo "beeline-vm: module $module does not load"
done </modules.order
ip link set lo up
echo "beeline-vm: kernel $(uname -r)"

set --
while read -r argument; do
    set -- "$@" "$argument"
done </arguments
cd /tmp
/beeline-test --nocapture --test-threads=1 "$@"
code=$?
echo "beeline-vm: exit $code"
poweroff -f
