//! The seven steps.

use factum_store::{ReadRequest, Source, SubscribeFrom, SubscribeRequest, SubscriptionItem};
use factum_types::{EventType, ExpectedRevision, Query, Revision, StreamName, Tag};

use super::shop::{CANCELLED, FACTS, LIVE, Order, SHIPPED};
use super::{Demo, FIRST_STREAM, named};
use crate::failure::{Failure, Outcome};

impl Demo<'_> {
    pub(super) fn facts(&mut self) -> Outcome {
        self.step(
            "1. Facts are written",
            "A shop takes orders. Each thing that happens is a fact, added to the stream of its order and never changed.\n\
When the store answers, the fact survives a power failure. Position, stream, revision, type, data:",
        )?;
        for fact in FACTS {
            let event = self.new_event(fact)?;
            self.append(fact.order, ExpectedRevision::Any, vec![event])??;
        }
        self.print(ReadRequest::all())
    }

    pub(super) fn one_story(&mut self) -> Outcome {
        self.step(
            "2. One stream is one story",
            "Everything about order-1, and nothing else: factum read order-1",
        )?;
        self.print(ReadRequest::stream(first()?))
    }

    pub(super) fn many_views(&mut self) -> Outcome {
        self.step(
            "3. The same facts, seen otherwise",
            "Facts have a type and tags, so they are found across streams.\nAll placed orders: factum read --type OrderPlaced",
        )?;
        let placed = EventType::new("OrderPlaced").map_err(named)?;
        self.print(ReadRequest::event_type(placed.clone()))?;
        self.words(
            "All orders that Anna placed: factum read --type OrderPlaced --tag customer:anna",
        )?;
        let anna = Tag::new("customer:anna").map_err(named)?;
        self.print(ReadRequest::forward(Source::Query(Query::of(
            [placed],
            [anna],
        ))))
    }

    pub(super) fn time_travel(&mut self) -> Outcome {
        self.step(
            "4. State is derived, at any version",
            "No table holds the order. Its state is its events, folded one after another, so every past state is still there:",
        )?;
        let events = pollster::block_on(self.store.read(ReadRequest::stream(first()?)).collect())?;
        let mut order = Order::default();
        for event in &events {
            order = order.evolve(event);
            let version = event.revision.number() + 1;
            let line = format!(
                "v{version} after {:<14} status {:<9} total {:>2}",
                event.event_type.as_str(),
                order.status,
                order.total
            );
            self.say(&line)?;
        }
        Ok(())
    }

    pub(super) fn conflict(&mut self) -> Outcome {
        self.step(
            "5. Two clerks, one order",
            "Both read order-1 at revision 2. One ships it, the other cancels it; each says which revision it decided on.",
        )?;
        let seen = ExpectedRevision::Exactly(Revision::new(2));
        let shipped = self.new_event(&SHIPPED)?;
        self.append(SHIPPED.order, seen, vec![shipped])??;
        self.say("OrderShipped   expecting revision 2: written as revision 3")?;
        let cancelled = self.new_event(&CANCELLED)?;
        match self.append(CANCELLED.order, seen, vec![cancelled])? {
            Err(error) if error.as_conflict().is_some() => {
                self.say(&format!(
                    "OrderCancelled expecting revision 2: refused, {error}"
                ))?;
            }
            Err(error) => return Err(error.into()),
            Ok(_) => {
                return Err(Failure::error(
                    "the conflict was not noticed; please report this",
                ));
            }
        }
        self.say("Nothing was overwritten. The second clerk reads again, sees the parcel is gone, and decides again.")
    }

    pub(super) fn retry(&mut self) -> Outcome {
        self.step(
            "6. The same request twice",
            "A client sends a fact, loses the connection, and sends it again. The event's id makes it one fact:",
        )?;
        let event = self.new_event(&FACTS[5])?;
        let first = self.append("order-5", ExpectedRevision::NoStream, vec![event.clone()])??;
        self.say(&format!("sent:       position {}", first.last))?;
        let again = self.append("order-5", ExpectedRevision::NoStream, vec![event])??;
        let known = if again.replayed {
            "known already, nothing written"
        } else {
            "written twice"
        };
        self.say(&format!("sent again: position {}, {known}", again.last))
    }

    pub(super) fn live(&mut self) -> Outcome {
        self.step(
            "7. A subscriber follows",
            "It first catches up on what happened, then sees new facts as they come, without a gap or a repeat:",
        )?;
        let request = SubscribeRequest::new(Source::All).from(SubscribeFrom::Start);
        let mut subscription = self.store.subscribe(request);
        let mut caught_up = 0_u64;
        loop {
            let item = pollster::block_on(subscription.next())
                .ok_or_else(|| Failure::error("the subscription ended by itself"))??;
            match item {
                SubscriptionItem::Event(_) => caught_up += 1,
                SubscriptionItem::CaughtUp(_) => break,
                _ => {}
            }
        }
        self.say(&format!("caught up on {caught_up} events; now live"))?;
        let event = self.new_event(&LIVE)?;
        self.append(LIVE.order, ExpectedRevision::NoStream, vec![event])??;
        match pollster::block_on(subscription.next_event())? {
            Some(event) => self.show(&event),
            None => Err(Failure::error("the subscription ended by itself")),
        }
    }

    fn print(&mut self, request: ReadRequest) -> Outcome {
        let events = pollster::block_on(self.store.read(request).collect())?;
        events.iter().try_for_each(|event| self.show(event))
    }
}

fn first() -> Outcome<StreamName> {
    StreamName::new(FIRST_STREAM).map_err(named)
}
