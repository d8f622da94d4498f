//! The index of a sealed segment, in memory: made from an unsealed segment, or read from its file.
//!
//! Relies on: checksums of the file, verified once when it is read. Never: trusts a truncated hash; names are compared.

use std::ops::Range;

use factum_format::FormatError;
use factum_format::index::{
    Directory, DirectoryBuilder, IndexBuilder, IndexFile, IndexInfo, IndexSection, Names, Offsets,
    OffsetsBuilder, PostingEntry, PostingHead, PostingKind, PostingsBuilder, pack_names,
};

use super::unsealed::{Content, Posting};
use crate::key::{KeyHash, KeyKind};
use crate::mutant::{Mutant, on};
use crate::number::to_u32;

/// The index of a sealed segment.
#[derive(Debug)]
pub(crate) struct Index {
    bytes: Vec<u8>,
    pub(crate) info: IndexInfo,
    offsets: Range<usize>,
    streams: Names,
    types: Names,
    tags: Names,
    categories: Names,
    directory: Range<usize>,
    postings: Range<usize>,
}

impl Index {
    /// Takes the bytes of an index file and verifies them all.
    ///
    /// # Errors
    /// What is wrong with them; the index can be made again from the segment.
    pub(crate) fn parse(bytes: Vec<u8>) -> Result<Self, FormatError> {
        let file = IndexFile::parse(&bytes)?;
        file.verify_all()?;
        let section = |wanted: IndexSection| {
            let missing = FormatError::Invalid {
                what: "index section table",
                offset: 88,
            };
            let entry = file.header().section(wanted).ok_or(missing)?;
            let start = usize::try_from(entry.offset).unwrap_or(usize::MAX);
            let length = usize::try_from(entry.length).unwrap_or(usize::MAX);
            Ok(start..start.saturating_add(length))
        };
        let info = file.header().info;
        let index = Self {
            info,
            offsets: section(IndexSection::OFFSETS)?,
            streams: file.names(IndexSection::STREAM_NAMES)?,
            types: file.names(IndexSection::TYPE_NAMES)?,
            tags: file.names(IndexSection::TAG_NAMES)?,
            categories: file.names(IndexSection::CATEGORY_NAMES)?,
            directory: section(IndexSection::DIRECTORY)?,
            postings: section(IndexSection::POSTINGS)?,
            bytes,
        };
        index.offsets()?;
        index.directory()?;
        Ok(index)
    }

    pub(crate) fn byte_len(&self) -> usize {
        let names = [&self.streams, &self.types, &self.tags, &self.categories];
        self.bytes.len() + names.map(Names::byte_len).iter().sum::<usize>()
    }

    pub(crate) fn offsets(&self) -> Result<Offsets<'_>, FormatError> {
        Offsets::parse(&self.bytes[self.offsets.clone()], self.info.record_count)
    }

    pub(crate) fn directory(&self) -> Result<Directory<'_>, FormatError> {
        Directory::parse(&self.bytes[self.directory.clone()])
    }

    pub(crate) fn stream_name(&self, ordinal: u32) -> Result<&str, FormatError> {
        self.streams.name(ordinal)
    }

    pub(crate) fn type_name(&self, ordinal: u32) -> Result<&str, FormatError> {
        self.types.name(ordinal)
    }

    pub(crate) fn tag_name(&self, ordinal: u32) -> Result<&str, FormatError> {
        self.tags.name(ordinal)
    }

    pub(crate) const fn stream_names(&self) -> &Names {
        &self.streams
    }

    /// The names that a posting's head means one of, by its kind.
    const fn posting_names(&self, head: &PostingHead) -> &Names {
        match head.kind {
            PostingKind::TYPE => &self.types,
            PostingKind::TAG => &self.tags,
            PostingKind::CATEGORY | PostingKind::CATEGORY_CONTROL => &self.categories,
            _ => &self.streams,
        }
    }

    /// Whether the names that a record means are there.
    pub(crate) fn knows(&self, stream_ref: u32, type_ref: u32) -> bool {
        stream_ref < self.streams.count() && type_ref < self.types.count()
    }

    /// The list of a key, `None` when the segment has none.
    pub(crate) fn posting(
        &self,
        kind: KeyKind,
        key: KeyHash,
        name: &str,
    ) -> Result<Option<PostingEntry<'_>>, FormatError> {
        let section = &self.bytes[self.postings.clone()];
        for offset in self.directory()?.candidates(key) {
            let entry = PostingEntry::parse(section, offset)?;
            if entry.head.kind.0 == kind as u8
                && self.posting_names(&entry.head).name(entry.head.name)? == name
            {
                return Ok(Some(entry));
            }
        }
        Ok(None)
    }

    /// Every list of a kind, in no particular order.
    pub(crate) fn postings_of(
        &self,
        kind: KeyKind,
    ) -> Result<Vec<(&str, PostingEntry<'_>)>, FormatError> {
        let section = &self.bytes[self.postings.clone()];
        let mut found = Vec::new();
        for (_, offset) in self.directory()?.iter() {
            let entry = PostingEntry::parse(section, offset)?;
            if entry.head.kind.0 == kind as u8 {
                found.push((
                    self.posting_names(&entry.head).name(entry.head.name)?,
                    entry,
                ));
            }
        }
        Ok(found)
    }
}

/// How many events of a type or category stand before the segment.
pub(crate) type Before<'a> = dyn Fn(KeyKind, KeyHash, &str) -> u64 + 'a;

/// Makes the index file of a segment from what is in memory of it. `place` tells where each record stands in the sealed file.
///
/// # Errors
/// When the segment is too large for an index, which its limits exclude.
pub(crate) fn build(
    content: &Content,
    info: IndexInfo,
    before: &Before<'_>,
    place: &mut dyn FnMut(u32) -> Option<(u64, u32)>,
) -> Result<Vec<u8>, FormatError> {
    let mut offsets = OffsetsBuilder::new();
    for ordinal in 0..info.record_count {
        let last = ordinal + 1 == info.record_count;
        offsets.push(place(ordinal).filter(|_| !(last && on(Mutant::LastRecordLost))))?;
    }
    let mut file = IndexBuilder::new(info);
    file.section(IndexSection::OFFSETS, offsets.count(), &offsets.finish());
    names(
        &mut file,
        IndexSection::STREAM_NAMES,
        content.streams.iter().map(|p| p.name.as_str()),
    )?;
    names(
        &mut file,
        IndexSection::TYPE_NAMES,
        content.types.iter().map(|p| p.name.as_str()),
    )?;
    names(
        &mut file,
        IndexSection::TAG_NAMES,
        content.tags.iter().map(|p| p.name.as_str()),
    )?;
    let categories = content.categories.iter().map(|p| p.name.as_str());
    names(&mut file, IndexSection::CATEGORY_NAMES, categories)?;
    let mut lists = Lists {
        postings: PostingsBuilder::new(),
        directory: DirectoryBuilder::new(),
    };
    push_lists(&mut lists, content, before)?;
    let keys = to_u32(lists.directory.count());
    let count = lists.postings.count();
    file.section(IndexSection::DIRECTORY, keys, &lists.directory.finish()?);
    file.section(IndexSection::POSTINGS, count, &lists.postings.finish());
    file.finish()
}

fn push_lists(
    lists: &mut Lists,
    content: &Content,
    before: &Before<'_>,
) -> Result<(), FormatError> {
    for (number, stream) in content.streams.iter().enumerate() {
        lists.push(
            KeyKind::Stream,
            to_u32(number),
            stream.first_revision + u64::from(on(Mutant::FirstRevisionWrong)),
            stream,
        )?;
    }
    for (number, list) in content.types.iter().enumerate() {
        let before = before(KeyKind::EventType, list.key, list.name.as_str());
        lists.push(KeyKind::EventType, to_u32(number), before, list)?;
    }
    for (number, list) in content.tags.iter().enumerate() {
        lists.push(KeyKind::Tag, to_u32(number), 0, list)?;
    }
    for (number, list) in content.categories.iter().enumerate() {
        let before = before(KeyKind::Category, list.key, list.name.as_str());
        lists.push(KeyKind::Category, to_u32(number), before, list)?;
    }
    for list in &content.snapshots {
        lists.push(KeyKind::Snapshot, list.name, 0, list)?;
    }
    for list in content
        .controls
        .iter()
        .filter(|_| !on(Mutant::ControlsForgotten))
    {
        lists.push(KeyKind::Control, list.name, 0, list)?;
    }
    for list in &content.category_controls {
        lists.push(KeyKind::CategoryControl, list.name, 0, list)?;
    }
    Ok(())
}

struct Lists {
    postings: PostingsBuilder,
    directory: DirectoryBuilder,
}

impl Lists {
    fn push<N>(
        &mut self,
        kind: KeyKind,
        name: u32,
        before: u64,
        list: &Posting<N>,
    ) -> Result<(), FormatError> {
        let head = PostingHead {
            kind: PostingKind(kind as u8),
            name,
            before,
        };
        let offset = self.postings.push(&head, &list.ordinals)?;
        self.directory.push(list.key, offset);
        Ok(())
    }
}

fn names<'a>(
    file: &mut IndexBuilder,
    section: IndexSection,
    names: impl Iterator<Item = &'a str>,
) -> Result<(), FormatError> {
    let names: Vec<&str> = names.collect();
    file.section(section, to_u32(names.len()), &pack_names(&names)?);
    Ok(())
}
