//! The search: annotate whatever a reason asks for, until nothing new is asked for; then drop what saves nothing.

use std::collections::BTreeMap;

use super::AdviseError;
use super::propose::{Annotations, Choice, Place, Rejected, instead, proposals};
use super::trial::{self, Trial};
use super::workload::Transaction;

/// Rounds of proposals. Each adds or replaces an annotation, so there is an end; this is for mistakes of ours.
const ROUNDS: usize = 200;

/// What was found.
#[derive(Debug)]
pub(super) struct Advice {
    /// Without annotations of ours.
    pub before: Trial,
    /// With all of them.
    pub after: Trial,
    /// What saves most first.
    pub annotations: Vec<Saving>,
}

/// One annotation and what it is worth.
#[derive(Clone, Debug)]
pub(super) struct Saving {
    pub place: Place,
    pub choice: Choice,
    /// The weight of the transactions that would be red without it, all others being there.
    pub saved: u64,
}

/// Tries annotations out. `say` hears how far it is.
pub(super) fn search(
    schema: &[(String, String)],
    workload: &[Transaction],
    say: &mut dyn FnMut(String),
) -> Result<Advice, AdviseError> {
    let before = trial::run(schema, &Annotations::default(), workload)?;
    let mut annotations = Annotations::default();
    let mut rejected = Rejected::default();
    let mut now = trial::run(schema, &annotations, workload)?;
    for round in 1..=ROUNDS {
        let new = step(&now, &annotations, &mut rejected);
        if new.is_empty() {
            break;
        }
        say(format!("round {round}: {} annotations tried", new.len()));
        for (place, choice) in new {
            match choice {
                Some(choice) => annotations.0.insert(place, choice),
                None => annotations.0.remove(&place),
            };
        }
        now = trial::run(schema, &annotations, workload)?;
    }
    prune(schema, workload, annotations, before, say)
}

/// What to change: new proposals first; refused ones are retried with them, and given up only when nothing else is new.
fn step(now: &Trial, annotations: &Annotations, rejected: &mut Rejected) -> BTreeMap<Place, Option<Choice>> {
    let new: BTreeMap<_, _> = proposals(now, annotations, rejected)
        .into_iter()
        .filter(|(place, choice)| annotations.0.get(place) != Some(choice))
        .map(|(place, choice)| (place, Some(choice)))
        .collect();
    if !new.is_empty() {
        // A counter that turned out to be none is not proposed again.
        for place in new.keys() {
            if let Some(before) = annotations.0.get(place) {
                rejected.insert((place.clone(), before.statement(place)));
            }
        }
        return new;
    }
    let mut changed = BTreeMap::new();
    for place in now.refused.keys() {
        if let Some(choice) = annotations.0.get(place) {
            rejected.insert((place.clone(), choice.statement(place)));
            changed.insert(place.clone(), instead(now, place, *choice, rejected));
        }
    }
    changed
}

/// Leaves out one after the other: what costs nothing to leave out goes; what the others are worth is their savings.
fn prune(
    schema: &[(String, String)],
    workload: &[Transaction],
    mut annotations: Annotations,
    before: Trial,
    say: &mut dyn FnMut(String),
) -> Result<Advice, AdviseError> {
    say(format!("{} annotations; leaving out one at a time", annotations.0.len()));
    let full = trial::run(schema, &annotations, workload)?.cost(workload);
    for place in annotations.0.keys().cloned().collect::<Vec<_>>() {
        let mut without = annotations.clone();
        without.0.remove(&place);
        if trial::run(schema, &without, workload)?.cost(workload) <= full {
            annotations = without;
        }
    }
    let after = trial::run(schema, &annotations, workload)?;
    let (red, _) = after.cost(workload);
    let mut savings = Vec::new();
    for (place, choice) in &annotations.0 {
        let mut without = annotations.clone();
        without.0.remove(place);
        let (more, _) = trial::run(schema, &without, workload)?.cost(workload);
        savings.push(Saving { place: place.clone(), choice: *choice, saved: more.saturating_sub(red) });
    }
    savings.sort_by(|a, b| b.saved.cmp(&a.saved).then_with(|| a.place.cmp(&b.place)));
    Ok(Advice { before, after, annotations: savings })
}
