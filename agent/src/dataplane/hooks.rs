//! The links that the program is attached to.

use std::collections::HashMap;
use std::io;
use std::mem;
use std::os::fd::OwnedFd;

use aya::programs::tc::{
    NlOptions, SchedClassifierLink, TcAttachOptions, TcError, qdisc_add_clsact, qdisc_detach_program,
};
use aya::programs::{LinkOrder, ProgramError, SchedClassifier, TcAttachType};
use rustix::net::{AddressFamily, SocketType};
use tracing::{debug, warn};

/// The program's name, which its filters carry too.
pub(super) const PROGRAM: &str = "beeline";

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

impl HookError {
    /// Whether the link went away before it could be hooked: the common fate of short-lived pods, no fault.
    #[must_use]
    pub const fn is_gone(&self) -> bool {
        matches!(self, Self::Gone { .. })
    }
}

/// The hooked links by index; a link is let go of when its entry goes.
pub(super) struct Hooks {
    tcx: bool,
    links: HashMap<u32, Hook>,
}

/// What holds the program to a link, until it is dropped.
enum Hook {
    /// The kernel ties it to the device itself, not to its index.
    Tcx { _link: SchedClassifierLink },
    /// A filter of the clsact qdisc.
    Clsact { _filter: Filter },
}

/// The program's filter at the clsact qdisc of the link that has this index.
struct Filter {
    index: u32,
}

impl Hooks {
    /// Hooks by TCX, or where the kernel has none by filters of the clsact qdisc.
    pub(super) fn new(tcx: bool) -> Self {
        Self { tcx, links: HashMap::new() }
    }

    pub(super) fn len(&self) -> usize {
        self.links.len()
    }

    /// Attaches `program` at the ingress of a link, before all others. The clsact qdisc is shared with others and never
    /// deleted.
    pub(super) fn attach(
        &mut self,
        program: &mut SchedClassifier,
        index: u32,
        name: &str,
    ) -> Result<(), HookError> {
        let gone = || HookError::Gone { name: name.to_owned() };
        if index_of(name) != Some(index) {
            return Err(gone());
        }
        let attached = if self.tcx { by_tcx(program, name) } else { by_clsact(program, index, name) };
        // What failed because the link went away in between is no failure.
        let hook = attached.map_err(|error| if index_of(name) == Some(index) { error } else { gone() })?;
        self.links.insert(index, hook);
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

impl Drop for Filter {
    /// The kernel removed the filter if its device is gone, and the index may be another's by now. So filters are told
    /// by the program's name: a priority and a handle alone would also fit what others put there. It is the index that
    /// is looked up, because a link that was renamed still has its filter.
    fn drop(&mut self) {
        if let Some(name) = name_of(self.index) {
            remove_filters(&name);
        }
    }
}

fn by_tcx(program: &mut SchedClassifier, name: &str) -> Result<Hook, HookError> {
    let link = attached(program, name, TcAttachOptions::TcxOrder(LinkOrder::first()))?;
    Ok(Hook::Tcx { _link: link })
}

fn by_clsact(program: &mut SchedClassifier, index: u32, name: &str) -> Result<Hook, HookError> {
    add_clsact(name)?;
    // An agent that was killed leaves its filters behind, and each holds a whole program with its maps.
    remove_filters(name);
    let options = TcAttachOptions::Netlink(NlOptions { priority: 1, ..NlOptions::default() });
    // Dropped, aya's link would remove whatever has its priority and handle at its index: `Filter` knows better.
    mem::forget(attached(program, name, options)?);
    Ok(Hook::Clsact { _filter: Filter { index } })
}

fn attached(
    program: &mut SchedClassifier,
    name: &str,
    options: TcAttachOptions,
) -> Result<SchedClassifierLink, HookError> {
    program
        .attach_with_options(name, TcAttachType::Ingress, options)
        .and_then(|id| program.take_link(id))
        .map_err(|source| HookError::Attach { name: name.to_owned(), source })
}

/// Removes the filters of this program's name, whichever agent attached them, from the ingress of a link.
fn remove_filters(link: &str) {
    match qdisc_detach_program(link, TcAttachType::Ingress, PROGRAM) {
        Ok(()) => debug!(link, "filters removed"),
        Err(TcError::IoError(error)) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) if index_of(link).is_some() => warn!(
            link,
            error = &error as &dyn std::error::Error,
            "the program's filters could not be removed; look with `tc filter show dev {link} ingress`"
        ),
        Err(_) => debug!(link, "went away with its filters"),
    }
}

/// The index of the link that has this name now.
fn index_of(name: &str) -> Option<u32> {
    rustix::net::netdevice::name_to_index(socket()?, name).ok()
}

/// The name of the link that has this index now.
fn name_of(index: u32) -> Option<String> {
    rustix::net::netdevice::index_to_name(socket()?, index).ok()
}

/// Any socket will do to ask about links.
fn socket() -> Option<OwnedFd> {
    rustix::net::socket(AddressFamily::INET, SocketType::DGRAM, None).ok()
}

/// Adds the qdisc, unless it is there.
fn add_clsact(name: &str) -> Result<(), HookError> {
    match qdisc_add_clsact(name) {
        Err(TcError::NetlinkError(error)) if error.raw_os_error() == Some(libc::EEXIST) => Ok(()),
        Err(source) => Err(HookError::Qdisc { name: name.to_owned(), source }),
        Ok(()) => Ok(()),
    }
}

#[cfg(all(test, feature = "privileged"))]
mod tests {
    use std::os::fd::AsFd;
    use std::process::Command;

    use super::*;
    use crate::dataplane::{OBJECT, load};

    #[test]
    fn a_filter_goes_with_its_hook_also_from_a_renamed_link_and_others_stay() {
        let _namespace = Namespace::enter("bl-hooks-rename");
        let (mut ebpf, mut hooks) = (load(OBJECT, false).expect("the object loads"), Hooks::new(false));
        let index = link("veth1");
        add_clsact("veth1").unwrap();
        let options = TcAttachOptions::Netlink(NlOptions { priority: 1, ..NlOptions::default() });
        let others = attached(program(&mut ebpf, "heartbeat"), "veth1", options).unwrap();
        hooks.attach(program(&mut ebpf, PROGRAM), index, "veth1").unwrap();
        run("ip link set veth1 name veth2");
        assert_eq!(filters("veth2"), ["beeline", "heartbeat"]);
        hooks.detach(index);
        assert_eq!(filters("veth2"), ["heartbeat"]);
        drop(others);
    }

    #[test]
    fn leftovers_of_a_killed_agent_go_before_the_next_attaches() {
        let _namespace = Namespace::enter("bl-hooks-left");
        let (mut ebpf, mut hooks) = (load(OBJECT, false).expect("the object loads"), Hooks::new(false));
        let index = link("veth1");
        hooks.attach(program(&mut ebpf, PROGRAM), index, "veth1").unwrap();
        mem::forget(hooks);
        let mut hooks = Hooks::new(false);
        hooks.attach(program(&mut ebpf, PROGRAM), index, "veth1").unwrap();
        assert_eq!(filters("veth1"), ["beeline"]);
        hooks.detach_all();
        assert!(filters("veth1").is_empty());
    }

    #[test]
    fn a_link_that_is_gone_or_another_by_now_is_told_from_a_failure() {
        let _namespace = Namespace::enter("bl-hooks-gone");
        let (mut ebpf, mut hooks) = (load(OBJECT, false).expect("the object loads"), Hooks::new(false));
        let index = link("veth1");
        assert!(hooks.attach(program(&mut ebpf, PROGRAM), index + 1, "veth1").unwrap_err().is_gone());
        run("ip link del veth1");
        assert!(hooks.attach(program(&mut ebpf, PROGRAM), index, "veth1").unwrap_err().is_gone());
    }

    /// A network namespace that the test's thread is in; its name goes with it.
    struct Namespace(&'static str);

    impl Namespace {
        fn enter(name: &'static str) -> Self {
            run(&format!("ip netns add {name}"));
            let namespace = Self(name);
            let file = std::fs::File::open(format!("/run/netns/{name}")).expect("the namespace is there");
            rustix::thread::move_into_link_name_space(file.as_fd(), None).expect("the thread may enter it");
            namespace
        }
    }

    impl Drop for Namespace {
        fn drop(&mut self) {
            // A failure here must not hide the test's own.
            let _ = Command::new("ip").args(["netns", "del", self.0]).status();
        }
    }

    /// Makes a link and gives its index.
    fn link(name: &str) -> u32 {
        run(&format!("ip link add {name} type veth peer name {name}-peer"));
        index_of(name).expect("the link is there")
    }

    /// The names of a link's filters, sorted.
    fn filters(link: &str) -> Vec<String> {
        let listed = run(&format!("tc filter show dev {link} ingress"));
        let words: Vec<&str> = listed.split_whitespace().collect();
        let handles = words.windows(3).filter(|window| window[0] == "handle");
        let mut names: Vec<String> = handles.map(|window| window[2].to_owned()).collect();
        names.sort();
        names
    }

    fn program<'e>(ebpf: &'e mut aya::Ebpf, name: &str) -> &'e mut SchedClassifier {
        ebpf.program_mut(name)
            .and_then(|program| program.try_into().ok())
            .expect("the object has the program")
    }

    fn run(command: &str) -> String {
        let mut words = command.split(' ');
        let output = Command::new(words.next().expect("a program")).args(words).output();
        let output = output.expect("`ip` and `tc` run: install iproute2");
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{command} failed: {error}(these tests need root)");
        String::from_utf8(output.stdout).expect("iproute2 writes text")
    }
}
