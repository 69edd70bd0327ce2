//! The fate of a frame: an answer, or a pass with its reason.
//!
//! Numbers are append-only: they index the counters of running kernels and stand in operators' notes.

/// Why a frame goes on untouched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u32)]
pub enum Pass {
    /// Not UDP to port 53 of a DNS address.
    NotDns = 0,
    /// The frame carries a VLAN tag.
    Vlan = 1,
    /// IPv4 with options, or with a header that is none.
    IpOptions = 2,
    /// A fragment of an IPv4 packet.
    Fragment = 3,
    /// The lengths in the frame, IP, UDP and DNS headers contradict each other.
    Length = 4,
    /// The IPv4 header's checksum is wrong.
    IpChecksum = 5,
    /// The query is longer than what is copied ([`crate::frame::MAX_QUERY`] bytes).
    LongQuery = 6,
    /// A DNS response, not a query.
    Response = 7,
    /// An opcode other than QUERY.
    Opcode = 8,
    /// Header bits that a query has no use for (AA, TC, RA, Z or an rcode).
    HeaderBits = 9,
    /// Not exactly one question, or records where a query has none.
    Counts = 10,
    /// The question has no end within the message, or its name none within 255 bytes.
    Name = 11,
    /// A class other than IN.
    Class = 12,
    /// A type that is not answered here.
    Type = 13,
    /// What stands behind the question is not one well-formed OPT record, or is not counted.
    Additional = 14,
    /// An EDNS version other than 0, an extended rcode or unknown EDNS flags.
    EdnsVersion = 15,
    /// An EDNS option that may change the answer, or more options than are walked.
    EdnsOption = 16,
    /// No answer is kept for the name.
    UnknownName = 17,
    /// The answer is larger than what the query, the settings or the node's devices allow.
    AnswerSize = 18,
    /// The name has more addresses than an answer can ever carry.
    AnswerCount = 19,
    /// The agent has not been heard for longer than the bound.
    Stale = 20,
    /// No answer table is there yet, or it is of another layout.
    NoTable = 21,
    /// The kernel had no room to make the reply.
    NoRoom = 22,
    /// The UDP checksum is wrong, or could be taken for a finished one as well as for one to be finished.
    UdpChecksum = 23,
}

impl Pass {
    /// All reasons in the order of their numbers.
    pub const ALL: [Self; 24] = [
        Self::NotDns,
        Self::Vlan,
        Self::IpOptions,
        Self::Fragment,
        Self::Length,
        Self::IpChecksum,
        Self::LongQuery,
        Self::Response,
        Self::Opcode,
        Self::HeaderBits,
        Self::Counts,
        Self::Name,
        Self::Class,
        Self::Type,
        Self::Additional,
        Self::EdnsVersion,
        Self::EdnsOption,
        Self::UnknownName,
        Self::AnswerSize,
        Self::AnswerCount,
        Self::Stale,
        Self::NoTable,
        Self::NoRoom,
        Self::UdpChecksum,
    ];

    /// A phrase for an operator.
    #[must_use]
    pub const fn describe(self) -> &'static str {
        match self {
            Self::NotDns => "not a query to a DNS address",
            Self::Vlan => "VLAN tag",
            Self::IpOptions => "IPv4 options",
            Self::Fragment => "IPv4 fragment",
            Self::Length => "lengths contradict each other",
            Self::IpChecksum => "wrong IPv4 checksum",
            Self::LongQuery => "query too long",
            Self::Response => "a response, not a query",
            Self::Opcode => "opcode other than QUERY",
            Self::HeaderBits => "unusual header bits",
            Self::Counts => "unusual record counts",
            Self::Name => "question without an end",
            Self::Class => "class other than IN",
            Self::Type => "type not answered here",
            Self::Additional => "no OPT record behind the question",
            Self::EdnsVersion => "EDNS version or flags",
            Self::EdnsOption => "EDNS option",
            Self::UnknownName => "no answer kept for the name",
            Self::AnswerSize => "answer larger than allowed",
            Self::AnswerCount => "more addresses than fit an answer",
            Self::Stale => "agent not heard",
            Self::NoTable => "no answer table",
            Self::NoRoom => "no room for the reply",
            Self::UdpChecksum => "wrong or ambiguous UDP checksum",
        }
    }
}

/// What an answer said; its number follows the reasons' in the counters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Answered {
    /// Addresses of type A.
    A = 0,
    /// Addresses of type AAAA.
    Aaaa = 1,
    /// The name exists without addresses of that type.
    NoData = 2,
    /// The name does not exist.
    NxDomain = 3,
}

impl Answered {
    /// All kinds in the order of their numbers.
    pub const ALL: [Self; 4] = [Self::A, Self::Aaaa, Self::NoData, Self::NxDomain];

    /// The kind of that number, modulo their number.
    #[inline(always)]
    #[must_use]
    pub const fn from_number(number: u64) -> Self {
        match number & 3 {
            0 => Self::A,
            1 => Self::Aaaa,
            2 => Self::NoData,
            _ => Self::NxDomain,
        }
    }
}

/// A reply that stands in the frame buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reply {
    /// Length of the whole frame, from the Ethernet header on, in bytes.
    pub frame_len: u32,
    /// What it says.
    pub answered: Answered,
}

/// The fate of one frame.
pub type Verdict = Result<Reply, Pass>;

/// First counter of the answers; those of the reasons start at 0.
pub const ANSWERED_BASE: u32 = 32;
/// Number of counters on each CPU.
pub const COUNTERS: usize = 40;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_the_places_in_the_list() {
        for (place, pass) in Pass::ALL.iter().enumerate() {
            assert_eq!(*pass as usize, place);
        }
        for (place, answered) in Answered::ALL.iter().enumerate() {
            assert_eq!(*answered as usize, place);
        }
    }

    #[test]
    fn reasons_and_answers_have_counters_of_their_own() {
        assert!(Pass::ALL.len() <= ANSWERED_BASE as usize);
        assert!(ANSWERED_BASE as usize + Answered::ALL.len() <= COUNTERS);
    }
}
