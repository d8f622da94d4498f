//! Generates messages, clients and services from the descriptions in `proto/`, and a table of which fields of which messages are messages.
//! No outside compiler is run.

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::{DescriptorProto, FileDescriptorSet};

/// Messages whose bytes may stay in the buffer that they came in: those that a server sends. What a client sends is kept until the store
/// has it, and is copied, or a few bytes of it would keep all of a large message.
const KEEP_BUFFERS: [&str; 3] = [
    ".event_store.client.streams.ReadResp",
    ".event_store.client.persistent_subscriptions.ReadResp",
    ".factum.v1",
];

#[expect(
    clippy::disallowed_methods,
    reason = "Cargo says only so where it generates"
)]
fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=proto");
    let mut files = descriptions(Path::new("proto"))?;
    files.sort();
    let set = protox::compile(&files, ["proto"])?;
    let out = PathBuf::from(std::env::var("OUT_DIR")?);
    std::fs::write(out.join("shapes.rs"), shapes(&set)?)?;
    let mut config = tonic_prost_build::Config::new();
    config.enable_type_names();
    let mut builder = tonic_prost_build::configure()
        .build_transport(false)
        .codec_path("crate::codec::Codec")
        .btree_map(".");
    for path in KEEP_BUFFERS {
        builder = builder.bytes(path);
    }
    builder.compile_fds_with_config(set, config)?;
    Ok(())
}

/// Every description under a directory.
fn descriptions(directory: &Path) -> Result<Vec<PathBuf>, Box<dyn Error>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory)? {
        let path = entry?.path();
        if path.is_dir() {
            found.extend(descriptions(&path)?);
        } else if path
            .extension()
            .is_some_and(|extension| extension == "proto")
        {
            found.push(path);
        }
    }
    Ok(found)
}

/// The table: a line for each message, by its name, with those of its fields that are messages and the lines of these, and those that are lists of
/// numbers.
fn shapes(set: &FileDescriptorSet) -> Result<String, Box<dyn Error>> {
    let mut all = BTreeMap::new();
    for file in &set.file {
        for message in &file.message_type {
            collect(&format!(".{}", file.package()), message, &mut all);
        }
    }
    let lines: BTreeMap<&str, usize> = all.keys().map(String::as_str).zip(0..).collect();
    let mut table = "[\n".to_owned();
    for (name, message) in &all {
        write!(table, "    Shape {{ name: {:?}, messages: &[", &name[1..])?;
        for field in &message.field {
            if field.r#type() == Type::Message {
                let line = lines
                    .get(field.type_name())
                    .ok_or("a type has no message")?;
                write!(table, "({}, {line}), ", field.number())?;
            }
        }
        table.push_str("], numbers: &[");
        for field in &message.field {
            let is_bytes = matches!(field.r#type(), Type::Message | Type::String | Type::Bytes);
            if field.label() == Label::Repeated && !is_bytes {
                write!(table, "{}, ", field.number())?;
            }
        }
        table.push_str("] },\n");
    }
    table.push_str("]\n");
    Ok(table)
}

/// A message and those within it, by their names.
fn collect<'a>(
    within: &str,
    message: &'a DescriptorProto,
    all: &mut BTreeMap<String, &'a DescriptorProto>,
) {
    let name = format!("{within}.{}", message.name());
    for nested in &message.nested_type {
        collect(&name, nested, all);
    }
    all.insert(name, message);
}
