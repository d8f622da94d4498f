//! Streams and `$all`, over the wire.

use std::time::Duration;

use factum_proto::kurrent::Empty;
use factum_proto::kurrent::streams::append_req::options::ExpectedStreamRevision;
use factum_proto::kurrent::streams::append_resp::Result as Outcome;
use factum_proto::kurrent::streams::append_resp::success::CurrentRevisionOption;
use factum_proto::kurrent::streams::append_resp::wrong_expected_version as wrong;
use factum_proto::kurrent::streams::read_req::options::all_options::AllOption;
use factum_proto::kurrent::streams::read_req::options::filter_options::{
    Expression, Filter, Window,
};
use factum_proto::kurrent::streams::read_req::options::stream_options::RevisionOption;
use factum_proto::kurrent::streams::read_req::options::{
    ControlOption, CountOption, FilterOption, FilterOptions, ReadDirection,
};
use factum_proto::kurrent::streams::read_resp::Content;
use factum_proto::kurrent::streams::{
    BatchAppendReq, DeleteReq, ReadReq, TombstoneReq, delete_req, tombstone_req,
};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Status};

use crate::support::{
    ANY, FOLLOW, Running, append, events, identifier, of_all, of_stream, proposed, read, shown,
};

const FROM_START: RevisionOption = RevisionOption::Start(Empty {});
const ALL_START: AllOption = AllOption::Start(Empty {});

#[tokio::test]
async fn what_is_appended_is_read_with_its_place() {
    let server = Running::start().await;
    let mut client = server.streams().await;
    let no_stream = ExpectedStreamRevision::NoStream(Empty {});
    let answer = append(
        &mut client,
        "order-1",
        no_stream,
        vec![proposed(1, "Placed"), proposed(2, "Paid")],
    )
    .await
    .unwrap();
    let Some(Outcome::Success(success)) = answer.result else {
        panic!("{answer:?}");
    };
    assert_eq!(
        success.current_revision_option,
        Some(CurrentRevisionOption::CurrentRevision(1))
    );
    let read = read(
        &mut client,
        of_stream("order-1", FROM_START, CountOption::Count(10)),
    )
    .await
    .unwrap();
    let shown: Vec<_> = events(read).iter().map(shown).collect();
    let expected = |revision, kind: &str, position| {
        ("order-1".to_owned(), revision, kind.to_owned(), position)
    };
    assert_eq!(shown, [expected(0, "Placed", 1), expected(1, "Paid", 2)]);
    server.stop().await;
}

#[tokio::test]
async fn a_wrong_version_is_an_answer_with_the_fields_of_both_generations() {
    let server = Running::start().await;
    let mut client = server.streams().await;
    append(&mut client, "s", ANY, vec![proposed(1, "A")])
        .await
        .unwrap();
    let answer = append(
        &mut client,
        "s",
        ExpectedStreamRevision::Revision(7),
        vec![proposed(2, "B")],
    )
    .await
    .unwrap();
    let Some(Outcome::WrongExpectedVersion(refused)) = answer.result else {
        panic!("{answer:?}");
    };
    assert_eq!(
        refused.current_revision_option,
        Some(wrong::CurrentRevisionOption::CurrentRevision(0))
    );
    assert_eq!(
        refused.expected_revision_option,
        Some(wrong::ExpectedRevisionOption::ExpectedRevision(7))
    );
    assert_eq!(
        refused.current_revision_option_20_6_0,
        Some(wrong::CurrentRevisionOption2060::CurrentRevision2060(0))
    );
    assert_eq!(
        refused.expected_revision_option_20_6_0,
        Some(wrong::ExpectedRevisionOption2060::ExpectedRevision2060(7))
    );
}

#[tokio::test]
async fn the_same_events_again_are_answered_as_before() {
    let server = Running::start().await;
    let mut client = server.streams().await;
    for expected in [ANY, ExpectedStreamRevision::NoStream(Empty {})] {
        let stream = format!("s-{expected:?}");
        let events = || vec![proposed(1, "A"), proposed(2, "B")];
        let first = append(&mut client, &stream, expected, events())
            .await
            .unwrap();
        let again = append(&mut client, &stream, expected, events())
            .await
            .unwrap();
        assert_eq!(first, again, "{expected:?}");
    }
}

#[tokio::test]
async fn what_is_not_there_is_an_answer_and_what_is_closed_an_error() {
    let server = Running::start().await;
    let mut client = server.streams().await;
    let of = |stream: &str| of_stream(stream, FROM_START, CountOption::Count(1));
    let answers = read(&mut client, of("nowhere")).await.unwrap();
    assert!(
        matches!(answers.as_slice(), [Content::StreamNotFound(_)]),
        "{answers:?}"
    );
    append(&mut client, "s", ANY, vec![proposed(1, "A")])
        .await
        .unwrap();
    let tombstone = TombstoneReq {
        options: Some(tombstone_req::Options {
            stream_identifier: identifier("s"),
            ..tombstone_req::Options::default()
        }),
    };
    client.tombstone(tombstone).await.unwrap();
    let refused = read(&mut client, of("s")).await.unwrap_err();
    assert_eq!(
        (refused.code(), refused.message()),
        (Code::FailedPrecondition, "Event stream 's' is deleted.")
    );
    assert_eq!(
        refused.metadata().get("exception").unwrap(),
        "stream-deleted"
    );
    let refused = append(&mut client, "s", ANY, vec![proposed(2, "B")])
        .await
        .unwrap_err();
    assert_eq!(
        refused.metadata().get("exception").unwrap(),
        "stream-deleted"
    );
    let all = read(&mut client, of_all(ALL_START, CountOption::Count(9)))
        .await
        .unwrap();
    let last = shown(events(all).last().unwrap());
    assert_eq!(
        (last.1, last.2.as_str()),
        (i64::MAX.cast_unsigned(), "$streamDeleted")
    );
}

#[tokio::test]
async fn a_deleted_stream_is_written_again() {
    let server = Running::start().await;
    let mut client = server.streams().await;
    let delete = || DeleteReq {
        options: Some(delete_req::Options {
            stream_identifier: identifier("s"),
            ..delete_req::Options::default()
        }),
    };
    let refused = client.delete(delete()).await.unwrap_err();
    assert_eq!(refused.metadata().get("actual-version").unwrap(), "-1");
    append(&mut client, "s", ANY, vec![proposed(1, "A")])
        .await
        .unwrap();
    client.delete(delete()).await.unwrap();
    let of = of_stream("s", FROM_START, CountOption::Count(9));
    let answers = read(&mut client, of.clone()).await.unwrap();
    assert!(matches!(answers.as_slice(), [Content::StreamNotFound(_)]));
    append(
        &mut client,
        "s",
        ExpectedStreamRevision::NoStream(Empty {}),
        vec![proposed(2, "B")],
    )
    .await
    .unwrap();
    let read_again = events(read(&mut client, of).await.unwrap());
    assert_eq!(shown(&read_again[0]).1, 1);
    let metadata = of_stream("$$s", RevisionOption::End(Empty {}), CountOption::Count(1));
    let mut metadata = metadata;
    metadata.set_read_direction(ReadDirection::Backwards);
    let last = events(read(&mut client, metadata).await.unwrap()).remove(0);
    assert_eq!(last.event.unwrap().data, br#"{"$tb":1}"#.as_slice());
}

/// A delete that is repeated has nothing to do; one that expects something else is refused.
#[tokio::test]
async fn a_deleted_stream_is_deleted_again() {
    use delete_req::options::ExpectedStreamRevision as Expected;
    let server = Running::start().await;
    let mut client = server.streams().await;
    let two = vec![proposed(1, "A"), proposed(2, "B")];
    append(&mut client, "s", ANY, two).await.unwrap();
    let mut delete = async |expected| {
        let options = delete_req::Options {
            stream_identifier: identifier("s"),
            expected_stream_revision: Some(expected),
        };
        let request = DeleteReq {
            options: Some(options),
        };
        let answer = client.delete(request).await?.into_inner();
        Ok::<_, Status>(answer.position_option)
    };
    let first = delete(Expected::Revision(1)).await.unwrap();
    assert!(first.is_some());
    for expected in [Expected::Any(Empty {}), Expected::Revision(1)] {
        let again = delete(expected).await.unwrap();
        assert_eq!(again, first, "nothing was written");
    }
    let told = |refused: Status, key: &str| refused.metadata().get(key).unwrap().clone();
    let refused = delete(Expected::Revision(0)).await.unwrap_err();
    assert_eq!(told(refused, "actual-version"), "1");
    let refused = delete(Expected::StreamExists(Empty {})).await.unwrap_err();
    assert_eq!(told(refused, "exception"), "stream-deleted");
}

#[tokio::test]
async fn positions_of_a_stream_are_told_to_who_asks() {
    let server = Running::start().await;
    let mut client = server.streams().await;
    let all = (0..5).map(|number| proposed(number, "A")).collect();
    append(&mut client, "s", ANY, all).await.unwrap();
    let mut options = of_stream("s", FROM_START, CountOption::Count(9));
    options.control_option = Some(ControlOption { compatibility: 1 });
    let answers = read(&mut client, options).await.unwrap();
    assert_eq!(answers.last(), Some(&Content::LastStreamPosition(4)));
}

#[tokio::test]
async fn a_subscription_begins_where_it_was_left_and_goes_on() {
    let server = Running::start().await;
    let mut client = server.streams().await;
    append(
        &mut client,
        "s",
        ANY,
        vec![proposed(1, "A"), proposed(2, "B")],
    )
    .await
    .unwrap();
    let request = ReadReq {
        options: Some(of_stream("s", RevisionOption::Revision(0), FOLLOW)),
    };
    let mut answers = client.read(request).await.unwrap().into_inner();
    let mut next = async || answers.message().await.unwrap().unwrap().content.unwrap();
    assert!(matches!(next().await, Content::Confirmation(_)));
    assert!(matches!(next().await, Content::Event(event) if shown(&event).2 == "B"));
    assert!(matches!(next().await, Content::CaughtUp(at) if at.stream_revision == Some(1)));
    append(&mut client, "s", ANY, vec![proposed(3, "C")])
        .await
        .unwrap();
    assert!(matches!(next().await, Content::Event(event) if shown(&event).2 == "C"));
}

#[tokio::test]
async fn a_filtered_subscription_is_told_where_it_is() {
    let server = Running::start().await;
    let mut client = server.streams().await;
    let all = (0..40).map(|number| proposed(number, if number == 39 { "Wanted" } else { "Other" }));
    append(&mut client, "s", ANY, all.collect()).await.unwrap();
    let mut options = of_all(ALL_START, FOLLOW);
    options.filter_option = Some(FilterOption::Filter(FilterOptions {
        filter: Some(Filter::EventType(Expression {
            regex: "^W".to_owned(),
            prefix: Vec::new(),
        })),
        window: Some(Window::Max(8)),
        checkpoint_interval_multiplier: 2,
    }));
    let request = ReadReq {
        options: Some(options),
    };
    let mut answers = client.read(request).await.unwrap().into_inner();
    let mut seen = Vec::new();
    loop {
        match answers.message().await.unwrap().unwrap().content.unwrap() {
            Content::Confirmation(_) => {}
            Content::Checkpoint(at) => seen.push(format!("at {}", at.commit_position)),
            Content::Event(event) => seen.push(shown(&event).2),
            Content::CaughtUp(_) => break,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(seen, ["at 16", "at 32", "Wanted", "at 40"]);
}

#[tokio::test]
async fn subscriptions_end_when_the_server_stops() {
    let server = Running::start().await;
    let mut client = server.streams().await;
    let request = ReadReq {
        options: Some(of_all(ALL_START, FOLLOW)),
    };
    let mut answers = client.read(request).await.unwrap().into_inner();
    answers.message().await.unwrap().unwrap();
    // A call for many appends stays open between them.
    let (requests, open) = tokio::sync::mpsc::channel::<BatchAppendReq>(1);
    let mut batches = client
        .batch_append(ReceiverStream::new(open))
        .await
        .unwrap()
        .into_inner();
    tokio::time::timeout(Duration::from_secs(5), server.stop())
        .await
        .expect("it waits for calls without work");
    let refused = loop {
        match answers.message().await {
            Ok(said) => assert!(said.is_some(), "the call ended as if all was well"),
            Err(status) => break status,
        }
    };
    assert_eq!(refused.code(), Code::Unavailable, "{refused:?}");
    assert_eq!(
        batches.message().await.unwrap_err().code(),
        Code::Unavailable
    );
    drop(requests);
}

#[tokio::test]
async fn nonsense_is_refused_with_a_word() {
    let server = Running::start().await;
    let mut client = server.streams().await;
    let mut cases = Vec::new();
    let mut options = of_stream("s", FROM_START, CountOption::Count(1));
    options.uuid_option = None;
    cases.push((options, "how ids"));
    let mut options = of_stream("s", FROM_START, FOLLOW);
    options.set_read_direction(ReadDirection::Backwards);
    cases.push((options, "The combination of"));
    let mut options = of_all(ALL_START, CountOption::Count(1));
    options.filter_option = Some(FilterOption::Filter(FilterOptions {
        filter: Some(Filter::EventType(Expression {
            regex: "(".to_owned(),
            prefix: Vec::new(),
        })),
        ..FilterOptions::default()
    }));
    cases.push((options, "the pattern"));
    cases.push((of_stream("", FROM_START, CountOption::Count(1)), "empty"));
    for (options, word) in cases {
        let refused = read(&mut client, options).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument, "{refused:?}");
        assert!(refused.message().contains(word), "{refused:?}");
    }
}

#[tokio::test]
async fn a_category_is_read_and_followed_through_links() {
    let server = Running::start().await;
    let mut client = server.streams().await;
    for number in 0..4 {
        append(
            &mut client,
            &format!("order-{}", number % 2),
            ANY,
            vec![proposed(number, "Placed")],
        )
        .await
        .unwrap();
    }
    let mut options = of_stream(
        "$ce-order",
        RevisionOption::Revision(2),
        CountOption::Count(9),
    );
    let plain = events(read(&mut client, options.clone()).await.unwrap());
    assert_eq!(
        shown(&plain[0]),
        ("$ce-order".to_owned(), 2, "$>".to_owned(), 3)
    );
    assert_eq!(
        plain[0].event.as_ref().unwrap().data,
        b"1@order-0".as_slice()
    );
    options.resolve_links = true;
    let resolved = events(read(&mut client, options.clone()).await.unwrap());
    assert_eq!(
        shown(&resolved[0]),
        ("order-0".to_owned(), 1, "Placed".to_owned(), 3)
    );
    assert_eq!(resolved[0].link.as_ref().unwrap().stream_revision, 2);
    options.count_option = Some(FOLLOW);
    let request = ReadReq {
        options: Some(options),
    };
    let mut answers = client.read(request).await.unwrap().into_inner();
    append(&mut client, "order-7", ANY, vec![proposed(7, "Placed")])
        .await
        .unwrap();
    let mut seen = Vec::new();
    while seen.len() < 2 {
        if let Content::Event(event) = answers.message().await.unwrap().unwrap().content.unwrap() {
            seen.push((shown(&event).0, event.link.unwrap().stream_revision));
        }
    }
    assert_eq!(seen, [("order-1".to_owned(), 3), ("order-7".to_owned(), 4)]);
    let refused = append(&mut client, "$ce-order", ANY, vec![proposed(9, "Placed")])
        .await
        .unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
    let nothing = read(
        &mut client,
        of_stream("$ce-nothing", FROM_START, CountOption::Count(1)),
    )
    .await
    .unwrap();
    assert!(matches!(nothing.as_slice(), [Content::StreamNotFound(_)]));
}
