//! The family of schemas that colours are tried on, each with a few rows and the statements that could hurt it.
//!
//! | part | varied |
//! |---|---|
//! | one table `t (id, a, b)` | row rule × key (explicit, minted, trusted) × merge rules of a and b × one constraint over them |
//! | parent and child | row rules and keys of both × merge rule of the column that refers × how it refers (to the key, to a UNIQUE key, composite, as part of the child's own key) |
//!
//! What [`Schema::check_change`] refuses is left out, so the family is what DDL lets in. Values are from 0 to 3 and NULL.

use gemini_shadow_ops::*;

use crate::common::{Build, sequence, table};
use crate::generator::Change::{Plus, To};
use crate::generator::Given::{Is, Mint, Null};
use crate::generator::{Act, Change, Given, Statement};

/// A schema, its first rows, and statements on it.
pub struct Case {
    pub name: String,
    pub schema: Schema,
    pub base: Vec<Act>,
    pub statements: Vec<Statement>,
}

pub const ROWS: [RowRule; 4] = [RowRule::Strict, RowRule::AppendOnly, RowRule::AddWins, RowRule::RemoveWins];
pub const MERGES: [MergeRule; 5] =
    [MergeRule::Strict, MergeRule::Lww, MergeRule::Delta, MergeRule::Max, MergeRule::Min];

/// Where primary keys come from.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Keys {
    Explicit,
    Minted,
    Trusted,
}

pub const KEYS: [Keys; 3] = [Keys::Explicit, Keys::Minted, Keys::Trusted];

/// What is declared of a and b.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Declared {
    Nothing,
    NotNull,
    /// CHECK (a <> 0)
    Check,
    AtLeast,
    AtMost,
    Between,
    Unique,
    /// UNIQUE, and a mints its values.
    UniqueMinted,
    NullsNotDistinct,
    /// CHECK (a <= b)
    Ordered,
    UniqueBoth,
    /// b is generated: id + a
    Generated,
}

const OVER_ONE: [Declared; 9] = {
    use Declared::*;
    [Nothing, NotNull, Check, AtLeast, AtMost, Between, Unique, UniqueMinted, NullsNotDistinct]
};
const OVER_BOTH: [Declared; 3] = [Declared::Ordered, Declared::UniqueBoth, Declared::Generated];

const T: TableId = TableId(10);
const P: TableId = TableId(10);
const C: TableId = TableId(40);

/// The whole family.
pub fn family() -> Vec<Case> {
    let mut cases = Vec::new();
    for rows in ROWS {
        for keys in KEYS {
            for a in MERGES {
                cases.extend(OVER_ONE.iter().filter_map(|declared| single(rows, keys, a, None, *declared)));
                for b in MERGES {
                    cases.extend(
                        OVER_BOTH.iter().filter_map(|declared| single(rows, keys, a, Some(b), *declared)),
                    );
                }
            }
        }
    }
    for parent in ROWS.iter().flat_map(|rows| [(*rows, Keys::Explicit), (*rows, Keys::Minted)]) {
        for child in ROWS.iter().flat_map(|rows| KEYS.map(|keys| (*rows, keys))) {
            for merge in MERGES {
                cases.extend(REFERS.iter().filter_map(|refers| related(parent, child, merge, *refers)));
            }
        }
    }
    cases
}

fn start(id: TableId, name: &str, rows: RowRule, keys: Keys) -> Build {
    let build = table(id.0, name).rows(rows);
    match keys {
        Keys::Explicit => build,
        Keys::Minted => build.minted(),
        Keys::Trusted => build.trusted(),
    }
}

/// The schema of these tables, if DDL lets them in: as they are, or declared strict and annotated afterwards (a FOREIGN KEY to a
/// table whose deletes are blue already needs a barrier).
fn declare(tables: &[&Build]) -> Option<Schema> {
    let direct = tables.iter().map(|build| SchemaChange::CreateTable(build.table.clone()));
    let strict = tables.iter().map(|build| SchemaChange::CreateTable(plain(&build.table)));
    let annotated = tables.iter().flat_map(|build| annotations(&build.table));
    accepted(direct).or_else(|| accepted(strict.chain(annotated)))
}

/// A table without its annotations.
fn plain(table: &Table) -> Table {
    let mut plain = Table { rows: RowRule::Strict, keys_trusted: false, ..table.clone() };
    plain.columns.iter_mut().for_each(|column| column.merge = MergeRule::Strict);
    plain
}

fn annotations(table: &Table) -> Vec<SchemaChange> {
    let merges = table.columns.iter().filter(|c| c.merge != MergeRule::Strict);
    let merges = merges.map(|c| SchemaChange::SetMerge { table: table.id, column: c.id, merge: c.merge });
    let rows = SchemaChange::SetRows { table: table.id, rows: table.rows, keys_trusted: table.keys_trusted };
    merges.chain([rows]).collect()
}

/// The schema after these changes, if all of them take effect by being ordered.
fn accepted(changes: impl Iterator<Item = SchemaChange>) -> Option<Schema> {
    let mut schema = Schema::default();
    schema.apply(&SchemaChange::CreateSequence(sequence(Some(1000))), 1);
    for change in changes {
        (schema.check_change(&change) == Ok(ChangeKind::PlainRed)).then(|| schema.apply(&change, 1))?;
    }
    Some(schema)
}

/// t (id, a, b).
fn single(rows: RowRule, keys: Keys, a: MergeRule, b: Option<MergeRule>, declared: Declared) -> Option<Case> {
    let mut t = start(T, "t", rows, keys).col("a", a);
    t = match declared {
        Declared::NotNull => t.not_null(),
        Declared::Check => t.check(&[1]),
        Declared::AtLeast => t.bound(1, BoundSide::AtLeast, 0),
        Declared::AtMost => t.bound(1, BoundSide::AtMost, 3),
        Declared::Between => {
            t = t.bound(1, BoundSide::AtLeast, 0);
            let most = Bound { column: ColumnId(1), side: BoundSide::AtMost, limit: Value::Int4(3) };
            t.table.checks[0].bounds.push(most);
            t
        }
        Declared::Unique => t.index(&[1], true),
        Declared::UniqueMinted => {
            t.table.columns[1].minting = Some(Minting::Sequence(SequenceId(900)));
            t.index(&[1], true)
        }
        Declared::NullsNotDistinct => t.index(&[1], true).nulls_not_distinct(),
        _ => t,
    };
    if let Some(b) = b {
        t = t.col("b", b);
    }
    t = match declared {
        Declared::Ordered => t.check(&[1, 2]),
        Declared::UniqueBoth => t.index(&[1, 2], true),
        Declared::Generated => {
            t.table.columns[2].generated = Some(("id + a".to_owned(), vec![ColumnId(0), ColumnId(1)]));
            t
        }
        _ => t,
    };
    Some(Case {
        name: format!("t {rows} {keys:?} a {a:?} b {b:?} {declared:?}"),
        schema: declare(&[&t])?,
        base: [(1, 1, 2), (2, 2, 3)].map(|(id, a, b)| insert(&t.table, &[Is(id), Is(a), Is(b)])).into(),
        statements: on_single(&t.table, keys, declared),
    })
}

/// An insert of the table's width.
fn insert(table: &Table, given: &[Given]) -> Act {
    Act::Insert(table.id, given[..table.columns.len()].to_vec())
}

/// Statements on t: inserts, each way to change a and b, deletes, a change of the key, and two rows at once.
fn on_single(t: &Table, keys: Keys, declared: Declared) -> Vec<Statement> {
    let key = if keys == Keys::Minted { Mint } else { Is(3) };
    let minted = t.columns[1].minting.is_some();
    let a = |n: i32| if minted { Mint } else { Is(n) };
    let update = |row: i32, changes: &[(u16, Change)]| Act::Update(T, row, changes.to_vec());
    let nullable = !t.columns[1].not_null;
    let mut acts = vec![
        insert(t, &[key, a(3), Is(3)]),
        insert(t, &[Is(3), a(0), Is(3)]),
        insert(t, &[Is(1), a(3), Is(3)]),
        Act::Delete(T, 1),
        Act::Move(T, 1, 3),
        update(1, &[(1, To(a(3)))]),
        update(1, &[(1, Plus(1))]),
        update(1, &[(1, Plus(-1))]),
    ];
    if nullable {
        acts.extend([update(1, &[(1, To(Null))]), insert(t, &[key, Null, Is(3)])]);
    }
    if t.columns.len() == 3 && declared != Declared::Generated {
        acts.extend([Plus(-1), Plus(1)].map(|change| update(1, &[(2, change)])));
        acts.push(update(1, &[(1, To(Is(2))), (2, To(Is(3)))]));
    }
    let mut statements: Vec<Statement> = acts.into_iter().map(|act| vec![act]).collect();
    statements.push(vec![update(1, &[(1, Plus(2))]), update(2, &[(1, Plus(-1))])]);
    statements
}

/// How the child refers to the parent.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Refers {
    /// p → parent (id)
    Key,
    /// (p, q) → parent (id, k), which is UNIQUE
    Composite,
    /// p is NOT NULL and part of the child's key
    InKey,
    /// p → parent (k), which is UNIQUE
    Unique,
}

pub const REFERS: [Refers; 4] = [Refers::Key, Refers::Composite, Refers::InKey, Refers::Unique];

/// p (id, k) and c (id, p, q).
fn related(
    parent: (RowRule, Keys),
    child: (RowRule, Keys),
    merge: MergeRule,
    refers: Refers,
) -> Option<Case> {
    let k = if refers == Refers::Composite { MergeRule::Strict } else { MergeRule::Lww };
    let mut p = start(P, "p", parent.0, parent.1).col("k", k);
    let mut c = start(C, "c", child.0, child.1).col("p", merge);
    c = match refers {
        Refers::Key => c.references(&p.table, &[1]),
        Refers::Composite => {
            p = p.index(&[0, 1], true);
            c.col("q", merge).references(&p.table, &[1, 2])
        }
        Refers::InKey => {
            let column = IndexColumn { column: ColumnId(1), descending: false, nulls_first: false };
            c.table.indexes[0].columns.push(column);
            c.not_null().references(&p.table, &[1])
        }
        Refers::Unique => {
            p = p.index(&[1], true);
            c = c.references(&p.table, &[1]);
            let foreign = &mut c.table.foreign_keys[0];
            (foreign.parent_columns, foreign.parent_index) = (vec![ColumnId(1)], p.table.indexes[1].id);
            c
        }
    };
    Some(Case {
        name: format!("p {parent:?}, c {child:?} {merge:?} {refers:?}"),
        schema: declare(&[&p, &c])?,
        base: vec![
            insert(&p.table, &[Is(1), Is(1)]),
            insert(&p.table, &[Is(2), Is(2)]),
            insert(&c.table, &[Is(1), Is(1), Is(1)]),
        ],
        statements: on_related(&p.table, &c.table, refers, (parent.1, child.1)),
    })
}

/// Statements on both: children come, refer elsewhere and go; parents come, change and go; both come at once.
fn on_related(p: &Table, c: &Table, refers: Refers, (parent, child): (Keys, Keys)) -> Vec<Statement> {
    let new_parent = if parent == Keys::Minted { Mint } else { Is(3) };
    let new_child = if child == Keys::Minted { Mint } else { Is(2) };
    let referred = if refers == Refers::Unique { Is(3) } else { new_parent };
    let mut statements = vec![
        vec![insert(c, &[new_child, Is(2), Is(2)])],
        vec![Act::Delete(C, 1)],
        vec![insert(p, &[new_parent, Is(3)])],
        vec![insert(p, &[new_parent, Is(3)]), insert(c, &[new_child, referred, Is(3)])],
        vec![Act::Delete(P, 2)],
        vec![Act::Update(P, 2, vec![(1, To(Is(3)))])],
        vec![Act::Move(P, 2, 3)],
    ];
    if refers == Refers::InKey {
        return statements;
    }
    let also_q = refers == Refers::Composite;
    for given in [Is(2), Is(3), Null] {
        let both = [(1, To(given)), (2, To(given))];
        statements.push(vec![Act::Update(C, 1, both[..1 + usize::from(also_q)].to_vec())]);
    }
    if also_q {
        statements.push(vec![Act::Update(C, 1, vec![(2, To(Null))])]);
        statements.push(vec![Act::Update(C, 1, vec![(1, To(Is(2)))])]);
    }
    statements
}
