//! Verification: looks at every file of a store, and on request at every byte, and says what is not as it was written.
//!
//! Reads from the device, not from the page cache, and changes nothing. It may run beside a process that writes; what that process is just
//! writing is looked at as a crash would leave it. Relies on: checksums. Never: takes a lock, repairs.

use crate::number::to_usize;
use std::io;
use std::path::Path;

use factum_format::index::IndexFile;
use factum_format::limits::SEGMENT_HEADER_BYTES;
use factum_format::manifest::{Manifest, SegmentEntry, SegmentState};
use factum_format::segment::{Copies, SegmentHeader};
use factum_io::buffer::AlignedBuf;
use factum_io::disk::{Open, read_to_end};
use factum_io::{Env, is_unreadable};
use factum_store::{Kind, StoreError};
use factum_types::Position;

use crate::catalog;
use crate::errors::io_error;
use crate::key::Keyer;
use crate::paths::Paths;
use crate::recover::{self, Found, HeaderFound, Tail};
use crate::seal::{data_hash, index_again};
use crate::view::sealed::read_whole;
use crate::view::unsealed::Content;
use crate::view::{Index, Unsealed, UnsealedHead};

/// How thorough a verification is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VerifyDepth {
    /// Manifests, headers, index files, and the segments without an index: seconds.
    Quick,
    /// Every byte of every file, and every index against its segment: as fast as the device reads.
    Full,
}

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// No event is concerned; it goes away by itself.
    Harmless,
    /// Everything can be read; what is damaged exists twice or can be made again.
    Repairable,
    /// Events were lost, and somebody has accepted it: the store is written on without them.
    Accepted,
    /// Events are lost unless a backup has them.
    Lost,
}

/// Something that is not as it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifyFinding {
    /// The file, relative to the data directory.
    pub file: String,
    /// Where it begins in the file, in bytes.
    pub offset: u64,
    /// How many bytes are concerned; 0 when that is not known.
    pub length: u64,
    /// The first position concerned, if events are.
    pub first: Option<Position>,
    /// The last position concerned, if it is known.
    pub last: Option<Position>,
    /// What it is.
    pub what: String,
    /// How bad it is.
    pub severity: Severity,
}

/// What a verification saw and found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct VerifyReport {
    /// Segments looked at.
    pub segments: usize,
    /// Frames verified.
    pub frames: u64,
    /// Records verified.
    pub records: u64,
    /// Bytes read.
    pub bytes: u64,
    /// What was found, in the order of files.
    pub findings: Vec<VerifyFinding>,
}

impl VerifyReport {
    /// Whether everything is as it was written.
    #[must_use]
    pub const fn is_clean(&self) -> bool {
        self.findings.is_empty()
    }
}

/// Looks at a store; `progress` is told bytes done and bytes in all. Beside a process that writes it, what is found while the manifest changes is
/// looked at again, from the start.
///
/// # Errors
/// - [`Kind::NotFound`]: there is no store.
/// - [`Kind::Corrupt`]: neither copy of the manifest can be read.
/// - others as files fail. Damage is a finding, not an error.
pub fn verify(
    directory: &Path,
    depth: VerifyDepth,
    env: &Env,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<VerifyReport, StoreError> {
    const ATTEMPTS: usize = 3;
    for _ in 1..ATTEMPTS {
        let before = catalog::manifest_seq(env, directory);
        let looked = look(directory, depth, env, progress);
        let is_clean = looked.as_ref().is_ok_and(VerifyReport::is_clean);
        if is_clean || before == catalog::manifest_seq(env, directory) {
            return looked;
        }
    }
    look(directory, depth, env, progress)
}

fn look(
    directory: &Path,
    depth: VerifyDepth,
    env: &Env,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<VerifyReport, StoreError> {
    let paths = Paths::new(directory);
    let Some(found) = catalog::read_manifest(env, &paths)? else {
        let message = format!("there is no store in {}", directory.display());
        return Err(StoreError::new(Kind::NotFound, message));
    };
    let mut verifying = Verifying {
        env: env.clone(),
        keyer: Keyer::new(found.manifest.hash_key),
        accepted: found.manifest.clone(),
        depth,
        report: VerifyReport::default(),
        total: total_bytes(&found.manifest),
        progress,
        paths,
    };
    for (copy, why) in found.damaged {
        let path = verifying.paths.manifest(copy);
        verifying.find(
            &path,
            (0, 0),
            format!("one of the two copies is damaged: {why}"),
            Severity::Repairable,
        );
    }
    verifying.segments(&found.manifest)?;
    let done = verifying.total;
    (verifying.progress)(done, done);
    Ok(verifying.report)
}

fn total_bytes(manifest: &Manifest) -> u64 {
    let bytes = |entry: &SegmentEntry| match entry.state {
        SegmentState::Sealed => entry.end_offset,
        SegmentState::Active | SegmentState::Prepared => manifest.segment_bytes,
    };
    manifest.segments.iter().map(bytes).sum()
}

struct Verifying<'a> {
    env: Env,
    paths: Paths,
    keyer: Keyer,
    /// Knows which losses were accepted.
    accepted: Manifest,
    depth: VerifyDepth,
    report: VerifyReport,
    total: u64,
    progress: &'a mut dyn FnMut(u64, u64),
}

impl Verifying<'_> {
    fn find(
        &mut self,
        path: &Path,
        (offset, length): (u64, u64),
        what: String,
        severity: Severity,
    ) {
        let file = self.paths.shown(path);
        let finding = VerifyFinding {
            file,
            offset,
            length,
            first: None,
            last: None,
            what,
            severity,
        };
        self.report.findings.push(finding);
    }

    /// A finding of the walk over frames.
    fn take(&mut self, path: &Path, finding: &recover::Finding) {
        let concerned = finding.reason.is_some();
        let first = Position::from_raw(finding.first_position);
        let last = Position::from_raw(finding.first_position + finding.lost.saturating_sub(1));
        let lost = finding.lost > 0 || finding.unbounded;
        let count = (!finding.unbounded).then_some(finding.lost);
        let accepted = self
            .accepted
            .accepts(finding.segment, finding.first_position, count);
        self.report.findings.push(VerifyFinding {
            file: self.paths.shown(path),
            offset: finding.offset,
            length: finding.length,
            first: concerned.then_some(first),
            last: (concerned && !finding.unbounded).then_some(last),
            what: finding.what.clone(),
            severity: match (lost, concerned) {
                (true, _) if accepted => Severity::Accepted,
                (true, _) => Severity::Lost,
                (false, true) => Severity::Repairable,
                (false, false) => Severity::Harmless,
            },
        });
    }

    fn read_bytes(&mut self, bytes: u64) {
        self.report.bytes += bytes;
        (self.progress)(self.report.bytes.min(self.total), self.total);
    }

    fn segments(&mut self, manifest: &Manifest) -> Result<(), StoreError> {
        let mut entries = manifest.segments.clone();
        entries.sort_by_key(|entry| entry.number);
        let failed = |error| io_error("verifying", error);
        for entry in entries
            .iter()
            .filter(|entry| entry.state == SegmentState::Sealed)
        {
            self.report.segments += 1;
            self.sealed(entry, manifest.realm).map_err(failed)?;
        }
        entries.retain(|entry| entry.state != SegmentState::Sealed);
        self.unsealed(&entries, manifest).map_err(failed)
    }

    fn sealed(&mut self, entry: &SegmentEntry, realm: [u8; 16]) -> io::Result<()> {
        let path = self.paths.segment(entry.number, entry.generation);
        let direct = self.env.disk.open(&path, Open::read_direct());
        let file = match direct {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let what = "the file is missing".to_owned();
                self.find(&path, (0, entry.end_offset), what, Severity::Lost);
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        if file.len()? < entry.end_offset {
            let what = format!("the file has {} bytes of {}", file.len()?, entry.end_offset);
            self.find(&path, (file.len()?, 0), what, Severity::Lost);
        }
        if self.depth == VerifyDepth::Quick {
            let mut front = AlignedBuf::zeroed(to_usize(SEGMENT_HEADER_BYTES));
            file.read_at(front.as_mut_slice(), 0)?;
            self.header(&path, front.as_slice(), entry.base_position);
            self.index(entry, realm, None)?;
            self.report.records += entry.record_count;
            self.read_bytes(entry.end_offset);
            return Ok(());
        }
        let bytes = match read_whole(&*file) {
            Ok(bytes) => bytes,
            Err(error) if is_unreadable(&error) => {
                let what = format!("the device cannot give all of it: {error}");
                self.find(&path, (0, entry.end_offset), what, Severity::Lost);
                self.read_bytes(entry.end_offset);
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        self.header(&path, bytes.as_slice(), entry.base_position);
        let content = Unsealed::new(UnsealedHead::from(entry), self.keyer.clone());
        let mut findings = Vec::new();
        recover::scan_sealed(&content, entry, bytes.as_slice(), &mut |f| findings.push(f));
        let before = self.report.findings.len();
        findings
            .iter()
            .for_each(|finding| self.take(&path, finding));
        let content = content.read();
        self.padding(&path, &content, bytes.as_slice());
        let undamaged = self.report.findings.len() == before;
        self.counts(entry, &path, &content, undamaged);
        let has_index = self.index(entry, realm, Some(&*content).filter(|_| undamaged))?;
        let lost: u64 = findings.iter().map(|finding| finding.lost).sum();
        let nameless = content.lost_count().saturating_sub(lost);
        if nameless > 0 && !has_index {
            let what = format!("the names that {nameless} events mean are damaged");
            self.find(&path, (0, 0), what, Severity::Lost);
        }
        self.read_bytes(bytes.len() as u64);
        Ok(())
    }

    fn counts(&mut self, entry: &SegmentEntry, path: &Path, content: &Content, undamaged: bool) {
        self.report.frames += content.frames.len() as u64;
        self.report.records += content.record_count() as u64;
        if !undamaged {
            return;
        }
        if content.record_count() as u64 != entry.record_count {
            let what = format!(
                "it holds {} records, and the manifest says {}",
                content.record_count(),
                entry.record_count
            );
            self.find(path, (0, 0), what, Severity::Lost);
        }
        if data_hash(content.frames.iter().map(|frame| &frame.header)) != entry.data_hash {
            let what = "its frames are sound, but not those that were sealed".to_owned();
            self.find(path, (0, 0), what, Severity::Lost);
        }
    }

    /// The two copies of a header, and the zeros between them.
    fn header(&mut self, path: &Path, bytes: &[u8], position: u64) {
        const COPY: usize = 2048;
        const CORE: usize = 128;
        let page = bytes.get(..2 * COPY).unwrap_or_default();
        let copies = SegmentHeader::decode(page).map(|(_, copies)| copies);
        let bad = match copies {
            Ok(Copies::Both) => None,
            Ok(Copies::FirstOnly) => Some((
                COPY,
                "the second copy of the header is damaged",
                Severity::Repairable,
            )),
            Ok(Copies::SecondOnly) => Some((
                0,
                "the first copy of the header is damaged",
                Severity::Repairable,
            )),
            Ok(Copies::Differ) => {
                Some((0, "the copies of the header differ", Severity::Repairable))
            }
            Err(_) => Some((
                0,
                "both copies of the header are damaged",
                Severity::Repairable,
            )),
        };
        if let Some((offset, what, severity)) = bad {
            self.find(
                path,
                (offset as u64, CORE as u64),
                what.to_owned(),
                severity,
            );
            if let Some(last) = self.report.findings.last_mut() {
                last.first = Some(Position::from_raw(position));
            }
        }
        for start in [CORE, COPY + CORE] {
            let zeros = page
                .get(start..(start / COPY + 1) * COPY)
                .unwrap_or_default();
            self.zeros(path, zeros, start as u64, "the unused part of the header");
        }
    }

    /// Between frames there is nothing, and behind the last one too.
    fn padding(&mut self, path: &Path, content: &Content, bytes: &[u8]) {
        let mut end = SEGMENT_HEADER_BYTES;
        let mut gaps = Vec::new();
        for frame in &content.frames {
            gaps.push((end, frame.file_offset));
            end = frame.file_offset + u64::from(frame.header.frame_len);
        }
        gaps.push((end, bytes.len() as u64));
        let damaged: Vec<(u64, u64)> = self
            .report
            .findings
            .iter()
            .map(|f| (f.offset, f.offset + f.length))
            .collect();
        for (start, end) in gaps {
            let known = damaged
                .iter()
                .any(|(from, to)| *from <= start && end <= *to);
            let range = to_usize(start)..to_usize(end.max(start));
            if !known {
                let zeros = bytes.get(range).unwrap_or_default();
                self.zeros(path, zeros, start, "the space between frames");
            }
        }
    }

    fn zeros(&mut self, path: &Path, bytes: &[u8], offset: u64, what: &str) {
        if let Some(at) = bytes.iter().position(|byte| *byte != 0) {
            let what = format!("{what} should be zero");
            self.find(path, (offset + at as u64, 1), what, Severity::Harmless);
        }
    }

    /// The index file, and whether it says the same as the segment. Gives whether it can be used.
    fn index(
        &mut self,
        entry: &SegmentEntry,
        realm: [u8; 16],
        content: Option<&Content>,
    ) -> io::Result<bool> {
        let path = self.paths.index(entry.number, entry.generation);
        let repairable = |this: &mut Self, offset: u64, what: String| {
            this.find(&path, (offset, 0), what, Severity::Repairable);
        };
        if !self.env.disk.exists(&path)? {
            repairable(
                self,
                0,
                "the index is missing; it is made again when needed".to_owned(),
            );
            return Ok(false);
        }
        let bytes = read_to_end(&*self.env.disk, &path)?;
        let whole = factum_format::hash::xxh3_128(&bytes);
        let index = match Index::parse(bytes.clone()) {
            Ok(index) => index,
            Err(error) => {
                repairable(
                    self,
                    error_offset(&error),
                    format!("the index is damaged: {error}"),
                );
                return Ok(false);
            }
        };
        if whole != entry.index_hash {
            let what = "the index is sound, but not the one that was sealed".to_owned();
            repairable(self, 0, what);
            return Ok(false);
        }
        let Some(content) = content else {
            return Ok(true);
        };
        let again = index_again(entry, realm, content, Some(&index));
        if again.is_ok_and(|again| !says_the_same(&bytes, &again)) {
            repairable(
                self,
                0,
                "the index does not say what the segment holds".to_owned(),
            );
        }
        Ok(true)
    }

    fn unsealed(&mut self, entries: &[SegmentEntry], manifest: &Manifest) -> io::Result<()> {
        let mut read = Vec::new();
        // From the last, as for opening: beside a writer nothing is to seem lost.
        for entry in entries.iter().rev() {
            read.extend(self.read_unsealed(entry, manifest)?);
        }
        read.reverse();
        let found: Vec<Found<'_>> = read
            .iter()
            .map(|(unsealed, header, bytes)| Found {
                unsealed,
                bytes: bytes.as_slice(),
                first_frame_seq: header.first_frame_seq,
                // Reported before, with the place.
                copies: Some(Copies::Both),
                capacity: manifest.segment_bytes,
            })
            .collect();
        let recovered = recover::recover(&found, start_of(manifest, found.first()));
        for finding in &recovered.findings {
            let path = self.paths.segment(finding.segment, 0);
            self.take(&path, finding);
        }
        if recovered.newer {
            let path = self.paths.segment(read[recovered.tail.index].1.segment, 0);
            let what = "the log goes on in frames of a newer release".to_owned();
            self.find(&path, (recovered.tail.offset, 0), what, Severity::Harmless);
        }
        for (number, (unsealed, header, bytes)) in read.iter().enumerate() {
            let content = unsealed.read();
            self.report.frames += content.frames.len() as u64;
            self.report.records += content.record_count() as u64;
            // Behind a frame that never arrived whole there may be anything; opening clears it.
            if recovered
                .cut
                .is_none_or(|cut| cut.index != number || !cut.frame)
            {
                let path = self.paths.segment(header.segment, 0);
                self.padding(&path, &content, bytes.as_slice());
            }
        }
        Ok(())
    }

    /// A segment that was begun and not sealed, read whole; `None` if it was only prepared, or is not there.
    fn read_unsealed(
        &mut self,
        entry: &SegmentEntry,
        manifest: &Manifest,
    ) -> io::Result<Option<(Unsealed, SegmentHeader, AlignedBuf)>> {
        let path = self.paths.segment(entry.number, 0);
        let file = match self.env.disk.open(&path, Open::read_direct()) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let prepared = entry.state == SegmentState::Prepared;
                let severity = if prepared {
                    Severity::Harmless
                } else {
                    Severity::Lost
                };
                self.find(&path, (0, 0), "the file is missing".to_owned(), severity);
                return Ok(None);
            }
            Err(error) => return Err(error),
        };
        let bytes = read_whole(&*file)?;
        self.read_bytes(bytes.len() as u64);
        match recover::find_header(entry, manifest.realm, bytes.as_slice()) {
            HeaderFound::Begun(header, _) => {
                self.report.segments += 1;
                self.header(&path, bytes.as_slice(), header.base_position);
                let unsealed = Unsealed::new(UnsealedHead::from(&header), self.keyer.clone());
                Ok(Some((unsealed, header, bytes)))
            }
            HeaderFound::Prepared => {
                self.zeros(&path, bytes.as_slice(), 0, "a prepared segment");
                Ok(None)
            }
            HeaderFound::Unreadable(error) => {
                let what = format!("both copies of the header are damaged: {error}");
                self.find(&path, (0, SEGMENT_HEADER_BYTES), what, Severity::Lost);
                Ok(None)
            }
        }
    }
}

/// What the log looked like before the first unsealed segment.
fn start_of(manifest: &Manifest, first: Option<&Found<'_>>) -> Tail {
    let sealed = manifest
        .segments
        .iter()
        .filter(|entry| entry.state == SegmentState::Sealed);
    let last = sealed.max_by_key(|entry| entry.base_position);
    Tail {
        index: 0,
        offset: SEGMENT_HEADER_BYTES,
        next_seq: first.map_or(1, |found| found.first_frame_seq),
        durable_seq: 0,
        prev_hash: last.map_or(0, |entry| entry.last_header_hash),
        epoch: last.map_or(0, |entry| entry.epoch),
        next_position: last.map_or(0, |entry| entry.base_position + entry.record_count),
    }
}

/// Whether an index says what the one says that was made again, although a release before may have written it.
fn says_the_same(index: &[u8], again: &[u8]) -> bool {
    let same = || {
        let (index, again) = (IndexFile::parse(index)?, IndexFile::parse(again)?);
        index.says_the_same(&again)
    };
    same().unwrap_or(false)
}

/// Where in the index the damage was noticed.
const fn error_offset(error: &factum_format::FormatError) -> u64 {
    use factum_format::FormatError::{Checksum, Invalid, Magic, Truncated};
    match error {
        Truncated { offset, .. }
        | Checksum { offset, .. }
        | Magic { offset, .. }
        | Invalid { offset, .. } => *offset,
        _ => 0,
    }
}
