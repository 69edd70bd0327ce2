//! DNS queries as resolvers send them, and pieces to spoil them with.
//!
//! In: a name and a type. Out: the bytes of a message, its question by hickory, its OPT record by hand, since hickory
//! refuses to write a wrong one. Never here: a frame.

use hickory_proto::op::{Message, Query};
use hickory_proto::rr::{Name, RecordType};

/// Bytes of a DNS header.
pub const HEADER: usize = 12;
/// Type of an OPT record.
const OPT: u16 = 41;

/// A query for `name`, in the spelling given, with RD set and without EDNS.
///
/// # Panics
/// Where `name` is none.
#[must_use]
pub fn query(name: &str, kind: RecordType) -> Vec<u8> {
    // By labels: from text, hickory takes none that begins with a hyphen.
    let labels = name.split('.').filter(|label| !label.is_empty()).map(str::as_bytes);
    let mut name = Name::from_labels(labels).unwrap_or_else(|error| panic!("{name} is no DNS name: {error}"));
    name.set_fqdn(true);
    let mut message = Message::query();
    message.metadata.id = 0x1d5a;
    message.metadata.recursion_desired = true;
    message.add_query(Query::query(name, kind));
    message.to_vec().expect("a question can be written")
}

/// A query whose name is made of these very bytes, with type and class behind.
#[must_use]
pub fn raw_query(name: &[u8], tail: [u16; 2]) -> Vec<u8> {
    let mut message = query(".", RecordType::A);
    message.truncate(HEADER);
    message.extend_from_slice(name);
    message.extend(tail.into_iter().flat_map(u16::to_be_bytes));
    message
}

/// `message` with the bytes from `at` on replaced.
#[must_use]
pub fn patched<const N: usize>(mut message: Vec<u8>, at: usize, bytes: [u8; N]) -> Vec<u8> {
    message[at..at + N].copy_from_slice(&bytes);
    message
}

/// An OPT record.
#[derive(Clone, Debug)]
pub struct Edns {
    /// The size that it advertises, in bytes.
    pub size: u16,
    /// Upper bits of an extended rcode.
    pub rcode: u8,
    /// Version.
    pub version: u8,
    /// Flags: the highest bit is DO.
    pub flags: u16,
    /// Options: code and data.
    pub options: Vec<(u16, Vec<u8>)>,
}

impl Edns {
    /// Version 0 and nothing else but a size.
    #[must_use]
    pub const fn new(size: u16) -> Self {
        Self { size, rcode: 0, version: 0, flags: 0, options: Vec::new() }
    }

    /// With one more option.
    #[must_use]
    pub fn option(mut self, code: u16, data: &[u8]) -> Self {
        self.options.push((code, data.to_vec()));
        self
    }

    /// The record's bytes.
    ///
    /// # Panics
    /// Where the options are longer than a record can be.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        let number = |len: usize| u16::try_from(len).expect("a record's length").to_be_bytes();
        let mut data = Vec::new();
        for (code, option) in &self.options {
            data.extend(code.to_be_bytes());
            data.extend(number(option.len()));
            data.extend(option);
        }
        let mut record = vec![0];
        record.extend(OPT.to_be_bytes());
        record.extend(self.size.to_be_bytes());
        record.extend([self.rcode, self.version]);
        record.extend(self.flags.to_be_bytes());
        record.extend(number(data.len()));
        record.extend(data);
        record
    }

    /// `message` with this record behind it, counted.
    #[must_use]
    pub fn on(&self, message: Vec<u8>) -> Vec<u8> {
        let mut message = patched(message, 10, [0, 1]);
        message.extend(self.bytes());
        message
    }
}
