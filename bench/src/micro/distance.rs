//! What distance costs: three sites of Gemini, every two of them as far apart as is asked, and one client at each of two sites.
//!
//! A blue commit must not feel the distance: it is measured at a site that does not lead the red order. A red one pays for
//! it: at the leader one round trip (to the nearest other disk), elsewhere two (to the leader, and the leader's own). A blue
//! commit with `gemini.durability = 'quorum'` waits for one round trip, to the nearest other disk: beside `local` it is what
//! not losing the last moments of a burnt site costs.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::Args;

use super::Scratch;
use super::drive::{self, Cell, Work};
use super::servers::Gemini;
use crate::Error;
use crate::progress::Bar;
use crate::table::Table;

/// What to measure.
#[derive(Clone, Debug, Args)]
pub struct DistanceArgs {
    /// The program to start the sites with; else the one beside this program
    #[arg(long, value_name = "PATH")]
    gemini: Option<PathBuf>,
    /// Where everything is written; else a temporary folder
    #[arg(long, value_name = "DIR")]
    folder: Option<PathBuf>,
    /// For each row of the table
    #[arg(long, default_value_t = 3)]
    seconds: u64,
    /// Round trips between the sites, in ms; the first one is what the others are compared with
    #[arg(long, value_delimiter = ',', default_values_t = [0, 150])]
    round_trips: Vec<u64>,
}

const SITES: [&str; 3] = ["leader", "second", "third"];
/// Until the sites have met and the first red statement has been ordered.
const PATIENCE: Duration = Duration::from_secs(60);

struct Measured {
    round_trip: u64,
    blue: Cell,
    /// Blue, and on a majority's disks.
    quorum: Cell,
    /// At the leader, and at another site.
    red: [Cell; 2],
}

/// Measures and prints.
pub async fn run(args: &DistanceArgs) -> Result<(), Error> {
    let scratch = Scratch::new(args.folder.as_deref())?;
    let mut bar = Bar::new("measuring");
    let mut rows = Vec::new();
    for (i, round_trip) in args.round_trips.iter().enumerate() {
        bar.set(i as f64 / args.round_trips.len() as f64, &format!("sites {round_trip} ms apart"));
        let home = scratch.0.join(format!("{round_trip}-ms"));
        rows.push(measure(args, &home, *round_trip).await?);
    }
    bar.finish("");
    print(&rows);
    Ok(())
}

async fn measure(args: &DistanceArgs, home: &std::path::Path, round_trip: u64) -> Result<Measured, Error> {
    let sites = Gemini::start(home, args.gemini.as_deref(), &SITES, round_trip).await?;
    let [leader, second, _] = sites.targets.as_slice() else {
        return Err(Error::Failed("three sites were to be started".into()));
    };
    let end = Instant::now() + PATIENCE;
    while let Err(error) = drive::prepare(leader, 2).await {
        if Instant::now() > end {
            return Err(error);
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let time = Duration::from_secs(args.seconds.max(1));
    // The table arrives there when it is ordered.
    while let Err(error) = drive::measure(second, Work::PointRead, 1, Duration::ZERO).await {
        if Instant::now() > end {
            return Err(error);
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let blue = drive::measure(second, Work::OwnRows, 1, time).await?;
    let quorum = drive::measure(second, Work::Quorum, 1, time).await?;
    let red = [
        drive::measure(leader, Work::Red, 1, time).await?,
        drive::measure(second, Work::Red, 1, time).await?,
    ];
    Ok(Measured { round_trip, blue, quorum, red })
}

fn print(rows: &[Measured]) {
    let mut table = Table::new(&[
        "round trips",
        "blue /s",
        "p50 ms",
        "p95",
        "p99",
        "blue, quorum: p50",
        "red at the leader: p50",
        "red elsewhere: p50",
    ]);
    for row in rows {
        let mut cells = vec![format!("{} ms", row.round_trip)];
        cells.extend(row.blue.shown());
        cells.push(row.quorum.shown()[1].clone());
        cells.extend(row.red.iter().map(|cell| cell.shown()[1].clone()));
        table.row(cells);
    }
    println!("\n{}", table.render());
    let Some((first, others)) = rows.split_first() else { return };
    let mut bars = Table::new(&["", "measured", "wanted", ""]);
    let verdict = |held: bool| if held { "held".to_owned() } else { "MISSED".to_owned() };
    for row in others {
        let ratio = row.blue.p50().as_secs_f64() / first.blue.p50().as_secs_f64();
        bars.row(vec![
            format!("blue p50, {} ms apart ÷ {} ms apart", row.round_trip, first.round_trip),
            format!("{ratio:.2}"),
            "≤ 1.1".into(),
            verdict(ratio <= 1.1),
        ]);
        let waits = [
            (&row.quorum, 1, "blue, quorum"),
            (&row.red[0], 1, "red, at the leader"),
            (&row.red[1], 2, "red, elsewhere"),
        ];
        for (cell, trips, what) in waits {
            let wanted = Duration::from_millis(row.round_trip * trips + 10);
            let measured = cell.p50();
            bars.row(vec![
                format!("{what}, p50, {} ms apart, ms", row.round_trip),
                format!("{:.1}", measured.as_secs_f64() * 1e3),
                format!("≤ {}", wanted.as_millis()),
                verdict(measured <= wanted),
            ]);
        }
    }
    println!("{}", bars.render());
}
