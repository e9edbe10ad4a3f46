//! Which clients meet which fault, and within how many seeds it must be found.

use std::borrow::Borrow;
use std::fmt;

use gemini_shadow_ops::fault::Fault::{self, *};
use gemini_tests::simulate::{Effects, Failure, Members, Shop, simulate};
use gemini_tests::world::Options;
use gemini_tests::world::network::Weather;

use Scenario::{ByHand, ByHandInStorm, ComingAndGoing, InNarrowWindow, InSqlInCalm, InSqlInStorm};

/// Who works in which weather.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scenario {
    /// Effects made by hand, in a run as the swarm draws it.
    ByHand,
    /// Many sessions of SQL at a shop of sites far apart, while nothing goes wrong: they meet in the red order.
    InSqlInCalm,
    /// Effects made by hand in a storm: short runs in which something goes wrong several times a second, every sync is slow and
    /// the log is cut often, so that crashes meet work half done.
    ByHandInStorm,
    /// The same, and the certification window holds next to nothing.
    InNarrowWindow,
    /// Sessions of SQL in a storm.
    InSqlInStorm,
    /// Effects made by hand at sites that come and go.
    ComingAndGoing,
}

impl Scenario {
    /// Every one.
    pub const ALL: [Scenario; 6] =
        [ByHand, InSqlInCalm, ByHandInStorm, InNarrowWindow, InSqlInStorm, ComingAndGoing];

    /// Runs a seed. An error: what a checker complained of.
    pub fn run(self, seed: u64) -> Result<(), String> {
        match self {
            ByHand => complaint(simulate(Options::swarm(seed), &Effects::default())),
            InSqlInCalm => complaint(simulate(calm(Options::shop(seed)), &Shop::default())),
            ByHandInStorm => complaint(simulate(storm(Options::swarm(seed)), &Effects::default())),
            InNarrowWindow => {
                let options = Options { window: 4, ..storm(Options::swarm(seed)) };
                complaint(simulate(options, &Effects::default()))
            }
            InSqlInStorm => complaint(simulate(storm(Options::shop(seed)), &Shop::default())),
            ComingAndGoing => complaint(simulate(Options::members(seed), &Members::default())),
        }
    }
}

/// The first line of a checker's message, which begins with the promise that was broken; some come from the product's own
/// assertions.
fn complaint<R, F: Borrow<Failure>>(run: Result<R, F>) -> Result<(), String> {
    let Err(failure) = run else { return Ok(()) };
    let line = failure.borrow().message.lines().next().unwrap_or_default();
    Err(line.split_once("` failed: ").map_or(line, |(_, said)| said).to_string())
}

fn calm(options: Options) -> Options {
    let weather = Weather::default();
    Options {
        faults: 0,
        bereft: false,
        weather,
        delay: (20_000, 90_000),
        desks: 8,
        trouble: 1_000_000,
        ..options
    }
}

fn storm(options: Options) -> Options {
    let engine = (16 * 1024, 24 * 1024, 512 * 1024);
    Options { faults: 5_000, sync: (1_000, 40_000), engine, trouble: 4_000_000, ..options }
}

impl fmt::Display for Scenario {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ByHand => "effects",
            InSqlInCalm => "shop in calm",
            ByHandInStorm => "effects in a storm",
            InNarrowWindow => "effects in a storm, window 4",
            InSqlInStorm => "shop in a storm",
            ComingAndGoing => "members that come and go",
        })
    }
}

/// A fault, and where it must be found.
#[derive(Clone, Copy, Debug)]
pub struct Case {
    /// Which.
    pub fault: Fault,
    /// Where.
    pub scenario: Scenario,
    /// Within so many seeds, from 1 on.
    pub within: u64,
}

const fn case(fault: Fault, scenario: Scenario, within: u64) -> Case {
    Case { fault, scenario, within }
}

/// One for each fault, in their order.
pub const CASES: &[Case] = &[
    case(DeltaByStamp, ByHandInStorm, 5),
    case(MaxByStamp, ByHandInStorm, 5),
    case(LwwByArrival, ByHandInStorm, 5),
    case(GroupSingly, InSqlInCalm, 40),
    case(RemoveUnseen, ByHandInStorm, 5),
    case(RemoveNamedOnly, ByHandInStorm, 60),
    case(FlagByStamp, ByHandInStorm, 10),
    case(EndedRevived, ByHandInStorm, 5),
    case(DeleteUnseen, ByHandInStorm, 5),
    case(UpdateKeepsNothing, ByHandInStorm, 5),
    case(ConcurrencyByDeps, ByHandInStorm, 15),
    case(DisplacedInSilence, ByHandInStorm, 5),
    case(SpendUngated, ByHandInStorm, 10),
    case(SpendNotAccounted, ByHandInStorm, 5),
    case(GiftTwice, ByHandInStorm, 5),
    case(EndedRightsCount, InSqlInStorm, 40),
    case(GiftUngated, ByHandInStorm, 40),
    case(SpendNotReserved, ByHandInStorm, 20),
    case(ReservationByTimeout, ByHandInStorm, 60),
    case(ReservationLostAtRestart, ByHandInStorm, 20),
    case(VoidBeforeReservation, ByHandInStorm, 40),
    case(ForeignMinted, InSqlInStorm, 10),
    case(AbsentReadDropped, InSqlInCalm, 40),
    case(BlindWriteDropped, ByHandInStorm, 5),
    case(ParentNotRead, InSqlInCalm, 40),
    case(ChildRangeDropped, InSqlInCalm, 40),
    case(StaleBase, InNarrowWindow, 15),
    case(CopyAccepted, InSqlInStorm, 30),
    case(WindowNotRebuilt, ByHandInStorm, 60),
    case(FencedEntriesStand, ComingAndGoing, 30),
    case(CloseWithoutReports, ComingAndGoing, 10),
    case(FencedGoesOn, ComingAndGoing, 10),
    case(AdmitBySeen, ByHandInStorm, 10),
    case(RedDepsIgnored, ByHandInStorm, 5),
    case(GapJumped, ByHandInStorm, 10),
    case(GapNotFetched, ByHandInStorm, 5),
    case(ReceiptAcknowledged, ByHandInStorm, 5),
    case(WrittenBeforeDeps, ByHandInStorm, 10),
    case(ProposedBeforeDeps, ByHandInStorm, 5),
    case(SequencerUnsynced, ByHandInStorm, 10),
    case(VoteForgotten, ByHandInStorm, 40),
    case(UnavailableAfterSending, ByHandInStorm, 10),
    case(ClockBelowLog, ByHandInStorm, 15),
    case(StampBelow, ByHandInStorm, 10),
    case(ValidationSkipped, ByHandInStorm, 10),
    case(BlueBeforeSync, ByHandInStorm, 5),
    case(RedBeforeSync, ByHandInStorm, 5),
    case(SealedLate, ByHandInStorm, 5),
    case(MintFromZero, InSqlInStorm, 5),
    case(EntryIdsRepeat, ByHandInStorm, 10),
    case(CutBeyondPeers, ByHandInStorm, 60),
    case(ImageStateLate, ByHandInStorm, 30),
    case(ImageLosesEnded, ByHandInStorm, 10),
    case(FrontierBeforeApply, ByHandInStorm, 5),
    case(HalfVisible, InSqlInStorm, 5),
    case(RefusedApplied, ByHandInStorm, 5),
    case(IndexEntryLeft, InSqlInStorm, 5),
    case(AdmitNotLogged, ByHandInStorm, 5),
    case(FoldWithoutLsn, ByHandInStorm, 10),
    case(CheckpointTooSoon, ByHandInStorm, 10),
    case(SyncSkipped, ByHandInStorm, 5),
];
