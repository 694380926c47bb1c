# The system's side: what is bound from /persist/system, and the keys of sshd.
#
# The lists are generated from the plan that copies the data, so that what is
# declared and what is copied cannot drift apart:
#   persistcp plan export --format nix --output persist.nix ../mapping.toml
{
  config,
  lib,
  inputs,
  ...
}:
let
  cfg = config.modules.impermanence;
  persist = import ../../../persist.nix;
in
{
  # Here and not below `config`: imports cannot depend on an option. This module also
  # brings home.persistence to every user of home-manager.
  imports = [ inputs.impermanence.nixosModules.impermanence ];

  options.modules.impermanence.enable = lib.mkEnableOption "impermanence with a tmpfs root";

  config = lib.mkIf cfg.enable {
    # The users' lists are the home module's: an entry that both declare is refused.
    environment.persistence = lib.mapAttrs (
      _: storage: removeAttrs storage [ "users" ]
    ) persist.environment.persistence;

    # The file system that holds both storages is mounted before stage 2 makes the bind mounts.
    fileSystems."/persist".neededForBoot = true;

    # On the storage itself: sshd may start before single files are bound, and would make new keys.
    services.openssh.hostKeys = persist.services.openssh.hostKeys;

    # A service with DynamicUser keeps its state in /var/lib/private, which systemd wants 0700.
    # Where one is used, put this into the plan, and make persist.nix again:
    #   { path = "/var/lib/private", mode = "0700" }
  };
}
