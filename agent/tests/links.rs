//! The watch and the plan against a real kernel: veths made, moved, renamed and deleted in namespaces of the test's own.
#![cfg(feature = "privileged")]

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write as _;
use std::process::{Command as Process, Stdio};
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use beeline::links::{Command, Filter, Observation, Plan, Watch};
use tokio::sync::mpsc;

/// The receive buffer that the agent uses, more or less.
const ROOMY: usize = 8 << 20;
/// Room for some dozen link events.
const TINY: usize = 32 << 10;

#[test]
fn fifty_veths_are_followed_through_their_lives() {
    let node = Namespace::new("node");
    let pod = Namespace::new("pod");
    let other = Namespace::new("other");
    let watched = Watched::start(&node, ROOMY);
    watched.wait_for_hooks(0);

    // The ways in which container runtimes and CNI plugins make a pod's link. All ends stay down: a device that comes up
    // makes the kernel tell about it again.
    let mut made = String::new();
    for i in 0..50 {
        match i % 3 {
            0 => writeln!(made, "link add v{i} netns {node} type veth peer name e{i} netns {pod}"),
            1 => writeln!(made, "link add e{i} netns {pod} type veth peer name v{i} netns {node}"),
            _ => writeln!(
                made,
                "link add v{i} netns {node} type veth peer name e{i} netns {node}\n\
                 link set e{i} netns {pod}"
            ),
        }
        .expect("a string takes all");
    }
    node.ip(&made);
    watched.wait_for_hooks(50);

    let attached = watched.attached();
    node.ip(&lines(0..10, |i| format!("link set v{i} name w{i}")));
    watched.wait_for_hooks(50);
    assert!(
        watched.names().values().any(|name| name == "w3"),
        "the rename is not known: {:?}",
        watched.names()
    );
    assert_eq!(watched.attached(), attached, "a rename hooked a link anew");

    node.ip(&lines(0..10, |i| format!("link del w{i}")));
    watched.wait_for_hooks(40);

    pod.ip(&lines(10..20, |i| format!("link set e{i} netns {node}")));
    watched.wait_for_hooks(30);
    node.ip(&lines(10..15, |i| format!("link set e{i} netns {other}")));
    watched.wait_for_hooks(35);

    node.ip(&lines(20..30, |i| format!("link set v{i} netns {other}")));
    watched.wait_for_hooks(25);
    other.ip(&lines(20..25, |i| format!("link set v{i} netns {node}")));
    watched.wait_for_hooks(30);

    // A port that leaves its bridge is not a link that goes away.
    let detached = watched.detached();
    node.ip("link add br0 type bridge\n");
    node.ip(&lines(40..50, |i| format!("link set v{i} master br0")));
    node.ip(&lines(40..50, |i| format!("link set v{i} nomaster")));
    node.ip("link del br0\n");
    watched.wait_for_hooks(30);
    assert_eq!(watched.detached(), detached, "a port that left its bridge was let go of");

    // An index that is used again by another pair.
    let index = watched.index_of("v30");
    node.ip(&format!(
        "link del v30\nlink add v30 index {index} netns {node} type veth peer name e30 netns {other}\n"
    ));
    watched.wait_for_hooks(30);
    assert_eq!(watched.index_of("v30"), index);

    // With a pod's namespace go its links: left are the six whose peers live elsewhere.
    drop(pod);
    watched.wait_for_hooks(6);
}

#[test]
fn a_new_link_is_hooked_at_once() {
    let node = Namespace::new("node");
    let pod = Namespace::new("pod");
    let watched = Watched::start(&node, ROOMY);
    watched.wait_for_hooks(0);
    let mut waits = Vec::new();
    for i in 0..20 {
        pod.ip(&format!("link add e{i} type veth peer name v{i} netns {node}\n"));
        let made = Instant::now();
        watched.wait_for_count(i + 1);
        waits.push(made.elapsed());
    }
    waits.sort();
    println!(
        "from the end of `ip link add` to the attach command: median {:?}, most {:?}",
        waits[10], waits[19]
    );
}

#[test]
fn lost_events_are_made_up_for_by_a_fresh_dump() {
    let node = Namespace::new("node");
    let pod = Namespace::new("pod");
    let watched = Watched::start(&node, TINY);
    node.ip(&lines(0..20, |i| format!("link add v{i} type veth peer name e{i} netns {pod}")));
    watched.wait_for_hooks(20);
    let dumps = watched.dumps();

    let blocked = watched.block();
    // Links change, go and come by the thousand while nobody reads. What still fits into the buffer tells of links that
    // are gone in the end: read after the dump, it would bring them back.
    node.ip(&lines(0..5000, |i| format!("link set v{} mtu {}", i % 20, 1400 + i % 97)));
    node.ip(&lines(0..10, |i| format!("link del v{i}")));
    node.ip(&lines(20..50, |i| format!("link add v{i} type veth peer name e{i} netns {pod}")));
    node.ip(&lines(40..50, |i| format!("link del v{i}")));
    drop(blocked);

    watched.wait_for_hooks(30);
    assert!(watched.dumps() > dumps, "nothing was lost: the test tests nothing");
    // And events are heard again.
    node.ip(&format!("link add last type veth peer name elast netns {pod}\n"));
    watched.wait_for_hooks(31);
}

/// A network namespace of this test's own, gone when dropped.
struct Namespace {
    name: String,
}

impl Namespace {
    fn new(role: &str) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let namespace = Self { name: format!("bl-links-{}-{count}-{role}", std::process::id()) };
        run(Process::new("ip").args(["netns", "add", &namespace.name]));
        namespace
    }

    /// Runs `ip` commands, one a line, in this namespace.
    fn ip(&self, commands: &str) {
        let mut ip = Process::new("ip")
            .args(["-n", &self.name, "-batch", "-"])
            .stdin(Stdio::piped())
            .spawn()
            .expect("`ip` runs: install iproute2");
        ip.stdin
            .take()
            .expect("stdin is a pipe")
            .write_all(commands.as_bytes())
            .expect("`ip` reads its commands");
        let status = ip.wait().expect("`ip` ends");
        assert!(status.success(), "ip -n {} -batch failed on:\n{commands}", self.name);
    }
}

impl std::fmt::Display for Namespace {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.name)
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        // A failure here must not hide the test's own.
        let _ = Process::new("ip").args(["netns", "del", &self.name]).status();
    }
}

/// A watch and a plan that run in a namespace, with commands that always succeed.
struct Watched {
    namespace: String,
    seen: Arc<Seen>,
}

#[derive(Default)]
struct Seen {
    hooks: Mutex<BTreeMap<u32, String>>,
    /// Held by whoever wants the reader to stand still.
    gate: Mutex<()>,
    dumps: AtomicUsize,
    attached: AtomicUsize,
    detached: AtomicUsize,
}

impl Watched {
    fn start(namespace: &Namespace, receive_buffer: usize) -> Self {
        let seen = Arc::new(Seen::default());
        let (path, reader) = (format!("/run/netns/{namespace}"), Arc::clone(&seen));
        let (sender, mut receiver) = mpsc::channel(1);
        thread::spawn(move || {
            let file = std::fs::File::open(path).expect("the namespace is there");
            rustix::thread::move_into_link_name_space(std::os::fd::AsFd::as_fd(&file), None)
                .expect("the thread may enter the namespace");
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(async {
                let watch = Watch::open(receive_buffer).expect("the links can be watched");
                watch.run(sender).await.expect("the watch goes on");
            });
        });
        thread::spawn(move || {
            let mut plan = Plan::new(Filter::default());
            while let Some(observation) = receiver.blocking_recv() {
                drop(reader.gate.lock());
                reader.note(observation, &mut plan);
            }
        });
        Self { namespace: namespace.name.clone(), seen }
    }

    /// Waits until that many links are hooked, and they are those that iproute2 names.
    fn wait_for_hooks(&self, count: usize) {
        self.wait_for_count(count);
        self.wait("the hooks that iproute2 tells", || self.names() == pod_links(&self.namespace));
    }

    fn wait_for_count(&self, count: usize) {
        self.wait(&format!("{count} hooks"), || self.dumps() > 0 && self.names().len() == count);
    }

    fn wait(&self, what: &str, holds: impl Fn() -> bool) {
        let deadline = Instant::now() + Duration::from_secs(10);
        while !holds() {
            assert!(Instant::now() < deadline, "waited for {what}, there are {:?}", self.names());
            thread::sleep(Duration::from_micros(200));
        }
    }

    /// The names of the hooked links, by index.
    fn names(&self) -> BTreeMap<u32, String> {
        self.seen.hooks.lock().expect("unpoisoned").clone()
    }

    fn index_of(&self, name: &str) -> u32 {
        *self.names().iter().find(|(_, hooked)| *hooked == name).expect("the link is hooked").0
    }

    fn block(&self) -> std::sync::MutexGuard<'_, ()> {
        self.seen.gate.lock().expect("unpoisoned")
    }

    fn dumps(&self) -> usize {
        self.seen.dumps.load(Ordering::SeqCst)
    }

    fn attached(&self) -> usize {
        self.seen.attached.load(Ordering::SeqCst)
    }

    fn detached(&self) -> usize {
        self.seen.detached.load(Ordering::SeqCst)
    }
}

impl Seen {
    fn note(&self, observation: Observation, plan: &mut Plan) {
        let is_dump = matches!(observation, Observation::Dump(_));
        for command in plan.observe(observation) {
            let counter = match command {
                Command::Attach { .. } => &self.attached,
                Command::Detach { .. } => &self.detached,
            };
            counter.fetch_add(1, Ordering::SeqCst);
        }
        let hooked = plan.hooked().map(|link| (link.index, link.name.clone())).collect();
        *self.hooks.lock().expect("unpoisoned") = hooked;
        if is_dump {
            self.dumps.fetch_add(1, Ordering::SeqCst);
        }
    }
}

fn lines(range: std::ops::Range<u32>, line: impl Fn(u32) -> String) -> String {
    range.map(|i| line(i) + "\n").collect()
}

/// Runs a command to its success and gives what it wrote.
fn run(command: &mut Process) -> String {
    let output = command.output().expect("`ip` runs: install iproute2");
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?} failed: {error}(these tests need root)");
    String::from_utf8(output.stdout).expect("`ip` writes text")
}

/// The veths of a namespace whose peer is elsewhere, by index, as iproute2 sees them.
fn pod_links(namespace: &str) -> BTreeMap<u32, String> {
    let listed = run(Process::new("ip").args(["-n", namespace, "-o", "link", "show", "type", "veth"]));
    let mut links = BTreeMap::new();
    for line in listed.lines().filter(|line| line.contains("link-netns")) {
        let mut fields = line.split(": ");
        let index = fields.next().and_then(|index| index.parse().ok()).expect("a line starts with the index");
        let name = fields.next().and_then(|name| name.split('@').next()).expect("the name is next");
        links.insert(index, name.to_owned());
    }
    links
}
