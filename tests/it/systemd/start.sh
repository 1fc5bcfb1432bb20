#!/bin/sh
# Starts a systemd of its own as PID 1 of namespaces in which nothing of the machine can be written:
# unshare … start.sh FOLDER PROGRAM. FOLDER holds the units and what they want, and gets the results.
set -eu
folder=$1 program=$2
mount --make-rprivate /
mount -t tmpfs tmpfs /run
mkdir -p /run/test /run/systemd/system
mount --bind "$folder" /run/test
cp /run/test/units/* /run/systemd/system/
mount -t tmpfs -o mode=755 tmpfs /usr/local/bin
cp "$program" /usr/local/bin/gatepost
chmod 755 /run/test /usr/local/bin/gatepost
for path in /tmp /var /root /home; do mount -t tmpfs -o mode=755 tmpfs "$path"; done
chmod 1777 /tmp
mount --bind /proc/sys /proc/sys
mount -o remount,bind,ro /proc/sys
mount -o remount,bind,ro /dev
mount -o remount,bind,ro /
# Without these nothing may be started: a systemd that is let loose tidies up the machine.
[ ! -w /etc ] && [ ! -w /usr ] && [ ! -w /dev ] && [ ! -w /proc/sys/kernel/hostname ]
[ "$(stat -f -c %T /tmp)" = tmpfs ] && [ "$(stat -f -c %T /var)" = tmpfs ] && [ $$ = 1 ]
mount -t cgroup2 cgroup2 /sys/fs/cgroup
# Among themselves only: credentials are mounted by a child, and would stay unseen.
mount --make-rshared /
# It is told that it is not alone on the machine, and so leaves the kernel's settings alone. Only what
# the unit wants is started, and that has no default dependencies.
export container=test
exec /lib/systemd/systemd --system --unit=drive.service --log-target=null --show-status=no
