//! Course enrolment: a course has seats, a student takes at most three courses, and neither rule belongs to one stream.
//!
//! The decision names what it must know, as views; that nothing of it changed is seen to by the store.
//!
//! There are no snapshots here: they are of streams, and a view is folded from its tags each time. Its scope is what keeps that short.

#![expect(missing_docs, reason = "the names say it")]

use factum::{Decision, Emit, Env, Event, RecordedEvent, Scope, View};
use serde::{Deserialize, Serialize};

/// How many courses a student may take.
pub const COURSES_MAX: u32 = 3;

#[derive(Event, Serialize, Deserialize, Clone, Debug, PartialEq)]
pub enum School {
    #[event(name = "CourseDefined")]
    CourseDefined {
        #[tag]
        course: String,
        seats: u32,
    },
    #[event(name = "StudentEnrolled")]
    StudentEnrolled {
        #[tag]
        course: String,
        #[tag]
        student: String,
    },
}

#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum No {
    #[error("there is no such course")]
    NoCourse,
    #[error("the course is full")]
    Full,
    #[error("the course is there already")]
    Exists,
    #[error("the student is enrolled already")]
    Twice,
    #[error("the student has {COURSES_MAX} courses")]
    Busy,
}

/// The seats of one course.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Seats {
    course: String,
    seats: Option<u32>,
    taken: Vec<String>,
}

impl Seats {
    #[must_use]
    pub fn of(course: &str) -> Self {
        let course = course.to_owned();
        Self {
            course,
            ..Self::default()
        }
    }

    #[must_use]
    pub fn known(course: &str, seats: u32, taken: &[&str]) -> Self {
        Self {
            seats: Some(seats),
            taken: taken.iter().map(ToString::to_string).collect(),
            ..Self::of(course)
        }
    }
}

impl View for Seats {
    type Event = School;

    fn scope(&self) -> Scope {
        Scope::of::<School>().tag("course", &self.course)
    }

    fn evolve(&mut self, event: &School, _: &RecordedEvent) {
        match event {
            School::CourseDefined { seats, .. } => self.seats = Some(*seats),
            School::StudentEnrolled { student, .. } => self.taken.push(student.clone()),
        }
    }
}

/// The courses of one student.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StudentLoad {
    student: String,
    courses: u32,
}

impl StudentLoad {
    #[must_use]
    pub fn of(student: &str) -> Self {
        let student = student.to_owned();
        Self {
            student,
            courses: 0,
        }
    }

    #[must_use]
    pub const fn courses(&self) -> u32 {
        self.courses
    }
}

impl View for StudentLoad {
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

#[derive(Clone, Debug)]
pub struct Define {
    pub course: String,
    pub seats: u32,
}

impl Decision for Define {
    type Views = Seats;
    type Event = School;
    type Error = No;

    fn stream(&self) -> String {
        format!("course-{}", self.course)
    }

    fn views(&self) -> Seats {
        Seats::of(&self.course)
    }

    fn decide(&self, seats: &Seats, _: &mut Env) -> Result<Emit<School>, No> {
        if seats.seats.is_some() {
            return Err(No::Exists);
        }
        Ok(School::CourseDefined {
            course: self.course.clone(),
            seats: self.seats,
        }
        .into())
    }
}

#[derive(Clone, Debug)]
pub struct Enroll {
    pub course: String,
    pub student: String,
}

impl Decision for Enroll {
    type Views = (Seats, StudentLoad);
    type Event = School;
    type Error = No;

    fn stream(&self) -> String {
        format!("student-{}", self.student)
    }

    fn views(&self) -> (Seats, StudentLoad) {
        (Seats::of(&self.course), StudentLoad::of(&self.student))
    }

    fn decide(&self, (seats, load): &Self::Views, _: &mut Env) -> Result<Emit<School>, No> {
        let capacity = seats.seats.ok_or(No::NoCourse)?;
        if seats.taken.contains(&self.student) {
            return Err(No::Twice);
        }
        if seats.taken.len() >= capacity as usize {
            return Err(No::Full);
        }
        if load.courses >= COURSES_MAX {
            return Err(No::Busy);
        }
        let (course, student) = (self.course.clone(), self.student.clone());
        Ok(School::StudentEnrolled { course, student }.into())
    }
}
