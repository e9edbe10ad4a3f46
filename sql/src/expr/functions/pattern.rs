//! LIKE and regular expressions.
//!
//! LIKE is matched by hand, with one point of return per `%`, so it is linear in practice and never exponential. Regular
//! expressions go to the `regex` crate, which has neither back references nor look-around: such patterns are refused with
//! 2201B. Compiled ones are kept per thread, since a pattern is mostly a constant met at every row.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::Arc;

use gemini_shadow_ops::Value;
use regex::{Regex, RegexBuilder};

use super::super::function::{Arg, Call, Function, pure};
use super::mistyped;
use crate::error::{Result, SqlError};
use crate::sqlstate;

use Arg::{Bool, Bpchar, Int4, Name, Text, TextArray};

pub(in super::super) static OPERATORS: &[Function] = &[
    // Bound to ExprKind::Like; listed for their types.
    pure("~~", &[Text, Text], Bool, like_operator),
    pure("~~", &[Bpchar, Text], Bool, like_operator),
    pure("~~", &[Name, Text], Bool, like_operator),
    pure("!~~", &[Text, Text], Bool, like_operator),
    pure("!~~", &[Bpchar, Text], Bool, like_operator),
    pure("!~~", &[Name, Text], Bool, like_operator),
    pure("~~*", &[Text, Text], Bool, like_operator),
    pure("~~*", &[Bpchar, Text], Bool, like_operator),
    pure("~~*", &[Name, Text], Bool, like_operator),
    pure("!~~*", &[Text, Text], Bool, like_operator),
    pure("!~~*", &[Bpchar, Text], Bool, like_operator),
    pure("!~~*", &[Name, Text], Bool, like_operator),
    pure("~", &[Text, Text], Bool, regex_operator),
    pure("~", &[Name, Text], Bool, regex_operator),
    pure("~*", &[Text, Text], Bool, regex_operator),
    pure("~*", &[Name, Text], Bool, regex_operator),
    pure("!~", &[Text, Text], Bool, regex_operator),
    pure("!~", &[Name, Text], Bool, regex_operator),
    pure("!~*", &[Text, Text], Bool, regex_operator),
    pure("!~*", &[Name, Text], Bool, regex_operator),
];

pub(super) static FUNCTIONS: &[Function] = &[
    pure("regexp_replace", &[Text, Text, Text], Text, regexp_replace),
    pure("regexp_replace", &[Text, Text, Text, Text], Text, regexp_replace),
    pure("regexp_match", &[Text, Text], TextArray, regexp_match),
    pure("regexp_match", &[Text, Text, Text], TextArray, regexp_match),
    pure("regexp_like", &[Text, Text], Bool, regexp_like),
    pure("regexp_like", &[Text, Text, Text], Bool, regexp_like),
    pure("regexp_count", &[Text, Text], Int4, regexp_count),
    pure("regexp_split_to_array", &[Text, Text], TextArray, regexp_split),
    pure("regexp_split_to_array", &[Text, Text, Text], TextArray, regexp_split),
    pure("substring", &[Text, Text], Text, substring_pattern),
];

fn like_operator(args: &[Value], call: &Call<'_>) -> Result<Value> {
    let (text, pattern) = texts(args, call)?;
    let matched = like(text, pattern, "\\", call.name.ends_with('*'))?;
    Ok(Value::Bool(matched != call.name.starts_with('!')))
}

fn texts<'v>(args: &'v [Value], call: &Call<'_>) -> Result<(&'v str, &'v str)> {
    match (&args[0], &args[1]) {
        (Value::Text(a), Value::Text(b)) => Ok((a, b)),
        _ => Err(mistyped(call)),
    }
}

enum Token {
    Char(char),
    One,
    Many,
    /// An escape character at the pattern's end: an error if a text gets that far.
    Dangling,
}

fn like_tokens(pattern: &str, escape: Option<char>, insensitive: bool) -> Vec<Token> {
    let mut tokens = Vec::with_capacity(pattern.len());
    let mut chars = pattern.chars();
    while let Some(c) = chars.next() {
        if Some(c) == escape {
            let Some(next) = chars.next() else {
                tokens.push(Token::Dangling);
                break;
            };
            fold(next, insensitive, &mut |c| tokens.push(Token::Char(c)));
            continue;
        }
        match c {
            '%' => tokens.push(Token::Many),
            '_' => tokens.push(Token::One),
            c => fold(c, insensitive, &mut |c| tokens.push(Token::Char(c))),
        }
    }
    tokens
}

fn fold(c: char, insensitive: bool, f: &mut dyn FnMut(char)) {
    if insensitive { c.to_lowercase().for_each(f) } else { f(c) }
}

/// LIKE (ILIKE if insensitive); an empty escape is none.
pub fn like(text: &str, pattern: &str, escape: &str, insensitive: bool) -> Result<bool> {
    let mut chars = escape.chars();
    let (escape, more) = (chars.next(), chars.next());
    if more.is_some() {
        return Err(SqlError::new(sqlstate::INVALID_ESCAPE_SEQUENCE, "invalid escape string")
            .hint("Escape string must be empty or one character."));
    }
    // The plain cases need no tokens.
    let plain = |s: &str| !insensitive && !s.contains(['%', '_']) && escape.is_none_or(|e| !s.contains(e));
    if plain(pattern) {
        return Ok(text == pattern);
    }
    if let Some(prefix) = pattern.strip_suffix('%').filter(|p| plain(p)) {
        return Ok(text.starts_with(prefix));
    }
    if let Some(inner) = pattern.strip_prefix('%').and_then(|p| p.strip_suffix('%')).filter(|p| plain(p)) {
        return Ok(text.contains(inner));
    }
    let tokens = like_tokens(pattern, escape, insensitive);
    let mut folded = Vec::with_capacity(text.len());
    text.chars().for_each(|c| fold(c, insensitive, &mut |c| folded.push(c)));
    matches(&folded, &tokens)
}

fn matches(text: &[char], tokens: &[Token]) -> Result<bool> {
    let (mut t, mut p) = (0, 0);
    let mut retry: Option<(usize, usize)> = None; // where the last % takes one more character
    while t < text.len() {
        match tokens.get(p) {
            Some(Token::Many) => {
                p += 1;
                retry = Some((t, p));
                continue;
            }
            Some(Token::One) => {
                t += 1;
                p += 1;
                continue;
            }
            Some(Token::Char(c)) if *c == text[t] => {
                t += 1;
                p += 1;
                continue;
            }
            Some(Token::Dangling) => {
                return Err(SqlError::new(
                    sqlstate::INVALID_ESCAPE_SEQUENCE,
                    "LIKE pattern must not end with escape character",
                ));
            }
            _ => {}
        }
        let Some((from, after)) = retry else { return Ok(false) };
        retry = Some((from + 1, after));
        t = from + 1;
        p = after;
    }
    Ok(tokens[p..].iter().all(|t| matches!(t, Token::Many)))
}

/// A compiled regular expression.
fn compiled(pattern: &str, insensitive: bool, flags: &str) -> Result<Arc<Regex>> {
    const KEPT: usize = 64;
    thread_local! {
        static CACHE: RefCell<BTreeMap<String, Arc<Regex>>> = const { RefCell::new(BTreeMap::new()) };
    }
    let key = format!("{}{flags}/{pattern}", u8::from(insensitive));
    if let Some(found) = CACHE.with(|c| c.borrow().get(&key).cloned()) {
        return Ok(found);
    }
    let (pattern, literal) = match pattern.strip_prefix("***=") {
        Some(rest) => (regex::escape(rest), true),
        None => (pattern.strip_prefix("***:").unwrap_or(pattern).to_owned(), flags.contains('q')),
    };
    let pattern = if literal && flags.contains('q') { regex::escape(&pattern) } else { translate(&pattern) };
    let newline = flags.contains(['n', 'm']);
    let built = RegexBuilder::new(&pattern)
        .case_insensitive(insensitive || flags.contains('i'))
        .ignore_whitespace(flags.contains('x'))
        .multi_line(newline || flags.contains('w'))
        .dot_matches_new_line(!newline && !flags.contains('p'))
        .size_limit(4 << 20)
        .build()
        .map_err(|e| {
            let reason = e.to_string();
            let last = reason.lines().last().unwrap_or("").trim_start_matches("error: ").to_owned();
            SqlError::new(sqlstate::INVALID_REGULAR_EXPRESSION, format!("invalid regular expression: {last}"))
        })?;
    let built = Arc::new(built);
    CACHE.with(|c| {
        let mut cache = c.borrow_mut();
        if cache.len() >= KEPT {
            cache.clear();
        }
        cache.insert(key, built.clone());
    });
    Ok(built)
}

/// PostgreSQL's escapes for word boundaries, as `regex` writes them.
fn translate(pattern: &str) -> String {
    let mut out = String::with_capacity(pattern.len());
    let mut chars = pattern.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            out.push(c);
            continue;
        }
        match chars.next() {
            Some('y') => out.push_str("\\b"),
            Some('Y') => out.push_str("\\B"),
            Some('m') => out.push_str("\\b{start}"),
            Some('M') => out.push_str("\\b{end}"),
            Some('Z') => out.push_str("\\z"),
            Some(other) => {
                out.push('\\');
                out.push(other);
            }
            None => out.push('\\'),
        }
    }
    out.replace("[[:<:]]", "\\b{start}").replace("[[:>:]]", "\\b{end}")
}

fn check_flags(flags: &str, allowed: &str) -> Result<()> {
    match flags.chars().find(|c| !allowed.contains(*c)) {
        None => Ok(()),
        Some(c) => Err(SqlError::new(
            sqlstate::INVALID_PARAMETER_VALUE,
            format!("invalid regular expression option: \"{c}\""),
        )),
    }
}

const FLAGS: &str = "cimnpqwxstb";

fn regex_operator(args: &[Value], call: &Call<'_>) -> Result<Value> {
    let (text, pattern) = texts(args, call)?;
    let matched = compiled(pattern, call.name.ends_with('*'), "")?.is_match(text);
    Ok(Value::Bool(matched != call.name.starts_with('!')))
}

fn flags<'v>(args: &'v [Value], at: usize, allowed: &str) -> Result<&'v str> {
    let flags = args.get(at).and_then(Value::as_text).unwrap_or("");
    check_flags(flags, allowed)?;
    Ok(flags)
}

fn regexp_replace(args: &[Value], call: &Call<'_>) -> Result<Value> {
    let (text, pattern) = texts(args, call)?;
    let replacement = args[2].as_text().ok_or_else(|| mistyped(call))?;
    let flags = flags(args, 3, &format!("{FLAGS}g"))?;
    let regex = compiled(pattern, false, &flags.replace('g', ""))?;
    let limit = if flags.contains('g') { 0 } else { 1 };
    let replaced = regex.replacen(text, limit, |captures: &regex::Captures<'_>| {
        let mut out = String::new();
        let mut chars = replacement.chars();
        while let Some(c) = chars.next() {
            if c != '\\' {
                out.push(c);
                continue;
            }
            match chars.next() {
                Some('&') => out.push_str(&captures[0]),
                Some(d @ '1'..='9') => {
                    let group = d as usize - '0' as usize;
                    out.push_str(captures.get(group).map_or("", |m| m.as_str()));
                }
                Some('\\') => out.push('\\'),
                Some(other) => {
                    out.push('\\');
                    out.push(other);
                }
                None => out.push('\\'),
            }
        }
        out
    });
    Ok(Value::text(replaced.as_ref()))
}

/// The groups of a match, or the whole match if the pattern has none.
fn groups(regex: &Regex, text: &str) -> Option<Vec<Value>> {
    let captures = regex.captures(text)?;
    let value = |i: usize| captures.get(i).map_or(Value::Null, |m| Value::text(m.as_str()));
    Some(if captures.len() == 1 { vec![value(0)] } else { (1..captures.len()).map(value).collect() })
}

fn regexp_match(args: &[Value], call: &Call<'_>) -> Result<Value> {
    let (text, pattern) = texts(args, call)?;
    let regex = compiled(pattern, false, flags(args, 2, FLAGS)?)?;
    Ok(groups(&regex, text).map_or(Value::Null, |list| Value::Array(Arc::new(list))))
}

fn regexp_like(args: &[Value], call: &Call<'_>) -> Result<Value> {
    let (text, pattern) = texts(args, call)?;
    Ok(Value::Bool(compiled(pattern, false, flags(args, 2, FLAGS)?)?.is_match(text)))
}

fn regexp_count(args: &[Value], call: &Call<'_>) -> Result<Value> {
    let (text, pattern) = texts(args, call)?;
    Ok(Value::Int4(compiled(pattern, false, "")?.find_iter(text).count() as i32))
}

fn regexp_split(args: &[Value], call: &Call<'_>) -> Result<Value> {
    let (text, pattern) = texts(args, call)?;
    let regex = compiled(pattern, false, flags(args, 2, FLAGS)?)?;
    let mut parts = Vec::new();
    let mut start = 0;
    for found in regex.find_iter(text) {
        // Empty matches split between characters, not at the ends.
        if found.is_empty() && (found.start() == start || found.start() >= text.len()) {
            continue;
        }
        parts.push(Value::text(&text[start..found.start()]));
        start = found.end();
    }
    parts.push(Value::text(&text[start..]));
    Ok(Value::Array(Arc::new(parts)))
}

/// substring(text FROM pattern): the first group, or the match.
fn substring_pattern(args: &[Value], call: &Call<'_>) -> Result<Value> {
    let (text, pattern) = texts(args, call)?;
    let regex = compiled(pattern, false, "")?;
    Ok(groups(&regex, text).and_then(|list| list.into_iter().next()).unwrap_or(Value::Null))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn like_matches() {
        for (text, pattern, want) in [
            ("abc", "abc", true),
            ("abc", "a%", true),
            ("abc", "%c", true),
            ("abc", "_b_", true),
            ("abc", "_b", false),
            ("", "%", true),
            ("", "_", false),
            ("a%c", "a\\%c", true),
            ("abc", "a\\%c", false),
            ("aXbXc", "a%b%c", true),
            ("aaab", "%ab", true),
            ("aaa", "%a%a%a%a%", false),
            ("éé", "__", true),
            ("x", "%%", true),
        ] {
            assert_eq!(like(text, pattern, "\\", false).unwrap(), want, "{text} LIKE {pattern}");
        }
        assert!(like("ABC", "a_C", "\\", true).unwrap());
        assert!(like("a%", "a!%", "!", false).unwrap());
        assert!(like("a\\b", "a\\b", "", false).unwrap());
        assert_eq!(like("ab", "a\\", "\\", false).unwrap_err().sqlstate, sqlstate::INVALID_ESCAPE_SEQUENCE);
        assert_eq!(like("a", "a", "ab", false).unwrap_err().sqlstate, sqlstate::INVALID_ESCAPE_SEQUENCE);
    }

    #[test]
    fn like_is_not_exponential() {
        let text = "a".repeat(2000);
        assert!(!like(&text, &format!("{}b", "%a".repeat(40)), "\\", false).unwrap());
    }
}
