//! Putting the parts of a store together, before its threads run.

use std::sync::{Arc, Weak};

use factum_io::Env;
use factum_io::disk::DirLock;

use crate::buffers::Buffers;
use crate::catalog::HAS_CONTROL;
use crate::core::{Core, HeadOf, Publisher, Queue};
use crate::key::id_fingerprint;
use crate::log::{FrameLog, SegmentLog};
use crate::maintain::Maintenance;
use crate::mutant::{Mutant, on};
use crate::open::{Opened, Writing};
use crate::options::Options;
use crate::read::page::Want;
use crate::read::{Page, PagesHeld};
use crate::reader::Reader;
use crate::report::OpenReport;
use crate::seal::Sealer;
use crate::sequence::{IdWindow, SegmentContext, Sequencer, StreamTail};
use crate::subscribe::Waiters;
use crate::view::{Published, Unsealed, UnsealedHead, View};

/// The parts of a store, before its threads run.
#[derive(Debug)]
pub(crate) struct Parts {
    pub(crate) env: Env,
    pub(crate) reader: Arc<Reader>,
    pub(crate) core: Option<Arc<Core>>,
    pub(crate) maintenance: Option<Arc<Maintenance>>,
    pub(crate) sealer: Option<Arc<Sealer>>,
    pub(crate) report: OpenReport,
    pub(crate) lock: Option<Box<dyn DirLock>>,
}

/// No more bytes than this, or than two segments have, are kept in buffers that nobody uses.
const BUFFERS_MAX: u64 = 128 << 20;

/// Puts the parts of an opened store together.
pub(crate) fn assemble(mut opened: Opened, options: &Options) -> Parts {
    let buffer_bytes = (2 * opened.catalog.manifest().segment_bytes).min(BUFFERS_MAX);
    let reader = Arc::new(Reader {
        published: Published::new(opened.view, opened.next_position),
        keyer: opened.keyer.clone(),
        clock: Arc::clone(&opened.env.clock),
        waiters: Waiters::default(),
        buffers: Arc::new(Buffers::new(buffer_bytes)),
        pages: PagesHeld::default(),
        accept_lost_tails: options.accept_lost_tails,
    });
    reader.waiters.start(opened.next_position);
    let mut parts = Parts {
        env: opened.env,
        reader: Arc::clone(&reader),
        core: None,
        maintenance: None,
        sealer: Some(Arc::clone(&opened.sealer)),
        report: opened.report,
        lock: opened.lock.take(),
    };
    let Some(Writing {
        supply,
        start,
        current,
    }) = opened.writing
    else {
        return parts;
    };
    let maintenance = Arc::new(Maintenance::new(
        Arc::clone(&opened.sealer),
        Arc::clone(&supply),
    ));
    let published_seq = start.next_seq - 1;
    let context = start.context;
    let ids = recent_ids(&reader, options.id_window);
    let keyer = opened.keyer;
    let mut sequencer = Sequencer::new(
        keyer,
        context,
        opened.next_position,
        opened.last_time,
        ids,
        options.streams_in_memory,
    );
    if !on(Mutant::NamesForgotten) {
        sequencer.know_names(&current.read());
    }
    know_streams(&mut sequencer, &reader);
    current.keep_in(&reader.buffers);
    let buffers = Arc::clone(&reader.buffers);
    let log: Box<dyn FrameLog> = Box::new(SegmentLog::new(supply, start, buffers));
    let head_of = head_of(Arc::clone(&opened.catalog));
    let rolled = Arc::downgrade(&maintenance);
    let on_rolled = Box::new(move || {
        if let Some(maintenance) = Weak::upgrade(&rolled) {
            maintenance.want();
        }
    });
    let publisher = Publisher::new(published_seq, current, head_of, on_rolled);
    let queue = Queue::new(options.queue);
    parts.core = Some(Arc::new(Core::new(
        log, reader, sequencer, publisher, queue,
    )));
    parts.maintenance = Some(maintenance);
    parts
}

/// A store in memory.
pub(crate) fn assemble_memory(env: Env, log: Box<dyn FrameLog>) -> Parts {
    let options = Options::new("");
    let context = SegmentContext {
        number: 1,
        base_time: 0,
    };
    let keyer = crate::key::Keyer::new([0; 16]);
    let head = UnsealedHead {
        number: context.number,
        key: factum_format::SegmentKey {
            salt: 0,
            segment: context.number,
        },
        base_position: 0,
        base_time: 0,
    };
    let current = Arc::new(Unsealed::new(head, keyer.clone()));
    let view = View {
        sealed: Vec::new(),
        unsealed: vec![Arc::clone(&current)],
    };
    let reader = Arc::new(Reader {
        published: Published::new(view, 0),
        keyer: keyer.clone(),
        clock: Arc::clone(&env.clock),
        waiters: Waiters::default(),
        buffers: Arc::new(Buffers::new(0)),
        pages: PagesHeld::default(),
        accept_lost_tails: options.accept_lost_tails,
    });
    let ids = IdWindow::new(options.id_window);
    let sequencer = Sequencer::new(keyer, context, 0, i64::MIN, ids, options.streams_in_memory);
    let publisher = Publisher::new(0, current, Box::new(|_| None), Box::new(|| {}));
    let queue = Queue::new(options.queue);
    let core = Core::new(log, Arc::clone(&reader), sequencer, publisher, queue);
    Parts {
        env,
        reader,
        core: Some(Arc::new(core)),
        maintenance: None,
        sealer: None,
        report: OpenReport::default(),
        lock: None,
    }
}

fn head_of(catalog: Arc<crate::catalog::Catalog>) -> HeadOf {
    Box::new(move |number| {
        let manifest = catalog.manifest();
        let entry = manifest
            .segments
            .iter()
            .find(|entry| entry.number == number)?;
        Some(UnsealedHead::from(entry))
    })
}

/// The tails of all streams in the segments in memory. Callers rely on the sequencer to know these.
fn know_streams(sequencer: &mut Sequencer, reader: &Reader) {
    let view = reader.published.view();
    let simple = view
        .sealed
        .iter()
        .all(|sealed| sealed.entry.flags & HAS_CONTROL == 0)
        && view
            .unsealed
            .iter()
            .all(|unsealed| unsealed.read().controls.is_empty())
        && view.unsealed_is_whole();
    for unsealed in &view.unsealed {
        let content = unsealed.read();
        for stream in content
            .streams
            .iter()
            .filter(|s| s.known && content.has_written(s.key))
        {
            let tail = match stream.ordinals.last() {
                Some(last) if simple => {
                    let after = unsealed.head.base_position + u64::from(*last) + 1;
                    let next_revision = stream
                        .first_revision
                        .saturating_add(stream.ordinals.len() as u64);
                    let (after_last_event, after_last_record) = (after, after);
                    StreamTail {
                        next_revision,
                        after_last_event,
                        after_last_record,
                        ..StreamTail::default()
                    }
                }
                // What cannot be read now is looked up, and reported, when the stream is written.
                _ => match reader.proven_tail(&stream.name) {
                    Ok(tail) => tail,
                    Err(_) => continue,
                },
            };
            sequencer.know_stream(stream.key, tail);
        }
    }
}

/// How many records are looked at when a store is opened for each id that is to be remembered: most records are events.
const RECORDS_LOOKED_AT: usize = 8;

/// The ids of the last events: from the segments in memory, and from as many sealed ones before them as the window reaches back.
fn recent_ids(reader: &Reader, capacity: usize) -> IdWindow {
    let mut window = IdWindow::new(capacity);
    if on(Mutant::IdsForgotten) {
        return window;
    }
    let view = reader.published.view();
    let mut in_memory = Vec::new();
    view.unsealed
        .iter()
        .for_each(|segment| ids_in_memory(&mut in_memory, segment));
    let mut sealed = sealed_ids(reader, &view, capacity.saturating_sub(in_memory.len()));
    sealed.reverse();
    for (fingerprint, position) in sealed.into_iter().chain(in_memory) {
        window.insert(fingerprint, position);
    }
    window
}

/// The last so many events of sealed segments, by their indexes, newest first. Looks at no more than [`RECORDS_LOOKED_AT`] records for each of
/// them, so that opening takes its time and not longer. Of what cannot be read no repetition can be answered either.
fn sealed_ids(reader: &Reader, view: &View, wanted: usize) -> Vec<(u64, u64)> {
    let mut found = Vec::new();
    let mut looks = wanted.saturating_mul(RECORDS_LOOKED_AT);
    let mut segments = view.sealed.iter().rev();
    let mut segment = segments.next();
    let mut until = u32::MAX;
    while let Some(sealed) = segment.filter(|_| found.len() < wanted && looks > 0) {
        let end = until.min(crate::number::clamp_u32(sealed.entry.record_count));
        let missing = (wanted - found.len()).min(looks);
        let mut ordinals = end.saturating_sub(crate::number::clamp_u32(missing as u64))..end;
        (until, looks) = (ordinals.start, looks - ordinals.len());
        if until == 0 {
            (segment, until) = (segments.next(), u32::MAX);
        }
        let want = Want {
            count: usize::MAX,
            bytes: usize::MAX,
            control: false,
            control_revisions: 0..0,
        };
        let mut page = Page::default();
        if page.fetch_sealed(sealed, &mut ordinals, &want).is_ok() {
            let of_segment = page.iter().filter_map(Result::ok).map(|event| {
                let stream = reader.keyer.stream(event.stream());
                (
                    id_fingerprint(stream, event.id().as_u128()),
                    event.position().raw(),
                )
            });
            found.extend(of_segment.collect::<Vec<_>>().into_iter().rev());
        }
    }
    found
}

fn ids_in_memory(found: &mut Vec<(u64, u64)>, segment: &Unsealed) {
    let content = segment.read();
    for ordinal in 0..content.record_count() {
        let position = segment.head.base_position + ordinal as u64;
        let Some(bytes) = content.record_bytes(crate::number::to_u32(ordinal)) else {
            continue;
        };
        let Ok((record, _)) = factum_format::record::decode_unverified(bytes, position) else {
            continue;
        };
        if record.kind == factum_format::record::RecordKind::EVENT {
            let stream = content.streams[record.stream_ref as usize].key;
            let fingerprint = id_fingerprint(stream, u128::from_be_bytes(record.id));
            found.push((fingerprint, position));
        }
    }
}
