//! Refusals in the words and with the trailers that official clients recognise.

use tonic::{Code, Status};

use crate::persistent::error::SubscriptionError;
use crate::persistent::settings::GroupKey;
use crate::wire::errors;

impl From<SubscriptionError> for Status {
    fn from(error: SubscriptionError) -> Self {
        let text = error.to_string();
        match &error {
            SubscriptionError::NotFound(key) => about(
                Code::NotFound,
                text,
                "persistent-subscription-does-not-exist",
                key,
                &[],
            ),
            SubscriptionError::Exists(key) => about(
                Code::AlreadyExists,
                text,
                "persistent-subscription-exists",
                key,
                &[],
            ),
            SubscriptionError::TooManyConsumers(key) => about(
                Code::FailedPrecondition,
                text,
                "maximum-subscribers-reached",
                key,
                &[],
            ),
            SubscriptionError::Failed { key, reason } => {
                let reason = [("reason", reason.as_str())];
                about(
                    Code::Internal,
                    text,
                    "persistent-subscription-failed",
                    key,
                    &reason,
                )
            }
            SubscriptionError::Dropped(key) => about(
                Code::Cancelled,
                text,
                "persistent-subscription-dropped",
                key,
                &[],
            ),
            SubscriptionError::NotReady => Self::unavailable(text),
            SubscriptionError::Store(error) => errors::store(error, None),
        }
    }
}

fn about(
    code: Code,
    text: String,
    exception: &str,
    key: &GroupKey,
    more: &[(&'static str, &str)],
) -> Status {
    let mut trailers = vec![
        ("exception", exception),
        ("stream-name", key.source.as_str()),
        ("group-name", key.group.as_str()),
    ];
    trailers.extend(more);
    errors::with(code, text, &trailers)
}
