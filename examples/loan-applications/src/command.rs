//! What may be asked of an application, and why it is refused.

use crate::application::Status;
use crate::event::{Amount, Done, LoanEvent, Phase, Task};

/// What may be asked. Each command has one event, so that a real event tells which command it was.
#[derive(Clone, Debug, PartialEq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum LoanCommand {
    Submit { registered: String, amount: Amount },
    Submission(Step),
    Offer(OfferStep),
    Schedule(Task),
    Start(Task),
    Complete(Task),
}

/// A step of the application after it was submitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Step {
    SubmitPartly,
    PreAccept,
    Accept,
    Finalize,
    Approve,
    Register,
    Activate,
    Decline,
    Cancel,
}

/// A step of an offer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum OfferStep {
    Select,
    Create,
    Send,
    SendBack,
    Accept,
    Decline,
    Cancel,
}

/// Why nothing happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub enum Refusal {
    /// The application is not where this can be done.
    #[error("not possible for an application that is {0:?}")]
    NotNow(Status),
    /// It was done before.
    #[error("it was done before")]
    Again,
    /// No offer is at the stage that this begins from.
    #[error("no offer is there for it")]
    NoOffer,
    /// Nothing was scheduled that is not under way already.
    #[error("no {0:?} is scheduled")]
    NotScheduled(Task),
    /// Nobody is at it.
    #[error("no {0:?} is under way")]
    NotUnderWay(Task),
}

impl From<&LoanEvent> for LoanCommand {
    /// The command that this event answers.
    fn from(event: &LoanEvent) -> Self {
        use LoanEvent as E;
        match event {
            E::Submitted {
                registered, amount, ..
            } => Self::Submit {
                registered: registered.clone(),
                amount: *amount,
            },
            E::PartlySubmitted { .. } => Self::Submission(Step::SubmitPartly),
            E::PreAccepted { .. } => Self::Submission(Step::PreAccept),
            E::Accepted { .. } => Self::Submission(Step::Accept),
            E::Finalized { .. } => Self::Submission(Step::Finalize),
            E::Approved { .. } => Self::Submission(Step::Approve),
            E::Registered { .. } => Self::Submission(Step::Register),
            E::Activated { .. } => Self::Submission(Step::Activate),
            E::Declined { .. } => Self::Submission(Step::Decline),
            E::Cancelled { .. } => Self::Submission(Step::Cancel),
            E::OfferSelected { .. } => Self::Offer(OfferStep::Select),
            E::OfferCreated { .. } => Self::Offer(OfferStep::Create),
            E::OfferSent { .. } => Self::Offer(OfferStep::Send),
            E::OfferSentBack { .. } => Self::Offer(OfferStep::SendBack),
            E::OfferAccepted { .. } => Self::Offer(OfferStep::Accept),
            E::OfferDeclined { .. } => Self::Offer(OfferStep::Decline),
            E::OfferCancelled { .. } => Self::Offer(OfferStep::Cancel),
            E::LeadHandling { lifecycle } => Self::work(Task::LeadHandling, *lifecycle),
            E::FraudAssessment { lifecycle } => Self::work(Task::FraudAssessment, *lifecycle),
            E::Completion { lifecycle } => Self::work(Task::Completion, *lifecycle),
            E::DocumentChase { lifecycle } => Self::work(Task::DocumentChase, *lifecycle),
            E::OfferFollowUp { lifecycle } => Self::work(Task::OfferFollowUp, *lifecycle),
            E::Validation { lifecycle } => Self::work(Task::Validation, *lifecycle),
            E::ContractChange { lifecycle } => Self::work(Task::ContractChange, *lifecycle),
        }
    }
}

impl LoanCommand {
    const fn work(task: Task, phase: Phase) -> Self {
        match phase {
            Phase::Schedule => Self::Schedule(task),
            Phase::Start => Self::Start(task),
            Phase::Complete => Self::Complete(task),
        }
    }
}

impl Step {
    /// What happens when it is taken.
    #[must_use]
    pub const fn event(self) -> LoanEvent {
        let lifecycle = Done::Complete;
        match self {
            Self::SubmitPartly => LoanEvent::PartlySubmitted { lifecycle },
            Self::PreAccept => LoanEvent::PreAccepted { lifecycle },
            Self::Accept => LoanEvent::Accepted { lifecycle },
            Self::Finalize => LoanEvent::Finalized { lifecycle },
            Self::Approve => LoanEvent::Approved { lifecycle },
            Self::Register => LoanEvent::Registered { lifecycle },
            Self::Activate => LoanEvent::Activated { lifecycle },
            Self::Decline => LoanEvent::Declined { lifecycle },
            Self::Cancel => LoanEvent::Cancelled { lifecycle },
        }
    }
}

impl OfferStep {
    /// What happens when it is taken.
    #[must_use]
    pub const fn event(self) -> LoanEvent {
        let lifecycle = Done::Complete;
        match self {
            Self::Select => LoanEvent::OfferSelected { lifecycle },
            Self::Create => LoanEvent::OfferCreated { lifecycle },
            Self::Send => LoanEvent::OfferSent { lifecycle },
            Self::SendBack => LoanEvent::OfferSentBack { lifecycle },
            Self::Accept => LoanEvent::OfferAccepted { lifecycle },
            Self::Decline => LoanEvent::OfferDeclined { lifecycle },
            Self::Cancel => LoanEvent::OfferCancelled { lifecycle },
        }
    }
}
