//! Payloads: exact bytes in, exact bytes out.

use factum_store::{AppendBatch, ReadRequest, Source};
use factum_types::{Bytes, ContentType, ExpectedRevision, Metadata, NewEvent, StreamName, limits};

use crate::check::{Outcome, read_back, same, that};
use crate::trial::Trial;
use crate::words::{category, query, stream, tag, typed};

use ExpectedRevision::Any;

/// That the events come back as given, from the stream and from all.
fn comes_back(t: &Trial, name: &StreamName, given: &[NewEvent]) -> Outcome {
    t.add(name, Any, given.to_vec())?;
    let stored = t.read_stream(name)?;
    read_back("from the stream", &stored, name, 0, given)?;
    let mut all = t.read_all()?;
    all.retain(|event| event.stream == *name);
    read_back("from all", &all, name, 0, given)
}

fn bytes(random: &mut fastrand::Rng, max: usize) -> Bytes {
    let mut bytes = vec![0; random.usize(..=max)];
    random.fill(&mut bytes);
    bytes.into()
}

fn text(random: &mut fastrand::Rng) -> Option<String> {
    let length = random.usize(..40);
    random
        .bool()
        .then(|| (0..length).map(|_| random.char(..)).collect())
}

/// Random bytes in every part; what the store keeps beside them must not matter.
pub(crate) fn bytes_are_exact(t: &Trial) -> Outcome {
    let mut random = t.random(2);
    for round in 0..40 {
        let name = stream(format!("bytes-{round}"));
        let max = [0, 1, 64, 5_000, 70_000][random.usize(..5)];
        let given: Vec<_> = (0..random.usize(1..6))
            .map(|_| {
                let mut event = t.event("Random");
                event.data = bytes(&mut random, max);
                event.personal = bytes(&mut random, max);
                event.content_type = if random.bool() {
                    ContentType::Json
                } else {
                    ContentType::Binary
                };
                event.schema_version = random.u32(..);
                event.metadata = Metadata {
                    correlation_id: text(&mut random),
                    causation_id: text(&mut random),
                    user_id: text(&mut random),
                    traceparent: text(&mut random),
                    custom: bytes(&mut random, max),
                };
                event
            })
            .collect();
        comes_back(t, &name, &given).map_err(|stop| stop.at(format!("round {round}")))?;
    }
    Ok(())
}

pub(crate) fn empty_parts(t: &Trial) -> Outcome {
    let name = stream("empty");
    let mut no_data = t.event("Empty");
    no_data.data = Bytes::new();
    let mut empty_texts = no_data.clone();
    empty_texts.id = t.event("Empty").id;
    // An empty text is there; none is not.
    empty_texts.metadata = Metadata {
        correlation_id: Some(String::new()),
        causation_id: Some(String::new()),
        user_id: Some(String::new()),
        traceparent: Some(String::new()),
        custom: Bytes::new(),
    };
    let mut only_personal = NewEvent {
        personal: Bytes::from_static(b"sealed"),
        ..no_data.clone()
    };
    only_personal.id = t.event("Empty").id;
    comes_back(t, &name, &[no_data, empty_texts, only_personal])
}

pub(crate) fn every_byte_value(t: &Trial) -> Outcome {
    let every: Bytes = (0..=u8::MAX).collect::<Vec<_>>().into();
    let mut event = NewEvent::binary(t.event("Bytes").id, typed("Bytes"), every.clone());
    event.personal = every.clone();
    event.metadata.custom = every;
    // The store takes the writer's word for JSON.
    let not_json = NewEvent::json(t.event("Bytes").id, typed("Bytes"), vec![0xFF, 0x00, b'{']);
    comes_back(t, &stream("bytes"), &[event, not_json])
}

pub(crate) fn largest_event(t: &Trial) -> Outcome {
    let mut random = t.random(3);
    let mut full = |size| {
        let mut bytes = vec![0; size];
        random.fill(&mut bytes);
        Bytes::from(bytes)
    };
    let mut event = t.event("Large");
    event.data = full(limits::EVENT_DATA_BYTES_MAX);
    event.personal = full(limits::EVENT_PERSONAL_BYTES_MAX);
    event.metadata.custom = full(limits::EVENT_METADATA_BYTES_MAX);
    comes_back(t, &stream("large"), &[event, t.event("Small")])
}

pub(crate) fn all_fields(t: &Trial) -> Outcome {
    let mut event = t
        .event("Full")
        .with_tags([tag("region:north"), tag("customer:1")]);
    event.schema_version = 7;
    event.content_type = ContentType::Binary;
    event.personal = Bytes::from_static(b"sealed envelope");
    event.metadata = Metadata {
        correlation_id: Some("conversation".to_owned()),
        causation_id: Some("command".to_owned()),
        user_id: Some("üser ✓".to_owned()),
        traceparent: Some("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".to_owned()),
        custom: Bytes::from_static(b"{\"own\":true}"),
    };
    comes_back(t, &stream("full"), &[event])
}

pub(crate) fn unicode_names(t: &Trial) -> Outcome {
    for name in [
        "größe-1",
        "注文-1",
        "🚀-1",
        "e\u{301}-1",
        "é-1",
        "with space-1",
        "a/b\\c?d=e-1",
    ] {
        let (name, category_name) = (stream(name), name.split_once('-').map_or("", |(c, _)| c));
        let event_type = format!("{category_name}Geändert");
        let own_tag = tag(format!("schlüssel:{category_name}"));
        let event = t.event(&event_type).with_tags([own_tag.clone()]);
        comes_back(t, &name, std::slice::from_ref(&event))?;
        for request in [
            ReadRequest::category(category(category_name)),
            ReadRequest::event_type(typed(&event_type)),
            ReadRequest::tag(own_tag),
            ReadRequest::forward(Source::Query(query(&[&event_type], &[]))),
        ] {
            let what = format!("{request:?}");
            read_back(
                what,
                &t.read(request)?,
                &name,
                0,
                std::slice::from_ref(&event),
            )?;
        }
    }
    Ok(())
}

pub(crate) fn tags_keep_their_order(t: &Trial) -> Outcome {
    let mut tags: Vec<_> = (0..limits::EVENT_TAGS_MAX)
        .map(|n| tag(format!("t:{n}")))
        .collect();
    let mut random = t.random(4);
    for round in 0..5 {
        random.shuffle(&mut tags);
        let event = t.event("Tagged").with_tags(tags.clone());
        comes_back(t, &stream(format!("tagged-{round}")), &[event])?;
    }
    let found = t.read(ReadRequest::forward(Source::Query(query(
        &[],
        &["t:0", "t:31"],
    ))))?;
    same("found by the first and the last tag", found.len(), 5)
}

pub(crate) fn schema_versions(t: &Trial) -> Outcome {
    let versions = [0, 1, 2, 255, 256, 65_536, u32::MAX];
    let given: Vec<_> = versions
        .into_iter()
        .map(|schema_version| NewEvent {
            schema_version,
            ..t.event("Versioned")
        })
        .collect();
    comes_back(t, &stream("versions"), &given)
}

pub(crate) fn longest_names(t: &Trial) -> Outcome {
    let long_stream = format!("{}-1", "c".repeat(limits::STREAM_NAME_BYTES_MAX - 2));
    let long_type = "T".repeat(limits::EVENT_TYPE_BYTES_MAX);
    let long_tag = format!("k:{}", "v".repeat(limits::TAG_BYTES_MAX - 2));
    let name = stream(&long_stream);
    let event = t.event(&long_type).with_tags([tag(&long_tag)]);
    comes_back(t, &name, std::slice::from_ref(&event))?;
    let wanted = query(&[&long_type], &[&long_tag]);
    let found = t.read(ReadRequest::forward(Source::Query(wanted.clone())))?;
    read_back(
        "by type and tag",
        &found,
        &name,
        0,
        std::slice::from_ref(&event),
    )?;
    let by_category = t.read(ReadRequest::category(category(
        &long_stream[..long_stream.len() - 2],
    )))?;
    same("by category", by_category.len(), 1)?;
    let guarded = AppendBatch::events(stream("other"), Any, vec![t.event("Late")])
        .on(crate::words::no_match(wanted, None));
    that("as a condition", t.append(guarded).is_err())?;
    // As long, and different in the last byte only.
    let near = stream(format!("{}2", &long_stream[..long_stream.len() - 1]));
    comes_back(t, &near, &[t.event("Near")])?;
    same("not mixed up", t.read_stream(&name)?.len(), 1)
}
