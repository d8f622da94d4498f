//! Decisions over tags: the boundary holds, however many decide at once.

use std::future::IntoFuture;
use std::sync::Barrier;
use std::sync::atomic::{AtomicU32, Ordering};

use factum_framework::versions::{Raw, RawStep};
use factum_framework::{Decision, Emit, Env, Event, Kind, Retry, RunError, Scope, View};
use factum_store::{EventStore, MemoryStore, ReadRequest};
use factum_types::RecordedEvent;
use pollster::block_on;
use serde::{Deserialize, Serialize};

use crate::account::over;

#[derive(Event, Serialize, Deserialize, Clone, Debug, PartialEq)]
enum School {
    #[event(name = "CourseDefined")]
    Defined {
        #[tag]
        course: String,
        seats: u32,
    },
    #[event(name = "StudentEnrolled")]
    Enrolled {
        #[tag]
        course: String,
        #[tag]
        student: String,
    },
}

struct Seats {
    course: String,
    free: u32,
}

impl View for Seats {
    type Event = School;

    fn scope(&self) -> Scope {
        Scope::of::<School>().tag("course", &self.course)
    }

    fn evolve(&mut self, event: &School, _: &RecordedEvent) {
        match event {
            School::Defined { seats, .. } => self.free += seats,
            School::Enrolled { .. } => self.free -= 1,
        }
    }
}

struct Load {
    student: String,
    courses: u32,
}

impl View for Load {
    type Event = School;

    fn scope(&self) -> Scope {
        Scope::of::<School>()
            .only(&["StudentEnrolled"])
            .tag("student", &self.student)
    }

    fn evolve(&mut self, _: &School, _: &RecordedEvent) {
        self.courses += 1;
    }
}

struct Define(&'static str, u32);

impl Decision for Define {
    type Views = (Seats,);
    type Event = School;
    type Error = &'static str;

    fn stream(&self) -> String {
        format!("course-{}", self.0)
    }

    fn views(&self) -> (Seats,) {
        (Seats {
            course: self.0.into(),
            free: 0,
        },)
    }

    fn decide(&self, _: &(Seats,), _: &mut Env) -> Result<Emit<School>, &'static str> {
        Ok(School::Defined {
            course: self.0.into(),
            seats: self.1,
        }
        .into())
    }
}

struct Enroll {
    course: String,
    student: String,
}

impl Decision for Enroll {
    type Views = (Seats, Load);
    type Event = School;
    type Error = &'static str;

    fn stream(&self) -> String {
        format!("enrolment-{}", self.student)
    }

    fn views(&self) -> (Seats, Load) {
        let (course, student) = (self.course.clone(), self.student.clone());
        (
            Seats { course, free: 0 },
            Load {
                student,
                courses: 0,
            },
        )
    }

    fn decide(
        &self,
        (seats, load): &(Seats, Load),
        _: &mut Env,
    ) -> Result<Emit<School>, &'static str> {
        if seats.free == 0 {
            return Err("the course is full");
        }
        if load.courses == 2 {
            return Err("the student has two courses");
        }
        let (course, student) = (self.course.clone(), self.student.clone());
        Ok(School::Enrolled { course, student }.into())
    }
}

fn enroll(course: &str, student: &str) -> Enroll {
    Enroll {
        course: course.into(),
        student: student.into(),
    }
}

#[test]
fn both_sides_of_a_boundary_count() {
    block_on(async {
        let repository = over(MemoryStore::new());
        for course in ["go", "rust", "zig"] {
            repository.decide(Define(course, 1)).await.unwrap();
        }
        let done = repository.decide(enroll("go", "ann")).await.unwrap();
        assert_eq!((done.events.len(), done.attempts), (1, 1));
        repository.decide(enroll("rust", "ann")).await.unwrap();
        let refused = |error| match error {
            RunError::Rejected(why) => why,
            RunError::Failed(error) => panic!("{error}"),
        };
        let full = repository.decide(enroll("go", "bob")).await.unwrap_err();
        assert_eq!(refused(full), "the course is full");
        let busy = repository.decide(enroll("zig", "ann")).await.unwrap_err();
        assert_eq!(refused(busy), "the student has two courses");
        let wrong = repository.decide(enroll("", "ann")).await.unwrap_err();
        assert_eq!(wrong.failure().unwrap().kind(), Kind::Invalid);
    });
}

/// 64 writers want 20 seats: never is one seat given twice.
#[test]
fn sixty_four_writers_never_overbook() {
    let store = MemoryStore::new();
    let repository = over(store.clone());
    block_on(repository.decide(Define("rust", 20)).into_future()).unwrap();
    let barrier = Barrier::new(64);
    let (enrolled, refused) = (AtomicU32::new(0), AtomicU32::new(0));
    std::thread::scope(|scope| {
        for number in 0..64 {
            let (repository, barrier, enrolled, refused) =
                (&repository, &barrier, &enrolled, &refused);
            scope.spawn(move || {
                barrier.wait();
                let student = format!("student {number}");
                let decide = repository
                    .decide(enroll("rust", &student))
                    .retry(Retry::jittered(1_000));
                let count = match block_on(decide.into_future()) {
                    Ok(_) => enrolled,
                    Err(RunError::Rejected(_)) => refused,
                    Err(RunError::Failed(error)) => panic!("{error}"),
                };
                count.fetch_add(1, Ordering::Relaxed);
            });
        }
    });
    assert_eq!((enrolled.into_inner(), refused.into_inner()), (20, 44));
    let all = block_on(store.read(ReadRequest::all()).collect()).unwrap();
    assert_eq!(all.len(), 21);
}

#[test]
fn one_key_enrols_once_however_often_it_is_sent() {
    let store = MemoryStore::new();
    let repository = over(store.clone());
    block_on(repository.decide(Define("rust", 20)).into_future()).unwrap();
    let barrier = Barrier::new(8);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                barrier.wait();
                let decide = repository
                    .decide(enroll("rust", "ann"))
                    .idempotency("request 1");
                let done = block_on(decide.retry(Retry::jittered(100)).into_future()).unwrap();
                assert_eq!(done.events.len(), 1);
            });
        }
    });
    let all = block_on(store.read(ReadRequest::all()).collect()).unwrap();
    assert_eq!(all.len(), 2);
}

#[derive(Event, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[event(steps = SPLIT)]
enum Split {
    #[event(name = "SeatTaken")]
    Taken,
    #[event(name = "SeatCounted")]
    Counted,
}

/// What was one event became two.
const SPLIT: &[RawStep] = &[RawStep::new("StudentEnrolled", 1, |_| {
    let raw = |name| Raw::new(name, 1, serde_json::json!({}));
    Ok(vec![raw("SeatTaken"), raw("SeatCounted")])
})];

struct Taken(u32);

impl View for Taken {
    type Event = Split;

    fn scope(&self) -> Scope {
        Scope::of::<Split>()
            .only(&["SeatTaken"])
            .tag("course", "rust")
    }

    fn evolve(&mut self, event: &Split, _: &RecordedEvent) {
        assert_eq!(*event, Split::Taken, "only what is in the scope");
        self.0 += 1;
    }
}

struct Count;

impl Decision for Count {
    type Views = Taken;
    type Event = Split;
    type Error = u32;

    fn stream(&self) -> String {
        "count".into()
    }

    fn views(&self) -> Taken {
        Taken(0)
    }

    fn decide(&self, taken: &Taken, _: &mut Env) -> Result<Emit<Split>, u32> {
        Err(taken.0)
    }
}

/// An event that raw steps rename is in the scope under its old name, or the view would not know of it.
#[test]
fn views_see_what_raw_steps_bring_up() {
    block_on(async {
        let repository = over(MemoryStore::new());
        repository.decide(Define("rust", 9)).await.unwrap();
        for student in ["ann", "bob"] {
            repository.decide(enroll("rust", student)).await.unwrap();
        }
        assert!(matches!(
            repository.decide(Count).await,
            Err(RunError::Rejected(2))
        ));
    });
}
