//! The zone of the tables, a row, and the bench that rows are run on.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use beeline::dataplane::DataplaneSettings;
use beeline::zone::{Answer, Name};
use beeline_common::verdict::{Answered, Pass};
use beeline_tests::frames::{DNS_V4, DNS_V6, Sender, opened};
use beeline_tests::host::Host;
use beeline_tests::judge::Terms;
use beeline_tests::kernel::{Kernel, Verdict};

/// A name with three IPv4 and two IPv6 addresses.
pub(crate) const DUAL: &str = "dual.default.svc.cluster.local";
/// A name with one IPv4 address.
pub(crate) const SINGLE: &str = "single.default.svc.cluster.local";
/// A name with one IPv6 address.
pub(crate) const SIX: &str = "six.default.svc.cluster.local";
/// A Service without a ready endpoint.
pub(crate) const GONE: &str = "gone.default.svc.cluster.local";
/// A name that the zone says nothing of.
pub(crate) const UNKNOWN: &str = "unknown.default.svc.cluster.local";
/// Other DNS addresses than the first.
pub(crate) const OTHER_DNS: [IpAddr; 2] = [
    IpAddr::V4(Ipv4Addr::new(169, 254, 20, 10)),
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0x10, 0x96, 0, 0, 0, 0, 0x53)),
];

/// What answers carry.
pub(crate) const TERMS: Terms =
    Terms { zone: "cluster.local", ttl: 30, serial: 1_700_000_000, max_size: 1232 };

/// What must become of a frame: an answer of that kind, or a pass for that reason.
pub(crate) type Due = Result<Answered, Pass>;

/// One line of a table.
pub(crate) struct Row {
    pub(crate) description: String,
    pub(crate) frame: Vec<u8>,
    /// The frame's DNS message, where it is one that hickory reads.
    pub(crate) asked: Option<(Vec<u8>, String)>,
    pub(crate) due: Due,
}

/// A frame that passes.
pub(crate) fn passes(description: impl Into<String>, reason: Pass, frame: Vec<u8>) -> Row {
    Row { description: description.into(), frame, asked: None, due: Err(reason) }
}

/// A message that passes, in a frame of either family.
pub(crate) fn message_passes(description: &str, reason: Pass, message: &[u8]) -> Vec<Row> {
    Sender::BOTH.map(|sender| passes(description, reason, sender.frame(message))).into()
}

/// A message about `name` that is answered, in a frame of either family.
pub(crate) fn message_answered(description: &str, kind: Answered, name: &str, message: &[u8]) -> Vec<Row> {
    Sender::BOTH.map(|sender| answered(description, kind, name, message, sender.frame(message))).into()
}

/// A frame with `message`, about `name`, that is answered.
pub(crate) fn answered(
    description: impl Into<String>,
    kind: Answered,
    name: &str,
    message: &[u8],
    frame: Vec<u8>,
) -> Row {
    Row {
        description: description.into(),
        frame,
        asked: Some((message.to_vec(), name.to_owned())),
        due: Ok(kind),
    }
}

/// The kernel and the host, on one zone.
pub(crate) struct Bench {
    pub(crate) kernel: Kernel,
    host: Host,
    zone: BTreeMap<Name, Answer>,
    terms: Terms,
}

impl Bench {
    /// With the zone of the tables.
    pub(crate) fn new() -> Self {
        Self::with(&settings(), TERMS, zone())
    }

    /// With settings and a zone of its own.
    pub(crate) fn with(settings: &DataplaneSettings, terms: Terms, zone: BTreeMap<Name, Answer>) -> Self {
        let mut kernel = Kernel::load(settings).unwrap();
        kernel.fill(|| zone.iter(), terms.serial).unwrap();
        Self { kernel, host: Host::default(), zone, terms }
    }

    /// The fate of a frame, the same on both sides.
    pub(crate) fn verdict(&mut self, frame: &[u8]) -> Verdict {
        let verdict = self.kernel.run(frame).unwrap();
        assert_eq!(verdict, self.host.run(self.kernel.dataplane(), frame), "kernel and host, {frame:02x?}");
        verdict
    }

    /// The fate of a frame on the host alone.
    pub(crate) fn on_host(&mut self, frame: &[u8]) -> Verdict {
        self.host.run(self.kernel.dataplane(), frame)
    }

    /// The message that answers `frame`.
    pub(crate) fn message(&mut self, frame: &[u8]) -> Vec<u8> {
        match self.verdict(frame) {
            Verdict::Answered(_, reply) => opened(frame, &reply).unwrap().to_vec(),
            Verdict::Passed(reason) => panic!("passed for {reason:?}: {frame:02x?}"),
        }
    }

    /// Runs every row; panics with all that fail. Gives the reasons that were reached.
    pub(crate) fn run(&mut self, rows: &[Row]) -> Vec<Pass> {
        let faults: Vec<String> = rows
            .iter()
            .filter_map(|row| {
                self.fault(row).map(|fault| format!("{}: {fault}\n    {:02x?}", row.description, row.frame))
            })
            .collect();
        assert!(faults.is_empty(), "{} of {} rows:\n{}", faults.len(), rows.len(), faults.join("\n"));
        assert!(!rows.is_empty());
        rows.iter().filter_map(|row| row.due.err()).collect()
    }

    fn fault(&mut self, row: &Row) -> Option<String> {
        let verdict = match self.kernel.run(&row.frame) {
            Ok(verdict) => verdict,
            Err(error) => return Some(format!("{error:#}")),
        };
        let host = self.host.run(self.kernel.dataplane(), &row.frame);
        if verdict != host {
            return Some(format!("kernel {verdict:02x?}, host {host:02x?}"));
        }
        match (verdict, row.due) {
            (Verdict::Passed(reason), Err(due)) if reason == due => None,
            (Verdict::Answered(kind, reply), Ok(due)) if kind == due => self.misjudged(row, &reply),
            (Verdict::Answered(kind, _), due) => Some(format!("answered {kind:?}, due is {due:?}")),
            (Verdict::Passed(reason), due) => Some(format!("passed for {reason:?}, due is {due:?}")),
        }
    }

    fn misjudged(&self, row: &Row, reply: &[u8]) -> Option<String> {
        let (asked, name) = row.asked.as_ref()?;
        let answer = &self.zone[&name.parse::<Name>().unwrap()];
        let checked = opened(&row.frame, reply).and_then(|message| self.terms.check(asked, message, answer));
        checked.err().map(|error| format!("{error:#}\n    {reply:02x?}"))
    }
}

/// The settings of the tables.
pub(crate) fn settings() -> DataplaneSettings {
    let [other_v4, other_v6] = OTHER_DNS;
    DataplaneSettings {
        addresses: vec![IpAddr::V4(DNS_V4), other_v4, IpAddr::V6(DNS_V6), other_v6],
        zone: TERMS.zone.parse().unwrap(),
        ttl: TERMS.ttl,
        max_size: u16::try_from(TERMS.max_size).unwrap(),
        // A virtual machine may stand still for a while.
        stale_after: Duration::from_secs(600),
        max_memory: 1 << 26,
        debug: false,
    }
}

/// The zone of the tables: what is named above, and one name for each count of addresses.
pub(crate) fn zone() -> BTreeMap<Name, Answer> {
    let mut zone = BTreeMap::from([
        (DUAL.parse().unwrap(), addresses(3, 2)),
        (SINGLE.parse().unwrap(), addresses(1, 0)),
        (SIX.parse().unwrap(), addresses(0, 1)),
        (GONE.parse().unwrap(), Answer::NxDomain),
        (longest_name().parse().unwrap(), addresses(2, 1)),
        (long_label().parse().unwrap(), addresses(2, 1)),
    ]);
    for count in 1..=100 {
        zone.insert(counted(count, 0).parse().unwrap(), addresses(count, 0));
        zone.insert(counted(0, count).parse().unwrap(), addresses(0, count));
    }
    zone.insert(counted(89, 2).parse().unwrap(), addresses(89, 2));
    zone.insert(counted(2, 51).parse().unwrap(), addresses(2, 51));
    zone
}

/// A name with that many addresses, as long as `headless.default.svc.cluster.local`.
pub(crate) fn counted(v4: usize, v6: usize) -> String {
    format!("c{v4:03}-{v6:03}.default.svc.cluster.local")
}

/// A name of 255 bytes on the wire.
pub(crate) fn longest_name() -> String {
    let label = |len: usize| "l".repeat(len);
    format!("{}.{}.{}.{}.svc.cluster.local", label(63), label(63), label(63), label(43))
}

/// A name with a label of 63 bytes.
pub(crate) fn long_label() -> String {
    format!("{}.default.svc.cluster.local", "x".repeat(63))
}

/// That many different addresses.
pub(crate) fn addresses(v4: usize, v6: usize) -> Answer {
    let number = |i: usize| u8::try_from(i + 1).unwrap();
    Answer::Addresses {
        v4: (0..v4).map(|i| Ipv4Addr::new(10, 244, 0xfe, number(i))).collect(),
        v6: (0..v6)
            .map(|i| Ipv6Addr::new(0xfd00, 0x10, 0x244, 0xff00, 0, 0, 0xabcd, number(i).into()))
            .collect(),
    }
}
