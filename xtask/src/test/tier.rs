//! The tiers.
//!
//! What enters: nothing. What leaves: the table of tiers, and a run of cargo's tests with its counts.
//! Never here: a test.

use crate::step::Step;
use crate::test::tally::Tally;
use crate::workspace::Workspace;

/// A group of tests that need the same things.
pub(super) struct Tier {
    pub(super) number: u8,
    pub(super) name: &'static str,
    /// Needs root and the built object.
    pub(super) privileged: bool,
    pub(super) runs: &'static [What],
}

/// A part of a tier.
pub(super) enum What {
    /// `cargo xtask check`.
    Check,
    /// `cargo test ARGUMENTS`.
    Cargo { name: &'static str, arguments: &'static [&'static str] },
    /// `cargo xtask vm`, all kernels.
    Vm,
}

/// In the order in which they run: what is cheap and tells most comes first.
pub(super) const TIERS: [Tier; 6] = [
    Tier { number: 0, name: "check", privileged: false, runs: &[What::Check] },
    Tier {
        number: 1,
        name: "units",
        privileged: false,
        runs: &[What::Cargo { name: "units and properties", arguments: &[] }],
    },
    Tier {
        number: 2,
        name: "packets",
        privileged: true,
        runs: &[harness("packets", &privileged("packets"))],
    },
    Tier {
        number: 3,
        name: "kernel against host",
        privileged: true,
        runs: &[
            harness("differential", &privileged("differential")),
            harness("hammer", &privileged("hammer")),
        ],
    },
    Tier {
        number: 4,
        name: "namespaces",
        privileged: true,
        runs: &[
            harness("namespaces", &privileged("namespaces")),
            What::Cargo {
                name: "links",
                arguments: &["--package", "beeline", "--features", "privileged", "--test", "links"],
            },
            What::Cargo {
                name: "hooks",
                arguments: &["--package", "beeline", "--features", "privileged", "--lib", "hooks"],
            },
        ],
    },
    Tier { number: 5, name: "virtual machines", privileged: true, runs: &[What::Vm] },
];

const fn harness(name: &'static str, arguments: &'static [&'static str; 7]) -> What {
    What::Cargo { name, arguments }
}

/// Privileged tests measure and hammer: they run as the product is shipped.
const fn privileged(test: &'static str) -> [&'static str; 7] {
    ["--release", "--package", "beeline-tests", "--features", "privileged", "--test", test]
}

/// Runs `cargo test` with these arguments and counts what it reports.
pub(super) fn cargo(workspace: &Workspace, name: &str, arguments: &[&str]) -> anyhow::Result<Tally> {
    let mut command = workspace.cargo(["test", "--no-fail-fast"]);
    command.args(arguments);
    let ended = Step::new(name, command).shown().outcome()?;
    Ok(Tally::of_run(ended.stdout.iter().map(String::as_str), ended.status.success()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tiers_stand_in_the_order_of_their_numbers() {
        assert!(TIERS.iter().zip(0..).all(|(tier, number)| tier.number == number));
    }
}
