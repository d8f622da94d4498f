//! What the server counts, for Prometheus and for the protocol's statistics.
//!
//! Names begin with `factum_`, have base units, and no label that a client can choose (prometheus.io, "Metric and label naming").

pub(crate) mod plain;

use std::fmt;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use factum_store::{Kind, StoreError};
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};

/// All numbers of one server.
pub(crate) struct Metrics {
    registry: Registry,
    /// Appends by how they ended.
    pub(crate) appends: Family<Ended, Counter>,
    /// From when an append was handed to the store to its answer.
    pub(crate) append_duration: Histogram,
    pub(crate) appended_events: Counter,
    pub(crate) read_events: Counter,
    pub(crate) subscriptions: Gauge,
    pub(crate) connections: Gauge,
    pub(crate) refused_connections: Counter,
    /// Requests with credentials that were not right, or could not be checked.
    pub(crate) refused_credentials: Counter,
    pub(crate) requests: Family<Requested, Counter>,
    pub(crate) head: Gauge<u64, AtomicU64>,
}

/// One of what a gauge counts, as long as it is there.
#[derive(Debug)]
pub(crate) struct Counted(Gauge);

impl Counted {
    pub(crate) fn new(gauge: &Gauge) -> Self {
        gauge.inc();
        Self(gauge.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// How an append ended.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct Ended {
    pub(crate) result: Result,
}

/// How an append ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelValue)]
pub(crate) enum Result {
    Stored,
    Conflict,
    Refused,
}

impl Result {
    /// How an append ended that was answered so.
    pub(crate) fn of<T>(answer: &std::result::Result<T, StoreError>) -> Self {
        match answer {
            Ok(_) => Self::Stored,
            Err(error) if error.kind() == Kind::Conflict => Self::Conflict,
            Err(_) => Self::Refused,
        }
    }
}

/// A request by what it asked for and how it was answered.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct Requested {
    pub(crate) route: String,
    pub(crate) code: u16,
}

impl Metrics {
    pub(crate) fn new() -> Self {
        let mut metrics = Self {
            registry: Registry::with_prefix("factum"),
            appends: Family::default(),
            append_duration: Histogram::new(exponential_buckets(0.000_1, 2.0, 18)),
            appended_events: Counter::default(),
            read_events: Counter::default(),
            subscriptions: Gauge::default(),
            connections: Gauge::default(),
            refused_connections: Counter::default(),
            refused_credentials: Counter::default(),
            requests: Family::default(),
            head: Gauge::default(),
        };
        metrics.register();
        metrics
    }

    fn register(&mut self) {
        let registry = &mut self.registry;
        let version = Info::new(vec![("version", env!("CARGO_PKG_VERSION"))]);
        registry.register("build", "Which program this is", version);
        registry.register("appends", "Appends by how they ended", self.appends.clone());
        registry.register_with_unit(
            "append_duration",
            "From the last message of an append to its answer",
            Unit::Seconds,
            self.append_duration.clone(),
        );
        registry.register(
            "appended_events",
            "Events that were stored",
            self.appended_events.clone(),
        );
        registry.register(
            "read_events",
            "Events that were sent to clients",
            self.read_events.clone(),
        );
        registry.register(
            "subscriptions",
            "Subscriptions that are open",
            self.subscriptions.clone(),
        );
        registry.register(
            "connections",
            "Connections that are open",
            self.connections.clone(),
        );
        registry.register(
            "refused_connections",
            "Connections over the limit",
            self.refused_connections.clone(),
        );
        registry.register(
            "refused_credentials",
            "Requests with credentials that were not right or could not be checked",
            self.refused_credentials.clone(),
        );
        registry.register(
            "requests",
            "Requests by what they asked for",
            self.requests.clone(),
        );
        registry.register(
            "head_position",
            "The position of the last event, from 1",
            self.head.clone(),
        );
    }

    /// An append of so many events, ended after so long.
    pub(crate) fn appended(&self, result: Result, events: usize, after: Duration) {
        self.appends.get_or_create(&Ended { result }).inc();
        self.append_duration.observe(after.as_secs_f64());
        if result == Result::Stored {
            self.appended_events
                .inc_by(u64::try_from(events).unwrap_or(u64::MAX));
        }
    }

    /// All of it in the text format of OpenMetrics.
    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        // Writing to a string does not fail.
        let written = encode(&mut text, &self.registry);
        debug_assert!(written.is_ok(), "numbers are text");
        text
    }

    /// All of it in the older text format of Prometheus.
    pub(crate) fn plain_text(&self) -> String {
        plain::plain(&self.text())
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}
