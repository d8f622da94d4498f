//! Messages, timers and processes: what a decision asks for is stored with it, and done once.

use std::future::IntoFuture;
use std::sync::Arc;
use std::time::Duration;

use factum_framework::kit::FakeWorld;
use factum_framework::{
    Decider, Emit, Env, Event, Kind, Process, Receiver, RecordedEvent, Rejected, Repository, Route,
    RunError, Runner, StartFrom, inputs,
};
use factum_store::{EventStore, MemoryStore, ReadRequest};
use factum_types::StreamName;
use pollster::block_on;
use serde::{Deserialize, Serialize};

const MINUTE: Duration = Duration::from_secs(60);

/// A machine that counts, asks others to count, and wakes itself.
#[derive(Default, Clone, Debug, PartialEq)]
struct Machine {
    count: u32,
    notes: Vec<String>,
}

#[derive(Event, Serialize, Deserialize, Clone, Debug, PartialEq)]
enum MachineEvent {
    #[event(name = "MachineCounted")]
    Counted { by: u32 },
    #[event(name = "MachineNoted")]
    Noted { what: String },
}

#[derive(Serialize, Deserialize, Clone, Debug, PartialEq)]
enum Do {
    Count(u32),
    /// Count on another machine.
    Pass(String, u32),
    /// Count and pass on to oneself, for ever.
    Spin(String),
    Note(String),
    Wake(String, i64),
    Cancel(String),
    Nothing,
}

impl Decider for Machine {
    type Command = Do;
    type Event = MachineEvent;
    type Error = String;

    fn evolve(&mut self, event: &MachineEvent, _: &RecordedEvent) {
        match event {
            MachineEvent::Counted { by } => self.count += by,
            MachineEvent::Noted { what } => self.notes.push(what.clone()),
        }
    }

    fn decide(&self, command: Do, env: &mut Env) -> Result<Emit<MachineEvent>, String> {
        Ok(match command {
            Do::Count(by) if self.count + by > 10 => {
                return Err(format!("{} and {by} is too much", self.count));
            }
            Do::Count(by) => MachineEvent::Counted { by }.into(),
            Do::Pass(to, by) => Emit::none().send::<Self>(to, &Do::Count(by)),
            Do::Spin(at) => Emit::none().send::<Self>(at.clone(), &Do::Spin(at)),
            Do::Note(what) => MachineEvent::Noted { what }.into(),
            Do::Wake(timer, seconds) => {
                let at = env.now().as_micros() + seconds * 1_000_000;
                Emit::none().wake(timer, factum_types::Timestamp::from_micros(at))
            }
            Do::Cancel(timer) => Emit::none().cancel(timer),
            Do::Nothing => Emit::none(),
        })
    }
}

impl Receiver for Machine {
    const CATEGORY: &'static str = "machine";

    fn on_timer(timer: &str) -> Option<Do> {
        match timer {
            "silent" => None,
            "too much" => Some(Do::Count(11)),
            _ => Some(Do::Note(format!("woken by {timer}"))),
        }
    }

    fn on_rejected(rejected: &Rejected) -> Option<Do> {
        let Rejected { stream, reason, .. } = rejected;
        let command = rejected.command::<Self>()?;
        Some(Do::Note(format!("{stream} refused {command:?}: {reason}")))
    }
}

struct Hall {
    store: MemoryStore,
    world: FakeWorld,
    repository: Repository,
}

impl Hall {
    fn new() -> Self {
        let (store, world) = (MemoryStore::new(), FakeWorld::new(7));
        let repository = Repository::new(Arc::new(store.clone())).with_world(world.world());
        Self {
            store,
            world,
            repository,
        }
    }

    fn ask(&self, machine: &str, command: Do) -> Result<(), RunError<String>> {
        block_on(
            self.repository
                .run::<Machine>(machine, command)
                .into_future(),
        )
        .map(drop)
    }

    fn machine(&self, machine: &str) -> Machine {
        block_on(self.repository.load::<Machine>(machine).into_future())
            .unwrap()
            .state
    }

    fn runner(&self) -> Runner {
        Runner::new(&self.repository).receiver::<Machine>()
    }

    fn run(&self) -> u64 {
        block_on(self.runner().run_until_idle()).unwrap().handled
    }

    fn types(&self, stream: &str) -> Vec<String> {
        let read = self
            .store
            .read(ReadRequest::stream(StreamName::new(stream).unwrap()));
        let events = block_on(read.collect()).unwrap();
        events
            .iter()
            .map(|event| event.event_type.to_string())
            .collect()
    }
}

#[test]
fn a_message_is_stored_with_the_decision_and_run_once() {
    let hall = Hall::new();
    hall.ask("machine-a", Do::Pass("machine-b".into(), 4))
        .unwrap();
    assert_eq!(hall.machine("machine-b").count, 0);
    assert_eq!((hall.run(), hall.run()), (1, 0));
    assert_eq!(hall.machine("machine-b").count, 4);
    assert_eq!(
        hall.machine("machine-a"),
        Machine::default(),
        "a fold does not see messages"
    );
    assert_eq!(hall.types("machine-a"), ["factum.MessageSent"]);
}

#[test]
fn the_same_key_sends_no_second_message() {
    let hall = Hall::new();
    for _ in 0..2 {
        let pass = Do::Pass("machine-b".into(), 4);
        let run = hall
            .repository
            .run::<Machine>("machine-a", pass)
            .idempotency("k");
        block_on(run.into_future()).unwrap();
    }
    assert_eq!(hall.run(), 1);
    assert_eq!(hall.machine("machine-b").count, 4);
}

#[test]
fn a_refusal_comes_back_to_the_sender() {
    let hall = Hall::new();
    hall.ask("machine-a", Do::Pass("machine-b".into(), 11))
        .unwrap();
    assert_eq!(hall.run(), 2);
    assert_eq!(
        hall.machine("machine-a").notes,
        ["machine-b refused Count(11): 0 and 11 is too much"]
    );
    let types = [
        "factum.MessageSent",
        "factum.MessageRejected",
        "factum.InputReceived",
        "MachineNoted",
    ];
    assert_eq!(hall.types("machine-a"), types);
}

#[test]
fn a_message_for_another_category_is_refused_before_it_is_stored() {
    let hall = Hall::new();
    let error = hall
        .ask("machine-a", Do::Pass("oven-b".into(), 1))
        .unwrap_err();
    assert_eq!(error.failure().unwrap().kind(), Kind::Invalid);
    let says = "the message to oven-b is for a receiver of the category machine";
    assert!(error.to_string().starts_with(says), "{error}");
    let error = hall
        .ask("machine-a", Do::Pass("machines-b".into(), 1))
        .unwrap_err();
    assert!(error.failure().is_some(), "{error}");
    assert_eq!(hall.run(), 0);
}

#[test]
fn timers_wake_in_order_and_survive_a_restart() {
    let hall = Hall::new();
    hall.ask("machine-a", Do::Wake("late".into(), 60)).unwrap();
    hall.ask("machine-a", Do::Wake("early".into(), 30)).unwrap();
    hall.ask("machine-b", Do::Wake("other".into(), 45)).unwrap();
    assert_eq!(hall.run(), 0);
    hall.world.clock.advance(Duration::from_secs(29));
    assert_eq!(hall.run(), 0, "nothing is due");
    hall.world.clock.advance(Duration::from_secs(1));
    assert_eq!((hall.run(), hall.run()), (1, 0));
    assert_eq!(hall.machine("machine-a").notes, ["woken by early"]);
    hall.world.clock.advance(MINUTE);
    assert_eq!((hall.run(), hall.run()), (2, 0));
    assert_eq!(
        hall.machine("machine-a").notes,
        ["woken by early", "woken by late"]
    );
    assert_eq!(hall.machine("machine-b").notes, ["woken by other"]);
}

#[test]
fn a_timer_can_be_cancelled_and_set_anew() {
    let hall = Hall::new();
    hall.ask("machine-a", Do::Wake("x".into(), 30)).unwrap();
    hall.ask("machine-a", Do::Wake("y".into(), 30)).unwrap();
    hall.ask("machine-a", Do::Cancel("x".into())).unwrap();
    hall.ask("machine-a", Do::Wake("y".into(), 90)).unwrap();
    hall.world.clock.advance(MINUTE);
    assert_eq!(hall.run(), 0);
    hall.world.clock.advance(MINUTE);
    assert_eq!(hall.run(), 1);
    assert_eq!(hall.machine("machine-a").notes, ["woken by y"]);
}

/// A timer that was cancelled after the runner had it in its list.
#[test]
fn a_timer_that_is_cancelled_at_the_last_moment_does_nothing() {
    let hall = Hall::new();
    hall.ask("machine-a", Do::Wake("x".into(), 30)).unwrap();
    let mut runner = hall.runner();
    let idle = block_on(runner.run_until_idle()).unwrap();
    assert!(idle.next_timer.is_some());
    hall.ask("machine-a", Do::Cancel("x".into())).unwrap();
    hall.world.clock.advance(MINUTE);
    block_on(runner.run_until_idle()).unwrap();
    assert_eq!(hall.machine("machine-a").notes, [""; 0]);
}

#[test]
fn a_timer_whose_command_is_refused_or_none_is_fired_all_the_same() {
    let hall = Hall::new();
    hall.ask("machine-a", Do::Wake("too much".into(), 0))
        .unwrap();
    hall.ask("machine-a", Do::Wake("silent".into(), 0)).unwrap();
    assert_eq!((hall.run(), hall.run()), (2, 0));
    let read = hall
        .store
        .read(ReadRequest::stream(StreamName::new("machine-a").unwrap()));
    let fired = block_on(read.collect()).unwrap();
    let data = String::from_utf8_lossy(&fired[2].data).into_owned();
    assert!(data.contains("0 and 11 is too much"), "{data}");
}

#[test]
fn a_circle_is_told_instead_of_running_for_ever() {
    let hall = Hall::new();
    hall.ask("machine-a", Do::Spin("machine-a".into())).unwrap();
    let error = block_on(hall.runner().steps_max(50).run_until_idle()).unwrap_err();
    assert_eq!(error.kind(), Kind::NeverIdle);
    assert!(error.to_string().contains("after 50 events"), "{error}");
}

#[test]
fn events_of_an_application_have_names_of_their_own() {
    #[derive(Event, Serialize, Deserialize, Clone, Debug, PartialEq)]
    #[event(name = "factum.TimerSet")]
    struct Forged {}

    #[derive(Default, Clone)]
    struct Forger;

    impl Decider for Forger {
        type Command = ();
        type Event = Forged;
        type Error = String;
        fn evolve(&mut self, _: &Forged, _: &RecordedEvent) {}
        fn decide(&self, (): (), _: &mut Env) -> Result<Emit<Forged>, String> {
            Ok(Forged {}.into())
        }
    }

    let hall = Hall::new();
    let error = block_on(hall.repository.run::<Forger>("forger-1", ()).into_future()).unwrap_err();
    assert!(error.to_string().contains("the framework's own"), "{error}");
}

#[derive(Event, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[event(name = "BellRang")]
struct Rang {
    key: String,
}

inputs! {
    /// What a watch hears.
    enum Heard {
        Machine(MachineEvent),
        Bell(Rang),
    }
}

/// Sees each machine through: begins with its first count, is over with a note, and counts what it saw.
#[derive(Default, Clone, Debug, PartialEq)]
struct Watch {
    seen: Vec<String>,
}

#[derive(Event, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[event(name = "WatchSaw")]
struct Saw {
    what: String,
}

impl Process for Watch {
    const NAME: &'static str = "watch";
    type Input = Heard;
    type Event = Saw;

    fn route(input: &Heard, recorded: &RecordedEvent) -> Route {
        let key = recorded.stream.to_string();
        match input {
            Heard::Machine(MachineEvent::Counted { .. }) => Route::Start(key),
            Heard::Machine(MachineEvent::Noted { what }) if what == "end" => Route::End(key),
            Heard::Machine(MachineEvent::Noted { what }) if what == "aside" => Route::Ignore,
            Heard::Machine(MachineEvent::Noted { .. }) => Route::Continue(key),
            Heard::Bell(Rang { key }) => Route::Continue(key.clone()),
        }
    }

    fn evolve(&mut self, event: &Saw, _: &RecordedEvent) {
        self.seen.push(event.what.clone());
    }

    fn on(&self, input: &Heard, env: &mut Env) -> Emit<Saw> {
        match input {
            Heard::Machine(MachineEvent::Counted { by }) => Emit::from(Saw {
                what: format!("count {by}"),
            })
            .wake("bored", env.after(MINUTE)),
            Heard::Machine(MachineEvent::Noted { what }) if what == "end" => {
                Emit::from(Saw { what: "end".into() })
                    .send::<Machine>("machine-full", &Do::Count(11))
            }
            Heard::Machine(MachineEvent::Noted { what }) => Saw { what: what.clone() }.into(),
            Heard::Bell(_) => Saw {
                what: "bell".into(),
            }
            .into(),
        }
    }

    fn on_timer(&self, timer: &str, _: &mut Env) -> Emit<Saw> {
        Saw { what: timer.into() }.into()
    }

    fn on_rejected(&self, rejected: &Rejected, _: &mut Env) -> Emit<Saw> {
        Saw {
            what: rejected.reason.clone(),
        }
        .into()
    }
}

impl Hall {
    fn watch(&self, start: StartFrom) -> Runner {
        self.runner().process::<Watch>(start)
    }

    fn seen(&self, key: &str) -> Option<(Vec<String>, bool)> {
        let watch = block_on(self.repository.process::<Watch>(key)).unwrap();
        watch.map(|watch| (watch.state.seen, watch.ended))
    }
}

#[test]
fn routes_begin_go_on_end_and_ignore() {
    let hall = Hall::new();
    for command in [
        Do::Note("before".into()),
        Do::Count(1),
        Do::Note("aside".into()),
        Do::Count(2),
        Do::Note("within".into()),
        Do::Note("end".into()),
        Do::Note("after".into()),
        Do::Count(3),
        Do::Nothing,
    ] {
        hall.ask("machine-a", command).unwrap();
    }
    let mut runner = hall.watch(StartFrom::Beginning);
    block_on(runner.run_until_idle()).unwrap();
    let seen = [
        "count 1",
        "count 2",
        "within",
        "end",
        "0 and 11 is too much",
    ];
    let seen = seen.map(str::to_owned).to_vec();
    assert_eq!(
        hall.seen("machine-a"),
        Some((seen.clone(), true)),
        "a refusal reaches it even when it is over"
    );
    assert_eq!(hall.seen("machine-b"), None);
    hall.world.clock.advance(MINUTE * 2);
    block_on(runner.run_until_idle()).unwrap();
    assert_eq!(
        hall.seen("machine-a"),
        Some((seen, true)),
        "its timer ended with it"
    );
}

#[test]
fn the_same_input_twice_changes_nothing() {
    let hall = Hall::new();
    hall.ask("machine-a", Do::Count(1)).unwrap();
    block_on(hall.watch(StartFrom::Beginning).run_until_idle()).unwrap();
    let before = hall.types("watch-machine-a");
    let checkpoint = StreamName::new("factum.checkpoint-process.watch").unwrap();
    let delete = factum_store::AppendBatch::change(
        checkpoint,
        factum_types::ExpectedRevision::Any,
        factum_store::Change::Delete,
    );
    block_on(hall.store.append(delete)).unwrap();
    let again = block_on(hall.watch(StartFrom::Beginning).run_until_idle()).unwrap();
    assert_eq!(again.handled, 1, "it is given the event again");
    assert_eq!(hall.types("watch-machine-a"), before);
}

#[test]
fn a_new_process_may_leave_history_alone() {
    let hall = Hall::new();
    hall.ask("machine-a", Do::Count(1)).unwrap();
    block_on(hall.watch(StartFrom::Now).run_until_idle()).unwrap();
    hall.ask("machine-a", Do::Count(2)).unwrap();
    block_on(hall.watch(StartFrom::Now).run_until_idle()).unwrap();
    assert_eq!(
        hall.seen("machine-a"),
        Some((vec!["count 2".to_owned()], false))
    );
}

#[test]
fn a_process_that_asks_for_what_cannot_be_parks_its_instance_alone() {
    /// Sends to whom it may not.
    #[derive(Default, Clone)]
    struct Lost;

    impl Process for Lost {
        const NAME: &'static str = "lost";
        type Input = MachineEvent;
        type Event = Saw;
        fn route(_: &MachineEvent, recorded: &RecordedEvent) -> Route {
            Route::Start(recorded.stream.to_string())
        }
        fn evolve(&mut self, _: &Saw, _: &RecordedEvent) {}
        fn on(&self, input: &MachineEvent, _: &mut Env) -> Emit<Saw> {
            let to = if *input == (MachineEvent::Counted { by: 1 }) {
                "oven-1"
            } else {
                "machine-z"
            };
            Emit::none().send::<Machine>(to, &Do::Nothing)
        }
    }

    let hall = Hall::new();
    hall.ask("machine-a", Do::Count(1)).unwrap();
    hall.ask("machine-a", Do::Count(2)).unwrap();
    hall.ask("machine-b", Do::Count(2)).unwrap();
    let mut runner = hall.runner().process::<Lost>(StartFrom::Beginning);
    let idle = block_on(runner.run_until_idle()).unwrap();
    assert_eq!(idle.parked, 2);
    let parked = block_on(hall.repository.parked()).unwrap();
    let places: Vec<_> = parked
        .iter()
        .map(|it| (it.partition.as_str(), it.revision.number()))
        .collect();
    assert_eq!(places, [("lost-machine-a", 0), ("lost-machine-a", 1)]);
    assert!(parked[0].reason.contains("oven-1"), "{}", parked[0].reason);
    assert_eq!(
        hall.types("lost-machine-b"),
        ["factum.InputReceived", "factum.MessageSent"]
    );
}

#[test]
fn a_process_has_a_name_that_can_be_a_category() {
    #[derive(Default, Clone)]
    struct Dashed;

    impl Process for Dashed {
        const NAME: &'static str = "a-b";
        type Input = MachineEvent;
        type Event = Saw;
        fn route(_: &MachineEvent, _: &RecordedEvent) -> Route {
            Route::Ignore
        }
        fn evolve(&mut self, _: &Saw, _: &RecordedEvent) {}
        fn on(&self, _: &MachineEvent, _: &mut Env) -> Emit<Saw> {
            Emit::none()
        }
    }

    let hall = Hall::new();
    let mut runner = hall.runner().process::<Dashed>(StartFrom::Now);
    let error = block_on(runner.run_until_idle()).unwrap_err();
    assert!(error.to_string().contains("a-b"), "{error}");
}
