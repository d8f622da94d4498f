//! Loan applications, for measuring folds: their events, what they come to, and events of the shape of the real ones.
//!
//! The real log has 262,200 events of 13,087 applications (BPI Challenge 2012). The ones made here have its types, its data, its share of
//! users, and about its lengths and mixture of streams; what they say means nothing.
//! Relies on: the framework's derive. Never: refuses anything; rules are the business of `examples/loan-applications`.

use factum_framework::{Decider, Emit, Env, Event, Snapshots};
use factum_types::RecordedEvent;
use serde::{Deserialize, Serialize};

/// The category of the real streams.
pub(super) const CATEGORY: &str = "loanApplication";

/// What may happen to an application: all 24 types of the real log.
#[derive(Event, Serialize, Deserialize, Clone, Debug, PartialEq)]
pub(super) enum LoanEvent {
    #[event(name = "A_SUBMITTED")]
    Submitted {
        #[serde(rename = "REG_DATE")]
        registered: String,
        #[serde(rename = "AMOUNT_REQ")]
        amount: String,
        lifecycle: Phase,
    },
    #[event(name = "A_PARTLYSUBMITTED")]
    PartlySubmitted { lifecycle: Phase },
    #[event(name = "A_PREACCEPTED")]
    PreAccepted { lifecycle: Phase },
    #[event(name = "A_ACCEPTED")]
    Accepted { lifecycle: Phase },
    #[event(name = "A_FINALIZED")]
    Finalized { lifecycle: Phase },
    #[event(name = "A_APPROVED")]
    Approved { lifecycle: Phase },
    #[event(name = "A_REGISTERED")]
    Registered { lifecycle: Phase },
    #[event(name = "A_ACTIVATED")]
    Activated { lifecycle: Phase },
    #[event(name = "A_DECLINED")]
    Declined { lifecycle: Phase },
    #[event(name = "A_CANCELLED")]
    Cancelled { lifecycle: Phase },
    #[event(name = "O_SELECTED")]
    OfferSelected { lifecycle: Phase },
    #[event(name = "O_CREATED")]
    OfferCreated { lifecycle: Phase },
    #[event(name = "O_SENT")]
    OfferSent { lifecycle: Phase },
    #[event(name = "O_SENT_BACK")]
    OfferSentBack { lifecycle: Phase },
    #[event(name = "O_ACCEPTED")]
    OfferAccepted { lifecycle: Phase },
    #[event(name = "O_DECLINED")]
    OfferDeclined { lifecycle: Phase },
    #[event(name = "O_CANCELLED")]
    OfferCancelled { lifecycle: Phase },
    #[event(name = "W_Afhandelen leads")]
    LeadHandling { lifecycle: Phase },
    #[event(name = "W_Beoordelen fraude")]
    FraudAssessment { lifecycle: Phase },
    #[event(name = "W_Completeren aanvraag")]
    Completion { lifecycle: Phase },
    #[event(name = "W_Nabellen incomplete dossiers")]
    DocumentChase { lifecycle: Phase },
    #[event(name = "W_Nabellen offertes")]
    OfferFollowUp { lifecycle: Phase },
    #[event(name = "W_Valideren aanvraag")]
    Validation { lifecycle: Phase },
    #[event(name = "W_Wijzigen contractgegevens")]
    ContractChange { lifecycle: Phase },
}

/// How far a thing is.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
#[serde(rename_all = "UPPERCASE")]
pub(super) enum Phase {
    Schedule,
    Start,
    Complete,
}

/// The data of any of the events, borrowed where that is possible: the least that must be made of them.
#[derive(Deserialize, Debug)]
pub(super) struct Bare<'a> {
    #[serde(borrow, rename = "REG_DATE")]
    pub(super) registered: Option<&'a str>,
    #[serde(borrow, rename = "AMOUNT_REQ")]
    pub(super) amount: Option<&'a str>,
    pub(super) lifecycle: Phase,
}

/// Where an application stands.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Standing {
    #[default]
    Open,
    Accepted,
    Granted,
    Declined,
    Cancelled,
}

/// An application.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
pub(super) struct Loan {
    standing: Standing,
    amount: u64,
    submitted_us: Option<i64>,
    decided_us: Option<i64>,
    offers_sent: u32,
    offers_answered: u32,
    work_scheduled: u32,
    work_started: u32,
    work_completed: u32,
}

impl Decider for Loan {
    type Command = Vec<LoanEvent>;
    type Event = LoanEvent;
    type Error = std::convert::Infallible;

    fn evolve(&mut self, event: &LoanEvent, recorded: &RecordedEvent) {
        use LoanEvent as E;
        match event {
            E::Submitted { amount, .. } => {
                self.amount = amount.parse().unwrap_or_default();
                self.submitted_us = Some(recorded.time.as_micros());
            }
            E::Accepted { .. } => self.standing = Standing::Accepted,
            E::Approved { .. } | E::Registered { .. } | E::Activated { .. } => {
                self.end(Standing::Granted, recorded);
            }
            E::Declined { .. } => self.end(Standing::Declined, recorded),
            E::Cancelled { .. } => self.end(Standing::Cancelled, recorded),
            E::OfferSent { .. } => self.offers_sent += 1,
            E::OfferAccepted { .. } | E::OfferDeclined { .. } | E::OfferCancelled { .. } => {
                self.offers_answered += 1;
            }
            E::LeadHandling { lifecycle }
            | E::FraudAssessment { lifecycle }
            | E::Completion { lifecycle }
            | E::DocumentChase { lifecycle }
            | E::OfferFollowUp { lifecycle }
            | E::Validation { lifecycle }
            | E::ContractChange { lifecycle } => match lifecycle {
                Phase::Schedule => self.work_scheduled += 1,
                Phase::Start => self.work_started += 1,
                Phase::Complete => self.work_completed += 1,
            },
            E::PartlySubmitted { .. }
            | E::PreAccepted { .. }
            | E::Finalized { .. }
            | E::OfferSelected { .. }
            | E::OfferCreated { .. }
            | E::OfferSentBack { .. } => (),
        }
    }

    fn decide(&self, command: Self::Command, _: &mut Env) -> Result<Emit<LoanEvent>, Self::Error> {
        Ok(command.into())
    }
}

impl Loan {
    fn end(&mut self, standing: Standing, recorded: &RecordedEvent) {
        self.standing = standing;
        self.decided_us.get_or_insert(recorded.time.as_micros());
    }
}

impl Snapshots for Loan {
    fn samples() -> Vec<LoanEvent> {
        made(&mut fastrand::Rng::with_seed(1), 100)
    }
}

/// The events of one application, made by chance; about 20 on average.
pub(super) fn application(random: &mut fastrand::Rng) -> Vec<LoanEvent> {
    use LoanEvent as E;
    use Phase::{Complete, Schedule};
    let lifecycle = Complete;
    let mut events = vec![
        E::Submitted {
            registered: "2011-10-01T00:38:44.546+02:00".to_owned(),
            amount: (random.u64(1..100) * 500).to_string(),
            lifecycle,
        },
        E::PartlySubmitted { lifecycle },
    ];
    if random.u8(..100) < 44 {
        events.push(E::Declined { lifecycle });
        return events;
    }
    events.push(E::PreAccepted { lifecycle });
    sessions(&mut events, random, 5, |lifecycle| E::Completion {
        lifecycle,
    });
    if random.u8(..100) < 30 {
        events.push(E::Cancelled { lifecycle });
        return events;
    }
    events.extend([
        E::Accepted { lifecycle },
        E::OfferSelected { lifecycle },
        E::Finalized { lifecycle },
        E::OfferCreated { lifecycle },
        E::OfferSent { lifecycle },
    ]);
    sessions(&mut events, random, 9, |lifecycle| E::OfferFollowUp {
        lifecycle,
    });
    if random.u8(..100) < 35 {
        events.extend([E::Cancelled { lifecycle }, E::OfferCancelled { lifecycle }]);
        return events;
    }
    events.push(E::OfferSentBack { lifecycle });
    sessions(&mut events, random, 3, |lifecycle| E::Validation {
        lifecycle,
    });
    sessions(&mut events, random, 12, |lifecycle| E::DocumentChase {
        lifecycle,
    });
    events.extend([
        E::Approved { lifecycle },
        E::OfferAccepted { lifecycle },
        E::Registered { lifecycle },
        E::Activated { lifecycle },
        E::ContractChange {
            lifecycle: Schedule,
        },
    ]);
    events
}

/// Work is scheduled, and taken up and put down a few times.
fn sessions(
    events: &mut Vec<LoanEvent>,
    random: &mut fastrand::Rng,
    most: usize,
    event: fn(Phase) -> LoanEvent,
) {
    events.push(event(Phase::Schedule));
    for _ in 0..random.usize(..most) {
        events.extend([event(Phase::Start), event(Phase::Complete)]);
    }
}

/// So many events, of applications one after the other.
pub(super) fn made(random: &mut fastrand::Rng, events: usize) -> Vec<LoanEvent> {
    let all = std::iter::repeat_with(|| application(random)).flatten();
    all.take(events).collect()
}

#[cfg(test)]
mod tests {
    use factum_framework::{Event, kit};

    use super::{Bare, Loan, LoanEvent, application, made};

    #[test]
    fn made_events_are_like_the_real_ones() {
        let mut random = fastrand::Rng::with_seed(7);
        let lengths: Vec<_> = (0..2_000).map(|_| application(&mut random).len()).collect();
        let mean = lengths.iter().sum::<usize>() as f64 / 2_000.0;
        assert!((14.0..26.0).contains(&mean), "{mean}");
        assert!(lengths.iter().all(|length| *length >= 3));
    }

    #[test]
    fn what_is_made_is_sound() {
        for event in made(&mut fastrand::Rng::with_seed(3), 500) {
            let data = event.encode().unwrap();
            assert_eq!(
                LoanEvent::decode(event.kind().name, 1, &data).unwrap(),
                event
            );
            let bare: Bare<'_> = serde_json::from_slice(&data).unwrap();
            assert_eq!(bare.amount.is_some(), bare.registered.is_some());
        }
        let recorded = kit::recorded(&made(&mut fastrand::Rng::with_seed(3), 60)).unwrap();
        let cut = factum_framework::snapshot::differs_from_replay::<Loan>(&recorded);
        assert_eq!(cut.unwrap(), None);
    }
}
