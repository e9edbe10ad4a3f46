//! Reading tables by key, index and range; functions that return sets.

use std::ops::Bound;

use gemini_engine::KeyRange;
use gemini_shadow_ops::value::{arith, key};
use gemini_shadow_ops::{DataType, Index, Item, Key, Row, Table, Value};

use super::Batch;
use super::operators::{Step, keep};
use super::run::{CHUNK, Cx};
use crate::bind::TableFunction;
use crate::error::{Result, SqlError};
use crate::expr::Expr;
use crate::plan::{KeyPart, Scan, SetCall};
use crate::sqlstate;

/// A table being read.
#[derive(Default)]
pub struct ScanState {
    base: Vec<Value>,
    /// What is left to read, the next one last.
    ranges: Vec<KeyRange>,
    /// How much is read at once: little at first, for those who want one row.
    chunk: usize,
}

impl ScanState {
    /// Works out where to look.
    pub fn open(&mut self, scan: &Scan, cx: &Cx<'_>, base: &[Value]) -> Result<()> {
        self.base.clear();
        self.base.extend_from_slice(base);
        self.chunk = 32;
        self.ranges.clear();
        let index = match scan.index {
            None => scan.table.primary(),
            Some(id) => scan.table.index(id),
        };
        let index = index.ok_or_else(|| SqlError::internal("a plan names an index that is gone"))?;
        let eval = cx.eval();
        if scan.is_point() && scan.range.prefix.iter().all(|p| matches!(p, KeyPart::One(_))) {
            // The hottest path of all: one key, nothing else.
            let mut bytes = Vec::with_capacity(32);
            for (part, column) in scan.range.prefix.iter().zip(&index.columns) {
                let KeyPart::One(expr) = part else { continue };
                let value = expr.eval(base, &eval)?;
                if value.is_null() {
                    return Ok(());
                }
                key::encode_column(&mut bytes, &scan.table, column, &value);
            }
            self.ranges.push(KeyRange::one(Key(bytes.into())));
            return Ok(());
        }
        let mut prefixes: Vec<Vec<u8>> = vec![Vec::new()];
        for (part, column) in scan.range.prefix.iter().zip(&index.columns) {
            let values = match part {
                KeyPart::One(expr) => vec![expr.eval(base, &eval)?],
                KeyPart::List(list) => {
                    list.iter().map(|e| e.eval(base, &eval)).collect::<Result<Vec<Value>>>()?
                }
                KeyPart::Array(array) => match array.eval(base, &eval)? {
                    Value::Array(values) => values.to_vec(),
                    _ => Vec::new(),
                },
                KeyPart::Null => {
                    for prefix in &mut prefixes {
                        key::encode_column(prefix, &scan.table, column, &Value::Null);
                    }
                    continue;
                }
            };
            let mut next = Vec::with_capacity(prefixes.len() * values.len());
            for prefix in &prefixes {
                // NULL equals nothing.
                for value in values.iter().filter(|v| !v.is_null()) {
                    let mut bytes = prefix.clone();
                    key::encode_column(&mut bytes, &scan.table, column, value);
                    next.push(bytes);
                }
            }
            prefixes = next;
        }
        if prefixes.len() > 1 {
            prefixes.sort_unstable();
            prefixes.dedup();
        }
        for prefix in prefixes {
            if let Some(range) = bounded(scan, index, prefix, cx, base)? {
                self.ranges.push(range);
            }
        }
        if !scan.reverse {
            self.ranges.reverse();
        }
        Ok(())
    }

    /// Appends rows.
    pub fn next(&mut self, scan: &Scan, cx: &Cx<'_>, out: &mut Batch) -> Result<Step> {
        let mut read = 0;
        while let Some(range) = self.ranges.pop() {
            read += if let (true, Bound::Included(at)) = (scan.is_point(), &range.from) {
                self.point(scan, at.clone(), cx, out)?;
                1
            } else {
                self.chunk(scan, range, cx, out)?
            };
            if read >= self.chunk.max(CHUNK) || (read >= self.chunk && !scan.is_point()) {
                self.chunk = (self.chunk * 4).min(CHUNK);
                break;
            }
        }
        Ok(if self.ranges.is_empty() { Step::Done } else { Step::More })
    }

    fn point(&self, scan: &Scan, at: Key, cx: &Cx<'_>, out: &mut Batch) -> Result<()> {
        cx.run.view.note_row(&scan.table, &at);
        match cx.run.view.reading().get(&scan.table, &at)? {
            Some(row) => self.emit(scan, &at, &row, cx, out),
            None => Ok(()),
        }
    }

    fn chunk(&mut self, scan: &Scan, range: KeyRange, cx: &Cx<'_>, out: &mut Batch) -> Result<usize> {
        let view = &cx.run.view;
        view.note(|| read_item(scan, &range));
        let reading = view.reading();
        let (count, rest) = match scan.index {
            None => {
                let (rows, rest) = reading.rows(&scan.table, &range, scan.reverse, self.chunk)?;
                for (at, row) in &rows {
                    view.note_row(&scan.table, at);
                    self.emit(scan, at, row, cx, out)?;
                }
                (rows.len(), rest)
            }
            Some(index) => {
                let (entries, rest) =
                    reading.entries(&scan.table, index, &range, scan.reverse, self.chunk)?;
                for (_, at) in &entries {
                    view.note_row(&scan.table, at);
                    if let Some(row) = reading.get(&scan.table, at)? {
                        self.emit(scan, at, &row, cx, out)?;
                    }
                }
                (entries.len(), rest)
            }
        };
        if let Some(rest) = rest {
            self.ranges.push(rest);
        }
        Ok(count.max(1))
    }

    fn emit(&self, scan: &Scan, at: &Key, row: &Row, cx: &Cx<'_>, out: &mut Batch) -> Result<()> {
        out.push_base(&self.base);
        let target = out.last_mut();
        fill(&scan.table, &scan.columns, row, target)?;
        if let Some(slot) = scan.key_slot {
            target[slot] = Value::Bytea(at.0.clone());
        }
        keep(out, &scan.filter, cx)?;
        Ok(())
    }
}

/// Copies a stored row's columns to their slots; 22003 for a delta whose sum has left its type.
pub fn fill(
    table: &Table,
    columns: &[(usize, usize, Option<DataType>)],
    row: &[Value],
    target: &mut [Value],
) -> Result<()> {
    for (stored, slot, delta) in columns {
        let value = match row.get(*stored) {
            Some(value) => value.clone(),
            // Written before the column was added, in this transaction.
            None => table
                .columns
                .iter()
                .find(|c| usize::from(c.id.0) == *stored)
                .map_or(Value::Null, |c| c.missing.clone()),
        };
        if let Some(ty) = delta
            && !arith::fits(ty, &value)
        {
            return Err(out_of_range(ty));
        }
        target[*slot] = value;
    }
    Ok(())
}

/// 22003.
pub fn out_of_range(ty: &DataType) -> SqlError {
    let message = match ty {
        DataType::Numeric(_) => "numeric field overflow".to_owned(),
        ty => format!("{} out of range", crate::expr::types::display(ty)),
    };
    SqlError::new(sqlstate::NUMERIC_VALUE_OUT_OF_RANGE, message)
}

/// What a scan of a range reads, for SERIALIZABLE.
fn read_item(scan: &Scan, range: &KeyRange) -> Item {
    let index = scan.index.or_else(|| scan.table.primary().map(|p| p.id));
    let end = |bound: &Bound<Key>| match bound {
        Bound::Unbounded => Key([].into()),
        Bound::Included(k) | Bound::Excluded(k) => k.clone(),
    };
    match (index, range == &KeyRange::all()) {
        (Some(index), false) => {
            Item::Range { table: scan.table.id, index, from: end(&range.from), to: end(&range.to) }
        }
        _ => Item::Table { table: scan.table.id },
    }
}

/// The range of entries that begin with a prefix and lie within the bounds of the column after it.
fn bounded(
    scan: &Scan,
    index: &Index,
    prefix: Vec<u8>,
    cx: &Cx<'_>,
    base: &[Value],
) -> Result<Option<KeyRange>> {
    let eval = cx.eval();
    let spec = &scan.range;
    let column = index.columns.get(spec.prefix.len());
    let (Some(column), true) = (column, spec.lower.is_some() || spec.upper.is_some()) else {
        if prefix.is_empty() {
            return Ok(Some(KeyRange::all()));
        }
        return Ok(Some(KeyRange::prefix(&Key(prefix.into()))));
    };
    let encoded = |bound: &Option<(Expr, bool)>| -> Result<Option<Option<(Key, bool)>>> {
        let Some((expr, inclusive)) = bound else { return Ok(Some(None)) };
        let value = expr.eval(base, &eval)?;
        if value.is_null() {
            return Ok(None);
        }
        let mut bytes = prefix.clone();
        key::encode_column(&mut bytes, &scan.table, column, &value);
        Ok(Some(Some((Key(bytes.into()), *inclusive))))
    };
    // A comparison with NULL holds for no row.
    let (Some(lower), Some(upper)) = (encoded(&spec.lower)?, encoded(&spec.upper)?) else { return Ok(None) };
    let (low, high) = if column.descending { (upper, lower) } else { (lower, upper) };
    let mut nulls = prefix.clone();
    key::encode_column(&mut nulls, &scan.table, column, &Value::Null);
    let nulls = Key(nulls.into());
    let whole = KeyRange::prefix(&Key(prefix.into()));
    let past = |k: Key| match key::successor(&k) {
        Some(next) => Bound::Included(next),
        None => Bound::Excluded(k),
    };
    let from = match low {
        Some((k, true)) => Bound::Included(k),
        Some((k, false)) => past(k),
        // NULLs are in no range.
        None if column.nulls_first => past(nulls.clone()),
        None => whole.from.clone(),
    };
    let to = match high {
        Some((k, true)) => key::successor(&k).map_or(Bound::Unbounded, Bound::Excluded),
        Some((k, false)) => Bound::Excluded(k),
        None if !column.nulls_first => Bound::Excluded(nulls),
        None => whole.to.clone(),
    };
    Ok(Some(KeyRange { from, to }))
}

/// The scalars of an array, whatever its dimensions.
fn flat(items: &[Value]) -> Vec<Value> {
    let each = items.iter().map(|item| match item {
        Value::Array(inner) => flat(inner),
        scalar => vec![scalar.clone()],
    });
    each.flatten().collect()
}

/// The values of a set-returning function.
pub fn function_rows(call: &SetCall, cx: &Cx<'_>, base: &[Value]) -> Result<Vec<Value>> {
    let SetCall { function, args, ty, .. } = call;
    let eval = cx.eval();
    let values: Vec<Value> = args.iter().map(|a| a.eval(base, &eval)).collect::<Result<_>>()?;
    match function {
        TableFunction::Scalar => Ok(values),
        TableFunction::Unnest => match values.into_iter().next() {
            Some(Value::Array(items)) => Ok(flat(&items)),
            _ => Ok(Vec::new()),
        },
        TableFunction::GenerateSubscripts => match (&values[0], &values[1]) {
            (Value::Array(items), dimension) if dimension.as_i64() == Some(1) => {
                let zero = matches!(args[0].ty, DataType::Int2Vector | DataType::OidVector);
                let first = if zero { 0 } else { 1 };
                Ok((0..items.len() as i32).map(|i| Value::Int4(first + i)).collect())
            }
            _ => Ok(Vec::new()),
        },
        TableFunction::GenerateSeries => {
            if values.iter().any(Value::is_null) {
                return Ok(Vec::new());
            }
            series(values, args, ty, cx)
        }
    }
}

fn series(values: Vec<Value>, args: &[Expr], ty: &DataType, cx: &Cx<'_>) -> Result<Vec<Value>> {
    let zero = || SqlError::new(sqlstate::INVALID_PARAMETER_VALUE, "step size cannot equal zero");
    let mut out = Vec::new();
    if let (Some(start), Some(stop)) = (values[0].as_i64(), values[1].as_i64()) {
        let step = values.get(2).and_then(Value::as_i64).unwrap_or(1);
        if step == 0 {
            return Err(zero());
        }
        let mut at = start;
        while (step > 0 && at <= stop) || (step < 0 && at >= stop) {
            let value = if *ty == DataType::Int4 { Value::Int4(at as i32) } else { Value::Int8(at) };
            cx.run.charge(std::slice::from_ref(&value))?;
            out.push(value);
            match at.checked_add(step) {
                Some(next) => at = next,
                None => break,
            }
        }
        return Ok(out);
    }
    let step_value = match values.get(2) {
        Some(step) => step.clone(),
        None => Value::Numeric(gemini_shadow_ops::Numeric::from(1i64)),
    };
    let nothing = match (&step_value, &values[0]) {
        (Value::Interval(i), _) => i.months == 0 && i.days == 0 && i.micros == 0,
        (step, _) => arith::is_zero(step),
    };
    if nothing {
        return Err(zero());
    }
    // Dates and decimals step by the operator itself.
    let builder = crate::expr::Builder::new(&[]);
    let step_ty = args.get(2).map_or(DataType::Numeric(None), |a| a.ty.clone());
    let plus = builder.operator("+", Expr::column(0, ty.clone()), Expr::column(1, step_ty))?;
    let eval = cx.eval();
    let mut at = values[0].clone();
    let next = plus.eval(&[at.clone(), step_value.clone()], &eval)?;
    let upwards = next.compare(&at).is_gt();
    loop {
        let order = at.compare(&values[1]);
        if (upwards && order.is_gt()) || (!upwards && order.is_lt()) {
            return Ok(out);
        }
        cx.run.charge(std::slice::from_ref(&at))?;
        out.push(at.clone());
        at = plus.eval(&[at, step_value.clone()], &eval)?;
    }
}
