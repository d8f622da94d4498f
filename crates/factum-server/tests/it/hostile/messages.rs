//! Messages that are too large, no messages at all, or never read.

use std::sync::Arc;
use std::time::Duration;

use factum_proto::kurrent::Empty;
use factum_proto::kurrent::streams::append_req::options::ExpectedStreamRevision;
use factum_proto::kurrent::streams::append_req::{Content, Options as AppendOptions};
use factum_proto::kurrent::streams::batch_append_req::options::DeadlineOption;
use factum_proto::kurrent::streams::batch_append_req::{
    Options as BatchOptions, ProposedMessage as BatchMessage,
};
use factum_proto::kurrent::streams::read_req::options::all_options::AllOption;
use factum_proto::kurrent::streams::read_req::options::filter_options::{Expression, Filter};
use factum_proto::kurrent::streams::read_req::options::stream_options::RevisionOption;
use factum_proto::kurrent::streams::read_req::options::{CountOption, FilterOption, FilterOptions};
use factum_proto::kurrent::streams::streams_client::StreamsClient;
use factum_proto::kurrent::streams::{
    AppendReq, AppendResp, BatchAppendReq, ReadReq, batch_append_resp, read_resp,
};
use factum_server::Options;
use factum_store::MemoryStore;
use factum_types::limits::BATCH_BYTES_MAX;
use prost::Message;
use tonic::transport::Channel;
use tonic::{Code, Status};

use super::raw::{DATA, HEADERS, RST_STREAM, Raw, SETTINGS, frame, request_headers};
use super::{is_served, is_well, start};
use crate::support::{
    ANY, FOLLOW, Running, append, id, identifier, of_all, of_stream, properties, proposed, read,
};

const APPEND: &str = "/event_store.client.streams.Streams/Append";
const ALL_START: AllOption = AllOption::Start(Empty {});
/// What a thousand subscribers that never read may cost at most.
const GROWTH_BYTES_MAX: u64 = 256 << 20;

/// Memory of this process that is in use, in bytes.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmRSS:"))
        .unwrap();
    let kib: u64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    kib << 10
}

#[tokio::test]
async fn an_event_or_an_append_over_the_limit_is_refused() {
    let server = start().await;
    let mut client = server.streams().await;
    let mut large = proposed(1, "Large");
    large.data = vec![b' '; (4 << 20) + 1];
    let refused = append(&mut client, "s", ANY, vec![large])
        .await
        .unwrap_err();
    let exception = refused.metadata().get("exception").unwrap();
    assert_eq!(exception, "maximum-append-event-size-exceeded");
    let many = (0..9).map(|number| {
        let mut event = proposed(number, "Large");
        event.data = vec![b' '; 1 << 20];
        event
    });
    let refused = append(&mut client, "s", ANY, many.collect())
        .await
        .unwrap_err();
    assert_eq!(
        refused.metadata().get("exception").unwrap(),
        "maximum-append-size-exceeded"
    );
    assert!(refused.message().contains(&BATCH_BYTES_MAX.to_string()));
    let mut huge = proposed(1, "Huge");
    huge.data = vec![b' '; 18 << 20];
    let refused = append(&mut client, "s", ANY, vec![huge]).await.unwrap_err();
    assert!(
        matches!(refused.code(), Code::OutOfRange | Code::ResourceExhausted),
        "{refused:?}"
    );
    is_well(server).await;
}

#[tokio::test]
async fn bytes_that_are_no_messages_are_refused() {
    let bodies: [&[u8]; 6] = [
        // A message of 4 GiB is announced.
        &[0, 0xFF, 0xFF, 0xFF, 0xFF],
        // A message that is compressed, and is not.
        &[1, 0, 0, 0, 4, 1, 2, 3, 4],
        // A flag that there is not.
        &[9, 0, 0, 0, 0],
        // Not protobuf.
        &[0, 0, 0, 0, 4, 0xFF, 0xFF, 0xFF, 0xFF],
        // A field that is longer than its message.
        &[0, 0, 0, 0, 2, 0x0A, 0x7F],
        // Half a message.
        &[0, 0, 0, 0, 9, 0x0A],
    ];
    for path in ["Read", "Append", "BatchAppend", "Delete"] {
        for body in bodies {
            let server = start().await;
            let mut raw = Raw::http2(server.address).await;
            let path = format!("/event_store.client.streams.Streams/{path}");
            let headers = request_headers(
                &path,
                &[("content-type", "application/grpc"), ("te", "trailers")],
            );
            raw.send(&frame(HEADERS, 4, 1, &headers)).await;
            raw.send(&frame(DATA, 1, 1, body)).await;
            is_served(&server).await;
            drop(raw);
            is_well(server).await;
        }
    }
}

#[tokio::test]
async fn names_that_are_none_are_refused() {
    let server = start().await;
    let mut client = server.streams().await;
    for name in [
        &b"\xFF\xFE"[..],
        b"a\nb",
        b"",
        "\u{202E}gnp".as_bytes(),
        &[b'a'; 600],
    ] {
        let mut options = of_stream("s", RevisionOption::Start(Empty {}), CountOption::Count(1));
        let Some(factum_proto::kurrent::streams::read_req::options::StreamOption::Stream(stream)) =
            &mut options.stream_option
        else {
            panic!("a stream was asked for");
        };
        stream.stream_identifier = Some(factum_proto::kurrent::StreamIdentifier {
            stream_name: name.to_vec(),
        });
        let refused = read(&mut client, options).await.unwrap_err();
        assert_eq!(
            refused.code(),
            Code::InvalidArgument,
            "{name:?}: {refused:?}"
        );
    }
    let mut nameless = proposed(1, "x");
    nameless.metadata.remove("type");
    let refused = append(&mut client, "s", ANY, vec![nameless])
        .await
        .unwrap_err();
    assert_eq!(
        refused.message(),
        "Required Metadata Property 'type' is missing"
    );
    let control = proposed(1, "a\u{7}b");
    let refused = append(&mut client, "s", ANY, vec![control])
        .await
        .unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
    is_well(server).await;
}

#[tokio::test]
async fn metadata_that_is_none_is_refused() {
    let server = start().await;
    let mut client = server.streams().await;
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    for json in [
        "",
        "{",
        "[]",
        r#"{"$maxCount":"many"}"#,
        &format!("{{\"x\":{deep}}}"),
    ] {
        let mut event = proposed(1, "$metadata");
        event.data = json.as_bytes().to_vec();
        let refused = append(&mut client, "$$s", ANY, vec![event])
            .await
            .unwrap_err();
        assert_eq!(
            refused.code(),
            Code::InvalidArgument,
            "{}",
            refused.message()
        );
    }
    is_well(server).await;
}

#[tokio::test]
async fn patterns_that_never_end_are_refused() {
    let server = start().await;
    let mut client = server.streams().await;
    let stream = format!("{}!", "a".repeat(400));
    append(&mut client, &stream, ANY, vec![proposed(1, "A")])
        .await
        .unwrap();
    let filter = |regex: &str, prefix: Vec<String>| {
        let mut options = of_all(ALL_START, CountOption::Count(u64::MAX));
        options.filter_option = Some(FilterOption::Filter(FilterOptions {
            filter: Some(Filter::StreamIdentifier(Expression {
                regex: regex.to_owned(),
                prefix,
            })),
            ..FilterOptions::default()
        }));
        options
    };
    // A pattern may also be found to match nothing, as long as that is found soon.
    for pattern in [
        r"^(?=(a+)+$)(?!b)(\1|a)*c$",
        &"(a|".repeat(5_000),
        &format!("{}{}", "(".repeat(4_000), ")".repeat(4_000)),
        "a{1000}{1000}{1000}",
    ] {
        let answer = read(&mut client, filter(pattern, vec![]));
        let answer = tokio::time::timeout(Duration::from_secs(10), answer)
            .await
            .expect(pattern);
        let told = answer.map_or_else(
            |error| error.code() == Code::InvalidArgument,
            |read| read.is_empty(),
        );
        assert!(told, "{pattern}");
    }
    let refused = read(&mut client, filter("", vec!["a".to_owned(); 5_000]))
        .await
        .unwrap_err();
    assert_eq!(
        refused.code(),
        Code::InvalidArgument,
        "{}",
        refused.message()
    );
    is_well(server).await;
}

#[tokio::test]
async fn appends_that_are_never_ended_are_refused() {
    let server = start().await;
    let mut client = server.streams().await;
    let begun = (0..10_000_u64).map(|number| BatchAppendReq {
        correlation_id: id(number),
        options: Some(BatchOptions {
            stream_identifier: identifier("s"),
            ..BatchOptions::default()
        }),
        ..BatchAppendReq::default()
    });
    let requests = futures_util::stream::iter(begun.collect::<Vec<_>>());
    let mut answers = client.batch_append(requests).await.unwrap().into_inner();
    let refused = answers.message().await.unwrap_err();
    assert_eq!(refused.code(), Code::ResourceExhausted);
    is_well(server).await;
}

#[tokio::test]
async fn deadlines_beyond_all_time_are_answered() {
    let server = start().await;
    let mut client = server.streams().await;
    let duration =
        |seconds, nanos| DeadlineOption::Deadline(prost_types::Duration { seconds, nanos });
    let moment =
        |seconds, nanos| DeadlineOption::Deadline21100(prost_types::Timestamp { seconds, nanos });
    let deadlines = [
        None,
        Some(duration(i64::MAX, i32::MAX)),
        Some(duration(i64::MIN, i32::MIN)),
        Some(duration(1_764_115_200, 0)),
        Some(moment(i64::MAX, i32::MAX)),
        Some(moment(i64::MIN, i32::MIN)),
    ];
    let requests: Vec<_> = deadlines
        .into_iter()
        .zip(0..)
        .map(|(deadline_option, number)| BatchAppendReq {
            correlation_id: id(number),
            options: Some(BatchOptions {
                stream_identifier: identifier("s"),
                deadline_option,
                ..BatchOptions::default()
            }),
            proposed_messages: vec![BatchMessage {
                id: id(100 + number),
                metadata: properties("A"),
                ..BatchMessage::default()
            }],
            is_final: true,
        })
        .collect();
    let mut answers = client
        .batch_append(futures_util::stream::iter(requests))
        .await
        .unwrap()
        .into_inner();
    for _ in 0..6 {
        let answer = answers.message().await.unwrap().unwrap();
        assert!(
            matches!(answer.result, Some(batch_append_resp::Result::Success(_))),
            "{answer:?}"
        );
    }
    is_well(server).await;
}

#[tokio::test]
async fn a_thousand_subscribers_that_never_read_cost_little() {
    let server = start().await;
    let mut writer = server.streams().await;
    let mut silent = Vec::new();
    for _ in 0..10 {
        let client = server.streams().await;
        for _ in 0..100 {
            let request = ReadReq {
                options: Some(of_all(ALL_START, FOLLOW)),
            };
            silent.push(client.clone().read(request).await.unwrap().into_inner());
        }
    }
    let before = resident();
    for batch in 0..200_u64 {
        let events = (0..20).map(|number| {
            let mut event = proposed(1_000 + batch * 20 + number, "A");
            event.data = vec![b' '; 4 << 10];
            event
        });
        let append = append(
            &mut writer,
            "s",
            ExpectedStreamRevision::Any(Empty {}),
            events.collect(),
        );
        tokio::time::timeout(Duration::from_secs(20), append)
            .await
            .expect("an honest client waits too long")
            .unwrap();
    }
    let growth = resident().saturating_sub(before);
    assert!(growth < GROWTH_BYTES_MAX, "{} MiB more", growth >> 20);
    drop(silent);
    is_well(server).await;
}

/// Messages as a body of gRPC: each behind a byte for "not compressed" and its length.
fn body(messages: &[AppendReq]) -> Vec<u8> {
    let mut body = Vec::new();
    for message in messages {
        let bytes = message.encode_to_vec();
        body.push(0);
        body.extend(u32::try_from(bytes.len()).unwrap().to_be_bytes());
        body.extend(bytes);
    }
    body
}

#[tokio::test]
async fn an_append_that_is_cut_between_two_messages_is_none() {
    /// "Nothing is wrong" and "I do not want it any more" (RFC 9113, section 7).
    const CODES: [u32; 2] = [0, 8];
    let server = start().await;
    let mut client = server.streams().await;
    for code in CODES {
        let stream = format!("cut-{code}");
        let options = Content::Options(AppendOptions {
            stream_identifier: identifier(&stream),
            expected_stream_revision: Some(ANY),
        });
        let event = Content::ProposedMessage(proposed(1, "Half"));
        let messages = [options, event].map(|content| AppendReq {
            content: Some(content),
        });
        let mut raw = Raw::http2(server.address).await;
        let path = APPEND;
        let headers = request_headers(
            path,
            &[("content-type", "application/grpc"), ("te", "trailers")],
        );
        raw.send(&frame(HEADERS, 4, 1, &headers)).await;
        raw.send(&frame(DATA, 0, 1, &body(&messages))).await;
        tokio::time::sleep(Duration::from_millis(100)).await;
        raw.send(&frame(RST_STREAM, 0, 1, &code.to_be_bytes()))
            .await;
        tokio::time::sleep(Duration::from_millis(200)).await;
        let of = of_stream(
            &stream,
            RevisionOption::Start(Empty {}),
            CountOption::Count(1),
        );
        let read = read(&mut client, of).await.unwrap();
        assert!(
            matches!(read.as_slice(), [read_resp::Content::StreamNotFound(_)]),
            "code {code}: {read:?}"
        );
    }
    is_well(server).await;
}

/// A part of an append with so many events, of two bytes each on the wire.
fn empty_events(count: usize, is_final: bool) -> BatchAppendReq {
    BatchAppendReq {
        correlation_id: id(1),
        options: Some(BatchOptions {
            stream_identifier: identifier("s"),
            ..BatchOptions::default()
        }),
        proposed_messages: vec![BatchMessage::default(); count],
        is_final,
    }
}

#[tokio::test]
async fn a_message_of_many_empty_events_is_refused_before_it_is_kept() {
    let server = start().await;
    let mut client = server.streams().await;
    let request = empty_events(200_000, false);
    let (requests, open) = tokio::sync::mpsc::channel(1);
    requests.send(request).await.unwrap();
    let open = tokio_stream::wrappers::ReceiverStream::new(open);
    let mut answers = client.batch_append(open).await.unwrap().into_inner();
    let answer = answers.message().await.unwrap().unwrap();
    let Some(batch_append_resp::Result::Error(refused)) = answer.result else {
        panic!("{answer:?}");
    };
    assert_eq!(refused.message, "MaximumAppendSizeExceeded");
    drop(requests);
    is_well(server).await;
}

/// Of parts that take two bytes on the wire and a hundred in memory; none of them is made.
#[tokio::test]
async fn a_message_of_too_many_parts_is_refused_before_it_is_made() {
    let server = start().await;
    let mut client = server.streams().await;
    let request = empty_events(400_000, true);
    let requests = tokio_stream::iter([request]);
    let mut answers = client.batch_append(requests).await.unwrap().into_inner();
    let refused = answers.message().await.unwrap_err();
    assert_eq!(refused.code(), Code::OutOfRange, "{refused}");
    assert!(refused.message().contains("so many parts"), "{refused}");
    is_well(server).await;
}

/// As many half messages as there is room for keep other large ones out, and no byte more is held; small ones have room, and the room is
/// free again when they go.
#[tokio::test]
async fn half_messages_are_held_up_to_a_limit_together() {
    const MESSAGE_BYTES_MAX: usize = 256 << 10;
    /// There is room for four messages; each leaves its first 8 KiB out.
    const HELD: usize = 4;
    let server = with_little_room(MESSAGE_BYTES_MAX, Duration::from_secs(60)).await;
    let options = body(&[AppendReq {
        content: Some(Content::Options(AppendOptions {
            stream_identifier: identifier("half"),
            expected_stream_revision: Some(ANY),
        })),
    }]);
    let mut client = server.streams().await;
    let mut held = Vec::new();
    while held.len() < HELD {
        held.push(half_message(&server, APPEND, &options, MESSAGE_BYTES_MAX).await);
        let small = append(&mut client, "small", ANY, vec![proposed(1, "Small")]).await;
        assert!(small.is_ok(), "{small:?}");
    }
    let refused = until(async || large(&mut client, MESSAGE_BYTES_MAX / 2).await.err()).await;
    assert_eq!(refused.code(), Code::Unavailable, "{refused}");
    assert!(refused.message().contains("try again"), "{refused}");
    is_served(&server).await;
    drop(held);
    until(async || large(&mut client, MESSAGE_BYTES_MAX / 2).await.ok()).await;
    is_well(server).await;
}

/// What is found when it is asked for again and again.
async fn until<T>(mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let asking = async {
        loop {
            if let Some(found) = ask().await {
                return found;
            }
        }
    };
    let found = tokio::time::timeout(Duration::from_secs(20), asking).await;
    found.expect("it does not come to pass")
}

async fn large(client: &mut StreamsClient<Channel>, bytes: usize) -> Result<AppendResp, Status> {
    let mut event = proposed(2, "Large");
    event.data = vec![b' '; bytes];
    append(client, "large", ANY, vec![event]).await
}

/// A call that begins with these bytes, of which a message is announced then that never ends.
async fn half_message(server: &Running, path: &str, first: &[u8], bytes: usize) -> Raw {
    let mut raw = Raw::http2(server.address).await;
    // The windows of the server's settings are there once these are acknowledged.
    raw.settings().await;
    raw.send(&frame(SETTINGS, 1, 0, &[])).await;
    let grpc = [("content-type", "application/grpc"), ("te", "trailers")];
    raw.send(&frame(HEADERS, 4, 1, &request_headers(path, &grpc)))
        .await;
    let mut begun = first.to_vec();
    begun.push(0);
    begun.extend(u32::try_from(bytes).unwrap().to_be_bytes());
    begun.resize(bytes, 0);
    for piece in begun.chunks(16 << 10) {
        raw.send(&frame(DATA, 0, 1, piece)).await;
    }
    raw
}

/// Room for four messages, and so much time for each to be sent.
async fn with_little_room(message_bytes: usize, upload: Duration) -> Running {
    let mut options = Options::default();
    options.limits.message_bytes = message_bytes;
    options.limits.request_bytes_in_flight = 0;
    options.limits.upload = upload;
    Running::over(Arc::new(MemoryStore::new()), options).await
}

/// Whether the call is answered once or goes on.
#[tokio::test]
async fn half_messages_give_their_room_back_in_time() {
    const MESSAGE_BYTES_MAX: usize = 256 << 10;
    for path in [
        "/factum.v1.Store/AppendOne",
        "/factum.v1.Store/Append",
        "/event_store.client.streams.Streams/BatchAppend",
    ] {
        let server = with_little_room(MESSAGE_BYTES_MAX, Duration::from_secs(2)).await;
        let mut client = server.streams().await;
        let mut held = Vec::new();
        for _ in 0..4 {
            held.push(half_message(&server, path, &[], MESSAGE_BYTES_MAX).await);
        }
        let refused = until(async || large(&mut client, MESSAGE_BYTES_MAX / 2).await.err()).await;
        assert_eq!(refused.code(), Code::Unavailable, "{path}: {refused}");
        until(async || large(&mut client, MESSAGE_BYTES_MAX / 2).await.ok()).await;
        drop(held);
        is_well(server).await;
    }
}

#[tokio::test]
async fn clients_do_not_name_what_is_counted() {
    let server = start().await;
    for path in [
        "/event_store.client.streams.Streams/Mine",
        "/mine",
        "/health/live?liveCode=299",
    ] {
        let mut raw = Raw::connect(server.address).await;
        let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
        raw.send(request.as_bytes()).await;
        raw.until_closed().await;
    }
    let mut raw = Raw::connect(server.address).await;
    raw.send(b"GET /metrics HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
        .await;
    let said = String::from_utf8(raw.until_closed().await).unwrap();
    assert!(
        said.contains("factum_requests_total{route=\"other\""),
        "{said}"
    );
    assert!(
        !said.contains("mine") && !said.contains("Mine") && !said.contains("299"),
        "{said}"
    );
    is_well(server).await;
}
