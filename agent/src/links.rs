//! The node's links: which network devices carry the kernel program.
//!
//! What enters: what rtnetlink says about the links of this network namespace (a full dump, then one message for each
//! change). What leaves: a list of [`Command`]s, attach or detach, for the room that owns the programs.
//! What must never happen here: loading or attaching anything, and blocking on whoever applies the commands.
//!
//! ```text
//!   rtnetlink -> watch -> Observation -> Plan::observe -> Vec<Command> -> dataplane
//!     (I/O)                               (pure)                            (I/O)
//! ```
//!
//! The device to hook is the host's end of a pod's veth pair: every veth whose peer lives in another network namespace,
//! narrowed by a [`Filter`] of interface names.

mod filter;
mod netlink;
mod plan;
mod watch;

pub use filter::{Filter, PatternError};
pub use plan::{Command, Kind, Link, Observation, Plan};
pub use watch::{LinkError, Watch, watch};
