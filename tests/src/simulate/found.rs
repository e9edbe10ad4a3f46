//! Every seed that has ever found something, and what: they run with every test run.
//!
//! A seed is worth what is drawn from it. When the options, faults or clients that are drawn change, an old seed is a new one; so
//! each bug below also has a test of its own where it was mended, and its seed stays as one more.

/// Of the clients that make effects by hand.
pub const EFFECTS: &[u64] = &[
    3,    // an admission that overtook its dependency's
    302,  // a leader that waited for what a follower had
    1245, // a restarted site whose checkpoint cut the log that a silent peer needed
    3114, // the same, found as a wedge after the loss of a minority
    2180, // a red commit that was ordered and waited past its timeout for what it depends on
    4180, // a window of 20 and a VOID that came later than that: a restarted site called a committed entry void
    1022, // no bug: a transaction handed on before the middleman's fsync is on its origin's disk
];

/// Of sessions of SQL.
pub const SHOP: &[u64] = &[
    3130, // the log that a silent peer needed, again
];
