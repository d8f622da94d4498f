//! Appends of one call that are under way: those that came together are handed to the store together, and wait together.
//!
//! Relies on: what is handed to the store is taken when its future is first looked at. Never: limits anything; the call does.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use factum_store::{AppendBatch, Receipt, StoreError};
use futures_core::future::BoxFuture;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;

use crate::node::Node;
use crate::overdue::{Late, up_to_a_ring};

/// Not more appends than this are handed over together, so that the first of them need not wait for all that a client sends.
const TOGETHER_MAX: usize = 128;

/// As many bytes fill a frame of the store; more would only wait longer.
const TOGETHER_BYTES: usize = 1 << 20;

/// What is left to do with an append once it is known what became of it.
pub(crate) trait Rest: Send + Unpin + 'static {
    type Answer: Send + Unpin + 'static;

    fn answer(self, outcome: Outcome) -> Self::Answer;
}

/// What became of an append.
pub(crate) type Outcome = Result<Result<Receipt, StoreError>, Late>;

/// Answers to come, as they come.
pub(crate) struct Flight<R: Rest> {
    gathered: Gathered<R>,
    running: FuturesUnordered<Running<R::Answer>>,
    answered: VecDeque<R::Answer>,
    count: usize,
    bytes: usize,
}

/// Appends that the store does not have yet.
struct Gathered<R> {
    batches: Vec<AppendBatch>,
    rests: Vec<R>,
    bytes: usize,
    time: Duration,
}

/// Appends that the store has, and what they take, in bytes.
struct Running<A> {
    answers: BoxFuture<'static, Vec<A>>,
    count: usize,
    bytes: usize,
}

impl<R: Rest> Flight<R> {
    pub(crate) fn new() -> Self {
        Self {
            gathered: Gathered::new(),
            running: FuturesUnordered::new(),
            answered: VecDeque::new(),
            count: 0,
            bytes: 0,
        }
    }

    /// How many appends are under way.
    pub(crate) const fn len(&self) -> usize {
        self.count
    }

    /// Whether no answer is to come.
    pub(crate) fn is_empty(&self) -> bool {
        self.count == 0 && self.answered.is_empty()
    }

    pub(crate) const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Begins an append that takes so many bytes, and no longer than a time. It is handed over with the others that come now, by
    /// [`hand_over`](Self::hand_over).
    pub(crate) fn gather(
        &mut self,
        node: &Arc<Node>,
        (batch, bytes): (AppendBatch, usize),
        time: Duration,
        rest: R,
        context: &mut Context<'_>,
    ) {
        let time = up_to_a_ring(time);
        let is_full = self.gathered.rests.len() >= TOGETHER_MAX
            || self.gathered.bytes.saturating_add(bytes) > TOGETHER_BYTES;
        if self.gathered.time != time || is_full {
            self.hand_over(node, context);
            self.gathered.time = time;
        }
        self.gathered.batches.push(batch);
        self.gathered.rests.push(rest);
        self.gathered.bytes += bytes;
        self.count += 1;
        self.bytes += bytes;
    }

    /// Begins an append that goes its own way, after those before it.
    pub(crate) fn begin(
        &mut self,
        node: &Arc<Node>,
        bytes: usize,
        answer: impl Future<Output = R::Answer> + Send + 'static,
        context: &mut Context<'_>,
    ) {
        self.hand_over(node, context);
        self.count += 1;
        self.bytes += bytes;
        let answers = Box::pin(async move { vec![answer.await] });
        self.run(answers, 1, bytes, context);
    }

    /// Hands to the store what was gathered; says whether that was anything.
    pub(crate) fn hand_over(&mut self, node: &Arc<Node>, context: &mut Context<'_>) -> bool {
        if self.gathered.rests.is_empty() {
            return false;
        }
        let gathered = std::mem::replace(&mut self.gathered, Gathered::new());
        let (count, bytes) = (gathered.rests.len(), gathered.bytes);
        self.run(gathered.answers(Arc::clone(node)), count, bytes, context);
        true
    }

    fn run(
        &mut self,
        mut answers: BoxFuture<'static, Vec<R::Answer>>,
        count: usize,
        bytes: usize,
        context: &mut Context<'_>,
    ) {
        // The first look at a future is what hands its appends over. It has to be now, or later ones might be first.
        match answers.as_mut().poll(context) {
            Poll::Ready(answers) => self.done(answers, count, bytes),
            Poll::Pending => self.running.push(Running {
                answers,
                count,
                bytes,
            }),
        }
    }

    fn done(&mut self, answers: Vec<R::Answer>, count: usize, bytes: usize) {
        self.count -= count;
        self.bytes -= bytes;
        self.answered.extend(answers);
    }

    /// The next answer; `None` when none is to come of what was handed over.
    pub(crate) fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Option<R::Answer>> {
        loop {
            if let Some(answer) = self.answered.pop_front() {
                return Poll::Ready(Some(answer));
            }
            let Some((answers, count, bytes)) = ready!(self.running.poll_next_unpin(context))
            else {
                return Poll::Ready(None);
            };
            self.done(answers, count, bytes);
        }
    }
}

impl<R: Rest> Gathered<R> {
    const fn new() -> Self {
        Self {
            batches: Vec::new(),
            rests: Vec::new(),
            bytes: 0,
            time: Duration::ZERO,
        }
    }

    fn answers(self, node: Arc<Node>) -> BoxFuture<'static, Vec<R::Answer>> {
        Box::pin(async move {
            let outcomes = node.append_each_within(self.batches, self.time).await;
            let pairs = self.rests.into_iter().zip(outcomes);
            pairs.map(|(rest, outcome)| rest.answer(outcome)).collect()
        })
    }
}

impl<A> Future for Running<A> {
    type Output = (Vec<A>, usize, usize);

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let answers = ready!(self.answers.as_mut().poll(context));
        Poll::Ready((answers, self.count, self.bytes))
    }
}

/// What is being found out, if anything is. Once it is known, nothing is.
pub(crate) fn poll_asked<T>(
    asking: &mut Option<BoxFuture<'static, T>>,
    context: &mut Context<'_>,
) -> Option<Poll<T>> {
    let asked = asking.as_mut()?.as_mut().poll(context);
    if asked.is_ready() {
        *asking = None;
    }
    Some(asked)
}

#[cfg(test)]
mod tests {
    use std::future::{pending, poll_fn, ready};
    use std::sync::Arc;
    use std::task::{Context, Poll};
    use std::time::Duration;

    use factum_io::Env;
    use factum_store::{AppendBatch, EventStore, MemoryStore};
    use factum_types::{EventId, EventType, ExpectedRevision, NewEvent, Revision, StreamName};

    use super::{Flight, Outcome, Rest, TOGETHER_BYTES, TOGETHER_MAX, poll_asked};
    use crate::auth::Mode;
    use crate::node::Node;
    use crate::options::Options;

    const LONG: Duration = Duration::from_secs(30);

    /// Gives the revision at which it landed, and its number.
    struct Number(u64);

    impl Rest for Number {
        type Answer = (u64, Option<u64>);

        fn answer(self, outcome: Outcome) -> Self::Answer {
            let receipt = outcome.unwrap().ok();
            let revision = receipt.and_then(|receipt| receipt.writes[0].last_revision);
            (self.0, revision.map(Revision::number))
        }
    }

    struct Called {
        node: Arc<Node>,
        store: MemoryStore,
        flight: Flight<Number>,
        /// What each takes, in bytes.
        each: usize,
    }

    impl Called {
        async fn new() -> Self {
            let store = MemoryStore::new();
            let mut options = Options::default();
            options.auth.mode = Mode::Insecure;
            let node = Node::start(Arc::new(store.clone()), options, Env::real());
            Self {
                node: node.await.unwrap(),
                store,
                flight: Flight::new(),
                each: 10,
            }
        }

        fn gather(
            &mut self,
            number: u64,
            expected: ExpectedRevision,
            time: Duration,
            context: &mut Context<'_>,
        ) {
            let mut id = [0; 16];
            id[..8].copy_from_slice(&(number + 1).to_be_bytes());
            let kind = EventType::new("Happened").unwrap();
            let event = NewEvent::json(EventId::from_bytes(id), kind, "{}");
            let stream = StreamName::new("s").unwrap();
            let batch = AppendBatch::events(stream, expected, vec![event]);
            self.flight.gather(
                &self.node,
                (batch, self.each),
                time,
                Number(number),
                context,
            );
        }

        /// How many events the store has.
        async fn stored(&self) -> u64 {
            let head = self.store.head().await.unwrap();
            head.map_or(0, |head| head.raw() + 1)
        }

        async fn look(&mut self, mut look: impl FnMut(&mut Self, &mut Context<'_>)) {
            poll_fn(|context| {
                look(self, context);
                Poll::Ready(())
            })
            .await;
        }

        async fn next(&mut self) -> Option<(u64, Option<u64>)> {
            poll_fn(|context| self.flight.poll_next(context)).await
        }
    }

    #[tokio::test]
    async fn what_is_gathered_is_handed_over_together_and_each_is_answered() {
        let mut call = Called::new().await;
        let before = call.stored().await;
        call.look(|call, context| {
            assert!(!call.flight.hand_over(&call.node, context));
            call.gather(0, ExpectedRevision::Any, LONG, context);
            call.gather(1, ExpectedRevision::NoStream, LONG, context);
            call.gather(2, ExpectedRevision::Any, LONG, context);
            assert_eq!((call.flight.len(), call.flight.bytes()), (3, 30));
        })
        .await;
        assert_eq!(
            call.stored().await,
            before,
            "the store has none of them yet"
        );
        call.look(|call, context| assert!(call.flight.hand_over(&call.node, context)))
            .await;
        assert_eq!(call.stored().await, before + 2);
        assert_eq!(call.next().await, Some((0, Some(0))));
        assert_eq!(call.next().await, Some((1, None)), "there was a stream");
        assert!(!call.flight.is_empty());
        assert_eq!(call.next().await, Some((2, Some(1))));
        assert_eq!(call.next().await, None);
        assert!(call.flight.is_empty());
        assert_eq!((call.flight.len(), call.flight.bytes()), (0, 0));
    }

    #[tokio::test]
    async fn those_with_other_times_and_those_that_are_too_many_are_handed_over_apart() {
        let mut call = Called::new().await;
        let before = call.stored().await;
        call.look(|call, context| {
            call.gather(0, ExpectedRevision::Any, LONG, context);
            call.gather(1, ExpectedRevision::Any, LONG / 2, context);
        })
        .await;
        assert_eq!(call.stored().await, before + 1);
        call.look(|call, context| {
            for number in 0..TOGETHER_MAX as u64 {
                call.gather(2 + number, ExpectedRevision::Any, LONG / 2, context);
            }
        })
        .await;
        assert_eq!(call.stored().await, before + 1 + TOGETHER_MAX as u64);
        assert_eq!(call.flight.len(), 1, "the last one");
        call.look(|call, context| {
            call.each = TOGETHER_BYTES - 10;
            call.gather(900, ExpectedRevision::Any, LONG / 2, context);
            assert_eq!(call.flight.len(), 2, "both fit");
            call.each = 10;
            call.gather(901, ExpectedRevision::Any, LONG / 2, context);
            assert_eq!(call.flight.len(), 1, "there is no room for a third");
        })
        .await;
    }

    #[tokio::test]
    async fn one_that_goes_its_own_way_goes_after_those_before_it() {
        let mut call = Called::new().await;
        let before = call.stored().await;
        let (tell, told) = tokio::sync::oneshot::channel();
        let mut told = Some(told);
        call.look(|call, context| {
            call.gather(0, ExpectedRevision::Any, LONG, context);
            let answer = ready((7, None));
            call.flight.begin(&call.node, 5, answer, context);
            assert_eq!((call.flight.len(), call.flight.bytes()), (0, 0));
            let told = told.take().unwrap();
            let answer = async move { told.await.unwrap() };
            call.flight.begin(&call.node, 20, answer, context);
            call.flight.begin(&call.node, 3, pending(), context);
            assert_eq!((call.flight.len(), call.flight.bytes()), (2, 23));
        })
        .await;
        assert_eq!(call.stored().await, before + 1);
        assert_eq!(call.next().await, Some((0, Some(0))));
        assert_eq!(call.next().await, Some((7, None)));
        call.look(|call, context| assert!(call.flight.poll_next(context).is_pending()))
            .await;
        tell.send((8, None)).unwrap();
        assert_eq!(call.next().await, Some((8, None)));
        assert_eq!((call.flight.len(), call.flight.bytes()), (1, 3));
    }

    #[tokio::test]
    async fn what_was_found_out_is_not_asked_again() {
        let mut asking = None;
        poll_fn(|context| {
            assert!(poll_asked::<u8>(&mut asking, context).is_none());
            asking = Some(Box::pin(ready(5)));
            assert_eq!(poll_asked(&mut asking, context), Some(Poll::Ready(5)));
            assert!(asking.is_none());
            asking = Some(Box::pin(pending()));
            assert_eq!(poll_asked(&mut asking, context), Some(Poll::Pending));
            assert!(asking.is_some());
            Poll::Ready(())
        })
        .await;
    }
}
