//! The preflight: can this process, on this kernel, do what the agent does?
//!
//! What enters: [`Facts`] about the process and the node, gathered by [`gather`]. What leaves: [`Finding`]s, each with
//! what is wrong, what to do about it, and the exit code where it is fatal. What must never happen here: mending
//! anything. So an operator reads one clear line instead of the errno of whichever system call came first.

use std::fmt;
use std::fs;
use std::io;

use rustix::process::{Resource, getrlimit};

use crate::shutdown::Exit;

/// Where the kernel's own type information lies; the loader needs it for the program's.
const BTF: &str = "/sys/kernel/btf/vmlinux";
/// Where pins live.
const BPFFS: &str = "/sys/fs/bpf";
/// `BPF_FS_MAGIC` of `linux/magic.h`.
const BPF_FS_MAGIC: u64 = 0xcafe_4a11;

/// The oldest kernel that the program loads on.
const OLDEST: KernelVersion = KernelVersion { major: 5, minor: 10 };
/// Since here eBPF memory is charged to the memory cgroup, no longer to `RLIMIT_MEMLOCK`.
const NO_MEMLOCK: KernelVersion = KernelVersion { major: 5, minor: 11 };
/// Since here TCX lets a program be the first of its hook.
const TCX: KernelVersion = KernelVersion { major: 6, minor: 6 };

/// What the findings are worked out from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// The effective capabilities of this process.
    pub capabilities: Capabilities,
    /// Whether the process is in the first user namespace. In another one capabilities are for show: the kernel lets
    /// nobody load eBPF from there.
    pub first_user_namespace: bool,
    /// The running kernel.
    pub kernel: KernelVersion,
    /// `RLIMIT_MEMLOCK` in bytes; `None` is unlimited.
    pub memlock: Option<u64>,
    /// Whether the kernel's type information is there.
    pub btf: bool,
    /// Whether a bpf file system is mounted where pins go.
    pub bpffs: bool,
}

/// A set of capabilities, as the bit mask of `CapEff` in `/proc/self/status`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Capabilities(pub u64);

/// A capability, by its bit number in `linux/capability.h`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Capability {
    /// Attaching to links, and rtnetlink.
    NetAdmin = 12,
    /// What was asked for before the finer ones existed; stands in for BPF and PERFMON.
    SysAdmin = 21,
    /// Raising resource limits.
    SysResource = 24,
    /// Program checks without which the program is refused.
    Perfmon = 38,
    /// Maps and programs.
    Bpf = 39,
}

/// A kernel's version, as far as features depend on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct KernelVersion {
    /// The 6 of 6.18.
    pub major: u32,
    /// The 18 of 6.18.
    pub minor: u32,
}

/// Something that an operator should know before the agent starts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What is wrong.
    pub what: String,
    /// What to do about it.
    pub remedy: String,
    /// The exit code where the agent cannot run like this; `None` where it can, less well.
    pub fatal: Option<Exit>,
}

/// The facts cannot be gathered.
#[derive(Debug, thiserror::Error)]
pub enum PreflightError {
    /// The process's own status cannot be read.
    #[error("cannot read {path}: {source}; mount /proc in the container")]
    Read {
        /// The file.
        path: &'static str,
        /// The failure.
        source: io::Error,
    },
    /// The process's own status says nothing of capabilities.
    #[error("/proc/self/status names no effective capabilities (CapEff); mount the host's real /proc")]
    NoCapabilities,
    /// The kernel's release is no version.
    #[error("the kernel's release `{0}` does not begin with a version like 6.6; report it as a bug")]
    Release(String),
}

impl Capabilities {
    /// Whether the set holds a capability.
    pub fn has(self, capability: Capability) -> bool {
        self.0 & (1 << capability as u8) != 0
    }
}

impl fmt::Display for Capability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NetAdmin => "CAP_NET_ADMIN",
            Self::SysAdmin => "CAP_SYS_ADMIN",
            Self::SysResource => "CAP_SYS_RESOURCE",
            Self::Perfmon => "CAP_PERFMON",
            Self::Bpf => "CAP_BPF",
        })
    }
}

impl KernelVersion {
    /// Reads a release as `uname -r` prints it, such as `6.1.0-28-cloud-amd64`.
    pub fn parse(release: &str) -> Option<Self> {
        let mut numbers = release.split(|character: char| !character.is_ascii_digit());
        let mut number = || numbers.next()?.parse().ok();
        Some(Self { major: number()?, minor: number()? })
    }

    /// The kernel that this process runs on.
    ///
    /// # Errors
    /// When its release does not begin with a version.
    pub fn running() -> Result<Self, PreflightError> {
        let release = rustix::system::uname().release().to_string_lossy().into_owned();
        Self::parse(&release).ok_or(PreflightError::Release(release))
    }

    /// Whether the kernel attaches programs by TCX.
    #[must_use]
    pub fn has_tcx(self) -> bool {
        self >= TCX
    }
}

impl fmt::Display for KernelVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

impl Finding {
    fn fatal(exit: Exit, what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { what: what.into(), remedy: remedy.into(), fatal: Some(exit) }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.what, self.remedy)
    }
}

/// Asks the kernel for the facts.
pub fn gather() -> Result<Facts, PreflightError> {
    const STATUS: &str = "/proc/self/status";
    let status =
        fs::read_to_string(STATUS).map_err(|source| PreflightError::Read { path: STATUS, source })?;
    Ok(Facts {
        capabilities: effective(&status).ok_or(PreflightError::NoCapabilities)?,
        // Without the file the kernel knows of no user namespaces, so this is the only one.
        first_user_namespace: fs::read_to_string("/proc/self/uid_map").map_or(true, |map| is_first(&map)),
        kernel: KernelVersion::running()?,
        memlock: getrlimit(Resource::Memlock).current,
        btf: fs::exists(BTF).unwrap_or(false),
        bpffs: rustix::fs::statfs(BPFFS).is_ok_and(|found| u64::try_from(found.f_type) == Ok(BPF_FS_MAGIC)),
    })
}

/// What stands in the way, the gravest first. No fatal finding: the agent can start.
pub fn findings(facts: &Facts) -> Vec<Finding> {
    [
        user_namespace(facts),
        capabilities(facts),
        memlock(facts),
        kernel(facts),
        btf(facts),
        bpffs(facts),
        tcx(facts),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn user_namespace(facts: &Facts) -> Option<Finding> {
    (!facts.first_user_namespace).then(|| {
        Finding::fatal(
            Exit::Privilege,
            "runs in a user namespace, where the kernel lets nobody load eBPF programs",
            "run as the host's root, not in a rootless container, and leave the pod's hostUsers at true",
        )
    })
}

fn capabilities(facts: &Facts) -> Option<Finding> {
    let set = facts.capabilities;
    // CAP_SYS_ADMIN passes for BPF and PERFMON, but rtnetlink asks for CAP_NET_ADMIN by name.
    let missing: Vec<String> = [Capability::Bpf, Capability::NetAdmin, Capability::Perfmon]
        .into_iter()
        .filter(|&one| !set.has(one) && (one == Capability::NetAdmin || !set.has(Capability::SysAdmin)))
        .map(|one| one.to_string())
        .collect();
    (!missing.is_empty()).then(|| {
        Finding::fatal(
            Exit::Privilege,
            format!("needs {}", missing.join(" and ")),
            "run as root or add CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON to the container's securityContext",
        )
    })
}

fn memlock(facts: &Facts) -> Option<Finding> {
    let limit = facts
        .memlock
        .filter(|_| facts.kernel < NO_MEMLOCK && !facts.capabilities.has(Capability::SysResource))?;
    Some(Finding::fatal(
        Exit::Privilege,
        format!(
            "kernel {} lets this process lock no more than {limit} bytes, which eBPF maps count against",
            facts.kernel
        ),
        "add CAP_SYS_RESOURCE to the container's securityContext, or start with `ulimit -l unlimited`",
    ))
}

fn kernel(facts: &Facts) -> Option<Finding> {
    (facts.kernel < OLDEST).then(|| {
        Finding::fatal(
            Exit::Environment,
            format!("kernel {} is too old", facts.kernel),
            format!("run on nodes with Linux {OLDEST} or later"),
        )
    })
}

fn btf(facts: &Facts) -> Option<Finding> {
    (!facts.btf).then(|| {
        Finding::fatal(
            Exit::Environment,
            format!("the kernel shows no type information (BTF): there is no {BTF}"),
            "use a kernel built with CONFIG_DEBUG_INFO_BTF=y, and mount the host's /sys in the container",
        )
    })
}

fn bpffs(facts: &Facts) -> Option<Finding> {
    (!facts.bpffs).then(|| {
        Finding::fatal(
            Exit::Environment,
            format!("no bpf file system is mounted at {BPFFS}"),
            format!(
                "run `mount -t bpf bpf {BPFFS}` on the node, and mount that path in the container; `ip netns exec` hides \
                 it: enter a namespace by `nsenter --net=/run/netns/NAME`"
            ),
        )
    })
}

fn tcx(facts: &Facts) -> Option<Finding> {
    (OLDEST <= facts.kernel && !facts.kernel.has_tcx()).then(|| Finding {
        what: format!(
            "kernel {} has no TCX, so the program shares clsact with others and may not run first",
            facts.kernel
        ),
        remedy: format!("nothing need be done; Linux {TCX} or later is better"),
        fatal: None,
    })
}

/// The effective capabilities in the text of `/proc/self/status`.
fn effective(status: &str) -> Option<Capabilities> {
    let mask = status.lines().find_map(|line| line.strip_prefix("CapEff:"))?;
    u64::from_str_radix(mask.trim(), 16).ok().map(Capabilities)
}

/// Whether the text of `/proc/self/uid_map` is the first user namespace's: every user id is itself.
fn is_first(uid_map: &str) -> bool {
    uid_map.split_whitespace().eq(["0", "0", "4294967295"])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_good_node_has_no_findings() {
        assert_eq!(findings(&good()), []);
    }

    #[test]
    fn each_missing_capability_is_named_with_what_to_add() {
        let remedy =
            "run as root or add CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON to the container's securityContext";
        for (held, needs) in [
            (&[Capability::NetAdmin, Capability::Perfmon][..], "needs CAP_BPF"),
            (&[Capability::Bpf, Capability::Perfmon], "needs CAP_NET_ADMIN"),
            (&[Capability::Bpf, Capability::NetAdmin], "needs CAP_PERFMON"),
            (&[Capability::SysAdmin], "needs CAP_NET_ADMIN"),
            (&[], "needs CAP_BPF and CAP_NET_ADMIN and CAP_PERFMON"),
        ] {
            let facts = Facts { capabilities: holding(held), ..good() };
            assert_eq!(only(&facts), (format!("{needs}: {remedy}"), Some(Exit::Privilege)));
        }
    }

    #[test]
    fn sys_admin_stands_in_for_the_finer_capabilities() {
        let capabilities = holding(&[Capability::SysAdmin, Capability::NetAdmin]);
        assert_eq!(findings(&Facts { capabilities, ..good() }), []);
    }

    #[test]
    fn a_user_namespace_is_named_though_it_shows_every_capability() {
        let facts = Facts { first_user_namespace: false, capabilities: Capabilities(u64::MAX), ..good() };
        let (text, fatal) = only(&facts);
        assert!(text.starts_with("runs in a user namespace"), "{text}");
        assert!(text.contains("hostUsers"), "{text}");
        assert_eq!(fatal, Some(Exit::Privilege));
    }

    #[test]
    fn an_old_kernel_is_refused_with_the_version_that_is_needed() {
        let facts = Facts { kernel: KernelVersion { major: 5, minor: 9 }, memlock: None, ..good() };
        let expected = "kernel 5.9 is too old: run on nodes with Linux 5.10 or later";
        assert_eq!(only(&facts), (expected.to_owned(), Some(Exit::Environment)));
    }

    #[test]
    fn a_kernel_without_tcx_is_told_but_not_refused() {
        let (text, fatal) = only(&Facts { kernel: KernelVersion { major: 6, minor: 1 }, ..good() });
        assert!(text.starts_with("kernel 6.1 has no TCX"), "{text}");
        assert_eq!(fatal, None);
    }

    #[test]
    fn a_kernel_without_btf_is_refused() {
        let (text, fatal) = only(&Facts { btf: false, ..good() });
        assert!(
            text.contains("/sys/kernel/btf/vmlinux") && text.contains("CONFIG_DEBUG_INFO_BTF=y"),
            "{text}"
        );
        assert_eq!(fatal, Some(Exit::Environment));
    }

    #[test]
    fn a_missing_bpf_file_system_comes_with_the_command_that_mounts_it() {
        let (text, fatal) = only(&Facts { bpffs: false, ..good() });
        assert!(
            text.starts_with(
                "no bpf file system is mounted at /sys/fs/bpf: run `mount -t bpf bpf /sys/fs/bpf`"
            ),
            "{text}"
        );
        assert_eq!(fatal, Some(Exit::Environment));
    }

    #[test]
    fn a_memory_lock_limit_matters_on_5_10_to_a_process_that_cannot_raise_it() {
        let old = Facts { kernel: OLDEST, memlock: Some(65536), ..good() };
        let found = findings(&old);
        assert!(
            found[0].what.starts_with("kernel 5.10 lets this process lock no more than 65536 bytes"),
            "{found:?}"
        );
        assert_eq!(found[0].fatal, Some(Exit::Privilege));
        let raising = holding(&[Capability::SysAdmin, Capability::NetAdmin, Capability::SysResource]);
        for fine in [
            Facts { memlock: None, ..old.clone() },
            Facts { capabilities: raising, ..old.clone() },
            Facts { kernel: NO_MEMLOCK, ..old },
        ] {
            assert!(findings(&fine).iter().all(|finding| finding.fatal.is_none()), "{fine:?}");
        }
    }

    #[test]
    fn privilege_is_found_before_anything_else() {
        let facts = Facts { capabilities: Capabilities(0), btf: false, bpffs: false, ..good() };
        let fatal: Vec<_> = findings(&facts).into_iter().map(|finding| finding.fatal).collect();
        assert_eq!(fatal, [Some(Exit::Privilege), Some(Exit::Environment), Some(Exit::Environment)]);
    }

    #[test]
    fn releases_of_distributions_are_read() {
        for (release, version) in [
            ("6.18.44-fc-v669", Some((6, 18))),
            ("5.10.0-28-cloud-amd64", Some((5, 10))),
            ("6.6", Some((6, 6))),
            ("7.2-rc1", Some((7, 2))),
            ("linux", None),
            ("6", None),
            ("", None),
        ] {
            assert_eq!(
                KernelVersion::parse(release).map(|found| (found.major, found.minor)),
                version,
                "{release}"
            );
        }
    }

    #[test]
    fn capabilities_are_read_from_the_process_status() {
        let status = "Name:\tbeeline\nCapPrm:\t0000000000000000\nCapEff:\t000000c000001000\nCapBnd:\tffff\n";
        let expected = holding(&[Capability::Bpf, Capability::NetAdmin, Capability::Perfmon]);
        assert_eq!(effective(status), Some(expected));
        assert_eq!(effective("Name:\tbeeline\n"), None);
    }

    #[test]
    fn only_the_map_of_every_user_id_to_itself_is_the_first_namespace() {
        assert!(is_first("         0          0 4294967295\n"));
        assert!(!is_first("         0       1000          1\n"));
        assert!(!is_first("0 100000 65536\n65536 0 1\n"));
    }

    #[test]
    fn the_facts_of_this_machine_can_be_gathered() {
        let facts = gather().unwrap();
        assert!(facts.kernel.major >= 3, "{facts:?}");
        assert_eq!(facts.btf, fs::exists(BTF).unwrap());
    }

    fn good() -> Facts {
        Facts {
            capabilities: holding(&[Capability::Bpf, Capability::NetAdmin, Capability::Perfmon]),
            first_user_namespace: true,
            kernel: KernelVersion { major: 6, minor: 18 },
            memlock: Some(8 << 20),
            btf: true,
            bpffs: true,
        }
    }

    fn holding(capabilities: &[Capability]) -> Capabilities {
        Capabilities(capabilities.iter().fold(0, |mask, &one| mask | 1 << one as u8))
    }

    /// The one finding that these facts lead to.
    fn only(facts: &Facts) -> (String, Option<Exit>) {
        let found = findings(facts);
        assert_eq!(found.len(), 1, "{found:?}");
        (found[0].to_string(), found[0].fatal)
    }
}
