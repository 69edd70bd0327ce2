//! What an answer must say, by the records of the zone: a second opinion that shares no code with the first.
//!
//! In: the bytes of a query, what its name answers, and of a reply. Out: whether the reply, as hickory decodes it, is the
//! one that CoreDNS's kubernetes plugin gives, order aside; or that there must be none, and why. Never here: the lookup.

use std::collections::BTreeSet;
use std::net::IpAddr;

use anyhow::{Context as _, Result, ensure};
use beeline::zone::{Answer, Name as ZoneName};
use beeline_common::verdict::{Answered, Pass};
use hickory_proto::op::{Message, MessageType, OpCode, ResponseCode};
use hickory_proto::rr::{DNSClass, Name, RData, Record, RecordType};

/// What answers carry beside addresses.
#[derive(Clone, Debug)]
pub struct Terms {
    /// The zone's name, dotted.
    pub zone: &'static str,
    /// TTL of addresses, in seconds.
    pub ttl: u32,
    /// Serial of the SOA record.
    pub serial: u32,
    /// Largest message that is sent, in bytes.
    pub max_size: usize,
}

impl Terms {
    /// What must become of a well-formed query, by count and size alone.
    ///
    /// # Errors
    /// Where the query is none that hickory reads.
    pub fn due(&self, asked: &[u8], answer: &Answer) -> Result<Result<Answered, Pass>> {
        let query = Asked::read(asked)?;
        let (v4, v6) = match answer {
            Answer::NxDomain => return Ok(Ok(Answered::NxDomain)),
            Answer::Addresses { v4, v6 } => (v4.len(), v6.len()),
        };
        let (kind, count, most, record) = if query.kind == RecordType::A {
            (Answered::A, v4, 88, 16)
        } else {
            (Answered::Aaaa, v6, 50, 28)
        };
        if count == 0 {
            return Ok(Ok(Answered::NoData));
        }
        if count > most {
            return Ok(Err(Pass::AnswerCount));
        }
        let size = query.question_end + count * record + query.opt.map_or(0, |_| 11);
        let fits = size <= query.limit(self);
        Ok(if fits { Ok(kind) } else { Err(Pass::AnswerSize) })
    }

    /// Is `reply` the answer to `asked`?
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn check(&self, asked: &[u8], reply: &[u8], answer: &Answer) -> Result<()> {
        let query = Asked::read(asked)?;
        let message = Message::from_vec(reply).context("hickory does not decode the reply")?;
        check_header(asked, reply, &message, answer)?;
        ensure!(
            reply.get(12..query.question_end) == asked.get(12..query.question_end),
            "the question is another"
        );
        ensure!(reply.len() <= query.limit(self), "{} bytes, {} allowed", reply.len(), query.limit(self));
        let due = addresses(answer, query.kind);
        let found = self.found(&message, &query)?;
        ensure!(found.len() == message.answers.len(), "an address stands twice");
        ensure!(found == due, "addresses {found:?}, due are {due:?}");
        match (due.is_empty(), &message.authorities[..]) {
            (false, []) => {}
            (true, [soa]) => self.check_soa(soa, &query.name)?,
            (_, others) => anyhow::bail!("authority section: {others:?}"),
        }
        check_opt(asked, reply, &message, &query)
    }

    fn found(&self, message: &Message, query: &Asked) -> Result<BTreeSet<IpAddr>> {
        let mut found = BTreeSet::new();
        for record in &message.answers {
            ensure!(record.name.eq_case(&query.name), "owner {}, due is {}", record.name, query.name);
            ensure!(record.ttl == self.ttl && record.dns_class == DNSClass::IN, "{record}");
            ensure!(record.record_type() == query.kind, "{record}, asked was {}", query.kind);
            found.insert(record.data.ip_addr().with_context(|| format!("no address: {record}"))?);
        }
        Ok(found)
    }

    /// dns-answers: SOA `ns.dns.<zone> hostmaster.<zone> <serial> 7200 1800 86400 <ttl>`, its own TTL at most 300.
    fn check_soa(&self, record: &Record, asked: &Name) -> Result<()> {
        let zone = asked.trim_to(self.zone.split('.').count());
        let RData::SOA(soa) = &record.data else { anyhow::bail!("no SOA: {record}") };
        ensure!(record.name.eq_case(&zone), "the SOA's owner is {}, the zone as asked {zone}", record.name);
        ensure!(record.ttl == self.ttl.min(300) && record.dns_class == DNSClass::IN, "SOA: {record}");
        let below = |labels: &str| Name::from_ascii(labels)?.append_domain(&zone);
        ensure!(soa.mname.eq_case(&below("ns.dns")?), "SOA's mname {}", soa.mname);
        ensure!(soa.rname.eq_case(&below("hostmaster")?), "SOA's rname {}", soa.rname);
        let times = (soa.serial, soa.refresh, soa.retry, soa.expire, soa.minimum);
        ensure!(times == (self.serial, 7200, 1800, 86_400, self.ttl), "SOA: {times:?}");
        Ok(())
    }
}

/// The name that a query asks about, as the zone spells it.
///
/// # Errors
/// Where hickory reads no query, or the name is none that the zone could have.
pub fn asked_name(asked: &[u8]) -> Result<ZoneName> {
    let name = Asked::read(asked)?.name;
    let labels = name.iter().map(std::str::from_utf8).collect::<Result<Vec<_>, _>>()?;
    Ok(ZoneName::from_labels(labels)?)
}

/// What a query asks, as hickory reads it.
struct Asked {
    name: Name,
    kind: RecordType,
    /// Where the question ends in the message.
    question_end: usize,
    /// The size that an OPT record advertises, as it stands there.
    opt: Option<u16>,
}

impl Asked {
    fn read(asked: &[u8]) -> Result<Self> {
        let message = Message::from_vec(asked).context("hickory does not decode the query")?;
        let [query] = &message.queries[..] else { anyhow::bail!("{} questions", message.queries.len()) };
        ensure!(query.query_class == DNSClass::IN, "class {}", query.query_class);
        // One length byte a label, and the root's.
        let name_len = query.name.iter().map(|label| 1 + label.len()).sum::<usize>() + 1;
        let question_end = 12 + name_len + 4;
        let opt = message.edns.is_some().then(|| {
            // Behind the root name and the type; hickory raises a small size.
            let class = &asked[question_end + 3..][..2];
            u16::from_be_bytes([class[0], class[1]])
        });
        Ok(Self { name: query.name.clone(), kind: query.query_type, question_end, opt })
    }

    fn limit(&self, terms: &Terms) -> usize {
        usize::from(self.opt.unwrap_or(0)).max(512).min(terms.max_size)
    }
}

/// QR, AA, RD and CD as asked, the rcode, and no other bit; the counts are hickory's to check.
fn check_header(asked: &[u8], reply: &[u8], message: &Message, answer: &Answer) -> Result<()> {
    let rcode =
        if matches!(answer, Answer::NxDomain) { ResponseCode::NXDomain } else { ResponseCode::NoError };
    let header = &message.metadata;
    ensure!(reply[..2] == asked[..2], "id {:02x?}", &reply[..2]);
    ensure!(header.message_type == MessageType::Response && header.op_code == OpCode::Query, "{header}");
    ensure!(header.authoritative && !header.truncation && !header.recursion_available, "{header}");
    ensure!(header.response_code == rcode, "rcode {}, due is {rcode}", header.response_code);
    let flags = [0x84 | (asked[2] & 0x01), (asked[3] & 0x10) | rcode.low()];
    ensure!(reply[2..4] == flags, "flags {:02x?}, due are {flags:02x?}", &reply[2..4]);
    ensure!(message.queries.len() == 1, "{} questions", message.queries.len());
    Ok(())
}

fn addresses(answer: &Answer, kind: RecordType) -> BTreeSet<IpAddr> {
    match (answer, kind) {
        (Answer::Addresses { v4, .. }, RecordType::A) => v4.iter().copied().map(IpAddr::from).collect(),
        (Answer::Addresses { v6, .. }, RecordType::AAAA) => v6.iter().copied().map(IpAddr::from).collect(),
        _ => BTreeSet::new(),
    }
}

/// Where the query had an OPT record the reply ends in one: its own size, version 0, DO as asked, no options.
fn check_opt(asked: &[u8], reply: &[u8], message: &Message, query: &Asked) -> Result<()> {
    ensure!(message.additionals.is_empty(), "additional section: {:?}", message.additionals);
    ensure!(message.edns.is_some() == query.opt.is_some(), "OPT: {:?}", message.edns);
    let Some(size) = query.opt else { return Ok(()) };
    let [s0, s1] = size.to_be_bytes();
    let dnssec_ok = asked[query.question_end + 7] & 0x80;
    let due = [0, 0, 41, s0, s1, 0, 0, dnssec_ok, 0, 0, 0];
    ensure!(reply.ends_with(&due), "the reply does not end in the OPT record {due:02x?}");
    Ok(())
}
