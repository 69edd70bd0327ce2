//! The records of one Service, and what changed between two states of them.

use std::cmp::Ordering;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::endpoints::Ready;
use super::{Name, Service};

/// What a name answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// At least one address. A family without one is NODATA.
    Addresses {
        /// For A queries: sorted, none twice.
        v4: Box<[Ipv4Addr]>,
        /// For AAAA queries: sorted, none twice.
        v6: Box<[Ipv6Addr]>,
    },
    /// The name does not exist, whatever the type.
    NxDomain,
}

impl Change {
    /// The name and its answer, where it has one now.
    pub fn upserted(&self) -> Option<(&Name, &Answer)> {
        match self {
            Self::Upsert(name, answer) => Some((name, answer)),
            Self::Remove(_) => None,
        }
    }
}

impl FromIterator<IpAddr> for Answer {
    /// No address at all is [`Answer::NxDomain`].
    fn from_iter<I: IntoIterator<Item = IpAddr>>(addresses: I) -> Self {
        let (mut v4, mut v6) = (Vec::new(), Vec::new());
        for address in addresses {
            match address {
                IpAddr::V4(address) => v4.push(address),
                IpAddr::V6(address) => v6.push(address),
            }
        }
        if v4.is_empty() && v6.is_empty() {
            return Self::NxDomain;
        }
        v4.sort_unstable();
        v4.dedup();
        v6.sort_unstable();
        v6.dedup();
        Self::Addresses { v4: v4.into(), v6: v6.into() }
    }
}

/// A difference between two states of the zone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// The name answers this from now on.
    Upsert(Name, Answer),
    /// Nothing is known of the name any more: queries for it are passed on.
    Remove(Name),
}

/// A name with what it answers.
pub(super) type Record = (Name, Answer);

/// The label of an endpoint without a hostname: its address with dashes, `10-0-0-1`.
///
/// As CoreDNS 1.15 makes it (plugin/kubernetes, `endpointHostname`), of the address as it is written: `:` becomes
/// `-`, so `::` becomes `--`, and a `-` at the end gets a `0`. One at the start stays: `::1` is `--1`.
pub fn dashed(address: &str) -> String {
    if address.contains('.') {
        return address.replace('.', "-");
    }
    let mut label = address.replace(':', "-");
    if label.ends_with('-') {
        label.push('0');
    }
    label
}

/// All names of a headless Service under `services`, the zone's `svc` domain; sorted by name. A name that cannot
/// be one is left out.
pub(super) fn render<'a>(
    services: &Name,
    service: &Service,
    endpoints: impl Iterator<Item = Ready<'a>>,
) -> Box<[Record]> {
    let Ok(own) = services.child(&service.namespace).and_then(|namespace| namespace.child(&service.name))
    else {
        return Box::new([]);
    };
    let endpoints: Vec<_> = endpoints.collect();
    let answer = endpoints.iter().map(|endpoint| endpoint.address).collect();
    let below = |endpoint: &Ready<'_>| Some((own.child(&label(endpoint)).ok()?, endpoint.address));
    let mut below: Vec<(Name, IpAddr)> = endpoints.iter().filter_map(below).collect();
    below.sort_unstable();

    let mut records = Vec::with_capacity(1 + below.len());
    let mut below = below.into_iter().peekable();
    while let Some((name, address)) = below.next() {
        let others = std::iter::from_fn(|| below.next_if(|(other, _)| *other == name));
        let answer = std::iter::once(address).chain(others.map(|(_, address)| address)).collect();
        records.push((name, answer));
    }
    records.push((own, answer));
    records.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
    records.into()
}

fn label(endpoint: &Ready<'_>) -> String {
    match endpoint.hostname {
        Some(hostname) => hostname.to_owned(),
        None => dashed(&endpoint.address.to_string()),
    }
}

/// What leads from the `old` records to the `new`, both sorted by name.
pub(super) fn diff(old: Box<[Record]>, new: &[Record], changes: &mut Vec<Change>) {
    let mut new = new.iter().peekable();
    let upsert = |(name, answer): &Record| Change::Upsert(name.clone(), answer.clone());
    for (name, answer) in old {
        while let Some(before) = new.next_if(|(next, _)| *next < name) {
            changes.push(upsert(before));
        }
        match new.peek().map_or(Ordering::Greater, |(next, _)| next.cmp(&name)) {
            Ordering::Equal => {
                let same = new.next().expect("peeked");
                if same.1 != answer {
                    changes.push(upsert(same));
                }
            }
            _ => changes.push(Change::Remove(name)),
        }
    }
    changes.extend(new.map(upsert));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dashed_addresses_are_those_of_coredns() {
        for (address, label) in [
            ("10.0.0.1", "10-0-0-1"),
            ("fd00:10:244::7", "fd00-10-244--7"),
            ("fd00::", "fd00--0"),
            ("::1", "--1"),
            ("::", "--0"),
            ("2001:db8:0:0:1:0:0:1", "2001-db8-0-0-1-0-0-1"),
        ] {
            assert_eq!(dashed(address), label);
        }
    }

    #[test]
    fn ipv6_is_written_as_go_writes_it() {
        // RFC 5952, and no dotted quad at the end of an address that merely looks like a compatible one.
        for (address, label) in [
            ("2001:DB8:0:0:1:0:0:1", "2001-db8--1-0-0-1"),
            ("fd00:0:0:1:0:0:0:0", "fd00-0-0-1--0"),
            ("0:0:0:0:0:0:102:304", "--102-304"),
            ("1:0:2:3:4:5:6:7", "1-0-2-3-4-5-6-7"),
        ] {
            let address: Ipv6Addr = address.parse().expect("an address");
            assert_eq!(dashed(&address.to_string()), label);
        }
    }

    #[test]
    fn addresses_are_sorted_and_none_comes_twice() {
        let answer: Answer = ["10.0.0.2", "fd00::1", "10.0.0.1", "10.0.0.2", "fd00::1"]
            .map(|address| address.parse::<IpAddr>().expect("an address"))
            .into_iter()
            .collect();
        let Answer::Addresses { v4, v6 } = answer else { panic!("{answer:?}") };
        assert_eq!(*v4, [Ipv4Addr::new(10, 0, 0, 1), Ipv4Addr::new(10, 0, 0, 2)]);
        assert_eq!(*v6, ["fd00::1".parse::<Ipv6Addr>().expect("an address")]);
    }

    #[test]
    fn no_address_is_nxdomain() {
        assert_eq!(Answer::from_iter([]), Answer::NxDomain);
    }

    #[test]
    fn difference_holds_only_what_changed() {
        let old = records(&[("a", 1), ("b", 1), ("d", 1), ("e", 1)]);
        let new = records(&[("b", 1), ("c", 1), ("d", 2), ("f", 1)]);
        let mut changes = Vec::new();
        diff(old, &new, &mut changes);
        assert_eq!(changes, [remove("a"), upsert("c", 1), upsert("d", 2), remove("e"), upsert("f", 1)]);
    }

    fn records(of: &[(&str, u8)]) -> Box<[Record]> {
        of.iter().map(|(name, last)| (name.parse().expect("a name"), answer(*last))).collect()
    }

    fn upsert(name: &str, last: u8) -> Change {
        Change::Upsert(name.parse().expect("a name"), answer(last))
    }

    fn remove(name: &str) -> Change {
        Change::Remove(name.parse().expect("a name"))
    }

    fn answer(last: u8) -> Answer {
        [IpAddr::from([10, 0, 0, last])].into_iter().collect()
    }
}
