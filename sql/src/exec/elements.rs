//! Writes of sets and flags: from what a statement says to the elements it removes and adds.
//!
//! | statement | removes | adds |
//! |---|---|---|
//! | `x = e` | all that it saw | the elements of e |
//! | `x = array_append(x, e)`, `x \|\| e`, … | | e (again, if it was there: then it also replaces what it saw) |
//! | `x = array_remove(x, e)` | e, if it was there | |

use std::sync::Arc;

use gemini_shadow_ops::value::set;
use gemini_shadow_ops::{Column, Value, Write};

use crate::error::{Result, SqlError};
use crate::sqlstate;

/// A set's net change within a transaction.
#[derive(Default)]
struct Change {
    remove: Vec<Value>,
    add: Vec<Value>,
}

impl Change {
    fn add(&mut self, old: &[Value], elements: &[Value]) {
        self.remove = set::union(&self.remove, &set::intersection(elements, old));
        self.add = set::union(&self.add, elements);
    }

    fn remove(&mut self, old: &[Value], elements: &[Value]) {
        self.remove = set::union(&self.remove, &set::intersection(elements, old));
        self.add = set::difference(&self.add, elements);
    }

    fn write(self) -> Write {
        Write::Elements { remove: self.remove, add: self.add }
    }
}

/// An array as the set that the column keeps; NULL stays NULL, which NOT NULL refuses.
pub fn stored(column: &Column, value: &Value) -> Result<Value> {
    let Value::Array(list) = value else { return Ok(value.clone()) };
    if list.iter().any(Value::is_null) {
        return Err(SqlError::new(
            sqlstate::NULL_VALUE_NOT_ALLOWED,
            format!("column \"{}\" is a set, and NULL cannot be an element", column.name),
        )
        .hint("Leave NULLs out: array_remove(x, NULL).")
        .column(&column.name));
    }
    if list.iter().any(|v| matches!(v, Value::Array(_))) {
        return Err(SqlError::new(
            sqlstate::ARRAY_SUBSCRIPT_ERROR,
            format!("column \"{}\" is a set, and takes arrays of one dimension only", column.name),
        )
        .column(&column.name));
    }
    Ok(if set::is_set(list) { value.clone() } else { Value::Array(Arc::new(set::of(list))) })
}

fn elements(value: &Value) -> &[Value] {
    match value {
        Value::Array(list) => list,
        _ => &[],
    }
}

/// `x = e`: the write, and x after it.
pub fn assign(column: &Column, old: &Value, new: &Value) -> Result<(Value, Write)> {
    let new = stored(column, new)?;
    let mut change = Change::default();
    change.remove(elements(old), elements(old));
    change.add(elements(old), elements(&new));
    Ok((new, change.write()))
}

/// Additions and removals, as [`crate::expr::elements`] noted them: the write, and x after it.
pub fn apply(column: &Column, old: &Value, steps: &Value) -> Result<(Value, Write)> {
    let old = elements(old);
    let mut change = Change::default();
    for step in elements(steps) {
        let [Value::Bool(adds), operand] = elements(step) else {
            return Err(SqlError::internal("a change of a set that is neither an addition nor a removal"));
        };
        match (adds, operand) {
            (true, list) => change.add(old, elements(&stored(column, list)?)),
            (false, list) => change.remove(old, &set::of(elements(list))),
        }
    }
    let after = set::union(&set::difference(old, &change.remove), &change.add);
    Ok((Value::Array(Arc::new(after)), change.write()))
}

/// Two writes of one cell, one after the other, as one.
pub fn fold(first: &Write, second: &Write) -> Write {
    let (Write::Elements { remove, add }, Write::Elements { remove: taken, add: added }) = (first, second)
    else {
        return second.clone();
    };
    Write::Elements {
        remove: set::union(remove, taken),
        add: set::union(&set::difference(add, taken), added),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(names: &[&str]) -> Vec<Value> {
        names.iter().map(|n| Value::text(*n)).collect()
    }

    fn change(remove: &[&str], add: &[&str]) -> Write {
        Write::Elements { remove: list(remove), add: list(add) }
    }

    #[test]
    fn folds_to_the_net_effect() {
        // Added, and removed again.
        assert_eq!(fold(&change(&[], &["a"]), &change(&["a"], &[])), change(&["a"], &[]));
        // Removed, and added again.
        assert_eq!(fold(&change(&["a"], &[]), &change(&[], &["a"])), change(&["a"], &["a"]));
        // Added twice: the second time it was there.
        assert_eq!(fold(&change(&[], &["a"]), &change(&["a"], &["a"])), change(&["a"], &["a"]));
        assert_eq!(fold(&change(&["b"], &["a"]), &change(&["c"], &["d"])), change(&["b", "c"], &["a", "d"]));
    }
}
