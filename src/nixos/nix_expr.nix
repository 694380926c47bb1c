# What `persistcp plan import --nix-json` needs of a NixOS configuration, or of one of
# home-manager alone, as plain values.
#
# Attributes are picked by name and only where they exist: the second version of
# impermanence leaves options that throw beside those that it has, and the first lacks some.
config:
let
  inherit (builtins) any attrNames filter intersectAttrs isString listToAttrs map mapAttrs;

  pick = names: set: intersectAttrs (listToAttrs (map (name: { inherit name; value = null; }) names)) set;
  attribute = name: set: if set ? ${name} then { ${name} = set.${name}; } else { };

  perms = [ "user" "group" "mode" ];
  defaults = entry: if entry ? defaultPerms then { defaultPerms = pick perms entry.defaultPerms; } else { };
  # The oldest home-manager modules have plain strings.
  directory = entry:
    if isString entry then entry
    else pick ([ "directory" "dirPath" "home" "persistentStoragePath" "how" "createLinkTarget" ] ++ perms) entry // defaults entry;
  file = entry:
    if isString entry then entry
    else
      pick ([ "file" "filePath" "home" "persistentStoragePath" "how" "createLinkTarget" ] ++ perms) entry
      // (
        if entry ? parentDirectory
        then { parentDirectory = pick ([ "dirPath" ] ++ perms) entry.parentDirectory // defaults entry.parentDirectory; }
        else { }
      );
  lists = set: {
    directories = map directory (set.directories or [ ]);
    files = map file (set.files or [ ]);
  };
  area = set:
    pick [ "enable" "persistentStoragePath" ] set
    // lists set
    // (
      if set ? users
      then { users = mapAttrs (_: user: pick [ "username" "home" "homeMode" "homeGroup" ] (withoutRemoved user) // lists user) set.users; }
      else { }
    );
  # impermanence removed `users.NAME.home` and left it to throw; there the entries know the home.
  withoutRemoved = user: if user ? username then user else removeAttrs user [ "home" ];

  # Only the first version's home-manager module has entries without an absolute path.
  relative = set:
    any (entry: isString entry || !(entry ? dirPath)) (set.directories or [ ])
    || any isString (set.files or [ ]);
  homeArea = set: area set // (if relative set then attribute "removePrefixDirectory" set else { });
  home = user: {
    inherit (user.home) username homeDirectory;
    persistence = mapAttrs (_: homeArea) (user.home.persistence or { });
  };

  homes =
    if config ? home && config.home ? username
    then { ${config.home.username} = home config; }
    else
      let users = config.home-manager.users or { };
      in listToAttrs (map (name: { inherit name; value = home users.${name}; })
        (filter (name: users.${name}.home ? persistence) (attrNames users)));
in
{
  persistcp = 1;
  host = config.networking.hostName or null;
  persistence = mapAttrs (_: area) (config.environment.persistence or { });
  home = homes;
  preservation =
    if config.preservation.enable or false
    then mapAttrs (_: area) (config.preservation.preserveAt or { })
    else null;
  users = mapAttrs (_: user: pick [ "name" "uid" "group" "home" ] user) (config.users.users or { });
  groups = mapAttrs (_: group: pick [ "name" "gid" ] group) (config.users.groups or { });
  hostKeys =
    if config.services.openssh.enable or false
    then map (key: { inherit (key) path; }) (config.services.openssh.hostKeys or [ ])
    else [ ];
}
