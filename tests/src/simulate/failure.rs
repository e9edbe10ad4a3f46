//! A broken promise as a value: what broke, the way there, and how to see it again.

use std::any::Any;
use std::collections::BTreeMap;
use std::fmt;

use crate::world::{Options, World};

/// A run that broke a promise. Printing it prints everything that somebody who mends it wants.
#[derive(Clone)]
pub struct Failure {
    /// What the world was made of.
    pub options: Options,
    /// The same as it was asked for: before [`crate::world::keep`] left anything out.
    pub drawn: Options,
    /// Which promise: what the checker's message begins with, up to its first colon.
    pub promise: String,
    /// The checker's whole message.
    pub message: String,
    /// At which site step.
    pub steps: u64,
    /// How long after trouble began, µs; None before.
    pub troubled_for: Option<u64>,
    /// How many turns each desk's clients had begun.
    pub turns: BTreeMap<usize, u64>,
    /// The last events, with a legend.
    pub trace: String,
    /// The command that repeats it.
    pub repeat: String,
}

impl Failure {
    pub(super) fn new(world: &World, drawn: Options, test: &str, panic: &(dyn Any + Send)) -> Failure {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let message = text.or(panic.downcast_ref::<&str>().copied()).unwrap_or("a panic without a message");
        let options = world.options().clone();
        let keep = if options.keep.is_all() { String::new() } else { format!("KEEP='{}' ", options.keep) };
        let repeat = format!(
            "SEED={} {keep}cargo test -p gemini-tests --test {test} repeat -- --nocapture",
            options.seed
        );
        Failure {
            promise: message.split(':').next().unwrap_or(message).to_string(),
            message: message.to_string(),
            steps: world.steps,
            troubled_for: world.troubled_for(),
            turns: world.turns(),
            trace: world.trace(),
            repeat,
            options,
            drawn,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.trace)?;
        writeln!(f, "{:?}", self.options)?;
        writeln!(f, "the last events stand above; at step {}:", self.steps)?;
        writeln!(f, "{}", self.message)?;
        write!(f, "repeat with: {}", self.repeat)
    }
}

/// Short: the trace is for people who ask for it.
impl fmt::Debug for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Failure { steps, message, repeat, .. } = self;
        write!(f, "seed {} at step {steps}: {message}\nrepeat with: {repeat}", self.options.seed)
    }
}
