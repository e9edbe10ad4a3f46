//! What a promise forbids, and the verdict on a history.

use std::collections::BTreeSet;
use std::fmt;

use super::classes::{Anomaly, Class, Layer};
use super::versions::Versions;
use super::{History, Inference, cycles};

/// A promise about histories.
#[derive(Clone, Copy, Debug)]
pub struct Model {
    /// For people.
    pub name: &'static str,
    /// Cycles count up to this order.
    pub layer: Layer,
    /// How far the order of a register's versions may be inferred.
    pub inference: Inference,
    /// What must not be found.
    pub forbids: &'static [Class],
}

impl Model {
    /// Serializable in an order that agrees with real time: what `gemini.color = 'red'` promises, reads included.
    pub const STRICT_SERIALIZABLE: Model =
        Model { name: "strict serializable", layer: Layer::RealTime, ..Model::SERIALIZABLE };
    /// Serializable in an order that agrees with each session: what SERIALIZABLE promises on tables without annotations.
    /// A transaction that writes nothing may see a snapshot that lacks what other sites have just committed.
    pub const SERIALIZABLE: Model = Model {
        name: "serializable",
        layer: Layer::Session,
        inference: Inference::Serial,
        forbids: &[
            Class::Internal,
            Class::ThinAir,
            Class::Duplicate,
            Class::Incompatible,
            Class::G1a,
            Class::G1b,
            Class::G0,
            Class::G1c,
            Class::LostUpdate,
            Class::GSingle,
            Class::LongFork,
            Class::WriteSkew,
            Class::G2,
        ],
    };
    /// Snapshots of one order, first committer wins: what REPEATABLE READ promises on tables without annotations.
    pub const SNAPSHOT: Model = Model {
        name: "snapshot isolation",
        layer: Layer::Session,
        inference: Inference::Visible,
        forbids: &[
            Class::Internal,
            Class::ThinAir,
            Class::Duplicate,
            Class::Incompatible,
            Class::G1a,
            Class::G1b,
            Class::G0,
            Class::G1c,
            Class::LostUpdate,
            Class::GSingle,
            Class::LongFork,
        ],
    };
    /// Only what is committed is seen, and writes have one order: what READ COMMITTED promises on tables without
    /// annotations.
    pub const READ_COMMITTED: Model = Model {
        name: "read committed",
        layer: Layer::Data,
        inference: Inference::Nothing,
        forbids: &[
            Class::ThinAir,
            Class::Duplicate,
            Class::Incompatible,
            Class::G1a,
            Class::G1b,
            Class::G0,
            Class::G1c,
        ],
    };
    /// Causal snapshots, in which concurrent writes of a register are decided the same way everywhere: what blue promises. Long
    /// forks, write skew and updates lost to a concurrent site are allowed.
    pub const CAUSAL: Model = Model {
        name: "causal",
        layer: Layer::Session,
        inference: Inference::LastWriterWins,
        forbids: &[
            Class::Internal,
            Class::ThinAir,
            Class::Duplicate,
            Class::Incompatible,
            Class::G1a,
            Class::G1b,
            Class::G0,
            Class::G1c,
            Class::GSingle,
        ],
    };
}

/// What was found.
#[derive(Debug)]
pub struct Verdict {
    model: &'static str,
    /// What the promise excludes.
    pub forbidden: Vec<Anomaly>,
    /// What it does not.
    pub allowed: Vec<Anomaly>,
}

/// Judges a history: at most one finding, the shortest it comes across, for each class of cycles.
pub fn judge(history: &History, model: Model) -> Verdict {
    let forbidden = |found: &Anomaly| model.forbids.contains(&found.class);
    let (versions, mut graph, nonsense) = Versions::of(history, model.inference);
    loop {
        // Names are best while little is inferred: more only if nothing is wrong so far.
        let mut found = nonsense.clone();
        found.extend(cycles::find(history, &graph, model.layer));
        if found.iter().any(forbidden) || !versions.infer(&mut graph, model.layer) {
            if let Some(lost) = found.iter().find(|f| f.class == Class::LostUpdate && forbidden(f)).cloned() {
                // Every lost update is a G-single too: the closer name is enough.
                found.retain(|f| f.class != Class::GSingle || f.transactions != lost.transactions);
            }
            let (forbidden, allowed) = found.into_iter().partition(forbidden);
            return Verdict { model: model.name, forbidden, allowed };
        }
    }
}

impl Verdict {
    /// The classes found, forbidden or not.
    pub fn classes(&self) -> BTreeSet<Class> {
        self.forbidden.iter().chain(&self.allowed).map(|found| found.class).collect()
    }

    /// Whether the promise was kept, as far as clients can tell.
    pub fn holds(&self) -> bool {
        self.forbidden.is_empty()
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.holds() {
            return write!(f, "{}: nothing against it", self.model);
        }
        writeln!(f, "not {}:", self.model)?;
        self.forbidden.iter().try_for_each(|found| writeln!(f, "{found}"))
    }
}
