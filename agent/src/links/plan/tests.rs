use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

#[test]
fn a_veth_whose_peer_is_in_another_namespace_is_hooked() {
    assert_eq!(plan().observe(Observation::Changed(pod(7, "veth7"))), [attach(7, "veth7")]);
}

#[test]
fn a_veth_with_both_ends_here_is_left_alone() {
    assert_eq!(plan().observe(Observation::Changed(local(7, "veth7"))), []);
}

#[test]
fn other_kinds_are_left_alone_even_when_they_hang_on_another_namespace() {
    let vlan = Link { kind: Kind::Other, ..pod(7, "eth0.5") };
    assert_eq!(plan().observe(Observation::Changed(vlan)), []);
}

#[test]
fn a_namespace_without_a_number_is_another_namespace_too() {
    let link = Link { peer_netns: Some(-1), ..pod(7, "veth7") };
    assert_eq!(plan().observe(Observation::Changed(link)), [attach(7, "veth7")]);
}

#[test]
fn a_link_seen_again_is_not_hooked_again() {
    let mut plan = hooking(&[pod(7, "veth7")]);
    assert_eq!(plan.observe(Observation::Changed(pod(7, "veth7"))), []);
    assert_eq!(plan.observe(Observation::Dump(vec![pod(7, "veth7")])), []);
}

#[test]
fn a_gone_link_is_detached_once() {
    let mut plan = hooking(&[pod(7, "veth7")]);
    assert_eq!(plan.observe(Observation::Gone { index: 7 }), [detach(7, "veth7")]);
    assert_eq!(plan.observe(Observation::Gone { index: 7 }), []);
}

#[test]
fn a_link_that_was_never_hooked_goes_without_a_command() {
    let mut plan = hooking(&[local(7, "veth7")]);
    assert_eq!(plan.observe(Observation::Gone { index: 7 }), []);
}

#[test]
fn an_index_used_again_is_a_new_link() {
    let mut plan = hooking(&[pod(7, "veth7")]);
    assert_eq!(plan.observe(Observation::Gone { index: 7 }), [detach(7, "veth7")]);
    assert_eq!(plan.observe(Observation::Changed(pod(7, "veth8"))), [attach(7, "veth8")]);
}

#[test]
fn an_index_used_again_is_noticed_when_its_going_was_missed() {
    let old = pod(7, "veth7");
    let others = [
        Link { address: [2, 0, 0, 0, 9, 9], ..old.clone() },
        Link { peer_index: Some(99), ..old.clone() },
        Link { peer_netns: Some(99), ..old.clone() },
    ];
    for other in others {
        let expected = [detach(7, "veth7"), attach(7, "veth7")];
        assert_eq!(
            hooking(std::slice::from_ref(&old)).observe(Observation::Changed(other.clone())),
            expected,
            "{other:?}"
        );
        assert_eq!(
            hooking(std::slice::from_ref(&old)).observe(Observation::Dump(vec![other.clone()])),
            expected,
            "{other:?}"
        );
    }
}

#[test]
fn a_peer_namespace_on_its_way_out_is_no_new_link() {
    let mut plan = hooking(&[pod(7, "veth7")]);
    assert_eq!(plan.observe(Observation::Changed(Link { peer_netns: Some(-1), ..pod(7, "veth7") })), []);
}

#[test]
fn a_renamed_link_stays_hooked_and_goes_under_its_new_name() {
    let mut plan = hooking(&[pod(7, "tmp7")]);
    assert_eq!(plan.observe(Observation::Changed(pod(7, "veth7"))), []);
    assert_eq!(plan.observe(Observation::Gone { index: 7 }), [detach(7, "veth7")]);
}

#[test]
fn a_rename_into_and_out_of_the_filter_is_followed() {
    let mut plan = Plan::new(Filter::new(&["cali*"], &["cali-no*"]).unwrap());
    assert_eq!(plan.observe(Observation::Changed(pod(7, "tmp7"))), []);
    assert_eq!(plan.observe(Observation::Changed(pod(7, "cali7"))), [attach(7, "cali7")]);
    assert_eq!(plan.observe(Observation::Changed(pod(7, "cali-no7"))), [detach(7, "cali7")]);
}

#[test]
fn a_peer_that_moves_to_another_namespace_and_back_is_followed() {
    let mut plan = hooking(&[local(7, "veth7")]);
    assert_eq!(plan.observe(Observation::Changed(pod(7, "veth7"))), [attach(7, "veth7")]);
    assert_eq!(plan.observe(Observation::Changed(local(7, "veth7"))), [detach(7, "veth7")]);
}

#[test]
fn the_first_dump_hooks_what_is_wanted_in_its_order() {
    let links = vec![pod(9, "b"), local(3, "l"), pod(4, "a")];
    assert_eq!(plan().observe(Observation::Dump(links)), [attach(9, "b"), attach(4, "a")]);
}

#[test]
fn a_dump_after_an_overrun_is_compared_with_what_is_hooked() {
    let mut plan = hooking(&[pod(1, "stays"), pod(2, "gone"), pod(3, "now-local")]);
    let links = vec![pod(1, "stays"), local(3, "now-local"), pod(4, "new")];
    let commands = plan.observe(Observation::Dump(links));
    assert_eq!(commands, [detach(2, "gone"), detach(3, "now-local"), attach(4, "new")]);
    assert_eq!(plan.hooked().map(|link| link.index).collect::<Vec<_>>(), [1, 4]);
}

#[test]
fn the_smallest_mtu_is_that_of_hooked_links_alone() {
    assert_eq!(plan().smallest_mtu(), None);
    let links = [
        Link { mtu: 1450, ..pod(1, "a") },
        Link { mtu: 9000, ..pod(2, "b") },
        Link { mtu: 1280, ..local(3, "l") },
        Link { mtu: 0, ..pod(4, "unknown") },
    ];
    let mut plan = hooking(&links);
    assert_eq!(plan.smallest_mtu(), Some(1450));
    plan.observe(Observation::Gone { index: 1 });
    assert_eq!(plan.smallest_mtu(), Some(9000));
    plan.failed(2);
    assert_eq!(plan.smallest_mtu(), None);
}

#[test]
fn a_new_mtu_of_a_hooked_link_is_known_without_a_command() {
    let mut plan = hooking(&[pod(7, "veth7")]);
    assert_eq!(plan.observe(Observation::Changed(Link { mtu: 1280, ..pod(7, "veth7") })), []);
    assert_eq!(plan.smallest_mtu(), Some(1280));
}

#[test]
fn a_failed_attach_is_tried_again_at_the_next_event_and_the_next_dump() {
    let mut plan = hooking(&[pod(7, "veth7")]);
    plan.failed(7);
    assert_eq!(plan.hooked().len(), 0);
    assert_eq!(plan.observe(Observation::Changed(pod(7, "veth7"))), [attach(7, "veth7")]);
    plan.failed(7);
    assert_eq!(plan.observe(Observation::Dump(vec![pod(7, "veth7")])), [attach(7, "veth7")]);
}

#[test]
fn a_failed_attach_needs_no_detach() {
    let mut plan = hooking(&[pod(7, "veth7")]);
    plan.failed(7);
    assert_eq!(plan.observe(Observation::Gone { index: 7 }), []);
}

proptest! {
    /// Whatever happens in whatever order, with events lost to overruns and attaches that fail: after the last
    /// observations are in and no attach fails any more, the hooked devices are the wanted ones.
    #[test]
    fn every_interleaving_ends_with_the_wanted_links_hooked(steps in prop::collection::vec(step(), 0..80)) {
        let mut node = Node::new();
        for step in steps {
            node.apply(step);
        }
        node.apply(Step::Overrun);
        prop_assert_eq!(node.hooked_devices(), node.wanted_devices());
    }

    /// Without an overrun or a failed attach the events alone are enough, and nothing is hooked twice or let go twice.
    #[test]
    fn events_alone_keep_the_wanted_links_hooked(steps in prop::collection::vec(step(), 0..80)) {
        let mut node = Node::new();
        for step in steps.into_iter().filter(|step| !matches!(step, Step::Lose | Step::FailAttaches | Step::Overrun)) {
            node.apply(step);
            prop_assert_eq!(node.hooked_devices(), node.wanted_devices());
        }
    }
}

/// Something that happens on a node.
#[derive(Debug, Clone)]
enum Step {
    /// A link appears, or takes the place of the one that has the index.
    Create {
        index: u32,
        place: Place,
    },
    Delete {
        index: u32,
    },
    Rename {
        index: u32,
        allowed: bool,
    },
    MovePeer {
        index: u32,
        place: Place,
    },
    /// From here on events are lost, until the overrun is noticed.
    Lose,
    /// The overrun is noticed: a dump is taken.
    Overrun,
    /// From here on attaches fail, until the overrun is noticed.
    FailAttaches,
}

#[derive(Debug, Clone, Copy)]
enum Place {
    Here,
    Pod,
    NotAVeth,
}

fn step() -> impl Strategy<Value = Step> {
    let index = || 1..5_u32;
    let place = || prop_oneof![Just(Place::Here), Just(Place::Pod), Just(Place::NotAVeth)];
    prop_oneof![
        4 => (index(), place()).prop_map(|(index, place)| Step::Create { index, place }),
        2 => index().prop_map(|index| Step::Delete { index }),
        2 => (index(), any::<bool>()).prop_map(|(index, allowed)| Step::Rename { index, allowed }),
        2 => (index(), place()).prop_map(|(index, place)| Step::MovePeer { index, place }),
        1 => Just(Step::Lose),
        1 => Just(Step::Overrun),
        1 => Just(Step::FailAttaches),
    ]
}

/// A node's links as they are, and the hooks as the commands left them. A device is told by its address.
struct Node {
    plan: Plan,
    links: BTreeMap<u32, Link>,
    hooks: BTreeMap<u32, [u8; 6]>,
    devices: u8,
    losing: bool,
    failing: bool,
}

impl Node {
    fn new() -> Self {
        Self {
            plan: Plan::new(Filter::new(&[], &["no*"]).unwrap()),
            links: BTreeMap::new(),
            hooks: BTreeMap::new(),
            devices: 0,
            losing: false,
            failing: false,
        }
    }

    fn apply(&mut self, step: Step) {
        match step {
            Step::Create { index, place } => {
                self.apply(Step::Delete { index });
                self.devices += 1;
                let link = Link { address: [2, 0, 0, 0, 0, self.devices], ..pod(index, "veth") };
                self.links.insert(index, placed(link, place));
                self.report(index);
            }
            Step::Delete { index } => {
                if self.links.remove(&index).is_some() {
                    self.report(index);
                }
            }
            Step::Rename { index, allowed } => {
                if let Some(link) = self.links.get_mut(&index) {
                    link.name = if allowed { "veth" } else { "no" }.to_owned();
                    self.report(index);
                }
            }
            Step::MovePeer { index, place } => {
                if let Some(link) = self.links.remove(&index) {
                    self.links.insert(index, placed(link, place));
                    self.report(index);
                }
            }
            Step::Lose => self.losing = true,
            Step::FailAttaches => self.failing = true,
            Step::Overrun => {
                (self.losing, self.failing) = (false, false);
                let commands = self.plan.observe(Observation::Dump(self.links.values().cloned().collect()));
                self.execute(commands);
            }
        }
    }

    fn report(&mut self, index: u32) {
        if self.losing {
            return;
        }
        let observation = match self.links.get(&index) {
            Some(link) => Observation::Changed(link.clone()),
            None => Observation::Gone { index },
        };
        let commands = self.plan.observe(observation);
        self.execute(commands);
    }

    fn execute(&mut self, commands: Vec<Command>) {
        for command in commands {
            match command {
                Command::Detach { index, .. } => {
                    assert!(self.hooks.remove(&index).is_some(), "detached {index}, which was not hooked");
                }
                Command::Attach { index, .. } => match self.links.get(&index) {
                    Some(link) if !self.failing => {
                        assert!(self.hooks.insert(index, link.address).is_none(), "hooked {index} twice");
                    }
                    _ => self.plan.failed(index),
                },
            }
        }
    }

    fn hooked_devices(&self) -> BTreeMap<u32, [u8; 6]> {
        self.hooks.clone()
    }

    fn wanted_devices(&self) -> BTreeMap<u32, [u8; 6]> {
        let wanted = |link: &&Link| link.kind == Kind::Veth && link.peer_netns.is_some() && link.name != "no";
        self.links.values().filter(wanted).map(|link| (link.index, link.address)).collect()
    }
}

fn placed(link: Link, place: Place) -> Link {
    match place {
        Place::Here => Link { kind: Kind::Veth, peer_netns: None, ..link },
        Place::Pod => Link { kind: Kind::Veth, peer_netns: Some(3), ..link },
        Place::NotAVeth => Link { kind: Kind::Other, peer_netns: None, ..link },
    }
}

fn plan() -> Plan {
    Plan::new(Filter::default())
}

fn hooking(links: &[Link]) -> Plan {
    let mut plan = plan();
    plan.observe(Observation::Dump(links.to_vec()));
    plan
}

fn pod(index: u32, name: &str) -> Link {
    Link {
        index,
        name: name.to_owned(),
        kind: Kind::Veth,
        peer_index: Some(2),
        peer_netns: Some(0),
        address: [2, 0, 0, 0, 0, 7],
        mtu: 1500,
    }
}

fn local(index: u32, name: &str) -> Link {
    Link { peer_netns: None, ..pod(index, name) }
}

fn attach(index: u32, name: &str) -> Command {
    Command::Attach { index, name: name.to_owned() }
}

fn detach(index: u32, name: &str) -> Command {
    Command::Detach { index, name: name.to_owned() }
}
