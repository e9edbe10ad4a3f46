//! A statement's shape: its text without its values, so that runs of one statement are counted together.

use sqlparser::tokenizer::{Token, Tokenizer};

use super::tokens::DIALECT;

/// The most characters of a shape.
const LONGEST: usize = 300;

/// The statement with `?` for each literal and parameter (a list of them is one), single blanks, and no comments; cut after
/// 300 characters. A text that is no SQL is itself.
pub fn shape(statement: &str) -> String {
    let tokens = Tokenizer::new(&DIALECT, statement).tokenize().unwrap_or_default();
    let mut out = String::new();
    for token in tokens {
        if out.len() > LONGEST {
            break;
        }
        match token {
            Token::Whitespace(_) if out.ends_with(' ') || out.is_empty() => {}
            Token::Whitespace(_) => out.push(' '),
            Token::SemiColon | Token::EOF => {}
            token if is_value(&token) => {
                let listed = out.ends_with("?, ") || out.ends_with("?,");
                if listed {
                    out.truncate(out.trim_end_matches([',', ' ']).len());
                } else {
                    out.push('?');
                }
            }
            token => out.push_str(&token.to_string()),
        }
    }
    let end = out.char_indices().nth(LONGEST).map_or(out.len(), |(at, _)| at);
    out.truncate(end);
    out.truncate(out.trim_end().len());
    out
}

fn is_value(token: &Token) -> bool {
    matches!(
        token,
        Token::Number(..)
            | Token::SingleQuotedString(_)
            | Token::DollarQuotedString(_)
            | Token::EscapedStringLiteral(_)
            | Token::NationalStringLiteral(_)
            | Token::HexStringLiteral(_)
            | Token::Placeholder(_)
    )
}

#[cfg(test)]
mod tests {
    use super::shape;

    #[test]
    fn values_go_and_the_rest_stays() {
        for (text, expected) in [
            ("UPDATE t  SET a = a - 1\n WHERE id = 42;", "UPDATE t SET a = a - ? WHERE id = ?"),
            ("INSERT INTO t VALUES (1, 'x', $2,now())", "INSERT INTO t VALUES (?,now())"),
            ("DELETE FROM \"T\" WHERE a IN ('a','b')", "DELETE FROM \"T\" WHERE a IN (?)"),
            ("CREATE TABLE t (a int)", "CREATE TABLE t (a int)"),
        ] {
            assert_eq!(shape(text), expected);
        }
        assert!(shape(&format!("SELECT {}", "abcdé + ".repeat(100))).len() <= 400);
    }
}
