//! Tier 2.
#[test]
fn verifier_walks_less_than_the_limit() {}
