//! Enrolment on the memory store and on the engine: never over capacity, however many want a seat, and whatever is lost on the way.

use std::collections::{BTreeMap, BTreeSet};
use std::future::IntoFuture;
use std::sync::Arc;

use factum::framework::kit::{self, Chance, Chaos, FakeWorld, Troubles};
use factum::io::sim::SimEnv;
use factum::store::ReadRequest;
use factum::{Engine, Event, EventStore, MemoryStore, Options, Repository, Retry, RunError};
use factum_example_enrolment::{COURSES_MAX, Define, Enroll, No, School, Seats, StudentLoad};
use pollster::block_on;

const SEATS: u32 = 20;
const WRITERS: usize = 64;

fn enroll(student: &str) -> Enroll {
    Enroll {
        course: "rust".into(),
        student: student.into(),
    }
}

fn engine() -> Arc<Engine> {
    let disk = SimEnv::new(7).env().disk;
    let env = factum::io::Env {
        disk,
        ..factum::io::Env::real()
    };
    Arc::new(Engine::open(Options::new("/school"), env).unwrap())
}

#[test]
fn rules_hold_for_courses_and_students() {
    block_on(async {
        let factum = Repository::new(Arc::new(MemoryStore::new()));
        let no_course = factum.decide(enroll("ann")).await;
        assert!(matches!(no_course, Err(RunError::Rejected(No::NoCourse))));
        let define = Define {
            course: "rust".into(),
            seats: 1,
        };
        factum.decide(define).await.unwrap();
        factum.decide(enroll("ann")).await.unwrap();
        let twice = factum.decide(enroll("ann")).await;
        assert!(matches!(twice, Err(RunError::Rejected(No::Twice))));
        let full = factum.decide(enroll("bob")).await;
        assert!(matches!(full, Err(RunError::Rejected(No::Full))));
    });
}

#[test]
fn views_show_what_is_in_their_scope() {
    let enrolled = |course: &str, student: &str| School::StudentEnrolled {
        course: course.into(),
        student: student.into(),
    };
    let events = || {
        [
            School::CourseDefined {
                course: "rust".into(),
                seats: 2,
            },
            enrolled("rust", "ann"),
            enrolled("go", "ann"),
            enrolled("rust", "bob"),
        ]
    };
    kit::project(Seats::of("rust"))
        .given(events())
        .then(|seats| *seats == Seats::known("rust", 2, &["ann", "bob"]));
    kit::project(StudentLoad::of("ann"))
        .given(events())
        .then(|load| load.courses() == 2);
}

/// Many want one course; as many as there are seats get one, each of another student.
fn race(store: &Arc<dyn EventStore>, behind: &dyn EventStore, retry: Retry) {
    let factum = Repository::new(Arc::clone(store)).with_world(FakeWorld::new(7).world());
    let define = Define {
        course: "rust".into(),
        seats: SEATS,
    };
    let define = || factum.decide(define.clone()).idempotency("define");
    while block_on(define().into_future()).is_err() {}
    let outcomes = kit::race(WRITERS, |number| {
        let (factum, student) = (&factum, format!("student {number}"));
        async move {
            loop {
                let decide = factum.decide(enroll(&student)).idempotency(&student);
                match decide.retry(retry).await {
                    Ok(_) => return true,
                    Err(RunError::Rejected(No::Full)) => return false,
                    Err(RunError::Rejected(other)) => panic!("{student}: {other}"),
                    // Whether it was written is not known: the same key again is safe.
                    Err(RunError::Failed(_)) => (),
                }
            }
        }
    });
    let enrolled = outcomes.iter().filter(|enrolled| **enrolled).count();
    assert_eq!(enrolled, SEATS as usize);
    let all = block_on(behind.read(ReadRequest::all()).collect()).unwrap();
    let students: BTreeSet<_> = all.iter().skip(1).map(|event| event.data.clone()).collect();
    assert_eq!((all.len(), students.len()), (1 + enrolled, enrolled));
}

#[test]
fn sixty_four_race_on_the_memory_store() {
    let store: Arc<dyn EventStore> = Arc::new(MemoryStore::new());
    race(&store, &*store, Retry::jittered(1_000));
}

#[test]
fn sixty_four_race_on_the_engine() {
    let engine = engine();
    let store: Arc<dyn EventStore> = Arc::clone(&engine) as _;
    race(&store, &*engine, Retry::jittered(1_000));
    engine.close().unwrap();
}

#[test]
fn sixty_four_race_behind_chaos() {
    let seed = kit::random_seed();
    println!("seed {seed}");
    let memory = Arc::new(MemoryStore::new());
    let chaos = Chaos::new(Arc::clone(&memory), seed, Troubles::all());
    let store: Arc<dyn EventStore> = Arc::new(chaos);
    race(&store, &*memory, Retry::jittered(20));
    let engine = engine();
    let chaos = Chaos::new(Arc::clone(&engine), seed, Troubles::all());
    let store: Arc<dyn EventStore> = Arc::new(chaos);
    race(&store, &*engine, Retry::jittered(20));
    engine.close().unwrap();
}

/// The school as one would write it down without a store.
#[derive(Default)]
struct Model {
    seats: BTreeMap<String, u32>,
    enrolled: BTreeSet<(String, String)>,
}

impl Model {
    fn define(&mut self, define: &Define) -> Result<(), No> {
        if self.seats.contains_key(&define.course) {
            return Err(No::Exists);
        }
        self.seats.insert(define.course.clone(), define.seats);
        Ok(())
    }

    fn enroll(&mut self, enroll: &Enroll) -> Result<(), No> {
        let (course, student) = (&enroll.course, &enroll.student);
        let seats = *self.seats.get(course).ok_or(No::NoCourse)?;
        let count = |of: &dyn Fn(&(String, String)) -> bool| {
            u32::try_from(self.enrolled.iter().filter(|pair| of(pair)).count()).unwrap()
        };
        if self.enrolled.contains(&(course.clone(), student.clone())) {
            return Err(No::Twice);
        }
        if count(&|pair| pair.0 == *course) >= seats {
            return Err(No::Full);
        }
        if count(&|pair| pair.1 == *student) >= COURSES_MAX {
            return Err(No::Busy);
        }
        self.enrolled.insert((course.clone(), student.clone()));
        Ok(())
    }
}

/// Decisions by chance do what the model does, and what is stored is what the model has.
fn compare(store: &Arc<dyn EventStore>, seed: u64) {
    let (mut chance, mut model) = (Chance::new(seed), Model::default());
    let factum = Repository::new(Arc::clone(store));
    let outcome = |outcome: Result<(), RunError<No>>| match outcome {
        Ok(()) => Ok(()),
        Err(RunError::Rejected(no)) => Err(no),
        Err(RunError::Failed(error)) => panic!("{error}"),
    };
    for _ in 0..300 {
        let course = (*chance.one_of(&["rust", "go", "zig", "c", "lean"])).to_owned();
        if chance.once_in(8) {
            let seats = u32::try_from(chance.below(6)).unwrap();
            let define = Define { course, seats };
            let ours = block_on(factum.decide(define.clone()).into_future()).map(drop);
            assert_eq!(outcome(ours), model.define(&define), "{define:?}");
        } else {
            let student = chance.word();
            let enroll = Enroll { course, student };
            let ours = block_on(factum.decide(enroll.clone()).into_future()).map(drop);
            assert_eq!(outcome(ours), model.enroll(&enroll), "{enroll:?}");
        }
    }
    let all = block_on(store.read(ReadRequest::all()).collect()).unwrap();
    let mut stored = BTreeSet::new();
    for event in &all {
        let name = event.event_type.as_str();
        if let School::StudentEnrolled { course, student } =
            School::decode(name, event.schema_version, &event.data).unwrap()
        {
            stored.insert((course, student));
        }
    }
    assert_eq!(stored, model.enrolled);
    assert!(!stored.is_empty());
}

#[test]
fn decisions_by_chance_do_what_a_model_does() {
    let seed = kit::random_seed();
    println!("seed {seed}");
    compare(&(Arc::new(MemoryStore::new()) as _), seed);
    let engine = engine();
    compare(&(Arc::clone(&engine) as _), seed);
    engine.close().unwrap();
}
