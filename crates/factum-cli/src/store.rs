//! The one door to the engine, and to a server's store: opening a store, and what can be done to a store as a whole.
//!
//! Everything else in this crate knows only the contract of factum-store.

mod engine;
mod follow;
mod remote;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use factum_store::{EventStore, MemoryStore, SnapshotStore};

pub(crate) use factum_engine::backup::BackupReport;
pub(crate) use factum_engine::verify::{Severity, VerifyDepth, VerifyFinding, VerifyReport};

pub(crate) use self::engine::{accept_loss, backup, open_report, restore, verify};
use crate::context::{Context, LostTails, ServerAddress};
use crate::doctor;
use crate::exit::Exit;
use crate::failure::{Failure, Outcome};

/// Is told how many of how many bytes are done.
pub(crate) type OnProgress<'a> = &'a mut dyn FnMut(u64, u64);

/// What for a store is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    /// Reading, also beside a process that writes. The store must be there.
    Read,
    /// Writing, alone. The store must be there.
    Write,
    /// Writing, alone. The store is made if it is not there.
    Create,
}

/// An open store.
pub(crate) struct Store {
    /// The store.
    pub(crate) events: Arc<dyn EventStore>,
    /// The same store, for what is remembered of its streams.
    pub(crate) snapshots: Arc<dyn SnapshotStore>,
    /// The same store, whole, to be served.
    pub(crate) whole: Arc<dyn factum_server::Store>,
    /// Whether subscriptions see every append: false when another process may be the one that appends.
    pub(crate) is_live: bool,
    close: Option<Box<dyn FnOnce() -> Outcome>>,
}

impl Store {
    /// Waits for what is under way and lets go of the directory.
    pub(crate) fn close(mut self) -> Outcome {
        self.close.take().map_or(Ok(()), |close| close())
    }
}

/// Opens the store of the data directory.
pub(crate) fn open(context: &Context, access: Access) -> Outcome<Store> {
    match &context.server {
        Some(server) => remote(server, context),
        None => open_at(&context.data, access, context),
    }
}

fn remote(server: &ServerAddress, context: &Context) -> Outcome<Store> {
    if context.lost_tails == LostTails::Accept {
        return Err(
            Failure::usage("--accept-lost-tails is not for the store of a server").hint(
                "run the command on the server's machine, with --data, while the server is stopped",
            ),
        );
    }
    remote::open(server)
}

/// Opens the store of the data directory to read what is in it now and what another process appends. Whoever asks for the head sees more of it.
pub(crate) fn follow(context: &Context) -> Outcome<Arc<dyn EventStore>> {
    if let Some(server) = &context.server {
        return Ok(remote(server, context)?.events);
    }
    must_be_there(&context.data)?;
    let opener = engine::Opener::new(context);
    Ok(Arc::new(follow::Follow::open(opener)?))
}

/// Opens the store of any directory.
pub(crate) fn open_at(data: &Path, access: Access, context: &Context) -> Outcome<Store> {
    if access != Access::Create {
        must_be_there(data)?;
    }
    engine::open(data, access, context).map_err(|failure| match doctor::lock_holder(data) {
        Some(holder) if failure.exit == Exit::Unreachable => failure.hint(format!(
            "{holder} has the store open; one process writes at a time, reading works beside it"
        )),
        _ => failure,
    })
}

/// Opens the store of the data directory to read; an empty one stands in if there is none.
pub(crate) fn open_or_empty(context: &Context) -> Outcome<Store> {
    if context.server.is_some() || context.data.is_dir() {
        open(context, Access::Read)
    } else {
        Ok(empty())
    }
}

/// What the files of a store look like from outside; it changes when something is written, and looking is cheap.
pub(crate) fn trace(data: &Path) -> Vec<(PathBuf, u64, Option<SystemTime>)> {
    let mut trace = Vec::new();
    let mut directories = vec![data.to_owned()];
    while let Some(directory) = directories.pop() {
        for entry in std::fs::read_dir(&directory)
            .into_iter()
            .flatten()
            .flatten()
        {
            let Ok(status) = entry.metadata() else {
                continue;
            };
            if status.is_dir() {
                directories.push(entry.path());
            } else {
                trace.push((entry.path(), status.len(), status.modified().ok()));
            }
        }
    }
    trace.sort_unstable();
    trace
}

/// A store in memory.
pub(crate) fn empty() -> Store {
    let store = Arc::new(MemoryStore::new());
    Store {
        events: Arc::clone(&store) as Arc<dyn EventStore>,
        snapshots: Arc::clone(&store) as Arc<dyn SnapshotStore>,
        whole: store,
        is_live: true,
        close: None,
    }
}

/// Fails when there is no such directory.
pub(crate) fn must_be_there(data: &Path) -> Outcome {
    if data.is_dir() {
        return Ok(());
    }
    Err(Failure::not_found(format!("there is no store in {}", data.display())).hint(
        "name it by --data or FACTUM_DATA; `factum append`, `factum import` and `factum demo --data DIR` make one",
    ))
}
