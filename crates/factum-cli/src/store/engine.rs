//! factum_engine, as the rest of this crate sees it: opens stores and puts what the engine reports into this crate's words.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use factum_engine::backup::{BackupReport, RestoreReport};
use factum_engine::verify::{VerifyDepth, VerifyReport};
use factum_engine::{DamageReport, Engine, Options};
use factum_io::Env;
use factum_store::{EventStore, StoreError};

use super::{Access, OnProgress, Store};
use crate::context::{Context, LostTails};
use crate::exit::Exit;
use crate::failure::{Failure, Outcome};

/// What opening the store found.
#[derive(Debug, Clone)]
pub(crate) struct OpenReport {
    /// Files of the log.
    pub(crate) segments: u64,
    /// Records in them.
    pub(crate) records: u64,
    /// What recovery did or found, in words; empty after a clean close.
    pub(crate) notes: Vec<String>,
    /// Whether the store refuses writes because of damage.
    pub(crate) is_degraded: bool,
}

/// Opens a store. For reading it takes no lock and shows what is durable now.
pub(super) fn open(data: &Path, access: Access, context: &Context) -> Outcome<Store> {
    if access == Access::Create
        && let Some(parent) = data
            .parent()
            .filter(|parent| !parent.as_os_str().is_empty())
    {
        std::fs::create_dir_all(parent).map_err(|error| Failure::io(parent.display(), &error))?;
    }
    let options = Options::new(data)
        .create(access == Access::Create)
        .read_only(access == Access::Read)
        .accept_lost_tails(context.lost_tails == LostTails::Accept)
        .block_cache_bytes(context.block_cache_bytes);
    let engine = Engine::open(options, context.env.clone())?;
    let closing = engine.clone();
    let engine = Arc::new(engine);
    Ok(Store {
        events: Arc::clone(&engine) as Arc<dyn EventStore>,
        snapshots: Arc::clone(&engine) as Arc<dyn factum_store::SnapshotStore>,
        whole: engine,
        is_live: access != Access::Read,
        close: Some(Box::new(move || Ok(closing.close()?))),
    })
}

/// Opens a store to read, again and again.
pub(super) struct Opener {
    data: PathBuf,
    env: Env,
}

impl Opener {
    pub(super) fn new(context: &Context) -> Self {
        Self {
            data: context.data.clone(),
            env: context.env.clone(),
        }
    }

    pub(super) fn data(&self) -> &Path {
        &self.data
    }

    /// The store as it is now, and how it is let go.
    pub(super) fn read(&self) -> Result<Opened, StoreError> {
        let options = Options::new(&self.data).create(false).read_only(true);
        let engine = Engine::open(options, self.env.clone())?;
        let closing = engine.clone();
        // What was only read leaves nothing behind that closing could fail to write.
        let close = move || drop(closing.close());
        Ok((Arc::new(engine), Box::new(close)))
    }
}

/// A store, and how it is let go.
type Opened = (Arc<dyn EventStore>, Box<dyn FnOnce() + Send>);

/// What opening the store finds; nothing is repaired.
pub(crate) fn open_report(data: &Path, env: &Env) -> Outcome<OpenReport> {
    let engine = Engine::open(
        Options::new(data).create(false).read_only(true),
        env.clone(),
    )?;
    let report = engine.report();
    let damage = report.damage.iter().map(|found| {
        let damage = &found.damage;
        format!(
            "{}: {} at offset {}",
            found.what, damage.file, damage.offset
        )
    });
    let notes = report
        .manifest_damage
        .iter()
        .chain(&report.cut)
        .cloned()
        .chain(damage)
        .collect();
    let segments = report.sealed_segments + report.recovered_segments;
    Ok(OpenReport {
        segments: segments as u64,
        records: report.records,
        notes,
        is_degraded: report.degraded,
    })
}

/// Gives damaged events up; what they were, in words.
pub(crate) fn accept_loss(data: &Path, env: &Env) -> Outcome<Vec<String>> {
    let options = Options::new(data).create(false).accept_loss(true);
    let engine = Engine::open(options, env.clone())?;
    let lost = engine.report().damage.iter().map(|found| {
        let damage = &found.damage;
        format!(
            "given up: positions {} to {} ({}, {})",
            damage.first, damage.last, found.what, damage.file
        )
    });
    let lost = lost.collect();
    engine.close()?;
    Ok(lost)
}

/// Looks at every file, or at every byte.
pub(crate) fn verify(
    data: &Path,
    depth: VerifyDepth,
    env: &Env,
    on_progress: OnProgress<'_>,
) -> Outcome<VerifyReport> {
    Ok(factum_engine::verify::verify(
        data,
        depth,
        env,
        on_progress,
    )?)
}

/// Copies the store as it is now, also beside a process that writes.
pub(crate) fn backup(
    data: &Path,
    target: &Path,
    env: &Env,
    on_progress: OnProgress<'_>,
) -> Outcome<BackupReport> {
    let engine = Engine::open(
        Options::new(data).create(false).read_only(true),
        env.clone(),
    )?;
    let damage = engine.report().damage.clone();
    let degraded = engine.report().degraded;
    let report = engine.backup(target, on_progress)?;
    engine.close()?;
    match damage.first().filter(|_| degraded) {
        None => Ok(report),
        Some(first) => Err(lacks(target, first)),
    }
}

/// The backup has all that can be read, and that is not all that was stored.
fn lacks(target: &Path, first: &DamageReport) -> Failure {
    let message = format!(
        "the store is damaged, so that the backup in {} lacks events: {}",
        target.display(),
        first.what
    );
    Failure::new(Exit::Integrity, "corrupt", message)
        .hint("keep earlier backups; factum verify --full tells all that is damaged")
}

/// Makes a store from a backup, and checks every byte of it.
pub(crate) fn restore(
    backup: &Path,
    target: &Path,
    env: &Env,
    on_progress: OnProgress<'_>,
) -> Outcome<RestoreReport> {
    Ok(factum_engine::backup::restore(
        backup,
        target,
        env,
        on_progress,
    )?)
}
