# What Emberroot's system configuration gets.
{
  imports = [ ./hardware-configuration.nix ];

  modules.impermanence.enable = true;

  # The boot loader goes to the EFI partition, not into a /boot in memory that is gone at power-off.
  boot.loader.efi.efiSysMountPoint = "/boot/efi";

  # The root is a tmpfs already: /tmp gets one of its own, so that it cannot fill the root.
  boot.tmp.useTmpfs = true;

  # /etc/shadow is gone at every boot. With passwords that are kept only there nobody can log in:
  # they come from the storage instead. Before the first boot, on the installer:
  #   mkdir -p -m 0700 /mnt/persist/passwords
  #   (umask 077; mkpasswd > /mnt/persist/passwords/sinh; mkpasswd > /mnt/persist/passwords/root)
  users.mutableUsers = false;
  users.users.sinh.hashedPasswordFile = "/persist/passwords/sinh";
  users.users.root.hashedPasswordFile = "/persist/passwords/root";

  # No tmpfiles rules for /persist: impermanence makes what is missing, and persistcp has copied
  # the rest with its owners and modes. Rules run later, and repair no directory of root below
  # one of a user.
}
