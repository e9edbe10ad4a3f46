//! TPC-W, the on-line bookshop, over the PostgreSQL protocol.
//!
//! ```text
//!   population   the rows, as a pure function of a seed          mix      how often which interaction
//!   load         schema, annotations, COPY, until all have it    sql      every statement's text
//!   client       one session: customer, cart; retries            reads, cart, buy, admin: the transactions
//!   run          clients at every site; statistics, ledger       facts    what a site holds afterwards
//!   check        facts against facts and ledger                  report   tables for people
//! ```
//!
//! Each interaction is one database transaction. The application can be run as it is written today or as it used to be:
//! ids minted by the server or `MAX(id) + 1`; stock subtracted or read and then assigned.

pub mod admin;
pub mod buy;
pub mod cart;
pub mod check;
pub mod client;
pub mod connection;
pub mod facts;
pub mod load;
pub mod mix;
pub mod names;
pub mod population;
pub mod reads;
pub mod report;
pub mod run;
pub mod sql;

pub use check::{Check, judge};
pub use connection::{Connection, Target};
pub use load::{LoadOptions, LoadProgress, load};
pub use mix::{Interaction, Mix};
pub use population::Scale;
pub use run::{Ids, Options, Outcome, Stock, run};

use std::time::Duration;

use crate::Error;

/// A run and what the sites hold after it.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub struct Report {
    pub outcome: Outcome,
    pub checks: Vec<Check>,
}

/// Runs, waits until all sites have everything, and checks.
pub async fn measure_and_check(
    targets: &[Target],
    options: &Options,
    progress: &mut (dyn FnMut(Duration, u64) + Send),
) -> Result<Report, Error> {
    let Some(first) = targets.first() else {
        return Err(Error::Failed("there is no server to drive".into()));
    };
    let before = facts::Facts::read(first).await?;
    let outcome = run(targets, options, progress).await?;
    load::settled(targets, Duration::from_secs(60), &mut |_| {}).await?;
    let mut sites = Vec::new();
    for target in targets {
        let digest = match facts::site_name(target).await? {
            Some(_) => Some(facts::digest(target).await?),
            None => None,
        };
        sites.push(check::Site {
            name: target.name.clone(),
            facts: facts::Facts::read(target).await?,
            digest,
        });
    }
    let mut checks = judge(&before, &sites, &outcome.ledger);
    checks.push(check::errors(&outcome.sites));
    Ok(Report { outcome, checks })
}
