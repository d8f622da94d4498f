#![no_main]
//! The index: header and each kind of section, on any bytes, with and without a right checksum.

use factum_format::hash::xxh3_64;
use factum_format::index::{Directory, IndexFile, IndexSection, Names, Offsets, PostingEntry};
use libfuzzer_sys::fuzz_target;

/// Where the header's length stands.
const LENGTH_AT: usize = 12;

fuzz_target!(|input: &[u8]| {
    let Some((number, bytes)) = input.split_first_chunk() else {
        return;
    };
    let number = u32::from_le_bytes(*number);
    file(bytes);
    file(&with_header_checksum(bytes));
    // Sections are verified by their users; each parser must stand any bytes all the same.
    offsets(bytes, number);
    names(bytes, number);
    directory(bytes, number);
    posting(bytes, number);
});

/// No input of a fuzzer has the right checksum; this puts it where the header claims to end.
fn with_header_checksum(bytes: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    let length = bytes
        .get(LENGTH_AT..LENGTH_AT + 4)
        .and_then(|length| length.try_into().ok());
    let end = length.map_or(0, |length| u32::from_le_bytes(length) as usize);
    if let Some((header, checksum)) = bytes.get_mut(..end).and_then(|header| {
        let at = header.len().checked_sub(8)?;
        header.split_at_mut_checked(at)
    }) {
        checksum.copy_from_slice(&xxh3_64(header).to_le_bytes());
    }
    bytes
}

fn file(bytes: &[u8]) {
    let Ok(file) = IndexFile::parse(bytes) else {
        return;
    };
    let verified = file.verify_all().is_ok();
    for entry in &file.header().sections {
        let section = file.section(entry.section);
        assert!(section.is_some(), "a section of the table lies in the file");
        assert!(!verified || file.verify(entry.section).is_ok());
    }
    if let Ok(found) = file.offsets() {
        walk_offsets(&found);
    }
    if let Ok(found) = file.names(IndexSection::STREAM_NAMES) {
        walk_names(&found);
    }
    if let (Ok(directory), Ok(postings)) = (file.directory(), file.postings()) {
        for (_, offset) in directory.iter() {
            posting(postings, offset);
        }
    }
}

fn offsets(bytes: &[u8], count: u32) {
    if let Ok(found) = Offsets::parse(bytes, count) {
        walk_offsets(&found);
    }
}

fn walk_offsets(offsets: &Offsets<'_>) {
    for (ordinal, record) in offsets.iter_from(0).map_while(Result::ok) {
        assert!(ordinal < offsets.count());
        assert_eq!(offsets.locate(ordinal), Ok(record), "one at a time is the same as in a row");
        assert!(record.is_none_or(|(_, length)| length > 0));
        let _ = (offsets.first_bytes(ordinal), offsets.second_bytes(ordinal));
    }
}

fn names(bytes: &[u8], count: u32) {
    if let Ok(found) = Names::parse(bytes, count) {
        walk_names(&found);
    }
}

fn walk_names(names: &Names) {
    assert_eq!(names.iter().count(), names.count() as usize);
    for (ordinal, name) in (0..).zip(names.iter()) {
        assert_eq!(
            names.name(ordinal),
            Ok(name),
            "one at a time is the same as in a row"
        );
    }
}

fn directory(bytes: &[u8], number: u32) {
    let Ok(directory) = Directory::parse(bytes) else {
        return;
    };
    let hash = u128::from(number) << 96;
    assert!(directory.candidates(hash).count() <= directory.count() as usize);
    assert!(directory.iter().count() <= directory.count() as usize);
}

fn posting(section: &[u8], offset: u32) {
    let Ok(posting) = PostingEntry::parse(section, offset) else {
        return;
    };
    let Ok(all) = posting.to_vec() else { return };
    assert!(all.is_sorted_by(|a, b| a < b), "ordinals ascend");
    // A list that can be read in a row can be entered in the middle, if its skips are not damaged; either way, no panic.
    let middle = all.get(all.len() / 2).copied().unwrap_or(0);
    assert!(posting.seek(middle).count() <= all.len());
    assert!(posting.ordinals_from(posting.count / 2).count() <= all.len());
}
