//! A site as its sessions see it: the implementation of SQL's [`Host`].
//!
//! Sessions run in their connections' tasks. They read snapshots and mint values without the site thread, and hand
//! transactions to it through a bounded mailbox; the answer comes back through a oneshot. Which threads and clocks are behind
//! the mailbox is the driver's business, so the simulator's sessions use this very type.

mod views;

pub(crate) use views::key as shown_key;

use std::sync::Arc;

use gemini_engine::{Seq, Snapshot};
use gemini_shadow_ops::{EntryId, Frontier, Schema, Sequence, SequenceId, SiteId};
use gemini_sql::host::{CommitError, Committed, Freshness, Host, Submission, TransactionStatus, View, Wait};
use tokio::sync::watch;

use crate::site::{Input, Minted, Reply, Shared};

/// Microseconds from 1970-01-01 to 2000-01-01, PostgreSQL's epoch.
pub const POSTGRES_EPOCH: i64 = 946_684_800_000_000;

/// The way to the site thread, and what the machine around it gives.
pub trait Mailbox: Send + Sync + 'static {
    /// Hands an input to the site. Err: the queue is full or the site has stopped; the input is dropped (its reply with it).
    fn deliver(&self, input: Input) -> Result<(), MailboxError>;
    /// Microseconds since 1970-01-01 UTC.
    fn now(&self) -> u64;
    /// Random bits.
    fn random(&self) -> u64;
    /// Resolves after so many microseconds.
    fn pause(&self, micros: u64) -> Wait<()>;
}

/// Why an input could not be handed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MailboxError {
    /// Too many are waiting.
    Full,
    /// The site has stopped.
    Stopped,
}

impl From<MailboxError> for CommitError {
    fn from(error: MailboxError) -> CommitError {
        let (sqlstate, message) = match error {
            MailboxError::Full => ("53300", "too many transactions are waiting at this site; try again"),
            MailboxError::Stopped => ("57P01", "the site has stopped"),
        };
        CommitError::Rejected { sqlstate, message: message.to_string() }
    }
}

/// See the module.
pub struct SiteHost {
    id: SiteId,
    name: String,
    names: Vec<(SiteId, String)>,
    shared: Arc<Shared>,
    mailbox: Arc<dyn Mailbox>,
    visible: watch::Receiver<Seq>,
}

impl SiteHost {
    /// `visible` carries the newest visible version, moved on at every [`crate::site::Output::Visible`].
    pub fn new(
        id: SiteId,
        names: Vec<(SiteId, String)>,
        shared: Arc<Shared>,
        mailbox: Arc<dyn Mailbox>,
        visible: watch::Receiver<Seq>,
    ) -> SiteHost {
        let name =
            names.iter().find(|(site, _)| *site == id).map_or_else(String::new, |(_, name)| name.clone());
        SiteHost { id, name, names, shared, mailbox, visible }
    }

    /// What the site publishes.
    pub fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    fn site_label(&self, site: SiteId) -> String {
        let known = self.names.iter().find(|(id, _)| *id == site);
        known.map_or_else(|| format!("site {site}"), |(_, name)| name.clone())
    }
}

/// A session whose transaction finds no memory looks again after so many µs, and so many times: 5 s in all.
const FOLD_PAUSE: u64 = 5_000;
const FOLD_LOOKS: u32 = 1_000;

/// From microseconds since 1970 to PostgreSQL's.
fn since_2000(since_1970: u64) -> i64 {
    i64::try_from(since_1970).unwrap_or(i64::MAX).saturating_sub(POSTGRES_EPOCH)
}

fn declared(schema: &Schema, sequence: SequenceId) -> Result<&Sequence, CommitError> {
    schema.sequences.get(&sequence).map(|s| &**s).ok_or_else(|| CommitError::Rejected {
        sqlstate: "42P01",
        message: format!("there is no sequence {sequence}"),
    })
}

fn exhausted(sequence: &Sequence) -> CommitError {
    let message = format!("nextval: reached maximum value of sequence \"{}\" at this site", sequence.name);
    CommitError::Rejected { sqlstate: "2200H", message }
}

/// Waits while row versions take more memory than they may: the keeper is folding them. A site that does not get rid of them in
/// time refuses what is submitted (53200).
async fn folded(shared: &Shared, mailbox: &dyn Mailbox) {
    for _ in 0..FOLD_LOOKS {
        if !shared.reader.pressure().over {
            return;
        }
        mailbox.pause(FOLD_PAUSE).await;
    }
}

impl Host for SiteHost {
    fn snapshot(&self) -> Snapshot {
        self.shared.reader.snapshot()
    }

    fn visible(&self, seq: Seq) -> Wait<()> {
        let mut visible = self.visible.clone();
        Box::pin(async move {
            // An error means that the site has stopped: the next submission will say so.
            drop(visible.wait_for(|newest| *newest >= seq).await);
        })
    }

    fn submit(&self, submission: Submission) -> Wait<Result<Committed, CommitError>> {
        let (shared, mailbox) = (self.shared.clone(), self.mailbox.clone());
        Box::pin(async move {
            folded(&shared, &*mailbox).await;
            let (reply, outcome) = Reply::new();
            mailbox.deliver(Input::Submit { submission: Box::new(submission), reply })?;
            outcome.await.unwrap_or_else(|_| {
                Err(CommitError::Rejected {
                    sqlstate: "08007",
                    message: "the site stopped before it could say how the transaction ended; look at its data once it is back"
                        .to_string(),
                })
            })
        })
    }

    fn mint(&self, schema: &Schema, sequence: SequenceId) -> Wait<Result<i64, CommitError>> {
        let declared = match declared(schema, sequence) {
            Ok(declared) => declared.clone(),
            Err(error) => return Box::pin(std::future::ready(Err(error))),
        };
        let (shared, mailbox) = (self.shared.clone(), self.mailbox.clone());
        Box::pin(async move {
            loop {
                match shared.minter.mint(&declared) {
                    Minted::Value { value, low } => {
                        if low {
                            // Only a request in time: when it fails, the next session to find nothing left waits and is told.
                            let _ = mailbox.deliver(Input::Mint { sequence, reply: None });
                        }
                        return Ok(value);
                    }
                    Minted::Empty => {
                        let (reply, reserved) = Reply::new();
                        mailbox.deliver(Input::Mint { sequence, reply: Some(reply) })?;
                        reserved.await.unwrap_or(Err(MailboxError::Stopped.into()))?;
                    }
                    Minted::Exhausted => return Err(exhausted(&declared)),
                }
            }
        })
    }

    fn would_mint(&self, schema: &Schema, sequence: SequenceId, ahead: u64) -> Result<i64, CommitError> {
        let declared = declared(schema, sequence)?;
        self.shared.minter.peek(declared, ahead).ok_or_else(|| exhausted(declared))
    }

    fn pause(&self, micros: u64) -> Wait<()> {
        self.mailbox.pause(micros)
    }

    fn now(&self) -> i64 {
        since_2000(self.mailbox.now())
    }

    fn random(&self) -> u64 {
        self.mailbox.random()
    }

    fn site(&self) -> SiteId {
        self.id
    }

    fn site_name(&self) -> String {
        self.name.clone()
    }

    fn minting_class(&self) -> (u32, u32) {
        let class = self.shared.minter.class();
        (class.class, class.classes)
    }

    fn transaction_status(&self, id: EntryId) -> TransactionStatus {
        self.shared.outcome(id)
    }

    fn frontier(&self) -> Frontier {
        self.snapshot().frontier().clone()
    }

    fn freshness(&self) -> Freshness {
        match self.shared.oldest_news() {
            Some((site, as_of)) => {
                Freshness { as_of: since_2000(as_of), oldest: Some(self.site_label(site)) }
            }
            None => Freshness { as_of: self.now(), oldest: None },
        }
    }

    fn closed(&self) -> Option<String> {
        self.shared.filling()
    }

    fn view(&self, name: &str) -> Option<View> {
        views::view(self, name)
    }
}
