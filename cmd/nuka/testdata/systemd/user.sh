#!/bin/bash
# user.sh DIR SCRIPT runs a script below a user manager of systemd, as root, in name spaces of its own. DIR is for the manager's configuration.
# The test that calls it removes the cgroups $NUKA_CGROUP afterwards.
set -e
D=$1 SCRIPT=$2
# Without a cgroup of its own the manager moves every process of the machine.
for c in /sys/fs/cgroup/*/cgroup.procs /sys/fs/cgroup/cgroup.procs; do
	[ -e "$c" ] && [ "$c" != /sys/fs/cgroup/cpuset/cgroup.procs ] || continue # a cpuset without processors takes no process
	mkdir -p "${c%/cgroup.procs}/$NUKA_CGROUP"
	echo $$ > "${c%/cgroup.procs}/$NUKA_CGROUP/cgroup.procs"
done
export D SCRIPT
exec unshare -m -C -p -f --kill-child --propagation private bash -c '
set -e
mount --make-rshared /
mount -t proc proc /proc
if [ -d /sys/fs/cgroup/unified ]; then
	for c in /sys/fs/cgroup/*/; do mountpoint -q "$c" && umount "$c"; done
	umount -l /sys/fs/cgroup
	mount -t tmpfs cg /sys/fs/cgroup
	mkdir -p /sys/fs/cgroup/{systemd,unified,memory,pids}
	mount -t cgroup -o memory cg /sys/fs/cgroup/memory
	mount -t cgroup -o pids cg /sys/fs/cgroup/pids
	mount -t cgroup -o none,name=systemd cg /sys/fs/cgroup/systemd
	mount -t cgroup2 cg2 /sys/fs/cgroup/unified
fi
mount -t tmpfs tmpfs /run
mkdir -p /run/systemd/system /run/user/0 /run/systemd/inaccessible
chmod 700 /run/user/0
cd /run/systemd/inaccessible; mkdir -m 0 dir; touch reg; mkfifo -m 0 fifo; mknod -m 0 chr c 0 0; mknod -m 0 blk b 0 0; cd /
export XDG_RUNTIME_DIR=/run/user/0 XDG_CONFIG_HOME=$D/config XDG_STATE_HOME=$D/state HOME=$D USER=root
/lib/systemd/systemd --user >$D/systemd.log 2>&1 &
for i in $(seq 500); do systemctl --user is-system-running >/dev/null 2>&1 && break; sleep 0.02; done
code=0
bash -ex "$SCRIPT" || code=$?
systemctl --user exit || true
exit $code
'
