//! CoreDNS in the node's namespace: the cluster's DNS server, behind the DNAT of [`crate::node`].
//!
//! In: the records of its zones. Out: a running server that counts the queries it saw. It runs no `cache`, whose answers
//! lag behind the zone by up to 30 s; for the rest it is as in kubeadm's Corefile, with zone files in the place of an API.

use std::{
    fs,
    io::{Read, Write},
    net::{Ipv4Addr, TcpStream},
    path::PathBuf,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use hickory_proto::{op::ResponseCode, rr::RecordType};

use crate::{Namespace, Node, ask::Ask, child::Child, node::GATEWAY, peers, records::Records};

const METRICS_PORT: u16 = 9153;
/// A zone of 100,000 names takes CoreDNS a few seconds to read.
const START: Duration = Duration::from_secs(60);
const RELOAD: Duration = Duration::from_secs(5);

/// A running CoreDNS.
#[derive(Debug)]
pub struct CoreDns {
    child: Child,
    namespace: Namespace,
    folder: PathBuf,
    serial: u32,
}

impl CoreDns {
    /// Starts CoreDNS for these zones and waits until it answers.
    ///
    /// # Errors
    /// When it cannot be built or started, or does not answer; with the end of its log.
    pub fn start(node: &Node, zones: &[Records]) -> Result<Self> {
        let binary = peers::coredns()?;
        let folder = node.run().folder().join("coredns");
        fs::create_dir_all(&folder).with_context(|| format!("{} cannot be made", folder.display()))?;
        let serial = 1;
        for records in zones {
            fs::write(folder.join(records.zone()), records.zone_file(serial))?;
        }
        let corefile = folder.join("Corefile");
        fs::write(&corefile, configuration(zones))?;
        let namespace = node.namespace().clone();
        let mut command = namespace.command(binary);
        command.arg("-conf").arg(&corefile).current_dir(&folder);
        let mut child = Child::start("coredns", &mut command, node.run().folder())?;
        let zone = zones.first().context("CoreDNS needs a zone")?.zone().to_owned();
        let probe = Ask::new(&zone, RecordType::SOA)?;
        child.wait_until(START, |_| {
            let replies = || GATEWAY.each().into_iter().all(|server| probe.udp(server).is_ok_and(answered));
            namespace.enter(replies)
        })?;
        Ok(Self { child, namespace, folder, serial })
    }

    /// Gives a zone new records and waits until CoreDNS has taken them.
    ///
    /// # Errors
    /// When they cannot be written, or it does not take them within some seconds.
    pub fn update(&mut self, records: &Records) -> Result<()> {
        self.serial += 1;
        let (file, fresh) = (self.folder.join(records.zone()), self.folder.join(".fresh"));
        fs::write(&fresh, records.zone_file(self.serial))?;
        fs::rename(&fresh, &file)?;
        let taken = format!("Successfully reloaded zone \"{}.\"", records.zone());
        let serial = format!("with {} SOA serial", self.serial);
        self.child.wait_until(RELOAD, |child| {
            child.log().lines().any(|line| line.contains(&taken) && line.contains(&serial))
        })?;
        Ok(())
    }

    /// How many queries it has answered since its start. It counts after it has replied: see [`CoreDns::saw`].
    ///
    /// # Errors
    /// When its metrics are not to be had.
    pub fn queries(&self) -> Result<u64> {
        let metrics = self.namespace.enter(fetch_metrics).context("CoreDNS does not give its metrics")?;
        Ok(total(&metrics, "coredns_dns_requests_total"))
    }

    /// Waits until it has answered `count` queries more than `before`; more than those are an error.
    ///
    /// # Errors
    /// When it has answered more of them, or fewer after a second.
    pub fn saw(&self, before: u64, count: u64) -> Result<()> {
        let deadline = Instant::now() + Duration::from_secs(1);
        loop {
            let seen = self.queries()? - before;
            ensure!(seen <= count, "CoreDNS saw {seen} queries where {count} were to reach it");
            if seen == count {
                return Ok(());
            }
            if Instant::now() > deadline {
                bail!("CoreDNS saw {seen} queries where {count} were to reach it");
            }
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// Lets it live on after this value and this process.
    pub fn leave(&mut self) {
        self.child.leave();
    }
}

fn answered(reply: crate::ask::Reply) -> bool {
    reply.code() == ResponseCode::NoError && !reply.message.answers.is_empty()
}

fn configuration(zones: &[Records]) -> String {
    let mut text = format!(
        ".:53 {{\n  bind {} {}\n  errors\n  prometheus {}:{METRICS_PORT}\n  loadbalance\n",
        GATEWAY.v4,
        GATEWAY.v6,
        Ipv4Addr::LOCALHOST
    );
    for zone in zones.iter().map(Records::zone) {
        text += &format!("  file {zone} {zone} {{\n    reload 50ms\n  }}\n");
    }
    text + "}\n"
}

fn fetch_metrics() -> Result<String> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, METRICS_PORT))?;
    stream.write_all(b"GET /metrics HTTP/1.0\r\n\r\n")?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    Ok(text)
}

/// The sum of a counter over all its labels, from the text format of Prometheus.
fn total(metrics: &str, counter: &str) -> u64 {
    metrics
        .lines()
        .filter_map(|line| line.strip_prefix(counter)?.strip_prefix('{')?.rsplit_once("} "))
        // Whole numbers below a million are written as such; greater ones as 1.234567e+06.
        .filter_map(|(_, value)| value.trim().parse::<f64>().ok())
        .map(whole)
        .sum()
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a count of queries is whole and small"
)]
fn whole(value: f64) -> u64 {
    value as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_counter_is_summed_over_its_labels() {
        let metrics = "# TYPE coredns_dns_requests_total counter\n\
             coredns_dns_requests_total{family=\"1\",proto=\"udp\"} 7\n\
             coredns_dns_requests_total{family=\"2\",proto=\"tcp\"} 1.000002e+06\n\
             coredns_dns_responses_total{rcode=\"NOERROR\"} 5\n";
        assert_eq!(total(metrics, "coredns_dns_requests_total"), 1_000_009);
    }

    #[test]
    fn a_counter_that_is_not_there_yet_is_zero() {
        assert_eq!(total("", "coredns_dns_requests_total"), 0);
    }
}
