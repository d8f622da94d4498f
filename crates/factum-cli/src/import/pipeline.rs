//! Both halves of an import side by side.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::task::Poll;
use std::time::Duration;

use factum_io::{Clock, Env};
use factum_store::{EventStore, Receipt, StoreError};
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesOrdered;
use futures_util::{FutureExt, StreamExt};

use super::parse::{Chunk, Parser};
use super::plan::{Plan, Planner};
use super::seen::ContentHasher;
use super::{APPENDS_IN_FLIGHT, CHUNKS_WAITING, Effect, Settings, Tally};
use crate::failure::{Failure, Outcome};
use crate::files::Input;
use crate::interrupt::Interrupt;

/// How often Ctrl-C is looked for while nothing comes.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// How long what was sent is waited for after Ctrl-C, and how often it is looked at then.
const GRACE_NS: u64 = 2_000_000_000;
const LANDED_EVERY: Duration = Duration::from_millis(5);

/// How an import ended. What was done counts also when it failed.
#[derive(Debug)]
pub(crate) struct Finished {
    /// What was done.
    pub(crate) tally: Tally,
    /// Why it ended early, if it did.
    pub(crate) outcome: Outcome,
}

/// Is told how far it is, and which lines are wrong.
pub(crate) trait Watcher {
    /// So much is done.
    fn step(&mut self, tally: &Tally);
    /// A line was passed over.
    fn wrong(&mut self, message: &str);
}

/// An append in flight.
struct Landed {
    events: u64,
    lines: (u64, u64),
    result: Result<Receipt, StoreError>,
}

struct Pipeline<'a> {
    name: &'a str,
    effect: Effect,
    store: Arc<dyn EventStore>,
    planner: Planner,
    in_flight: FuturesOrdered<BoxFuture<'a, Landed>>,
    tally: Tally,
}

/// Imports `input` into `store`.
pub(crate) fn run(
    input: Input,
    settings: Settings,
    store: &Arc<dyn EventStore>,
    env: &Env,
    interrupt: &Interrupt,
    watcher: &mut dyn Watcher,
) -> Finished {
    let hasher = ContentHasher::default();
    let parser = Parser::new(input.name.clone(), settings, hasher.clone());
    let (sender, chunks) = sync_channel(CHUNKS_WAITING);
    let reader = input.reader;
    let body = move || parser.run(reader, &sender);
    let thread = match env.spawner.spawn("import", Box::new(body)) {
        Ok(thread) => thread,
        Err(error) => {
            let outcome = Err(Failure::io("cannot start a thread", &error));
            return Finished {
                tally: Tally::default(),
                outcome,
            };
        }
    };
    let finished = pollster::block_on(consume(
        &input.name,
        settings,
        store,
        hasher,
        chunks,
        (interrupt, &*env.clock),
        watcher,
    ));
    if interrupt.came() {
        // The thread may be waiting for a file that is slow to come. It has nothing that could be lost.
        return finished;
    }
    match thread.join() {
        Ok(()) => finished,
        Err(_panic) => Finished {
            outcome: Err(Failure::error(
                "reading the file ended in a bug; please report it",
            )),
            ..finished
        },
    }
}

async fn consume(
    name: &str,
    settings: Settings,
    store: &Arc<dyn EventStore>,
    hasher: ContentHasher,
    chunks: Receiver<Chunk>,
    (interrupt, clock): (&Interrupt, &dyn Clock),
    watcher: &mut dyn Watcher,
) -> Finished {
    let head = interrupt.unless_came(store.head()).await;
    let is_empty = match head.and_then(|head| Ok(head?.is_none())) {
        Ok(is_empty) => is_empty,
        Err(failure) => {
            return Finished {
                tally: Tally::default(),
                outcome: Err(failure),
            };
        }
    };
    let planner = Planner::new(
        Arc::clone(store),
        hasher,
        name.to_owned(),
        settings.invalid,
        is_empty,
    );
    let mut pipeline = Pipeline {
        name,
        effect: settings.effect,
        store: Arc::clone(store),
        planner,
        in_flight: FuturesOrdered::new(),
        tally: Tally::default(),
    };
    let work = pipeline.chunks(chunks, interrupt, watcher);
    let outcome = interrupt.unless_came(work).await.flatten();
    // Whatever ended it: what was sent is waited for, and what landed counts. The first failure is the one to tell.
    let landed = match interrupt.unless_came(pipeline.wait_for(0)).await {
        Ok(landed) => landed,
        Err(interrupted) => pipeline.wait_a_while(clock).await.and(Err(interrupted)),
    };
    watcher.step(&pipeline.tally);
    Finished {
        tally: pipeline.tally,
        outcome: outcome.and(landed),
    }
}

/// The next chunk; a file that is slow to come must not keep Ctrl-C waiting.
fn next(chunks: &Receiver<Chunk>, interrupt: &Interrupt) -> Outcome<Option<Chunk>> {
    loop {
        interrupt.check()?;
        match chunks.recv_timeout(LOOK_EVERY) {
            Ok(chunk) => return Ok(Some(chunk)),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => {
                // Whoever wrote the file may have been ended by the same Ctrl-C.
                interrupt.check()?;
                return Ok(None);
            }
        }
    }
}

impl Pipeline<'_> {
    async fn chunks(
        &mut self,
        chunks: Receiver<Chunk>,
        interrupt: &Interrupt,
        watcher: &mut dyn Watcher,
    ) -> Outcome {
        while let Some(mut chunk) = next(&chunks, interrupt)? {
            self.tally.repeated += chunk.repeated;
            let failure = chunk.failure.take();
            self.tell(&std::mem::take(&mut chunk.wrong), watcher);
            let (plan, refused) = match self.planner.plan(chunk, &mut self.tally).await {
                Ok(plan) => (plan, None),
                Err((plan, failure)) => (plan, Some(failure)),
            };
            self.tell(&plan.wrong, watcher);
            self.send(plan).await?;
            if let Some(failure) = refused.or(failure) {
                // It says that all before it is stored: an append that failed comes first.
                self.wait_for(0).await?;
                return Err(failure);
            }
            watcher.step(&self.tally);
        }
        Ok(())
    }

    fn tell(&mut self, wrong: &[String], watcher: &mut dyn Watcher) {
        self.tally.invalid += wrong.len() as u64;
        for message in wrong {
            watcher.wrong(message);
        }
    }

    async fn send(&mut self, plan: Plan) -> Outcome {
        let Some(batch) = plan.batch else {
            return Ok(());
        };
        if self.effect == Effect::DryRun {
            self.tally.added += plan.events;
            return Ok(());
        }
        self.wait_for(APPENDS_IN_FLIGHT - 1).await?;
        let store = Arc::clone(&self.store);
        let (events, lines) = (plan.events, plan.lines);
        let append = async move {
            Landed {
                events,
                lines,
                result: store.append(batch).await,
            }
        };
        self.in_flight.push_back(append.boxed());
        self.look().await
    }

    /// Waits until at most `left` appends are in flight.
    async fn wait_for(&mut self, left: usize) -> Outcome {
        let mut outcome = Ok(());
        while self.in_flight.len() > left {
            if let Some(landed) = self.in_flight.next().await {
                outcome = outcome.and(self.landed(landed));
            }
        }
        outcome
    }

    /// Waits for what is in flight, but not for a store that says nothing: importing again finds out what of it was stored.
    async fn wait_a_while(&mut self, clock: &dyn Clock) -> Outcome {
        let until = clock.monotonic_ns() + GRACE_NS;
        while !self.in_flight.is_empty() && clock.monotonic_ns() < until {
            self.look().await?;
            clock.sleep(LANDED_EVERY);
        }
        self.look().await
    }

    /// Sets new appends off, and takes what has landed, without waiting.
    async fn look(&mut self) -> Outcome {
        while let Some(landed) =
            std::future::poll_fn(|context| match self.in_flight.poll_next_unpin(context) {
                Poll::Ready(landed) => Poll::Ready(landed),
                Poll::Pending => Poll::Ready(None),
            })
            .await
        {
            self.landed(landed)?;
        }
        Ok(())
    }

    fn landed(&mut self, landed: Landed) -> Outcome {
        match landed.result {
            Ok(receipt) if receipt.replayed => self.tally.already_there += landed.events,
            Ok(_) => self.tally.added += landed.events,
            Err(error) => {
                let (first, last) = landed.lines;
                let name = self.name;
                return Err(Failure::from(error)
                    .while_doing(format_args!("{name}: lines {first} to {last}")));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
