//! Which projection, in which sink: by its file, or by its name and the sink's address.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use factum_projection::declared::{Declared, Secret, SinkPlace};

use super::target::Target;
use crate::failure::{Failure, Outcome};
use crate::fold::declaration;

/// Which sink.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct SinkArgs {
    /// The sink, in place of the one that the file names: sqlite:PATH, and others by their URL
    #[arg(long, value_name = "URL", env = "FACTUM_SINK", hide_env_values = true)]
    sink: Option<String>,
    /// Who logs in to the sink
    #[arg(long, value_name = "NAME")]
    user: Option<String>,
    /// The variable of the environment that holds the password of the sink
    #[arg(long, value_name = "NAME", conflicts_with = "password_file")]
    password_env: Option<String>,
    /// The file that holds the password of the sink
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
}

/// Which projection.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct ProjectionArgs {
    /// The file that declares the projection, or its name, with --sink
    #[arg(value_name = "PROJECTION")]
    projection: String,
    #[command(flatten)]
    sink: SinkArgs,
}

/// A projection that a file declares, and where it goes.
#[derive(Debug, Clone)]
pub(crate) struct Project {
    /// The file.
    pub(crate) path: PathBuf,
    /// What it says.
    pub(crate) declared: Arc<Declared>,
    /// The sink.
    pub(crate) target: Target,
}

/// A projection that is in a sink, by its name.
#[derive(Debug, Clone)]
pub(crate) struct Named {
    /// Its name.
    pub(crate) name: String,
    /// How it was named on the command line, for advice.
    pub(crate) given: String,
    /// The sink.
    pub(crate) target: Target,
}

impl SinkArgs {
    /// The sink of the command line, if it names one.
    pub(crate) fn target(&self) -> Outcome<Option<Target>> {
        let Some(url) = &self.sink else {
            return match (&self.user, &self.password_env, &self.password_file) {
                (None, None, None) => Ok(None),
                _ => Err(Failure::usage("--user and --password-… belong to --sink")),
            };
        };
        let mut place = SinkPlace::new(url);
        place.user.clone_from(&self.user);
        place.password = match (&self.password_env, &self.password_file) {
            (Some(name), _) => Some(Secret::Variable(name.clone())),
            (None, Some(path)) => Some(Secret::File(path.clone())),
            (None, None) => None,
        };
        Target::new(&place, Path::new("")).map(Some)
    }

    /// What a file declares, and the sink: that of the command line, else that of the file.
    pub(crate) fn project(&self, path: &Path) -> Outcome<Project> {
        let declared = read(path)?;
        let target = match (self.target()?, declared.sink()) {
            (Some(target), _) => target,
            (None, Some(place)) => Target::new(place, beside(path))
                .map_err(|failure| failure.while_doing(path.display()))?,
            (None, None) => {
                let message = format!("{} names no sink", path.display());
                let hint = "add a line such as sink = \"sqlite:read.db\", or give --sink";
                return Err(Failure::usage(message).hint(hint));
            }
        };
        Ok(Project {
            path: path.to_owned(),
            declared: Arc::new(declared),
            target,
        })
    }
}

impl ProjectionArgs {
    /// The projection, by its file or its name.
    pub(crate) fn named(&self) -> Outcome<Named> {
        let given = &self.projection;
        if is_file(given) {
            let project = self.sink.project(Path::new(given))?;
            return Ok(Named {
                name: project.declared.name().to_owned(),
                given: given.clone(),
                target: project.target,
            });
        }
        match self.sink.target()? {
            Some(target) => Ok(Named {
                name: given.clone(),
                given: given.clone(),
                target,
            }),
            None => Err(Failure::not_found(format!("there is no file {given}"))
                .hint("name the file of the projection, or its name together with --sink")),
        }
    }
}

/// What a file declares.
pub(crate) fn read(path: &Path) -> Outcome<Declared> {
    Declared::read(&declaration(path)?).map_err(|mistakes| {
        let count = mistakes.iter().count();
        let listed: Vec<_> = mistakes
            .iter()
            .map(|it| format!("{}: {it}", path.display()))
            .collect();
        let failure = Failure::new(crate::exit::Exit::Error, "invalid", listed.join("\n"));
        match count {
            1 => failure,
            _ => failure.hint(format!(
                "{count} mistakes; `factum help project` shows the form of a file"
            )),
        }
    })
}

/// The directory that paths in a file are relative to.
pub(crate) fn beside(path: &Path) -> &Path {
    path.parent().unwrap_or_else(|| Path::new(""))
}

fn is_file(given: &str) -> bool {
    given == "-" || Path::new(given).is_file() || Path::new(given).extension().is_some()
}
