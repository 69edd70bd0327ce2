//! All figures of a run, the ratios that the targets speak of, and the targets.

use std::fs;

use anyhow::{Context, Result};
use rustix::system::uname;
use serde::Serialize;

use crate::{
    loading::Loaded,
    not_dns::NotDns,
    plan::{HEADLINE, Plan},
    rounds::RoundTrips,
};

/// What `--json` writes.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Figures {
    pub(crate) measured_on: Machine,
    pub(crate) plan: Plan,
    pub(crate) ratios: Ratios,
    pub(crate) targets: Vec<Target>,
    pub(crate) round_trips: Vec<RoundTrips>,
    pub(crate) not_dns: Vec<NotDns>,
    pub(crate) tables: Vec<Loaded>,
}

/// Where it was measured.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Machine {
    pub(crate) kernel: String,
    pub(crate) architecture: String,
    pub(crate) processor: String,
    pub(crate) cpus: usize,
    /// Processes that wanted to run, on average of the minute before the end: others beside this one disturb.
    pub(crate) load: f64,
}

/// The main figures.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Ratios {
    pub(crate) p50_over_reflector: f64,
    pub(crate) coredns_over_p50: f64,
    pub(crate) unbound_over_p50: f64,
    pub(crate) bytes_per_name: f64,
    pub(crate) not_dns_over_empty: f64,
}

/// What a figure is to be.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Target {
    pub(crate) what: String,
    pub(crate) value: f64,
    pub(crate) unit: &'static str,
    pub(crate) bound: Bound,
    pub(crate) met: bool,
}

/// A figure's bound.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Bound {
    AtMost(f64),
    AtLeast(f64),
    /// Nothing was asked for.
    None,
}

impl Figures {
    pub(crate) fn new(
        measured_on: Machine,
        plan: Plan,
        round_trips: Vec<RoundTrips>,
        not_dns: Vec<NotDns>,
        tables: Vec<Loaded>,
    ) -> Result<Self> {
        let headline = round_trips.iter().find(|trips| trips.setting == HEADLINE);
        let headline = headline.with_context(|| format!("{HEADLINE} were not measured"))?;
        let table = tables.first().context("no table was loaded")?;
        let ratios = Ratios {
            p50_over_reflector: headline.over_reflector,
            coredns_over_p50: headline.coredns_over.context("CoreDNS was not measured")?,
            unbound_over_p50: headline.unbound_over.context("unbound was not measured")?,
            bytes_per_name: table.bytes_per_name,
            // The packet that costs most beside the empty program.
            not_dns_over_empty: not_dns.iter().map(|packet| packet.over_empty).fold(0.0, f64::max),
        };
        let targets = targets(&ratios, &round_trips, table);
        Ok(Self { measured_on, plan, ratios, targets, round_trips, not_dns, tables })
    }
}

fn targets(ratios: &Ratios, round_trips: &[RoundTrips], table: &Loaded) -> Vec<Target> {
    let Ratios { p50_over_reflector, coredns_over_p50, unbound_over_p50, bytes_per_name, not_dns_over_empty } =
        *ratios;
    let mut targets = vec![
        target("p50 over the reflector's".to_owned(), p50_over_reflector, "x", Bound::AtMost(1.20)),
        target("the same, aimed at".to_owned(), p50_over_reflector, "x", Bound::AtMost(1.10)),
    ];
    for trips in round_trips.iter().filter(|trips| trips.setting.names == 1_000_000) {
        let what = format!("the same with {}", trips.setting);
        targets.push(target(what, trips.over_reflector, "x", Bound::AtMost(1.15)));
    }
    targets.extend([
        target("CoreDNS over p50".to_owned(), coredns_over_p50, "x", Bound::AtLeast(25.0)),
        target("unbound over p50".to_owned(), unbound_over_p50, "x", Bound::None),
        target("kernel memory a name of 1 address".to_owned(), bytes_per_name, "bytes", Bound::AtMost(100.0)),
        target(format!("{} loaded", table.setting), table.load_seconds, "s", Bound::AtMost(2.0)),
        target(
            "a packet that is not DNS, over an empty program".to_owned(),
            not_dns_over_empty,
            "x",
            Bound::AtMost(1.3),
        ),
    ]);
    targets
}

fn target(what: String, value: f64, unit: &'static str, bound: Bound) -> Target {
    let met = match bound {
        Bound::AtMost(most) => value <= most,
        Bound::AtLeast(least) => value >= least,
        Bound::None => true,
    };
    Target { what, value, unit, bound, met }
}

impl Machine {
    pub(crate) fn this() -> Result<Self> {
        let system = uname();
        let processor = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let processor = processor.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
        let load = fs::read_to_string("/proc/loadavg").context("the machine's load is not to be had")?;
        Ok(Self {
            kernel: system.release().to_string_lossy().into_owned(),
            architecture: system.machine().to_string_lossy().into_owned(),
            processor: processor.map_or_else(|| "unknown".to_owned(), |(_, model)| model.to_owned()),
            cpus: std::thread::available_parallelism()?.get(),
            load: load.split(' ').next().and_then(|load| load.parse().ok()).unwrap_or_default(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_met_at_its_bound() {
        assert!(target(String::new(), 1.2, "x", Bound::AtMost(1.2)).met);
        assert!(!target(String::new(), 1.21, "x", Bound::AtMost(1.2)).met);
        assert!(target(String::new(), 25.0, "x", Bound::AtLeast(25.0)).met);
        assert!(!target(String::new(), 24.9, "x", Bound::AtLeast(25.0)).met);
    }
}
