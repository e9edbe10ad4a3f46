//! From touched rows to effects: the net effect per row.
//!
//! | snapshot had | now | effect |
//! |---|---|---|
//! | nothing | a row | insert |
//! | nothing | nothing | none |
//! | a row | nothing | delete |
//! | a row | a row | update of the cells written, none if there are none |
//! | a row | another, deleted in between | delete, then insert |
//!
//! Invariant: an effect names the statement that first saw the row (an insert: the one that made it).

use gemini_shadow_ops::{ColumnId, DraftOp, Facts, Key, Op, Schema, SchemaChange, Table, TxnId, Write};

use super::overlay::{Base, Overlay, Touched};

/// Schema changes, in order.
pub fn schema_ops(changes: &[(u16, SchemaChange)]) -> Vec<DraftOp> {
    changes
        .iter()
        .map(|(statement, change)| DraftOp {
            statement: *statement,
            op: Op::Schema(change.clone()),
            before: None,
            after: None,
            facts: Facts::default(),
        })
        .collect()
}

/// Effects on rows, by table and key.
pub fn row_ops(schema: &Schema, overlay: &Overlay) -> Vec<DraftOp> {
    let mut ops = Vec::new();
    for (id, rows) in overlay.tables() {
        // A table dropped in this transaction takes its rows' effects with it.
        let Some(table) = schema.tables.get(&id) else { continue };
        for (key, touched) in &rows.rows {
            lower(table, key, touched, &mut ops);
        }
    }
    ops
}

fn lower(table: &Table, key: &Key, touched: &Touched, ops: &mut Vec<DraftOp>) {
    match (&touched.base, &touched.current) {
        (None, None) => {}
        (None, Some(_)) => ops.extend(insert(table, key, touched)),
        (Some(base), None) => ops.push(delete(table, key, touched, base)),
        (Some(base), Some(_)) if touched.reborn => {
            ops.push(delete(table, key, touched, base));
            ops.extend(insert(table, key, touched));
        }
        (Some(base), Some(after)) if !touched.cells.is_empty() => {
            let cells: Vec<(ColumnId, Write)> =
                touched.cells.iter().map(|(column, cell)| (*column, cell.write.clone())).collect();
            let of = |f: &dyn Fn(&super::Cell) -> bool| -> Vec<ColumnId> {
                touched.cells.iter().filter(|(_, cell)| f(cell)).map(|(column, _)| *column).collect()
            };
            ops.push(DraftOp {
                statement: touched.statement,
                op: Op::Update { table: table.id, key: key.clone(), of: base.of.clone(), cells },
                before: Some(base.row.clone()),
                after: Some(after.clone()),
                facts: Facts {
                    assigned: of(&|cell| cell.assigned),
                    computed: of(&|cell| cell.computed),
                    key_update: touched.key_update,
                },
            });
        }
        (Some(_), Some(_)) => {}
    }
}

fn insert(table: &Table, key: &Key, touched: &Touched) -> Option<DraftOp> {
    let row = touched.current.clone()?;
    Some(DraftOp {
        statement: touched.written,
        op: Op::Insert { table: table.id, key: key.clone(), values: row.clone() },
        before: None,
        after: Some(row),
        facts: facts(touched),
    })
}

fn delete(table: &Table, key: &Key, touched: &Touched, base: &Base) -> DraftOp {
    let of: Vec<TxnId> = base.of.clone();
    DraftOp {
        statement: touched.statement,
        op: Op::Delete { table: table.id, key: key.clone(), of },
        before: Some(base.row.clone()),
        after: None,
        facts: facts(touched),
    }
}

fn facts(touched: &Touched) -> Facts {
    Facts { key_update: touched.key_update, ..Facts::default() }
}
