//! What all applications together say: how they ended, how long it took, and whether the rules explain what happened.
//!
//! Relies on: the events in order. Never: changes anything.

use std::collections::{BTreeMap, BTreeSet};

use factum::framework::event::read;
use factum::store::ReadRequest;
use factum::types::Category;
use factum::{Decider, Env, Error, EventStore, Loaded, StreamName};

use crate::application::{LoanApplication, Status};
use crate::command::{LoanCommand, Refusal};
use crate::event::LoanEvent;

/// How applications ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcomes {
    /// How many stand where.
    pub by_status: BTreeMap<Status, usize>,
    /// How long those that were decided took, in microseconds, shortest first.
    pub durations_us: BTreeMap<Status, Vec<i64>>,
    /// What was asked for by those that were granted, in euros.
    pub granted_euros: u64,
    /// Events folded.
    pub events: u64,
}

impl Outcomes {
    /// Of these applications.
    #[must_use]
    pub fn of(applications: &[Loaded<LoanApplication>]) -> Self {
        let mut outcomes = Self::default();
        for loaded in applications {
            let application = &loaded.state;
            *outcomes.by_status.entry(application.status).or_default() += 1;
            outcomes.events += loaded.version;
            if let Some(duration) = application.duration_us() {
                let durations = outcomes.durations_us.entry(application.status).or_default();
                durations.push(duration);
            }
            if application.status == Status::Granted {
                outcomes.granted_euros += application.amount;
            }
        }
        outcomes
            .durations_us
            .values_mut()
            .for_each(|all| all.sort_unstable());
        outcomes
    }

    /// The duration that half of the applications with this outcome did not exceed, in microseconds.
    #[must_use]
    pub fn median_us(&self, status: Status) -> Option<i64> {
        let all = self.durations_us.get(&status)?;
        all.get(all.len() / 2).copied()
    }
}

/// What the decider makes of what really happened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Agreement {
    /// Events.
    pub events: u64,
    /// Events that the decider would have decided, on the same command and in the same state.
    pub agreed: u64,
    /// Streams.
    pub streams: usize,
    /// Which were refused and why: how many events, in which streams.
    pub refused: BTreeMap<(&'static str, Refusal), Refused>,
    /// Events that the decider would have decided otherwise.
    pub different: u64,
}

/// Events that were refused for one reason.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Refused {
    /// How many.
    pub events: u64,
    /// Where.
    pub streams: BTreeSet<StreamName>,
}

impl Agreement {
    /// Streams all of whose events the decider would have decided.
    #[must_use]
    pub fn streams_agreed(&self) -> usize {
        let odd: BTreeSet<_> = self
            .refused
            .values()
            .flat_map(|refused| &refused.streams)
            .collect();
        self.streams - odd.len()
    }

    fn judge(
        &mut self,
        state: &LoanApplication,
        event: &LoanEvent,
        env: &mut Env,
    ) -> Option<Refusal> {
        self.events += 1;
        match state.decide(LoanCommand::from(event), env) {
            Ok(emit) if emit.events() == std::slice::from_ref(event) => self.agreed += 1,
            Ok(_) => self.different += 1,
            Err(refusal) => return Some(refusal),
        }
        None
    }
}

/// Decides every event of a category again, in the state before it.
///
/// # Errors
/// The store's, and [`Kind::Decode`](factum::Kind::Decode) for an event that is none of an application's.
pub async fn agreement(store: &dyn EventStore, category: &str) -> Result<Agreement, Error> {
    let category = Category::new(category).map_err(|error| Error::invalid(error.to_string()))?;
    let mut agreement = Agreement::default();
    let mut states = BTreeMap::<StreamName, LoanApplication>::new();
    let mut events = store.read(ReadRequest::category(category));
    while let Some(recorded) = events.next().await {
        let recorded = recorded?;
        let state = states.entry(recorded.stream.clone()).or_default();
        let mut env = Env::fixed(recorded.time, recorded.stream.as_str());
        for event in read::<LoanEvent>(&recorded)?.as_slice() {
            if let Some(refusal) = agreement.judge(state, event, &mut env) {
                let kind = (factum::Event::kind(event).name, refusal);
                let refused = agreement.refused.entry(kind).or_default();
                refused.events += 1;
                refused.streams.insert(recorded.stream.clone());
            }
            state.evolve(event, &recorded);
        }
    }
    agreement.streams = states.len();
    Ok(agreement)
}
