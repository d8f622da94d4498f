//! Enrolment on the memory store and on the engine: never over capacity, however many want a seat.

use std::future::IntoFuture;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Barrier};

use factum::io::sim::SimEnv;
use factum::store::ReadRequest;
use factum::{Engine, EventStore, MemoryStore, Options, Repository, Retry, RunError};
use factum_example_enrolment::{Define, Enroll, No};
use pollster::block_on;

const SEATS: u32 = 20;

fn enroll(student: &str) -> Enroll {
    Enroll {
        course: "rust".into(),
        student: student.into(),
    }
}

#[test]
fn rules_hold_for_courses_and_students() {
    block_on(async {
        let factum = Repository::new(Arc::new(MemoryStore::new()));
        let no_course = factum.decide(enroll("ann")).await;
        assert!(matches!(no_course, Err(RunError::Rejected(No::NoCourse))));
        factum
            .decide(Define {
                course: "rust".into(),
                seats: 1,
            })
            .await
            .unwrap();
        factum.decide(enroll("ann")).await.unwrap();
        let twice = factum.decide(enroll("ann")).await;
        assert!(matches!(twice, Err(RunError::Rejected(No::Twice))));
        let full = factum.decide(enroll("bob")).await;
        assert!(matches!(full, Err(RunError::Rejected(No::Full))));
    });
}

fn race(store: &Arc<dyn EventStore>) {
    let factum = Repository::new(Arc::clone(store));
    let define = Define {
        course: "rust".into(),
        seats: SEATS,
    };
    block_on(factum.decide(define).into_future()).unwrap();
    let (barrier, full) = (Barrier::new(64), AtomicU32::new(0));
    std::thread::scope(|scope| {
        for number in 0..64 {
            let (factum, barrier, full) = (&factum, &barrier, &full);
            scope.spawn(move || {
                barrier.wait();
                let decide = factum.decide(enroll(&format!("student {number}")));
                match block_on(decide.retry(Retry::jittered(1_000)).into_future()) {
                    Ok(_) => (),
                    Err(RunError::Rejected(No::Full)) => drop(full.fetch_add(1, Ordering::Relaxed)),
                    Err(other) => panic!("{other}"),
                }
            });
        }
    });
    assert_eq!(full.into_inner(), 64 - SEATS);
    let all = block_on(store.read(ReadRequest::all()).collect()).unwrap();
    assert_eq!(all.len(), 1 + SEATS as usize);
}

#[test]
fn sixty_four_race_on_the_memory_store() {
    let store: Arc<dyn EventStore> = Arc::new(MemoryStore::new());
    race(&store);
}

#[test]
fn sixty_four_race_on_the_engine() {
    let disk = SimEnv::new(7).env().disk;
    let env = factum::io::Env {
        disk,
        ..factum::io::Env::real()
    };
    let engine = Arc::new(Engine::open(Options::new("/school"), env).unwrap());
    let store: Arc<dyn EventStore> = Arc::clone(&engine) as _;
    race(&store);
    engine.close().unwrap();
}
