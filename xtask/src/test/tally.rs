//! Counts of tests.
//!
//! What enters: lines and exit states of test binaries. What leaves: how many passed and failed.
//! Never here: a run that ended without a result and counts for nothing.

/// What test binaries reported.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) passed: u64,
    pub(crate) failed: u64,
    pub(crate) ignored: u64,
}

impl Tally {
    /// Something that could not even run.
    pub(crate) fn one_failure() -> Self {
        Self { failed: 1, ..Self::default() }
    }

    pub(crate) fn add(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.ignored += other.ignored;
    }

    /// The counts of a `test result: …` line of Rust's test runner.
    pub(crate) fn of_result_line(line: &str) -> Option<Self> {
        let (_, counts) = line.split_once("test result: ")?.1.split_once(". ")?;
        let mut tally = Self::default();
        for part in counts.split("; ") {
            match part.split_once(' ') {
                Some((count, "passed")) => tally.passed = count.parse().ok()?,
                Some((count, "failed")) => tally.failed = count.parse().ok()?,
                Some((count, "ignored")) => tally.ignored = count.parse().ok()?,
                _ => {}
            }
        }
        Some(tally)
    }

    /// The counts of a whole run. A run that ended badly without a failed test, or that ran no test at all, is a failure.
    pub(crate) fn of_run<'a>(lines: impl IntoIterator<Item = &'a str>, success: bool) -> Self {
        let mut sum = Self::default();
        for tally in lines.into_iter().filter_map(Self::of_result_line) {
            sum.add(tally);
        }
        if sum.failed == 0 && (!success || sum.passed == 0) {
            sum.failed = 1;
        }
        sum
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_of_several_binaries_add_up() {
        let lines = ["running 2 tests", &result(2, 0, 1), &result(3, 1, 0)];
        assert_eq!(Tally::of_run(lines, false), Tally { passed: 5, failed: 1, ignored: 1 });
    }

    #[test]
    fn run_that_dies_without_a_result_is_one_failure() {
        let lines = [result(2, 0, 0)];
        assert_eq!(Tally::of_run(lines.iter().map(String::as_str), false).failed, 1);
        assert_eq!(Tally::of_run([], false), Tally::one_failure());
    }

    #[test]
    fn run_without_a_test_is_one_failure() {
        assert_eq!(Tally::of_run([], true), Tally::one_failure());
        assert_eq!(Tally::of_run([result(0, 0, 0).as_str()], true), Tally::one_failure());
    }

    #[test]
    fn result_is_found_behind_other_words() {
        let line = format!("ok {}", result(7, 0, 0));
        assert_eq!(Tally::of_result_line(&line).map(|tally| tally.passed), Some(7));
        assert_eq!(Tally::of_result_line("test results are below"), None);
    }

    fn result(passed: u64, failed: u64, ignored: u64) -> String {
        let verdict = if failed == 0 { "ok" } else { "FAILED" };
        format!(
            "test result: {verdict}. {passed} passed; {failed} failed; {ignored} ignored; 0 measured; 0 filtered out; finished in 0.01s"
        )
    }
}
