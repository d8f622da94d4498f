//! The rules, one by one.

use factum::framework::kit;
use loan_applications::command::{OfferStep, Step};
use loan_applications::event::{Amount, Done, Phase, Task};
use loan_applications::{LoanApplication, LoanCommand, LoanEvent, Refusal, Status};

fn submitted() -> LoanEvent {
    LoanEvent::Submitted {
        registered: "2024-02-01T09:00:00.120+01:00".into(),
        amount: Amount(3_000),
        lifecycle: Done::Complete,
    }
}

/// An application as far as its offer, which is sent.
fn with_an_offer_out() -> Vec<LoanEvent> {
    let mut events = vec![submitted()];
    let steps = [
        Step::SubmitPartly,
        Step::PreAccept,
        Step::Accept,
        Step::Finalize,
    ];
    events.extend(steps.map(Step::event));
    let offer = [OfferStep::Select, OfferStep::Create, OfferStep::Send];
    events.extend(offer.map(OfferStep::event));
    events
}

#[test]
fn the_domain_is_sound() {
    kit::check::<LoanApplication>();
}

#[test]
fn an_application_goes_step_by_step() {
    kit::given::<LoanApplication>([])
        .when(LoanCommand::Submission(Step::Accept))
        .rejects(&Refusal::NotNow(Status::New));
    kit::given::<LoanApplication>([submitted()])
        .when(LoanCommand::from(&submitted()))
        .rejects(&Refusal::NotNow(Status::Submitted));
    kit::given::<LoanApplication>([submitted(), Step::SubmitPartly.event()])
        .when(LoanCommand::Submission(Step::Decline))
        .then([Step::Decline.event()]);
    kit::given::<LoanApplication>([
        submitted(),
        Step::SubmitPartly.event(),
        Step::Decline.event(),
    ])
    .when(LoanCommand::Submission(Step::PreAccept))
    .rejects(&Refusal::NotNow(Status::Declined));
}

#[test]
fn nothing_is_granted_without_an_offer() {
    let before_offer = with_an_offer_out().into_iter().take(5);
    kit::given::<LoanApplication>(before_offer)
        .when(LoanCommand::Submission(Step::Approve))
        .rejects(&Refusal::NoOffer);
    kit::given::<LoanApplication>(with_an_offer_out())
        .when(LoanCommand::Submission(Step::Approve))
        .then([Step::Approve.event()]);
    let approved = with_an_offer_out()
        .into_iter()
        .chain([Step::Approve.event()]);
    kit::given::<LoanApplication>(approved)
        .when(LoanCommand::Submission(Step::Approve))
        .rejects(&Refusal::Again);
}

#[test]
fn an_offer_ends_as_its_application_does() {
    let cancelled = || {
        with_an_offer_out()
            .into_iter()
            .chain([Step::Cancel.event()])
    };
    kit::given::<LoanApplication>(cancelled())
        .when(LoanCommand::Offer(OfferStep::Accept))
        .rejects(&Refusal::NotNow(Status::Cancelled));
    kit::given::<LoanApplication>(cancelled())
        .when(LoanCommand::Offer(OfferStep::Cancel))
        .then([OfferStep::Cancel.event()]);
    let gone = cancelled().chain([OfferStep::Cancel.event()]);
    kit::given::<LoanApplication>(gone)
        .when(LoanCommand::Offer(OfferStep::Cancel))
        .rejects(&Refusal::NoOffer);
}

#[test]
fn work_is_scheduled_begun_and_put_down() {
    let task = Task::Validation;
    let scheduled = || {
        with_an_offer_out()
            .into_iter()
            .chain([task.event(Phase::Schedule)])
    };
    kit::given::<LoanApplication>([submitted()])
        .when(LoanCommand::Schedule(task))
        .rejects(&Refusal::NotNow(Status::Submitted));
    kit::given::<LoanApplication>(with_an_offer_out())
        .when(LoanCommand::Start(task))
        .rejects(&Refusal::NotScheduled(task));
    kit::given::<LoanApplication>(scheduled())
        .when(LoanCommand::Complete(task))
        .rejects(&Refusal::NotUnderWay(task));
    let started = scheduled().chain([task.event(Phase::Start)]);
    kit::given::<LoanApplication>(started.clone())
        .when(LoanCommand::Start(task))
        .rejects(&Refusal::NotScheduled(task));
    let paused = started.chain([task.event(Phase::Complete)]);
    kit::given::<LoanApplication>(paused)
        .when(LoanCommand::Start(task))
        .then([task.event(Phase::Start)]);
}
