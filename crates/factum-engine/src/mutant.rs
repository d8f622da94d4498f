//! Planted bugs, for the simulator to find: a campaign that cannot see one of these would not see its like either.
//!
//! Each stands at its place as a line or two that ask `on`. Without the feature `unstable-mutants` the answer is a constant no.
//! Relies on: one thread drives a simulated store. Never: is on unless a simulation selected it.
#![doc(hidden)]

/// Makes the list of bugs, and the list of all of them.
macro_rules! mutants {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// A planted bug.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Mutant {
            $($(#[$doc])* $name,)*
        }

        impl Mutant {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$name,)*];
        }
    };
}

mutants! {
    /// A frame is acknowledged when it was written, before it is durable.
    AckBeforeDurable,
    /// Frames are published as they become durable, in any order.
    PublishedOutOfOrder,
    /// The directory is not synced after a segment was made in it.
    DirectoryNotSynced,
    /// A new segment is not synced.
    NewFileNotSynced,
    /// A sealed file is not synced.
    SealedNotSynced,
    /// The header of a segment is written and not made durable.
    HeaderNotDurable,
    /// The manifest is not synced.
    ManifestNotSynced,
    /// A frame that was written in part is acknowledged.
    ShortWriteIgnored,
    /// A frame whose write failed is acknowledged.
    ErrorIgnored,
    /// After a failed write the file is synced, and if that succeeds the frame is acknowledged.
    SyncRetried,
    /// Recovery does not ask later frames what was durable.
    LaterFramesIgnored,
    /// Frames do not say what is durable.
    DurableSeqUnknown,
    /// A damaged frame is cut away.
    RotTakenForTorn,
    /// A frame that never arrived is reported as damaged.
    TornTakenForRot,
    /// The manifest names a packed segment before it is written.
    ManifestBeforeData,
    /// The file that a packed segment replaces is removed before the manifest says so.
    RemovedBeforeManifest,
    /// Only one copy of the manifest is written.
    OneManifestCopy,
    /// After a loss of unknown length, positions go on where the loss began.
    LostPositionsReused,
    /// What stands behind a cut is left there, and frames are not chained.
    CutNotCleared,
    /// Segments that are given up keep their frames and their salt.
    GivenUpNotCleared,
    /// What a killed process left in the log is not made durable before it is shown.
    FoundNotMadeDurable,
    /// Readers see a frame before it is durable.
    ShownBeforeDurable,
    /// The indexes hold a frame before it is durable.
    IndexedBeforeDurable,
    /// A conflict is answered before what it was judged against is durable.
    ConflictNotHeld,
    /// Two frames under way share a page.
    PageShared,
    /// The tail page is written again without what stood in it.
    TailForgotten,
    /// The next revision of a stream in sealed segments is one too low.
    RevisionOffByOne,
    /// Names that the segment defines are not known after opening.
    NamesForgotten,
    /// The ids of recent events are not known after opening.
    IdsForgotten,
    /// Sealing loses the last record.
    LastRecordLost,
    /// Packing loses the last name of each kind; the index has it.
    PackedNameLost,
    /// Sealing loses settings, deletes and tombstones.
    ControlsForgotten,
    /// Sealing does not note that there are settings, deletes and tombstones.
    ControlFlagLost,
    /// Sealing notes the first revision of each stream one too high.
    FirstRevisionWrong,
    /// Conditions are not judged against events that came after they were evaluated.
    ConditionNotRechecked,
    /// Conditions are not evaluated over what is published.
    ConditionNotEvaluated,
    /// When the clock jumps back, times do too.
    TimeGoesBack,
    /// A full disk does not keep a segment from being used.
    FullIgnored,
    /// An accepted loss is not recorded.
    QuarantineForgotten,
    /// The first snapshot in a sealed segment is taken for the last.
    FirstSnapshotTaken,
    /// Where the last event of a stream is lost, the one before is taken for it.
    LostTailIgnored,
    /// Recovery reads one segment only.
    NextSegmentIgnored,
}

/// Whether this bug is planted.
#[cfg(not(feature = "unstable-mutants"))]
pub(crate) const fn on(_: Mutant) -> bool {
    false
}

#[cfg(feature = "unstable-mutants")]
pub(crate) use selection::on;
#[cfg(feature = "unstable-mutants")]
pub use selection::{select, selected};

#[cfg(feature = "unstable-mutants")]
mod selection {
    use std::cell::Cell;

    use super::Mutant;

    thread_local! {
        static SELECTED: Cell<Option<Mutant>> = const { Cell::new(None) };
    }

    /// Plants a bug in every store of this thread, or none.
    pub fn select(mutant: Option<Mutant>) {
        SELECTED.set(mutant);
    }

    /// The bug planted in this thread's stores.
    #[must_use]
    pub fn selected() -> Option<Mutant> {
        SELECTED.get()
    }

    /// Whether this bug is planted.
    pub(crate) fn on(mutant: Mutant) -> bool {
        SELECTED.get() == Some(mutant)
    }
}
