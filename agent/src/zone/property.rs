//! Properties of the index over random histories: going step by step, starting afresh and a simple oracle agree.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;

use proptest::prelude::*;

use super::*;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn step_by_step_from_scratch_and_by_oracle_is_the_same(batches in prop::collection::vec(batch(), 1..12)) {
        let mut index = index();
        let mut objects = HashMap::new();
        let mut table = HashMap::new();
        for batch in batches {
            for event in &batch {
                match event.clone() {
                    Event::Apply(object) => { objects.insert(object.id(), object); }
                    Event::Delete(id) => { objects.remove(&id); }
                }
            }
            take(&mut table, index.update(batch));
            prop_assert_eq!(&table, &state(&index));
        }
        let mut fresh = self::index();
        let _ = fresh.update(objects.values().cloned().map(Event::Apply));
        prop_assert_eq!(&table, &state(&fresh));
        prop_assert_eq!(readable(&table), oracle(objects.values()));
    }

    #[test]
    fn reset_leads_from_any_state_to_any_other(before in batch(), after in prop::collection::vec(object(), 0..20)) {
        let mut index = index();
        let mut table = HashMap::new();
        take(&mut table, index.update(before));
        let after: HashMap<Id, Object> = after.into_iter().map(|object| (object.id(), object)).collect();
        take(&mut table, index.reset(after.values().cloned()));
        prop_assert_eq!(&table, &state(&index));
        prop_assert_eq!(readable(&table), oracle(after.values()));
    }
}

type Table = HashMap<Name, Answer>;

/// Applies changes as the kernel's table would; a change that changes nothing, or a second one of a name, is a fault.
fn take(table: &mut Table, changes: Vec<Change>) {
    let mut names = BTreeSet::new();
    for change in changes {
        let name = match change {
            Change::Upsert(name, answer) => {
                let old = table.insert(name.clone(), answer);
                assert_ne!(old.as_ref(), table.get(&name), "{name} was upserted to what it was");
                name
            }
            Change::Remove(name) => {
                assert!(table.remove(&name).is_some(), "{name} was removed and not there");
                name
            }
        };
        assert!(names.insert(name.clone()), "{name} came twice in a batch");
    }
}

fn state(index: &Index) -> Table {
    let mut table = Table::new();
    for (name, answer) in index.answers() {
        assert!(table.insert(name.clone(), answer.clone()).is_none(), "{name} belongs to two Services");
    }
    table
}

fn readable(table: &Table) -> BTreeMap<String, BTreeSet<IpAddr>> {
    let addresses = |answer: &Answer| match answer {
        Answer::NxDomain => BTreeSet::new(),
        Answer::Addresses { v4, v6 } => {
            v4.iter().copied().map(IpAddr::V4).chain(v6.iter().copied().map(IpAddr::V6)).collect()
        }
    };
    table.iter().map(|(name, answer)| (name.to_string(), addresses(answer))).collect()
}

/// What the names must answer, written as plainly as can be: every Service against every slice and every Pod.
fn oracle<'a>(objects: impl Iterator<Item = &'a Object>) -> BTreeMap<String, BTreeSet<IpAddr>> {
    let objects: Vec<&Object> = objects.collect();
    let mut names: BTreeMap<String, BTreeSet<IpAddr>> = BTreeMap::new();
    for object in &objects {
        let Object::Service(service) = object else { continue };
        if !service.headless {
            continue;
        }
        let slices: Vec<&EndpointSlice> = objects
            .iter()
            .filter_map(|object| if let Object::EndpointSlice(slice) = object { Some(slice) } else { None })
            .filter(|slice| slice.namespace == service.namespace)
            .filter(|slice| slice.service.as_ref() == Some(&service.name))
            .collect();
        if slices.iter().any(|slice| slice.address_type == AddressType::Fqdn) {
            continue;
        }
        let selected: Vec<&Pod> = objects
            .iter()
            .filter_map(|object| if let Object::Pod(pod) = object { Some(pod) } else { None })
            .filter(|pod| pod.namespace == service.namespace && !service.selector.is_empty())
            .filter(|pod| service.selector.iter().all(|pair| pod.labels.iter().any(|label| label == pair)))
            .collect();
        if slices.is_empty() && selected.is_empty() {
            continue;
        }
        let own = format!("{}.{}.svc.cluster.local", service.name, service.namespace);
        names.insert(own.clone(), BTreeSet::new());
        let mut add = |hostname: Option<&str>, address: IpAddr| {
            let label = hostname.map_or_else(|| dashed(&address.to_string()), str::to_lowercase);
            names.get_mut(&own).expect("inserted above").insert(address);
            names.entry(format!("{label}.{own}")).or_default().insert(address);
        };
        for endpoint in slices.iter().flat_map(|slice| &slice.endpoints) {
            if endpoint.ready {
                add(endpoint.hostname.as_deref(), endpoint.address);
            }
        }
        if !slices.is_empty() {
            continue;
        }
        for pod in selected {
            let ready = service.publish_not_ready_addresses || (pod.ready && !pod.terminating);
            if pod.ended || !ready {
                continue;
            }
            let in_subdomain = pod.subdomain.as_ref() == Some(&service.name);
            for address in &pod.addresses {
                if (address.is_ipv4() && service.families.v4) || (address.is_ipv6() && service.families.v6) {
                    add(pod.hostname.as_deref().filter(|_| in_subdomain), *address);
                }
            }
        }
    }
    names
}

fn index() -> Index {
    Index::new("cluster.local".parse().expect("a name"))
}

fn batch() -> impl Strategy<Value = Vec<Event>> {
    prop::collection::vec(event(), 1..12)
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        3 => object().prop_map(Event::Apply),
        1 => object().prop_map(|object| Event::Delete(object.id())),
    ]
}

fn object() -> impl Strategy<Value = Object> {
    prop_oneof![
        service().prop_map(Object::Service),
        slice().prop_map(Object::EndpointSlice),
        pod().prop_map(Object::Pod),
    ]
}

fn service() -> impl Strategy<Value = Service> {
    let families = (any::<bool>(), any::<bool>()).prop_map(|(v4, v6)| Families { v4, v6 });
    (
        namespace(),
        one_of(&["db", "web"]),
        prop::bool::weighted(0.8),
        labels(),
        prop::bool::weighted(0.2),
        families,
    )
        .prop_map(|(namespace, name, headless, selector, publish_not_ready_addresses, families)| {
            Service {
                namespace,
                name,
                headless,
                selector,
                publish_not_ready_addresses,
                families,
                ports: Box::new([]),
            }
        })
}

fn slice() -> impl Strategy<Value = EndpointSlice> {
    let address_type = prop_oneof![9 => Just(AddressType::Ip), 1 => Just(AddressType::Fqdn)];
    let endpoint = (address(), prop::option::of(hostname()), prop::bool::weighted(0.7))
        .prop_map(|(address, hostname, ready)| Endpoint { address, hostname, ready });
    let service = prop::option::weighted(0.9, one_of(&["db", "web"]));
    (namespace(), one_of(&["s0", "s1", "s2"]), service, address_type, prop::collection::vec(endpoint, 0..4))
        .prop_map(|(namespace, name, service, address_type, endpoints)| EndpointSlice {
            namespace,
            name,
            service,
            address_type,
            endpoints: if address_type == AddressType::Ip { endpoints.into() } else { Box::new([]) },
            ports: Box::new([]),
        })
}

fn pod() -> impl Strategy<Value = Pod> {
    let states = (prop::bool::weighted(0.8), prop::bool::weighted(0.1), prop::bool::weighted(0.1));
    let names = (prop::option::of(hostname()), prop::option::of(one_of(&["db", "web"])));
    let addresses = prop::collection::vec(address(), 0..3);
    (namespace(), one_of(&["p0", "p1", "p2", "p3"]), labels(), addresses, states, names).prop_map(
        |(namespace, name, labels, addresses, (ready, terminating, ended), (hostname, subdomain))| Pod {
            namespace,
            name,
            labels,
            addresses: addresses.into(),
            ready,
            terminating,
            ended,
            hostname,
            subdomain,
            ports: Box::new([]),
        },
    )
}

fn namespace() -> impl Strategy<Value = Box<str>> {
    prop_oneof![4 => Just("default".into()), 1 => Just("other".into())]
}

/// Some that meet the dashed form of an address, and one that is not in lower case.
fn hostname() -> impl Strategy<Value = Box<str>> {
    one_of(&["db-0", "db-1", "10-0-0-1", "DB-1"])
}

fn address() -> impl Strategy<Value = IpAddr> {
    prop_oneof![
        (0..6u8).prop_map(|last| IpAddr::from([10, 0, 0, last])),
        (0..3u16).prop_map(|last| IpAddr::from([0xfd00, 0, 0, 0, 0, 0, 0, last])),
    ]
}

fn labels() -> impl Strategy<Value = Labels> {
    let pair = (prop::sample::select(vec!["app", "app-x", "tier"]), prop::sample::select(vec!["a", "b"]));
    prop::collection::vec(pair, 0..3).prop_map(Labels::from_iter)
}

fn one_of(names: &'static [&'static str]) -> impl Strategy<Value = Box<str>> {
    prop::sample::select(names).prop_map(Box::from)
}
