//! The one door to the terminal: data on standard output, words and progress on standard error.
//!
//! Relies on: nothing of the store. Never: lets text from events or files reach a terminal with control characters in it
//! (JSON output keeps data exact, and JSON itself cannot hold raw control characters).

pub(crate) mod escape;
pub(crate) mod progress;
mod prompt;
pub(crate) mod table;

use std::fmt;
use std::io::{self, BufWriter, IsTerminal, Write};

use anstyle::{AnsiColor, Style};

use crate::cli::{ColorWhen, Format, GlobalArgs, ProgressMode};
use crate::exit::Exit;
use crate::failure::{Failure, Outcome};

const OUT_BYTES: usize = 256 << 10;

/// Where a command talks.
pub(crate) struct Ui {
    out: BufWriter<Box<dyn Write + Send>>,
    format: Option<Format>,
    color: bool,
    /// No words but errors.
    pub(crate) quiet: bool,
    /// No head line above columns.
    pub(crate) no_headers: bool,
    progress: ProgressMode,
    out_is_terminal: bool,
}

impl Ui {
    /// Standard output and error, as the global arguments ask.
    pub(crate) fn new(global: &GlobalArgs) -> Self {
        match global.color {
            ColorWhen::Auto => {}
            ColorWhen::Always => anstream::ColorChoice::Always.write_global(),
            ColorWhen::Never => anstream::ColorChoice::Never.write_global(),
        }
        let stdout = io::stdout();
        let choice = anstream::AutoStream::choice(&stdout);
        Self {
            out_is_terminal: stdout.is_terminal(),
            out: BufWriter::with_capacity(OUT_BYTES, Box::new(stdout)),
            format: global.output,
            color: choice != anstream::ColorChoice::Never,
            quiet: global.quiet,
            no_headers: global.no_headers,
            progress: global.progress,
        }
    }

    /// Standard output, buffered: nothing is seen before [`Ui::flush`] or the end.
    pub(crate) fn out(&mut self) -> &mut impl Write {
        &mut self.out
    }

    /// Lets the reader see what was written so far.
    pub(crate) fn flush(&mut self) -> Outcome {
        Ok(self.out.flush()?)
    }

    /// The format for many records: a table for people, one JSON object per line for programs.
    pub(crate) fn records_format(&self) -> Format {
        let default = if self.out_is_terminal {
            Format::Table
        } else {
            Format::Ndjson
        };
        self.format.unwrap_or(default)
    }

    /// The format for one answer: words unless asked otherwise.
    pub(crate) fn answer_format(&self) -> Format {
        self.format.unwrap_or(Format::Table)
    }

    /// Asks for this format from here on.
    pub(crate) fn set_format(&mut self, format: Format) {
        self.format = Some(format);
    }

    /// Columns of the terminal, or a width that suits a pipe.
    pub(crate) fn width(&self) -> usize {
        if !self.out_is_terminal {
            return 160;
        }
        rustix::termios::tcgetwinsize(io::stdout())
            .map_or(100, |size| usize::from(size.ws_col))
            .max(40)
    }

    /// One answer: as words, or as one JSON value.
    pub(crate) fn answer(&mut self, words: &str, json: &serde_json::Value) -> Outcome {
        match self.answer_format() {
            Format::Table => {
                if !self.quiet {
                    writeln!(self.out, "{words}")?;
                }
            }
            Format::Json => writeln!(self.out, "{json:#}")?,
            Format::Ndjson => writeln!(self.out, "{json}")?,
        }
        Ok(())
    }

    /// A word to the person, on standard error.
    pub(crate) fn note(&mut self, text: impl fmt::Display) {
        if !self.quiet {
            say(format_args!("{}", escape::words(&text.to_string())));
        }
    }

    /// Something is not as it should be, and the command goes on.
    pub(crate) fn warn(&mut self, text: impl fmt::Display) {
        let style = AnsiColor::Yellow.on_default().bold();
        say(format_args!(
            "{style}warning:{style:#} {}",
            escape::words(&text.to_string())
        ));
    }

    /// Something failed, and the command goes on.
    pub(crate) fn error(&mut self, failure: &Failure) {
        let style = AnsiColor::Red.on_default().bold();
        say(format_args!(
            "{style}error:{style:#} {}",
            escape::words(&failure.message)
        ));
        if let Some(hint) = &failure.hint {
            let style = AnsiColor::Cyan.on_default().bold();
            say(format_args!(
                "{style}hint:{style:#} {}",
                escape::words(hint)
            ));
        }
    }

    /// `text` in this style if colour is on.
    pub(crate) fn styled(&self, style: Style, text: &str) -> String {
        if self.color {
            format!("{style}{text}{style:#}")
        } else {
            text.to_owned()
        }
    }

    /// Progress of a long command.
    pub(crate) fn progress(
        &self,
        clock: std::sync::Arc<dyn factum_io::Clock>,
    ) -> progress::Progress {
        let mode = match self.progress {
            ProgressMode::Auto if self.quiet => ProgressMode::None,
            ProgressMode::Auto if io::stderr().is_terminal() => ProgressMode::Bar,
            ProgressMode::Auto => ProgressMode::None,
            other => other,
        };
        progress::Progress::new(mode, clock)
    }

    /// Asks before something that cannot be undone; `yes` answers in advance.
    pub(crate) fn confirm(&mut self, question: &str, yes: bool) -> Outcome {
        self.flush()?;
        if yes {
            Ok(())
        } else {
            prompt::confirm(question)
        }
    }

    /// Writes out what is buffered; an error in that counts only if nothing failed before.
    pub(crate) fn finish(&mut self, outcome: Outcome) -> Outcome {
        let flushed = self.out.flush().map_err(Failure::from);
        outcome.and(flushed)
    }

    /// Says what went wrong, if anything, and gives the exit code.
    pub(crate) fn report(&mut self, outcome: Outcome) -> Exit {
        let Err(failure) = outcome else {
            return Exit::Ok;
        };
        if !failure.silent {
            self.error(&failure);
            if matches!(self.format, Some(Format::Json | Format::Ndjson)) {
                let error = serde_json::json!({ "error": {
                    "kind": failure.kind,
                    "message": failure.message,
                    "hint": failure.hint,
                    "exit": failure.exit.code(),
                }});
                say(format_args!("{error}"));
            }
        }
        failure.exit
    }
}

/// One line on standard error. That it cannot be written is nothing anyone could be told.
fn say(line: fmt::Arguments<'_>) {
    drop(writeln!(anstream::stderr().lock(), "{line}"));
}

impl fmt::Debug for Ui {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ui")
            .field("format", &self.format)
            .finish_non_exhaustive()
    }
}
