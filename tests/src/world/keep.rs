//! Which parts of a run are kept: everything, or less when a failing run has been made smaller.
//!
//! As text it is a few words, each absent one keeping all of its kind:
//!
//! ```text
//!   faults=3,7  desks=1,4  turns=1:0-2,1:9,4:3  calm=lost,doubled  until=3100000
//! ```
//!
//! keeps the planned faults 3 and 7, the clients at desks 1 and 4, and of their turns the first three and the tenth at desk 1
//! and the fourth at desk 4; frames are neither lost nor doubled; trouble ends 3.1 simulated seconds after it began.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

/// See the module. None keeps all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Keep {
    /// By position in the plan.
    pub faults: Option<BTreeSet<usize>>,
    /// By id.
    pub desks: Option<BTreeSet<usize>>,
    /// By desk and position.
    pub turns: Option<BTreeSet<(usize, u64)>>,
    /// What the weather and the machines do not do.
    pub calm: BTreeSet<String>,
    /// How long trouble lasts, µs.
    pub until: Option<u64>,
}

impl Keep {
    /// Whether a planned fault happens.
    pub fn fault(&self, at: usize) -> bool {
        self.faults.as_ref().is_none_or(|kept| kept.contains(&at))
    }

    /// Whether somebody sits at a desk.
    pub fn desk(&self, id: usize) -> bool {
        self.desks.as_ref().is_none_or(|kept| kept.contains(&id))
    }

    /// Whether a desk's turn is taken.
    pub fn turn(&self, desk: usize, turn: u64) -> bool {
        self.turns.as_ref().is_none_or(|kept| kept.contains(&(desk, turn)))
    }

    /// Whether everything is kept.
    pub fn is_all(&self) -> bool {
        *self == Keep::default()
    }
}

impl fmt::Display for Keep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut words = Vec::new();
        let plain = |set: &BTreeSet<usize>| ranges(set.iter().map(|n| (0, *n as u64)), false);
        words.extend(self.faults.as_ref().map(|set| format!("faults={}", plain(set))));
        words.extend(self.desks.as_ref().map(|set| format!("desks={}", plain(set))));
        let turns = self.turns.as_ref();
        words.extend(turns.map(|set| format!("turns={}", ranges(set.iter().copied(), true))));
        if !self.calm.is_empty() {
            words.push(format!("calm={}", self.calm.iter().cloned().collect::<Vec<_>>().join(",")));
        }
        words.extend(self.until.map(|until| format!("until={until}")));
        f.write_str(&words.join(" "))
    }
}

/// Sorted numbers, each with its group, as `first-last` runs.
fn ranges(numbers: impl Iterator<Item = (usize, u64)>, grouped: bool) -> String {
    let mut runs: Vec<(usize, u64, u64)> = Vec::new();
    for (group, n) in numbers {
        match runs.last_mut() {
            Some((same, _, last)) if *same == group && *last + 1 == n => *last = n,
            _ => runs.push((group, n, n)),
        }
    }
    let text = |(group, first, last): &(usize, u64, u64)| {
        let group = if grouped { format!("{group}:") } else { String::new() };
        if first == last { format!("{group}{first}") } else { format!("{group}{first}-{last}") }
    };
    runs.iter().map(text).collect::<Vec<_>>().join(",")
}

impl FromStr for Keep {
    type Err = String;

    fn from_str(text: &str) -> Result<Keep, String> {
        let mut keep = Keep::default();
        for word in text.split_whitespace() {
            let (name, value) = word.split_once('=').ok_or_else(|| format!("{word}: not name=value"))?;
            let items = value.split(',').filter(|item| !item.is_empty());
            let plain = |items: &mut dyn Iterator<Item = &str>| -> Result<BTreeSet<usize>, String> {
                let runs = items.map(run).collect::<Result<Vec<_>, _>>()?;
                Ok(runs.into_iter().flatten().map(|n| n as usize).collect())
            };
            match name {
                "faults" => keep.faults = Some(plain(&mut items.into_iter())?),
                "desks" => keep.desks = Some(plain(&mut items.into_iter())?),
                "turns" => {
                    let mut turns = BTreeSet::new();
                    for item in items {
                        let (desk, these) =
                            item.split_once(':').ok_or_else(|| format!("{item}: not desk:turn"))?;
                        let desk = number(desk)? as usize;
                        turns.extend(run(these)?.map(|turn| (desk, turn)));
                    }
                    keep.turns = Some(turns);
                }
                "calm" => keep.calm = items.map(str::to_string).collect(),
                "until" => keep.until = Some(number(value)?),
                other => return Err(format!("{other}: not a part of a run")),
            }
        }
        Ok(keep)
    }
}

fn number(text: &str) -> Result<u64, String> {
    text.parse().map_err(|_| format!("{text}: not a number"))
}

fn run(text: &str) -> Result<std::ops::RangeInclusive<u64>, String> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    Ok(number(first)?..=number(last)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kept_part_is_read_as_it_is_printed() {
        for text in ["", "faults=3,7-9 desks= turns=1:0-2,1:9,4:3 calm=doubled,lost until=3100000", "desks=1"]
        {
            let keep: Keep = text.parse().expect("it is well formed");
            assert_eq!(keep.to_string(), text);
        }
        for text in ["faults", "fault=3", "turns=4", "desks=x"] {
            assert!(text.parse::<Keep>().is_err(), "{text}");
        }
    }
}
