//! Settings of `factum serve` from a file, `factum.toml` or what `--config` names, section `[serve]`.
//!
//! Keys are named as the flags are. A flag is stronger than a variable of the environment, that than the file, and that than what is
//! built in. Relies on: clap, which is given what the file says as defaults. Never: takes a password from the file; passes over a key
//! that it does not know.

use std::any::TypeId;
use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use clap::builder::Resettable;
use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Args, Command};
use toml::de::{DeTable, DeValue};

use crate::command::serve::ServeArgs;

const FILE_DEFAULT: &str = "factum.toml";
const SECTION: &str = "serve";
const DATA: &str = "data";
/// Longest file, in bytes.
const FILE_BYTES_MAX: usize = 1 << 20;
/// Settings that a file must not have.
const SECRETS: [&str; 2] = ["admin-password", "ops-password"];

/// What a file says.
#[derive(Debug, Default)]
pub(crate) struct File {
    path: PathBuf,
    values: BTreeMap<String, Value>,
}

#[derive(Debug)]
struct Value {
    text: String,
    line: usize,
}

/// One setting, and where it comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Setting {
    /// The flag without its dashes.
    pub(crate) name: String,
    /// `None` where nothing is set. Of secrets only whether they are set.
    pub(crate) value: Option<String>,
    /// A flag, a variable, a line of a file, or `default`.
    pub(crate) origin: String,
}

impl File {
    /// The file that the arguments ask for, or the one that is there; nothing for commands that have no settings.
    pub(crate) fn of(command: Command, args: &[OsString]) -> Result<Self, String> {
        let Ok(matches) = command.ignore_errors(true).try_get_matches_from(args) else {
            return Ok(Self::default());
        };
        let Some(matches) = settings_of(&matches) else {
            return Ok(Self::default());
        };
        let named = matches.get_one::<PathBuf>("config");
        let path = named.map_or_else(|| PathBuf::from(FILE_DEFAULT), Clone::clone);
        match std::fs::read_to_string(&path) {
            Ok(text) => Self::parse(&path, &text),
            Err(error) if named.is_none() && error.kind() == std::io::ErrorKind::NotFound => {
                Ok(Self::default())
            }
            Err(error) => Err(format!("{}: {error}", path.display())),
        }
    }

    fn parse(path: &Path, text: &str) -> Result<Self, String> {
        let shown = path.display();
        if text.len() > FILE_BYTES_MAX {
            return Err(format!("{shown} is longer than {FILE_BYTES_MAX} bytes"));
        }
        let table = DeTable::parse(text).map_err(|error| {
            let line = line_at(text, error.span().map_or(0, |span| span.start));
            let message = error.message().replace('\n', ", ");
            format!("{shown}:{line}: {message}")
        })?;
        let mut values = BTreeMap::new();
        for (section, content) in table.into_inner() {
            let line = line_at(text, section.span().start);
            if section.get_ref() != SECTION {
                let name = section.get_ref();
                return Err(format!(
                    "{shown}:{line}: {name:?} is not known here; settings stand in the section [{SECTION}]"
                ));
            }
            let DeValue::Table(keys) = content.into_inner() else {
                return Err(format!("{shown}:{line}: {SECTION} is not a section"));
            };
            for (key, value) in keys {
                let line = line_at(text, key.span().start);
                let key = key.into_inner().into_owned();
                let text = value_of(&key, value.get_ref())
                    .map_err(|reason| format!("{shown}:{line}: {reason}"))?;
                values.insert(key, Value { text, line });
            }
        }
        Ok(Self {
            path: path.to_owned(),
            values,
        })
    }

    /// The command line, with what the file says as its defaults.
    pub(crate) fn defaults(&self, command: Command, data_id: &'static str) -> Command {
        if self.values.is_empty() {
            return command;
        }
        let command = match self.values.get(DATA) {
            Some(value) => command.mut_arg(data_id, |arg| arg.default_value(value.text.clone())),
            None => command,
        };
        let given = |command: Command| {
            self.values.iter().filter(|(key, _)| *key != DATA).fold(
                command,
                |command, (key, value)| {
                    command.mut_arg(id(key), |arg| arg.default_value(value.text.clone()))
                },
            )
        };
        command
            .mut_subcommand("serve", given)
            .mut_subcommand("config", |config| config.mut_subcommand("show", given))
    }

    /// Every setting and where it comes from; none for commands that have none.
    pub(crate) fn settings(&self, matches: &ArgMatches, data: (&Path, bool)) -> Vec<Setting> {
        let Some(matches) = settings_of(matches) else {
            return Vec::new();
        };
        let data = self.data(data);
        let others = known().into_iter().map(|arg| self.setting(&arg, matches));
        std::iter::once(data).chain(others).collect()
    }

    fn data(&self, (path, is_argument): (&Path, bool)) -> Setting {
        let origin = if is_argument {
            "--data".to_owned()
        } else if std::env::var_os("FACTUM_DATA").is_some() {
            "FACTUM_DATA".to_owned()
        } else {
            self.origin(DATA)
        };
        Setting {
            name: DATA.to_owned(),
            value: Some(path.display().to_string()),
            origin,
        }
    }

    fn setting(&self, arg: &Arg, matches: &ArgMatches) -> Setting {
        let name = arg.get_long().unwrap_or_default().to_owned();
        let id = arg.get_id().as_str();
        let raw = matches.get_raw(id).and_then(|mut values| values.next());
        let value = match raw {
            Some(_) if SECRETS.contains(&name.as_str()) => Some("(set)".to_owned()),
            raw => raw.map(|raw| raw.to_string_lossy().into_owned()),
        };
        let origin = match matches.value_source(id) {
            Some(ValueSource::CommandLine) => format!("--{name}"),
            Some(ValueSource::EnvVariable) => arg
                .get_env()
                .map(OsStr::to_string_lossy)
                .unwrap_or_default()
                .into_owned(),
            _ => self.origin(&name),
        };
        // A flag that is given has no value of its own.
        let flag = matches!(arg.get_action(), ArgAction::SetTrue);
        let value = if flag {
            Some(matches.get_flag(id).to_string())
        } else {
            value
        };
        Setting {
            name,
            value,
            origin,
        }
    }

    fn origin(&self, name: &str) -> String {
        match self.values.get(name) {
            Some(value) => format!("{}:{}", self.path.display(), value.line),
            None => "default".to_owned(),
        }
    }
}

/// The matches of a command that has settings.
fn settings_of(matches: &ArgMatches) -> Option<&ArgMatches> {
    match matches.subcommand()? {
        ("serve", matches) => Some(matches),
        ("config", matches) => matches.subcommand_matches("show"),
        _ => None,
    }
}

/// What `serve` takes, but for the name of the file.
fn known() -> Vec<Arg> {
    let command = ServeArgs::augment_args(Command::new("serve"));
    let args = command.get_arguments();
    args.filter(|arg| {
        arg.get_long()
            .is_some_and(|long| long != "config" && long != "help")
    })
    .cloned()
    .collect()
}

fn id(key: &str) -> String {
    key.replace('-', "_")
}

/// What a key of the file says, as a flag would.
fn value_of(key: &str, value: &DeValue<'_>) -> Result<String, String> {
    if SECRETS.contains(&key) {
        return Err(format!(
            "a password does not belong in this file: name a file that holds it by {key}-file"
        ));
    }
    if key == DATA {
        let text = value.as_str().filter(|text| !text.is_empty());
        return text
            .map(str::to_owned)
            .ok_or_else(|| format!("{key} is not the name of a directory"));
    }
    let args = known();
    let arg = args.iter().find(|arg| arg.get_long() == Some(key));
    let arg = arg.ok_or_else(|| {
        let names: Vec<_> = args
            .iter()
            .filter_map(Arg::get_long)
            .filter(|name| !SECRETS.contains(name))
            .collect();
        format!(
            "there is no setting {key:?}; there are data, {}",
            names.join(", ")
        )
    })?;
    if matches!(arg.get_action(), ArgAction::SetTrue) {
        let flag = value.as_bool();
        return flag
            .map(|flag| flag.to_string())
            .ok_or_else(|| format!("{key} is neither true nor false"));
    }
    if arg.get_value_parser().type_id() == TypeId::of::<u64>() {
        let number = value.as_integer();
        let number = number.ok_or_else(|| format!("{key} is not a whole number without quotes"))?;
        let decimal = u64::from_str_radix(number.as_str(), number.radix());
        let text = decimal.map_or_else(|_| number.to_string(), |decimal| decimal.to_string());
        return check(key, &text).map(|()| text);
    }
    let text = value.as_str();
    let text = text.ok_or_else(|| format!("{key} is not a text in quotes"))?;
    check(key, text).map(|()| text.to_owned())
}

/// Whether the flag would take it.
fn check(key: &str, text: &str) -> Result<(), String> {
    let command = ServeArgs::augment_args(Command::new("serve"));
    let command = command.mut_args(|arg| arg.env(Resettable::Reset));
    match command.try_get_matches_from(["serve".to_owned(), format!("--{key}={text}")]) {
        Ok(_) => Ok(()),
        Err(error) => {
            let text = error.to_string();
            let first = text.lines().next().unwrap_or_default();
            Err(first.trim_start_matches("error: ").to_owned())
        }
    }
}

fn line_at(text: &str, offset: usize) -> usize {
    let before = text.as_bytes().get(..offset).unwrap_or(text.as_bytes());
    1 + before.iter().filter(|byte| **byte == b'\n').count()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::File;

    fn refusal(text: &str) -> String {
        File::parse(Path::new("f.toml"), text).unwrap_err()
    }

    #[test]
    fn what_is_wrong_in_a_file_is_named_with_its_line() {
        let check = |text: &str, expected: &str| {
            let found = refusal(text);
            assert!(found.starts_with(expected), "{text}: {found}");
        };
        check("[serve]\nlisten = \n", "f.toml:2: ");
        check("[server]\n", "f.toml:1: \"server\" is not known here");
        check("serve = 1\n", "f.toml:1: serve is not a section");
        check(
            "[serve]\n\nlisten-on = \"x\"\n",
            "f.toml:3: there is no setting \"listen-on\"",
        );
        check("[serve]\nlisten = 2113\n", "f.toml:2: listen is not a text");
        check(
            "[serve]\nlisten = \"here\"\n",
            "f.toml:2: invalid value 'here' for '--listen",
        );
        check(
            "[serve]\ndev = \"yes\"\n",
            "f.toml:2: dev is neither true nor false",
        );
        check(
            "[serve]\nlog = \"loud\"\n",
            "f.toml:2: invalid value 'loud' for '--log",
        );
        check(
            "[serve]\nblock-cache-mib = \"64\"\n",
            "f.toml:2: block-cache-mib is not a whole number",
        );
        check(
            "[serve]\nblock-cache-mib = -1\n",
            "f.toml:2: invalid value '-1' for '--block-cache-mib",
        );
        check("[serve]\ndata = 3\n", "f.toml:2: data is not the name");
        check(
            "[serve]\nconfig = \"x\"\n",
            "f.toml:2: there is no setting \"config\"",
        );
    }

    #[test]
    fn a_password_is_not_taken_and_not_repeated() {
        for key in super::SECRETS {
            let found = refusal(&format!("[serve]\n{key} = \"hunter2\"\n"));
            assert!(found.starts_with("f.toml:2: a password"), "{found}");
            assert!(!found.contains("hunter2"), "{found}");
        }
    }
}
