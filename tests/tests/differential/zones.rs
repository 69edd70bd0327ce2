//! Zones that change: Services and their hosts, with up to a hundred addresses of each family.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use beeline::zone::{Answer, Change, Name};
use rand::Rng;
use rand::rngs::StdRng;

/// What every name answers.
#[derive(Default)]
pub(crate) struct Zone {
    answers: BTreeMap<Name, Answer>,
    /// The same names by number, to pick from.
    names: Vec<Name>,
}

impl Zone {
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&Name, &Answer)> {
        self.answers.iter()
    }

    pub(crate) fn len(&self) -> usize {
        self.answers.len()
    }

    pub(crate) fn get(&self, name: &Name) -> Option<&Answer> {
        self.answers.get(name)
    }

    /// One of the names.
    pub(crate) fn pick(&self, random: &mut StdRng) -> &Name {
        &self.names[random.random_range(0..self.names.len())]
    }

    /// Takes names out, changes others, adds new ones; gives what was done, each name once.
    pub(crate) fn change(&mut self, random: &mut StdRng, zone: &str) -> Vec<Change> {
        let mut changes = Vec::new();
        let (removed, changed) = [(0.1, 0.2), (0.5, 0.1), (0.0, 0.9), (0.95, 0.5)][random.random_range(0..4)];
        for name in std::mem::take(&mut self.names) {
            if random.random_bool(removed) {
                self.answers.remove(&name);
                changes.push(Change::Remove(name));
            } else if random.random_bool(changed) {
                changes.push(self.upsert(name, answer(random)));
            }
        }
        for _ in 0..random.random_range(5..120) {
            let service = service(random, zone);
            if !changes.iter().any(
                |change| matches!(change, Change::Upsert(name, _) | Change::Remove(name) if *name == service),
            ) {
                changes.push(self.upsert(service.clone(), answer(random)));
            }
            for host in 0..random.random_range(0..4) {
                let Ok(host) = service.child(&format!("host-{host}")) else { continue };
                if !self.answers.contains_key(&host) && !changes.contains(&Change::Remove(host.clone())) {
                    changes.push(self.upsert(host, answer(random)));
                }
            }
        }
        self.names = self.answers.keys().cloned().collect();
        changes
    }

    fn upsert(&mut self, name: Name, answer: Answer) -> Change {
        self.answers.insert(name.clone(), answer.clone());
        Change::Upsert(name, answer)
    }
}

/// A Service's full name: mostly short, now and then as long as can be.
fn service(random: &mut StdRng, zone: &str) -> Name {
    let most = if random.random_bool(0.1) { 63 } else { 12 };
    loop {
        let (service, namespace) = (label(random, most), label(random, most));
        let name = format!("{service}.{namespace}.svc.{zone}");
        let name: Name = name.parse().expect("labels of letters");
        if random.random_bool(0.9) {
            return name;
        }
        // A host with a long name, so that the whole is long.
        if let Ok(host) = name.child(&label(random, 63)) {
            return host;
        }
    }
}

fn label(random: &mut StdRng, most: usize) -> String {
    const LETTERS: &[u8] = b"abcdefghijklmnopqrstuvwxyz0123456789-";
    let len = random.random_range(1..=most);
    (0..len).map(|_| char::from(LETTERS[random.random_range(0..LETTERS.len())])).collect()
}

fn answer(random: &mut StdRng) -> Answer {
    if random.random_bool(0.15) {
        return Answer::NxDomain;
    }
    let (v4, v6) = match random.random_range(0..4) {
        0 => (count(random), count(random)),
        1 => (0, count(random)),
        _ => (count(random), 0),
    };
    let v4 = (0..v4).map(|_| IpAddr::V4(Ipv4Addr::from_bits(random.random())));
    let v4: Vec<IpAddr> = v4.collect();
    let v6 = (0..v6).map(|_| IpAddr::V6(Ipv6Addr::from_bits(random.random())));
    v4.into_iter().chain(v6).collect()
}

/// Few addresses mostly; up to a hundred.
fn count(random: &mut StdRng) -> usize {
    match random.random_range(0..8) {
        0 | 1 => 1,
        2..6 => random.random_range(2..12),
        _ => random.random_range(0..=100),
    }
}
