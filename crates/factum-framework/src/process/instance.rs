//! An instance of a process as a decider: its commands are what it is given.
//!
//! Relies on: idempotency keys, so that what was given before changes nothing. Never: takes an input before it began or after it is over.

use factum_types::RecordedEvent;

use super::{Process, Route};
use crate::book::{Book, Noted};
use crate::decider::Decider;
use crate::emit::Emit;
use crate::env::Env;
use crate::note::Note;
use crate::receiver::Rejected;

/// A process's state, and what the framework keeps of its stream.
#[derive(Debug, Clone)]
pub(crate) struct Instance<P> {
    pub(crate) state: P,
    pub(crate) book: Book,
}

impl<P: Default> Default for Instance<P> {
    fn default() -> Self {
        Self {
            state: P::default(),
            book: Book::default(),
        }
    }
}

/// What an instance is given, and how that is noted.
#[derive(Debug, Clone)]
pub(crate) struct Given<I> {
    pub(crate) note: Note,
    pub(crate) what: What<I>,
}

#[derive(Debug, Clone)]
pub(crate) enum What<I> {
    Input(I, Route),
    Timer(String),
    Rejected(Rejected),
}

impl<P: Process> Decider for Instance<P> {
    type Command = Given<P::Input>;
    type Event = Noted<P::Event>;
    type Error = std::convert::Infallible;

    fn evolve(&mut self, event: &Self::Event, recorded: &RecordedEvent) {
        match event {
            Noted::Note(note) => self.book.take(note, recorded),
            Noted::Event(event) => self.state.evolve(event, recorded),
        }
    }

    fn decide(
        &self,
        Given { note, what }: Self::Command,
        env: &mut Env,
    ) -> Result<Emit<Self::Event>, Self::Error> {
        if !self.book.wants(&note) {
            return Ok(Emit::none());
        }
        let emit = match what {
            What::Input(_, route) if !self.takes(&route, &note) => return Ok(Emit::none()),
            What::Input(input, route) => {
                let emit = self.state.on(&input, env);
                match route {
                    Route::End(_) => emit.end(),
                    _ => emit,
                }
            }
            What::Timer(timer) => self.state.on_timer(&timer, env),
            What::Rejected(rejected) => self.state.on_rejected(&rejected, env),
        };
        Ok(emit.map(Noted::Event).noted(note))
    }
}

impl<P: Process> Instance<P> {
    /// Whether it takes an input, of which this would be noted. The same whenever it is asked, so that a second pass over the inputs
    /// changes nothing: an instance that is over stays so, and what came before it began is not taken afterwards.
    fn takes(&self, route: &Route, note: &Note) -> bool {
        match route {
            Route::Start(_) => !self.book.ended,
            Route::Continue(_) | Route::End(_) => !self.book.ended && self.book.began_before(note),
            Route::Ignore => false,
        }
    }
}

/// The stream of an instance.
pub(crate) fn stream_of<P: Process>(key: &str) -> String {
    format!("{}-{key}", P::NAME)
}
