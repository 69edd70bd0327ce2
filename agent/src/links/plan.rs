//! The plan, pure: observations of links in, attach and detach commands out.
//!
//! The plan remembers only what it takes to be hooked. An observation states the whole truth about one link (or about
//! all of them), never a difference, so a repeated, late or lost one does no lasting harm: the last word wins.

use std::collections::{BTreeMap, BTreeSet};

use super::Filter;

/// A network device, as far as it matters for the choice of what to hook.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// The interface index, unique among the links of a network namespace that exist at one time.
    pub index: u32,
    /// The interface name.
    pub name: String,
    /// What kind of device it is.
    pub kind: Kind,
    /// Index of the veth peer in the peer's own network namespace (`IFLA_LINK`), where the kernel named one.
    pub peer_index: Option<u32>,
    /// The network namespace of the veth peer as this namespace numbers it (`IFLA_LINK_NETNSID`); `None` where the peer
    /// lives in this namespace. Below zero the kernel has no number for a namespace that is another one all the same.
    pub peer_netns: Option<i32>,
    /// The Ethernet address.
    pub address: [u8; 6],
    /// The largest packet that the device carries (`IFLA_MTU`), in bytes without the Ethernet header; 0 where the kernel
    /// named none.
    pub mtu: u32,
}

/// Kinds of network devices.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// One end of a veth pair.
    Veth,
    /// Anything else: never hooked.
    Other,
}

/// What was seen of the node's links.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Observation {
    /// All the links there are: what is not in it is gone.
    Dump(Vec<Link>),
    /// This link is there, and looks like this.
    Changed(Link),
    /// No link has this index any more.
    Gone {
        /// The interface index that became free.
        index: u32,
    },
}

/// What is to be done to a link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Hook this link.
    Attach {
        /// The interface index.
        index: u32,
        /// The interface name, for messages.
        name: String,
    },
    /// Let go of this link. The device may be gone already, or live on in another network namespace.
    Detach {
        /// The interface index.
        index: u32,
        /// The last known interface name, for messages.
        name: String,
    },
}

/// Knows which links are hooked, and decides which ones should be.
#[derive(Debug, Default)]
pub struct Plan {
    filter: Filter,
    hooked: BTreeMap<u32, Link>,
}

impl Plan {
    /// A plan that hooks nothing yet, and will hook only what `filter` allows.
    pub fn new(filter: Filter) -> Self {
        Self { filter, hooked: BTreeMap::new() }
    }

    /// Takes one observation in; the commands are to be applied in this order.
    pub fn observe(&mut self, observation: Observation) -> Vec<Command> {
        match observation {
            Observation::Changed(link) => self.changed(link),
            Observation::Gone { index } => self.forget(index).into_iter().collect(),
            Observation::Dump(links) => self.dumped(links),
        }
    }

    /// The attach command for this index failed: the next observation of the link asks for it again.
    pub fn failed(&mut self, index: u32) {
        self.hooked.remove(&index);
    }

    /// The links that are hooked, as far as the plan was told, by interface index.
    pub fn hooked(&self) -> impl ExactSizeIterator<Item = &Link> {
        self.hooked.values()
    }

    /// The smallest MTU of the hooked links, in bytes; `None` where nothing is hooked, or no MTU is known.
    pub fn smallest_mtu(&self) -> Option<u32> {
        self.hooked.values().map(|link| link.mtu).filter(|&mtu| mtu != 0).min()
    }

    fn dumped(&mut self, links: Vec<Link>) -> Vec<Command> {
        let present: BTreeSet<u32> = links.iter().map(|link| link.index).collect();
        let gone: Vec<u32> = self.hooked.keys().filter(|index| !present.contains(index)).copied().collect();
        let detached = gone.into_iter().filter_map(|index| self.forget(index)).collect::<Vec<_>>();
        detached.into_iter().chain(links.into_iter().flat_map(|link| self.changed(link))).collect()
    }

    fn changed(&mut self, link: Link) -> Vec<Command> {
        if !self.wants(&link) {
            return self.forget(link.index).into_iter().collect();
        }
        if let Some(known) = self.hooked.get_mut(&link.index)
            && known.is_same_device(&link)
        {
            // A hook sits on the device, not on its name or its MTU: a new one of these needs no command.
            *known = link;
            return Vec::new();
        }
        let detach = self.forget(link.index);
        let attach = Command::Attach { index: link.index, name: link.name.clone() };
        self.hooked.insert(link.index, link);
        detach.into_iter().chain([attach]).collect()
    }

    fn forget(&mut self, index: u32) -> Option<Command> {
        self.hooked.remove(&index).map(|link| Command::Detach { index, name: link.name })
    }

    fn wants(&self, link: &Link) -> bool {
        link.kind == Kind::Veth && link.peer_netns.is_some() && self.filter.allows(&link.name)
    }
}

impl Link {
    /// Whether two observations of one index speak of one device, or of an index that was used again.
    ///
    /// The kernel gives devices no lasting identity. Taking one device for two (its address was set) costs a needless
    /// detach and attach; taking two for one would leave the new one without a hook. So every trait must agree that a
    /// device keeps in common use. Its name is not one of them: container runtimes rename links that they just made.
    fn is_same_device(&self, other: &Self) -> bool {
        let peer_netns_agree = match (self.peer_netns, other.peer_netns) {
            // Without a number for the peer's namespace (it may be on its way out) there is nothing to compare.
            (Some(a), Some(b)) => a < 0 || b < 0 || a == b,
            (a, b) => a == b,
        };
        self.kind == other.kind
            && self.address == other.address
            && self.peer_index == other.peer_index
            && peer_netns_agree
    }
}

#[cfg(test)]
mod tests;
