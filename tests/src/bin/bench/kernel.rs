//! What is measured in the kernel: the product with a filled table, and the probes beside it.

use std::{fs, time::Duration};

use anyhow::{Context, Result};
use aya::Ebpf;
use beeline::{
    dataplane::{Dataplane, DataplaneSettings, load},
    zone::{Answer, Name},
};
use beeline_tests::{cluster::ZONE, node::CLUSTER_DNS};

/// More than any table here takes.
const MAX_MEMORY: u64 = 1 << 30;
/// Longer than the benchmark: nothing beats the heart while rounds run.
const STALE_AFTER: Duration = Duration::from_secs(24 * 3600);
/// Any serial.
pub(crate) const SERIAL: u32 = 1;

/// The product with an empty table, beating, not hooked.
pub(crate) fn empty_dataplane() -> Result<Dataplane> {
    let settings = DataplaneSettings {
        addresses: vec![CLUSTER_DNS.v4.into()],
        zone: ZONE.parse()?,
        ttl: 30,
        max_size: 1232,
        stale_after: STALE_AFTER,
        max_memory: MAX_MEMORY,
        debug: false,
    };
    let mut dataplane =
        Dataplane::load(&settings).context("the dataplane cannot be loaded; this needs root")?;
    dataplane.beat()?;
    Ok(dataplane)
}

/// Makes an empty table answer `zone`.
pub(crate) fn fill(dataplane: &mut Dataplane, zone: &[(Name, Answer)]) -> Result<()> {
    Ok(dataplane.fill(|| zone.iter().map(|(name, answer)| (name, answer)), SERIAL)?)
}

/// The programs that the product is compared with.
pub(crate) fn probes() -> Result<Ebpf> {
    let object = crate::target().join("bpf/probes.o");
    let bytes = fs::read(&object)
        .with_context(|| format!("cannot read {}: run `cargo xtask build-ebpf`", object.display()))?;
    Ok(load(&bytes, false)?)
}
