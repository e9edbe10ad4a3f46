//! Settings: PostgreSQL's usual ones, so that clients start up, and Gemini's own.
//!
//! A setting that cannot change what Gemini does is accepted only at the value that says what Gemini does anyway, or if
//! it asks for nothing that could be missed (work_mem). Anything else is refused: 42704 if there is no such setting,
//! 22023 or 0A000 if there is no such value.
//!
//! A SET in a transaction that is rolled back is undone; SET LOCAL ends with its transaction.

use std::collections::BTreeMap;
use std::sync::Arc;

use gemini_shadow_ops::Frontier;

use crate::error::{Result, SqlError};
use crate::expr::TimeZone;
use crate::host::Durability;
use crate::sqlstate;
use crate::txn::{ColorSetting, Isolation};

/// What values a setting takes.
#[derive(Clone, Copy, Debug)]
enum Kind {
    Text,
    Bool,
    /// Within these bounds.
    Integer(i64, i64),
    /// Milliseconds, with or without a unit.
    Milliseconds,
    OneOf(&'static [&'static str]),
    /// Only these: anything else is not supported.
    Only(&'static [&'static str]),
    /// Bytes with a unit: asks for nothing that could be missed.
    Size,
    Zone,
    /// Empty, or as a site's `gemini.frontier` shows it.
    Frontier,
    DateStyle,
    ReadOnly,
}

struct Setting {
    name: &'static str,
    default: &'static str,
    kind: Kind,
    /// Told to the client when it changes.
    reported: bool,
    about: &'static str,
}

const fn setting(name: &'static str, default: &'static str, kind: Kind, about: &'static str) -> Setting {
    Setting { name, default, kind, reported: false, about }
}

const fn reported(name: &'static str, default: &'static str, kind: Kind, about: &'static str) -> Setting {
    Setting { name, default, kind, reported: true, about }
}

const ISOLATIONS: &[&str] = &["serializable", "repeatable read", "read committed", "read uncommitted"];

/// Sorted by name, ignoring case.
static SETTINGS: &[Setting] = &[
    reported("application_name", "", Kind::Text, "Name of the client application."),
    setting("bytea_output", "hex", Kind::Only(&["hex"]), "Form of bytea in text."),
    setting("check_function_bodies", "on", Kind::Bool, "There are no functions to check."),
    reported(
        "client_encoding",
        "UTF8",
        Kind::Only(&["utf8", "utf-8", "unicode", "'utf8'", "'utf-8'"]),
        "Encoding of text on the wire.",
    ),
    setting(
        "client_min_messages",
        "notice",
        Kind::OneOf(&["debug5", "debug4", "debug3", "debug2", "debug1", "log", "notice", "warning", "error"]),
        "Least grave message sent to the client.",
    ),
    reported("DateStyle", "ISO, MDY", Kind::DateStyle, "Form of dates in text."),
    setting("default_table_access_method", "heap", Kind::Only(&["heap"]), "There is one kind of table."),
    setting("default_tablespace", "", Kind::Only(&[""]), "A site has one data directory."),
    setting("default_transaction_deferrable", "off", Kind::Bool, "Nothing waits to begin."),
    setting(
        "default_transaction_isolation",
        "read committed",
        Kind::OneOf(ISOLATIONS),
        "Isolation of new transactions.",
    ),
    reported("default_transaction_read_only", "off", Kind::Bool, "Whether new transactions only read."),
    setting("default_with_oids", "off", Kind::Only(&["off", "false"]), "Rows have no oids."),
    setting("escape_string_warning", "on", Kind::Bool, "Strings are standard-conforming."),
    setting("extra_float_digits", "1", Kind::Integer(-15, 3), "Digits of floating-point numbers in text."),
    setting(
        "gemini.color",
        "auto",
        Kind::OneOf(&["auto", "red", "blue"]),
        "auto, red (force the order), or blue (an assertion).",
    ),
    setting(
        "gemini.durability",
        "local",
        Kind::OneOf(&["local", "quorum"]),
        "When a blue commit is acknowledged.",
    ),
    setting("gemini.frontier", "", Kind::ReadOnly, "What this site has applied."),
    setting(
        "gemini.last_color",
        "",
        Kind::ReadOnly,
        "Colour of this session's newest committed transaction that wrote.",
    ),
    setting(
        "gemini.max_staleness",
        "0",
        Kind::Milliseconds,
        "Statements wait until this site has all that the others had applied so long ago; 0: no matter.",
    ),
    setting("gemini.site", "", Kind::ReadOnly, "This site's name."),
    setting(
        "gemini.wait_for",
        "",
        Kind::Frontier,
        "Statements wait until this site has applied so much: gemini.frontier as another site showed it.",
    ),
    setting(
        "gemini.wait_timeout",
        "5000",
        Kind::Milliseconds,
        "How long gemini.wait_for and gemini.max_staleness wait before the statement fails.",
    ),
    setting(
        "idle_in_transaction_session_timeout",
        "0",
        Kind::Milliseconds,
        "Ends a session idle in a transaction.",
    ),
    setting("idle_session_timeout", "0", Kind::Milliseconds, "Ends a session idle outside a transaction."),
    reported("in_hot_standby", "off", Kind::ReadOnly, "Every site takes writes."),
    reported("integer_datetimes", "on", Kind::ReadOnly, "Times are 64-bit integers."),
    reported("IntervalStyle", "postgres", Kind::Only(&["postgres"]), "Form of intervals in text."),
    reported("is_superuser", "on", Kind::ReadOnly, "There are no roles yet."),
    setting("jit", "off", Kind::Bool, "Nothing is compiled."),
    setting("lc_collate", "C", Kind::ReadOnly, "Text is ordered by its bytes."),
    setting("lc_ctype", "C.UTF-8", Kind::ReadOnly, "Characters are Unicode."),
    setting("lc_messages", "C", Kind::Text, "Messages are English."),
    setting("lc_monetary", "C", Kind::Text, "There is no money type."),
    setting("lc_numeric", "C", Kind::Text, "Numbers use a point."),
    setting("lc_time", "C", Kind::Text, "Names of days and months are English."),
    setting("lock_timeout", "0", Kind::Milliseconds, "No statement waits for a lock."),
    setting("maintenance_work_mem", "64MB", Kind::Size, "Memory is bounded by the site."),
    setting("max_identifier_length", "63", Kind::ReadOnly, "Bytes in a name."),
    setting("max_index_keys", "32", Kind::ReadOnly, "Columns in an index."),
    setting("row_security", "on", Kind::Bool, "There are no row policies."),
    reported(
        "search_path",
        "\"$user\", public",
        Kind::Text,
        "Schemas in which unqualified names are looked up.",
    ),
    setting("server_encoding", "UTF8", Kind::ReadOnly, "Encoding of stored text."),
    reported(
        "server_version",
        crate::session::SERVER_VERSION,
        Kind::ReadOnly,
        "PostgreSQL's version that clients see.",
    ),
    setting("server_version_num", "150000", Kind::ReadOnly, "The same as a number."),
    reported("session_authorization", "", Kind::ReadOnly, "The user the client named."),
    reported(
        "standard_conforming_strings",
        "on",
        Kind::Only(&["on", "true", "1"]),
        "Backslashes are ordinary characters.",
    ),
    setting("statement_timeout", "0", Kind::Milliseconds, "Ends a statement that runs longer."),
    setting(
        "synchronize_seqscans",
        "off",
        Kind::Only(&["off", "false", "0"]),
        "Every scan of a table begins at its first row.",
    ),
    setting("synchronous_commit", "on", Kind::Only(&["on", "true"]), "See gemini.durability."),
    setting("temp_buffers", "8MB", Kind::Size, "There are no temporary tables."),
    reported("TimeZone", "UTC", Kind::Zone, "Zone in which timestamptz is read and printed."),
    setting("transaction_deferrable", "off", Kind::Bool, "Nothing waits to begin."),
    setting(
        "transaction_isolation",
        "read committed",
        Kind::OneOf(ISOLATIONS),
        "Isolation of the current transaction.",
    ),
    setting("transaction_read_only", "off", Kind::Bool, "Whether the current transaction only reads."),
    setting("work_mem", "4MB", Kind::Size, "Memory is bounded by the site."),
    setting("xmloption", "content", Kind::OneOf(&["content", "document"]), "There is no XML type."),
];

fn find(name: &str) -> Option<&'static Setting> {
    SETTINGS.iter().find(|s| s.name.eq_ignore_ascii_case(name))
}

fn unknown(name: &str) -> SqlError {
    let error =
        SqlError::new(sqlstate::UNDEFINED_OBJECT, format!("unrecognized configuration parameter \"{name}\""));
    if name.starts_with("gemini.") { error.hint("SHOW ALL lists every setting.") } else { error }
}

fn invalid(setting: &Setting, value: &str) -> SqlError {
    SqlError::new(
        sqlstate::INVALID_PARAMETER_VALUE,
        format!("invalid value for parameter \"{}\": \"{value}\"", setting.name),
    )
}

/// Every setting's name and description.
pub fn names() -> impl Iterator<Item = (&'static str, &'static str)> {
    SETTINGS.iter().map(|s| (s.name, s.about))
}

/// Values as they were, to go back to.
#[derive(Clone, Debug, Default)]
pub struct Saved {
    session: Arc<BTreeMap<&'static str, String>>,
    local: Arc<BTreeMap<&'static str, String>>,
}

/// A session's settings.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Values that differ from the defaults.
    session: Arc<BTreeMap<&'static str, String>>,
    /// SET LOCAL.
    local: Arc<BTreeMap<&'static str, String>>,
    /// What RESET goes back to: the start-up packet's values.
    start: Arc<BTreeMap<&'static str, String>>,
    /// Read from the values when they change, so that no statement looks them up by name.
    pub typed: Typed,
    /// Counts changes: whoever caches something of the settings compares it.
    pub changes: u64,
}

/// What statements need of the settings.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs)]
pub struct Typed {
    pub color: ColorSetting,
    pub durability: Durability,
    pub isolation: Isolation,
    pub read_only: bool,
    /// Microseconds.
    pub statement_timeout: Option<u64>,
    /// What a statement's snapshot must cover.
    pub wait_for: Option<Frontier>,
    /// Microseconds.
    pub max_staleness: Option<u64>,
    /// Microseconds; none: only statement_timeout ends the wait.
    pub wait_timeout: Option<u64>,
    pub idle_in_transaction_timeout: Option<u64>,
    pub idle_timeout: Option<u64>,
    pub extra_float_digits: i32,
    pub time_zone: TimeZone,
    pub search_path: Vec<String>,
    pub public_in_path: bool,
    /// Messages less grave than this are not sent: 0 all, 1 NOTICE and graver, 2 WARNING and graver, 3 only errors.
    pub quiet: u8,
}

impl Settings {
    /// The defaults for a user.
    pub fn new(user: &str) -> Settings {
        let mut values = BTreeMap::new();
        values.insert("session_authorization", user.to_string());
        let values = Arc::new(values);
        let mut settings = Settings {
            session: values.clone(),
            local: Arc::default(),
            start: values,
            typed: Typed {
                color: ColorSetting::Auto,
                durability: Durability::Local,
                isolation: Isolation::ReadCommitted,
                read_only: false,
                statement_timeout: None,
                wait_for: None,
                max_staleness: None,
                wait_timeout: None,
                idle_in_transaction_timeout: None,
                idle_timeout: None,
                extra_float_digits: 1,
                time_zone: TimeZone::default(),
                search_path: Vec::new(),
                public_in_path: true,
                quiet: 0,
            },
            changes: 0,
        };
        settings.read();
        settings
    }

    /// Makes the present values those that RESET goes back to.
    pub fn start_here(&mut self) {
        self.start = self.session.clone();
    }

    /// The value of a setting as SHOW prints it (read-only ones that depend on the site excepted).
    pub fn get(&self, name: &str) -> Option<&str> {
        let setting = find(name)?;
        let set = self.local.get(setting.name).or_else(|| self.session.get(setting.name));
        Some(set.map_or(setting.default, String::as_str))
    }

    /// The setting's name as PostgreSQL spells it.
    pub fn canonical(name: &str) -> Result<&'static str> {
        find(name).map(|s| s.name).ok_or_else(|| unknown(name))
    }

    /// Every setting: name, value, description.
    pub fn all(&self) -> Vec<(&'static str, String, &'static str)> {
        SETTINGS.iter().map(|s| (s.name, self.get(s.name).unwrap_or("").to_string(), s.about)).collect()
    }

    /// Sets a value; None: to the start-up value. Answers the name and value if clients follow the setting.
    pub fn set(
        &mut self,
        name: &str,
        value: Option<&str>,
        local: bool,
    ) -> Result<Option<(&'static str, String)>> {
        let setting = find(name).ok_or_else(|| unknown(name))?;
        if matches!(setting.kind, Kind::ReadOnly) {
            return Err(SqlError::new(
                sqlstate::CANT_CHANGE_RUNTIME_PARAM,
                format!("parameter \"{}\" cannot be changed", setting.name),
            ));
        }
        let value = match value {
            Some(value) => normalize(setting, value)?,
            None => self.start.get(setting.name).map_or(setting.default, String::as_str).to_string(),
        };
        let before = self.get(setting.name).unwrap_or("").to_string();
        if local {
            Arc::make_mut(&mut self.local).insert(setting.name, value.clone());
        } else {
            if self.local.contains_key(setting.name) {
                Arc::make_mut(&mut self.local).remove(setting.name);
            }
            Arc::make_mut(&mut self.session).insert(setting.name, value.clone());
        }
        self.read();
        Ok((setting.reported && before != value).then_some((setting.name, value)))
    }

    /// RESET ALL, DISCARD ALL. Answers what clients follow and has changed.
    pub fn reset_all(&mut self) -> Vec<(&'static str, String)> {
        let before = self.clone();
        self.session = self.start.clone();
        self.local = Arc::default();
        self.read();
        self.reported_changes(&before)
    }

    /// The values as they are.
    pub fn save(&self) -> Saved {
        Saved { session: self.session.clone(), local: self.local.clone() }
    }

    /// Goes back: a transaction or savepoint is rolled back. Answers what clients follow and has changed.
    pub fn restore(&mut self, saved: &Saved) -> Vec<(&'static str, String)> {
        if Arc::ptr_eq(&self.session, &saved.session) && Arc::ptr_eq(&self.local, &saved.local) {
            return Vec::new();
        }
        let before = self.clone();
        self.session = saved.session.clone();
        self.local = saved.local.clone();
        self.read();
        self.reported_changes(&before)
    }

    /// The transaction is over: SET LOCAL ends.
    pub fn end_local(&mut self) -> Vec<(&'static str, String)> {
        if self.local.is_empty() {
            return Vec::new();
        }
        let before = self.clone();
        self.local = Arc::default();
        self.read();
        self.reported_changes(&before)
    }

    /// What a client is told at its start.
    pub fn reported(&self) -> Vec<(&'static str, String)> {
        let reported = SETTINGS.iter().filter(|s| s.reported);
        reported.map(|s| (s.name, self.get(s.name).unwrap_or("").to_string())).collect()
    }

    fn reported_changes(&self, before: &Settings) -> Vec<(&'static str, String)> {
        let mut changes = self.reported();
        changes.retain(|(name, value)| before.get(name) != Some(value));
        changes
    }

    fn read(&mut self) {
        let get = |name: &str| self.get(name).unwrap_or("").to_string();
        let milliseconds = |name: &str| match get(name).parse::<u64>() {
            Ok(ms) if ms > 0 => Some(ms.saturating_mul(1000)),
            _ => None,
        };
        let search_path = split_path(&get("search_path"));
        self.typed = Typed {
            color: match get("gemini.color").as_str() {
                "red" => ColorSetting::Red,
                "blue" => ColorSetting::Blue,
                _ => ColorSetting::Auto,
            },
            durability: if get("gemini.durability") == "quorum" {
                Durability::Quorum
            } else {
                Durability::Local
            },
            isolation: isolation(&get("default_transaction_isolation")),
            read_only: get("default_transaction_read_only") == "on",
            statement_timeout: milliseconds("statement_timeout"),
            wait_for: get("gemini.wait_for").parse().ok(),
            max_staleness: milliseconds("gemini.max_staleness"),
            wait_timeout: milliseconds("gemini.wait_timeout"),
            idle_in_transaction_timeout: milliseconds("idle_in_transaction_session_timeout"),
            idle_timeout: milliseconds("idle_session_timeout"),
            extra_float_digits: get("extra_float_digits").parse().unwrap_or(1),
            time_zone: TimeZone::setting(&get("timezone")).unwrap_or_default(),
            public_in_path: search_path.iter().any(|s| s == "public"),
            search_path,
            quiet: match get("client_min_messages").as_str() {
                "warning" => 2,
                "error" => 3,
                _ => 1,
            },
        };
        self.changes += 1;
    }
}

/// By its name in SET.
pub fn isolation(name: &str) -> Isolation {
    match name {
        "serializable" => Isolation::Serializable,
        "repeatable read" => Isolation::RepeatableRead,
        _ => Isolation::ReadCommitted,
    }
}

/// As SHOW prints it.
pub fn isolation_name(isolation: Isolation) -> &'static str {
    match isolation {
        Isolation::Serializable => "serializable",
        Isolation::RepeatableRead => "repeatable read",
        Isolation::ReadCommitted => "read committed",
    }
}

fn split_path(path: &str) -> Vec<String> {
    path.split(',')
        .map(|item| item.trim().trim_matches('"').trim_matches('\'').to_string())
        .filter(|item| !item.is_empty() && item != "$user")
        .collect()
}

/// ON, OFF and their other spellings.
pub fn boolean(value: &str) -> Option<bool> {
    match value.to_ascii_lowercase().as_str() {
        "on" | "true" | "yes" | "1" | "t" | "y" => Some(true),
        "off" | "false" | "no" | "0" | "f" | "n" => Some(false),
        _ => None,
    }
}

fn normalize(setting: &Setting, value: &str) -> Result<String> {
    let value = value.trim();
    let lower = value.to_ascii_lowercase();
    match setting.kind {
        Kind::Text | Kind::ReadOnly => Ok(value.to_string()),
        Kind::Bool => boolean(value).map(|on| if on { "on" } else { "off" }.to_string()).ok_or_else(|| {
            SqlError::new(
                sqlstate::INVALID_PARAMETER_VALUE,
                format!("parameter \"{}\" requires a Boolean value", setting.name),
            )
        }),
        Kind::Integer(low, high) => match lower.parse::<i64>() {
            Ok(n) if (low..=high).contains(&n) => Ok(n.to_string()),
            Ok(n) => Err(SqlError::new(
                sqlstate::INVALID_PARAMETER_VALUE,
                format!(
                    "{n} is outside the valid range for parameter \"{}\" ({low} .. {high})",
                    setting.name
                ),
            )),
            Err(_) => Err(invalid(setting, value)),
        },
        Kind::Milliseconds => {
            milliseconds(&lower).map(|ms| ms.to_string()).ok_or_else(|| invalid(setting, value))
        }
        Kind::OneOf(values) if values.contains(&lower.as_str()) => Ok(lower),
        Kind::OneOf(values) => {
            Err(invalid(setting, value).hint(format!("Available values: {}.", values.join(", "))))
        }
        Kind::Only(values) if values.contains(&lower.as_str()) => Ok(setting.default.to_string()),
        Kind::Only(_) => Err(SqlError::unsupported(
            format!("{} = '{value}'", setting.name),
            format!("The only value is '{}': {}", setting.default, setting.about),
        )),
        Kind::Size => {
            let digits = lower.trim_end_matches(|c: char| c.is_ascii_alphabetic() || c == ' ');
            if digits.parse::<u64>().is_ok() { Ok(value.to_string()) } else { Err(invalid(setting, value)) }
        }
        Kind::Frontier if value.is_empty() => Ok(String::new()),
        Kind::Frontier => match value.parse::<Frontier>() {
            Ok(frontier) => Ok(frontier.to_string()),
            Err(error) => Err(invalid(setting, value).hint(format!("{error}."))),
        },
        Kind::Zone => TimeZone::setting(value).map(|z| z.name).ok_or_else(|| invalid(setting, value)),
        Kind::DateStyle => {
            let known = |word: &str| matches!(word.trim(), "iso" | "mdy" | "us" | "default" | "");
            if lower.split(',').all(known) {
                Ok("ISO, MDY".to_string())
            } else {
                Err(SqlError::unsupported(
                    format!("DateStyle '{value}'"),
                    "Use 'ISO, MDY', and to_char for other forms.",
                ))
            }
        }
    }
}

/// Milliseconds of "5s", "100", "2 min".
fn milliseconds(text: &str) -> Option<u64> {
    let split = text.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(text.len());
    let number: f64 = text[..split].trim().parse().ok()?;
    let factor = match text[split..].trim() {
        "" | "ms" => 1.0,
        "us" => 0.001,
        "s" => 1000.0,
        "min" => 60_000.0,
        "h" => 3_600_000.0,
        "d" => 86_400_000.0,
        _ => return None,
    };
    let ms = number * factor;
    (0.0..=2_147_483_647.0).contains(&ms).then_some(ms.round() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_sorted_and_their_defaults_are_valid() {
        let names: Vec<String> = SETTINGS.iter().map(|s| s.name.to_ascii_lowercase()).collect();
        let mut sorted = names.clone();
        sorted.sort();
        assert_eq!(names, sorted);
        for s in SETTINGS {
            assert_eq!(normalize(s, s.default).unwrap(), s.default, "{}", s.name);
        }
    }

    #[test]
    fn local_values_end_and_rollback_restores() {
        let mut s = Settings::new("u");
        s.set("gemini.color", Some("RED"), true).unwrap();
        assert_eq!(s.typed.color, ColorSetting::Red);
        s.end_local();
        assert_eq!(s.typed.color, ColorSetting::Auto);
        let saved = s.save();
        s.set("application_name", Some("x"), false).unwrap();
        assert_eq!(s.restore(&saved), vec![("application_name", String::new())]);
        assert_eq!(s.set("nope", Some("1"), false).unwrap_err().sqlstate, "42704");
        assert_eq!(s.set("gemini.color", Some("green"), false).unwrap_err().sqlstate, "22023");
        assert_eq!(s.set("server_version", Some("9"), false).unwrap_err().sqlstate, "55P02");
        assert_eq!(s.set("client_encoding", Some("latin1"), false).unwrap_err().sqlstate, "0A000");
    }

    #[test]
    fn times() {
        assert_eq!(milliseconds("5s"), Some(5000));
        assert_eq!(milliseconds("2 min"), Some(120_000));
        assert_eq!(milliseconds("x"), None);
    }
}
