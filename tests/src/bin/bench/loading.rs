//! The answer table: time to load it, time of one change, kernel memory.
//!
//! In: names with ready answers, as `zone` gives them. Out: seconds, nanoseconds, and bytes by the kernel's own account of
//! the maps (`memlock` in /proc/self/fdinfo).

use std::{collections::BTreeMap, fs, net::Ipv4Addr, time::Instant};

use anyhow::{Context, Result, ensure};
use beeline::{
    dataplane::Dataplane,
    zone::{Answer, Change, Name},
};
use rand::{Rng as _, SeedableRng as _, rngs::StdRng};
use serde::Serialize;

use crate::{
    kernel, names,
    plan::{HEADLINE, Plan, Setting},
    rounds::{count, median, nanoseconds},
};

/// What was measured of one table.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Loaded {
    #[serde(flatten)]
    pub(crate) setting: Setting,
    /// From an empty table to the last name, median of some loads.
    pub(crate) load_seconds: f64,
    /// One name's answer changed, median and mean; the mean has the waits for grace periods in it.
    pub(crate) change_ns: f64,
    pub(crate) change_mean_ns: f64,
    /// All maps.
    pub(crate) kernel_bytes: u64,
    pub(crate) bytes_per_name: f64,
}

/// Loads tables of names with one address, and with as many as the headline says.
pub(crate) fn measure(plan: &Plan) -> Result<Vec<Loaded>> {
    let of = |addresses| measure_one(Setting { names: plan.load_names, addresses }, plan);
    Ok(vec![of(1)?, of(HEADLINE.addresses)?])
}

fn measure_one(setting: Setting, plan: &Plan) -> Result<Loaded> {
    let zone = names::zone(setting)?;
    let mut loads = Vec::with_capacity(plan.loads);
    let mut kernel_bytes = 0;
    let mut changes = Vec::new();
    for _ in 0..plan.loads {
        let before = bytes_of_own_maps()?;
        let mut dataplane = kernel::empty_dataplane()?;
        let began = Instant::now();
        kernel::fill(&mut dataplane, &zone)?;
        loads.push(began.elapsed().as_secs_f64());
        let there = dataplane.occupancy();
        ensure!(
            (there.names, there.left_out) == (setting.names.into(), 0),
            "the table did not take all: {there:?}"
        );
        kernel_bytes = bytes_of_own_maps()? - before;
        changes = change(&mut dataplane, &zone, setting, plan.changes)?;
    }
    Ok(Loaded {
        setting,
        load_seconds: median(loads.into_iter()),
        change_mean_ns: changes.iter().sum::<f64>() / count(changes.len() as u64),
        change_ns: median(changes.into_iter()),
        kernel_bytes,
        bytes_per_name: count(kernel_bytes) / f64::from(setting.names),
    })
}

/// Changes random names' addresses, one a batch as when one pod comes and another goes; nanoseconds of each.
fn change(
    dataplane: &mut Dataplane,
    zone: &[(Name, Answer)],
    setting: Setting,
    changes: usize,
) -> Result<Vec<f64>> {
    let mut random = StdRng::seed_from_u64(53);
    let all = || zone.iter().map(|(name, answer)| (name, answer));
    let mut times = Vec::with_capacity(changes);
    for _ in 0..changes {
        let (name, _) = &zone[random.random_range(0..zone.len())];
        let addresses = (0..setting.addresses).map(|_| Ipv4Addr::from_bits(random.random()).into());
        let change = [Change::Upsert(name.clone(), addresses.collect())];
        let began = Instant::now();
        dataplane.apply(&change, all, kernel::SERIAL)?;
        times.push(nanoseconds(began.elapsed()));
    }
    Ok(times)
}

/// What the kernel accounts for the maps that this process holds.
fn bytes_of_own_maps() -> Result<u64> {
    let mut maps = BTreeMap::new();
    let folder = fs::read_dir("/proc/self/fdinfo").context("the process cannot see its own files")?;
    for entry in folder.flatten() {
        // A file that was closed meanwhile has nothing to say.
        let Ok(text) = fs::read_to_string(entry.path()) else { continue };
        if let (Some(map), Some(bytes)) = (field(&text, "map_id"), field(&text, "memlock")) {
            maps.insert(map, bytes);
        }
    }
    Ok(maps.values().sum())
}

fn field(text: &str, name: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')?.trim().parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_found_by_its_whole_name() {
        let text = "map_type:\t2\nmap_extra:\t0x0\nmemlock:\t4096\nmap_id:\t7\n";
        assert_eq!(
            (field(text, "memlock"), field(text, "map_id"), field(text, "map")),
            (Some(4096), Some(7), None)
        );
    }
}
