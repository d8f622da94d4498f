//! A process in a runner: which events it is given, and in which instance.
//!
//! Relies on: the runner for order, retries and parking. Never: gives an instance anything but through its decider.

use std::marker::PhantomData;

use factum_types::{QueryItem, RecordedEvent, StreamName};
use futures_core::future::BoxFuture;

use super::Process;
use super::instance::{Given, Instance, What, stream_of};
use crate::error::Error;
use crate::inputs::{Inputs, item, items, received};
use crate::note::{MESSAGE_REJECTED, Note, OWNER, is_note};
use crate::receiver::Rejected;
use crate::runner::desk::{Desk, Handled, Hosted, Trouble};

/// A process in a runner.
pub(crate) struct Hosting<P>(PhantomData<fn() -> P>);

impl<P: Process> Hosting<P> {
    pub(crate) const fn new() -> Self {
        Self(PhantomData)
    }

    async fn give(
        desk: &Desk,
        stream: &StreamName,
        event: &RecordedEvent,
        index: usize,
        given: Given<P::Input>,
    ) -> Result<(), Trouble> {
        desk.deliver::<Instance<P>>(stream, given, event, index)
            .await
    }

    async fn inputs(desk: &Desk, event: &RecordedEvent) -> Result<(), Trouble> {
        for (index, input) in P::Input::read(event)?.into_iter().enumerate() {
            let route = P::route(&input, event);
            let Some(key) = route.key() else { continue };
            let stream = StreamName::new(stream_of::<P>(key)).map_err(Error::from)?;
            let given = Given {
                note: received(event, index),
                what: What::Input(input, route),
            };
            Self::give(desk, &stream, event, index, given).await?;
        }
        Ok(())
    }
}

impl<P: Process> Hosted for Hosting<P> {
    fn name(&self) -> String {
        format!("process.{}", P::NAME)
    }

    fn owner(&self) -> Option<&str> {
        Some(P::NAME)
    }

    fn items(&self) -> Result<Vec<QueryItem>, Error> {
        if P::NAME.is_empty() || P::NAME.contains('-') {
            return Err(Error::invalid(format!(
                "{:?} cannot be the name of a process: it is the category of its streams, so it is not empty and has no -",
                P::NAME
            )));
        }
        let mut items = items::<P::Input>()?;
        items.push(item([MESSAGE_REJECTED], Some((OWNER, P::NAME)))?);
        Ok(items)
    }

    fn partitions(&self, event: &RecordedEvent) -> Result<Vec<String>, Error> {
        if is_note(event.event_type.as_str()) {
            return Ok(vec![event.stream.to_string()]);
        }
        let inputs = P::Input::read(event)?;
        let instances = inputs
            .iter()
            .filter_map(|input| P::route(input, event).key().map(stream_of::<P>));
        Ok(instances.collect())
    }

    fn handle<'a>(
        &'a self,
        desk: &'a Desk,
        event: &'a RecordedEvent,
    ) -> BoxFuture<'a, Result<Handled, Trouble>> {
        Box::pin(async move {
            let given = match Note::read(event)? {
                None => {
                    Self::inputs(desk, event).await?;
                    return Ok(Handled::Done);
                }
                Some(Note::TimerSet { timer, .. }) => Given {
                    note: Note::fired(timer.clone(), event),
                    what: What::Timer(timer),
                },
                Some(Note::MessageRejected {
                    message,
                    to,
                    command,
                    reason,
                }) => Given {
                    note: received(event, 0),
                    what: What::Rejected(Rejected::of(&message, to, command, reason)?),
                },
                Some(_) => return Ok(Handled::Done),
            };
            Self::give(desk, &event.stream, event, 0, given).await?;
            Ok(Handled::Done)
        })
    }
}
