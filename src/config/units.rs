//! Durations and sizes as people write them: `300ms`, `5s`, `64MiB`.

use std::time::Duration;

/// A whole number of `us`, `ms`, `s`, `min`, `h` or `d`.
pub fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || {
        format!(
            "`{text}` is not a duration: write a whole number and us, ms, s, min, h or d, as in \"300ms\""
        )
    };
    let (number, unit) = split(text).ok_or_else(wrong)?;
    let micros: u64 = match unit {
        "us" => 1,
        "ms" => 1_000,
        "s" => 1_000_000,
        "min" => 60_000_000,
        "h" => 3_600_000_000,
        "d" => 86_400_000_000,
        _ => return Err(wrong()),
    };
    number.checked_mul(micros).map(Duration::from_micros).ok_or_else(wrong)
}

/// A whole number of `KiB`, `MiB` or `GiB`, or of bytes.
pub fn size(text: &str) -> Result<usize, String> {
    let wrong =
        || format!("`{text}` is not a size: write a whole number and KiB, MiB or GiB, as in \"64MiB\"");
    let (number, unit) = split(text).ok_or_else(wrong)?;
    let bytes: u64 = match unit {
        "" | "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return Err(wrong()),
    };
    number.checked_mul(bytes).and_then(|n| usize::try_from(n).ok()).ok_or_else(wrong)
}

fn split(text: &str) -> Option<(u64, &str)> {
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    Some((number.parse().ok()?, unit.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_read_and_nonsense_is_not() {
        assert_eq!(duration("300ms"), Ok(Duration::from_millis(300)));
        assert_eq!(duration("5 s"), Ok(Duration::from_secs(5)));
        assert_eq!(size("64MiB"), Ok(64 << 20));
        assert_eq!(size("10"), Ok(10));
        for bad in ["", "ms", "5", "-5s", "5y", "99999999999999999999s", "18446744073709551615min"] {
            assert!(duration(bad).is_err(), "{bad}");
        }
        for bad in ["", "MB", "5MB", "1.5GiB", "18446744073709551615GiB"] {
            assert!(size(bad).is_err(), "{bad}");
        }
    }
}
