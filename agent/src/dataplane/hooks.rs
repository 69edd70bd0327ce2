//! The links that the program is attached to.

use std::collections::HashMap;

use aya::programs::tc::{NlOptions, SchedClassifierLink, TcAttachOptions, TcError, qdisc_add_clsact};
use aya::programs::{LinkOrder, ProgramError, SchedClassifier, TcAttachType};
use aya::util::KernelVersion;
use rustix::net::{AddressFamily, SocketType};
use tracing::debug;

/// Why a link could not be hooked.
#[derive(Debug, thiserror::Error)]
pub enum HookError {
    /// It is not there any more, or another link has its name now.
    #[error("link {name} is gone")]
    Gone {
        /// Name of the link.
        name: String,
    },
    /// The clsact qdisc could not be added.
    #[error("link {name}: no clsact qdisc could be added")]
    Qdisc {
        /// Name of the link.
        name: String,
        /// What the kernel said.
        source: TcError,
    },
    /// The program could not be attached.
    #[error("link {name}: the program could not be attached")]
    Attach {
        /// Name of the link.
        name: String,
        /// What the kernel said.
        source: ProgramError,
    },
    /// The program is not loaded.
    #[error("the program is not loaded")]
    Program(#[source] ProgramError),
}

/// The hooked links by index; a link is let go of when its entry goes.
pub(super) struct Hooks {
    tcx: bool,
    links: HashMap<u32, SchedClassifierLink>,
}

impl Hooks {
    pub(super) fn new() -> Self {
        let tcx = KernelVersion::current().is_ok_and(|version| version >= KernelVersion::new(6, 6, 0));
        Self { tcx, links: HashMap::new() }
    }

    pub(super) fn len(&self) -> usize {
        self.links.len()
    }

    /// Attaches `program` at the ingress of a link, before all others: by TCX, or where the kernel has
    /// none by a filter of the clsact qdisc. That qdisc is shared with others and never deleted.
    pub(super) fn attach(
        &mut self,
        program: &mut SchedClassifier,
        index: u32,
        name: &str,
    ) -> Result<(), HookError> {
        if index_of(name) != Some(index) {
            return Err(HookError::Gone { name: name.to_owned() });
        }
        let options = if self.tcx {
            TcAttachOptions::TcxOrder(LinkOrder::first())
        } else {
            add_clsact(name)?;
            TcAttachOptions::Netlink(NlOptions { priority: 1, ..NlOptions::default() })
        };
        let attached = program
            .attach_with_options(name, TcAttachType::Ingress, options)
            .and_then(|id| program.take_link(id));
        let link = attached.map_err(|source| HookError::Attach { name: name.to_owned(), source })?;
        self.links.insert(index, link);
        Ok(())
    }

    /// Lets go of a link, which may be gone.
    pub(super) fn detach(&mut self, index: u32) {
        if self.links.remove(&index).is_none() {
            debug!(index, "was not hooked");
        }
    }

    pub(super) fn detach_all(&mut self) {
        self.links.clear();
    }
}

/// The index of the link that has this name now.
fn index_of(name: &str) -> Option<u32> {
    let socket = rustix::net::socket(AddressFamily::INET, SocketType::DGRAM, None).ok()?;
    rustix::net::netdevice::name_to_index(socket, name).ok()
}

/// Adds the qdisc, unless it is there.
fn add_clsact(name: &str) -> Result<(), HookError> {
    match qdisc_add_clsact(name) {
        Err(TcError::NetlinkError(error)) if error.raw_os_error() == Some(libc::EEXIST) => Ok(()),
        Err(source) => Err(HookError::Qdisc { name: name.to_owned(), source }),
        Ok(()) => Ok(()),
    }
}
