//! One virtual machine, from power on to power off.
//!
//! What enters: a kernel and a memory disk. What leaves: what the console said. Never here: hardware acceleration, a network,
//! or a machine that outlives this process.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::Context as _;

use crate::step::Step;
use crate::vm::console::{Console, MARK};
use crate::vm::initrd;
use crate::vm::kernel::{Image, Series};

/// One processor, and `cx16` off: under emulation a second one races with a kernel that patches its own code (7.2), and 6.12
/// now and then panics after `cmpxchg16b`. Two machines at once use two cores as well.
const MACHINE: &str = "-accel tcg -M q35 -cpu max,-cx16 -smp 1 -m 1024 -nodefaults -no-user-config -display none \
    -serial stdio -no-reboot";
const KERNEL_LINE: &str = "console=ttyS0 quiet panic=-1 nokaslr mitigations=off random.trust_cpu=on";

/// Boots, and reads the console to its end.
pub(super) fn boot(
    series: Series,
    image: &Image,
    base: &Path,
    arguments: &[String],
    limit: Duration,
) -> anyhow::Result<Console> {
    let folder = base.with_file_name(series.to_string());
    let disk = initrd::pack(base, image, arguments, &folder)?;
    // The kernel ends the machine with this process, however that ends.
    let mut machine = Command::new("setpriv");
    machine
        .args(["--pdeathsig", "KILL", "--", "qemu-system-x86_64"])
        .args(MACHINE.split_whitespace())
        .arg("-kernel")
        .arg(&image.vmlinuz)
        .arg("-initrd")
        .arg(disk)
        .args(["-append", KERNEL_LINE]);
    let ended = Step::new(format!("machine with {}", image.release), machine)
        .shown_where(move |line| is_progress(line).then(|| format!("[{series}] {line}")))
        .limit(limit)
        .outcome()
        .with_context(|| {
            format!("the machine did not run to its end (--limit raises its {} s)", limit.as_secs())
        })?;
    let log = folder.join("console.log");
    std::fs::write(&log, ended.stdout.join("\n"))
        .with_context(|| format!("cannot write {}", log.display()))?;
    let mut console = Console::default();
    ended.stdout.iter().for_each(|line| console.read(line));
    if console.exit != Some(0) {
        eprintln!("  [{series}] the whole console is in {}; it ends:\n{}", log.display(), ended.last_words());
    }
    Ok(console)
}

/// Lines that a person who waits wants to see.
fn is_progress(line: &str) -> bool {
    [MARK, "test ", "verifier: ", "running "].iter().any(|start| line.starts_with(start))
        || line.contains("Kernel panic")
}
