//! The same records for every peer: what Beeline answers from its maps, another server answers from these.
//!
//! In: names with their addresses, and record lines. Out: a zone file (RFC 1035, 5) and unbound's `local-data`. Pure.

use std::{fmt::Write as _, net::IpAddr};

/// Seconds that a record may be kept: what kubeadm's Corefile says.
const TTL: u32 = 30;

/// The records of one zone.
#[derive(Clone, Debug)]
pub struct Records {
    zone: String,
    lines: Vec<String>,
}

impl Records {
    /// No records yet, in a zone such as `cluster.local`.
    pub fn new(zone: &str) -> Self {
        Self { zone: zone.to_owned(), lines: Vec::new() }
    }

    /// Adds the addresses of a full name, written without a dot at its end.
    pub fn add_addresses(&mut self, name: &str, addresses: &[IpAddr]) {
        for address in addresses {
            let kind = if address.is_ipv6() { "AAAA" } else { "A" };
            self.add(name, kind, &address.to_string());
        }
    }

    /// Adds one record: of a full name without a dot at its end, a type, and data as a zone file writes it.
    pub fn add(&mut self, name: &str, kind: &str, data: &str) {
        self.lines.push(format!("{name}. {TTL} IN {kind} {data}"));
    }

    /// The zone that they are in.
    pub fn zone(&self) -> &str {
        &self.zone
    }

    /// As a zone file, with the SOA that CoreDNS's kubernetes plugin gives. A server takes a changed file when its
    /// serial is greater.
    pub fn zone_file(&self, serial: u32) -> String {
        let zone = &self.zone;
        let mut text = format!(
            "$ORIGIN {zone}.\n\
             @ {TTL} IN SOA ns.dns.{zone}. hostmaster.{zone}. {serial} 7200 1800 86400 {TTL}\n\
             @ {TTL} IN NS ns.dns.{zone}.\n"
        );
        for line in &self.lines {
            text.push_str(line);
            text.push('\n');
        }
        text
    }

    /// As lines of unbound's configuration. A name that is missing is NXDOMAIN there, as in the zone file.
    pub fn unbound(&self) -> String {
        let mut text = format!("  local-zone: \"{}.\" static\n", self.zone);
        for line in &self.lines {
            // Writing to a String cannot fail.
            let _ = writeln!(text, "  local-data: '{line}'");
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_families_of_a_name_stand_in_the_zone_file() {
        let text = database().zone_file(7);
        assert!(text.contains("\nmy-database.default.svc.cluster.local. 30 IN A 10.244.0.10\n"), "{text}");
        assert!(
            text.contains("\nmy-database.default.svc.cluster.local. 30 IN AAAA fd00:10:244::10\n"),
            "{text}"
        );
        assert!(text.contains(" 7 7200 1800 86400 30\n"), "{text}");
    }

    #[test]
    fn unbound_gets_the_same_records() {
        let text = database().unbound();
        let line = "\n  local-data: 'my-database.default.svc.cluster.local. 30 IN A 10.244.0.10'\n";
        assert!(text.contains(line), "{text}");
    }

    fn database() -> Records {
        let mut records = Records::new("cluster.local");
        let addresses = ["10.244.0.10", "fd00:10:244::10"].map(|address| address.parse().unwrap());
        records.add_addresses("my-database.default.svc.cluster.local", &addresses);
        records
    }
}
