//! What the sink remembers, as points of a database of its own.
//!
//! | measurement         | tags                                | field                                                    |
//! |---------------------|-------------------------------------|----------------------------------------------------------|
//! | `factum_projection` | projection                          | `kept`: which generations there are, and the live one     |
//! | `factum_database`   | database                            | `kept`: the projection that it belongs to                 |
//! | `factum_claim`      | projection, generation, epoch, claim | `kept`: 1                                                |
//! | `factum_head`       | projection, generation, epoch       | `kept`: checkpoint, and where what is parked is           |
//! | `factum_lot`        | projection, generation, lot, part   | `kept`: a part of what is parked                          |
//! | `factum_edit`       | projection, generation, edit        | `kept`: what is to be done by hand                        |
//!
//! All at the time 0, so that writing again replaces. There is no write under a condition: each epoch has a head of its own, so that a runner that
//! was replaced writes where nobody looks any more.
//!
//! Relies on: that what was acknowledged is read afterwards. Never: relies on something being deleted.

use factum_http_client::stored;
use factum_projection::{Edit, Error, Kind, Lease, State};
use factum_types::Position;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use crate::InfluxSink;
use crate::line::Line;
use crate::server::{Found, name, text};

/// How much of what is parked stands in one field; they hold 64 KiB.
const PART_BYTES: usize = 32 << 10;
/// How many points of what is parked are asked for.
const PARTS_MAX: u32 = 1 << 20;

#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct Projection {
    pub(crate) live: Option<u32>,
    pub(crate) newest: u32,
    pub(crate) generations: Vec<Known>,
    /// Generations that are being dropped, as long as something may be left of them.
    #[serde(default)]
    pub(crate) dropping: Vec<u32>,
}

/// A generation, as the projection knows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Known {
    pub(crate) number: u32,
    pub(crate) version: String,
    pub(crate) published: bool,
    pub(crate) bulk: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct Head {
    pub(crate) checkpoint: Option<u64>,
    pub(crate) edits: u64,
    pub(crate) paused: bool,
    pub(crate) parked: u64,
    /// The name and the number of parts of what is parked.
    pub(crate) lot: Option<(String, u32)>,
    /// Edits that this head has in it, as far as they are still there to be read.
    pub(crate) done: Vec<String>,
}

/// An [`Edit`], written down.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
enum Kept {
    Pause,
    Resume,
    Retry(String),
    Skip(u64),
}

/// An edit that waits for the runner.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    pub(crate) name: String,
    pub(crate) edit: Edit,
}

/// What stands in the database about a generation.
#[derive(Debug, Clone, Default)]
pub(crate) struct Standing {
    /// The epochs that were claimed, each with the names of the claims, in order.
    pub(crate) claims: Vec<(u64, String)>,
    /// The head of the highest epoch that has one.
    pub(crate) head: Head,
    /// What was asked for and is not in the head, in order.
    pub(crate) asked: Vec<Asked>,
}

impl Standing {
    pub(crate) fn epoch(&self) -> u64 {
        self.claims.last().map_or(0, |(epoch, _)| *epoch)
    }

    pub(crate) fn check(&self, lease: &Lease) -> Result<(), Error> {
        match self.epoch() {
            0 => {
                let (number, name) = (lease.generation, &lease.projection);
                let what = format!("generation {number} of {name} was dropped");
                Err(Error::new(Kind::Fenced, what))
            }
            epoch if epoch == lease.epoch => Ok(()),
            epoch => Err(Error::fenced(&lease.projection, lease.epoch, epoch)),
        }
    }

    /// The state with what was asked for in it, and the names of all that is in it and still there to be read: what the head had already, too,
    /// or it would be done again.
    pub(crate) fn edited(&self, mut state: State) -> (State, Vec<String>) {
        let mut done = self.head.done.clone();
        for asked in &self.asked {
            // What cannot be done any more is done with.
            if state.edit(&asked.edit).is_err() {
                state.edits += 1;
            }
            done.push(asked.name.clone());
        }
        (state, done)
    }
}

pub(crate) fn check_name(projection: &str) -> Result<(), Error> {
    let bad = projection.is_empty()
        || projection.len() > 200
        || projection.ends_with('\\')
        || projection.chars().any(char::is_control);
    if bad {
        return Err(Error::invalid(format!(
            "{projection:?} cannot name a projection here: use 1 to 200 bytes, no control characters, no backslash at the end"
        )));
    }
    Ok(())
}

impl InfluxSink {
    /// Stores a value under these tags.
    pub(crate) async fn keep(
        &self,
        measurement: &str,
        tags: &[(&str, &str)],
        kept: &impl Serialize,
    ) -> Result<(), Error> {
        let kept = serde_json::to_string(kept)
            .map_err(|error| Error::invalid(format!("cannot be written down: {error}")))?;
        let line = Line::new(measurement, tags, &[("kept", kept.into())], 0);
        let line = line.map_err(|error| Error::invalid(error.to_string()))?;
        let written = self.server.write(&self.options.meta, &[line]).await;
        // Bookkeeping that fails is no fault of an event.
        written.map_err(|error| match error.kind() {
            Kind::Refused => Error::invalid(error.to_string()),
            _ => error,
        })
    }

    pub(crate) async fn projection(&self, projection: &str) -> Result<Option<Projection>, Error> {
        let statement = format!(
            "SELECT kept, projection FROM factum_projection WHERE projection = {}",
            text(projection)
        );
        let found = self.server.ask(&self.options.meta, &[statement]).await?;
        let found = found.into_iter().flatten().next();
        found.map(|found| kept(&found)).transpose()
    }

    pub(crate) async fn keep_projection(
        &self,
        name: &str,
        projection: &Projection,
    ) -> Result<(), Error> {
        self.keep("factum_projection", &[("projection", name)], projection)
            .await
    }

    /// The projection that a database belongs to.
    pub(crate) async fn owner(&self) -> Result<Option<String>, Error> {
        let database = text(&self.options.database);
        let statement = format!(
            "SELECT kept, \"database\" FROM factum_database WHERE \"database\" = {database}"
        );
        let found = self.server.ask(&self.options.meta, &[statement]).await?;
        let found = found.into_iter().flatten().next();
        found.map(|found| kept(&found)).transpose()
    }

    pub(crate) async fn standing(
        &self,
        projection: &str,
        generation: u32,
    ) -> Result<Standing, Error> {
        let of = format!(
            "projection = {} AND generation = '{generation}'",
            text(projection)
        );
        let statements = [
            format!("SELECT kept, epoch, claim FROM factum_claim WHERE {of}"),
            format!("SELECT kept, epoch FROM factum_head WHERE {of}"),
            format!("SELECT kept, edit FROM factum_edit WHERE {of}"),
        ];
        let mut found = self
            .server
            .ask(&self.options.meta, &statements)
            .await?
            .into_iter();
        let (claims, heads, edits) = (found.next(), found.next(), found.next());
        let mut standing = Standing::default();
        for claim in claims.into_iter().flatten() {
            standing
                .claims
                .push((number(&claim, "epoch")?, word(&claim, "claim")?));
        }
        standing.claims.sort();
        let mut newest = 0;
        for head in heads.into_iter().flatten() {
            let epoch = number(&head, "epoch")?;
            if epoch > newest {
                newest = epoch;
                standing.head = kept(&head)?;
            }
        }
        let mut there = Vec::new();
        for edit in edits.into_iter().flatten() {
            let name = word(&edit, "edit")?;
            if !standing.head.done.contains(&name) {
                let edit = kept::<Kept>(&edit)?.into();
                let name = name.clone();
                standing.asked.push(Asked { name, edit });
            }
            there.push(name);
        }
        standing.head.done.retain(|name| there.contains(name));
        standing
            .asked
            .sort_by(|one, other| one.name.cmp(&other.name));
        Ok(standing)
    }

    /// What a head says, with what is parked.
    pub(crate) async fn state(&self, lease: (&str, u32), head: &Head) -> Result<State, Error> {
        let mut all = String::new();
        if let Some((lot, parts)) = &head.lot {
            let statement = format!(
                "SELECT kept, part FROM factum_lot WHERE projection = {} AND generation = '{}' AND lot = {}",
                text(lease.0),
                lease.1,
                text(lot)
            );
            let found = self.server.ask(&self.options.meta, &[statement]).await?;
            let mut found: Vec<(u64, String)> = found
                .iter()
                .flatten()
                .map(|part| Ok((number(part, "part")?, kept(part)?)))
                .collect::<Result<_, Error>>()?;
            found.sort();
            if found.len() as u64 != u64::from(*parts) {
                return Err(Error::unavailable("what is parked changed meanwhile"));
            }
            all.extend(found.into_iter().map(|(_, part)| part));
        }
        let parked = if all.is_empty() {
            Ok(Default::default())
        } else {
            stored::read(&all)
        };
        Ok(State {
            checkpoint: head.checkpoint.map(Position::from_raw),
            parked: parked?,
            paused: head.paused,
            edits: head.edits,
        })
    }

    /// Stores what is parked under a new name, and gives the head that has it, which is not stored yet.
    pub(crate) async fn keep_lot(&self, lease: &Lease, state: &State) -> Result<Head, Error> {
        let mut head = Head {
            checkpoint: state.checkpoint.map(Position::raw),
            edits: state.edits,
            paused: state.paused,
            parked: state.parked.len() as u64,
            lot: None,
            done: Vec::new(),
        };
        if state.parked.is_empty() {
            return Ok(head);
        }
        let lot = format!("{:016x}", self.random.next_u64());
        let all = stored::write(&state.parked)?;
        let (mut rest, mut part) = (all.as_str(), 0_u32);
        let generation = lease.generation.to_string();
        while !rest.is_empty() && part < PARTS_MAX {
            let (now, later) = rest.split_at(rest.floor_char_boundary(PART_BYTES));
            let number = part.to_string();
            let tags = [
                ("projection", lease.projection.as_str()),
                ("generation", generation.as_str()),
                ("lot", lot.as_str()),
                ("part", number.as_str()),
            ];
            self.keep("factum_lot", &tags, &now).await?;
            rest = later;
            part += 1;
        }
        head.lot = Some((lot, part));
        Ok(head)
    }

    pub(crate) async fn keep_head(&self, lease: &Lease, head: &Head) -> Result<(), Error> {
        let (generation, epoch) = (lease.generation.to_string(), lease.epoch.to_string());
        let tags = [
            ("projection", lease.projection.as_str()),
            ("generation", generation.as_str()),
            ("epoch", epoch.as_str()),
        ];
        self.keep("factum_head", &tags, head).await
    }

    pub(crate) async fn keep_edit(
        &self,
        projection: &str,
        generation: u32,
        edit: &Edit,
    ) -> Result<(), Error> {
        let micros = self.clock.now_us();
        // In the order in which they were asked for, as far as clocks know it.
        let edit_name = format!("{micros:020}-{:016x}", self.random.next_u64());
        let generation = generation.to_string();
        let tags = [
            ("projection", projection),
            ("generation", generation.as_str()),
            ("edit", edit_name.as_str()),
        ];
        let kept = match edit {
            Edit::Pause => Kept::Pause,
            Edit::Resume => Kept::Resume,
            Edit::Retry { partition } => Kept::Retry(partition.clone()),
            Edit::Skip { position } => Kept::Skip(position.raw()),
        };
        self.keep("factum_edit", &tags, &kept).await
    }

    /// Deletes what is not read any more; when that fails it is in nobody's way.
    pub(crate) async fn tidy(
        &self,
        projection: &str,
        generation: u32,
        what: &[(&str, &str, &str)],
    ) {
        let of = format!(
            "projection = {} AND generation = '{generation}'",
            text(projection)
        );
        let statements: Vec<String> = what
            .iter()
            .map(|(measurement, tag, value)| {
                format!(
                    "DELETE FROM {} WHERE {of} AND {} = {}",
                    name(measurement),
                    name(tag),
                    text(value)
                )
            })
            .collect();
        if !statements.is_empty() {
            drop(self.server.ask(&self.options.meta, &statements).await);
        }
    }
}

impl From<Kept> for Edit {
    fn from(kept: Kept) -> Self {
        match kept {
            Kept::Pause => Self::Pause,
            Kept::Resume => Self::Resume,
            Kept::Retry(partition) => Self::Retry { partition },
            Kept::Skip(position) => Self::Skip {
                position: Position::from_raw(position),
            },
        }
    }
}

fn kept<T: DeserializeOwned>(found: &Found) -> Result<T, Error> {
    let read = serde_json::from_str(&word(found, "kept")?);
    read.map_err(|error| Error::invalid(format!("what the sink remembers cannot be read: {error}")))
}

fn word(found: &Found, name: &str) -> Result<String, Error> {
    let found = found.get(name).and_then(Json::as_str);
    let bad = || Error::invalid(format!("what the sink remembers has no {name}"));
    found.map(str::to_owned).ok_or_else(bad)
}

fn number(found: &Found, name: &str) -> Result<u64, Error> {
    let word = word(found, name)?;
    word.parse().map_err(|error| {
        Error::invalid(format!(
            "what the sink remembers has the {name} {word:?}: {error}"
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_edit_that_was_not_deleted_is_not_done_again() {
        let asked = |name: &str, edit| Asked {
            name: name.to_owned(),
            edit,
        };
        let mut standing = Standing {
            asked: vec![asked("1", Edit::Pause)],
            ..Standing::default()
        };
        let (state, done) = standing.edited(State::default());
        assert_eq!((state.paused, state.edits), (true, 1));
        assert_eq!(done, ["1"]);
        // The first could not be deleted, and another one comes.
        standing.head.done = done;
        standing.asked = vec![asked("2", Edit::Resume)];
        let (state, done) = standing.edited(state);
        assert_eq!((state.paused, state.edits), (false, 2));
        assert_eq!(done, ["1", "2"]);
    }
}
