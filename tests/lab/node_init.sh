#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# First process of a node, started in new mount, uts, ipc, pid and cgroup
# namespaces; becomes $5, sshd or systemd.  $1 node name, $2 directory for the root,
# $3 lower root, $4 directory with the keys.
set -eu
name=$1 top=$2 lower=$3 keys=$4 first=$5

hostname "$name"
mount --make-rprivate /
mount -t tmpfs -o mode=755 "$name" "$top"
cd "$top"
mkdir upper work root
# Relative paths: a comma or colon in the checkout's path would end the option.
mount -t overlay overlay -o "lowerdir=$lower,upperdir=upper,workdir=work" root
cd root
mkdir -p proc sys run tmp dev root/.ssh etc/ssh etc/calico var/lib/calico
install -m 600 "$keys/login.pub" root/.ssh/authorized_keys
install -m 600 "$keys/host" etc/ssh/lab_host_key

mount -t proc proc proc
mount -t sysfs sysfs sys
mount -t cgroup2 cgroup2 sys/fs/cgroup
mount -t bpf bpf sys/fs/bpf
[ ! -d sys/kernel/tracing ] || mount -t tracefs tracefs sys/kernel/tracing
mount -t tmpfs -o mode=755 tmpfs run
mount -t tmpfs -o mode=1777 tmpfs tmp
mount -t tmpfs -o mode=755 tmpfs dev
for device in null zero full random urandom tty; do
	: >"dev/$device"
	mount --bind "/dev/$device" "dev/$device"
done
mkdir dev/pts dev/shm
mount -t devpts -o newinstance,ptmxmode=0666,mode=620 devpts dev/pts
mount -t tmpfs tmpfs dev/shm
ln -s pts/ptmx dev/ptmx
ln -s /proc/self/fd dev/fd
mkdir -p run/sshd run/lock run/calico/cgroup
mount -t cgroup2 cgroup2 run/calico/cgroup
mkdir -p sys/fs/bpf/tc/globals

echo "$name" >etc/hostname
echo "$name" >var/lib/calico/nodename
printf '127.0.0.1 localhost\n127.0.1.1 %s\n' "$name" >etc/hosts
# sshd without PAM refuses a root account that is locked by "!".
sed -i 's/^root:!/root:*/' etc/shadow
cat >etc/ssh/lab_sshd_config <<-'END'
	HostKey /etc/ssh/lab_host_key
	PermitRootLogin prohibit-password
	PasswordAuthentication no
	UsePAM no
	UseDNS no
	PidFile /run/sshd.pid
	MaxStartups 100
	MaxSessions 100
	Subsystem sftp internal-sftp
	SetEnv PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
END

# Of systemd nothing runs but what the node needs: what the machine below starts early would set
# sysctls and load modules of a kernel that is not the node's alone.
systemd_units() {
	units=etc/systemd/system
	for path in lib/systemd/system/sysinit.target.wants/* etc/systemd/system/sysinit.target.wants/*; do
		unit=${path##*/}
		case $unit in systemd-journald.s* | '*') ;; *) ln -sf /dev/null "$units/$unit" ;; esac
	done
	ln -sf /dev/null "$units/systemd-journald-audit.socket"
	for target in sysinit basic; do
		printf '[Unit]\nDefaultDependencies=no\n' >"$units/$target.target"
	done
	cat >"$units/lab.target" <<-'END'
		[Unit]
		DefaultDependencies=no
		Wants=lab-sshd.service systemd-journald.socket
	END
	cat >"$units/lab-sshd.service" <<-'END'
		[Unit]
		DefaultDependencies=no
		[Service]
		ExecStart=/usr/sbin/sshd -D -e -f /etc/ssh/lab_sshd_config
	END
	cat >"$units/calico-felix.service" <<-'END'
		[Service]
		Type=oneshot
		RemainAfterExit=yes
		ExecStart=/usr/local/bin/lab-agent start
		ExecStop=/usr/local/bin/lab-agent stop
	END
}

mkdir -p .old
pivot_root . .old
cd /
umount -l /.old
rmdir /.old
clean='env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root'
if [ "$first" = systemd ]; then
	systemd_units
	# shellcheck disable=SC2086 # words
	exec $clean container=lab /lib/systemd/systemd --unit=lab.target --show-status=0
fi
# shellcheck disable=SC2086 # words
exec $clean /usr/sbin/sshd -D -e -f /etc/ssh/lab_sshd_config
