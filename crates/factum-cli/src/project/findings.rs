//! What a check found, all of it, in the order of the file.

use std::io::Write as _;
use std::path::Path;

use anstyle::AnsiColor;
use serde_json::{Value, json};

use crate::cli::Format;
use crate::context::Context;
use crate::exit::Exit;
use crate::failure::{Failure, Outcome};
use crate::ui::escape;

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Level {
    /// It cannot work.
    Error,
    /// It may not be meant so.
    Warning,
}

/// Something a check found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Finding {
    pub(crate) level: Level,
    pub(crate) line: Option<usize>,
    pub(crate) what: String,
}

/// Everything that a check found in one file.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    all: Vec<Finding>,
    /// The code that the worst of it ends with.
    exit: Option<Exit>,
}

impl Findings {
    pub(crate) fn error(&mut self, line: impl Into<Option<usize>>, what: impl Into<String>) {
        self.add(Level::Error, line.into(), what.into());
        self.exit = Some(Exit::Error);
    }

    pub(crate) fn warning(&mut self, line: impl Into<Option<usize>>, what: impl Into<String>) {
        self.add(Level::Warning, line.into(), what.into());
    }

    /// A failure of something outside of the file.
    pub(crate) fn failure(&mut self, failure: Failure) {
        let hint = failure.hint.map(|hint| format!(" ({hint})"));
        let what = format!("{}{}", failure.message, hint.unwrap_or_default());
        self.add(Level::Error, None, what);
        self.exit.get_or_insert(failure.exit);
    }

    fn add(&mut self, level: Level, line: Option<usize>, what: String) {
        let finding = Finding { level, line, what };
        if !self.all.contains(&finding) {
            self.all.push(finding);
        }
    }

    fn count(&self, level: Level) -> usize {
        self.all.iter().filter(|it| it.level == level).count()
    }

    /// Prints what was found, and fails when something cannot work.
    pub(crate) fn print(mut self, path: &Path, context: &mut Context) -> Outcome {
        self.all
            .sort_by_key(|it| (it.line.is_none(), it.line, it.level));
        let (errors, warnings) = (self.count(Level::Error), self.count(Level::Warning));
        let ui = &mut context.ui;
        if ui.answer_format() == Format::Table {
            for found in &self.all {
                let line = found
                    .line
                    .map_or_else(String::new, |line| format!("{line}:"));
                let (word, colour) = match found.level {
                    Level::Error => ("error:", AnsiColor::Red),
                    Level::Warning => ("warning:", AnsiColor::Yellow),
                };
                let word = ui.styled(colour.on_default().bold(), word);
                let what = escape::words(&found.what).into_owned();
                writeln!(ui.out(), "{}:{line} {word} {what}", path.display())?;
            }
            if errors == 0 && !ui.quiet {
                let also = match warnings {
                    0 => "no mistakes".to_owned(),
                    count => format!(
                        "no mistakes, {count} warning{}",
                        if count == 1 { "" } else { "s" }
                    ),
                };
                writeln!(ui.out(), "{}: {also}", path.display())?;
            }
        } else {
            ui.answer("", &self.json(path))?;
        }
        match self.exit {
            None => Ok(()),
            Some(exit) => {
                let message = format!(
                    "{} has {errors} mistake{}",
                    path.display(),
                    if errors == 1 { "" } else { "s" }
                );
                Err(Failure::new(exit, "invalid", message))
            }
        }
    }

    fn json(&self, path: &Path) -> Value {
        let all = self.all.iter().map(|found| {
            json!({
                "level": match found.level { Level::Error => "error", Level::Warning => "warning" },
                "line": found.line,
                "what": found.what,
            })
        });
        json!({
            "file": path.display().to_string(),
            "ok": self.exit.is_none(),
            "findings": all.collect::<Vec<_>>(),
        })
    }
}
