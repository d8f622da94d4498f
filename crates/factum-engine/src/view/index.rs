//! The index of a sealed segment, in memory: made from an unsealed segment, or read from its file.
//!
//! Relies on: checksums of the file, verified once when it is read. Never: trusts a truncated hash; names are compared.

use std::hint::black_box;
use std::ops::Range;
use std::sync::{Arc, OnceLock};

use factum_format::FormatError;
use factum_format::index::{
    Candidates, Directory, DirectoryBuilder, IndexBuilder, IndexFile, IndexInfo, IndexSection,
    Losses, Names, Offsets, OffsetsBuilder, PostingEntry, PostingHead, PostingKind,
    PostingsBuilder, pack_names,
};

use factum_types::EventType;

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
    /// Records that were lost, and whose they were the index cannot tell.
    pub(crate) losses: Option<Losses>,
    /// The first event types, made when first asked for.
    event_types: OnceLock<Vec<Option<EventType>>>,
}

/// So many event types are kept as names; an application that has more makes the others anew for each event.
const TYPES_KEPT: usize = 1_024;

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
            offsets: section(file.offsets_section())?,
            streams: file.names(IndexSection::STREAM_NAMES)?,
            types: file.names(IndexSection::TYPE_NAMES)?,
            tags: file.names(IndexSection::TAG_NAMES)?,
            categories: file.names(IndexSection::CATEGORY_NAMES)?,
            directory: section(file.directory_section())?,
            postings: section(IndexSection::POSTINGS)?,
            losses: file.losses()?,
            event_types: OnceLock::new(),
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

    /// Reads the names of many streams one right after the other, so that they are at hand when they are asked for one by one; as
    /// [`find_streams`] does.
    pub(crate) fn bring_stream_names(&self, streams: impl Iterator<Item = u32>) {
        let first = |all: u8, bytes: &[u8]| all ^ bytes.first().copied().unwrap_or(0);
        let texts = streams.map(|stream| self.streams.bytes(stream).unwrap_or_default());
        black_box(texts.fold(0, first));
    }

    /// An event type as a name; `None` when it is not valid.
    pub(crate) fn event_type(&self, ordinal: u32) -> Option<EventType> {
        let all = self.event_types.get_or_init(|| {
            let names = self.types.iter().take(TYPES_KEPT);
            names.map(|name| EventType::new(name).ok()).collect()
        });
        match all.get(ordinal as usize) {
            Some(kept) => kept.clone(),
            None => EventType::new(self.type_name(ordinal).ok()?).ok(),
        }
    }

    /// Whether this is the name of a stream.
    pub(crate) fn is_stream(&self, ordinal: u32, name: &str) -> bool {
        let bytes = self.streams.bytes(ordinal);
        bytes.is_ok_and(|bytes| bytes == name.as_bytes())
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
        match self.find_posting(kind, key, name)? {
            Some(at) => self.posting_at(at).map(Some),
            None => Ok(None),
        }
    }

    /// Where the list of a key is, `None` when the segment has none.
    pub(crate) fn find_posting(
        &self,
        kind: KeyKind,
        key: KeyHash,
        name: &str,
    ) -> Result<Option<PostingAt>, FormatError> {
        for at in self.directory()?.candidates(key).map(PostingAt) {
            let entry = self.posting_at(at)?;
            let is_named = |names: &Names| Ok(names.bytes(entry.head.name)? == name.as_bytes());
            if entry.head.kind.0 == kind as u8 && is_named(self.posting_names(&entry.head))? {
                return Ok(Some(at));
            }
        }
        Ok(None)
    }

    /// Whether a list is that of a name.
    fn is_list_of(&self, list: &PostingEntry<'_>, kind: KeyKind, name: &str) -> bool {
        let named = || self.posting_names(&list.head).bytes(list.head.name);
        list.head.kind.0 == kind as u8 && named().is_ok_and(|named| named == name.as_bytes())
    }

    /// The list that was found there.
    pub(crate) fn posting_at(
        &self,
        PostingAt(offset): PostingAt,
    ) -> Result<PostingEntry<'_>, FormatError> {
        PostingEntry::parse(self.postings(), offset)
    }

    fn postings(&self) -> &[u8] {
        &self.bytes[self.postings.clone()]
    }

    /// Every list of a kind, in no particular order.
    pub(crate) fn postings_of(
        &self,
        kind: KeyKind,
    ) -> Result<Vec<(&str, PostingEntry<'_>)>, FormatError> {
        let section = self.postings();
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

/// Where a list is in an index.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PostingAt(u32);

/// How many look-ups are made in step.
pub(crate) const IN_STEP: usize = 6;
/// So many records of each stream found are expected to be read.
const EXPECTED: usize = 3;

/// Which records of a stream will be read when it has been found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Expected {
    /// The first ones of each segment.
    First,
    /// The last one of a segment.
    Last,
}

/// Looks a stream up in some indexes, at most [`IN_STEP`], a link of the way in all of them at a time: so the processor waits for several
/// reads from memory at once instead of one by one. `found` is told each list's place, in order, as [`Index::find_posting`] gives it, and says whether to go on.
pub(crate) fn find_streams(
    indexes: &[Arc<Index>],
    (key, name): (KeyHash, &str),
    expected: Expected,
    mut found: impl FnMut(Result<Option<PostingAt>, FormatError>) -> bool,
) {
    let mut next = AtOnce::new();
    for index in indexes {
        next.push(index.directory().map(|all| all.first_bytes(key)));
    }
    next.read();
    let mut buckets = [const { None }; IN_STEP];
    for (bucket, index) in buckets.iter_mut().zip(indexes) {
        let candidates = index.directory().map(|all| all.candidates(key)).ok();
        next.push_ends(candidates.as_ref().map_or(&[], Candidates::bytes));
        *bucket = candidates;
    }
    next.read();
    let mut firsts = [None; IN_STEP];
    for ((first, bucket), index) in firsts.iter_mut().zip(&mut buckets).zip(indexes) {
        *first = bucket.as_mut().and_then(Iterator::next).map(PostingAt);
        next.push(
            first
                .and_then(|PostingAt(at)| index.postings().get(at as usize..))
                .ok_or(()),
        );
    }
    next.read();
    let mut lists = [const { None }; IN_STEP];
    for ((list, first), index) in lists.iter_mut().zip(firsts).zip(indexes) {
        let Some(entry) = first.and_then(|at| index.posting_at(at).ok()) else {
            continue;
        };
        next.push(Ok::<_, ()>(
            index
                .posting_names(&entry.head)
                .first_bytes(entry.head.name),
        ));
        let found = Listed::new(entry, expected);
        if let Ok(offsets) = index.offsets() {
            let first = |ordinal: &u32| next.push(Ok::<_, ()>(offsets.first_bytes(*ordinal)));
            found.ordinals().iter().for_each(first);
        }
        *list = Some(found);
    }
    next.read();
    for (list, index) in lists.iter().zip(indexes) {
        let Some(list) = list else { continue };
        let head = &list.entry.head;
        next.push_ends(
            index
                .posting_names(head)
                .bytes(head.name)
                .unwrap_or_default(),
        );
        if let Ok(offsets) = index.offsets() {
            let second = |ordinal: &u32| next.push(Ok::<_, ()>(offsets.second_bytes(*ordinal)));
            list.ordinals().iter().for_each(second);
        }
    }
    next.read();
    for ((list, first), index) in lists.iter().zip(firsts).zip(indexes) {
        let is_it = list
            .as_ref()
            .is_some_and(|list| index.is_list_of(&list.entry, KeyKind::Stream, name));
        let place = match first {
            Some(_) if is_it => Ok(first),
            None => Ok(None),
            Some(_) => index.find_posting(KeyKind::Stream, key, name),
        };
        if !found(place) {
            return;
        }
    }
}

/// A list that a key led to, and the records of it that will be read.
struct Listed<'a> {
    entry: PostingEntry<'a>,
    ordinals: [u32; EXPECTED],
    count: usize,
}

impl<'a> Listed<'a> {
    fn new(entry: PostingEntry<'a>, expected: Expected) -> Self {
        let from = match expected {
            Expected::First => 0,
            Expected::Last => entry.count.saturating_sub(1),
        };
        let (mut ordinals, mut count) = ([0; EXPECTED], 0);
        for (slot, ordinal) in ordinals
            .iter_mut()
            .zip(entry.ordinals_from(from).map_while(Result::ok))
        {
            (*slot, count) = (ordinal, count + 1);
        }
        Self {
            entry,
            ordinals,
            count,
        }
    }

    fn ordinals(&self) -> &[u32] {
        &self.ordinals[..self.count]
    }
}

/// Places in memory that are read one right after the other, so that the processor waits for all of them at once. What is read there says
/// nothing; it is at hand afterwards.
struct AtOnce<'a> {
    places: [&'a [u8]; (2 + EXPECTED) * IN_STEP],
    count: usize,
}

impl<'a> AtOnce<'a> {
    const fn new() -> Self {
        Self {
            places: [&[]; (2 + EXPECTED) * IN_STEP],
            count: 0,
        }
    }

    fn push<E>(&mut self, place: Result<&'a [u8], E>) {
        if let (Ok(place), Some(slot)) = (place, self.places.get_mut(self.count)) {
            *slot = place;
            self.count += 1;
        }
    }

    /// Both ends of a place that may lie across two lines.
    fn push_ends(&mut self, place: &'a [u8]) {
        let last = place.len().saturating_sub(1);
        self.push(Ok::<_, ()>(place));
        self.push(place.get(last..).ok_or(()));
    }

    fn read(&mut self) {
        let mut all = 0;
        for place in &self.places[..self.count] {
            all ^= place.first().copied().unwrap_or(0);
        }
        black_box(all);
        self.count = 0;
    }
}

/// How many events of a type or category stand before the segment.
pub(crate) type Before<'a> = dyn Fn(KeyKind, KeyHash, &str) -> u64 + 'a;

/// Makes the index file of a segment from what is in memory of it. `places` tells of one record after the other where it stands in the sealed
/// file.
///
/// # Errors
/// When the segment is too large for an index, which its limits exclude.
pub(crate) fn build(
    content: &Content,
    info: IndexInfo,
    before: &Before<'_>,
    mut places: impl Iterator<Item = Option<(u64, u32)>>,
) -> Result<Vec<u8>, FormatError> {
    let mut offsets = OffsetsBuilder::new();
    for ordinal in 0..info.record_count {
        let last = ordinal + 1 == info.record_count;
        let place = places.next().flatten();
        offsets.push(place.filter(|_| !(last && on(Mutant::LastRecordLost))))?;
    }
    let mut file = IndexBuilder::new(info);
    let count = offsets.count();
    file.section(IndexSection::SLOPED_OFFSETS, count, &offsets.finish()?);
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
    file.section(
        IndexSection::DENSE_DIRECTORY,
        keys,
        &lists.directory.finish()?,
    );
    file.section(IndexSection::POSTINGS, count, &lists.postings.finish());
    if let Some((count, losses)) = content.losses.counted() {
        file.section(IndexSection::LOSSES, count, &losses.encode());
    }
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

#[cfg(test)]
mod tests {
    use factum_format::index::{
        DirectoryBuilder, IndexBuilder, IndexInfo, IndexSection, OffsetsBuilder, PostingHead,
        PostingKind, PostingsBuilder,
    };

    use super::{Index, names};
    use crate::key::{KeyHash, KeyKind};

    const KEY: KeyHash = 0x0123_4567_89AB_CDEF << 64;

    /// An index of one stream with one event.
    fn index(
        (section, offsets_section): (IndexSection, IndexSection),
        directory: &[u8],
        postings: PostingsBuilder,
    ) -> Vec<u8> {
        let mut file = IndexBuilder::new(IndexInfo {
            realm: [1; 16],
            segment: 1,
            generation: 1,
            record_count: 1,
            base_position: 0,
            first_time: 0,
            last_time: 0,
            data_hash: 0,
        });
        let mut offsets = OffsetsBuilder::new();
        offsets.push(Some((4_096, 100))).unwrap();
        // One record is on no line, so both sections have the same bytes.
        file.section(offsets_section, 1, &offsets.finish().unwrap());
        let none = || std::iter::empty();
        names(
            &mut file,
            IndexSection::STREAM_NAMES,
            ["order-1"].into_iter(),
        )
        .unwrap();
        names(&mut file, IndexSection::TYPE_NAMES, none()).unwrap();
        names(&mut file, IndexSection::TAG_NAMES, none()).unwrap();
        names(&mut file, IndexSection::CATEGORY_NAMES, none()).unwrap();
        file.section(section, 1, directory);
        file.section(IndexSection::POSTINGS, 1, &postings.finish());
        file.finish().unwrap()
    }

    #[test]
    fn both_directories_and_both_offsets_are_read() {
        let head = PostingHead {
            kind: PostingKind::STREAM,
            name: 0,
            before: 7,
        };
        let posting = |postings: &mut PostingsBuilder| postings.push(&head, &[0]).unwrap();
        let (mut postings, mut directory) = (PostingsBuilder::new(), DirectoryBuilder::new());
        directory.push(KEY, posting(&mut postings));
        let dense = directory.finish().unwrap();
        let now = (IndexSection::DENSE_DIRECTORY, IndexSection::SLOPED_OFFSETS);
        let dense = index(now, &dense, postings);
        // One bucket, one key: the first 32 bits of its hash, and where its list is.
        let mut before = vec![0, 0, 0, 0];
        for number in [1, 0, 1, 0x0123_4567, 0_u32] {
            before.extend_from_slice(&number.to_le_bytes());
        }
        let mut postings = PostingsBuilder::new();
        posting(&mut postings);
        let sections = (IndexSection::DIRECTORY, IndexSection::OFFSETS);
        let before = index(sections, &before, postings);
        for bytes in [before, dense] {
            let index = Index::parse(bytes).unwrap();
            let found = index.find_posting(KeyKind::Stream, KEY, "order-1").unwrap();
            assert_eq!(index.offsets().unwrap().locate(0), Ok(Some((4_096, 100))));
            let list = index.posting_at(found.unwrap()).unwrap();
            assert_eq!((list.head.before, list.to_vec().unwrap()), (7, vec![0]));
            let other = index
                .find_posting(KeyKind::Stream, !KEY, "order-1")
                .unwrap();
            assert!(other.is_none());
        }
    }
}
