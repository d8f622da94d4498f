//! `factum tail`.

use std::time::Duration;

use factum_store::{
    Kind, ReadFrom, ReadRequest, Source, StoreError, SubscribeFrom, SubscribeRequest,
    SubscriptionItem,
};
use factum_types::{Position, RecordedEvent};
use futures_util::future::{Either, select};

use crate::context::Context;
use crate::failure::{Failure, Outcome};
use crate::interrupt::Interrupt;
use crate::printer::Printer;
use crate::source::SourceArgs;
use crate::store::{self, Access, Store};

/// How often a store that another process writes is looked at again.
const LOOK_AGAIN: Duration = Duration::from_millis(250);

/// What to follow.
#[derive(Debug, clap::Args)]
#[command(
    long_about = "Prints the last events, oldest of them first, and with --follow those that come after, until Ctrl-C (exit code 130).",
    after_long_help = "Examples:\n  factum tail                     the last ten events of all streams\n  \
factum tail -f --category order\n  factum tail -f -n 0 --type OrderPlaced -o ndjson | jq .data"
)]
pub(crate) struct TailArgs {
    #[command(flatten)]
    source: SourceArgs,
    /// Go on with what is appended from now on
    #[arg(short, long)]
    follow: bool,
    /// How many of the last events
    #[arg(short = 'n', long, value_name = "N", default_value_t = 10)]
    limit: u64,
}

/// Prints the last events, and follows.
pub(crate) fn run(args: &TailArgs, context: &mut Context) -> Outcome {
    let source = args.source.chosen().unwrap_or(Source::All);
    let interrupt = if args.follow {
        Some(Interrupt::watch(&context.env)?)
    } else {
        None
    };
    let store = store::open(context, Access::Read)?;
    let mut printer = Printer::new(&context.ui);
    let head = pollster::block_on(store.events.head())?;
    let last = last_events(&store, &source, args)?;
    let mut seen = None;
    for item in last {
        match item {
            Ok(event) => {
                seen = Some(event.position);
                printer.event(&mut context.ui, &event)?;
            }
            Err(error) => {
                seen = error.as_damage().map_or(seen, |damage| Some(damage.last));
                printer.damage(&mut context.ui, &Failure::from(error))?;
            }
        }
    }
    let Some(interrupt) = interrupt else {
        printer.end(&mut context.ui)?;
        return store.close();
    };
    printer.flush(&mut context.ui)?;
    // What was printed is behind us; so is what stood before the look, when nothing was asked to be printed of it.
    let after = seen.or(head);
    let followed = if store.is_live {
        follow(&store, source, after, &interrupt, &mut printer, context)
    } else {
        store.close()?;
        look_again(&source, after, &interrupt, &mut printer, context)
    };
    printer.end_after(&mut context.ui, followed).map(drop)
}

/// The last events, oldest first; one that is damaged is an error in its place.
fn last_events(
    store: &Store,
    source: &Source,
    args: &TailArgs,
) -> Outcome<Vec<Result<RecordedEvent, StoreError>>> {
    let request = ReadRequest::backward(source.clone()).limit(args.limit);
    let mut events = store.events.read(request);
    let mut items = Vec::new();
    while let Some(item) = pollster::block_on(events.next()) {
        match item {
            Err(error) if error.kind() == Kind::NotFound && args.follow => break,
            Err(error) if error.kind() != Kind::Corrupt => return Err(error.into()),
            item => items.push(item),
        }
    }
    items.reverse();
    Ok(items)
}

fn follow(
    store: &Store,
    source: Source,
    after: Option<Position>,
    interrupt: &Interrupt,
    printer: &mut Printer,
    context: &mut Context,
) -> Outcome {
    let from = after.map_or(SubscribeFrom::Start, SubscribeFrom::After);
    let mut events = store
        .events
        .subscribe(SubscribeRequest::new(source).from(from));
    pollster::block_on(async {
        loop {
            let next = std::pin::pin!(events.next());
            let item = match select(interrupt, next).await {
                Either::Left(_) => return Err(Failure::interrupted()),
                Either::Right((item, _)) => item,
            };
            match item {
                Some(Ok(SubscriptionItem::Event(event))) => {
                    printer.event(&mut context.ui, &event)?;
                    printer.flush(&mut context.ui)?;
                }
                Some(Ok(_)) => {}
                Some(Err(error)) if error.kind() == Kind::Corrupt => {
                    printer.damage(&mut context.ui, &Failure::from(error))?;
                }
                Some(Err(error)) => return Err(Failure::from(error)),
                None => return Ok(()),
            }
        }
    })
}

/// Follows a store that another process may write: nobody tells us of its appends, so the store is opened again
/// whenever its files have changed.
fn look_again(
    source: &Source,
    mut after: Option<Position>,
    interrupt: &Interrupt,
    printer: &mut Printer,
    context: &mut Context,
) -> Outcome {
    let mut seen = store::trace(&context.data);
    let mut changed = true;
    loop {
        context.env.clock.sleep(LOOK_AGAIN);
        interrupt.check()?;
        let trace = store::trace(&context.data);
        // One look more after the last change: times of files are too coarse to tell two changes in a row apart.
        let look = changed;
        changed = trace != seen;
        seen = trace;
        if !look && !changed {
            continue;
        }
        let store = store::open(context, Access::Read)?;
        let from = match after {
            None => ReadFrom::Start,
            Some(position) => match position.next() {
                Some(next) => ReadFrom::Position(next),
                None => return Err(Failure::error("the store has used all its positions")),
            },
        };
        let mut events = store
            .events
            .read(ReadRequest::forward(source.clone()).from(from));
        loop {
            match pollster::block_on(events.next()) {
                Some(Ok(event)) => {
                    after = Some(event.position);
                    printer.event(&mut context.ui, &event)?;
                }
                Some(Err(error)) if error.kind() == Kind::Corrupt => {
                    after = error.as_damage().map_or(after, |damage| Some(damage.last));
                    printer.damage(&mut context.ui, &Failure::from(error))?;
                }
                Some(Err(error)) if error.kind() == Kind::NotFound => break,
                Some(Err(error)) => return Err(error.into()),
                None => break,
            }
        }
        printer.flush(&mut context.ui)?;
        store.close()?;
    }
}
