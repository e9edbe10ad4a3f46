//! Statements as parsed: sqlparser's trees for queries and expressions, our own for the shells.

use std::ops::Range;

use gemini_shadow_ops::{DataType, MergeRule, ReferentialAction, RowRule};
use sqlparser::ast::{Expr, Statement as SqlStatement};

pub use crate::txn::Isolation;

/// One statement with its place in the text.
#[derive(Clone, Debug, PartialEq)]
pub struct Statement {
    /// What it says.
    pub body: Body,
    /// Its bytes in the text it was parsed from.
    pub range: Range<usize>,
    /// Its first words, as in a command tag ("SELECT", "CREATE TABLE").
    pub tag: &'static str,
}

/// A statement by who carries it out.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs)]
pub enum Body {
    /// SELECT, VALUES, WITH, INSERT, UPDATE, DELETE: the planner's.
    Dml(Box<SqlStatement>),
    Explain(Box<Explain>),
    Ddl(Box<Ddl>),
    Copy(Box<CopyStatement>),
    Begin(Begin),
    Commit {
        chain: bool,
    },
    Rollback {
        chain: bool,
    },
    Savepoint(String),
    Release(String),
    RollbackTo(String),
    Set {
        scope: Scope,
        name: String,
        value: SetValue,
    },
    /// SET TRANSACTION (session: false), SET SESSION CHARACTERISTICS (session: true).
    SetTransaction {
        session: bool,
        modes: TransactionModes,
    },
    /// None: SHOW ALL.
    Show(Option<String>),
    /// None: RESET ALL.
    Reset(Option<String>),
    /// COMMENT ON … IS …: dumps have it; it is not kept.
    Comment,
    /// LOCK TABLE … IN ACCESS SHARE MODE: nothing is locked.
    Lock(Vec<Name>),
    /// "ALL", "PLANS", "SEQUENCES", "TEMP".
    Discard(&'static str),
    Prepare(Box<Prepare>),
    Execute {
        name: String,
        arguments: Vec<Expr>,
    },
    /// None: ALL.
    Deallocate(Option<String>),
    /// DECLARE name CURSOR FOR query.
    DeclareCursor {
        name: String,
        hold: bool,
        query: Box<SqlStatement>,
    },
    /// FETCH (or MOVE) forward; None: ALL.
    Fetch {
        name: String,
        count: Option<u64>,
        moves: bool,
    },
    /// CLOSE; None: ALL.
    CloseCursor(Option<String>),
    /// UNLISTEN: nothing is ever listened to, so nothing is done.
    Unlisten,
}

/// EXPLAIN.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs)]
pub struct Explain {
    /// `EXPLAIN (COLOR)`: blue or red, and why.
    pub color: bool,
    pub analyze: bool,
    pub verbose: bool,
    pub statement: Body,
    /// Bytes of the explained statement.
    pub range: Range<usize>,
}

/// BEGIN, START TRANSACTION.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Begin {
    pub modes: TransactionModes,
    /// Said START TRANSACTION (only the command tag differs).
    pub start: bool,
}

/// Modes of a transaction; None: the session's default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct TransactionModes {
    pub isolation: Option<Isolation>,
    pub read_only: Option<bool>,
    pub deferrable: Option<bool>,
}

/// How long a SET lasts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Scope {
    Session,
    /// SET LOCAL: to the end of the transaction.
    Local,
}

/// The right side of a SET.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum SetValue {
    Default,
    /// List items joined by ", ".
    Text(String),
}

/// PREPARE name (types) AS statement.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs)]
pub struct Prepare {
    pub name: String,
    pub types: Vec<DataType>,
    pub statement: Statement,
}

/// A possibly qualified name, folded, with its place (1-based characters; 0 if unknown).
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Name {
    pub schema: Option<String>,
    pub name: String,
    pub position: u32,
}

/// A change of the schema, or TRUNCATE.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs)]
pub enum Ddl {
    CreateTable(CreateTable),
    CreateIndex(CreateIndex),
    CreateSequence {
        name: Name,
        if_not_exists: bool,
        options: SequenceOptions,
        owned_by: Option<(String, String)>,
    },
    AlterSequence {
        name: Name,
        if_exists: bool,
        options: SequenceOptions,
        restart: Option<Option<i64>>,
        rename: Option<String>,
        owned_by: Option<Option<(String, String)>>,
    },
    AlterTable {
        name: Name,
        if_exists: bool,
        actions: Vec<AlterAction>,
    },
    RenameIndex {
        name: Name,
        if_exists: bool,
        to: String,
    },
    Drop {
        kind: DropKind,
        names: Vec<Name>,
        if_exists: bool,
        cascade: bool,
    },
    Truncate {
        tables: Vec<Name>,
        restart_identity: bool,
        cascade: bool,
    },
}

/// What a DROP drops.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum DropKind {
    Table,
    Index,
    Sequence,
}

/// CREATE TABLE.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs)]
pub struct CreateTable {
    pub name: Name,
    pub if_not_exists: bool,
    pub columns: Vec<ColumnDefinition>,
    pub constraints: Vec<ConstraintDefinition>,
    pub annotations: Annotations,
}

/// `ROWS …[, KEYS TRUSTED]`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Annotations {
    pub rows: Option<RowRule>,
    pub keys_trusted: bool,
}

/// One column.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs)]
pub struct ColumnDefinition {
    pub name: String,
    pub position: u32,
    pub ty: DataType,
    /// SMALLSERIAL, SERIAL, BIGSERIAL: the type above, a sequence, NOT NULL.
    pub serial: bool,
    pub not_null: bool,
    pub null: bool,
    pub default: Option<Expr>,
    pub generated: Option<Expr>,
    pub identity: Option<IdentityOptions>,
    pub merge: Option<MergeRule>,
    /// PRIMARY KEY, UNIQUE, CHECK, REFERENCES written at the column.
    pub constraints: Vec<ConstraintDefinition>,
}

/// GENERATED … AS IDENTITY.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs)]
pub struct IdentityOptions {
    pub always: bool,
    pub sequence: SequenceOptions,
}

/// A constraint; its name if one was given.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs)]
pub struct ConstraintDefinition {
    pub name: Option<String>,
    pub position: u32,
    pub kind: ConstraintKind,
}

/// What a constraint says.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs)]
pub enum ConstraintKind {
    PrimaryKey(Vec<String>),
    Unique { columns: Vec<String>, nulls_not_distinct: bool },
    Check(Box<Expr>),
    ForeignKey { columns: Vec<String>, references: References },
}

/// REFERENCES parent (columns) ON DELETE … ON UPDATE ….
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs)]
pub struct References {
    pub parent: Name,
    /// Empty: the parent's primary key.
    pub columns: Vec<String>,
    pub on_delete: ReferentialAction,
    pub on_update: ReferentialAction,
}

/// CREATE INDEX.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs)]
pub struct CreateIndex {
    pub name: Option<String>,
    pub if_not_exists: bool,
    pub table: Name,
    pub unique: bool,
    pub nulls_not_distinct: bool,
    pub keys: Vec<IndexKey>,
}

/// One column of an index.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct IndexKey {
    pub column: String,
    pub position: u32,
    pub descending: bool,
    pub nulls_first: bool,
}

/// Options of a sequence; None: not said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct SequenceOptions {
    pub name: Option<String>,
    pub start: Option<i64>,
    pub increment: Option<i64>,
    /// Some(None): NO MINVALUE.
    pub min: Option<Option<i64>>,
    pub max: Option<Option<i64>>,
    pub cycle: Option<bool>,
}

/// One action of ALTER TABLE.
#[allow(clippy::large_enum_variant)] // a statement has a few of them
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs)]
pub enum AlterAction {
    AddColumn {
        column: Box<ColumnDefinition>,
        if_not_exists: bool,
    },
    DropColumn {
        name: String,
        if_exists: bool,
        cascade: bool,
    },
    RenameColumn {
        from: String,
        to: String,
    },
    RenameTable(String),
    RenameConstraint {
        from: String,
        to: String,
    },
    AddConstraint(ConstraintDefinition),
    DropConstraint {
        name: String,
        if_exists: bool,
        cascade: bool,
    },
    SetDefault {
        column: String,
        default: Expr,
    },
    DropDefault {
        column: String,
    },
    SetNotNull {
        column: String,
    },
    DropNotNull {
        column: String,
    },
    SetType {
        column: String,
        ty: DataType,
    },
    SetMerge {
        column: String,
        merge: MergeRule,
    },
    AddIdentity {
        column: String,
        identity: IdentityOptions,
    },
    DropIdentity {
        column: String,
        if_exists: bool,
    },
    SetRows(Annotations),
    /// OWNER TO: there are no owners; accepted so that dumps load.
    Owner,
}

/// COPY.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs)]
pub struct CopyStatement {
    pub source: CopySource,
    pub direction: CopyDirection,
    pub format: CopyFormat,
}

/// What is copied.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs)]
pub enum CopySource {
    Table { table: Name, columns: Vec<String> },
    Query(Box<SqlStatement>),
}

/// FROM STDIN or TO STDOUT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum CopyDirection {
    FromStdin,
    ToStdout,
}

/// Options of a COPY.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct CopyFormat {
    pub csv: bool,
    pub header: bool,
    pub delimiter: u8,
    pub null: String,
    pub quote: u8,
    pub escape: u8,
    /// CSV: columns that are quoted whatever they hold.
    pub force_quote_all: bool,
}

impl CopyFormat {
    /// PostgreSQL's defaults for the format.
    pub fn new(csv: bool) -> CopyFormat {
        CopyFormat {
            csv,
            header: false,
            delimiter: if csv { b',' } else { b'\t' },
            null: if csv { String::new() } else { "\\N".to_string() },
            quote: b'"',
            escape: b'"',
            force_quote_all: false,
        }
    }
}
