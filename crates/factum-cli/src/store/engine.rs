//! Stand-in for the engine: the memory store, kept in one file between commands. To be replaced by factum_engine.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use factum_io::Env;
use factum_store::{AppendBatch, Change, EventStore, MemoryStore, ReadRequest};
use factum_types::{
    Bytes, ContentType, ExpectedRevision, Metadata, NewEvent, RecordKind, Revision, StreamName,
    StreamSettings, Timestamp,
};
use serde_json::{Value, json};

use super::reports::{BackedUp, OpenReport, Verified, VerifyDepth};
use super::{Access, OnProgress, Store};
use crate::failure::{Failure, Outcome};

const FILE: &str = "stand-in.ndjson";

pub(super) fn open(data: &Path, access: Access, env: &Env) -> Outcome<Store> {
    let clock = Arc::clone(&env.clock);
    let then = Arc::new(AtomicI64::new(0));
    let past = Arc::clone(&then);
    let store = MemoryStore::with_clock(Arc::new(move || match past.load(Ordering::SeqCst) {
        0 => Timestamp::from_micros(clock.now_us()),
        time => Timestamp::from_micros(time),
    }));
    load(&store, data, &then)?;
    then.store(0, Ordering::SeqCst);
    if access == Access::Create {
        std::fs::create_dir_all(data).map_err(|e| Failure::io(data.display(), &e))?;
    }
    let keeper = Keeper {
        store: store.clone(),
        data: data.to_owned(),
        access,
    };
    let close: Box<dyn FnOnce() -> Outcome> = Box::new(move || {
        drop(keeper);
        Ok(())
    });
    Ok(Store {
        events: Arc::new(store),
        is_live: true,
        close: Some(close),
    })
}

struct Keeper {
    store: MemoryStore,
    data: std::path::PathBuf,
    access: Access,
}

impl Drop for Keeper {
    fn drop(&mut self) {
        if self.access != Access::Read {
            drop(save(&self.store, &self.data));
        }
    }
}

fn load(store: &MemoryStore, data: &Path, then: &AtomicI64) -> Outcome {
    let Ok(text) = std::fs::read_to_string(data.join(FILE)) else {
        return Ok(());
    };
    for line in text.lines() {
        let v: Value = serde_json::from_str(line).map_err(|e| Failure::error(e.to_string()))?;
        let s = |k: &str| v[k].as_str().unwrap_or_default().to_owned();
        let o = |k: &str| v[k].as_str().map(str::to_owned);
        let b = |k: &str| Bytes::from(STANDARD.decode(s(k)).unwrap_or_default());
        let stream = StreamName::new(s("s")).map_err(|e| Failure::error(e.to_string()))?;
        let change = match s("k").as_str() {
            "e" => Change::Events(vec![NewEvent {
                id: s("i").parse().map_err(|_e| Failure::error("id"))?,
                event_type: s("t").parse().map_err(|_e| Failure::error("type"))?,
                data: b("d"),
                content_type: if v["j"] == true {
                    ContentType::Json
                } else {
                    ContentType::Binary
                },
                schema_version: u32::try_from(v["v"].as_u64().unwrap_or(1)).unwrap_or(1),
                tags: v["g"]
                    .as_array()
                    .into_iter()
                    .flatten()
                    .filter_map(|t| t.as_str()?.parse().ok())
                    .collect(),
                metadata: Metadata {
                    correlation_id: o("m1"),
                    causation_id: o("m2"),
                    user_id: o("m3"),
                    traceparent: o("m4"),
                    custom: b("m5"),
                },
                personal: Bytes::new(),
                time: v["tm"].as_i64().map(Timestamp::from_micros),
            }]),
            "d" => Change::Delete,
            "t" => Change::Tombstone,
            _ => Change::Settings(StreamSettings {
                max_count: v["mc"].as_u64(),
                max_age: v["ma"].as_u64().map(std::time::Duration::from_secs),
                truncate_before: v["tb"].as_u64().map(Revision::new),
            }),
        };
        then.store(v["tm"].as_i64().unwrap_or(1), Ordering::SeqCst);
        pollster::block_on(store.append(AppendBatch::change(
            stream,
            ExpectedRevision::Any,
            change,
        )))?;
    }
    Ok(())
}

fn save(store: &MemoryStore, data: &Path) -> Outcome {
    let mut text = String::new();
    let events = pollster::block_on(store.read(ReadRequest::all().with_control()).collect())?;
    for e in events {
        let m = &e.metadata;
        let info = pollster::block_on(store.stream_info(e.stream.clone()))?.settings;
        let v = json!({"s": e.stream.as_str(), "i": e.id.to_string(), "t": e.event_type.as_str(),
            "k": match e.kind { RecordKind::Event => "e", RecordKind::Delete => "d", RecordKind::Tombstone => "t", _ => "s" },
            "d": STANDARD.encode(&e.data), "j": e.content_type == ContentType::Json, "v": e.schema_version,
            "g": e.tags.iter().map(|t| t.as_str()).collect::<Vec<_>>(), "tm": e.time.as_micros(),
            "m1": m.correlation_id, "m2": m.causation_id, "m3": m.user_id, "m4": m.traceparent, "m5": STANDARD.encode(&m.custom),
            "mc": info.max_count, "ma": info.max_age.map(|a| a.as_secs()), "tb": info.truncate_before.map(|r| r.number())});
        text.push_str(&format!("{v}\n"));
    }
    std::fs::write(data.join(FILE), text).map_err(|e| Failure::io(data.display(), &e))
}

fn records(data: &Path) -> u64 {
    std::fs::read_to_string(data.join(FILE)).map_or(0, |text| text.lines().count() as u64)
}

pub(crate) fn verify(
    data: &Path,
    _: VerifyDepth,
    _: &Env,
    on_progress: OnProgress<'_>,
) -> Outcome<Verified> {
    let bytes = std::fs::metadata(data.join(FILE)).map_or(0, |m| m.len());
    on_progress(bytes, bytes);
    Ok(Verified {
        segments: 1,
        frames: 0,
        records: records(data),
        bytes,
        findings: Vec::new(),
        is_clean: true,
    })
}

pub(crate) fn backup(
    data: &Path,
    target: &Path,
    env: &Env,
    on_progress: OnProgress<'_>,
) -> Outcome<BackedUp> {
    restore(data, target, env, on_progress)
}

pub(crate) fn restore(
    backup: &Path,
    target: &Path,
    _: &Env,
    _: OnProgress<'_>,
) -> Outcome<BackedUp> {
    let io = |e: std::io::Error| Failure::io(target.display(), &e);
    std::fs::create_dir_all(target).map_err(io)?;
    let bytes = std::fs::copy(backup.join(FILE), target.join(FILE)).map_err(io)?;
    let head = records(target)
        .checked_sub(1)
        .map(factum_types::Position::from_raw);
    Ok(BackedUp {
        bytes,
        files: 1,
        head,
    })
}

pub(crate) fn open_report(data: &Path, _: &Env) -> Outcome<OpenReport> {
    Ok(OpenReport {
        segments: 1,
        records: records(data),
        notes: Vec::new(),
        is_degraded: false,
    })
}

pub(crate) fn accept_loss(_: &Path, _: &Env) -> Outcome<Vec<String>> {
    Ok(Vec::new())
}
