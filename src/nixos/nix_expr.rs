//! The expression that extracts from a Nix configuration what [`crate::nixos::import`] reads, and the
//! commands that use it.

use crate::base::path::is_unprintable;
use crate::base::shell::quote;

/// For `nix eval --apply`: from a whole configuration to plain values.
pub const EXPRESSION: &str = include_str!("nix_expr.nix");

/// A configuration in a flake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Configuration {
    flake: String,
    host: String,
}

impl Configuration {
    /// Reads `FLAKE#HOST`.
    pub fn parse(text: &str) -> Result<Self, String> {
        match text.rsplit_once('#') {
            // The commands also appear as comments: a name must not end the line.
            _ if text.chars().any(is_unprintable) => Err("a character in a name that is not printable".into()),
            Some((flake, host)) if !host.is_empty() => {
                let flake = if flake.is_empty() { "." } else { flake };
                Ok(Self { flake: flake.into(), host: host.into() })
            }
            _ => Err("expected FLAKE#HOST, for example .#laptop".into()),
        }
    }
}

impl Default for Configuration {
    fn default() -> Self {
        Self { flake: ".".into(), host: "HOST".into() }
    }
}

/// The shell commands that make a plan: one evaluation of the system, and one for each user
/// whose home-manager configuration is not part of it.
#[must_use]
pub fn commands(configuration: &Configuration, users: &[String]) -> Vec<String> {
    let Configuration { flake, host } = configuration;
    let mut sources = vec![(format!("nixosConfigurations.{}", attribute(host)), format!("{host}.json"))];
    for user in users {
        let name = if user.contains('@') { user.clone() } else { format!("{user}@{host}") };
        sources.push((format!("homeConfigurations.{}", attribute(&name)), format!("{name}.json")));
    }
    // A name may contain what a file name cannot.
    let file = |name: &str| quote(&format!("./{}", name.replace('/', "_")));
    let mut out: Vec<String> = sources
        .iter()
        .map(|(path, name)| {
            let installable = quote(&format!("{flake}#{path}.config"));
            format!("nix eval --json {installable} --apply \"$(persistcp plan nix-expr)\" > {}", file(name))
        })
        .collect();
    let files: Vec<String> = sources.iter().map(|(_, name)| file(name)).collect();
    out.push(format!("persistcp plan import --nix-json {} --output mapping.toml", files.join(" ")));
    out
}

/// An attribute's name as it is written in an installable.
fn attribute(name: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-'".contains(c);
    if name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') && name.chars().all(plain) {
        return name.to_string();
    }
    format!("\"{}\"", name.replace('\\', "\\\\").replace('"', "\\\""))
}

/// The expression, with the commands in front as comments.
#[must_use]
pub fn with_commands(configuration: &Configuration, users: &[String]) -> String {
    let mut out = String::new();
    for command in commands(configuration, users) {
        out.push_str(&format!("#   {command}\n"));
    }
    out.push_str("#\n");
    out.push_str(EXPRESSION);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_expression_and_its_comments_are_nix() {
        let text = with_commands(&Configuration::default(), &["sinh".into()]);
        let parse = rnix::Root::parse(&text);
        assert!(parse.errors().is_empty(), "{:?}", parse.errors());
        assert!(matches!(parse.tree().expr(), Some(rnix::ast::Expr::Lambda(_))));
    }

    #[test]
    fn commands_name_the_host_and_each_user_of_their_own() {
        let configuration = Configuration::parse("github:me/conf#my.host").unwrap();
        let commands = commands(&configuration, &["sinh".into()]);
        assert!(commands[0].contains("'github:me/conf#nixosConfigurations.\"my.host\".config'"), "{commands:?}");
        assert!(commands[1].contains("homeConfigurations.\"sinh@my.host\".config"), "{commands:?}");
        assert!(commands[2].ends_with("--nix-json ./my.host.json ./sinh@my.host.json --output mapping.toml"));
    }

    #[test]
    fn a_name_cannot_leave_its_comment() {
        assert!(Configuration::parse(".#a\nb").is_err());
        assert!(Configuration::parse("flake").is_err());
        assert_eq!(Configuration::parse("#host"), Configuration::parse(".#host"));
    }
}
