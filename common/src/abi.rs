//! The layout of what the agent and the kernel program share in maps.
//!
//! Any change of a layout here, in [`crate::table`] or in [`crate::verdict`] that an older program or
//! agent would misread raises [`ABI_VERSION`].

/// Version of every layout below.
pub const ABI_VERSION: u64 = 1;

/// DNS addresses of each family that the program can take queries for.
pub const DNS_ADDRESSES: usize = 4;

/// What the program is told, in the one element of the map `SETTINGS`.
///
/// Each field is read by itself: a change of two fields may be seen one after the other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Settings {
    /// DNS addresses as two words each in memory order of the address's bytes; unused ones are 0.
    pub dns_v6: [[u64; 2]; DNS_ADDRESSES],
    /// DNS addresses in memory order of the address's bytes; unused ones are 0.
    pub dns_v4: [u32; DNS_ADDRESSES],
    /// How long a stamp of the heartbeat holds, in jiffies.
    pub stale_after: u64,
    /// TTL of addresses, in seconds; negative answers cap it at 300.
    pub ttl: u32,
    /// Serial of the SOA record: the Unix time of the last change.
    pub serial: u32,
    /// Length of the zone's name in wire format, root byte included.
    pub zone_len: u32,
    /// Largest DNS message that is sent, in bytes.
    pub max_size: u32,
}

impl Settings {
    /// Is `address` (memory order) one of the DNS addresses?
    #[inline(always)]
    #[must_use]
    pub fn is_dns_v4(&self, address: u32) -> bool {
        let [a, b, c, d] = self.dns_v4;
        address != 0 && (address == a || address == b || address == c || address == d)
    }

    /// Is `address` (memory order) one of the DNS addresses?
    #[inline(always)]
    #[must_use]
    pub fn is_dns_v6(&self, address: [u64; 2]) -> bool {
        let [a, b, c, d] = self.dns_v6;
        address != [0, 0] && (address == a || address == b || address == c || address == d)
    }
}

const _: () = assert!(size_of::<Settings>() == 104);
