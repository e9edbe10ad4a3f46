//! Cuts typed text into statements at semicolons that stand outside quotes, dollar quotes and comments.

/// The first whole statement in `text`: its length including the semicolon. `None` if it is not finished.
pub fn statement_end(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        let rest = &bytes[at..];
        at += match rest[0] {
            b';' => return Some(at + 1),
            quote @ (b'\'' | b'"') => 1 + past(&rest[1..], &[quote])?,
            b'-' if rest.starts_with(b"--") => match rest.iter().position(|byte| *byte == b'\n') {
                Some(end) => end + 1,
                None => return None,
            },
            b'/' if rest.starts_with(b"/*") => comment(rest)?,
            b'$' if !at.checked_sub(1).is_some_and(|before| word(bytes[before])) => match dollar_tag(rest) {
                Some(tag) => tag.len() + past(&rest[tag.len()..], tag)?,
                None => 1,
            },
            _ => 1,
        };
    }
    None
}

/// Whether nothing but blanks and comments is left.
pub fn is_blank(text: &str) -> bool {
    let mut rest = text.trim_start();
    loop {
        if rest.is_empty() {
            return true;
        }
        rest = if rest.starts_with("--") {
            rest.split_once('\n').map_or("", |(_, rest)| rest).trim_start()
        } else if rest.starts_with("/*") {
            match comment(rest.as_bytes()) {
                Some(end) => rest[end..].trim_start(),
                None => return false,
            }
        } else {
            return false;
        };
    }
}

fn past(text: &[u8], mark: &[u8]) -> Option<usize> {
    text.windows(mark.len()).position(|window| window == mark).map(|at| at + mark.len())
}

/// Comments nest.
fn comment(text: &[u8]) -> Option<usize> {
    let (mut depth, mut at) = (0usize, 0);
    while at + 1 < text.len() {
        match &text[at..at + 2] {
            b"/*" => depth += 1,
            b"*/" => depth -= 1,
            _ => {
                at += 1;
                continue;
            }
        }
        at += 2;
        if depth == 0 {
            return Some(at);
        }
    }
    None
}

fn word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'$' || byte >= 0x80
}

/// `$$` or `$tag$`; not a parameter like `$1`.
fn dollar_tag(text: &[u8]) -> Option<&[u8]> {
    let end = text[1..].iter().position(|byte| *byte == b'$')? + 2;
    let tag = &text[1..end - 1];
    let plain = tag.iter().all(|byte| word(*byte)) && !tag.first().is_some_and(u8::is_ascii_digit);
    plain.then_some(&text[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn semicolons_count_only_outside() {
        for whole in [
            "select 1;",
            "select ';';",
            "select 'it''s;';",
            "select \";\";",
            "-- ;\nselect 1;",
            "/* ; /* ; */ ; */ select 1;",
            "select $$;$$;",
            "select $a$ $b$ ; $a$;",
            "select a$1 , $1;",
            ";",
        ] {
            assert_eq!(statement_end(whole), Some(whole.len()), "{whole}");
            assert_eq!(statement_end(&whole[..whole.len() - 1]), None, "{whole}");
        }
        assert_eq!(statement_end("select 1; select 2;"), Some(9));
        assert_eq!(statement_end("select 'x;"), None);
        assert!(is_blank("  -- note\n /* x */ "));
        assert!(!is_blank(" select"));
    }
}
