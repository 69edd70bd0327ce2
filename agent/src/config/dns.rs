//! The arguments about DNS: which addresses, which zone, how an answer may look.

use std::net::IpAddr;

use beeline_common::abi::DNS_ADDRESSES;
use beeline_common::reply::{MOST_SIZE, PLAIN_SIZE};
use clap::Args;
use clap::builder::RangedU64ValueParser;

use crate::zone::Name;

#[derive(Debug, Args)]
pub(super) struct DnsArgs {
    #[arg(long, value_name = "IP", value_delimiter = ',', help = format!(
        "Address that pods send DNS queries to (repeatable or separated by commas; at most {DNS_ADDRESSES} of each family)"
    ))]
    dns_address: Vec<IpAddr>,

    /// The cluster's DNS zone
    #[arg(long, value_name = "NAME", default_value = "cluster.local", value_parser = zone)]
    zone: Name,

    /// Time to live of the answers
    #[arg(long, value_name = "SECONDS", default_value_t = 30, value_parser = clap::value_parser!(u32).range(0..=3600))]
    ttl: u32,

    /// Largest UDP answer; a query that needs more is passed on
    #[arg(long, value_name = "BYTES", default_value_t = 1232, value_parser = RangedU64ValueParser::<u16>::new().range(PLAIN_SIZE..=u64::from(MOST_SIZE)))]
    max_size: u16,
}

/// What is answered, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DnsSettings {
    /// The addresses that pods send queries to, without repeats, at most [`DNS_ADDRESSES`] of each
    /// family. Empty where the source is to find them.
    pub addresses: Vec<IpAddr>,
    /// The cluster's zone: labels of a host name, which is stricter than [`Name`] itself.
    pub zone: Name,
    /// Time to live of the answers, in seconds.
    pub ttl: u32,
    /// Largest UDP payload of an answer, in bytes.
    pub max_size: u16,
}

impl DnsArgs {
    pub(super) fn settings(self) -> Result<DnsSettings, String> {
        Ok(DnsSettings {
            addresses: addresses(&self.dns_address)?,
            zone: self.zone,
            ttl: self.ttl,
            max_size: self.max_size,
        })
    }
}

fn addresses(given: &[IpAddr]) -> Result<Vec<IpAddr>, String> {
    let mut addresses = Vec::new();
    for &address in given {
        if address.to_canonical() != address {
            return Err(format!(
                "--dns-address {address}: write it as the IPv4 address {}",
                address.to_canonical()
            ));
        }
        if address.is_unspecified() || address.is_multicast() || address.is_loopback() {
            return Err(format!(
                "--dns-address {address}: no pod can ask there; give the address in the pods' /etc/resolv.conf, mostly \
                 the kube-dns Service's ClusterIP"
            ));
        }
        if !addresses.contains(&address) {
            addresses.push(address);
        }
    }
    for (family, count) in [
        ("IPv4", addresses.iter().filter(|address| address.is_ipv4()).count()),
        ("IPv6", addresses.iter().filter(|address| address.is_ipv6()).count()),
    ] {
        if count > DNS_ADDRESSES {
            return Err(format!(
                "--dns-address: {count} {family} addresses are more than {DNS_ADDRESSES}; give only those that pods ask"
            ));
        }
    }
    Ok(addresses)
}

/// Reads a DNS name of host-name labels (RFC 1123): letters, digits and inner hyphens.
fn zone(typed: &str) -> Result<Name, String> {
    const EXAMPLE: &str = "write it like cluster.local";
    let name = typed.strip_suffix('.').unwrap_or(typed);
    if name.is_empty() {
        return Err(format!("the zone is empty; {EXAMPLE}"));
    }
    // On the wire a name takes two bytes more than its text, and 255 at most.
    if name.len() > 253 {
        return Err(format!("the zone has {} characters, more than 253; {EXAMPLE}", name.len()));
    }
    for label in name.split('.') {
        let reason = match label.as_bytes() {
            [] => "empty label".to_owned(),
            bytes if bytes.len() > 63 => format!("label `{label}` has more than 63 characters"),
            [b'-', ..] | [.., b'-'] => format!("label `{label}` begins or ends with a hyphen"),
            bytes if !bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'-') => {
                format!("label `{label}` has characters other than letters, digits and hyphens")
            }
            _ => continue,
        };
        return Err(format!("{reason}; {EXAMPLE}"));
    }
    name.parse().map_err(|error| format!("{error}; {EXAMPLE}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_zone_is_kept_in_lower_case_without_the_final_dot() {
        for (typed, kept) in [
            ("cluster.local", "cluster.local"),
            ("Cluster.LOCAL.", "cluster.local"),
            ("k8s", "k8s"),
            ("a-1.b2", "a-1.b2"),
        ] {
            assert_eq!(zone(typed).map(|zone| zone.to_string()).as_deref(), Ok(kept));
        }
    }

    #[test]
    fn a_zone_that_is_no_dns_name_is_refused_with_the_reason() {
        let long_label = "a".repeat(64);
        let long_name = vec!["a".repeat(63); 4].join(".");
        for (typed, reason) in [
            ("", "the zone is empty"),
            (".", "the zone is empty"),
            ("cluster..local", "empty label"),
            (".local", "empty label"),
            (&long_label, "has more than 63 characters"),
            (&long_name, "the zone has 255 characters, more than 253"),
            ("-a.local", "label `-a` begins or ends with a hyphen"),
            ("a-.local", "label `a-` begins or ends with a hyphen"),
            ("a_b.local", "label `a_b` has characters other than letters, digits and hyphens"),
            ("zürich", "has characters other than letters"),
        ] {
            let error = zone(typed).unwrap_err();
            assert!(
                error.contains(reason) && error.ends_with("; write it like cluster.local"),
                "{typed}: {error}"
            );
        }
    }

    #[test]
    fn a_repeated_address_counts_once() {
        let one: IpAddr = "10.96.0.10".parse().unwrap();
        assert_eq!(addresses(&[one; 9]), Ok(vec![one]));
    }

    #[test]
    fn more_than_four_addresses_of_a_family_are_refused() {
        let v4: Vec<IpAddr> = (1..=5).map(|last| IpAddr::from([10, 96, 0, last])).collect();
        let v6: Vec<IpAddr> = (1..=5).map(|last| IpAddr::from([0xfd00, 0, 0, 0, 0, 0, 0, last])).collect();
        assert_eq!(addresses(&[&v4[..4], &v6[..4]].concat()).map(|all| all.len()), Ok(8));
        for (family, given) in [("IPv4", v4), ("IPv6", v6)] {
            let expected =
                format!("--dns-address: 5 {family} addresses are more than 4; give only those that pods ask");
            assert_eq!(addresses(&given), Err(expected));
        }
    }

    #[test]
    fn an_address_that_no_pod_can_ask_is_refused() {
        for address in ["0.0.0.0", "::", "127.0.0.1", "::1", "224.0.0.251", "ff02::fb"] {
            let error = addresses(&[address.parse().unwrap()]).unwrap_err();
            assert!(error.starts_with(&format!("--dns-address {address}: no pod can ask there")), "{error}");
        }
    }

    #[test]
    fn an_ipv4_address_in_ipv6_clothes_is_refused_with_its_plain_form() {
        let error = addresses(&["::ffff:10.96.0.10".parse().unwrap()]).unwrap_err();
        assert!(error.ends_with("write it as the IPv4 address 10.96.0.10"), "{error}");
    }
}
