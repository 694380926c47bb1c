//! `persistcp plan import` and `persistcp plan nix-expr`.

use super::exit::Exit;
use super::output::{fail, print};
use crate::base::path::RelPath;
use crate::nixos::import::{Heading, ImportError, Imported, JsonFile, NixFile, NoteWeight, Person};
use crate::nixos::nix_expr::Configuration;
use crate::nixos::{import, nix_expr};
use crate::sys::output::Existing;
use crate::sys::{Errno, errno_words, output};
use std::io::Read;
use std::path::{Path, PathBuf};

#[derive(Debug, clap::Args)]
pub(super) struct ImportArgs {
    /// What `nix eval --json` printed, of a whole configuration (`plan nix-expr`) or of one option;
    /// several are combined, `-` is stdin
    #[arg(long, value_name = "FILE", num_args = 1.., required_unless_present = "nix", conflicts_with = "nix")]
    nix_json: Vec<PathBuf>,
    /// Without an evaluator: a module whose literal lists are read; exit status 1 if there is more to it
    #[arg(long, value_name = "FILE", num_args = 1..)]
    nix: Vec<PathBuf>,
    /// With --nix: the storage path that is computed; a literal end of the key is added
    #[arg(long, value_name = "PATH", requires = "nix", value_parser = absolute)]
    storage: Option<RelPath>,
    /// Whose home is meant if the files do not say so
    #[arg(long, value_name = "NAME", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    user: Option<String>,
    /// That user's home [default: /home/NAME]
    #[arg(long, value_name = "DIR", requires = "user", value_parser = absolute)]
    home: Option<RelPath>,
    /// The plan's name
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// The plan's backup tree
    #[arg(long, value_name = "DIR")]
    source: Option<String>,
    /// The plan's root
    #[arg(long, value_name = "DIR")]
    root: Option<String>,
    /// Write the plan here instead of to stdout; an existing file is left alone
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
pub(super) struct NixExprArgs {
    /// The configuration to name in the commands
    #[arg(long = "for", value_name = "FLAKE#HOST", value_parser = Configuration::parse)]
    configuration: Option<Configuration>,
    /// A user whose home-manager configuration is not part of the system's; repeatable
    #[arg(long, value_name = "NAME", num_args = 1.., value_parser = user_name)]
    user: Vec<String>,
    /// Print only the commands, for a shell
    #[arg(long)]
    commands: bool,
}

fn absolute(text: &str) -> Result<RelPath, String> {
    if !text.starts_with('/') {
        return Err("expected an absolute path".into());
    }
    match RelPath::new(text.as_bytes()) {
        Ok(path) if path.is_root() => Err("it cannot be the root itself".into()),
        Ok(path) => Ok(path),
        Err(error) => Err(error.to_string()),
    }
}

fn user_name(text: &str) -> Result<String, String> {
    if text.is_empty() || text.chars().any(crate::base::path::is_unprintable) {
        return Err("not a name".into());
    }
    Ok(text.to_string())
}

impl NixExprArgs {
    pub(super) fn show(self) -> Exit {
        let configuration = self.configuration.unwrap_or_default();
        if self.commands {
            return print(&format!("{}\n", nix_expr::commands(&configuration, &self.user).join("\n")));
        }
        print(&nix_expr::with_commands(&configuration, &self.user))
    }
}

impl ImportArgs {
    pub(super) fn start(self) -> Exit {
        let files = if self.nix.is_empty() { &self.nix_json } else { &self.nix };
        let mut read = Vec::new();
        for file in files {
            match content(file) {
                Ok(text) => read.push((shown(file), text)),
                Err(error) => return fail(&format!("{}: cannot be read: {error}", shown(file)), Exit::Usage),
            }
        }
        let heading = Heading {
            made_from: files.iter().map(|file| shown(file)).collect::<Vec<_>>().join(", "),
            file: self.output.as_ref().map(|path| path.to_string_lossy().into_owned()),
            name: self.name,
            source: self.source,
            root: self.root,
        };
        let person = Person { user: self.user, dir: self.home };
        let imported = if self.nix.is_empty() {
            let files: Vec<JsonFile> = read.into_iter().map(|(shown, text)| JsonFile { shown, text }).collect();
            import::from_json(&files, &person, &heading)
        } else {
            let mut files = Vec::new();
            for ((shown, text), file) in read.into_iter().zip(&self.nix) {
                let path = (file != Path::new("-")).then(|| file.clone());
                match String::from_utf8(text) {
                    Ok(text) => files.push(NixFile { shown, text, path }),
                    Err(error) => return fail(&format!("{shown}: not UTF-8: {error}"), Exit::Usage),
                }
            }
            import::from_nix(&files, self.storage.as_ref(), &person, &heading)
        };
        match imported {
            Ok(imported) => hand_out(&imported, self.output.as_deref()),
            Err(error @ ImportError::Nothing(_)) => fail(&error.to_string(), Exit::Problems),
            Err(error) => fail(&error.to_string(), Exit::Usage),
        }
    }
}

fn hand_out(imported: &Imported, output: Option<&Path>) -> Exit {
    let mut exit = match output {
        Some(path) => write_new(path, &imported.text),
        None => print(&imported.text),
    };
    for note in imported.notes.iter().filter(|note| note.weight > NoteWeight::Remark) {
        let (word, status) = match note.weight {
            NoteWeight::NotInPlan => ("not in the plan", Exit::Problems),
            _ => ("warning", Exit::Ok),
        };
        exit = exit.max(fail(&format!("{word}: {}", note.line()), status));
    }
    exit
}

fn write_new(path: &Path, text: &str) -> Exit {
    match output::write(path, text.as_bytes(), Existing::Kept) {
        Ok(()) => Exit::Ok,
        Err(Errno::EXIST) => {
            let text = format!("{} is there already and was left alone; remove it, or name another", path.display());
            fail(&text, Exit::Refused)
        }
        Err(errno) => fail(&format!("{}: cannot be written: {}", path.display(), errno_words(errno)), Exit::Problems),
    }
}

fn content(file: &Path) -> std::io::Result<Vec<u8>> {
    if file != Path::new("-") {
        return std::fs::read(file);
    }
    let mut text = Vec::new();
    std::io::stdin().lock().read_to_end(&mut text)?;
    Ok(text)
}

fn shown(file: &Path) -> String {
    if file == Path::new("-") { "stdin".into() } else { file.display().to_string() }
}
