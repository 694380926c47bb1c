# What Emberroot's flake.nix gets in its `inputs`. Pin it by the lock file: the lists are written
# for the module of 2026 (V2), whose home storages are named without the home.
{
  impermanence.url = "github:nix-community/impermanence";
}
