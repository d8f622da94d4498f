//! What an administrator does to a sink, beside a runner that goes on.
//!
//! What lives here: [`Manage`] and what it tells. Relies on: commits that compare [`Advance::edits`](crate::Advance::edits). Never: needs a lease,
//! which would fence the runner.

use std::time::Duration;

use factum_framework::{Token, World};
use factum_types::Position;
use futures_core::future::BoxFuture;

use crate::error::{Error, Kind};
use crate::parked::Parked;

/// How long [`reached`] waits before it asks again, at first and at the longest.
const ASK_FIRST: Duration = Duration::from_millis(5);
const ASK_MAX: Duration = Duration::from_millis(100);

/// A generation in a sink.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Generation {
    /// From 1.
    pub number: u32,
    /// Whether readers see it.
    pub live: bool,
    /// Whether readers see it or ever saw it.
    pub published: bool,
    /// Whether it is being filled in bulk, so that it cannot be switched to.
    pub bulk: bool,
    /// The version of the projector that fills it.
    pub version: String,
    /// Up to where everything is applied or parked; `None` before the first event.
    pub checkpoint: Option<Position>,
    /// How often it was claimed.
    pub epoch: u64,
    /// Whether it is paused.
    pub paused: bool,
    /// How many events wait.
    pub parked: u64,
}

/// Something done by hand. [`State::edit`](crate::State::edit) says what it changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Edit {
    /// Nothing is to be applied until it is resumed.
    Pause,
    /// The end of a pause.
    Resume,
    /// Another attempt at what waits in a partition.
    Retry {
        /// The partition.
        partition: String,
    },
    /// A parked event is given up, and what waits behind it tried.
    Skip {
        /// Where it stands.
        position: Position,
    },
}

/// What becomes of a switch to a generation that is behind the live one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Behind {
    /// Readers must not see the past: it is refused.
    #[default]
    Refuse,
    /// Readers may see the past.
    Allow,
}

/// A sink as an administrator sees it, on a connection of its own. A running runner sees an edit with its next commit, and within a second
/// at rest. Whatever a call says of errors, a sink may also answer [`Kind::Denied`]: it does not let us in, or not do this.
pub trait Manage: Send {
    /// The projections that the sink has generations of, by name.
    ///
    /// # Errors
    /// [`Kind::Unavailable`].
    fn projections(&mut self) -> BoxFuture<'_, Result<Vec<String>, Error>>;

    /// The generations of a projection, by number; none when it was never claimed.
    ///
    /// # Errors
    /// [`Kind::Unavailable`].
    fn generations<'a>(
        &'a mut self,
        projection: &'a str,
    ) -> BoxFuture<'a, Result<Vec<Generation>, Error>>;

    /// What waits in a generation, by position, at most this much of it.
    ///
    /// # Errors
    /// [`Kind::Invalid`]: there is no such generation; [`Kind::Unavailable`].
    fn parked<'a>(
        &'a mut self,
        projection: &'a str,
        generation: u32,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<Parked>, Error>>;

    /// Does something by hand, and raises [`State::edits`](crate::State::edits) in the same step.
    ///
    /// # Errors
    /// [`Kind::Invalid`]: there is no such generation, or what [`State::edit`](crate::State::edit) says. [`Kind::Unavailable`]: not known whether it
    /// was done; a repeat is harmless.
    fn edit<'a>(
        &'a mut self,
        projection: &'a str,
        generation: u32,
        edit: Edit,
    ) -> BoxFuture<'a, Result<(), Error>>;

    /// Shows readers this generation, from one moment to the next: none sees a mixture or an absence. The one before stays as it is, and its
    /// runner goes on. Nothing when it is live already.
    ///
    /// # Errors
    /// [`Kind::Invalid`]: there is no such generation, it is being filled in bulk, or it is behind the live one and that is refused.
    /// [`Kind::Unavailable`]: not known whether it was done; a repeat is harmless.
    fn switch<'a>(
        &'a mut self,
        projection: &'a str,
        generation: u32,
        behind: Behind,
    ) -> BoxFuture<'a, Result<(), Error>>;

    /// Removes a generation that readers do not see. Its number is never given again, so a runner that still fills it is fenced for ever.
    ///
    /// # Errors
    /// [`Kind::Invalid`]: there is no such generation, or it is live. [`Kind::Unavailable`]: not known whether it was done.
    fn drop_generation<'a>(
        &'a mut self,
        projection: &'a str,
        generation: u32,
    ) -> BoxFuture<'a, Result<(), Error>>;

    /// The generation that readers see; `None` when there is none.
    ///
    /// # Errors
    /// [`Kind::Unavailable`].
    fn live<'a>(
        &'a mut self,
        projection: &'a str,
    ) -> BoxFuture<'a, Result<Option<Generation>, Error>> {
        Box::pin(async move {
            let all = self.generations(projection).await?;
            Ok(all.into_iter().find(|generation| generation.live))
        })
    }

    /// Shows readers the newest generation again that they saw and that is older than the live one, as far as that is; gives its number.
    ///
    /// # Errors
    /// [`Kind::Invalid`]: there is none. [`Kind::Unavailable`].
    fn switch_back<'a>(&'a mut self, projection: &'a str) -> BoxFuture<'a, Result<u32, Error>> {
        Box::pin(async move {
            let all = self.generations(projection).await?;
            let live = all.iter().find(|it| it.live).map(|it| it.number);
            let mut before = all.iter().rev();
            let before = before.find(|it| it.published && Some(it.number) < live);
            let Some(before) = before else {
                let what = format!("projection {projection} has no generation to go back to");
                return Err(Error::new(Kind::Invalid, what));
            };
            self.switch(projection, before.number, Behind::Allow)
                .await?;
            Ok(before.number)
        })
    }
}

/// Waits until what readers see of a projection has come so far, kept by whichever process, and says whether it has within this time. In the
/// process of the runner, [`Monitor::reached`](crate::Monitor::reached) is faster.
///
/// It asks the sink again and again, at first after 5 ms and at the longest each tenth of a second. A parked write counts as reached.
///
/// # Errors
/// [`Kind::Invalid`]: the sink has no live generation of this projection. [`Kind::Unavailable`]: it does not answer.
///
/// # Cancel safety
/// It may be dropped at any point.
pub async fn reached(
    sink: &mut impl Manage,
    projection: &str,
    token: Token,
    world: &World,
    timeout: Duration,
) -> Result<bool, Error> {
    let now = || Duration::from_nanos(world.clock.monotonic_ns());
    let end = now().saturating_add(timeout);
    let mut pause = ASK_FIRST;
    loop {
        let Some(live) = sink.live(projection).await? else {
            let what = format!("projection {projection} has no live generation");
            return Err(Error::invalid(what));
        };
        if live.checkpoint >= token.0 {
            return Ok(true);
        }
        let left = end.saturating_sub(now());
        if left.is_zero() {
            return Ok(false);
        }
        world.timer.wait(pause.min(left)).await;
        pause = (pause * 2).min(ASK_MAX);
    }
}

/// Checks a switch, given all generations of a projection: what every sink does in the same step in which it switches.
///
/// # Errors
/// [`Kind::Invalid`]: as [`Manage::switch`] says.
pub fn check_switch(
    projection: &str,
    all: &[Generation],
    generation: u32,
    behind: Behind,
) -> Result<(), Error> {
    let to = find(projection, all, generation)?;
    if to.bulk {
        let what = format!(
            "generation {generation} of {projection} is being filled in bulk: finish that first"
        );
        return Err(Error::invalid(what));
    }
    let live = all.iter().find(|it| it.live);
    match live.filter(|live| live.checkpoint > to.checkpoint && behind == Behind::Refuse) {
        Some(live) => Err(Error::invalid(format!(
            "generation {generation} of {projection} is behind generation {}, which is live",
            live.number
        ))),
        None => Ok(()),
    }
}

/// Checks a drop, given all generations of a projection.
///
/// # Errors
/// [`Kind::Invalid`]: as [`Manage::drop_generation`] says.
pub fn check_drop(projection: &str, all: &[Generation], generation: u32) -> Result<(), Error> {
    if find(projection, all, generation)?.live {
        let what = format!("generation {generation} of {projection} is live; switch first");
        return Err(Error::invalid(what));
    }
    Ok(())
}

/// The error of kind [`Kind::Invalid`] over a generation that is not there.
#[must_use]
pub fn no_generation(projection: &str, generation: u32) -> Error {
    Error::invalid(format!(
        "projection {projection} has no generation {generation}"
    ))
}

/// The error of kind [`Kind::Outdated`] over a generation that another version of the projector filled.
#[must_use]
pub fn other_version(projection: &str, generation: u32, theirs: &str, ours: &str) -> Error {
    Error::outdated(format!(
        "generation {generation} of {projection} was filled by version {theirs:?} of its projector, this is version {ours:?}"
    ))
}

fn find<'a>(projection: &str, all: &'a [Generation], number: u32) -> Result<&'a Generation, Error> {
    let found = all.iter().find(|generation| generation.number == number);
    found.ok_or_else(|| no_generation(projection, number))
}
