//! The events of a loan application, as the bank's system wrote them: 24 types, three families.
//!
//! | names | what they are | `lifecycle` |
//! |---|---|---|
//! | `A_…` | the application goes on | always `COMPLETE` |
//! | `O_…` | an offer to the applicant goes on; offers have no number in the log | always `COMPLETE` |
//! | `W_…` | somebody at the bank works on it, in Dutch | `SCHEDULE`, `START` or `COMPLETE` |
//!
//! Relies on: nothing. Never: changes a byte; what is decoded and encoded again is what was stored.

use std::fmt;

use factum::Event;
use serde::de::{Error, Unexpected, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// What may happen to an application.
#[derive(Event, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[event(lock = LOCK, golden = GOLDEN)]
#[expect(missing_docs, reason = "the stored names say it")]
pub enum LoanEvent {
    #[event(name = "A_SUBMITTED")]
    Submitted {
        #[serde(rename = "REG_DATE")]
        registered: String,
        #[serde(rename = "AMOUNT_REQ")]
        amount: Amount,
        lifecycle: Done,
    },
    #[event(name = "A_PARTLYSUBMITTED")]
    PartlySubmitted { lifecycle: Done },
    #[event(name = "A_PREACCEPTED")]
    PreAccepted { lifecycle: Done },
    #[event(name = "A_ACCEPTED")]
    Accepted { lifecycle: Done },
    #[event(name = "A_FINALIZED")]
    Finalized { lifecycle: Done },
    #[event(name = "A_APPROVED")]
    Approved { lifecycle: Done },
    #[event(name = "A_REGISTERED")]
    Registered { lifecycle: Done },
    #[event(name = "A_ACTIVATED")]
    Activated { lifecycle: Done },
    #[event(name = "A_DECLINED")]
    Declined { lifecycle: Done },
    #[event(name = "A_CANCELLED")]
    Cancelled { lifecycle: Done },
    #[event(name = "O_SELECTED")]
    OfferSelected { lifecycle: Done },
    #[event(name = "O_CREATED")]
    OfferCreated { lifecycle: Done },
    #[event(name = "O_SENT")]
    OfferSent { lifecycle: Done },
    #[event(name = "O_SENT_BACK")]
    OfferSentBack { lifecycle: Done },
    #[event(name = "O_ACCEPTED")]
    OfferAccepted { lifecycle: Done },
    #[event(name = "O_DECLINED")]
    OfferDeclined { lifecycle: Done },
    #[event(name = "O_CANCELLED")]
    OfferCancelled { lifecycle: Done },
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

/// Which shapes are stored; a build with another shape fails, and says what to write.
const LOCK: &str = include_str!("../events.lock");
/// A stored event of every kind, made up in the shape of real ones.
const GOLDEN: &str = include_str!("../golden.ndjson");

/// The one thing that happens to applications and offers: it is done.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Done {
    /// Done.
    #[default]
    #[serde(rename = "COMPLETE")]
    Complete,
}

/// What happens to a piece of work.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
#[serde(rename_all = "UPPERCASE")]
pub enum Phase {
    /// It is put on somebody's list.
    Schedule,
    /// Somebody begins.
    Start,
    /// They put it down. It may be taken up again: in the log, that is how pauses look.
    Complete,
}

/// A kind of work.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Task {
    /// `W_Afhandelen leads`: an application that came in incomplete is followed up.
    LeadHandling,
    /// `W_Beoordelen fraude`: a suspicion of fraud is looked into.
    FraudAssessment,
    /// `W_Completeren aanvraag`: what is missing is filled in with the applicant.
    Completion,
    /// `W_Nabellen incomplete dossiers`: the applicant is called because papers are missing.
    DocumentChase,
    /// `W_Nabellen offertes`: the applicant is called about an offer.
    OfferFollowUp,
    /// `W_Valideren aanvraag`: the application is assessed.
    Validation,
    /// `W_Wijzigen contractgegevens`: the contract is changed.
    ContractChange,
}

impl Task {
    /// All of them, in order.
    pub const ALL: [Self; 7] = [
        Self::LeadHandling,
        Self::FraudAssessment,
        Self::Completion,
        Self::DocumentChase,
        Self::OfferFollowUp,
        Self::Validation,
        Self::ContractChange,
    ];

    /// The event of this kind of work.
    #[must_use]
    pub const fn event(self, lifecycle: Phase) -> LoanEvent {
        match self {
            Self::LeadHandling => LoanEvent::LeadHandling { lifecycle },
            Self::FraudAssessment => LoanEvent::FraudAssessment { lifecycle },
            Self::Completion => LoanEvent::Completion { lifecycle },
            Self::DocumentChase => LoanEvent::DocumentChase { lifecycle },
            Self::OfferFollowUp => LoanEvent::OfferFollowUp { lifecycle },
            Self::Validation => LoanEvent::Validation { lifecycle },
            Self::ContractChange => LoanEvent::ContractChange { lifecycle },
        }
    }
}

impl LoanEvent {
    /// Which work it is about, and what happens to it; `None` for events of the application and its offers.
    #[must_use]
    pub const fn work(&self) -> Option<(Task, Phase)> {
        Some(match self {
            Self::LeadHandling { lifecycle } => (Task::LeadHandling, *lifecycle),
            Self::FraudAssessment { lifecycle } => (Task::FraudAssessment, *lifecycle),
            Self::Completion { lifecycle } => (Task::Completion, *lifecycle),
            Self::DocumentChase { lifecycle } => (Task::DocumentChase, *lifecycle),
            Self::OfferFollowUp { lifecycle } => (Task::OfferFollowUp, *lifecycle),
            Self::Validation { lifecycle } => (Task::Validation, *lifecycle),
            Self::ContractChange { lifecycle } => (Task::ContractChange, *lifecycle),
            _ => return None,
        })
    }
}

/// An amount of money in whole euros. The log has it as digits in a string.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Amount(
    /// Euros.
    pub u64,
);

impl Serialize for Amount {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Amount {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Digits;
        impl Visitor<'_> for Digits {
            type Value = Amount;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an amount in digits, as a string")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Amount, E> {
                let euros = text.parse();
                euros
                    .map(Amount)
                    .map_err(|_not_digits| E::invalid_value(Unexpected::Str(text), &self))
            }
        }
        deserializer.deserialize_str(Digits)
    }
}
