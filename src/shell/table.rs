//! Prints rows as psql does: a header, a rule, aligned columns, a count.

use std::fmt::Write;

/// A result as text.
pub fn render(columns: &[String], rows: &[Vec<Option<String>>]) -> String {
    let mut widths: Vec<usize> = columns.iter().map(|name| width(name)).collect();
    let mut numeric = vec![!rows.is_empty(); columns.len()];
    for row in rows {
        for (i, cell) in row.iter().enumerate().take(widths.len()) {
            let text = cell.as_deref().unwrap_or("");
            widths[i] = widths[i].max(text.lines().map(width).max().unwrap_or(0));
            numeric[i] &= cell.as_deref().is_none_or(is_number);
        }
    }
    let mut out = String::new();
    let header: Vec<String> = columns.iter().zip(&widths).map(|(name, w)| centre(name, *w)).collect();
    // Writing to a String cannot fail.
    let _ = writeln!(out, " {} ", header.join(" | "));
    let rule: Vec<String> = widths.iter().map(|w| "-".repeat(w + 2)).collect();
    let _ = writeln!(out, "{}", rule.join("+"));
    for row in rows {
        let cells: Vec<Vec<&str>> =
            row.iter().map(|cell| cell.as_deref().unwrap_or("").split('\n').collect()).collect();
        let height = cells.iter().map(Vec::len).max().unwrap_or(1);
        for line in 0..height {
            let parts: Vec<String> = widths
                .iter()
                .enumerate()
                .map(|(i, w)| {
                    let text = cells.get(i).and_then(|cell| cell.get(line)).copied().unwrap_or("");
                    pad(text, *w, numeric[i])
                })
                .collect();
            let _ = writeln!(out, " {}", parts.join(" | ").trim_end());
        }
    }
    let _ = writeln!(out, "({} row{})", rows.len(), if rows.len() == 1 { "" } else { "s" });
    out
}

fn width(text: &str) -> usize {
    text.chars().count()
}

fn is_number(text: &str) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text);
    digits.starts_with(|c: char| c.is_ascii_digit()) && text.parse::<f64>().is_ok()
}

fn pad(text: &str, to: usize, right: bool) -> String {
    let blank = " ".repeat(to.saturating_sub(width(text)));
    if right { format!("{blank}{text}") } else { format!("{text}{blank}") }
}

fn centre(text: &str, to: usize) -> String {
    let blank = to.saturating_sub(width(text));
    format!("{}{text}{}", " ".repeat(blank / 2), " ".repeat(blank - blank / 2))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_look_like_psqls() {
        let columns = vec!["id".to_owned(), "name".to_owned()];
        let rows =
            vec![vec![Some("1".to_owned()), Some("Ada".to_owned())], vec![Some("10".to_owned()), None]];
        let expected = " id | name \n----+------\n  1 | Ada\n 10 |\n(2 rows)\n";
        assert_eq!(render(&columns, &rows), expected);
        assert_eq!(render(&columns, &[]), " id | name \n----+------\n(0 rows)\n");
    }
}
