# What Emberroot's flake.nix gets in its `inputs`.
{
  impermanence = {
    url = "github:nix-community/impermanence";
    # The module has no other use for them; one copy of each is enough.
    inputs.nixpkgs.follows = "nixpkgs";
    inputs.home-manager.follows = "home-manager";
  };
}
