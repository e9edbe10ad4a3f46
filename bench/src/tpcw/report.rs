//! What a run came to, as text.

use std::collections::BTreeMap;

use super::check::Check;
use super::connection::Color;
use super::mix::Interaction;
use super::run::{Outcome, SiteResult};
use crate::histogram::{Histogram, millis};
use crate::table::{Table, thousands};

/// How many wrong things a check prints.
const SHOWN: usize = 5;

/// The tables of a run: by site, latencies by colour, by interaction.
pub fn outcome(outcome: &Outcome) -> String {
    let mut out = by_site(outcome);
    out.push('\n');
    out.push_str(&by_color(outcome));
    out.push('\n');
    out.push_str(&by_interaction(outcome));
    out.push_str(&first_errors(outcome));
    out
}

fn by_site(outcome: &Outcome) -> String {
    let colored = outcome.sites.iter().any(|site| site.count(Color::Blue) + site.count(Color::Red) > 0);
    let mut headings = vec!["site", "clients", "transactions", "per s", "reads"];
    headings.extend(if colored {
        &["blue", "red", "blue of writes", "local of all"][..]
    } else {
        &["writes"][..]
    });
    headings.extend(["aborts", "errors"]);
    let mut table = Table::new(&headings);
    let mut all = SiteResult { name: "all".into(), ..SiteResult::default() };
    for site in &outcome.sites {
        table.row(site_row(site, outcome, colored));
        add(&mut all, site);
    }
    if outcome.sites.len() > 1 {
        table.row(site_row(&all, outcome, colored));
    }
    table.render()
}

fn add(all: &mut SiteResult, site: &SiteResult) {
    all.clients += site.clients;
    for (color, histogram) in &site.by_color {
        all.by_color.entry(*color).or_default().merge(histogram);
    }
    for (state, n) in &site.aborts {
        *all.aborts.entry(state.clone()).or_default() += n;
    }
    for (state, (n, words)) in &site.errors {
        all.errors.entry(state.clone()).or_insert((0, words.clone())).0 += n;
    }
}

fn site_row(site: &SiteResult, outcome: &Outcome, colored: bool) -> Vec<String> {
    let committed = site.committed();
    let rate = committed as f64 / outcome.time.as_secs_f64().max(0.001);
    let mut row = vec![
        site.name.clone(),
        site.clients.to_string(),
        thousands(committed),
        thousands(rate.round() as u64),
        thousands(site.count(Color::Read)),
    ];
    let (blue, red, plain) = (site.count(Color::Blue), site.count(Color::Red), site.count(Color::Write));
    if colored {
        let share = 100.0 * blue as f64 / (blue + red + plain).max(1) as f64;
        let local = 100.0 * (committed - red - plain) as f64 / committed.max(1) as f64;
        let shares = [share, local].map(|share| format!("{share:.1} %"));
        row.extend([thousands(blue), thousands(red + plain)].into_iter().chain(shares));
    } else {
        row.push(thousands(plain));
    }
    row.push(by_state(site.aborts.iter().map(|(state, n)| (state, *n))));
    row.push(by_state(site.errors.iter().map(|(state, (n, _))| (state, *n))));
    row
}

fn by_state<'a>(counts: impl Iterator<Item = (&'a String, u64)>) -> String {
    let parts: Vec<String> = counts.map(|(state, n)| format!("{state} {}", thousands(n))).collect();
    if parts.is_empty() { "0".into() } else { parts.join(", ") }
}

fn quantiles(histogram: &Histogram) -> [String; 3] {
    [0.5, 0.95, 0.99].map(|q| millis(histogram.quantile(q)))
}

fn by_color(outcome: &Outcome) -> String {
    let colors: Vec<Color> = [Color::Read, Color::Blue, Color::Red, Color::Write]
        .into_iter()
        .filter(|color| outcome.sites.iter().any(|site| site.count(*color) > 0))
        .collect();
    let mut headings = vec!["latency, ms".to_owned()];
    for color in &colors {
        headings.extend(["p50", "p95", "p99"].map(|q| format!("{} {q}", color.name())));
    }
    let mut table = Table::new(&headings.iter().map(String::as_str).collect::<Vec<_>>());
    for site in &outcome.sites {
        let mut row = vec![site.name.clone()];
        for color in &colors {
            match site.by_color.get(color) {
                Some(histogram) => row.extend(quantiles(histogram)),
                None => row.extend(["-", "-", "-"].map(String::from)),
            }
        }
        table.row(row);
    }
    table.render()
}

fn by_interaction(outcome: &Outcome) -> String {
    let mut all: BTreeMap<Interaction, Histogram> = BTreeMap::new();
    for site in &outcome.sites {
        for (interaction, histogram) in &site.by_interaction {
            all.entry(*interaction).or_default().merge(histogram);
        }
    }
    let total: u64 = all.values().map(Histogram::count).sum();
    let mut table = Table::new(&["interaction, all sites", "transactions", "share", "p50", "p95", "p99"]);
    for (interaction, histogram) in &all {
        let share = 100.0 * histogram.count() as f64 / total.max(1) as f64;
        let mut row =
            vec![interaction.name().to_owned(), thousands(histogram.count()), format!("{share:.2} %")];
        row.extend(quantiles(histogram));
        table.row(row);
    }
    table.render()
}

fn first_errors(outcome: &Outcome) -> String {
    let mut out = String::new();
    for site in &outcome.sites {
        for (state, (n, words)) in &site.errors {
            out.push_str(&format!("\n  {}: {n} × {state}, the first: {words}", site.name));
        }
    }
    if !out.is_empty() {
        out.push('\n');
    }
    out
}

/// One line per check; what is wrong below it.
pub fn checks(checks: &[Check]) -> String {
    let width = checks.iter().map(|check| check.name.chars().count()).max().unwrap_or(0);
    let mut out = String::new();
    for check in checks {
        match &check.verdict {
            Ok(seen) => out.push_str(&format!("  ✓ {:<width$}  {seen}\n", check.name)),
            Err(wrong) => {
                out.push_str(&format!("  ✗ {}\n", check.name));
                wrong.iter().take(SHOWN).for_each(|what| out.push_str(&format!("      {what}\n")));
                if wrong.len() > SHOWN {
                    out.push_str(&format!("      and {} more\n", wrong.len() - SHOWN));
                }
            }
        }
    }
    out
}
