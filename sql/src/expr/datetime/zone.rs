//! Time zones: fixed offsets, the zones of the IANA database, and POSIX's rules.
//!
//! The database is compiled in (crate `jiff`), so that a site needs no files and all sites of one version know the same zones.
//! Zones matter where text and fields are read or written only: a timestamptz is UTC, and what the generator makes
//! of a local time is shipped as a constant.
//!
//! Signs are PostgreSQL's: `SET TIME ZONE 2` and `-3.5` count hours east; every name that ends in an offset (`+02:00`,
//! `UTC+3`, `<+02>-02`) is POSIX's, which counts west. An offset behind a time, `10:00+02`, is ISO's: east again.

use std::sync::LazyLock;

use jiff::tz::{AmbiguousOffset, TimeZoneDatabase};

use super::{MICROS_PER_SECOND, civil_from_days, is_infinite, shift};
use crate::error::Result;

/// Days and years after which the calendar repeats itself.
const CYCLE: (i64, i64) = (146_097, 400);
/// The last year that the database's library can count.
const LAST_YEAR: i64 = 9998;

static DATABASE: LazyLock<TimeZoneDatabase> = LazyLock::new(TimeZoneDatabase::bundled);

/// A zone, as a session has one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TimeZone {
    /// As SHOW prints it.
    pub name: String,
    rules: Rules,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Rules {
    /// Seconds east of UTC.
    Fixed(i32),
    Zone(jiff::tz::TimeZone),
}

impl Default for TimeZone {
    fn default() -> TimeZone {
        TimeZone { name: "UTC".to_owned(), rules: Rules::Fixed(0) }
    }
}

impl TimeZone {
    /// So many seconds east, called as PostgreSQL does: `<+02>-02`.
    pub fn fixed(seconds: i32) -> TimeZone {
        if seconds == 0 {
            return TimeZone::default();
        }
        let (mut east, mut west) = (String::new(), String::new());
        super::write_offset(&mut east, seconds);
        super::write_offset(&mut west, -seconds);
        TimeZone { name: format!("<{east}>{west}"), rules: Rules::Fixed(seconds) }
    }

    /// By name: `Europe/Berlin`, `EST5EDT`, `UTC`, or as POSIX writes it.
    pub fn named(name: &str) -> Option<TimeZone> {
        let name = name.trim();
        if let Ok(zone) = DATABASE.get(name) {
            let name = zone.iana_name().unwrap_or(name).to_owned();
            return Some(TimeZone { name, rules: Rules::Zone(zone) });
        }
        if let Some(seconds) = posix_offset(name) {
            return Some(TimeZone { name: name.to_owned(), rules: Rules::Fixed(seconds) });
        }
        let zone = jiff::tz::TimeZone::posix(name).ok()?;
        Some(TimeZone { name: name.to_owned(), rules: Rules::Zone(zone) })
    }

    /// As SET TIME ZONE takes it: a number of hours east, or a name.
    pub fn setting(text: &str) -> Option<TimeZone> {
        match text.trim().parse::<f64>() {
            Ok(hours) if hours.abs() < 16.0 => Some(TimeZone::fixed((hours * 3600.0).round() as i32)),
            Ok(_) => None,
            Err(_) => TimeZone::named(text),
        }
    }

    /// Seconds east of UTC at a moment (µs, UTC).
    pub fn offset_at(&self, micros: i64) -> i32 {
        self.at(micros).0
    }

    /// What the zone is called at a moment: CET, CEST; for a fixed offset its digits.
    pub fn abbreviation_at(&self, micros: i64) -> String {
        match &self.rules {
            Rules::Fixed(0) => "UTC".to_owned(),
            _ => self.at(micros).1,
        }
    }

    fn at(&self, micros: i64) -> (i32, String) {
        match &self.rules {
            Rules::Fixed(seconds) => {
                let mut text = String::new();
                super::write_offset(&mut text, *seconds);
                (*seconds, text)
            }
            Rules::Zone(zone) => {
                let seconds = micros.div_euclid(MICROS_PER_SECOND) + super::EPOCH_DAYS * 86_400;
                let back = cycles(micros) * CYCLE.0 * 86_400;
                match jiff::Timestamp::from_second(seconds - back) {
                    Ok(moment) => {
                        let info = zone.to_offset_info(moment);
                        (info.offset().seconds(), info.abbreviation().to_owned())
                    }
                    Err(_) => (0, String::new()),
                }
            }
        }
    }

    /// Seconds east of UTC at a local time. One that is skipped is taken as if the clock had not been set forward yet, one that
    /// comes twice as the second: as PostgreSQL does, the standard time.
    fn offset_of(&self, local: i64) -> i32 {
        let zone = match &self.rules {
            Rules::Fixed(seconds) => return *seconds,
            Rules::Zone(zone) => zone,
        };
        let back = cycles(local) * CYCLE.0 * 86_400;
        let seconds = local.div_euclid(MICROS_PER_SECOND) + super::EPOCH_DAYS * 86_400 - back;
        let Ok(moment) = jiff::Timestamp::from_second(seconds) else { return 0 };
        let civil = jiff::tz::Offset::UTC.to_datetime(moment);
        let offset = match zone.to_ambiguous_timestamp(civil).offset() {
            AmbiguousOffset::Unambiguous { offset } => offset,
            AmbiguousOffset::Gap { before, .. } => before,
            AmbiguousOffset::Fold { after, .. } => after,
        };
        offset.seconds()
    }

    /// Local µs of a moment; infinities stay.
    pub fn to_local(&self, micros: i64) -> Result<i64> {
        if is_infinite(micros) {
            return Ok(micros);
        }
        shift(micros, i64::from(self.offset_at(micros)) * MICROS_PER_SECOND)
    }

    /// The moment of local µs; infinities stay.
    pub fn to_utc(&self, local: i64) -> Result<i64> {
        if is_infinite(local) {
            return Ok(local);
        }
        shift(local, -i64::from(self.offset_of(local)) * MICROS_PER_SECOND)
    }
}

/// How many of the calendar's cycles to go back so that the library can count the year: its last rule holds for ever.
fn cycles(micros: i64) -> i64 {
    let year = civil_from_days(micros.div_euclid(super::MICROS_PER_DAY)).year;
    if year <= LAST_YEAR { 0 } else { (year - LAST_YEAR).div_euclid(CYCLE.1) + 1 }
}

/// `+02:00`, `-3`, `UTC+3`, `<+02>-02`: an offset west of UTC, behind a name that says nothing.
fn posix_offset(text: &str) -> Option<i32> {
    let rest = match text.strip_prefix('<') {
        Some(quoted) => quoted.split_once('>')?.1,
        None => text.trim_start_matches(|c: char| c.is_ascii_alphabetic()),
    };
    let (sign, digits) = match rest.split_at_checked(1)? {
        ("+", digits) => (-1, digits),
        ("-", digits) => (1, digits),
        _ => (-1, rest),
    };
    let mut parts = digits.split(':');
    let mut next = |limit: i32| match parts.next() {
        None => Some(0),
        Some(part) if !part.is_empty() && part.len() <= 2 && part.bytes().all(|b| b.is_ascii_digit()) => {
            part.parse().ok().filter(|n| *n < limit)
        }
        Some(_) => None,
    };
    let (hours, minutes, seconds) = (next(16)?, next(60)?, next(60)?);
    if parts.next().is_some() {
        return None;
    }
    Some(sign * (hours * 3600 + minutes * 60 + seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_signs_are_postgresqls() {
        let shown = |text: &str| TimeZone::setting(text).map(|z| (z.name.clone(), z.offset_at(0) / 60));
        for (text, name, minutes) in [
            ("2", "<+02>-02", 120),
            ("-3", "<-03>+03", -180),
            ("5.5", "<+05:30>-05:30", 330),
            ("+02:00", "+02:00", -120),
            ("<+02>-02", "<+02>-02", 120),
            ("UTC+3", "UTC+3", -180),
            ("GMT-02:00", "GMT-02:00", 120),
            ("europe/berlin", "Europe/Berlin", 60),
            ("est5edt", "EST5EDT", -300),
            ("EST5EDT,M3.2.0,M11.1.0", "EST5EDT,M3.2.0,M11.1.0", -300),
            ("0", "UTC", 0),
            ("utc", "UTC", 0),
        ] {
            assert_eq!(shown(text), Some((name.to_owned(), minutes)), "{text}");
        }
        for text in ["Foo/Bar", "cest", "+0530", "", "99", "nonsense", "UTC+3:"] {
            assert_eq!(shown(text), None, "{text}");
        }
    }

    #[test]
    fn the_far_future_follows_the_last_rule() {
        let berlin = TimeZone::named("Europe/Berlin").unwrap();
        for year in [2026, 9998, 9999, 10_398, 12_026, 290_000] {
            for (month, hours) in [(1, 1), (7, 2)] {
                let micros = super::super::days_from_civil(year, month, 15) * super::super::MICROS_PER_DAY;
                assert_eq!(berlin.offset_at(micros), hours * 3600, "{year}-{month}");
                assert_eq!(berlin.to_utc(berlin.to_local(micros).unwrap()).unwrap(), micros);
            }
        }
        assert_eq!(berlin.to_local(i64::MAX).unwrap(), i64::MAX);
        assert_eq!(berlin.offset_at(super::super::MIN_TIMESTAMP), 3208);
    }
}
