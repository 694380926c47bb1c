//! The world around a copy: what a backup holds and a plan forgets, whether a new
//! system is whole, and plans from and for NixOS modules.

pub mod audit;
pub mod check;
pub mod export;
mod homes;
pub mod import;
mod known_paths;
pub mod nix_expr;
mod nix_text;
pub mod store_db;

#[cfg(test)]
mod tests;
