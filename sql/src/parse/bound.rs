//! Recognises CHECKs that are nothing but bounds of one column: `x >= c`, `x > c`, `c <= x`, `x BETWEEN a AND b`,
//! and any AND of those. What a delta needs in order to be spent by slack instead of by reading it.

use gemini_shadow_ops::BoundSide;
use sqlparser::ast::{BinaryOperator, Expr, UnaryOperator, Value};

use super::types;

/// A bound as written; the schema change turns the limit into a value of the column's type.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct RawBound {
    pub column: String,
    pub side: BoundSide,
    /// `>` or `<`: the limit itself is excluded.
    pub strict: bool,
    /// A number as text.
    pub limit: String,
}

/// The bounds if the expression is a conjunction of bounds of one column; else None.
pub fn bounds_of(expr: &Expr) -> Option<Vec<RawBound>> {
    let mut bounds = Vec::new();
    collect(expr, &mut bounds)?;
    let first = bounds.first()?.column.clone();
    bounds.iter().all(|b| b.column == first).then_some(bounds)
}

fn collect(expr: &Expr, bounds: &mut Vec<RawBound>) -> Option<()> {
    match expr {
        Expr::Nested(inner) => collect(inner, bounds),
        Expr::BinaryOp { left, op: BinaryOperator::And, right } => {
            collect(left, bounds)?;
            collect(right, bounds)
        }
        Expr::Between { expr, negated: false, low, high } => {
            let column = column(expr)?;
            let (low, high) = (number(low)?, number(high)?);
            bounds.push(RawBound {
                column: column.clone(),
                side: BoundSide::AtLeast,
                strict: false,
                limit: low,
            });
            bounds.push(RawBound { column, side: BoundSide::AtMost, strict: false, limit: high });
            Some(())
        }
        Expr::BinaryOp { left, op, right } => {
            let (side, strict) = match op {
                BinaryOperator::GtEq => (BoundSide::AtLeast, false),
                BinaryOperator::Gt => (BoundSide::AtLeast, true),
                BinaryOperator::LtEq => (BoundSide::AtMost, false),
                BinaryOperator::Lt => (BoundSide::AtMost, true),
                _ => return None,
            };
            let (column, side, limit) = match (column(left), number(right)) {
                (Some(column), Some(limit)) => (column, side, limit),
                _ => (column(right)?, opposite(side), number(left)?),
            };
            bounds.push(RawBound { column, side, strict, limit });
            Some(())
        }
        _ => None,
    }
}

fn opposite(side: BoundSide) -> BoundSide {
    match side {
        BoundSide::AtLeast => BoundSide::AtMost,
        BoundSide::AtMost => BoundSide::AtLeast,
    }
}

fn column(expr: &Expr) -> Option<String> {
    match expr {
        Expr::Identifier(i) => Some(types::ident(i)),
        Expr::CompoundIdentifier(parts) => parts.last().map(types::ident),
        Expr::Nested(inner) => column(inner),
        _ => None,
    }
}

fn number(expr: &Expr) -> Option<String> {
    match expr {
        Expr::Value(v) => match &v.value {
            Value::Number(n, _) => Some(n.replace('_', "")),
            _ => None,
        },
        Expr::UnaryOp { op: UnaryOperator::Minus, expr } => {
            let inner = number(expr)?;
            Some(match inner.strip_prefix('-') {
                Some(positive) => positive.to_string(),
                None => format!("-{inner}"),
            })
        }
        Expr::UnaryOp { op: UnaryOperator::Plus, expr } | Expr::Nested(expr) => number(expr),
        Expr::Cast { expr, .. } => number(expr),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn show(text: &str) -> String {
        let expr = super::super::parse_expression(text).unwrap();
        match bounds_of(&expr) {
            None => "no bound".into(),
            Some(bounds) => bounds
                .iter()
                .map(|b| {
                    format!(
                        "{} {:?}{} {}",
                        b.column,
                        b.side,
                        if b.strict { " strictly" } else { "" },
                        b.limit
                    )
                })
                .collect::<Vec<_>>()
                .join("; "),
        }
    }

    #[test]
    fn bounds_in_every_form() {
        assert_eq!(show("x >= 0"), "x AtLeast 0");
        assert_eq!(show("(X > -1)"), "x AtLeast strictly -1");
        assert_eq!(show("0 <= x"), "x AtLeast 0");
        assert_eq!(show("10 > x"), "x AtMost strictly 10");
        assert_eq!(show("x BETWEEN 1 AND 9"), "x AtLeast 1; x AtMost 9");
        assert_eq!(show("x >= 0 AND (x <= 9.5)"), "x AtLeast 0; x AtMost 9.5");
    }

    #[test]
    fn what_is_no_bound() {
        for text in [
            "x >= 0 AND y >= 0",
            "x >= y",
            "x <> 0",
            "x >= 0 OR x < -5",
            "abs(x) >= 0",
            "x NOT BETWEEN 1 AND 2",
        ] {
            assert_eq!(show(text), "no bound", "{text}");
        }
    }
}
