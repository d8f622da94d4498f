//! What was acknowledged, and whether it is in the log.

use std::collections::BTreeMap;

use bytes::Bytes;
use factum_proto::kurrent::Empty;
use factum_proto::kurrent::streams::ReadReq;
use factum_proto::kurrent::streams::read_req::Options;
use factum_proto::kurrent::streams::read_req::options::all_options::AllOption;
use factum_proto::kurrent::streams::read_req::options::{
    AllOptions, CountOption, FilterOption, StreamOption, UuidOption, uuid_option,
};
use factum_proto::kurrent::streams::read_resp::Content;
use factum_proto::kurrent::streams::streams_client::StreamsClient;
use tonic::transport::Channel;

use super::event::{Event, stream};
use super::in_time;

/// Where each event of one appender landed. Answers may overtake one another; when all is done, all were answered.
#[derive(Debug)]
pub(super) struct Notes {
    appender: u16,
    /// By number.
    revisions: Vec<Option<u64>>,
    /// How many are there.
    count: u64,
}

impl Notes {
    pub(super) const fn new(appender: u16) -> Self {
        Self {
            appender,
            revisions: Vec::new(),
            count: 0,
        }
    }

    pub(super) const fn appender(&self) -> u16 {
        self.appender
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// How many events were acknowledged.
    pub(super) const fn next(&self) -> u64 {
        self.count
    }

    pub(super) fn acknowledge(&mut self, number: u64, revision: u64) {
        let at = usize::try_from(number).unwrap();
        if self.revisions.len() <= at {
            self.revisions.resize(at + 1, None);
        }
        let before = self.revisions[at].replace(revision);
        assert_eq!(before, None, "event {number} is answered twice");
        self.count += 1;
    }
}

/// An event as the server gives it.
#[derive(Debug, Clone)]
pub(super) struct Read {
    stream: String,
    revision: u64,
    event: Option<Event>,
    data: Bytes,
}

/// All events, but those that the server keeps for itself.
pub(super) async fn read_all(channel: Channel) -> Vec<Read> {
    let options = Options {
        stream_option: Some(StreamOption::All(AllOptions {
            all_option: Some(AllOption::Start(Empty {})),
        })),
        count_option: Some(CountOption::Count(u64::MAX)),
        filter_option: Some(FilterOption::NoFilter(Empty {})),
        uuid_option: Some(UuidOption {
            content: Some(uuid_option::Content::Structured(Empty {})),
        }),
        ..Options::default()
    };
    let request = ReadReq {
        options: Some(options),
    };
    let mut client = StreamsClient::new(channel);
    let mut answers = client.read(request).await.unwrap().into_inner();
    let mut all = Vec::new();
    while let Some(answer) = in_time(answers.message()).await.unwrap() {
        let Some(Content::Event(read)) = answer.content else {
            continue;
        };
        let event = read.event.unwrap();
        let stream = event.stream_identifier.unwrap().stream_name;
        let stream = String::from_utf8(stream.to_vec()).unwrap();
        if !stream.starts_with('$') {
            all.push(Read {
                stream,
                revision: event.stream_revision,
                event: Event::of_uuid(event.id),
                data: event.data,
            });
        }
    }
    all
}

/// Whether the log has exactly what was acknowledged, where it was told, in order; and how much that is.
pub(super) fn check(notes: &[Notes], log: Vec<Read>) -> Result<u64, String> {
    let of_appender: BTreeMap<u16, &Notes> =
        notes.iter().map(|notes| (notes.appender, notes)).collect();
    let (mut streams, mut appenders) = (BTreeMap::new(), BTreeMap::new());
    let mut count = 0;
    for read in log {
        let known = read.event.and_then(|event| {
            let notes = of_appender.get(&event.appender)?;
            (read.stream == stream(event.appender)).then_some((event, notes))
        });
        let (event, notes) = known.ok_or_else(|| format!("nobody appended {read:?}"))?;
        if read.data != event.data() {
            return Err(format!("its data are not what was appended: {read:?}"));
        }
        let revision: &mut u64 = streams.entry(read.stream.clone()).or_default();
        if read.revision != *revision {
            return Err(format!("revision {revision} comes next, not {read:?}"));
        }
        *revision += 1;
        let number: &mut u64 = appenders.entry(event.appender).or_default();
        if event.number != *number {
            return Err(format!("event {number} comes next, not {read:?}"));
        }
        let told = usize::try_from(*number).ok();
        let told = told.and_then(|at| *notes.revisions.get(at)?);
        if told != Some(read.revision) {
            return Err(format!("it was told to be at revision {told:?}: {read:?}"));
        }
        *number += 1;
        count += 1;
    }
    for notes in notes {
        let read = appenders.get(&notes.appender).copied().unwrap_or_default();
        if read != notes.count {
            let Notes {
                appender, count, ..
            } = notes;
            return Err(format!(
                "appender {appender} was acknowledged {count} events, and {read} are there"
            ));
        }
    }
    Ok(count)
}

/// Two appenders of one stream, and what they appended.
fn small() -> (Vec<Notes>, Vec<Read>) {
    let (mut notes, mut log) = (vec![Notes::new(1), Notes::new(3)], Vec::new());
    for revision in 0..6 {
        let of = usize::try_from(revision % 2).unwrap();
        let event = Event {
            appender: notes[of].appender,
            number: revision / 2,
        };
        notes[of].acknowledge(event.number, revision);
        log.push(Read {
            stream: stream(event.appender),
            revision,
            event: Some(event),
            data: event.data(),
        });
    }
    (notes, log)
}

#[test]
fn a_log_with_what_was_acknowledged_is_right() {
    let (notes, log) = small();
    assert_eq!(check(&notes, log), Ok(6));
}

#[test]
fn a_log_with_a_mistake_is_found() {
    let wrong = |change: &dyn Fn(&mut Vec<Read>), expected: &str| {
        let (notes, mut log) = small();
        change(&mut log);
        let told = check(&notes, log).unwrap_err();
        assert!(told.contains(expected), "{told}");
    };
    wrong(&|log| log.truncate(5), "acknowledged 3 events, and 2 are");
    wrong(&|log| drop(log.remove(2)), "revision 2 comes next");
    wrong(&|log| log.swap(0, 1), "revision 0 comes next");
    let again = |log: &mut Vec<Read>| {
        let mut again = log[5].clone();
        again.revision = 6;
        log.push(again);
    };
    wrong(&again, "event 3 comes next");
    let exchanged = |log: &mut Vec<Read>| {
        let event = log[0].event;
        log[0].event = log[1].event;
        log[1].event = event;
        (log[0].data, log[1].data) = (log[1].data.clone(), log[0].data.clone());
    };
    wrong(&exchanged, "told to be at revision");
    wrong(&|log| log[3].data.clear(), "data are not what");
    wrong(&|log| log[3].event = None, "nobody appended");
    wrong(&|log| log[0].stream = stream(2), "nobody appended");
}
