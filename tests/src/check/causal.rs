//! Causal delivery (DESIGN §1.5, §3 "Admission"; the paper's §3.2): a blue transaction is applied after all it depends on, at
//! every site, and one site's in its order. It depends on all that its statements saw.

use gemini::site::Site;
use gemini_shadow_ops::{Entry, Frontier, Refusal, ShadowTransaction, TxnId, Verdict};

use super::history::News;

pub(super) fn check(site: &Site, news: &News) {
    let applied = site.engine().applied();
    for (dot, transaction) in &news.blue {
        assert_eq!(transaction.origin, dot.site, "causal: {dot} names another origin");
        within(site, applied, TxnId::Blue(*dot), transaction);
        let before = transaction.deps.blue(dot.site);
        assert_eq!(before + 1, dot.n, "causal: {dot} does not depend on just its predecessors");
    }
    for (r, entry, verdict) in &news.red {
        // What is void depends on nothing; so does what depends on lost transactions of a removed site.
        let nothing = matches!(verdict, Verdict::Void | Verdict::Refused(Refusal::Removed { .. }));
        if let Entry::Transaction(red) = &**entry
            && !nothing
        {
            within(site, applied, TxnId::Red(*r), &red.transaction);
            assert!(red.transaction.deps.red < *r, "causal: r{r} depends on itself or a later one");
        }
    }
}

fn within(site: &Site, applied: &Frontier, id: TxnId, transaction: &ShadowTransaction) {
    let ShadowTransaction { deps, statements, .. } = transaction;
    assert!(
        applied.includes(deps),
        "causal: site {} at {applied} applied {id}, which depends on {deps}",
        site.id()
    );
    let seen = statements.iter().all(|statement| deps.includes(statement));
    assert!(seen, "causal: {id} saw what it does not depend on");
}
