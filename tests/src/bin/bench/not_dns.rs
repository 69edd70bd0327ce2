//! What a packet costs that is not DNS: Beeline's program beside one that does nothing.
//!
//! In: packets of three kinds. Out: nanoseconds of a run. The kernel runs a program on one packet many times
//! (`BPF_PROG_TEST_RUN`), and the whole is timed: its statistics would add two readings of the clock to every run, which
//! take longer than the run and would flatter the ratio. Both sides have the same packet and the kernel's same loop.

use std::time::Instant;

use anyhow::{Context, Result, ensure};
use aya::programs::{SchedClassifier, TestRun as _, TestRunOptions};
use serde::Serialize;

use crate::{
    bed::program,
    client::OneCpu,
    kernel,
    plan::Plan,
    rounds::{count, median, nanoseconds},
};

/// `TC_ACT_UNSPEC` of the kernel's `linux/pkt_cls.h`: the packet goes on.
const UNSPEC: u32 = u32::MAX;

/// What was measured of one kind of packet.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct NotDns {
    pub(crate) packet: &'static str,
    pub(crate) empty_ns: f64,
    pub(crate) beeline_ns: f64,
    /// Within a round.
    pub(crate) over_empty: f64,
}

/// Measures packets of every kind.
pub(crate) fn measure(plan: &Plan) -> Result<Vec<NotDns>> {
    let mut dataplane = kernel::empty_dataplane()?;
    let mut probes = kernel::probes()?;
    let _one_cpu = OneCpu::stay()?;
    let packets = [("TCP over IPv4", tcp_v4()), ("UDP over IPv4", udp_v4()), ("TCP over IPv6", tcp_v6())];
    let one = |(packet, frame): &(&'static str, Vec<u8>)| {
        let mut rounds = Vec::with_capacity(plan.rounds);
        for _ in 0..plan.rounds {
            let empty = time(program(&mut probes, "empty")?, frame, plan.runs)?;
            let beeline = time(program(dataplane.ebpf(), "beeline")?, frame, plan.runs)?;
            rounds.push((empty, beeline));
        }
        Ok(NotDns {
            packet,
            empty_ns: median(rounds.iter().map(|(empty, _)| *empty)),
            beeline_ns: median(rounds.iter().map(|(_, beeline)| *beeline)),
            over_empty: median(rounds.iter().map(|(empty, beeline)| beeline / empty)),
        })
    };
    packets.iter().map(one).collect()
}

/// Nanoseconds of one run.
fn time(program: &SchedClassifier, frame: &[u8], runs: u32) -> Result<f64> {
    let options = TestRunOptions { data_in: Some(frame), repeat: runs, ..TestRunOptions::default() };
    let began = Instant::now();
    let ran = program.test_run(options).context("the kernel does not run the program on a packet")?;
    let took = began.elapsed();
    ensure!(ran.return_value == UNSPEC, "a packet that is no query was not passed on: {}", ran.return_value);
    Ok(nanoseconds(took) / count(runs.into()))
}

const MACS: [u8; 12] = [2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2];
/// From port 40000 to port 8080.
const PORTS: [u8; 4] = [0x9c, 0x40, 0x1f, 0x90];

fn tcp_v4() -> Vec<u8> {
    ipv4(6)
}

fn udp_v4() -> Vec<u8> {
    ipv4(17)
}

/// 32 bytes behind the header, which start with two ports in TCP and in UDP.
fn ipv4(protocol: u8) -> Vec<u8> {
    let header = [0x45, 0, 0, 52, 0, 0, 0x40, 0, 64, protocol, 0, 0, 10, 244, 0, 250, 10, 244, 0, 1];
    [&MACS[..], &[0x08, 0x00], &header, &PORTS, &[0; 28]].concat()
}

fn tcp_v6() -> Vec<u8> {
    let header = [0x60, 0, 0, 0, 0, 32, 6, 64];
    let address = |last| [0xfd, 0, 0, 0x10, 2, 0x44, 0, 0, 0, 0, 0, 0, 0, 0, 0, last];
    [&MACS[..], &[0x86, 0xdd], &header, &address(0xfa), &address(1), &PORTS, &[0; 28]].concat()
}
