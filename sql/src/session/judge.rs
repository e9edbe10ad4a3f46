//! What a statement would do, as data: for `gemini advise`, which tries schemas out.

use std::sync::Arc;

use gemini_shadow_ops::{Color, ColumnId, Reason, TableId, Value};

use super::{Cached, Session};
use crate::bind::{ConflictAction, SetColumn};
use crate::error::{Result, SqlError};
use crate::exec::color::judge;
use crate::parse::Statement;
use crate::plan::{Prepared, PreparedBody};

/// A statement's colour and effects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judgement {
    /// With everything that its transaction has done before.
    pub color: Color,
    /// Why it is red.
    pub reasons: Vec<Reason>,
    /// The table that it updates, and what it sets there.
    pub sets: Option<(TableId, Vec<ColumnId>)>,
    /// The columns of those that it only adds elements to, or removes some from.
    pub elements: Vec<ColumnId>,
    /// The table that it deletes from.
    pub deletes: Option<TableId>,
}

impl Session {
    /// Judges a SELECT, INSERT, UPDATE or DELETE in the transaction under way without keeping its effects. None: it only reads.
    pub async fn judge(&mut self, text: Arc<str>, statement: Statement) -> Result<Option<Judgement>> {
        let cached = Cached::new(text, statement, Vec::new(), self.public());
        let host = self.shared.host.clone();
        self.active()?.transaction.begin_statement(&*host);
        let prepared = self.plan(&cached)?;
        if !prepared.parameters.is_empty() {
            let error = SqlError::new(crate::sqlstate::UNDEFINED_PARAMETER, "there is no parameter $1");
            return Err(error.hint("Write values instead of parameters."));
        }
        let context = self.context()?;
        let active = self.active()?;
        let judged = judge(&prepared, Vec::<Value>::new(), &context, &mut active.transaction).await?;
        Ok(judged.map(|(classification, _)| Judgement {
            color: classification.color,
            reasons: classification.reasons,
            sets: sets(&prepared).map(|(table, set)| (table, set.iter().map(|c| c.column).collect())),
            elements: sets(&prepared)
                .map_or(Vec::new(), |(_, set)| set.iter().filter(|c| c.elements).map(|c| c.column).collect()),
            deletes: match &prepared.body {
                PreparedBody::Delete(plan) => Some(plan.table.id),
                _ => None,
            },
        }))
    }
}

fn sets(prepared: &Prepared) -> Option<(TableId, &[SetColumn])> {
    let (table, set) = match &prepared.body {
        PreparedBody::Update(plan) => (plan.table.id, &plan.set),
        PreparedBody::Insert(plan) => match &plan.conflict.as_ref()?.action {
            ConflictAction::Update { set, .. } => (plan.table.id, set),
            ConflictAction::Nothing => return None,
        },
        PreparedBody::Select(_) | PreparedBody::Delete(_) => return None,
    };
    Some((table, set))
}
