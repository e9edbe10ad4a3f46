//! Planted faults: mistakes that a test build can switch on, so that the tests prove that they would find them.
//!
//! A test that never fails says nothing. Each [`Fault`] is a mistake that a plausible rewrite could make, most of them
//! at one of DESIGN's fussy sentences. Where it would be made, the code asks [`planted`]:
//!
//! ```text
//!   let needs = if planted(Fault::AdmitBySeen) { seen(&t) } else { &t.deps };
//! ```
//!
//! Without the cargo feature `planted-faults` the answer is the constant `false`, and the compiler leaves nothing of the
//! mistake behind. Only the tests' runner of faults turns the feature on, in a build of its own; there a fault is switched
//! on for one thread (`plant`), which is all that a simulated cluster lives in. The faults stand here, below everything,
//! because every layer has some.

macro_rules! faults {
    ($($(#[doc = $what:literal])+ $name:ident,)*) => {
        /// A mistake that can be switched on.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Fault {
            $($(#[doc = $what])+ $name,)*
        }

        impl Fault {
            /// Every one, in the order of the layers.
            pub const ALL: &[Fault] = &[$(Fault::$name),*];

            /// What is done wrongly.
            pub fn what(self) -> &'static str {
                match self {
                    $(Fault::$name => concat!($($what),+).trim(),)*
                }
            }
        }
    };
}

faults! {
    /// Delta additions are guarded by the lww stamp.
    DeltaByStamp,
    /// Max is decided by the lww stamp instead of the value.
    MaxByStamp,
    /// The last lww write to arrive wins, whatever its stamp.
    LwwByArrival,
    /// The columns of an lww group are merged singly: what a write leaves as it is keeps its stamp.
    GroupSingly,
    /// A removal takes an element with additions that it has not seen.
    RemoveUnseen,
    /// A removal does not reach incarnations that were out of view.
    RemoveNamedOnly,
    /// A flag is decided by the lww stamp.
    FlagByStamp,
    /// An update of an ended incarnation brings it back to life.
    EndedRevived,
    /// A delete ends every incarnation it meets, seen or not.
    DeleteUnseen,
    /// Under ADD WINS a concurrent update does not keep the row.
    UpdateKeepsNothing,
    /// Concurrency is judged by `deps` instead of `seen`.
    ConcurrencyByDeps,
    /// What a write displaces is not logged.
    DisplacedInSilence,
    /// A spend of a bounded delta is not gated by the site's rights.
    SpendUngated,
    /// A spend is taken from the value, and not from the rights of its origin.
    SpendNotAccounted,
    /// The receiver of a gift gets it twice.
    GiftTwice,
    /// Rights of another incarnation of the row, an ended one, count for the gate.
    EndedRightsCount,
    /// A gift gives what the giver does not have.
    GiftUngated,
    /// A red entry is proposed without putting its rights aside.
    SpendNotReserved,
    /// An entry's reservation is returned when its origin gives up waiting.
    ReservationByTimeout,
    /// The VOIDs that a restarted site proposes return no reservation.
    ReservationLostAtRestart,
    /// A VOID does not wait for the reservation that it returns.
    VoidBeforeReservation,
    /// A value minted elsewhere counts as minted in the transaction.
    ForeignMinted,
    /// A UNIQUE key found absent is not in the footprint.
    AbsentReadDropped,
    /// A blind write of cells is not in the footprint.
    BlindWriteDropped,
    /// The FOREIGN KEY parent found present is not in the footprint.
    ParentNotRead,
    /// The range of children found empty is not in the footprint.
    ChildRangeDropped,
    /// A base older than the certification window is accepted.
    StaleBase,
    /// A second copy of an entry is applied again.
    CopyAccepted,
    /// The certification window of a checkpoint comes back without its indexes.
    WindowNotRebuilt,
    /// A fenced site's later entries stand.
    FencedEntriesStand,
    /// CLOSE does not wait for the members' reports.
    CloseWithoutReports,
    /// A site that was removed goes on committing and ordering.
    FencedGoesOn,
    /// A blue transaction is admitted by `seen` instead of `deps`.
    AdmitBySeen,
    /// A blue transaction does not wait for the red ones that it depends on.
    RedDepsIgnored,
    /// A transaction beyond a gap is logged as if there were none.
    GapJumped,
    /// Gaps are never fetched.
    GapNotFetched,
    /// What has been received counts as durable, before the fsync.
    ReceiptAcknowledged,
    /// An entry is written to the sequencer's log before its blue dependencies are held.
    WrittenBeforeDeps,
    /// A leader proposes an entry whose blue dependencies it lacks.
    ProposedBeforeDeps,
    /// Votes and appends are answered before the fsync.
    SequencerUnsynced,
    /// The vote of the term is forgotten at a restart.
    VoteForgotten,
    /// A transaction that has been sent ends as 57P03.
    UnavailableAfterSending,
    /// The clock of a restarted site does not start above the stamps of its log.
    ClockBelowLog,
    /// Stamps are physical time, also below a cell that is overwritten.
    StampBelow,
    /// Local validation at the commit is skipped.
    ValidationSkipped,
    /// A blue commit is acknowledged before its fsync.
    BlueBeforeSync,
    /// A red commit is acknowledged before its apply is on the origin's own disk.
    RedBeforeSync,
    /// What is said after a sync also rests on what was appended during it.
    SealedLate,
    /// Minting begins anew after a restart.
    MintFromZero,
    /// Entry ids begin anew after a restart.
    EntryIdsRepeat,
    /// The log is cut although a peer still needs what stands there.
    CutBeyondPeers,
    /// An image carries the site's state of a later moment than its rows.
    ImageStateLate,
    /// An image leaves out keys whose rows have all ended.
    ImageLosesEnded,
    /// The frontier of readers is advanced before the apply is visible.
    FrontierBeforeApply,
    /// Readers see a transaction's first effect before the others.
    HalfVisible,
    /// A refused entry is applied.
    RefusedApplied,
    /// An index entry stays behind when its row's key changes.
    IndexEntryLeft,
    /// An admission leaves no record in the log.
    AdmitNotLogged,
    /// Replay applies what the stored row has already: rows are folded without the LSN.
    FoldWithoutLsn,
    /// A checkpoint is finished before everything dirty is folded.
    CheckpointTooSoon,
    /// The log's batches are written and not synced.
    SyncSkipped,
}

/// Whether faults can be switched on in this build.
pub const CAN_BE_PLANTED: bool = cfg!(feature = "planted-faults");

/// Whether the mistake is to be made. Never, in an ordinary build.
#[cfg(not(feature = "planted-faults"))]
#[inline(always)]
pub const fn planted(_: Fault) -> bool {
    false
}

#[cfg(feature = "planted-faults")]
pub use switch::{plant, planted};

#[cfg(feature = "planted-faults")]
mod switch {
    use std::cell::Cell;

    use super::Fault;

    thread_local! {
        static PLANTED: Cell<Option<Fault>> = const { Cell::new(None) };
    }

    /// Makes one mistake, or none, in everything that this thread does from now on.
    pub fn plant(fault: Option<Fault>) {
        PLANTED.set(fault);
    }

    /// Whether the mistake is to be made by this thread.
    pub fn planted(fault: Fault) -> bool {
        PLANTED.get() == Some(fault)
    }
}
