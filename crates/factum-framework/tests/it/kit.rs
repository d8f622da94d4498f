//! The kit finds what it is there to find: each check, with a domain that breaks it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use factum_framework::kit::{self, Chance};
use factum_framework::{Decider, Emit, Env, Event, Process, Route, Scope, Snapshots, View};
use factum_store::MemoryStore;
use factum_types::RecordedEvent;
use serde::{Deserialize, Serialize};

use crate::account::{Account, AccountCommand as Do};

/// What it panics with; that it does not panic is a failure.
fn found(act: impl FnOnce()) -> String {
    let panic = catch_unwind(AssertUnwindSafe(act)).expect_err("nothing was found");
    match panic.downcast::<String>() {
        Ok(text) => *text,
        Err(panic) => (*panic.downcast::<&str>().unwrap()).to_owned(),
    }
}

fn command(chance: &mut Chance) -> Do {
    match chance.below(10) {
        0 => Do::Open(chance.word()),
        1..=6 => Do::PayIn(chance.below(50)),
        _ => Do::PayOut(chance.below(50)),
    }
}

#[test]
fn an_account_stands_any_commands() {
    let tally = kit::commands::<Account>(command).check();
    assert_eq!(tally.never_happened(), Vec::<&str>::new());
    assert!(tally.refused > 0 && tally.nothing > 0, "{tally:?}");
    let again = kit::commands::<Account>(command).seed(tally.seed).check();
    assert_eq!(again, tally, "a seed repeats it");
    let on_store = kit::commands::<Account>(command)
        .always("an account with money has an owner", |account| {
            account.owner.is_some() || account.balance == 0
        })
        .check_on(|| Arc::new(MemoryStore::new()));
    assert_eq!(on_store.never_happened(), Vec::<&str>::new());
}

#[test]
fn a_rule_that_does_not_hold_is_found() {
    let poor = |account: &Account| account.balance < 100;
    let found_pure = found(|| {
        kit::commands::<Account>(command)
            .always("poor", poor)
            .check();
    });
    assert!(found_pure.contains("poor"), "{found_pure}");
    let found_on_store = found(|| {
        let commands = kit::commands::<Account>(command).always("poor", poor);
        commands.runs(5).check_on(|| Arc::new(MemoryStore::new()));
    });
    assert!(found_on_store.contains("poor"), "{found_on_store}");
}

#[derive(Event, Serialize, Deserialize, Clone, Debug, PartialEq)]
enum Did {
    #[event(name = "Lit")]
    Lit {
        #[serde(default)]
        by: Who,
    },
    #[event(name = "Dimmed")]
    Dimmed,
}

#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
struct Who {
    #[serde(default)]
    name: String,
}

/// A lamp with one fault.
#[derive(Default, Clone, Debug, Serialize, Deserialize)]
struct Lamp<const FAULT: u8> {
    lit: bool,
    #[serde(skip)]
    times: u64,
    dimmed: u64,
}

const SOUND: u8 = 0;
const FORGETS_AN_EVENT: u8 = 1;
const LOSES_A_FIELD: u8 = 2;
const ASKS_THE_WORLD: u8 = 3;
const LACKS_A_SAMPLE: u8 = 4;
const GIVES_TWO_REASONS: u8 = 5;

static WORLD: AtomicU64 = AtomicU64::new(0);

impl<const FAULT: u8> Decider for Lamp<FAULT> {
    type Command = ();
    type Event = Did;
    type Error = &'static str;

    fn evolve(&mut self, event: &Did, _: &RecordedEvent) {
        match event {
            Did::Lit { .. } => {
                self.lit = true;
                self.times += 1;
            }
            Did::Dimmed if FAULT == FORGETS_AN_EVENT => (),
            Did::Dimmed if FAULT == LOSES_A_FIELD => {
                self.lit = false;
                self.dimmed = self.times;
            }
            Did::Dimmed => {
                self.lit = false;
                self.dimmed += 1;
            }
        }
    }

    fn decide(&self, (): (), _: &mut Env) -> Result<Emit<Did>, &'static str> {
        let odd = WORLD.fetch_add(1, Ordering::Relaxed) % 2 == 1;
        if FAULT == ASKS_THE_WORLD && odd {
            return Err("not now");
        }
        if FAULT == GIVES_TWO_REASONS {
            return Err(if odd { "not now" } else { "not yet" });
        }
        let by = Who { name: "ann".into() };
        Ok(if self.lit {
            Did::Dimmed.into()
        } else {
            Did::Lit { by }.into()
        })
    }
}

impl<const FAULT: u8> Snapshots for Lamp<FAULT> {
    fn samples() -> Vec<Did> {
        let by = Who { name: "ann".into() };
        let mut samples = vec![Did::Lit { by }, Did::Dimmed];
        if FAULT == LACKS_A_SAMPLE {
            samples.pop();
        }
        samples
    }
}

#[test]
fn check_finds_each_fault() {
    kit::check::<Lamp<SOUND>>();
    let text = found(kit::check::<Lamp<FORGETS_AN_EVENT>>);
    assert!(text.contains("nothing with Dimmed"), "{text}");
    let text = found(kit::check::<Lamp<LOSES_A_FIELD>>);
    assert!(text.contains("a snapshot after 1"), "{text}");
    let text = found(kit::check::<Lamp<LACKS_A_SAMPLE>>);
    assert!(text.contains("Dimmed v1 has no sample"), "{text}");
}

#[test]
fn commands_find_each_fault() {
    kit::commands::<Lamp<SOUND>>(|_| ()).check();
    let text = found(|| drop(kit::commands::<Lamp<ASKS_THE_WORLD>>(|_| ()).check()));
    assert!(text.contains("decided in two ways"), "{text}");
    let text = found(|| drop(kit::commands::<Lamp<GIVES_TWO_REASONS>>(|_| ()).check()));
    assert!(text.contains("decided in two ways"), "{text}");
    assert!(
        text.contains("not now") && text.contains("not yet"),
        "{text}"
    );
    let text = found(|| drop(kit::commands::<Lamp<LOSES_A_FIELD>>(|_| ()).check()));
    assert!(text.contains("differ from a replay"), "{text}");
    let text = found(|| {
        let commands = kit::commands::<Lamp<LOSES_A_FIELD>>(|_| ());
        commands.check_on(|| Arc::new(MemoryStore::new()));
    });
    assert!(text.contains("differs from a replay"), "{text}");
}

#[test]
fn golden_samples_see_into_the_types_of_fields() {
    let lock = "Lit v1 { by?: Who #serde(default) }\nDimmed v1 {}\n";
    let dimmed = r#"{"type": "Dimmed", "version": 1, "data": {}}"#;
    let golden = |lit: &str| format!("{lit}\n{dimmed}\n");
    let now = r#"{"type": "Lit", "version": 1, "data": {"by": {"name": "ann"}}}"#;
    kit::check_golden::<Did>(&golden(now), lock).unwrap();
    // A field inside was renamed: it still decodes, and says nothing any more.
    let then = r#"{"type": "Lit", "version": 1, "data": {"by": {"first_name": "ann"}}}"#;
    let error = kit::check_golden::<Did>(&golden(then), lock).unwrap_err();
    assert!(error.to_string().contains("/by/first_name"), "{error}");
    let lines = kit::golden_lines(&Lamp::<SOUND>::samples()).unwrap();
    kit::check_golden::<Did>(&lines, lock).unwrap();
    assert!(kit::check_golden::<Did>("{}", "").is_err());
}

/// Its golden samples are there, and empty.
#[derive(Event, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[event(name = "Lamp was lit", lock = SPACED_LOCK, golden = NO_GOLDEN)]
struct LampLit {}

const SPACED_LOCK: &str = "Lamp was lit v1 {}\n";
const NO_GOLDEN: &str = "";

#[derive(Default, Clone, Serialize, Deserialize)]
struct Spaced {
    times: u32,
}

impl Decider for Spaced {
    type Command = ();
    type Event = LampLit;
    type Error = String;

    fn evolve(&mut self, _: &LampLit, _: &RecordedEvent) {
        self.times += 1;
    }

    fn decide(&self, (): (), _: &mut Env) -> Result<Emit<LampLit>, String> {
        Ok(LampLit {}.into())
    }
}

impl Snapshots for Spaced {
    fn samples() -> Vec<LampLit> {
        vec![LampLit {}]
    }
}

/// A name is not cut at its first space.
#[test]
fn versions_of_events_with_spaces_in_their_names_are_missed() {
    let text = found(kit::check::<Spaced>);
    assert!(
        text.contains("no golden sample of Lamp was lit v1"),
        "{text}"
    );
    let golden = r#"{"type": "Lamp was lit", "version": 1, "data": {}}"#;
    kit::check_golden::<LampLit>(golden, SPACED_LOCK).unwrap();
    // A second version is another one.
    let error = kit::check_golden::<LampLit>(golden, "Lamp was lit v2 {}").unwrap_err();
    assert!(error.to_string().contains("of Lamp was lit v2;"), "{error}");
}

/// Begins with a lamp that is lit, wakes itself, and ends when it is dimmed.
#[derive(Default, Clone, Debug, PartialEq)]
struct Watch;

impl Process for Watch {
    const NAME: &'static str = "watch";
    type Input = Did;
    type Event = LampLit;

    fn route(input: &Did, _: &RecordedEvent) -> Route {
        match input {
            Did::Lit { .. } => Route::Start("1".into()),
            Did::Dimmed => Route::End("1".into()),
        }
    }

    fn evolve(&mut self, _: &LampLit, _: &RecordedEvent) {}

    fn on(&self, input: &Did, env: &mut Env) -> Emit<LampLit> {
        match input {
            Did::Lit { .. } => Emit::from(LampLit {}).wake("night", env.now()),
            Did::Dimmed => Emit::none(),
        }
    }
}

fn lit() -> Did {
    Did::Lit { by: Who::default() }
}

#[test]
fn what_follows_in_a_process_is_compared_whole() {
    let watch = || kit::process::<Watch>([]);
    let follows = Emit::from(LampLit {}).wake("night", kit::NOW);
    watch().when(lit()).then(follows.clone());
    let text = found(|| watch().when(lit()).then(LampLit {}.into()));
    assert!(text.contains("expected to follow"), "a timer: {text}");
    let text = found(|| watch().when(lit()).then(follows.end()));
    assert!(text.contains("expected to follow"), "an end: {text}");
    let text = found(|| watch().when(lit()).is_ignored());
    assert!(text.contains("it was taken"), "{text}");
    let text = found(|| watch().when(Did::Dimmed).then(Emit::none()));
    assert!(text.contains("does not take it"), "{text}");
    let text = found(|| drop(watch().when(lit()).routed(&Route::Ignore)));
    assert!(text.contains("another route"), "{text}");
    let text = found(|| drop(watch().when(LampLit {})));
    assert!(text.contains("read as 0 inputs of process watch"), "{text}");
    let begun = || kit::process::<Watch>([LampLit {}]);
    begun().when(Did::Dimmed).then(Emit::none().end());
    begun().ended().when(lit()).is_ignored();
    begun().when_timer("night").then(Emit::none());
}

#[derive(Default, Clone, Debug, PartialEq)]
struct Lights {
    lit: bool,
    changes: u32,
}

impl View for Lights {
    type Event = Did;

    fn scope(&self) -> Scope {
        Scope::of::<Did>().only(&["Lit"])
    }

    fn evolve(&mut self, _: &Did, _: &RecordedEvent) {
        (self.lit, self.changes) = (true, self.changes + 1);
    }
}

#[derive(Default, Clone, Debug, PartialEq)]
struct IsLit(bool);

impl View for IsLit {
    type Event = Did;

    fn scope(&self) -> Scope {
        Scope::of::<Did>()
    }

    fn evolve(&mut self, event: &Did, _: &RecordedEvent) {
        self.0 = matches!(event, Did::Lit { .. });
    }
}

#[test]
fn projections_are_fed_what_is_in_their_scope_and_twice_when_asked() {
    let samples = Lamp::<SOUND>::samples;
    kit::projection::<Lights>()
        .given(samples())
        .then(|lights| lights.lit && lights.changes == 1);
    let view = kit::projection::<IsLit>()
        .given(samples())
        .each_twice()
        .view();
    assert_eq!(view, IsLit(false));
    let twice = found(|| drop(kit::projection::<Lights>().given(samples()).each_twice()));
    assert!(
        twice.contains("event 0, Lit, makes a difference"),
        "{twice}"
    );
    let wrong = found(|| {
        kit::projection::<IsLit>()
            .given(samples())
            .then(|view| view.0);
    });
    assert!(wrong.contains("not as expected"), "{wrong}");
}
