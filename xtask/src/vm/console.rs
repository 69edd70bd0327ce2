//! What a virtual machine's console says.
//!
//! What enters: its lines. What leaves: the kernel's release, test results, verifier counts, panics, and what is wrong with
//! all that. Never here: a process.

use crate::test::Tally;

/// Prefix of the lines that the machine's own `/init` writes.
pub(super) const MARK: &str = "beeline-vm:";

/// Everything that was read so far.
#[derive(Debug, Default)]
pub(super) struct Console {
    /// `uname -r`, once the machine is up.
    pub(super) kernel: Option<String>,
    /// Exit code of the test binary.
    pub(super) exit: Option<i32>,
    pub(super) tally: Tally,
    /// Instructions that the verifier walked, program by program.
    pub(super) walked: Vec<(String, u64)>,
    panic: Option<String>,
}

impl Console {
    pub(super) fn read(&mut self, line: &str) {
        if let Some(said) = line.strip_prefix(MARK) {
            match said.trim().split_once(' ') {
                Some(("kernel", release)) => self.kernel = Some(release.to_owned()),
                Some(("exit", code)) => self.exit = code.parse().ok(),
                _ => {}
            }
        }
        if let Some(result) = Tally::of_result_line(line) {
            self.tally.add(result);
        }
        if let Some(walked) = walked(line)
            && !self.walked.contains(&walked)
        {
            self.walked.push(walked);
        }
        if line.contains("Kernel panic") {
            self.panic = Some(line.to_owned());
        }
    }

    /// Whether the kernel died before the tests ended.
    pub(super) fn panicked(&self) -> bool {
        self.panic.is_some() && self.exit.is_none()
    }

    /// Everything that makes this a failed run.
    pub(super) fn faults(&self, walk_limit: u64) -> Vec<String> {
        let mut faults = Vec::new();
        match (self.exit, &self.panic) {
            (None, Some(panic)) => faults.push(format!("the kernel panicked: {panic}")),
            (None, None) if self.kernel.is_none() => faults.push("the kernel did not come up".to_owned()),
            (None, None) => faults.push("the machine stopped before the tests ended".to_owned()),
            (Some(0), _) if self.tally.passed == 0 => {
                faults.push("the tests ended well and ran nothing".to_owned())
            }
            (Some(0), _) => {}
            (Some(code), _) => faults.push(format!("the test binary ended with exit code {code}")),
        }
        for (program, _) in self.walked.iter().filter(|(_, count)| *count == 0) {
            faults.push(format!(
                "how far the verifier walked {program} is not told: before Linux 5.16 only its log has the count"
            ));
        }
        for (program, count) in self.walked.iter().filter(|(_, count)| *count > walk_limit) {
            faults.push(format!(
                "the verifier walked {count} instructions of {program}, more than {walk_limit}"
            ));
        }
        faults
    }
}

/// `verifier: PROGRAM walked N instructions`, at any place of a line: the test runner writes a test's name before it.
fn walked(line: &str) -> Option<(String, u64)> {
    let (_, said) = line.split_once("verifier: ")?;
    let (program, said) = said.split_once(" walked ")?;
    let count = said.split_whitespace().next()?.parse().ok()?;
    Some((program.to_owned(), count))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn good_run_has_no_faults() {
        let console = read(&[
            "beeline-vm: kernel 6.1.0-56-cloud-amd64",
            "test table ... verifier: beeline walked 115000 instructions",
            "ok",
            "test result: ok. 23 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 1.0s",
            "beeline-vm: exit 0",
        ]);
        assert_eq!(console.kernel.as_deref(), Some("6.1.0-56-cloud-amd64"));
        assert_eq!(console.walked, [("beeline".to_owned(), 115_000)]);
        assert_eq!(console.tally.passed, 23);
        assert!(console.faults(250_000).is_empty());
    }

    #[test]
    fn walk_past_the_limit_is_a_fault() {
        let console = read(&["verifier: beeline walked 250001 instructions", PASSED, "beeline-vm: exit 0"]);
        assert_eq!(
            console.faults(250_000),
            ["the verifier walked 250001 instructions of beeline, more than 250000"]
        );
    }

    #[test]
    fn count_of_nothing_is_no_count() {
        let console = read(&["verifier: beeline walked 0 instructions", PASSED, "beeline-vm: exit 0"]);
        assert!(console.faults(250_000)[0].contains("is not told"));
    }

    #[test]
    fn panic_before_the_end_is_worth_another_boot() {
        let console = read(&["beeline-vm: kernel x", "[ 1.2] Kernel panic - not syncing: Fatal exception"]);
        assert!(console.panicked());
        assert!(console.faults(1)[0].contains("Fatal exception"));
        assert!(!read(&["beeline-vm: exit 1", "Kernel panic - not syncing"]).panicked());
    }

    #[test]
    fn machine_that_stops_early_says_how_far_it_came() {
        assert_eq!(read(&[]).faults(1), ["the kernel did not come up"]);
        assert_eq!(read(&["beeline-vm: kernel x"]).faults(1), ["the machine stopped before the tests ended"]);
        assert_eq!(read(&["beeline-vm: exit 0"]).faults(1), ["the tests ended well and ran nothing"]);
        assert_eq!(read(&["beeline-vm: exit 101"]).faults(1), ["the test binary ended with exit code 101"]);
    }

    const PASSED: &str =
        "test result: ok. 1 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.1s";

    fn read(lines: &[&str]) -> Console {
        let mut console = Console::default();
        lines.iter().for_each(|line| console.read(line));
        console
    }
}
