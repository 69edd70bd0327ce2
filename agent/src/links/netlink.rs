//! rtnetlink's bytes: requests about links out, messages about links in. Pure; the sockets are `watch`'s.
//!
//! Only the six attributes that matter are read. A strict parse of all sixty would let one attribute that a newer
//! kernel changed hide a link, and with it a pod.

use netlink_packet_route::link::{LinkAttribute, LinkExtentMask, LinkHeader, LinkMessage};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use rtnetlink::packet_core::{
    DecodeError, NLM_F_DUMP, NLM_F_DUMP_INTR, NLM_F_REQUEST, NLMSG_DONE, NLMSG_ERROR, NetlinkBuffer,
    NetlinkMessage, NlaBuffer, NlasIterator,
};

use super::{Kind, Link};

/// Length of `struct ifinfomsg`, which stands ahead of a link's attributes.
const LINK_HEADER_LEN: usize = 16;

/// One message of a datagram.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Message {
    /// The sequence number of the request that this answers; 0 for an event.
    pub(super) sequence: u32,
    /// The links changed while the kernel listed them: the list may lack one.
    pub(super) interrupted: bool,
    pub(super) body: Body,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Body {
    /// `RTM_NEWLINK`: a link that is there.
    Present(Link),
    /// `RTM_DELLINK`: a link that went away, as it was.
    Gone(Link),
    /// The end of a dump.
    Done,
    /// The request was refused with this errno, as a positive number; 0 is an acknowledgement.
    Refused(i32),
    /// Of no interest.
    Other,
}

/// What is asked about links.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Question {
    /// All links of the network namespace: answered by many messages and a `Done`.
    All,
    /// The link of this index: answered by one message.
    One(u32),
}

impl Question {
    /// The request to send.
    pub(super) fn bytes(self, sequence: u32) -> Vec<u8> {
        let (index, flags) = match self {
            Self::All => (0, NLM_F_REQUEST | NLM_F_DUMP),
            Self::One(index) => (index, NLM_F_REQUEST),
        };
        let mut link = LinkMessage::default();
        link.header.index = index;
        link.attributes.push(LinkAttribute::ExtMask(vec![LinkExtentMask::SkipStats]));
        let mut message = NetlinkMessage::from(RouteNetlinkMessage::GetLink(link));
        message.header.flags = flags;
        message.header.sequence_number = sequence;
        message.finalize();
        let mut bytes = vec![0; message.buffer_len()];
        message.serialize(&mut bytes);
        bytes
    }
}

/// The messages of one datagram.
pub(super) fn messages(datagram: &[u8]) -> Result<Vec<Message>, DecodeError> {
    let mut messages = Vec::new();
    let mut rest = datagram;
    while !rest.is_empty() {
        let buffer = NetlinkBuffer::new_checked(rest)?;
        messages.push(message(&buffer)?);
        // Messages are aligned to four bytes; the last one's padding may be missing.
        let length = usize::try_from(buffer.length()).unwrap_or(usize::MAX);
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    Ok(messages)
}

fn message(buffer: &NetlinkBuffer<&[u8]>) -> Result<Message, DecodeError> {
    let payload = buffer.payload();
    let body = match buffer.message_type() {
        libc::RTM_NEWLINK => link(payload)?.map_or(Body::Other, Body::Present),
        libc::RTM_DELLINK => link(payload)?.map_or(Body::Other, Body::Gone),
        NLMSG_DONE => Body::Done,
        NLMSG_ERROR => Body::Refused(int(payload)?.saturating_neg()),
        _ => Body::Other,
    };
    let interrupted = buffer.flags() & NLM_F_DUMP_INTR != 0;
    Ok(Message { sequence: buffer.sequence_number(), interrupted, body })
}

/// The link that an `RTM_NEWLINK` or `RTM_DELLINK` speaks of.
///
/// `None` for messages of a bridge about its ports: they come by the same types and the same multicast group, and the
/// one that says that a port left its bridge looks like the end of the link.
fn link(payload: &[u8]) -> Result<Option<Link>, DecodeError> {
    let header = LinkHeader::parse(payload)?;
    if header.interface_family != AddressFamily::Unspec {
        return Ok(None);
    }
    let mut link = Link {
        index: header.index,
        name: String::new(),
        kind: Kind::Other,
        peer_index: None,
        peer_netns: None,
        address: [0; 6],
        mtu: 0,
    };
    for attribute in NlasIterator::new(payload.get(LINK_HEADER_LEN..).unwrap_or_default()) {
        let attribute = attribute?;
        match attribute.kind() {
            libc::IFLA_IFNAME => link.name = text(&attribute),
            libc::IFLA_ADDRESS => link.address = attribute.value().try_into().unwrap_or_default(),
            libc::IFLA_MTU => link.mtu = int(attribute.value())?.cast_unsigned(),
            // 0: the peer does not exist yet, or no longer.
            libc::IFLA_LINK => {
                link.peer_index = u32::try_from(int(attribute.value())?).ok().filter(|&index| index != 0);
            }
            libc::IFLA_LINK_NETNSID => link.peer_netns = Some(int(attribute.value())?),
            libc::IFLA_LINKINFO => link.kind = kind(attribute.value())?,
            _ => {}
        }
    }
    Ok(Some(link))
}

fn kind(link_info: &[u8]) -> Result<Kind, DecodeError> {
    for attribute in NlasIterator::new(link_info) {
        let attribute = attribute?;
        if attribute.kind() == libc::IFLA_INFO_KIND {
            return Ok(if text(&attribute) == "veth" { Kind::Veth } else { Kind::Other });
        }
    }
    Ok(Kind::Other)
}

fn text(attribute: &NlaBuffer<&[u8]>) -> String {
    let value = attribute.value();
    let end = value.iter().position(|&byte| byte == 0).unwrap_or(value.len());
    // A name may be any bytes; it serves for the filter and for messages, never to find the link again.
    String::from_utf8_lossy(&value[..end]).into_owned()
}

fn int(value: &[u8]) -> Result<i32, DecodeError> {
    let bytes = value.first_chunk().ok_or_else(|| DecodeError::invalid_number(4, value.len()))?;
    Ok(i32::from_ne_bytes(*bytes))
}

#[cfg(test)]
mod tests {
    use netlink_packet_route::link::{InfoKind, LinkInfo};
    use rtnetlink::packet_core::{DefaultNla, NetlinkPayload};

    use super::*;

    #[test]
    fn a_veth_is_read_with_its_peer() {
        let bytes = new_link(AddressFamily::Unspec, veth_attributes());
        assert_eq!(bodies(&bytes), [Body::Present(veth())]);
    }

    #[test]
    fn a_bridge_message_about_its_port_is_no_message_about_the_link() {
        let bytes = new_link(AddressFamily::Bridge, veth_attributes());
        assert_eq!(bodies(&bytes), [Body::Other]);
    }

    #[test]
    fn a_peer_index_of_zero_is_no_peer() {
        let mut attributes = veth_attributes();
        attributes.retain(|attribute| !matches!(attribute, LinkAttribute::LinkNetNsId(_)));
        attributes.push(LinkAttribute::Link(0));
        let expected = Link { peer_index: None, peer_netns: None, ..veth() };
        assert_eq!(bodies(&new_link(AddressFamily::Unspec, attributes)), [Body::Present(expected)]);
    }

    #[test]
    fn an_attribute_that_nobody_knows_hides_nothing() {
        let mut attributes = veth_attributes();
        // IFLA_STATS64 with three bytes in it: a strict reader gives up here.
        attributes.insert(0, LinkAttribute::Other(DefaultNla::new(libc::IFLA_STATS64, vec![1, 2, 3])));
        attributes.insert(0, LinkAttribute::Other(DefaultNla::new(999, vec![1; 7])));
        assert_eq!(bodies(&new_link(AddressFamily::Unspec, attributes)), [Body::Present(veth())]);
    }

    #[test]
    fn an_address_that_is_not_ethernet_is_no_error() {
        let mut attributes = veth_attributes();
        attributes.push(LinkAttribute::Address(vec![1; 20]));
        assert_eq!(
            bodies(&new_link(AddressFamily::Unspec, attributes)),
            [Body::Present(Link { address: [0; 6], ..veth() })]
        );
    }

    #[test]
    fn several_messages_in_one_datagram_are_all_read() {
        let one = new_link(AddressFamily::Unspec, veth_attributes());
        let two = [one.clone(), one].concat();
        assert_eq!(bodies(&two), [Body::Present(veth()), Body::Present(veth())]);
    }

    #[test]
    fn a_refusal_carries_its_errno() {
        let mut bytes = vec![36, 0, 0, 0, 2, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0];
        bytes.extend((-libc::ENODEV).to_ne_bytes());
        bytes.extend([0; 16]);
        let expected = Message { sequence: 5, interrupted: false, body: Body::Refused(libc::ENODEV) };
        assert_eq!(messages(&bytes).unwrap(), [expected]);
    }

    #[test]
    fn an_interrupted_dump_says_so() {
        let flags = u8::try_from(NLM_F_DUMP_INTR).unwrap();
        let bytes = [20, 0, 0, 0, 3, 0, flags, 0, 6, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        assert_eq!(messages(&bytes).unwrap(), [Message { sequence: 6, interrupted: true, body: Body::Done }]);
    }

    #[test]
    fn a_datagram_cut_anywhere_is_an_error_or_less_but_never_a_panic() {
        let whole = new_link(AddressFamily::Unspec, veth_attributes());
        for length in 0..whole.len() {
            let read = messages(&whole[..length]);
            assert!(read.is_err() || read.is_ok_and(|messages| messages.is_empty()), "{length} bytes");
        }
    }

    #[test]
    fn requests_name_the_link_or_ask_for_all() {
        let one = NetlinkMessage::<RouteNetlinkMessage>::deserialize(&Question::One(7).bytes(3)).unwrap();
        assert_eq!((one.header.sequence_number, one.header.flags), (3, NLM_F_REQUEST));
        let NetlinkPayload::InnerMessage(RouteNetlinkMessage::GetLink(link)) = one.payload else {
            panic!("{:?} does not ask for a link", one.payload)
        };
        assert_eq!(link.header.index, 7);
        let all = NetlinkMessage::<RouteNetlinkMessage>::deserialize(&Question::All.bytes(4)).unwrap();
        assert_eq!((all.header.sequence_number, all.header.flags), (4, NLM_F_REQUEST | NLM_F_DUMP));
    }

    fn bodies(datagram: &[u8]) -> Vec<Body> {
        messages(datagram).unwrap().into_iter().map(|message| message.body).collect()
    }

    fn veth() -> Link {
        Link {
            index: 7,
            name: "veth7".to_owned(),
            kind: Kind::Veth,
            peer_index: Some(2),
            peer_netns: Some(1),
            address: [2, 0, 0, 0, 0, 7],
            mtu: 1450,
        }
    }

    fn veth_attributes() -> Vec<LinkAttribute> {
        vec![
            LinkAttribute::IfName("veth7".to_owned()),
            LinkAttribute::Address(vec![2, 0, 0, 0, 0, 7]),
            LinkAttribute::Mtu(1450),
            LinkAttribute::Link(2),
            LinkAttribute::LinkInfo(vec![LinkInfo::Kind(InfoKind::Veth)]),
            LinkAttribute::LinkNetNsId(1),
        ]
    }

    fn new_link(family: AddressFamily, attributes: Vec<LinkAttribute>) -> Vec<u8> {
        let mut link = LinkMessage::default();
        link.header.interface_family = family;
        link.header.index = 7;
        link.attributes = attributes;
        let mut message = NetlinkMessage::from(RouteNetlinkMessage::NewLink(link));
        message.finalize();
        let mut bytes = vec![0; message.buffer_len()];
        message.serialize(&mut bytes);
        bytes
    }
}
