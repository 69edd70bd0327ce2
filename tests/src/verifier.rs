//! How many instructions the kernel's verifier walks.
//!
//! In: the kernel object, and the same object loaded, whose maps stand in for the references. Out: a count for each
//! program. The kernel tells it in the verifier's log, since 5.2; a loaded program's info tells it only since 5.16.
//! Nothing stays: each program loaded here goes at once.
#![expect(
    unsafe_code,
    reason = "aya keeps the verifier's log of a success to itself: the system call is made by hand"
)]

use std::collections::{BTreeMap, HashSet};
use std::ffi::c_long;
use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd, RawFd};

use anyhow::{Context as _, Result, bail};
use aya::Ebpf;
use aya::maps::Map;
use aya_obj::Object;
use aya_obj::generated::{
    bpf_attr, bpf_cmd::BPF_PROG_LOAD, bpf_insn, bpf_prog_type::BPF_PROG_TYPE_SCHED_CLS,
};

/// `BPF_LOG_STATS` of the kernel's `linux/bpf_verifier.h`: no log but its last lines.
const STATS: u32 = 4;

/// Instructions walked, by program.
///
/// # Errors
/// When the object is none, or the kernel refuses a program.
pub fn walked(object: &[u8], loaded: &Ebpf) -> Result<BTreeMap<String, u64>> {
    let mut object = Object::parse(object).context("the kernel object cannot be parsed")?;
    let text: HashSet<usize> = object.functions.keys().map(|(section, _)| *section).collect();
    let definitions = std::mem::take(&mut object.maps);
    let maps = definitions
        .iter()
        .map(|(name, definition)| Ok((name.as_str(), map_fd(loaded, name)?, definition)))
        .collect::<Result<Vec<_>>>()?;
    object.relocate_maps(maps.into_iter(), &text)?;
    object.relocate_calls(&text)?;
    let mut walked = BTreeMap::new();
    for (name, program) in &object.programs {
        let instructions = &object.functions[&program.function_key()].instructions;
        let log = load(instructions, &program.license).with_context(|| {
            format!("the kernel refuses the program {name} when it is loaded for its statistics")
        })?;
        let count = processed(&log)
            .with_context(|| format!("no count of instructions in the verifier's log: {log}"))?;
        walked.insert(name.clone(), count);
    }
    Ok(walked)
}

fn map_fd(loaded: &Ebpf, name: &str) -> Result<RawFd> {
    let map = loaded.map(name).with_context(|| format!("the loaded object has no map {name}"))?;
    let fd: BorrowedFd<'_> = match map {
        Map::Array(data) | Map::ArrayOfMaps(data) | Map::PerCpuArray(data) | Map::RingBuf(data) => {
            data.fd().as_fd()
        }
        other => bail!("map {name} is of a kind that is not expected here: {other:?}"),
    };
    Ok(fd.as_raw_fd())
}

/// Loads a program, lets go of it, and gives what the verifier wrote.
fn load(instructions: &[bpf_insn], license: &std::ffi::CStr) -> Result<String> {
    let mut log = vec![0_u8; 4096];
    // SAFETY: the kernel takes zero as "not given" in every field.
    let mut attributes: bpf_attr = unsafe { std::mem::zeroed() };
    // SAFETY: a union of plain integers.
    let load = unsafe { &mut attributes.__bindgen_anon_3 };
    load.prog_type = BPF_PROG_TYPE_SCHED_CLS as u32;
    load.insns = instructions.as_ptr() as u64;
    load.insn_cnt = u32::try_from(instructions.len())?;
    load.license = license.as_ptr() as u64;
    load.log_level = STATS;
    load.log_buf = log.as_mut_ptr() as u64;
    load.log_size = u32::try_from(log.len())?;
    // SAFETY: the pointers in the attributes outlive the call, and the lengths beside them are theirs.
    let fd = unsafe {
        libc::syscall(libc::SYS_bpf, BPF_PROG_LOAD as c_long, &raw mut attributes, size_of::<bpf_attr>())
    };
    let written = String::from_utf8_lossy(&log).trim_end_matches('\0').to_owned();
    if fd < 0 {
        return Err(io::Error::last_os_error()).context(written);
    }
    // SAFETY: a descriptor that the kernel has just made for us.
    drop(unsafe { OwnedFd::from_raw_fd(RawFd::try_from(fd)?) });
    Ok(written)
}

/// The count in `processed 85000 insns (limit 1000000) …`.
fn processed(log: &str) -> Option<u64> {
    let (_, said) = log.rsplit_once("processed ")?;
    said.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn count_is_read_from_the_logs_last_line() {
        let log = "verification time 50 usec\nprocessed 85123 insns (limit 1000000) max_states_per_insn 4\n";
        assert_eq!(processed(log), Some(85_123));
        assert_eq!(processed("invalid access"), None);
    }
}
