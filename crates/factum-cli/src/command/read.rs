//! `factum read` and `factum cat`.

use factum_store::{Direction, ReadFrom, ReadRequest};

use crate::context::Context;
use crate::failure::{Failure, Outcome};
use crate::printer::Printer;
use crate::source::{From, SourceArgs};
use crate::store::{self, Access};

/// What to read.
#[derive(Debug, clap::Args)]
#[command(
    long_about = "Prints events: of one stream, of all streams, of a category, or by type and tag.\n\nOn a terminal they are \
columns; elsewhere each is one line of JSON, a CloudEvent (`-o` chooses). `--type` given again means any of the types, `--tag` given \
again means all of the tags. An event whose bytes are damaged is named on standard error, the others are printed, and the exit code \
is 7.",
    after_long_help = "Examples:\n  factum read order-1                            the story of one order\n  \
factum read order-1 --backward -n 1            its last event\n  \
factum read order-1 --from 5                   from revision 5 on\n  \
factum read --all --from 1000 -n 50            fifty events from position 1000 on\n  \
factum read --category order -o json           every order, as one JSON array\n  \
factum read --type OrderPlaced --type OrderCancelled --tag customer:anna\n  \
factum cat --all | jq -r .type | sort | uniq -c"
)]
pub(crate) struct ReadArgs {
    #[command(flatten)]
    source: SourceArgs,
    /// Where to begin: start, end, a revision for one stream, a position for all else [default: start, or end for --backward]
    #[arg(long, value_name = "start|end|N")]
    from: Option<From>,
    /// At most this many events
    #[arg(short = 'n', long, value_name = "N")]
    limit: Option<u64>,
    /// Newest first
    #[arg(short, long)]
    backward: bool,
    /// Also the records that delete a stream or change its settings
    #[arg(long)]
    control: bool,
}

impl ReadArgs {
    fn request(&self) -> Outcome<ReadRequest> {
        let source = self.source.chosen().ok_or_else(|| {
            Failure::usage("it was not said which events to read")
                .hint("name a stream, or say --all, --category, --type or --tag")
        })?;
        let (direction, usual) = if self.backward {
            (Direction::Backward, ReadFrom::End)
        } else {
            (Direction::Forward, ReadFrom::Start)
        };
        let from = self.from.map_or(usual, |from| from.of(&source));
        Ok(ReadRequest {
            source,
            from,
            direction,
            limit: self.limit,
            control: self.control,
        })
    }
}

/// Prints the events.
pub(crate) fn run(args: &ReadArgs, context: &mut Context) -> Outcome {
    let request = args.request()?;
    let store = store::open(context, Access::Read)?;
    Printer::new(&context.ui).all(&mut context.ui, store.events.read(request))?;
    store.close()
}
