//! The backslash commands: each is a query on the catalogue, so they show what any client would see.

/// A query per result to print, with its title.
pub fn queries(command: &str) -> Result<Vec<(String, String)>, String> {
    let mut words = command.split_whitespace();
    let name = words.next().unwrap_or("");
    let argument = words.next();
    if words.next().is_some() {
        return Err(format!("{name} takes one name at most"));
    }
    match (name, argument) {
        ("\\dt", None) => Ok(vec![("List of tables".into(), relations("'r'"))]),
        ("\\d", None) => Ok(vec![("List of relations".into(), relations("'r', 'S'"))]),
        ("\\di", None) => Ok(vec![("List of indexes".into(), INDEXES.into())]),
        ("\\l", None) => Ok(vec![(
            "List of databases".into(),
            "SELECT datname AS \"Name\" FROM pg_catalog.pg_database ORDER BY 1".into(),
        )]),
        ("\\d", Some(table)) => Ok(describe(table)),
        _ => Err(format!("there is no {command}; \\? lists what there is, and psql knows more")),
    }
}

fn relations(kinds: &str) -> String {
    format!(
        "SELECT n.nspname AS \"Schema\", c.relname AS \"Name\", \
         CASE c.relkind WHEN 'r' THEN 'table' WHEN 'S' THEN 'sequence' END AS \"Type\" \
         FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
         WHERE c.relkind IN ({kinds}) AND n.nspname <> 'pg_catalog' AND n.nspname <> 'information_schema' ORDER BY 1, 2"
    )
}

const INDEXES: &str = "SELECT n.nspname AS \"Schema\", c.relname AS \"Name\", t.relname AS \"Table\" \
    FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid \
    JOIN pg_catalog.pg_class t ON t.oid = i.indrelid JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
    WHERE n.nspname <> 'pg_catalog' ORDER BY 1, 2";

fn describe(table: &str) -> Vec<(String, String)> {
    // Folded like an unquoted name, quoted like a literal.
    let name = match table.strip_prefix('"').and_then(|inner| inner.strip_suffix('"')) {
        Some(inner) => inner.replace("\"\"", "\""),
        None => table.to_lowercase(),
    };
    let literal = format!("'{}'", name.replace('\'', "''"));
    let columns = format!(
        "SELECT a.attname AS \"Column\", pg_catalog.format_type(a.atttypid, a.atttypmod) AS \"Type\", \
         CASE WHEN a.attnotnull THEN 'not null' ELSE '' END AS \"Nullable\", \
         pg_catalog.pg_get_expr(d.adbin, d.adrelid) AS \"Default\" \
         FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_class c ON c.oid = a.attrelid \
         LEFT JOIN pg_catalog.pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum \
         WHERE c.relname = {literal} AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum"
    );
    let indexes = format!(
        "SELECT pg_catalog.pg_get_indexdef(i.indexrelid) AS \"Definition\" \
         FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class c ON c.oid = i.indrelid WHERE c.relname = {literal} ORDER BY 1"
    );
    let constraints = format!(
        "SELECT r.conname AS \"Name\", pg_catalog.pg_get_constraintdef(r.oid) AS \"Definition\" \
         FROM pg_catalog.pg_constraint r JOIN pg_catalog.pg_class c ON c.oid = r.conrelid WHERE c.relname = {literal} ORDER BY 1"
    );
    vec![(format!("Table {name}"), columns), ("Indexes".into(), indexes), ("Constraints".into(), constraints)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_folded_and_quoted() {
        let found = queries("\\d It'em").unwrap();
        assert!(found[0].1.contains("c.relname = 'it''em'"));
        let found = queries("\\d \"Item\"").unwrap();
        assert!(found[0].1.contains("c.relname = 'Item'"));
        assert!(queries("\\dx").is_err());
        assert!(queries("\\d a b").is_err());
    }
}
