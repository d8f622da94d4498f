//! Finding the access control list of a stream, and remembering it for a while.
//!
//! A change that this server made is known at once, one that another server over the same store made after at most
//! [`ACLS_FOR`](crate::auth::limits::ACLS_FOR). Relies on: the store. Never: takes a list that it could not read for an open one.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use factum_io::Clock;
use factum_store::{EventStore, StoreError};
use factum_types::StreamName;

use crate::auth::bounded::Bounded;
use crate::auth::limits::{ACLS_FOR, ACLS_MAX};
use crate::log::{Last, last_event};

use super::acl::{Acl, Defaults};

/// Where the defaults are kept.
const SETTINGS: &str = "$settings";
/// What begins the name of the stream that holds a stream's metadata.
pub(in crate::auth) const METADATA_PREFIX: &str = "$$";

/// Finds access control lists.
pub(super) struct Lookup {
    store: Arc<dyn EventStore>,
    clock: Arc<dyn Clock>,
    remembered: Mutex<Remembered>,
}

struct Remembered {
    acls: Bounded<String, Arc<Acl>>,
    defaults: Bounded<(), Arc<Defaults>>,
}

impl Lookup {
    pub(super) fn new(store: Arc<dyn EventStore>, clock: Arc<dyn Clock>) -> Self {
        Self {
            store,
            clock,
            remembered: Mutex::new(Remembered {
                acls: Bounded::new(ACLS_MAX, ACLS_FOR),
                defaults: Bounded::new(1, ACLS_FOR),
            }),
        }
    }

    /// What the metadata of a stream says.
    pub(super) async fn acl(&self, stream: &str) -> Result<Arc<Acl>, StoreError> {
        let key = stream.to_owned();
        let epoch = {
            let remembered = self.remembered();
            if let Some(acl) = remembered.acls.get(&key, self.clock.monotonic_ns()) {
                return Ok(Arc::clone(acl));
            }
            remembered.acls.epoch()
        };
        let acl = Arc::new(self.read_acl(stream).await?);
        let now_ns = self.clock.monotonic_ns();
        let mut remembered = self.remembered();
        remembered.acls.insert(epoch, key, Arc::clone(&acl), now_ns);
        Ok(acl)
    }

    /// What holds where a stream's metadata says nothing.
    pub(super) async fn defaults(&self) -> Result<Arc<Defaults>, StoreError> {
        let epoch = {
            let remembered = self.remembered();
            if let Some(defaults) = remembered.defaults.get(&(), self.clock.monotonic_ns()) {
                return Ok(Arc::clone(defaults));
            }
            remembered.defaults.epoch()
        };
        let defaults = Arc::new(self.read_defaults().await?);
        let now_ns = self.clock.monotonic_ns();
        let mut remembered = self.remembered();
        remembered
            .defaults
            .insert(epoch, (), Arc::clone(&defaults), now_ns);
        Ok(defaults)
    }

    /// Forgets what a stream that was written says.
    pub(super) fn written(&self, stream: &str) {
        if stream == SETTINGS {
            self.remembered().defaults.forget_key(&());
        }
        if let Some(of) = stream.strip_prefix(METADATA_PREFIX) {
            self.remembered().acls.forget_key(&of.to_owned());
        }
    }

    async fn read_acl(&self, stream: &str) -> Result<Acl, StoreError> {
        // A stream whose metadata would have too long a name cannot have any.
        let Ok(metadata) = StreamName::new(format!("{METADATA_PREFIX}{stream}")) else {
            return Ok(Acl::default());
        };
        let read = match last_event(&*self.store, metadata).await? {
            Last::Missing => return Ok(Acl::default()),
            Last::Closed => Err("it was closed for ever".to_owned()),
            Last::Event(event) => Acl::of_metadata(&event.data),
        };
        Ok(read.unwrap_or_else(|reason| {
            tracing::warn!("the metadata of {stream:?} cannot be read, so that only admins have access: {reason}");
            Acl::closed()
        }))
    }

    async fn read_defaults(&self) -> Result<Defaults, StoreError> {
        let Ok(settings) = StreamName::new(SETTINGS) else {
            return Ok(Defaults::closed());
        };
        let read = match last_event(&*self.store, settings).await? {
            Last::Missing => return Ok(Defaults::default()),
            Last::Closed => Err("it was closed for ever".to_owned()),
            Last::Event(event) => Defaults::of_settings(&event.data),
        };
        Ok(read.unwrap_or_else(|reason| {
            tracing::warn!(
                "{SETTINGS} cannot be read, so that only admins have access by default: {reason}"
            );
            Defaults::closed()
        }))
    }

    fn remembered(&self) -> MutexGuard<'_, Remembered> {
        self.remembered
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.remembered().acls.len()
    }
}
