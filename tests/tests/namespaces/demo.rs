//! The demo as a person starts it: it ends as promised, and however it ends, nothing of it stays.

use std::{
    fs,
    io::{BufRead, BufReader, Read},
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};

#[test]
fn the_demo_ends_by_itself_with_everything_as_promised() {
    let mut demo = start(&[]);
    let pid = demo.id();
    let printed = read_all(&mut demo);
    assert!(demo.wait().unwrap().success(), "{printed}");
    assert!(printed.contains("All as promised"), "{printed}");
    assert_eq!(left_by(pid), Vec::<String>::new());
}

#[test]
fn an_interrupted_demo_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    // An agent that never answers: the demo waits for it.
    let agent = folder.path().join("agent");
    fs::write(&agent, "#!/bin/sh\nexec sleep 600\n").unwrap();
    fs::set_permissions(&agent, fs::Permissions::from_mode(0o755)).unwrap();
    for (signal, code) in [(Signal::INT, 130), (Signal::TERM, 143)] {
        let mut demo = start(&[("BEELINE", &agent)]);
        let mut lines = BufReader::new(demo.stdout.take().unwrap()).lines();
        assert!(lines.any(|line| line.unwrap().contains("starting beeline")), "it never came to the agent");
        assert!(!left_by(demo.id()).is_empty());
        kill_process(Pid::from_child(&demo), signal).unwrap();
        assert_eq!(demo.wait().unwrap().code(), Some(code));
        assert_eq!(left_by(demo.id()), Vec::<String>::new());
    }
}

#[test]
fn a_demo_whose_agent_dies_says_so_and_leaves_nothing() {
    let mut demo = start(&[("BEELINE", Path::new("/bin/false"))]);
    let mut said = String::new();
    demo.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert_eq!(demo.wait().unwrap().code(), Some(1));
    assert!(said.contains("beeline ended (exit status: 1) before it was ready"), "{said}");
    assert_eq!(left_by(demo.id()), Vec::<String>::new());
}

#[test]
fn a_killed_demo_is_cleared_away_by_the_next_run() {
    let mut demo = start(&[]);
    let pid = demo.id();
    let deadline = Instant::now() + Duration::from_secs(10);
    while left_by(pid).is_empty() {
        assert!(Instant::now() < deadline, "the demo makes nothing");
        thread::sleep(Duration::from_millis(5));
    }
    demo.kill().unwrap();
    demo.wait().unwrap();
    // What the demo had just told `ip` to make is made a moment after its death.
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        drop(beeline_tests::Run::new().unwrap());
        let left = left_by(pid);
        if left.is_empty() {
            break;
        }
        assert!(Instant::now() < deadline, "never cleared away: {left:?}");
        thread::sleep(Duration::from_millis(20));
    }
}

fn start(environment: &[(&str, &Path)]) -> Child {
    Command::new(env!("CARGO_BIN_EXE_demo"))
        .args(["--examples".as_ref(), super::examples().as_os_str()])
        .envs(environment.iter().copied())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

/// What it prints, and on failure what it complains of.
fn read_all(demo: &mut Child) -> String {
    let (mut printed, mut said) = (String::new(), String::new());
    demo.stdout.take().unwrap().read_to_string(&mut printed).unwrap();
    demo.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    printed + &said
}

/// Namespaces and files that bear the name of that process.
fn left_by(pid: u32) -> Vec<String> {
    let prefix = format!("bl-{pid}-");
    let temporary = std::env::temp_dir();
    [Path::new("/run/netns"), Path::new("/etc/netns"), &temporary]
        .into_iter()
        .flat_map(|folder| fs::read_dir(folder).into_iter().flatten().flatten())
        .filter_map(|entry| entry.file_name().into_string().ok())
        .filter(|name| name.starts_with(&prefix))
        .collect()
}
