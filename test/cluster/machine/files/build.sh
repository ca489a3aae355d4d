#!/bin/sh
# Builds the disk image that every machine boots from.
#
#   build.sh WORK KUBELET
#
# WORK holds pause.tar and root/ (what is laid over the root filesystem), and receives node.img.
# Runs in a mount namespace of its own, so that nothing stays mounted if it is killed.
set -eu
work=$1 kubelet=$2
root=$work/image

packages=systemd-sysv,dbus,kmod,iproute2,iptables,nftables,conntrack,ca-certificates
packages=$packages,containerd,runc,ethtool,socat,util-linux,mount,procps,e2fsprogs
packages=$packages,containernetworking-plugins,openssh-server

TMPDIR=$work mmdebstrap --mode=root --variant=minbase --include="$packages" \
	--aptopt='APT::Install-Recommends "false"' \
	--dpkgopt='path-exclude=/usr/share/man/*' \
	--dpkgopt='path-exclude=/usr/share/doc/*' \
	--dpkgopt='path-exclude=/usr/share/info/*' \
	--dpkgopt='path-exclude=/usr/share/locale/*' \
	--dpkgopt='path-exclude=/usr/lib/udev/hwdb*' \
	bookworm "$root"

mkdir -p "$root/lib/modules"
cp -a /usr/lib/uml/modules/* "$root/lib/modules/"
cp -a "$work/root/." "$root/"
chmod 0755 "$root/usr/local/lib/lab/"*
cp "$work/pause.tar" "$root/usr/local/lib/lab/pause.tar"
if [ -n "$kubelet" ]; then
	install -m 0755 "$kubelet" "$root/usr/local/bin/kubelet"
fi

# The root is mounted read-write by the kernel; there is nothing else to mount.
: >"$root/etc/fstab"
: >"$root/etc/machine-id"
rm -f "$root/etc/resolv.conf" "$root/etc/hostname"

ctl() { systemctl --root="$root" --quiet "$@"; }
# udevd alone would cost 5 s of every boot; devtmpfs has all the devices that there are. Nothing
# else that is masked would be missed either.
ctl mask systemd-udevd.service systemd-udevd-kernel.socket systemd-udevd-control.socket \
	systemd-udev-trigger.service systemd-udev-settle.service systemd-hwdb-update.service \
	kmod-static-nodes.service systemd-tmpfiles-setup-dev.service modprobe@.service \
	systemd-networkd.service systemd-resolved.service systemd-timesyncd.service \
	systemd-journal-flush.service systemd-pstore.service systemd-random-seed.service \
	systemd-sysusers.service systemd-update-utmp.service systemd-update-utmp-runlevel.service \
	sys-fs-fuse-connections.mount sys-kernel-config.mount \
	getty.target getty@tty1.service console-getty.service \
	apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer \
	e2scrub_all.timer e2scrub_reap.service fstrim.timer
ctl enable lab-setup.service lab-images.service containerd.service ssh.service kubelet.service
ctl set-default multi-user.target

mke2fs -q -t ext4 -E lazy_itable_init=1,lazy_journal_init=1 -L node -d "$root" "$work/node.img" 4G
rm -rf --one-file-system "$root"
