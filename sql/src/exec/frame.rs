//! Partitions and frames: ranges of places in a window's order.

use std::cmp::Ordering;

use gemini_shadow_ops::{Interval, Numeric, Value};

use super::Batch;
use super::group::compare;
use super::run::Cx;
use crate::bind::{FrameBound, FrameUnit, Window, WindowFrame};
use crate::error::{Result, SqlError};
use crate::expr::Expr;
use crate::sqlstate;

/// Rows in a window's order.
pub struct Sorted {
    /// Row by place.
    pub order: Vec<u32>,
    /// The values of PARTITION BY and ORDER BY, by row.
    keys: Batch,
    /// How many of them are PARTITION BY's.
    partition: usize,
    /// (descending, nulls first) of the others.
    directions: Vec<(bool, bool)>,
}

/// A partition, and where in it we are.
pub struct Partition {
    /// Its first place.
    pub start: usize,
    /// The place after its last.
    pub end: usize,
    /// The current row's place.
    pub at: usize,
    /// The current row's peer group.
    pub group: usize,
    /// Where the peer groups start, and `end`.
    groups: Vec<usize>,
}

impl Sorted {
    /// Sorts rows; those that the window does not tell apart keep their order.
    pub fn new(rows: &Batch, mut order: Vec<u32>, window: &Window, cx: &Cx<'_>) -> Result<Sorted> {
        let eval = cx.eval();
        let exprs: Vec<&Expr> = window.partition.iter().chain(window.order.iter().map(|o| &o.0)).collect();
        let mut keys = Batch::new(exprs.len());
        for row in rows.iter() {
            for expr in &exprs {
                keys.push_value(expr.eval(row, &eval)?);
            }
            keys.close_row();
            cx.run.charge(keys.last())?;
        }
        let partition = window.partition.len();
        let directions: Vec<(bool, bool)> = window.order.iter().map(|o| (o.1, o.2)).collect();
        if !exprs.is_empty() {
            order.sort_by(|a, b| {
                let (a, b) = (keys.row(*a as usize), keys.row(*b as usize));
                let partitions =
                    a[..partition].iter().zip(&b[..partition]).map(|(a, b)| compare(a, b, false, false));
                let orders = a[partition..]
                    .iter()
                    .zip(&b[partition..])
                    .zip(&directions)
                    .map(|((a, b), (descending, nulls_first))| compare(a, b, *descending, *nulls_first));
                partitions.chain(orders).find(|o| o.is_ne()).unwrap_or(Ordering::Equal)
            });
        }
        Ok(Sorted { order, keys, partition, directions })
    }

    /// The row at a place.
    pub fn row(&self, place: usize) -> usize {
        self.order[place] as usize
    }

    fn key(&self, place: usize) -> &[Value] {
        self.keys.row(self.row(place))
    }

    /// The partition that starts at a place.
    pub fn partition(&self, start: usize) -> Partition {
        let same =
            |a: &[Value], b: &[Value]| a.iter().zip(b).all(|(a, b)| compare(a, b, false, false).is_eq());
        let mut groups = vec![start];
        let mut end = start + 1;
        while end < self.order.len() {
            let (before, here) = (self.key(end - 1), self.key(end));
            if !same(&before[..self.partition], &here[..self.partition]) {
                break;
            }
            if !same(&before[self.partition..], &here[self.partition..]) {
                groups.push(end);
            }
            end += 1;
        }
        groups.push(end);
        Partition { start, end, at: start, group: 0, groups }
    }
}

impl Partition {
    /// The places of the current row's peers.
    pub fn peers(&self) -> (usize, usize) {
        (self.groups[self.group], self.groups[self.group + 1])
    }

    /// To the next row.
    pub fn advance(&mut self) {
        self.at += 1;
        if self.at < self.end && self.at == self.groups[self.group + 1] {
            self.group += 1;
        }
    }

    /// The first place of the peer group so many groups on; before the first and after the last: the partition's ends.
    fn group_start(&self, group: i64) -> usize {
        match usize::try_from(group) {
            Err(_) => self.start,
            Ok(group) => self.groups.get(group).copied().unwrap_or(self.end),
        }
    }
}

/// A frame's distances, evaluated once: 22004 for NULL, 22013 for less than nothing. RANGE has none of its own.
pub fn sizes(frame: &WindowFrame, cx: &Cx<'_>) -> Result<(i64, i64)> {
    Ok((size(&frame.start, "starting", cx)?, size(&frame.end, "ending", cx)?))
}

fn size(bound: &FrameBound, which: &str, cx: &Cx<'_>) -> Result<i64> {
    let (FrameBound::Preceding(distance) | FrameBound::Following(distance)) = bound else { return Ok(0) };
    let value = distance.size.eval(&[], &cx.eval())?;
    let negative = match &value {
        Value::Null => {
            return Err(SqlError::new(
                sqlstate::NULL_VALUE_NOT_ALLOWED,
                format!("frame {which} offset must not be null"),
            ));
        }
        Value::Numeric(n) => n.is_negative() || *n == Numeric::NAN,
        Value::Interval(_) => value.compare(&Value::Interval(Interval::default())).is_lt(),
        Value::Float8(f) => f.is_nan() || *f < 0.0,
        other => other.as_i64().is_some_and(|n| n < 0),
    };
    match (negative, &distance.range) {
        (false, _) => Ok(value.as_i64().unwrap_or(0)),
        (true, None) => Err(SqlError::new(
            sqlstate::INVALID_PRECEDING_OR_FOLLOWING_SIZE,
            format!("frame {which} offset must not be negative"),
        )),
        (true, Some(_)) => Err(SqlError::new(
            sqlstate::INVALID_PRECEDING_OR_FOLLOWING_SIZE,
            "invalid preceding or following size in window function",
        )),
    }
}

/// The current row's frame: the places lo..hi, none if hi <= lo.
pub fn ends(
    frame: &WindowFrame,
    sizes: (i64, i64),
    partition: &Partition,
    sorted: &Sorted,
    rows: &Batch,
    cx: &Cx<'_>,
) -> Result<(usize, usize)> {
    let place = |bound: &FrameBound, size: i64, last: bool| -> Result<usize> {
        let (signed, distance) = match bound {
            FrameBound::UnboundedPreceding => return Ok(partition.start),
            FrameBound::UnboundedFollowing => return Ok(partition.end),
            FrameBound::CurrentRow => (0, None),
            FrameBound::Preceding(distance) => (-size, distance.range.as_ref()),
            FrameBound::Following(distance) => (size, distance.range.as_ref()),
        };
        let after = i64::from(last);
        Ok(match (frame.unit, distance) {
            (FrameUnit::Rows, _) => {
                let place = (partition.at as i64).saturating_add(signed).saturating_add(after);
                usize::try_from(place).unwrap_or(0).clamp(partition.start, partition.end)
            }
            (FrameUnit::Range, Some((key, moved))) => search(key, moved, last, partition, sorted, rows, cx)?,
            (FrameUnit::Groups | FrameUnit::Range, _) => {
                partition.group_start((partition.group as i64).saturating_add(signed).saturating_add(after))
            }
        })
    };
    Ok((place(&frame.start, sizes.0, false)?, place(&frame.end, sizes.1, true)?))
}

/// Where the rows whose key is not before (`last`: is after) the current row's moved key begin. A NULL key has its peers.
fn search(
    key: &Expr,
    moved: &Expr,
    last: bool,
    partition: &Partition,
    sorted: &Sorted,
    rows: &Batch,
    cx: &Cx<'_>,
) -> Result<usize> {
    let eval = cx.eval();
    let edge = moved.eval(rows.row(sorted.row(partition.at)), &eval)?;
    if edge.is_null() {
        let (first, end) = partition.peers();
        return Ok(if last { end } else { first });
    }
    let (descending, nulls_first) = sorted.directions.first().copied().unwrap_or_default();
    let (mut low, mut high) = (partition.start, partition.end);
    while low < high {
        let middle = low + (high - low) / 2;
        let value = key.eval(rows.row(sorted.row(middle)), &eval)?;
        let before = match compare(&value, &edge, descending, nulls_first) {
            Ordering::Less => true,
            Ordering::Equal => last,
            Ordering::Greater => false,
        };
        if before {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    Ok(low)
}
