//! `factum stream truncate` and `factum stream delete`: what hides events asks first.

use factum_store::{AppendBatch, Change, StreamInfo, StreamState};
use factum_types::{ExpectedRevision, Revision, StreamName, StreamSettings};
use serde_json::json;

use super::look::{keeps, missing};
use super::{Consent, DeleteArgs, TruncateArgs};
use crate::context::Context;
use crate::failure::Outcome;
use crate::store::{self, Access, Store};

/// Sets what a stream keeps.
pub(super) fn truncate(args: &TruncateArgs, context: &mut Context) -> Outcome {
    let (store, info) = look(&args.stream, &args.consent, context)?;
    let settings = if args.clear {
        StreamSettings::default()
    } else {
        StreamSettings {
            max_count: args.max_count.or(info.settings.max_count),
            max_age: args.max_age.or(info.settings.max_age),
            truncate_before: args
                .before
                .map(Revision::new)
                .or(info.settings.truncate_before),
        }
    };
    let what = format!("stream {} keeps {}", args.stream, keeps(&settings));
    change(
        store,
        &info,
        Change::Settings(settings),
        &what,
        &args.consent,
        context,
    )
}

/// Hides or closes a stream.
pub(super) fn delete(args: &DeleteArgs, context: &mut Context) -> Outcome {
    let (store, info) = look(&args.stream, &args.consent, context)?;
    let (how, what) = if args.tombstone {
        (
            Change::Tombstone,
            format!("stream {} is closed for ever", args.stream),
        )
    } else {
        (
            Change::Delete,
            format!("stream {} and all its events are hidden", args.stream),
        )
    };
    change(store, &info, how, &what, &args.consent, context)
}

fn look(stream: &StreamName, consent: &Consent, context: &Context) -> Outcome<(Store, StreamInfo)> {
    let access = if consent.dry_run {
        Access::Read
    } else {
        Access::Write
    };
    let store = store::open(context, access)?;
    let info = pollster::block_on(store.events.stream_info(stream.clone()))?;
    if info.state == StreamState::Missing {
        return Err(missing(&info));
    }
    Ok((store, info))
}

/// Does it if that is wanted, provided the stream is as it was looked at.
fn change(
    store: Store,
    info: &StreamInfo,
    change: Change,
    what: &str,
    consent: &Consent,
    context: &mut Context,
) -> Outcome {
    if consent.dry_run {
        let answer = json!({ "stream": info.stream.as_str(), "dry_run": true });
        context
            .ui
            .answer(&format!("would be done: {what}"), &answer)?;
        return store.close();
    }
    context
        .ui
        .confirm(&format!("This makes it so that {what}."), consent.yes)?;
    let expected = match (info.state, info.last_revision) {
        (StreamState::Live, Some(last)) => ExpectedRevision::Exactly(last),
        _ => ExpectedRevision::Any,
    };
    let batch = AppendBatch::change(info.stream.clone(), expected, change);
    let receipt = pollster::block_on(store.events.append(batch))?;
    let answer = json!({ "stream": info.stream.as_str(), "position": receipt.last.raw() });
    context.ui.answer(what, &answer)?;
    store.close()
}
