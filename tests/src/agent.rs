//! The agent under test, in the node's namespace.
//!
//! In: a folder of manifests. Out: a running `beeline`, its log, and ways to end it. Never here: knowledge of how it
//! answers; who answered is told by the node's counters.

use std::{
    path::Path,
    process::ExitStatus,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};

use crate::{
    Node, Pod,
    ask::{Ask, Reply},
    child::Child,
    node::CLUSTER_DNS,
    peers,
};

/// How long the agent may take until it answers, and until it has ended.
const LIMIT: Duration = Duration::from_secs(10);

/// Who made a reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answerer {
    /// The program at the pod's device: no query came as far as the node's network stack.
    Kernel,
    /// The cluster's DNS server: the query went its usual way.
    CoreDns,
}

/// A running agent.
#[derive(Debug)]
pub struct Agent {
    child: Child,
}

impl Agent {
    /// Starts `beeline run` on a folder of manifests, for the cluster's DNS address in both families.
    ///
    /// # Errors
    /// When the binary is missing or old, or cannot be started.
    pub fn start(node: &Node, manifests: &Path) -> Result<Self> {
        let mut command = node.namespace().command(peers::beeline()?);
        command.arg("run").arg("--source").arg(format!("files:{}", manifests.display()));
        for address in CLUSTER_DNS.each() {
            command.arg("--dns-address").arg(address.to_string());
        }
        Ok(Self { child: Child::start("beeline", &mut command, node.run().folder())? })
    }

    /// Waits until a query from that pod is answered in the kernel; says how long that took.
    ///
    /// # Errors
    /// When the agent ends, or time runs out; with the end of its log.
    pub fn wait_until_answering(&mut self, node: &Node, pod: &Pod, ask: &Ask) -> Result<Duration> {
        self.child.wait_until(LIMIT, |_| {
            let answered = who_answers(node, pod, CLUSTER_DNS.v4.into(), ask);
            answered.is_ok_and(|(_, who)| who == Answerer::Kernel)
        })
    }

    /// Ends it by SIGTERM.
    ///
    /// # Errors
    /// When it does not end in time.
    pub fn terminate(&mut self) -> Result<ExitStatus> {
        self.child.terminate(LIMIT)
    }

    /// Ends it by SIGKILL.
    ///
    /// # Errors
    /// When it is gone already.
    pub fn kill(&mut self) -> Result<ExitStatus> {
        self.child.kill()
    }

    /// How it ended, if it has.
    ///
    /// # Errors
    /// When the kernel does not tell.
    pub fn ended(&mut self) -> Result<Option<ExitStatus>> {
        self.child.ended()
    }

    /// All that it has logged so far.
    pub fn log(&self) -> String {
        self.child.log()
    }

    /// Lets it live on after this value and this process.
    pub fn leave(&mut self) {
        self.child.leave();
    }
}

impl Drop for Agent {
    /// A test that fails loses its folder, and the log with it: it is shown before.
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the log of beeline:\n{}", self.child.log());
        }
    }
}

/// Asks over UDP from a pod; tells the reply and who made it.
///
/// # Errors
/// When there is no reply, or the node counted more queries than the one.
pub fn who_answers(node: &Node, pod: &Pod, server: std::net::IpAddr, ask: &Ask) -> Result<(Reply, Answerer)> {
    let before = node.passed()?;
    let reply =
        pod.namespace.enter(|| ask.udp(server)).with_context(|| format!("asked from {}", pod.name))?;
    let passed = node.passed()?.udp - before.udp;
    match passed {
        0 => Ok((reply, Answerer::Kernel)),
        1 => Ok((reply, Answerer::CoreDns)),
        more => bail!("one query was sent and {more} came as far as the node: something else asks meanwhile"),
    }
}

/// Asks over UDP from a pod, again and again without a pause, until the reply is as wished; says how long that took
/// since `since`.
///
/// # Errors
/// When there is no reply, or none as wished within ten seconds.
pub fn ask_until(
    pod: &Pod,
    ask: &Ask,
    since: Instant,
    mut wished: impl FnMut(&Reply) -> bool + Send,
) -> Result<(Reply, Duration)> {
    pod.namespace.enter(|| {
        loop {
            let reply = ask.udp(CLUSTER_DNS.v4.into())?;
            if wished(&reply) {
                return Ok((reply, since.elapsed()));
            }
            if since.elapsed() > LIMIT {
                bail!("after {} s the answer is still {:?}", LIMIT.as_secs(), reply.addresses());
            }
        }
    })
}
