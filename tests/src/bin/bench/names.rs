//! The names that are asked for: all of one length, told apart by a number.
//!
//! In: how many, and with how many addresses. Out: what a table is filled from, what servers are given, and queries.

use std::net::{IpAddr, Ipv4Addr};

use anyhow::Result;
use beeline::zone::{Answer, Name};
use beeline_tests::{ask::Ask, cluster::ZONE, records::Records};
use hickory_proto::rr::RecordType;

use crate::plan::Setting;

/// Digits of a number: ten million names are more than anybody measures.
const DIGITS: usize = 7;
const SERVICE: &str = "service-";
/// Where the digits stand in a query: behind header and length byte.
const AT: usize = 12 + 1 + SERVICE.len();

/// The name of that number, 43 bytes on the wire.
pub(crate) fn text(number: u32) -> String {
    format!("{SERVICE}{number:0DIGITS$}.default.svc.{ZONE}")
}

/// Its addresses.
pub(crate) fn addresses(setting: Setting, number: u32) -> impl Iterator<Item = IpAddr> {
    let first = Ipv4Addr::new(10, 0, 0, 1).to_bits() + number * setting.addresses;
    (first..first + setting.addresses).map(|bits| Ipv4Addr::from_bits(bits).into())
}

/// All names with their answers.
pub(crate) fn zone(setting: Setting) -> Result<Vec<(Name, Answer)>> {
    let record = |number| Ok((text(number).parse()?, addresses(setting, number).collect()));
    (0..setting.names).map(record).collect()
}

/// The same for servers.
pub(crate) fn records(setting: Setting) -> Records {
    let mut records = Records::new(ZONE);
    for number in 0..setting.names {
        records.add_addresses(&text(number), &addresses(setting, number).collect::<Vec<_>>());
    }
    records
}

/// A query of type A, made for one name after the other in place.
#[derive(Clone, Debug)]
pub(crate) struct Query(Vec<u8>);

impl Query {
    pub(crate) fn new() -> Result<Self> {
        Ok(Self(Ask::new(&text(0), RecordType::A)?.encode(0)?))
    }

    /// The message that asks for the name of that number.
    pub(crate) fn message(&mut self, id: u16, number: u32) -> &[u8] {
        self.0[..2].copy_from_slice(&id.to_be_bytes());
        let mut rest = number;
        for digit in self.0[AT..AT + DIGITS].iter_mut().rev() {
            *digit = b'0' + u8::try_from(rest % 10).unwrap_or_default();
            rest /= 10;
        }
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_made_in_place_is_the_query_for_that_name() {
        let mut query = Query::new().unwrap();
        for number in [0, 7, 1_234_567, 9_999_999] {
            let whole = Ask::new(&text(number), RecordType::A).unwrap().encode(4711).unwrap();
            assert_eq!(query.message(4711, number), whole);
        }
    }

    #[test]
    fn no_two_names_share_an_address() {
        let setting = Setting { names: 2, addresses: 3 };
        let all: Vec<_> = (0..2).flat_map(|number| addresses(setting, number)).collect();
        assert_eq!(all.first(), Some(&"10.0.0.1".parse().unwrap()));
        assert_eq!(all.last(), Some(&"10.0.0.6".parse().unwrap()));
    }
}
