//! The page that the demo prints.
//!
//! In: what the acts saw. Out: text for a person, in colour on a terminal, and the verdict whether it was as promised.

use std::{
    collections::BTreeMap,
    net::IpAddr,
    process::ExitCode,
    time::{Duration, Instant},
};

use anstream::println;
use anstyle::{AnsiColor, Style};
use beeline_tests::{
    Cluster,
    agent::Answerer,
    cluster::{CLIENT, OUTSIDE},
    node::{CLUSTER_DNS, GATEWAY},
};
use comfy_table::{CellAlignment, Table, presets::UTF8_BORDERS_ONLY};

use crate::acts::{Followed, Killed, NEW_PODS, Outside, Row, SERVICE, UNREADY};

const BOLD: Style = Style::new().bold();
const FAINT: Style = Style::new().dimmed();
const GOOD: Style = AnsiColor::Green.on_default().bold();
const BAD: Style = AnsiColor::Red.on_default().bold();

/// How many pods a line of the topology holds.
const PODS_A_LINE: usize = 6;

/// See the module.
pub(crate) struct Page {
    began: Instant,
    broken: Vec<String>,
}

impl Page {
    pub(crate) fn new() -> Self {
        println!("{BOLD}Beeline: pods' DNS, answered from the kernel{BOLD:#}\n");
        Self { began: Instant::now(), broken: Vec::new() }
    }

    /// Says what is being done, with the seconds since the beginning.
    pub(crate) fn step(&self, text: &str) {
        println!("{FAINT}{:5.1} s{FAINT:#}  {text}", self.began.elapsed().as_secs_f64());
    }

    pub(crate) fn raised(&self, cluster: &Cluster) {
        let pods = cluster.node().pods().len();
        self.step(&format!("{pods} pods stand, and CoreDNS answers them at {}", CLUSTER_DNS.v4));
    }

    pub(crate) fn started(&self, took: Duration) {
        self.step(&format!("beeline answers from the kernel, {} after its start", span(took)));
    }

    /// Draws the node and its pods.
    pub(crate) fn topology(&self, cluster: &Cluster) {
        headline("The node, made of network namespaces");
        let pods: Vec<_> = cluster.node().pods().iter().collect();
        for line in pods.chunks(PODS_A_LINE) {
            let each = |text: &dyn Fn(&str, &str) -> String| -> String {
                line.iter()
                    .map(|pod| {
                        let address =
                            pod.address(false).map(|address| address.to_string()).unwrap_or_default();
                        format!("{:^14}", text(&pod.name, &address))
                    })
                    .collect()
            };
            println!("   {BOLD}{}{BOLD:#}", each(&|name, _| name.to_owned()).trim_end());
            println!("   {}", each(&|_, address| address.to_owned()).trim_end());
            println!("   {GOOD}{}{GOOD:#}", each(&|_, _| "▼ beeline".to_owned()).trim_end());
            println!("   {}", "━".repeat(14 * line.len()));
        }
        println!(
            "   br0 {} ── DNAT {}:53 ──▶ {BOLD}CoreDNS{BOLD:#} {}:53\n\n\
             \x20  A query goes down from its pod. Where beeline can answer it, it goes no further.\n\
             \x20  Both families: {} and {}. Clients run in the pod {BOLD}{CLIENT}{BOLD:#}.",
            GATEWAY.v4, CLUSTER_DNS.v4, GATEWAY.v4, CLUSTER_DNS.v4, CLUSTER_DNS.v6
        );
    }

    /// The table of names.
    pub(crate) fn names(&mut self, rows: &[Row]) {
        let zone = [".default.svc.cluster.local", ".svc.cluster.local"];
        let zone =
            zone.into_iter().find(|zone| rows.iter().all(|row| row.name.ends_with(zone))).unwrap_or_default();
        headline(&format!("Name by name (below {zone}; round trips p50, one query in flight)"));
        let mut table = Table::new();
        table.load_preset(UTF8_BORDERS_ONLY);
        table.set_header(["name", "answered by", "addresses", "kernel", "CoreDNS", "ratio"]);
        for row in rows {
            let ratio = row.coredns.as_secs_f64() / row.beeline.as_secs_f64();
            table.add_row([
                row.name.trim_end_matches(zone).to_owned(),
                answerer(&row.answerers),
                short(&row.addresses),
                span(row.beeline),
                span(row.coredns),
                format!("{ratio:.0} x"),
            ]);
        }
        for column in table.column_iter_mut().skip(3) {
            column.set_cell_alignment(CellAlignment::Right);
        }
        println!("{table}");
        if let Some((beeline, coredns)) = medians(rows) {
            let ratio = coredns.as_secs_f64() / beeline.as_secs_f64();
            let (beeline, coredns) = (span(beeline), span(coredns));
            println!(
                " The median name: kernel {BOLD}{beeline}{BOLD:#}, CoreDNS {coredns}: {BOLD}{ratio:.0} x{BOLD:#}"
            );
        }
        let kept = rows.iter().filter(|row| row.as_promised()).count();
        self.verdict(
            kept == rows.len() && !rows.is_empty(),
            &format!(
                "{kept} of {} names answered in the kernel, A and AAAA, as the manifests say",
                rows.len()
            ),
        );
        for row in rows.iter().filter(|row| !row.as_promised()) {
            println!("    {}: the manifests say {}", row.name, short(&row.expected));
        }
    }

    pub(crate) fn outside(&mut self, seen: &Outside) {
        headline("A name outside of the cluster");
        let text = format!(
            "{} = {}, answered by {} in {}",
            OUTSIDE.1,
            short(&seen.addresses),
            answerer(&[seen.answerer]),
            span(seen.took)
        );
        self.verdict(seen.answerer == Answerer::CoreDns && seen.addresses.len() == 1, &text);
    }

    pub(crate) fn scaling(&mut self, seen: &Followed) {
        headline(&format!("StatefulSet mysql scaled from 3 to 5: {} come", NEW_PODS.join(" and ")));
        self.followed(seen, seen.before.len() == 3 && seen.after.len() == 5);
    }

    pub(crate) fn unready(&mut self, seen: &Followed) {
        headline(&format!("Pod {UNREADY} turns unready"));
        self.followed(seen, seen.after.len() + 1 == seen.before.len());
    }

    pub(crate) fn killing(&mut self, seen: &Killed) {
        headline("beeline killed (SIGKILL)");
        self.verdict(
            seen.resolved == seen.names && seen.unanswered == 0,
            &format!(
                "{} of {} names resolve by CoreDNS, {} after the kill; {} queries meanwhile, {} unanswered",
                seen.resolved,
                seen.names,
                span(seen.took),
                seen.queries,
                seen.unanswered
            ),
        );
    }

    /// What to type into a demo that is left standing.
    pub(crate) fn what_to_type(&self, cluster: &Cluster) {
        headline("It is left standing; to type, as root");
        let client = cluster.client().namespace.name();
        let folder = cluster.node().run().folder().display();
        for (command, what) in [
            (format!("ip netns exec {client} dig {SERVICE}"), "a query from a pod, answered in the kernel"),
            (
                format!("ip netns exec {client} getent ahosts my-database"),
                "the same by glibc, over the search path",
            ),
            (format!("ip netns exec {client} dig {}", OUTSIDE.1), "a query that goes on to CoreDNS"),
            (format!("$EDITOR {}", cluster.manifests().display()), "change manifests, and ask again"),
            (format!("tail -f {folder}/beeline.log"), "what beeline says"),
            ("cargo xtask demo --remove".to_owned(), "take everything away"),
        ] {
            println!("   {BOLD}{command}{BOLD:#}\n       {FAINT}{what}{FAINT:#}");
        }
    }

    /// The closing lines and the exit code.
    pub(crate) fn close(&self) -> ExitCode {
        let seconds = self.began.elapsed().as_secs_f64();
        if self.broken.is_empty() {
            println!("\n{GOOD}All as promised{GOOD:#}, in {seconds:.1} s.");
            return ExitCode::SUCCESS;
        }
        println!("\n{BAD}Not as promised{BAD:#}, after {seconds:.1} s:");
        for broken in &self.broken {
            println!("  - {broken}");
        }
        ExitCode::FAILURE
    }

    fn followed(&mut self, seen: &Followed, counted: bool) {
        let text = format!(
            "{} addresses, then {}: {} answers with {} after {}",
            seen.before.len(),
            seen.after.len(),
            answerer(&[seen.answerer]),
            short(&seen.after),
            span(seen.took)
        );
        self.verdict(counted && seen.answerer == Answerer::Kernel, &text);
    }

    fn verdict(&mut self, kept: bool, text: &str) {
        if kept {
            println!(" {GOOD}✓{GOOD:#} {text}");
        } else {
            println!(" {BAD}✗{BAD:#} {text}");
            self.broken.push(text.to_owned());
        }
    }
}

fn headline(text: &str) {
    println!("\n{BOLD}{text}{BOLD:#}\n");
}

fn answerer(answerers: &[Answerer]) -> String {
    let all = |wanted| answerers.iter().all(|answerer| *answerer == wanted);
    if all(Answerer::Kernel) {
        "kernel".to_owned()
    } else if all(Answerer::CoreDns) {
        "CoreDNS".to_owned()
    } else {
        "both".to_owned()
    }
}

/// The medians of the names' medians, in the kernel and from CoreDNS.
fn medians(rows: &[Row]) -> Option<(Duration, Duration)> {
    let median = |time: fn(&Row) -> Duration| {
        let mut times: Vec<Duration> = rows.iter().map(time).collect();
        times.sort_unstable();
        times.get(times.len() / 2).copied()
    };
    median(|row| row.beeline).zip(median(|row| row.coredns))
}

/// IPv4 addresses with what they have in common written once; IPv6 ones beside them are counted.
fn short(addresses: &[IpAddr]) -> String {
    let mut networks: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut v6 = 0;
    if addresses.iter().all(IpAddr::is_ipv6) {
        let texts: Vec<String> = addresses.iter().map(ToString::to_string).collect();
        return if texts.is_empty() { "none".to_owned() } else { texts.join(" ") };
    }
    for address in addresses {
        match address {
            IpAddr::V4(address) => {
                let [a, b, c, d] = address.octets();
                networks.entry(format!("{a}.{b}.{c}")).or_default().push(format!(".{d}"));
            }
            IpAddr::V6(_) => v6 += 1,
        }
    }
    let mut parts: Vec<String> =
        networks.into_iter().map(|(network, hosts)| format!("{network}{}", hosts.join(" "))).collect();
    if v6 > 0 {
        parts.push(format!("+ {v6} IPv6"));
    }
    parts.join(" ")
}

/// A time as a person reads it.
fn span(time: Duration) -> String {
    let seconds = time.as_secs_f64();
    if seconds < 1e-3 {
        format!("{:.1} µs", seconds * 1e6)
    } else if seconds < 1.0 {
        format!("{:.1} ms", seconds * 1e3)
    } else {
        format!("{seconds:.1} s")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_one_network_are_written_short() {
        let addresses = ["10.244.0.10", "10.244.0.11", "fd00::10"].map(|address| address.parse().unwrap());
        assert_eq!(short(&addresses), "10.244.0.10 .11 + 1 IPv6");
        assert_eq!(short(&addresses[2..]), "fd00::10");
        assert_eq!(short(&[]), "none");
    }

    #[test]
    fn times_have_the_unit_that_fits() {
        assert_eq!(span(Duration::from_nanos(2_440)), "2.4 µs");
        assert_eq!(span(Duration::from_millis(12)), "12.0 ms");
        assert_eq!(span(Duration::from_secs(2)), "2.0 s");
    }
}
