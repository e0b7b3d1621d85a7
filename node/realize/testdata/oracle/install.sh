#!/bin/bash
# Installs all packages of a folder with dpkg into another folder, as a new system: unpack, then configure with all maintainer scripts.
# Run by TestOracle as root, in a mount namespace of its own. Arguments: the folder of packages, the folder to install into.
set -e
debs=$1 root=$2
export DEBIAN_FRONTEND=noninteractive DEBCONF_NONINTERACTIVE_SEEN=true LC_ALL=C PATH=/usr/sbin:/usr/bin:/sbin:/bin
mkdir -p "$root"/usr/{bin,sbin,lib,lib64} "$root"/{proc,dev,tmp,debs,var/lib/dpkg/info,var/lib/dpkg/updates}
for d in bin sbin lib lib64; do ln -s usr/$d "$root/$d"; done
: >"$root/var/lib/dpkg/status"
: >"$root/var/lib/dpkg/available"
mount --bind "$debs" "$root/debs"
mount -t proc proc "$root/proc"
mount --bind /dev "$root/dev"
# The programs that the scripts need come first, without their scripts.
for p in base-files base-passwd bash dash coreutils libc6 libc-bin debianutils grep sed findutils mawk perl-base debconf dpkg \
	libselinux1 libpcre2-8-0 libacl1 libattr1 libtinfo6 libcrypt1 libgmp10 zlib1g libbz2-1.0 liblzma5 libzstd1 libmd0 tar diffutils gzip \
	init-system-helpers util-linux libmount1 libblkid1 libuuid1 libsmartcols1 libgcc-s1; do
	dpkg-deb --fsys-tarfile "$debs/$p.deb" | tar -x --keep-directory-symlink -C "$root"
done
ln -s mawk "$root/usr/bin/awk"
chroot "$root" /bin/sh -c 'dpkg --force-all --no-triggers --unpack /debs/*.deb'
rm "$root/usr/bin/awk"
# A second time, because --force-all configures packages before those that they need.
chroot "$root" dpkg --force-all --configure -a || chroot "$root" dpkg --force-all --configure -a
umount "$root/debs" "$root/proc" "$root/dev"
