//! Small schemas and drafts for tests.
#![allow(dead_code, clippy::unwrap_used)] // test helpers: each file uses its own part

use std::sync::Arc;

use gemini_shadow_ops::value::key::primary_key;
use gemini_shadow_ops::*;

/// A table with an int4 primary key `id` in slot 0 and a given list of nullable int4 columns after it.
pub struct Build {
    pub table: Table,
    next: u32,
}

pub fn table(id: u32, name: &str) -> Build {
    let key = column(0, "id", DataType::Int4);
    let primary = Index {
        id: IndexId(id + 1),
        name: format!("{name}_pkey"),
        columns: vec![IndexColumn { column: ColumnId(0), descending: false, nulls_first: false }],
        unique: true,
        nulls_not_distinct: false,
        constraint: Some(ConstraintId(id + 2)),
    };
    let table = Table {
        id: TableId(id),
        name: name.to_owned(),
        version: 0,
        columns: vec![Column { not_null: true, ..key }],
        slots: 1,
        rows: RowRule::Strict,
        add_wins_since: None,
        keys_trusted: false,
        indexes: vec![primary],
        foreign_keys: vec![],
        checks: vec![],
    };
    Build { table, next: id + 3 }
}

pub fn column(id: u16, name: &str, ty: DataType) -> Column {
    Column {
        id: ColumnId(id),
        name: name.to_owned(),
        ty,
        not_null: false,
        default: None,
        generated: None,
        identity: None,
        minting: None,
        merge: MergeRule::Strict,
        missing: Value::Null,
        hidden: false,
    }
}

pub fn ints(list: &[i32]) -> Vec<Value> {
    list.iter().map(|n| Value::Int4(*n)).collect()
}

impl Build {
    pub fn rows(mut self, rows: RowRule) -> Build {
        self.table.rows = rows;
        self
    }

    pub fn trusted(mut self) -> Build {
        self.table.keys_trusted = true;
        self
    }

    pub fn col(self, name: &str, merge: MergeRule) -> Build {
        self.typed(name, DataType::Int4, merge)
    }

    pub fn typed(mut self, name: &str, ty: DataType, merge: MergeRule) -> Build {
        let id = self.table.slots;
        let not_null = merge == MergeRule::Delta;
        self.table.columns.push(Column { merge, not_null, ..column(id, name, ty) });
        self.table.slots += 1;
        self
    }

    pub fn not_null(mut self) -> Build {
        self.table.columns.last_mut().unwrap().not_null = true;
        self
    }

    /// A set of int4, a flag that enables and one that disables.
    pub fn elements(self) -> Build {
        self.typed("tags", DataType::Array(Box::new(DataType::Int4)), MergeRule::AddWinsSet)
            .not_null()
            .typed("on", DataType::Bool, MergeRule::EnableWins)
            .not_null()
            .typed("off", DataType::Bool, MergeRule::DisableWins)
            .not_null()
    }

    /// The key mints its values from sequence 900.
    pub fn minted(mut self) -> Build {
        self.table.columns[0].minting = Some(Minting::Sequence(SequenceId(900)));
        self
    }

    fn id(&mut self) -> u32 {
        self.next += 1;
        self.next - 1
    }

    pub fn index(mut self, columns: &[u16], unique: bool) -> Build {
        let id = self.id();
        let constraint = self.id();
        self.table.indexes.push(Index {
            id: IndexId(id),
            name: format!("{}_i{id}", self.table.name),
            columns: columns
                .iter()
                .map(|c| IndexColumn { column: ColumnId(*c), descending: false, nulls_first: false })
                .collect(),
            unique,
            nulls_not_distinct: false,
            constraint: unique.then_some(ConstraintId(constraint)),
        });
        self
    }

    pub fn nulls_not_distinct(mut self) -> Build {
        self.table.indexes.last_mut().unwrap().nulls_not_distinct = true;
        self
    }

    pub fn check(mut self, columns: &[u16]) -> Build {
        let id = self.id();
        self.table.checks.push(Check {
            id: ConstraintId(id),
            name: format!("{}_c{id}", self.table.name),
            sql: "…".to_owned(),
            columns: columns.iter().map(|c| ColumnId(*c)).collect(),
            bounds: vec![],
        });
        self
    }

    /// CHECK (column >= limit) or (column <= limit).
    pub fn bound(mut self, column: u16, side: BoundSide, limit: i32) -> Build {
        self = self.check(&[column]);
        let bound = Bound { column: ColumnId(column), side, limit: Value::Int4(limit) };
        self.table.checks.last_mut().unwrap().bounds.push(bound);
        self
    }

    /// A FOREIGN KEY to the parent's first columns, with its index.
    pub fn references(mut self, parent: &Table, columns: &[u16]) -> Build {
        self = self.index(columns, false);
        let child_index = self.table.indexes.last().unwrap().id;
        let id = self.id();
        let parent_columns: Vec<ColumnId> = (0..columns.len()).map(|i| ColumnId(i as u16)).collect();
        let wanted =
            |i: &&Index| i.unique && i.columns.iter().map(|c| c.column).collect::<Vec<_>>() == parent_columns;
        self.table.foreign_keys.push(ForeignKey {
            id: ConstraintId(id),
            name: format!("{}_fk{id}", self.table.name),
            columns: columns.iter().map(|c| ColumnId(*c)).collect(),
            parent: parent.id,
            parent_index: parent.indexes.iter().find(wanted).expect("a unique key of the parent").id,
            parent_columns,
            child_index,
            on_delete: ReferentialAction::NoAction,
            on_update: ReferentialAction::NoAction,
        });
        self
    }
}

pub fn sequence(base: Option<i64>) -> Sequence {
    Sequence {
        id: SequenceId(900),
        name: "ids".to_owned(),
        start: 1,
        increment: 1,
        min: 1,
        max: i64::MAX,
        cycle: false,
        owner: None,
        base,
    }
}

/// A schema of these tables at version 1, with sequence 900 open at 1000. Every table must be a valid declaration.
pub fn schema(tables: &[&Build]) -> Schema {
    let mut schema = Schema::default();
    schema.apply(&SchemaChange::CreateSequence(sequence(Some(1000))), 1);
    for build in tables {
        let change = SchemaChange::CreateTable(build.table.clone());
        assert_eq!(schema.check_change(&change), Ok(ChangeKind::PlainRed), "{}", build.table.name);
        schema.apply(&change, 1);
    }
    schema
}

pub fn row(values: &[i32]) -> Row {
    values.iter().map(|n| Value::Int4(*n)).collect()
}

/// i32::MIN stands for NULL.
pub fn nullable(values: &[i32]) -> Row {
    values.iter().map(|n| if *n == i32::MIN { Value::Null } else { Value::Int4(*n) }).collect()
}

pub const NULL: i32 = i32::MIN;
pub const BORN: TxnId = TxnId::Blue(Dot { site: SiteId(1), n: 1 });

pub fn insert(table: &Table, values: &Row) -> DraftOp {
    DraftOp {
        statement: 0,
        op: Op::Insert { table: table.id, key: primary_key(table, values), values: values.clone() },
        before: None,
        after: Some(values.clone()),
        facts: Facts::default(),
    }
}

pub fn delete(table: &Table, values: &Row) -> DraftOp {
    DraftOp {
        statement: 0,
        op: Op::Delete { table: table.id, key: primary_key(table, values), of: vec![BORN] },
        before: Some(values.clone()),
        after: None,
        facts: Facts::default(),
    }
}

pub fn update(table: &Table, before: &Row, cells: Vec<(u16, Write)>) -> DraftOp {
    let mut after = before.to_vec();
    for (column, write) in &cells {
        let cell = &mut after[usize::from(*column)];
        *cell = match write {
            Write::Add(v) | Write::Bounded(v) => value::arith::add(&DataType::Int4, cell, v),
            other => other.value(),
        };
    }
    DraftOp {
        statement: 0,
        op: Op::Update {
            table: table.id,
            key: primary_key(table, before),
            of: vec![BORN],
            cells: cells.into_iter().map(|(c, w)| (ColumnId(c), w)).collect(),
        },
        before: Some(before.clone()),
        after: Some(after.into()),
        facts: Facts::default(),
    }
}

pub fn set(n: i32) -> Write {
    Write::Set(if n == NULL { Value::Null } else { Value::Int4(n) })
}

pub fn add(n: i32) -> Write {
    Write::Add(Value::Int4(n))
}

pub fn bounded(n: i32) -> Write {
    Write::Bounded(Value::Int4(n))
}

pub fn draft(ops: Vec<DraftOp>) -> Draft {
    Draft {
        statements: vec![Frontier::default()],
        schema_version: 1,
        ops,
        minted: vec![],
        reads: vec![],
        locks: vec![],
    }
}

pub fn minted(mut draft: Draft, table: &Table, column: u16, value: i32) -> Draft {
    draft.minted.push(Minted { table: table.id, column: ColumnId(column), value: Value::Int4(value) });
    draft
}

pub fn stamp(micros: u64, site: u16) -> Stamp {
    Stamp { hlc: Hlc { micros, count: 0 }, site: SiteId(site) }
}

pub fn transaction(statements: Vec<Frontier>, ops: Vec<Op>) -> Arc<ShadowTransaction> {
    Arc::new(ShadowTransaction {
        origin: SiteId(1),
        deps: statements[0].clone(),
        statements,
        stamp: stamp(1, 1),
        schema_version: 1,
        ops: ops.into_iter().map(|op| ShadowOp { statement: 0, op }).collect(),
    })
}
