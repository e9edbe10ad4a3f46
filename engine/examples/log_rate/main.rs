//! The bare log: how many commits a second this disk makes durable, and how long one takes.
//!
//! `log_rate [--dir DIR] [--committers N] [--bytes N] [--seconds N]`: N threads each append a record of that size and
//! wait until it is durable; one log thread writes whatever has gathered with one fdatasync. Without `--committers`
//! and `--bytes` it goes through 1 and 16 committers with 150 and 500 bytes.
//!
//! Each row carries what it must be judged by: the time of a bare write and fdatasync over a preallocated file, before
//! and after the row (what one commit costs at the least), and that of the log thread's own writes. A row whose two
//! bare times differ or have a long tail, or whose commits come faster than its syncs allow, was measured on a disturbed machine and is
//! marked; do not compare rows unless their bare times agree.

mod measure;

use std::path::PathBuf;
use std::time::Duration;

use gemini_engine::disk::RealDisk;
use measure::{Measured, measure};

struct Settings {
    dir: PathBuf,
    committers: Vec<usize>,
    bytes: Vec<usize>,
    seconds: u64,
}

fn main() -> Result<(), String> {
    let settings = settings()?;
    let disk = RealDisk::open(settings.dir.join("gemini-log-rate")).map_err(|e| e.to_string())?;
    for &committers in &settings.committers {
        for &bytes in &settings.bytes {
            let seconds = Duration::from_secs(settings.seconds);
            let row = measure(&disk, committers, bytes, seconds).map_err(|e| e.to_string())?;
            println!("{}", show(&row));
        }
    }
    std::fs::remove_dir_all(disk.directory()).map_err(|e| e.to_string())
}

fn settings() -> Result<Settings, String> {
    let mut settings =
        Settings { dir: std::env::temp_dir(), committers: vec![1, 16], bytes: vec![150, 500], seconds: 5 };
    let mut args = std::env::args().skip(1);
    while let Some(name) = args.next() {
        let value = args.next().ok_or_else(|| format!("{name} needs a value"))?;
        let number = || value.parse::<usize>().map_err(|e| format!("{name} {value}: {e}"));
        match name.as_str() {
            "--dir" => settings.dir = PathBuf::from(&value),
            "--committers" => settings.committers = vec![number()?.max(1)],
            "--bytes" => settings.bytes = vec![number()?.max(32)],
            "--seconds" => settings.seconds = number()? as u64,
            _ => {
                return Err(format!(
                    "{name} is not known; there are --dir, --committers, --bytes, --seconds"
                ));
            }
        }
    }
    Ok(settings)
}

fn show(row: &Measured) -> String {
    let fill = row.commits.count() as f64 / row.syncs.count().max(1) as f64;
    format!(
        "{:>3} committers, {} bytes: {:>7.0} durable commits/s{}\n      a commit     {}\n      \
         write + sync {}, {fill:.1} commits each\n      bare sync    before {}; after {}",
        row.committers,
        row.bytes,
        row.rate,
        if row.disturbed() { "  ** disturbed, do not use **" } else { "" },
        row.commits.show(),
        row.syncs.show(),
        row.before.show(),
        row.after.show()
    )
}
