//! What clients are answered, in the messages of the wire.

use factum_proto::kurrent::persistent_subscriptions::read_resp::read_event::{
    Count, Position, RecordedEvent as WireEvent,
};
use factum_proto::kurrent::persistent_subscriptions::read_resp::{
    Content, ReadEvent, SubscriptionConfirmation,
};
use factum_proto::kurrent::persistent_subscriptions::subscription_info::{
    ConnectionInfo, Measurement,
};
use factum_proto::kurrent::persistent_subscriptions::{ReadResp, SubscriptionInfo};
use factum_types::RecordedEvent;

use crate::persistent::command::Status;
use crate::persistent::connection::Outgoing;
use crate::persistent::group::ConsumerStatistics;
use crate::persistent::settings::GroupKey;
use crate::persistent::subscriptions::Info;
use crate::wire::event::Shape;
use crate::wire::id::IdKind;
use crate::wire::position;

/// That a consumer has joined.
pub(super) fn confirmation(key: &GroupKey) -> ReadResp {
    ReadResp {
        content: Some(Content::SubscriptionConfirmation(
            SubscriptionConfirmation {
                subscription_id: key.to_string(),
            },
        )),
    }
}

/// The next event.
pub(super) fn event(outgoing: &Outgoing, ids: IdKind) -> ReadResp {
    let delivered = &*outgoing.delivered;
    let event = ReadEvent {
        event: delivered.event().map(|event| recorded(event, ids)),
        link: delivered.link().map(|link| recorded(link, ids)),
        position: Some(Position::CommitPosition(position::to_wire(
            delivered.original().position,
        ))),
        count: Some(Count::RetryCount(int(outgoing.retries))),
    };
    ReadResp {
        content: Some(Content::Event(event)),
    }
}

/// The same event in the message of this service.
fn recorded(event: &RecordedEvent, ids: IdKind) -> WireEvent {
    let event = Shape { ids }.recorded(event.clone());
    WireEvent {
        id: event.id,
        stream_identifier: event.stream_identifier,
        stream_revision: event.stream_revision,
        prepare_position: event.prepare_position,
        commit_position: event.commit_position,
        metadata: event.metadata,
        custom_metadata: event.custom_metadata,
        data: event.data,
    }
}

/// How a group fares.
pub(super) fn info(info: Info) -> SubscriptionInfo {
    let Info {
        key,
        config,
        status,
    } = info;
    let settings = &config.settings;
    let told = SubscriptionInfo {
        event_source: key.source.as_str().to_owned(),
        group_name: key.group.clone(),
        status: "NotReady".to_owned(),
        resolve_link_tos: settings.resolve_links,
        start_from: config.start.show(&key.source),
        message_timeout_milliseconds: int(settings.message_timeout.as_millis()),
        extra_statistics: settings.extra_statistics,
        max_retry_count: int(settings.max_retry_count),
        live_buffer_size: int(settings.live_buffer_size),
        buffer_size: int(settings.history_buffer_size),
        read_batch_size: int(settings.read_batch_size),
        check_point_after_milliseconds: int(settings.checkpoint_after.as_millis()),
        min_check_point_count: int(settings.min_checkpoint_count),
        max_check_point_count: int(settings.max_checkpoint_count),
        named_consumer_strategy: settings.strategy.name().to_owned(),
        max_subscriber_count: int(settings.max_subscriber_count),
        ..SubscriptionInfo::default()
    };
    match status {
        Some(status) => with_status(told, &key, status),
        None => told,
    }
}

fn with_status(told: SubscriptionInfo, key: &GroupKey, status: Status) -> SubscriptionInfo {
    let Status {
        words,
        statistics,
        parked,
    } = status;
    let show = |point: Option<u64>| {
        point
            .map(|point| key.source.show(point))
            .unwrap_or_default()
    };
    let (live, history) = if statistics.live {
        (statistics.ready, 0)
    } else {
        (0, statistics.ready)
    };
    SubscriptionInfo {
        status: words,
        average_per_second: int(statistics.per_second),
        total_items: long(statistics.total),
        count_since_last_measurement: long(statistics.since_last),
        last_checkpointed_event_position: show(statistics.checkpointed),
        last_known_event_position: show(statistics.known),
        read_buffer_count: int(history),
        live_buffer_count: long(live),
        retry_buffer_count: int(statistics.retry),
        total_in_flight_messages: int(statistics.in_flight),
        outstanding_messages_count: int(statistics.outstanding),
        parked_message_count: long(parked),
        connections: statistics.consumers.into_iter().map(connection).collect(),
        ..told
    }
}

fn connection(consumer: ConsumerStatistics) -> ConnectionInfo {
    let measurement = |(name, value): (&str, i64)| Measurement {
        key: name.to_owned(),
        value,
    };
    ConnectionInfo {
        from: consumer.identity.from,
        username: consumer.identity.user,
        average_items_per_second: int(consumer.per_second),
        total_items: long(consumer.total),
        count_since_last_measurement: long(consumer.since_last),
        observed_measurements: consumer.measurements.into_iter().map(measurement).collect(),
        available_slots: int(consumer.slots),
        in_flight_messages: int(consumer.in_flight),
        connection_name: consumer.identity.connection,
    }
}

fn int(number: impl TryInto<i32>) -> i32 {
    number.try_into().unwrap_or(i32::MAX)
}

fn long(number: impl TryInto<i64>) -> i64 {
    number.try_into().unwrap_or(i64::MAX)
}
