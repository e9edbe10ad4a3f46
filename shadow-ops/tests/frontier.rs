//! A frontier as text: what a site shows, another one reads.

use gemini_shadow_ops::{Frontier, SiteId};

#[test]
fn a_frontier_reads_back_as_it_is_shown() {
    let mut frontier = Frontier::default();
    for (site, n, red) in [(3, 8, 0), (1, 13, 82), (65_535, u64::MAX, u64::MAX)] {
        frontier.set_blue(SiteId(site), n);
        frontier.red = red;
        assert_eq!(frontier.to_string().parse(), Ok(frontier.clone()));
    }
    assert_eq!("(; 0)".parse(), Ok(Frontier::default()));
    assert_eq!(" ( 1:2   2:0 ;7 ) ".parse::<Frontier>().map(|f| f.to_string()), Ok("(1:2; 7)".to_owned()));
}

#[test]
fn anything_else_is_refused() {
    for text in
        ["", "()", "(;)", "(1:2)", "(1:2; -1)", "(1:+2; 1)", "(70000:1; 1)", "(1 2; 3)", "(1:2; 3", "1:2; 3"]
    {
        assert!(text.parse::<Frontier>().is_err(), "{text}");
    }
}
