//! What this server can do, told to clients when they connect; they leave out what is not in the list.

use factum_proto::kurrent::Empty;
use factum_proto::kurrent::server_features::server_features_server::ServerFeatures;
use factum_proto::kurrent::server_features::{SupportedMethod, SupportedMethods};
use tonic::{Request, Response, Status};

/// The version of KurrentDB whose protocol is spoken: clients choose by it what they send.
pub(crate) const PROTOCOL_VERSION: &str = "26.1.0";

/// Services, their methods, and the features of each; all in lower case.
const SUPPORTED: &[(&str, &[&str], &[&str])] = &[
    (
        "event_store.client.streams.streams",
        &["append", "delete", "tombstone"],
        &[],
    ),
    (
        "event_store.client.streams.streams",
        &["read"],
        &["position", "events"],
    ),
    (
        "event_store.client.streams.streams",
        &["batchappend"],
        &["deadline_duration"],
    ),
    ("event_store.client.gossip.gossip", &["read"], &[]),
    (
        "event_store.client.operations.operations",
        &[
            "startscavenge",
            "stopscavenge",
            "shutdown",
            "mergeindexes",
            "resignnode",
            "setnodepriority",
            "restartpersistentsubscriptions",
        ],
        &[],
    ),
    (
        "event_store.client.persistent_subscriptions.persistentsubscriptions",
        &[
            "create",
            "update",
            "delete",
            "read",
            "getinfo",
            "replayparked",
            "truncateparked",
            "list",
            "restartsubsystem",
        ],
        &["stream", "all"],
    ),
    (
        "event_store.client.users.users",
        &[
            "create",
            "update",
            "delete",
            "disable",
            "enable",
            "details",
            "changepassword",
            "resetpassword",
        ],
        &[],
    ),
    ("event_store.client.monitoring.monitoring", &["stats"], &[]),
    (
        "kurrentdb.protocol.v2.streams.streamsservice",
        &["appendsession", "appendrecords"],
        &[],
    ),
    (
        "event_store.client.server_features.serverfeatures",
        &["getsupportedmethods"],
        &[],
    ),
];

/// The service.
#[derive(Debug, Clone, Copy)]
pub(crate) struct FeaturesService;

#[tonic::async_trait]
impl ServerFeatures for FeaturesService {
    async fn get_supported_methods(
        &self,
        _: Request<Empty>,
    ) -> Result<Response<SupportedMethods>, Status> {
        let methods = SUPPORTED.iter().flat_map(|(service, methods, features)| {
            methods.iter().map(|method| SupportedMethod {
                method_name: (*method).to_owned(),
                service_name: (*service).to_owned(),
                features: features
                    .iter()
                    .map(|feature| (*feature).to_owned())
                    .collect(),
            })
        });
        Ok(Response::new(SupportedMethods {
            methods: methods.collect(),
            event_store_server_version: PROTOCOL_VERSION.to_owned(),
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::SUPPORTED;

    #[test]
    fn names_are_in_lower_case() {
        for (service, methods, features) in SUPPORTED {
            for name in methods.iter().chain(*features).chain([service]) {
                assert_eq!(*name, name.to_lowercase());
            }
        }
    }
}
