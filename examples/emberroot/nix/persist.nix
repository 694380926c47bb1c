# Made by `persistcp plan export --format nix`
# from the plan emberroot: change the plan, not this file.
# For impermanence V2; a home's entries are bound from the storage itself, below its home path.
# The backup was not at hand: modes are the plan's, or usual ones of private paths.
{
  environment.persistence."/persist" = {
    hideMounts = true;
    users.sinh = {
      directories = [
        { directory = ".ssh"; mode = "0700"; }
        { directory = ".gnupg"; mode = "0700"; }
        { directory = ".config/sops/age"; mode = "0700"; }
        { directory = ".config/Bitwarden"; mode = "0700"; }
        { directory = ".config/gcloud"; mode = "0700"; }
        { directory = ".local/share/keyrings"; mode = "0700"; }
        "Documents"
        "Pictures"
        "Videos"
        "Music"
        "git-repos"
        ".local/share/fish"
        ".local/share/zoxide"
        ".config/atuin"
        ".local/share/atuin"
        ".cargo"
        ".rustup"
        ".npm"
        ".local/share/nvim"
        ".config/gh"
        ".config/git"
        ".config/Code"
        ".docker"
        ".devenv"
        ".local/share/direnv"
        ".config/direnv"
        ".config/fcitx5"
        ".local/share/fcitx5"
        { directory = ".mozilla/firefox"; mode = "0700"; }
        ".zen"
        ".config/zen"
        { directory = ".config/BraveSoftware"; mode = "0700"; }
        { directory = ".config/google-chrome"; mode = "0700"; }
        ".config/discord"
        ".config/Slack"
        ".config/gurk"
        ".local/share/gurk"
        ".local/share/TelegramDesktop"
        ".config/spotify"
        ".steam"
        ".local/share/Steam"
        ".local/share/mpd"
        ".config/sinh-x-scripts"
        ".var/app"
        ".local/share/flatpak"
        ".config/hypr"
        ".local/share/hyprland"
        ".local/share/applications"
        ".local/share/icons"
        ".local/state"
      ];
      files = [
        ".config/monitors.xml"
      ];
    };
  };
  environment.persistence."/persist/system" = {
    hideMounts = true;
    directories = [
      "/var/log"
      { directory = "/var/lib/docker"; mode = "0710"; }
      "/var/lib/flatpak"
      { directory = "/var/lib/bluetooth"; mode = "0700"; }
      "/var/lib/nixos"
      "/var/lib/NetworkManager"
      { directory = "/etc/NetworkManager/system-connections"; mode = "0700"; }
      "/var/lib/libvirt"
      { directory = "/var/lib/colord"; user = "colord"; group = "colord"; }
      "/var/lib/systemd/coredump"
    ];
    files = [
      "/etc/machine-id"
      "/etc/adjtime"
    ];
  };
  # sshd reads its keys from the storage itself, the public ones beside them.
  services.openssh.hostKeys = [
    { path = "/persist/system/etc/ssh/ssh_host_ed25519_key"; type = "ed25519"; }
    { path = "/persist/system/etc/ssh/ssh_host_rsa_key"; type = "rsa"; bits = 4096; }
  ];
  # What holds a storage must be mounted in the initrd; where that is a file system
  # of its own, it needs:
  # fileSystems."/persist".neededForBoot = true;
  # system leaves out `/var/lib/docker/overlay2/*/merged`; a persistence list keeps whole directories
  # /nix stays where it is used: a file system of its own is mounted there
}
