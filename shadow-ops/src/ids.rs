//! Names, clocks and frontiers: what identifies a site, a transaction, a moment, and what a site has applied.

use std::fmt;

use serde::{Deserialize, Serialize};

macro_rules! id {
    ($(#[$doc:meta])* $name:ident($inner:ty)) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub struct $name(pub $inner);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}", self.0)
            }
        }
    };
}

id!(
    /// One full replica. Never used again after a site is removed.
    SiteId(u16)
);
id!(
    /// A table. Ids are never used again; names may change.
    TableId(u32)
);
id!(
    /// A column within its table. Never used again within the table, so it is also the column's slot in a stored row.
    ColumnId(u16)
);
id!(
    /// An index, the primary key's included.
    IndexId(u32)
);
id!(
    /// A CHECK, FOREIGN KEY or UNIQUE constraint.
    ConstraintId(u32)
);
id!(
    /// A sequence.
    SequenceId(u32)
);

/// (site, n): the n-th blue transaction committed at that site, counted from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Dot {
    /// The origin.
    pub site: SiteId,
    /// Counted from 1.
    pub n: u64,
}

impl fmt::Display for Dot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.site, self.n)
    }
}

/// The name of a committed transaction. The order is used only to choose the least incarnation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum TxnId {
    /// A blue transaction.
    Blue(Dot),
    /// A red transaction, by its position in the one red order, counted from 1.
    Red(u64),
}

impl fmt::Display for TxnId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TxnId::Blue(dot) => write!(f, "b{dot}"),
            TxnId::Red(r) => write!(f, "r{r}"),
        }
    }
}

/// Names a sequencer entry before it has a red index: used once, also across restarts of its origin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct EntryId {
    /// The origin.
    pub site: SiteId,
    /// How often the origin has started, durably counted.
    pub start: u64,
    /// Counts the origin's entries since that start, from 1.
    pub counter: u64,
}

impl fmt::Display for EntryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}-{}", self.site, self.start, self.counter)
    }
}

/// A hybrid logical time: physical microseconds since 1970 and a counter that orders events within one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Hlc {
    /// Microseconds since 1970-01-01 UTC.
    pub micros: u64,
    /// Orders what happens within one microsecond.
    pub count: u32,
}

/// (HLC, site): decides between concurrent writes of an lww cell. Unique per transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Stamp {
    /// The time.
    pub hlc: Hlc,
    /// Breaks ties.
    pub site: SiteId,
}

/// What a site has applied: for each site a count of its blue transactions, and a red index.
///
/// Canonical: sorted by site, zero counts left out, so equal frontiers are equal values.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "ParsedFrontier")]
pub struct Frontier {
    blue: Vec<(SiteId, u64)>,
    /// The last red index applied; 0 before the first.
    pub red: u64,
}

/// A frontier as it stands in bytes.
#[derive(Deserialize)]
struct ParsedFrontier {
    blue: Vec<(SiteId, u64)>,
    red: u64,
}

impl TryFrom<ParsedFrontier> for Frontier {
    type Error = &'static str;

    fn try_from(parsed: ParsedFrontier) -> Result<Frontier, &'static str> {
        let ParsedFrontier { blue, red } = parsed;
        if !blue.is_sorted_by(|a, b| a.0 < b.0) || blue.iter().any(|(_, n)| *n == 0) {
            return Err("a frontier that is not canonical");
        }
        Ok(Frontier { blue, red })
    }
}

impl Frontier {
    /// The count of `site`'s blue transactions.
    pub fn blue(&self, site: SiteId) -> u64 {
        self.blue.iter().find(|(s, _)| *s == site).map_or(0, |(_, n)| *n)
    }

    /// Sites with a count above zero, in order.
    pub fn blues(&self) -> impl Iterator<Item = (SiteId, u64)> + '_ {
        self.blue.iter().copied()
    }

    /// Sets one site's count.
    pub fn set_blue(&mut self, site: SiteId, n: u64) {
        match self.blue.binary_search_by_key(&site, |(s, _)| *s) {
            Ok(i) if n == 0 => {
                self.blue.remove(i);
            }
            Ok(i) => self.blue[i].1 = n,
            Err(_) if n == 0 => {}
            Err(i) => self.blue.insert(i, (site, n)),
        }
    }

    /// Whether the transaction is within this frontier.
    pub fn covers(&self, id: TxnId) -> bool {
        match id {
            TxnId::Blue(dot) => self.blue(dot.site) >= dot.n,
            TxnId::Red(r) => self.red >= r,
        }
    }

    /// Whether everything in `other` is in this one.
    pub fn includes(&self, other: &Frontier) -> bool {
        self.red >= other.red && other.blue.iter().all(|(site, n)| self.blue(*site) >= *n)
    }

    /// Adds one transaction; the count never goes back.
    pub fn add(&mut self, id: TxnId) {
        match id {
            TxnId::Blue(dot) => {
                if self.blue(dot.site) < dot.n {
                    self.set_blue(dot.site, dot.n);
                }
            }
            TxnId::Red(r) => self.red = self.red.max(r),
        }
    }

    /// The least frontier that includes both.
    pub fn join(&mut self, other: &Frontier) {
        for (site, n) in other.blues() {
            self.add(TxnId::Blue(Dot { site, n }));
        }
        self.red = self.red.max(other.red);
    }

    /// The greatest frontier that both include.
    pub fn meet(&mut self, other: &Frontier) {
        for (site, n) in &mut self.blue {
            *n = (*n).min(other.blue(*site));
        }
        self.blue.retain(|(_, n)| *n > 0);
        self.red = self.red.min(other.red);
    }
}

impl fmt::Display for Frontier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "(")?;
        for (i, (site, n)) in self.blue.iter().enumerate() {
            write!(f, "{}{site}:{n}", if i > 0 { " " } else { "" })?;
        }
        write!(f, "; {})", self.red)
    }
}

/// A text that is not a frontier.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a frontier reads like (1:13 2:8; 82): a count of blue transactions per site, and a red index")]
pub struct NotAFrontier;

/// Reads what [`fmt::Display`] writes.
impl std::str::FromStr for Frontier {
    type Err = NotAFrontier;

    fn from_str(text: &str) -> Result<Frontier, NotAFrontier> {
        let inner = text.trim().strip_prefix('(').and_then(|t| t.strip_suffix(')')).ok_or(NotAFrontier)?;
        let (blues, red) = inner.split_once(';').ok_or(NotAFrontier)?;
        let mut frontier = Frontier { blue: Vec::new(), red: number(red)? };
        for count in blues.split_whitespace() {
            let (site, n) = count.split_once(':').ok_or(NotAFrontier)?;
            frontier.set_blue(SiteId(number(site)?), number(n)?);
        }
        Ok(frontier)
    }
}

/// Digits only: no sign, no blanks inside.
fn number<T: std::str::FromStr>(text: &str) -> Result<T, NotAFrontier> {
    let text = text.trim();
    if !text.bytes().all(|b| b.is_ascii_digit()) {
        return Err(NotAFrontier);
    }
    text.parse().map_err(|_| NotAFrontier)
}
