# The user's side: what is bound into the home from /persist/home/<user>.
{
  config,
  lib,
  namespace,
  ...
}:
let
  cfg = config.${namespace}.impermanence;
  persist = import ../../../persist.nix;
  # The name is the storage, without the home: the module appends /home/<user> by itself.
  storage = "/persist";
in
{
  # Nothing is imported: impermanence's NixOS module gives home-manager this option.
  options.${namespace}.impermanence.enable = lib.mkEnableOption "persistence of this home";

  config = lib.mkIf cfg.enable {
    # Real bind mounts, which NixOS makes as root: there is no allowOther any more.
    home.persistence.${storage} = {
      hideMounts = true;
    }
    // persist.environment.persistence.${storage}.users.${config.home.username};
  };
}
