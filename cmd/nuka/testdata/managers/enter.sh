#!/bin/bash
# enter.sh MANAGER DIR starts a service manager in name spaces of its own, as root, and then runs the lines that it reads, each of which it answers with the code of its
# last command. DIR is for the manager's files, which stay for the next start; DIR/root has unpacked Debian packages. $NUKA_CGROUP names cgroups, which the caller removes.
set -e
export MANAGER=$1 D=$2
if [ "$MANAGER" = systemd-user ] || [ "$MANAGER" = systemd-system ]; then
	# Without a cgroup of its own the manager moves every process of the machine.
	for c in /sys/fs/cgroup/*/cgroup.procs /sys/fs/cgroup/cgroup.procs; do
		[ -e "$c" ] && [ "$c" != /sys/fs/cgroup/cpuset/cgroup.procs ] || continue # a cpuset without processors takes no process
		mkdir -p "${c%/cgroup.procs}/$NUKA_CGROUP"
		echo $$ > "${c%/cgroup.procs}/$NUKA_CGROUP/cgroup.procs"
	done
fi
cat > "$D/loop.sh" <<'END'
while IFS= read -r line; do
	code=0
	eval "$line" </dev/null >>"$D/out" 2>&1 || code=$?
	echo "$code" >&3
done
END
export CGROUPS='
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
(cd /run/systemd/inaccessible; mkdir -m 0 dir; touch reg; mkfifo -m 0 fifo; mknod -m 0 chr c 0 0; mknod -m 0 blk b 0 0)
'
case "$MANAGER" in
systemd-user)
	exec unshare -m -C -p -f --kill-child --propagation private bash -c '
	set -e
	mount --make-rshared /
	mount -t proc proc /proc
	eval "$CGROUPS"
	export XDG_RUNTIME_DIR=/run/user/0 XDG_CONFIG_HOME=$D/config XDG_STATE_HOME=$D/state HOME=$D USER=root
	/lib/systemd/systemd --user </dev/null >"$D/manager.log" 2>&1 3>&- &
	for i in $(seq 500); do systemctl --user is-system-running >/dev/null 2>&1 && break; sleep 0.02; done
	. "$D/loop.sh"
	systemctl --user exit || true' ;;
systemd-system)
	rm -f "$D/in" "$D/back"
	mkfifo "$D/in" "$D/back"
	units=$D/units
	mkdir -p "$units" "$D/system"
	for t in default basic sysinit shutdown sockets timers paths umount final multi-user; do
		printf '[Unit]\nDefaultDependencies=no\n' > "$units/$t.target"
	done
	printf '[Unit]\nDefaultDependencies=no\n[Service]\nType=simple\nEnvironment=D=%s\nExecStart=/bin/bash -c "exec 3>$D/back; . $D/loop.sh <$D/in"\nExecStopPost=/bin/systemctl --force --force exit\n' "$D" > "$units/loop.service"
	mkdir -p "$units/default.target.wants"
	ln -sf ../loop.service ../multi-user.target "$units/default.target.wants/"
	exec 4<&0 # the shell gives background processes no standard input
	cat <&4 > "$D/in" & feed=$!
	cat "$D/back" >&3 & back=$!
	unshare -m -C -p -f -u -i --kill-child --propagation private bash -c '
	set -e
	mount --make-rshared /
	mount -t proc proc /proc
	eval "$CGROUPS"
	mount -o bind,ro /proc/sys /proc/sys
	mkdir /run/proc
	mount -t proc proc /run/proc # one that nothing covers, as on a real machine: else the kernel lets no sandbox have its own
	mount --bind "$D/system" /etc/systemd/system
	for d in /var/log /var/lib/private /var/cache/private; do mkdir -p $d; mount -t tmpfs tmpfs $d; done
	exec 3>&-
	exec env -i PATH="$PATH" container=test SYSTEMD_UNIT_PATH=$D/units:/etc/systemd/system:/run/systemd/transient /lib/systemd/systemd --system --unit=default.target --show-status=no </dev/null >"$D/manager.log" 2>&1' || true
	kill $feed $back 2>/dev/null || true ;;
openrc | s6)
	# Their programs name one another by whole paths.
	exec unshare -m -p -f --kill-child --propagation private bash -c '
	set -e
	mount -t proc proc /proc
	for d in usr etc sbin lib; do
		[ -L /$d ] && continue
		[ ! -d "$D/root/$d" ] || mount -t overlay overlay -o lowerdir="$D/root/$d":/$d /$d
	done
	if [ -L /sbin ] && [ -d "$D/root/sbin" ]; then mount -t overlay overlay -o lowerdir="$D/root/sbin":/usr/sbin /usr/sbin; fi
	if [ -L /lib ] && [ -d "$D/root/lib" ]; then mount -t overlay overlay -o lowerdir="$D/root/lib":/usr/lib /usr/lib; fi
	if [ "$MANAGER" = openrc ]; then
		mkdir -p "$D/init.d" "$D/runlevels/default"
		mount -t tmpfs tmpfs /run
		mkdir -p /run/openrc/{started,starting,stopping,inactive,wasinactive,failed,hotplugged,daemons,options,exclusive,scheduled,init.d,tmp}
		echo default > /run/openrc/softlevel
		mount --bind "$D/init.d" /etc/init.d
		mount --bind "$D/runlevels" /etc/runlevels
	else
		mkdir -p "$D/scan"
		s6-svscan "$D/scan" </dev/null >"$D/manager.log" 2>&1 3>&- &
	fi
	. "$D/loop.sh"' ;;
runit)
	exec unshare -p -m -f --kill-child --propagation private bash -c '
	mount -t proc proc /proc
	mkdir -p "$D/scan"
	export PATH=$D/root/usr/bin:$D/root/usr/sbin:$PATH
	runsvdir -P "$D/scan" </dev/null >"$D/manager.log" 2>&1 3>&- &
	. "$D/loop.sh"' ;;
nuka)
	exec unshare -p -m -f --kill-child --propagation private bash -c '
	mount -t proc proc /proc
	. "$D/loop.sh"' ;;
esac
