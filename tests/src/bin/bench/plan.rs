//! How much is measured.

use std::fmt;

use serde::Serialize;

use crate::page::grouped;

/// The setting that the targets speak of.
pub(crate) const HEADLINE: Setting = Setting { names: 10_000, addresses: 3 };

/// See the module.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Plan {
    /// Alternations between those that are compared.
    pub(crate) rounds: usize,
    /// Queries of a round, to a program in the kernel.
    pub(crate) queries: usize,
    /// Queries of a round, to a server.
    pub(crate) server_queries: usize,
    /// Numbers of names in the table.
    pub(crate) sizes: Vec<u32>,
    /// Servers are measured up to that many names; beyond, their start takes minutes.
    pub(crate) server_names: u32,
    /// Runs of a program on one packet, in a round.
    pub(crate) runs: u32,
    /// Names of the table that is loaded for its time and its memory.
    pub(crate) load_names: u32,
    /// How often it is loaded.
    pub(crate) loads: usize,
    /// Single changes that are timed.
    pub(crate) changes: usize,
}

/// What a table holds while it is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Setting {
    pub(crate) names: u32,
    /// IPv4 addresses of each name.
    pub(crate) addresses: u32,
}

impl Plan {
    /// Some minutes.
    pub(crate) fn full() -> Self {
        Self {
            rounds: 21,
            // Enough to touch every line of the table of the headline several times: its cache is warm then.
            queries: 20_000,
            server_queries: 1_000,
            sizes: vec![1_000, 10_000, 100_000, 1_000_000],
            server_names: 100_000,
            runs: 500_000,
            load_names: 1_000_000,
            loads: 5,
            changes: 20_000,
        }
    }

    /// Some seconds: shows that everything works; its figures are rough.
    pub(crate) fn quick() -> Self {
        Self {
            rounds: 3,
            queries: 500,
            server_queries: 100,
            sizes: vec![1_000, 10_000],
            server_names: 10_000,
            runs: 10_000,
            load_names: 100_000,
            loads: 1,
            changes: 1_000,
        }
    }

    /// All tables that are asked.
    pub(crate) fn settings(&self) -> impl Iterator<Item = Setting> {
        let of = |addresses| self.sizes.iter().map(move |names| Setting { names: *names, addresses });
        of(HEADLINE.addresses).chain(of(1))
    }

    /// Are the servers asked, too?
    pub(crate) const fn with_servers(&self, setting: Setting) -> bool {
        setting.addresses == HEADLINE.addresses && setting.names <= self.server_names
    }
}

impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plural = if self.addresses == 1 { "" } else { "es" };
        write!(f, "{} names of {} address{plural}", grouped(self.names), self.addresses)
    }
}
