//! The built binary on command lines that are wrong: its exit code, and what it says. Needs no privilege, and hooks
//! nothing when it has some.

use std::process::{Command, Output};

const DNS: &str = "--dns-address=10.96.0.10";

#[test]
fn unknown_flag_is_a_fault_of_the_command_line() {
    let output = run(&["--source=files:.", DNS, "--colour"]);
    assert_told(&output, 2, &["unexpected argument '--colour'"]);
}

#[test]
fn unknown_source_is_a_fault_of_the_command_line() {
    let output = run(&["--source=elsewhere", DNS]);
    assert_told(
        &output,
        2,
        &["unknown source `elsewhere`", "use files:DIR, a folder of Kubernetes manifests"],
    );
}

#[test]
fn missing_dns_address_is_a_fault_of_the_command_line() {
    let folder = tempfile::tempdir().expect("a folder");
    let output = run(&[&format!("--source=files:{}", folder.path().display())]);
    assert_told(&output, 2, &["no DNS address given or found", "type it, like --dns-address 10.96.0.10"]);
}

/// It is told ahead of a missing privilege.
#[test]
fn missing_folder_is_a_fault_of_the_source() {
    let missing = tempfile::tempdir().expect("a folder").path().join("missing");
    let output = run(&[&format!("--source=files:{}", missing.display()), DNS]);
    let told = format!("beeline: no folder {}: create it, or name the folder", missing.display());
    assert_told(&output, 5, &[&told, "no folder", "in --source files:DIR"]);
}

fn run(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_beeline"))
        .arg("run")
        .args(arguments)
        .env_remove("BEELINE_LOG")
        .output()
        .expect("the binary runs")
}

/// Each text must have been said exactly once.
fn assert_told(output: &Output, code: i32, texts: &[&str]) {
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{said}");
    for text in texts {
        assert_eq!(said.matches(text).count(), 1, "`{text}` in:\n{said}");
    }
}
