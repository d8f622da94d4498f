//! The command line: global arguments, the list of commands, and where the data directory may be named.
//!
//! `--data DIR` is accepted before the command and after it, except after `append`, where `--data` is the event's data. Clap has no
//! word for that, so the argument is added to every other command by hand (see [`command`]).

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use anstyle::{AnsiColor, Style};
use clap::builder::Styles;
use clap::error::ErrorKind;
use clap::parser::ValueSource;
use clap::{Arg, ArgMatches, Args, CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum};

use crate::exit::Exit;
use crate::settings::{self, Setting};
use crate::{bench, command as commands};

const DATA_DEFAULT: &str = "factum-data";
/// The id of `--data` before the command, and of the copies after it.
const DATA_ID: &str = "data_directory";
const APPEND: &str = "append";
const URL_ID: &str = "url";
/// Arguments that are there for their variables only.
const SECRETS: [(&str, &str); 3] = [
    ("url_password", "FACTUM_PASSWORD"),
    ("admin_password", "FACTUM_ADMIN_PASSWORD"),
    ("ops_password", "FACTUM_OPS_PASSWORD"),
];

const STYLES: Styles = Styles::styled()
    .header(Style::new().bold())
    .usage(Style::new().bold())
    .literal(AnsiColor::Cyan.on_default())
    .placeholder(AnsiColor::Green.on_default());

/// Event-sourcing database: events are facts, state is derived from them.
#[derive(Debug, Parser)]
#[command(
    name = "factum",
    version,
    styles = STYLES,
    propagate_version = true,
    disable_help_subcommand = false,
    max_term_width = 100,
    long_about = "Factum is an event-sourcing database in one binary. Events are facts that are added to streams and never \
changed; state is derived from them.\n\nA store is a directory. Commands find it by --data, else by the variable FACTUM_DATA, else in \
./factum-data.",
    after_long_help = "First steps:\n  factum demo                                   see what it does, in ten seconds\n  \
factum append order-1 --type OrderPlaced --data '{\"total\":42}'\n  factum read order-1\n  factum import events.ndjson.gz\n  \
factum help exit-codes                        what a script may branch on"
)]
pub(crate) struct Cli {
    /// Arguments of all commands.
    #[command(flatten)]
    pub(crate) global: GlobalArgs,
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Arguments that every command takes, before or after its name.
#[derive(Debug, Args)]
#[command(next_help_heading = "Global options")]
pub(crate) struct GlobalArgs {
    /// How answers are printed [default: table on a terminal, ndjson for records elsewhere]
    #[arg(short, long, global = true, value_enum, value_name = "FORMAT")]
    pub(crate) output: Option<Format>,
    /// Print no words, only data and errors
    #[arg(short, long, global = true)]
    pub(crate) quiet: bool,
    /// When to use colour; NO_COLOR and CLICOLOR_FORCE are obeyed too
    #[arg(
        long,
        global = true,
        value_enum,
        default_value = "auto",
        value_name = "WHEN"
    )]
    pub(crate) color: ColorWhen,
    /// Leave out the head line of tables
    #[arg(long, global = true)]
    pub(crate) no_headers: bool,
    /// How long commands show how far they are, on standard error
    #[arg(
        long,
        global = true,
        value_enum,
        default_value = "auto",
        value_name = "HOW"
    )]
    pub(crate) progress: ProgressMode,
    /// Let streams go on whose last events may be lost: the last resort
    ///
    /// After damage that was accepted, an append to a stream is refused as long as the last events of that stream may be among what was
    /// lost. With this option, a stream goes on behind what is left of it. Revisions that somebody was shown may then be given to other
    /// events, and nobody who remembers them is told. Restore from a backup first, if there is one. It holds for this command only.
    #[arg(
        long,
        global = true,
        env = "FACTUM_ACCEPT_LOST_TAILS",
        hide_env_values = true,
        value_parser = yes_or_no
    )]
    pub(crate) accept_lost_tails: bool,
    /// Ask the server at this address instead of opening a directory: http://HOST:PORT, https://USER@HOST:PORT
    ///
    /// The user's password is taken from the variable FACTUM_PASSWORD.
    #[arg(
        long,
        global = true,
        value_name = "URL",
        env = "FACTUM_URL",
        hide_env_values = true
    )]
    pub(crate) url: Option<String>,
    /// Trust the certificates in this file (PEM) and no others, for a server at https://
    #[arg(long, global = true, value_name = "FILE", env = "FACTUM_CA_FILE")]
    pub(crate) ca_file: Option<PathBuf>,
    /// The password of the user in --url, from the environment only
    #[arg(
        long,
        global = true,
        hide = true,
        env = "FACTUM_PASSWORD",
        hide_env_values = true
    )]
    pub(crate) url_password: Option<String>,
}

/// How answers are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// Columns or words for people
    Table,
    /// One JSON document
    Json,
    /// One JSON object per line
    Ndjson,
}

/// When to use colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ColorWhen {
    /// On a terminal
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

/// How progress is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ProgressMode {
    /// A bar if standard error is a terminal
    Auto,
    /// A bar
    Bar,
    /// One JSON object per second
    Json,
    /// Nothing
    None,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Add events to a stream
    Append(Box<commands::append::AppendArgs>),
    /// Print events
    Read(commands::read::ReadArgs),
    /// Print events as JSON lines: `read -o ndjson`
    Cat(commands::read::ReadArgs),
    /// Print the last events, and follow
    Tail(commands::tail::TailArgs),
    /// List, inspect, truncate and delete streams
    #[command(subcommand)]
    Stream(commands::stream::StreamCommand),
    /// Look at single events
    #[command(subcommand)]
    Event(commands::event::EventCommand),
    /// The state of a stream, now or as it was; what changed it
    State(commands::state::StateArgs),
    /// Remember the state of a stream, so that it need not be folded again
    Snapshot(commands::snapshot::SnapshotArgs),
    /// Copy events while they change: other types, fields, streams
    Transform(Box<commands::transform::TransformArgs>),
    /// Keep read models that files declare, in SQL and elsewhere
    #[command(subcommand)]
    Project(commands::project::ProjectCommand),
    /// Ask a read model or the events, in SQL
    Query(Box<commands::query::QueryArgs>),
    /// Serve the store to KurrentDB's clients and others
    Serve(Box<commands::serve::ServeArgs>),
    /// Show the settings of `serve`, and where they come from
    #[command(subcommand)]
    Config(commands::config::ConfigCommand),
    /// Bring events in from a CloudEvents file
    Import(commands::import::ImportArgs),
    /// Write events out as CloudEvents lines
    Export(commands::export::ExportArgs),
    /// Check that everything stored is what was written
    Verify(commands::verify::VerifyArgs),
    /// Copy the store while it may be in use
    Backup(commands::backup::BackupArgs),
    /// Make a store from a backup
    Restore(commands::restore::RestoreArgs),
    /// Examine the machine and the store
    Doctor(commands::doctor::DoctorArgs),
    /// See what event sourcing does, in ten seconds
    Demo(commands::demo::DemoArgs),
    /// Measure the store on this machine
    Bench(bench::BenchArgs),
    /// Print a completion script for a shell
    Completions(commands::completions::CompletionsArgs),
    /// Write manual pages
    Man(commands::man::ManArgs),
    /// What the exit codes mean (also `factum help exit-codes`)
    ExitCodes,
}

/// A command line that was understood.
#[derive(Debug)]
pub(crate) struct Parsed {
    /// Everything but the data directory.
    pub(crate) cli: Cli,
    /// The data directory.
    pub(crate) data: DataDirectory,
    /// Of a command that has settings, all of them.
    pub(crate) settings: Vec<Setting>,
}

/// The data directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DataDirectory {
    /// Where it is; it may not exist yet.
    pub(crate) path: PathBuf,
    /// Whether it was named on the command line, not by the environment or by default.
    pub(crate) is_argument: bool,
}

/// The whole command line, as help, completions and manual pages show it.
pub(crate) fn command() -> clap::Command {
    let top = data_arg()
        .env("FACTUM_DATA")
        .help("The directory of the store [default: factum-data]");
    let command = Cli::command().arg(top);
    with_data_arg(command).mut_subcommand("exit-codes", |command| {
        command
            .long_about(commands::exit_codes::text())
            .help_template("{about-with-newline}")
            .display_order(900)
    })
}

/// Reads the process's arguments.
pub(crate) fn parse() -> Result<Parsed, ExitCode> {
    parse_from(std::env::args_os()).map_err(|error| match error.print() {
        Ok(())
            if matches!(
                error.kind(),
                ErrorKind::DisplayHelp | ErrorKind::DisplayVersion
            ) =>
        {
            Exit::Ok.into()
        }
        Ok(()) => Exit::Usage.into(),
        Err(broken) if broken.kind() == std::io::ErrorKind::BrokenPipe => Exit::Ok.into(),
        Err(_unprintable) => Exit::Error.into(),
    })
}

fn parse_from(args: impl IntoIterator<Item = OsString>) -> Result<Parsed, clap::Error> {
    let args: Vec<OsString> = args.into_iter().collect();
    let file = settings::File::of(command(), &args)
        .map_err(|reason| command().error(ErrorKind::InvalidValue, reason))?;
    let matches = file
        .defaults(command(), DATA_ID)
        .try_get_matches_from(args)?;
    secrets_stay_out(&matches)?;
    let mut cli = Cli::from_arg_matches(&matches)?;
    let data = data_of(&matches).unwrap_or_else(|| DataDirectory {
        path: PathBuf::from(DATA_DEFAULT),
        is_argument: false,
    });
    cli.global.url = url_of(cli.global.url, &matches, &data)?;
    let settings = file.settings(&matches, (&data.path, data.is_argument));
    Ok(Parsed {
        cli,
        data,
        settings,
    })
}

/// The server that is asked; a directory named on the command line is stronger than one that a variable names.
fn url_of(
    url: Option<String>,
    matches: &ArgMatches,
    data: &DataDirectory,
) -> Result<Option<String>, clap::Error> {
    let Some(url) = url.filter(|url| !url.is_empty()) else {
        return Ok(None);
    };
    let is_argument = matches.value_source(URL_ID) == Some(ValueSource::CommandLine);
    match (data.is_argument, is_argument) {
        (false, _) => Ok(Some(url)),
        (true, false) => Ok(None),
        (true, true) => {
            let reason = "--data names a directory and --url a server: one of them holds the store";
            Err(command().error(ErrorKind::ArgumentConflict, reason))
        }
    }
}

/// Refuses passwords among the arguments, which other users of the machine can read.
fn secrets_stay_out(matches: &ArgMatches) -> Result<(), clap::Error> {
    let given = |matches: &ArgMatches, id: &str| {
        matches.try_contains_id(id).is_ok()
            && matches.value_source(id) == Some(ValueSource::CommandLine)
    };
    let mut matches = Some(matches);
    while let Some(here) = matches {
        if let Some((_, variable)) = SECRETS.iter().find(|(id, _)| given(here, id)) {
            let reason = format!(
                "a password is not taken from the command line, which others can read: set {variable}"
            );
            return Err(command().error(ErrorKind::UnknownArgument, reason));
        }
        matches = here.subcommand().map(|(_, inner)| inner);
    }
    Ok(())
}

/// What the variable of a flag says; an empty one says no.
pub(crate) fn yes_or_no(text: &str) -> Result<bool, String> {
    match text {
        "1" | "true" | "yes" | "on" => Ok(true),
        "" | "0" | "false" | "no" | "off" => Ok(false),
        _ => Err("the variable says neither 1 nor 0".to_owned()),
    }
}

fn data_arg() -> Arg {
    Arg::new(DATA_ID)
        .long("data")
        .value_name("DIR")
        .help("The directory of the store")
        .help_heading("Global options")
        .display_order(800)
        .value_parser(clap::value_parser!(PathBuf))
}

fn with_data_arg(command: clap::Command) -> clap::Command {
    command.mut_subcommands(|sub| match sub.get_name() {
        APPEND | "help" | "exit-codes" | "completions" | "man" => sub,
        _ if sub.has_subcommands() => with_data_arg(sub.arg(data_arg())),
        _ => sub.arg(data_arg()),
    })
}

/// The innermost `--data`: what stands nearest to the command wins.
fn data_of(matches: &ArgMatches) -> Option<DataDirectory> {
    if let Some(inner) = matches.subcommand().and_then(|(_, inner)| data_of(inner)) {
        return Some(inner);
    }
    let path = matches
        .try_get_one::<PathBuf>(DATA_ID)
        .ok()
        .flatten()?
        .clone();
    let is_argument = matches.value_source(DATA_ID) == Some(ValueSource::CommandLine);
    Some(DataDirectory { path, is_argument })
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;
    use std::path::Path;

    use super::{Command, Format, command, parse_from};

    fn parsed(line: &str) -> super::Parsed {
        parse_from(line.split(' ').map(OsString::from)).unwrap()
    }

    #[test]
    fn the_command_line_is_sound() {
        command().debug_assert();
    }

    #[test]
    fn data_names_the_store_before_and_after_a_command() {
        let check = |line: &str, expected: &str| {
            assert_eq!(parsed(line).data.path, Path::new(expected), "{line}");
        };
        check("factum --data here read --all", "here");
        check("factum read --all --data there", "there");
        check("factum --data here stream ls --data there", "there");
        check("factum --data here append s --type T --data {}", "here");
    }

    #[test]
    fn data_of_append_is_the_event() {
        let Command::Append(append) = parsed("factum append s --type T --data {}").cli.command
        else {
            panic!("another command");
        };
        assert_eq!(append.data.as_deref(), Some("{}"));
    }

    #[test]
    fn global_arguments_go_before_or_after() {
        for line in ["factum -o json read s", "factum read s -o json"] {
            assert_eq!(parsed(line).cli.global.output, Some(Format::Json), "{line}");
        }
    }
}
