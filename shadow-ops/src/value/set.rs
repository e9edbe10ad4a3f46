//! Sets of values: lists that are sorted canonically, each element once, without NULLs.

use super::Value;

/// A list as a set.
pub fn of(list: &[Value]) -> Vec<Value> {
    let mut elements: Vec<Value> = list.iter().filter(|v| !v.is_null()).cloned().collect();
    elements.sort_by(Value::canonical);
    elements.dedup_by(|a, b| a.canonical(b).is_eq());
    elements
}

/// Whether a list is a set.
pub fn is_set(list: &[Value]) -> bool {
    !list.iter().any(Value::is_null) && list.is_sorted_by(|a, b| a.canonical(b).is_lt())
}

/// Where an element stands in a set, or would.
pub fn find(set: &[Value], element: &Value) -> Result<usize, usize> {
    set.binary_search_by(|e| e.canonical(element))
}

/// Whether a set has an element.
pub fn has(set: &[Value], element: &Value) -> bool {
    find(set, element).is_ok()
}

/// What is in either set.
pub fn union(a: &[Value], b: &[Value]) -> Vec<Value> {
    of(&[a, b].concat())
}

/// What is in the first set and not in the second.
pub fn difference(a: &[Value], b: &[Value]) -> Vec<Value> {
    a.iter().filter(|e| !has(b, e)).cloned().collect()
}

/// What is in both sets.
pub fn intersection(a: &[Value], b: &[Value]) -> Vec<Value> {
    a.iter().filter(|e| has(b, e)).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ints(list: &[i32]) -> Vec<Value> {
        list.iter().map(|n| Value::Int4(*n)).collect()
    }

    #[test]
    fn sets() {
        let raw = [ints(&[3, 1, 3]), vec![Value::Null]].concat();
        assert!(!is_set(&raw));
        assert_eq!(of(&raw), ints(&[1, 3]));
        assert!(is_set(&of(&raw)) && is_set(&[]));
        assert_eq!(union(&ints(&[1, 3]), &ints(&[2, 3])), ints(&[1, 2, 3]));
        assert_eq!(difference(&ints(&[1, 3]), &ints(&[2, 3])), ints(&[1]));
        assert_eq!(intersection(&ints(&[1, 3]), &ints(&[2, 3])), ints(&[3]));
    }
}
