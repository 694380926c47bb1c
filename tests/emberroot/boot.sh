# What the boot of a machine with impermanence does with its storage, as far as it can be
# done in a chroot: ROOT in memory, PERSIST and NIX mounted in it, then each declared
# directory and file by the rules of the module's two scripts. Their failures are printed
# as theirs, and the rest goes on; the exit status tells whether there were any.
#
#   boot.sh ROOT PERSIST NIX < list     lines of "dir LIVE STORED" or "file LIVE STORED"
set -uo pipefail
root=$1 persist=$2 nix=$3
failed=0
fail() { printf 'boot: %s\n' "$*"; failed=1; }

mount -t tmpfs -o mode=755 none "$root" || exit 2
mkdir "$root/persist" "$root/nix" "$root/tmp" && chmod 1777 "$root/tmp"
mount --bind "$persist" "$root/persist" || exit 2
mount --bind "$nix" "$root/nix" || exit 2

# One directory: made on the storage if it is missing, without its parents; the one in
# memory then gets owner and mode of the storage's, whatever was declared.
create() { # LIVE STORED
  local live=$root$1 stored=$root$2
  if [ ! -d "$stored" ]; then
    mkdir --mode=0755 "$stored" || { fail "$2: mkdir failed"; return 1; }
  fi
  [ -d "$live" ] || mkdir "$live" || { fail "$1: mkdir failed"; return 1; }
  chown --reference="$stored" "$live" && chmod --reference="$stored" "$live"
}

# All parents from the top, then the directory itself.
create_all() { # LIVE STORED
  local base=${2%"$1"} path= part
  local IFS=/
  for part in ${1#/}; do
    path=$path/$part
    create "$path" "$base$path" || return 1
  done
}

while read -r kind live stored; do
  case $kind in
    directory)
      create_all "$live" "$stored" && { mount --bind "$root$stored" "$root$live" || fail "$live: mount failed"; } ;;
    file)
      create_all "${live%/*}" "${stored%/*}" || continue
      if [ -s "$root$live" ]; then
        fail "A file already exists at $live!"
      elif [ -e "$root$stored" ]; then
        touch "$root$live" && mount --bind "$root$stored" "$root$live" || fail "$live: mount failed"
      else
        ln -s "$stored" "$root$live" || fail "$live: ln failed"
      fi ;;
    *) fail "$kind is not a kind of entry" ;;
  esac
done

# The machine's own part: its users, and what this test needs to run programs.
mkdir -p "$root/etc" "$root/usr" "$root/proc" "$root/dev" "$root/etc/ssh"
printf 'root:x:0:0::/root:/bin/sh\nsinh:x:1000:100::/home/sinh:/bin/sh\n' >"$root/etc/passwd"
printf 'root:x:0:\nusers:x:100:\n' >"$root/etc/group"
cp "$root/nix/store/aaaa-nixos-system/etc/fstab" "$root/etc/fstab"
printf 'HostKey /persist/system/etc/ssh/ssh_host_ed25519_key\nHostKey /persist/system/etc/ssh/ssh_host_rsa_key\n' >"$root/etc/ssh/sshd_config"
mount --bind /usr "$root/usr"
for name in bin lib lib64 sbin; do
  if [ -L "/$name" ]; then ln -s "$(readlink "/$name")" "$root/$name"; fi
done
mount -t proc proc "$root/proc"
for device in null zero full urandom; do
  touch "$root/dev/$device" && mount --bind "/dev/$device" "$root/dev/$device"
done
exit "$failed"
