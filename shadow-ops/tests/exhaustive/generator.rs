//! A model of the generator: statements run on a snapshot, lowered to effects, checked on that snapshot.
//!
//! It does what `sql` does and no more: a key that is there is not inserted again; a row that is not there is not written; cells
//! are lowered by their merge rules, generated columns computed, lww groups shipped whole; rows of append-only tables stay and
//! explicit values of minting columns are judged ([`explicit::check`]); and then *everything declared must hold on the
//! snapshot with the effects applied*. sql looks only at what the effects touch, which comes to the same: the snapshot held
//! before. A generator has no other means: it knows nothing of concurrent transactions.

use gemini_shadow_ops::classify::explicit;
use gemini_shadow_ops::value::arith;
use gemini_shadow_ops::value::key::primary_key;
use gemini_shadow_ops::*;

use crate::declared;
use crate::history::{State, Txn};

/// A value of an INSERT.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Given {
    Is(i32),
    Null,
    /// DEFAULT of a minting column: one value per transaction.
    Mint,
}

/// What a column is set to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Change {
    To(Given),
    Plus(i32),
}

/// One SQL statement on one row. Rows are named by the first column of their key.
#[derive(Clone, Debug, PartialEq)]
pub enum Act {
    Insert(TableId, Vec<Given>),
    Update(TableId, i32, Vec<(u16, Change)>),
    Delete(TableId, i32),
    /// UPDATE of the key.
    Move(TableId, i32, i32),
}

/// A transaction: each act on another row.
pub type Statement = Vec<Act>;

/// What a statement comes to on a snapshot at a site of minting class `class`; None if it finds no row or is refused.
pub fn generate(
    schema: &Schema,
    state: &State,
    statement: &Statement,
    class: u32,
    frontier: &Frontier,
) -> Option<Draft> {
    let mut draft = Draft {
        statements: vec![frontier.clone()],
        schema_version: schema.version,
        ops: vec![],
        minted: vec![],
        reads: vec![],
        locks: vec![],
    };
    for act in statement {
        let ops = Lowering { schema, state, class, minted: &mut draft.minted }.act(act)?;
        draft.ops.extend(ops);
    }
    explicit::check(schema, &draft, (class, CLASSES)).ok()?;
    Some(draft)
}

/// Whether everything declared holds on the snapshot with the effects applied.
pub fn holds(schema: &Schema, state: &State, txn: &Txn) -> bool {
    let mut after = state.clone();
    after.apply(schema, txn);
    declared::broken(schema, &after).is_none()
}

const CLASSES: u32 = 32;

struct Lowering<'a> {
    schema: &'a Schema,
    state: &'a State,
    class: u32,
    minted: &'a mut Vec<Minted>,
}

impl Lowering<'_> {
    fn act(&mut self, act: &Act) -> Option<Vec<DraftOp>> {
        match act {
            Act::Insert(table, given) => {
                let table = self.schema.table(*table)?;
                let values =
                    given.iter().zip(&table.columns).map(|(g, c)| self.value(table, c, *g)).collect();
                Some(vec![self.insert(table, values, Facts::default())?])
            }
            Act::Update(table, row, changes) => self.update(self.schema.table(*table)?, *row, changes),
            Act::Delete(table, row) => {
                Some(vec![self.delete(self.schema.table(*table)?, *row, Facts::default())?])
            }
            Act::Move(table, from, to) => {
                let table = self.schema.table(*table)?;
                let (_, before) = self.find(table, *from)?;
                let mut values = before.to_vec();
                values[0] = Value::Int4(*to);
                let facts = Facts { key_update: true, ..Facts::default() };
                Some(vec![self.delete(table, *from, facts.clone())?, self.insert(table, values, facts)?])
            }
        }
    }

    fn value(&mut self, table: &Table, column: &Column, given: Given) -> Value {
        let value = match given {
            Given::Is(n) => return Value::Int4(n),
            Given::Null => return Value::Null,
            Given::Mint => Value::Int4(1000 + self.class as i32),
        };
        self.minted.push(Minted { table: table.id, column: column.id, value: value.clone() });
        value
    }

    /// The row whose key begins with a number.
    fn find(&self, table: &Table, row: i32) -> Option<(Key, Row)> {
        let mut rows = self.state.views(table);
        rows.find(|(_, view)| view[0] == Value::Int4(row)).map(|(key, view)| (key.clone(), view))
    }

    fn insert(&self, table: &Table, mut values: Vec<Value>, facts: Facts) -> Option<DraftOp> {
        compute(table, &mut values);
        let values: Row = values.into();
        let key = primary_key(table, &values);
        if self.state.view(table, &key).is_some() {
            return None;
        }
        let op = Op::Insert { table: table.id, key, values: values.clone() };
        Some(DraftOp { statement: 0, op, before: None, after: Some(values), facts })
    }

    fn delete(&self, table: &Table, row: i32, facts: Facts) -> Option<DraftOp> {
        let (key, before) = self.find(table, row)?;
        let of = self.state.rows.get(&(table.id, key.clone()))?.live(table);
        let op = Op::Delete { table: table.id, key, of };
        Some(DraftOp { statement: 0, op, before: Some(before), after: None, facts })
    }

    fn update(&mut self, table: &Table, row: i32, changes: &[(u16, Change)]) -> Option<Vec<DraftOp>> {
        let (key, before) = self.find(table, row)?;
        let mut after = before.to_vec();
        let mut facts = Facts::default();
        let mut cells = std::collections::BTreeMap::new();
        for (slot, change) in changes {
            let column = &table.columns[usize::from(*slot)];
            let old = before[usize::from(*slot)].clone();
            let new = match change {
                Change::Plus(n) => arith::add(&column.ty, &old, &Value::Int4(*n)),
                Change::To(given) => self.value(table, column, *given),
            };
            if matches!(change, Change::To(_)) && column.merge == MergeRule::Delta {
                facts.assigned.push(column.id);
            }
            after[usize::from(*slot)] = visible(column.merge, &old, &new);
            cells.insert(column.id, lower(table, column, &old, new));
        }
        compute(table, &mut after);
        ship_whole(table, &after, &mut cells);
        let of = self.state.rows.get(&(table.id, key.clone()))?.live(table);
        let op = Op::Update { table: table.id, key, of, cells: cells.into_iter().collect() };
        Some(vec![DraftOp { statement: 0, op, before: Some(before), after: Some(after.into()), facts }])
    }
}

fn lower(table: &Table, column: &Column, old: &Value, new: Value) -> Write {
    match column.merge {
        MergeRule::Strict | MergeRule::Lww => Write::Set(new),
        MergeRule::Delta => Write::delta(table, column.id, arith::sub(&column.ty, &new, old)),
        MergeRule::Max => Write::Max(new),
        MergeRule::Min => Write::Min(new),
        rule => panic!("{rule} is of the laws of rows, not of this family"),
    }
}

/// What the row shows after the write.
fn visible(merge: MergeRule, old: &Value, new: &Value) -> Value {
    let keeps_old = match merge {
        MergeRule::Strict | MergeRule::Lww | MergeRule::Delta => false,
        MergeRule::AddWinsSet | MergeRule::EnableWins | MergeRule::DisableWins => false,
        _ if old.is_null() => false,
        _ if new.is_null() => true,
        MergeRule::Max => old.compare(new).is_gt(),
        MergeRule::Min => old.compare(new).is_lt(),
    };
    if keeps_old { old.clone() } else { new.clone() }
}

fn compute(table: &Table, row: &mut [Value]) {
    for column in table.columns.iter().filter(|c| c.generated.is_some()) {
        let sum = declared::computed(column, &row.to_vec().into());
        row[usize::from(column.id.0)] = sum.map_or(Value::Null, |n| Value::Int4(n as i32));
    }
}

/// Generated columns whose inputs were written, and the rest of every group of which a part was.
fn ship_whole(table: &Table, after: &[Value], cells: &mut std::collections::BTreeMap<ColumnId, Write>) {
    let write = |column: &ColumnId| Write::Set(after[usize::from(column.0)].clone());
    for column in &table.columns {
        let inputs = column.generated.iter().flat_map(|(_, inputs)| inputs);
        if inputs.into_iter().any(|input| cells.contains_key(input)) {
            cells.insert(column.id, write(&column.id));
        }
    }
    for group in table.groups() {
        if group.iter().any(|c| cells.contains_key(c)) {
            for column in group {
                cells.entry(column).or_insert_with(|| write(&column));
            }
        }
    }
}
