//! Tables of text, aligned: the first column to the left, the others to the right.

/// A table that grows row by row.
#[derive(Clone, Debug, Default)]
pub struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    /// With these headings.
    pub fn new(headings: &[&str]) -> Table {
        Table { rows: vec![headings.iter().map(|h| (*h).to_owned()).collect()] }
    }

    /// Adds a row.
    pub fn row(&mut self, cells: Vec<String>) {
        self.rows.push(cells);
    }

    /// The text, each line indented by two spaces.
    pub fn render(&self) -> String {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let width = |c: usize| {
            self.rows.iter().filter_map(|row| row.get(c)).map(|cell| cell.chars().count()).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..columns).map(width).collect();
        let mut out = String::new();
        for (i, row) in self.rows.iter().enumerate() {
            let mut line = String::from(" ");
            for (c, cell) in row.iter().enumerate() {
                let fill = " ".repeat(widths[c] - cell.chars().count());
                let (before, after) = if c == 0 { ("", fill.as_str()) } else { (fill.as_str(), "") };
                line.push_str(&format!(" {before}{cell}{after} "));
            }
            out.push_str(line.trim_end());
            out.push('\n');
            if i == 0 {
                let length = widths.iter().map(|w| w + 2).sum::<usize>().saturating_sub(2);
                out.push_str(&format!("  {}\n", "─".repeat(length)));
            }
        }
        out
    }
}

/// With a comma at each thousand.
pub fn thousands(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned() {
        let mut table = Table::new(&["site", "n"]);
        table.row(vec!["us-east".into(), "1".into()]);
        table.row(vec!["é".into(), "1,000".into()]);
        let expected = "  site         n\n  ──────────────\n  us-east      1\n  é        1,000\n";
        assert_eq!(table.render(), expected);
    }

    #[test]
    fn thousands_have_commas() {
        assert_eq!([0, 999, 1000, 1_234_567].map(thousands), ["0", "999", "1,000", "1,234,567"]);
    }
}
