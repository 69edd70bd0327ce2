//! The client: one query in flight, waiting in a busy loop.
//!
//! In: a pod, a server's address, a number of names. Out: round trips in nanoseconds. The names asked for are uniformly
//! random. A sleeping reader would measure the scheduler, so it never sleeps.

use std::{
    io,
    net::{Ipv4Addr, UdpSocket},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use beeline_tests::Pod;
use rand::{Rng as _, SeedableRng as _, rngs::StdRng};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use serde::Serialize;

use crate::{
    names::{self, Query},
    rounds::nanoseconds,
};

/// How long a reply may take.
const PATIENCE: Duration = Duration::from_millis(200);
/// So many queries without a reply one after the other are no chance.
const UNANSWERED_IN_A_ROW: usize = 5;

/// Shares of the round trips of one slice.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(crate) struct Trips {
    /// Half of them took at most that, in nanoseconds.
    pub(crate) p50_ns: f64,
    /// 99 of a hundred took at most that, in nanoseconds.
    pub(crate) p99_ns: f64,
}

/// A client in a pod, of one server.
pub(crate) struct Client {
    socket: UdpSocket,
    query: Query,
    random: StdRng,
    id: u16,
}

impl Client {
    /// A socket in the pod's network, used from wherever the caller is; its replies can only come from `server`.
    pub(crate) fn new(pod: &Pod, server: Ipv4Addr) -> Result<Self> {
        let connected = pod.namespace.enter(|| {
            let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
            socket.connect((server, 53))?;
            socket.set_nonblocking(true)?;
            Ok::<_, io::Error>(socket)
        });
        let socket = connected.with_context(|| format!("the pod has no way to {server}"))?;
        // The same names in every run and for every server.
        Ok(Self { socket, query: Query::new()?, random: StdRng::seed_from_u64(53), id: 0 })
    }

    /// Asks that many times, and a quarter as often before that, uncounted.
    pub(crate) fn ask(&mut self, names: u32, queries: usize) -> Result<Trips> {
        for _ in 0..warm_up(queries) {
            self.round_trip(names)?;
        }
        let mut times = Vec::with_capacity(queries);
        for _ in 0..queries {
            times.push(self.round_trip(names)?);
        }
        times.sort_unstable();
        let share = |percent: usize| times.get(times.len() * percent / 100).copied().unwrap_or_default();
        Ok(Trips { p50_ns: nanoseconds(share(50)), p99_ns: nanoseconds(share(99)) })
    }

    /// One round trip that was answered; of those that were not, some few are let go.
    fn round_trip(&mut self, names: u32) -> Result<Duration> {
        for _ in 0..UNANSWERED_IN_A_ROW {
            if let Some(took) = self.attempt(names)? {
                return Ok(took);
            }
        }
        bail!("nobody answers queries for names like {}", names::text(0))
    }

    /// `None` where nobody answers: Beeline passes one query of 65,536 on, whose checksum can be read in two ways, and
    /// behind it there need not be anybody.
    fn attempt(&mut self, names: u32) -> Result<Option<Duration>> {
        self.id = self.id.wrapping_add(1);
        let number = self.random.random_range(0..names);
        let message = self.query.message(self.id, number);
        let mut buffer = [0; 2048];
        let sent = Instant::now();
        self.socket.send(message).context("the query cannot be sent")?;
        loop {
            match self.socket.recv(&mut buffer) {
                Ok(length) if length > 2 && buffer[..2] == self.id.to_be_bytes() => {
                    return Ok(Some(sent.elapsed()));
                }
                // A late reply to a query that was given up.
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    if sent.elapsed() > PATIENCE {
                        return Ok(None);
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => return Ok(None),
                Err(error) => return Err(error).context("the socket reports an error"),
            }
        }
    }
}

/// Queries of [`Client::ask`] that are not counted.
pub(crate) const fn warm_up(queries: usize) -> usize {
    queries.div_ceil(4)
}

/// The calling thread on the last of its CPUs, until this value goes: the client and the programs that answer it share
/// one. Not for longer: what a thread starts inherits its CPUs, and servers shall have all.
pub(crate) struct OneCpu(CpuSet);

impl OneCpu {
    pub(crate) fn stay() -> Result<Self> {
        let all = sched_getaffinity(None).context("the CPUs of this thread are not to be had")?;
        let last =
            (0..CpuSet::MAX_CPU).rev().find(|cpu| all.is_set(*cpu)).context("this thread has no CPU")?;
        let mut only = CpuSet::new();
        only.set(last);
        sched_setaffinity(None, &only).context("the client cannot be kept on one CPU")?;
        Ok(Self(all))
    }
}

impl Drop for OneCpu {
    fn drop(&mut self) {
        if let Err(error) = sched_setaffinity(None, &self.0) {
            eprintln!("warning: the benchmark stays on one CPU: {error}");
        }
    }
}
