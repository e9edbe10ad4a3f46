//! Tokens with their places; limits; sqlparser's errors in PostgreSQL's words.

use std::ops::Range;

use sqlparser::dialect::PostgreSqlDialect;
use sqlparser::keywords::Keyword;
use sqlparser::parser::{Parser, ParserError};
use sqlparser::tokenizer::{Location, Token, TokenWithSpan, Tokenizer};

use crate::error::SqlError;
use crate::sqlstate;

pub(super) static DIALECT: PostgreSqlDialect = PostgreSqlDialect {};

/// What a text may be.
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs)]
pub struct Limits {
    /// Bytes of a text.
    pub text: usize,
    /// Parentheses, brackets and CASEs within each other.
    pub nesting: usize,
    /// Operators in a row (`a OR b OR c …`): a tree as deep as the chain is long.
    pub chain: usize,
    /// Depth of sqlparser's own recursion.
    pub recursion: usize,
}

/// The limits in force. A list (`VALUES (…), (…)`, `IN (…)`) may be as long as the text.
pub const LIMITS: Limits = Limits { text: 16 << 20, nesting: 64, chain: 500, recursion: 160 };

/// One statement's tokens, without the semicolon and without white space.
pub struct Piece {
    /// The tokens.
    pub tokens: Vec<TokenWithSpan>,
    /// Bytes in the text.
    pub range: Range<usize>,
}

/// 42601.
pub fn syntax(message: impl Into<String>) -> SqlError {
    SqlError::new(sqlstate::SYNTAX_ERROR, message)
}

/// Sets the place if it is known.
pub fn at(error: SqlError, position: Option<u32>) -> SqlError {
    match position {
        Some(position) => error.at(position),
        None => error,
    }
}

/// Cuts a text into statements; empty ones are left out.
pub fn pieces(text: &str) -> Result<Vec<Piece>, SqlError> {
    if text.len() > LIMITS.text {
        return Err(SqlError::new(
            sqlstate::PROGRAM_LIMIT_EXCEEDED,
            format!("the statement has {} bytes, more than the limit of {}", text.len(), LIMITS.text),
        )
        .hint("Load large data with COPY … FROM STDIN, or split the text."));
    }
    if let Some(at) = text.find('\0') {
        return Err(syntax("the statement holds a zero byte").at(char_position(text, at)));
    }
    let tokens = Tokenizer::new(&DIALECT, text).tokenize_with_location().map_err(|e| {
        let position = position(text, e.location);
        at(syntax(e.message), position)
    })?;
    let mut offsets = Offsets::new(text);
    let mut pieces = Vec::new();
    let mut current: Vec<TokenWithSpan> = Vec::new();
    let mut depth = 0usize;
    for token in tokens {
        match &token.token {
            Token::Whitespace(_) => continue,
            Token::LParen => depth += 1,
            Token::RParen => depth = depth.saturating_sub(1),
            Token::SemiColon if depth == 0 => {
                finish(text, &mut offsets, &mut current, &mut pieces)?;
                continue;
            }
            _ => {}
        }
        current.push(token);
    }
    finish(text, &mut offsets, &mut current, &mut pieces)?;
    Ok(pieces)
}

fn finish(
    text: &str,
    offsets: &mut Offsets<'_>,
    current: &mut Vec<TokenWithSpan>,
    pieces: &mut Vec<Piece>,
) -> Result<(), SqlError> {
    let tokens = std::mem::take(current);
    let (Some(first), Some(last)) = (tokens.first(), tokens.last()) else { return Ok(()) };
    check_shape(text, &tokens)?;
    let start = offsets.byte(first.span.start);
    let end = offsets.byte(last.span.end).max(start);
    pieces.push(Piece { range: start..end, tokens });
    Ok(())
}

/// Refuses what would make trees deeper than the recursive parts can walk.
fn check_shape(text: &str, tokens: &[TokenWithSpan]) -> Result<(), SqlError> {
    // One counter per open parenthesis (or CASE): the operators since the last list separator or clause.
    let mut chains = vec![0usize];
    let mut unions = 0usize;
    for token in tokens {
        match &token.token {
            Token::LParen | Token::LBracket => chains.push(0),
            Token::RParen | Token::RBracket if chains.len() > 1 => {
                chains.pop();
            }
            Token::Comma => set_top(&mut chains, 0),
            Token::Word(word) => match word.keyword {
                Keyword::CASE if word.quote_style.is_none() => chains.push(0),
                Keyword::END if chains.len() > 1 => {
                    chains.pop();
                }
                Keyword::UNION | Keyword::INTERSECT | Keyword::EXCEPT => {
                    unions += 1;
                    set_top(&mut chains, 0);
                }
                Keyword::SELECT | Keyword::FROM | Keyword::WHERE | Keyword::HAVING | Keyword::SET => {
                    set_top(&mut chains, 0);
                }
                Keyword::WHEN | Keyword::THEN | Keyword::ELSE | Keyword::ON | Keyword::VALUES => {
                    set_top(&mut chains, 0);
                }
                Keyword::AND | Keyword::OR | Keyword::NOT | Keyword::IS | Keyword::LIKE | Keyword::ILIKE => {
                    bump(&mut chains);
                }
                Keyword::IN | Keyword::BETWEEN | Keyword::COLLATE | Keyword::AT | Keyword::JOIN => {
                    bump(&mut chains)
                }
                _ => {}
            },
            Token::Number(..) | Token::SingleQuotedString(_) | Token::Placeholder(_) | Token::Period => {}
            Token::EscapedStringLiteral(_) | Token::DollarQuotedString(_) | Token::EOF => {}
            _ => bump(&mut chains),
        }
        let chain = chains.last().copied().unwrap_or(0);
        if chain > LIMITS.chain || unions > LIMITS.chain || chains.len() > LIMITS.nesting {
            let error = SqlError::new(sqlstate::STATEMENT_TOO_COMPLEX, "the statement is too complex")
                .detail(format!(
                    "At most {} parentheses within each other and {} operators in a row.",
                    LIMITS.nesting, LIMITS.chain
                ))
                .hint("Write a long OR of equalities as IN (…).");
            return Err(at(error, position(text, token.span.start)));
        }
    }
    Ok(())
}

fn set_top(chains: &mut [usize], value: usize) {
    if let Some(top) = chains.last_mut() {
        *top = value;
    }
}

fn bump(chains: &mut [usize]) {
    if let Some(top) = chains.last_mut() {
        *top += 1;
    }
}

/// A parser over tokens.
pub fn parser(tokens: Vec<TokenWithSpan>) -> Parser<'static> {
    Parser::new(&DIALECT).with_recursion_limit(LIMITS.recursion).with_tokens_with_locations(tokens)
}

/// Refuses what is left.
pub fn end(parser: &Parser<'_>, text: &str) -> Result<(), SqlError> {
    let token = parser.peek_token_ref();
    if token.token == Token::EOF { Ok(()) } else { Err(near(text, token)) }
}

/// `syntax error at or near "…"`.
pub fn near(text: &str, token: &TokenWithSpan) -> SqlError {
    match &token.token {
        Token::EOF => syntax("syntax error at end of input").at(char_position(text, text.len())),
        _ => {
            let mut offsets = Offsets::new(text);
            let from = offsets.byte(token.span.start);
            let to = offsets.byte(token.span.end).max(from);
            let word: String = text.get(from..to).unwrap_or("").chars().take(64).collect();
            syntax(format!("syntax error at or near \"{word}\"")).at(char_position(text, from))
        }
    }
}

/// sqlparser's error with the place it names.
pub fn parser_error(text: &str, error: &ParserError) -> SqlError {
    match error {
        ParserError::RecursionLimitExceeded => {
            SqlError::new(sqlstate::STATEMENT_TOO_COMPLEX, "the statement is nested too deeply")
        }
        ParserError::TokenizerError(message) | ParserError::ParserError(message) => {
            let (message, location) = split_location(message);
            let place = location.and_then(|l| position(text, l));
            match message.split_once(", found: ") {
                // Nothing else stands before a `)` and is called so: a frame's last clause.
                Some(("Expected: )", found)) if found.eq_ignore_ascii_case("exclude") => at(
                    SqlError::unsupported(
                        "EXCLUDE in a window's frame",
                        "Subtract the row's own value, or use two frames.",
                    ),
                    place,
                ),
                Some((expected, found)) => {
                    let found: String = found.chars().take(64).collect();
                    let headline = if found == "EOF" {
                        "syntax error at end of input".to_string()
                    } else {
                        format!("syntax error at or near \"{found}\"")
                    };
                    let end = char_position(text, text.len());
                    let place = if found == "EOF" { Some(end) } else { place };
                    at(syntax(headline).detail(format!("{expected}.")), place)
                }
                // The parser's own words for an unexpected token spell out its insides.
                None if message.starts_with("No infix parser") => at(syntax(unexpected(text, place)), place),
                None => at(syntax(format!("syntax error: {message}")), place),
            }
        }
    }
}

/// A headline from the word at a place.
fn unexpected(text: &str, place: Option<u32>) -> String {
    let skipped = place.and_then(|p| usize::try_from(p).ok()).map_or(usize::MAX, |p| p.saturating_sub(1));
    let word: String = text.chars().skip(skipped).take_while(|c| !c.is_whitespace()).take(64).collect();
    if word.is_empty() { "syntax error".to_owned() } else { format!("syntax error at or near \"{word}\"") }
}

/// Takes the " at Line: l, Column: c" off the end.
fn split_location(message: &str) -> (&str, Option<Location>) {
    let Some((head, tail)) = message.rsplit_once(" at Line: ") else { return (message, None) };
    let Some((line, column)) = tail.split_once(", Column: ") else { return (message, None) };
    match (line.trim().parse(), column.trim().parse()) {
        (Ok(line), Ok(column)) => (head, Some(Location { line, column })),
        _ => (message, None),
    }
}

/// A place as PostgreSQL counts it: characters from 1. None for an empty place.
pub fn position(text: &str, location: Location) -> Option<u32> {
    if location.line == 0 {
        return None;
    }
    let at = Offsets::new(text).byte(location);
    Some(char_position(text, at))
}

/// The 1-based character at a byte.
pub fn char_position(text: &str, byte: usize) -> u32 {
    let before = text.get(..byte.min(text.len())).unwrap_or(text);
    u32::try_from(before.chars().count() + 1).unwrap_or(u32::MAX)
}

/// Walks a text once to turn (line, column) into bytes; places asked for in order cost one pass.
struct Offsets<'a> {
    text: &'a str,
    line: u64,
    start: usize,
}

impl<'a> Offsets<'a> {
    fn new(text: &'a str) -> Offsets<'a> {
        Offsets { text, line: 1, start: 0 }
    }

    fn byte(&mut self, location: Location) -> usize {
        if location.line < self.line {
            self.line = 1;
            self.start = 0;
        }
        while self.line < location.line {
            match self.text[self.start..].find('\n') {
                Some(n) => {
                    self.start += n + 1;
                    self.line += 1;
                }
                None => return self.text.len(),
            }
        }
        let columns = usize::try_from(location.column.saturating_sub(1)).unwrap_or(usize::MAX);
        self.text[self.start..]
            .char_indices()
            .nth(columns)
            .map_or(self.text.len(), |(offset, _)| self.start + offset)
    }
}

/// The byte at a place.
pub fn byte(text: &str, location: Location) -> usize {
    Offsets::new(text).byte(location)
}
