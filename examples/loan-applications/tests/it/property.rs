//! Applications by chance, on the memory store and on the engine; and stored samples of all 24 types of events.

use std::collections::BTreeSet;
use std::sync::Arc;

use factum::framework::kit::{self, Chance};
use factum::io::sim::SimEnv;
use factum::{Engine, Event, MemoryStore, Options};
use loan_applications::command::{OfferStep as O, Step as S};
use loan_applications::event::{Amount, Task};
use loan_applications::{LoanApplication, LoanCommand, LoanEvent, Status};

fn engine() -> Arc<Engine> {
    let disk = SimEnv::new(7).env().disk;
    let env = factum::io::Env {
        disk,
        ..factum::io::Env::real()
    };
    let options = Options::new("/loans").segment_bytes(1 << 20);
    Arc::new(Engine::open(options, env).unwrap())
}

/// Any command; those that lead on more often than those that end it.
fn command(chance: &mut Chance) -> LoanCommand {
    const FORWARD: [S; 4] = [S::SubmitPartly, S::PreAccept, S::Accept, S::Finalize];
    const GRANT: [S; 3] = [S::Approve, S::Register, S::Activate];
    const OFFER: [O; 7] = [
        O::Select,
        O::Create,
        O::Send,
        O::SendBack,
        O::Accept,
        O::Decline,
        O::Cancel,
    ];
    match chance.below(12) {
        0 => LoanCommand::Submit {
            registered: "2024-02-01T09:00:00.120+01:00".into(),
            amount: Amount(chance.below(50_000)),
        },
        1..=3 => LoanCommand::Submission(*chance.one_of(&FORWARD)),
        4 if chance.once_in(8) => LoanCommand::Submission(*chance.one_of(&[S::Decline, S::Cancel])),
        4 => LoanCommand::Submission(*chance.one_of(&GRANT)),
        5..=8 => LoanCommand::Offer(*chance.one_of(&OFFER)),
        _ => {
            let task = *chance.one_of(&Task::ALL);
            match chance.below(3) {
                0 => LoanCommand::Schedule(task),
                1 => LoanCommand::Start(task),
                _ => LoanCommand::Complete(task),
            }
        }
    }
}

#[test]
fn random_commands_keep_what_the_rules_promise() {
    let tally = kit::commands::<LoanApplication>(command)
        .runs(60)
        .steps(250)
        .always(
            "what is granted was approved, registered or activated",
            |loan| {
                let granted = loan.approved || loan.registered || loan.activated;
                (loan.status == Status::Granted) == granted
            },
        )
        .always("nobody is at work that was not scheduled", |loan| {
            Task::ALL.iter().all(|task| {
                let work = loan.work.of(*task);
                work.under_way <= work.scheduled
            })
        })
        .check();
    assert_eq!(tally.never_happened(), Vec::<&str>::new());
    assert!(tally.refused > 0, "{tally:?}");
}

#[test]
fn snapshot_and_tail_are_a_replay_on_the_memory_store() {
    kit::commands::<LoanApplication>(command)
        .steps(60)
        .runs(1)
        .check_on(|| Arc::new(MemoryStore::new()));
}

#[test]
fn snapshot_and_tail_are_a_replay_on_the_engine() {
    kit::commands::<LoanApplication>(command)
        .steps(30)
        .runs(1)
        .check_on(engine);
}

#[test]
fn golden_samples_of_all_types_are_read() {
    let (golden, lock) = (LoanEvent::GOLDEN.unwrap(), LoanEvent::LOCK.unwrap());
    kit::check_golden::<LoanEvent>(golden, lock).unwrap();
    let names: BTreeSet<_> = LoanEvent::KINDS.iter().map(|kind| kind.name).collect();
    assert_eq!(names.len(), 24);
    // Without those of one type, it is missed, whether its name has spaces or not.
    for name in names {
        let is_other = |line: &&str| !line.contains(&format!("\"{name}\""));
        let others: Vec<_> = golden.lines().filter(is_other).collect();
        let error = kit::check_golden::<LoanEvent>(&others.join("\n"), lock).unwrap_err();
        assert!(
            error.to_string().contains(&format!("{name} v1;")),
            "{error}"
        );
    }
}
