//! What is printed, and what is written.

use std::fmt::Write;

use super::propose::{Annotations, shown};
use super::search::Advice;
use super::workload::Transaction;

/// For people.
pub(super) fn text(workload: &[Transaction], advice: &Advice) -> String {
    let mut out = String::new();
    let total: u64 = workload.iter().map(|t| t.weight).sum();
    let share = |weight: u64| format!("{:.0} %", 100.0 * weight as f64 / total.max(1) as f64);
    let (before, after) = (advice.before.cost(workload).0, advice.after.cost(workload).0);
    let _ = writeln!(
        out,
        "{} transactions. Red as the schema stands: {}; with these annotations: {}\n",
        workload.len(),
        share(before),
        share(after)
    );
    if advice.annotations.is_empty() {
        out.push_str("No annotation would make more of them blue.\n");
    } else {
        out.push_str("saves   annotation, and its price\n");
    }
    for saving in &advice.annotations {
        let _ = writeln!(
            out,
            "{:>5}   {};\n          -- {}",
            share(saving.saved),
            saving.choice.statement(&saving.place),
            saving.choice.price()
        );
    }
    out.push_str("\nnow    then    transaction\n");
    for (i, transaction) in workload.iter().enumerate() {
        let color = |red: bool| if red { "red " } else { "blue" };
        let (then, why) = (&advice.after, &advice.after.reasons[i]);
        let _ = writeln!(
            out,
            "{}   {}    {} ({})",
            color(!advice.before.reasons[i].is_empty()),
            color(!why.is_empty()),
            transaction.name,
            share(transaction.weight)
        );
        for line in shown(&then.schema, why) {
            let _ = writeln!(out, "                  {line}");
        }
    }
    out
}

/// The annotations as a file of SQL, in an order in which they can be declared.
pub(super) fn file(advice: &Advice) -> String {
    let mut out = "-- How concurrent effects combine, as proposed by `gemini advise`. Each line is a promise of the application's:\n\
                   -- strike what it cannot keep. Without a line the writes it is about are red, and just as safe.\n"
        .to_owned();
    let all = Annotations(advice.annotations.iter().map(|s| (s.place.clone(), s.choice)).collect());
    for (place, choice) in all.in_order() {
        let _ = write!(out, "\n-- {}\n{};\n", choice.price(), choice.statement(place));
    }
    out
}
