//! The index: all namespaces, and what changed in them.

use std::collections::HashMap;

use super::namespace::Namespace;
use super::records::{Record, diff};
use super::{Answer, Change, Event, Id, Kind, Name, Object};

/// All objects of the zone and all its records, kept in step.
#[derive(Debug)]
pub struct Index {
    /// `svc.<zone>`, above every name here.
    services: Name,
    namespaces: HashMap<Box<str>, Namespace>,
}

impl Index {
    /// An empty index of `zone`, the cluster's domain (`cluster.local`). Where the zone is so long that nothing
    /// fits below it, the index never has a name.
    pub fn new(zone: Name) -> Self {
        // Too long for `svc`, it is too long for a Service as well, which `render` leaves out.
        let services = zone.child("svc").unwrap_or(zone);
        Self { services, namespaces: HashMap::new() }
    }

    /// Takes a batch of events in order; gives what is different after all of them.
    pub fn update(&mut self, events: impl IntoIterator<Item = Event>) -> Vec<Change> {
        let mut touched = Vec::new();
        for event in events {
            match event {
                Event::Apply(object) => self.apply(object, &mut touched),
                Event::Delete(id) => self.delete(&id, &mut touched),
            }
        }
        let mut changes = Vec::new();
        for (namespace, service) in touched {
            self.refresh(&namespace, &service, &mut changes);
        }
        changes
    }

    /// Replaces everything by these objects; gives what is different then. For a source that has lost track.
    pub fn reset(&mut self, objects: impl IntoIterator<Item = Object>) -> Vec<Change> {
        let fresh = Self { services: self.services.clone(), namespaces: HashMap::new() };
        let mut old = std::mem::replace(self, fresh);
        let _ = self.update(objects.into_iter().map(Event::Apply));
        let mut changes = Vec::new();
        for (namespace, service, records) in self.entries() {
            diff(old.take_records(namespace, service), records, &mut changes);
        }
        let left = old.answers().map(|(name, _)| Change::Remove(name.clone()));
        changes.extend(left);
        changes
    }

    /// Every name with its answer: the total desired state, in no order.
    pub fn answers(&self) -> impl Iterator<Item = (&Name, &Answer)> {
        self.entries().flat_map(|(_, _, records)| records).map(|(name, answer)| (name, answer))
    }

    fn entries(&self) -> impl Iterator<Item = (&str, &str, &[Record])> {
        self.namespaces.iter().flat_map(|(namespace, within)| {
            within.entries.iter().map(|(service, entry)| (&**namespace, &**service, &*entry.records))
        })
    }

    fn take_records(&mut self, namespace: &str, service: &str) -> Box<[Record]> {
        let entry = self.namespaces.get_mut(namespace).and_then(|within| within.entries.get_mut(service));
        entry.map(|entry| std::mem::take(&mut entry.records)).unwrap_or_default()
    }

    fn apply(&mut self, object: Object, touched: &mut Vec<Touched>) {
        let namespace = match &object {
            Object::Service(service) => &service.namespace,
            Object::EndpointSlice(slice) => &slice.namespace,
            Object::Pod(pod) => &pod.namespace,
        };
        if !self.namespaces.contains_key(namespace) {
            self.namespaces.insert(namespace.clone(), Namespace::default());
        }
        let (name, within) = (namespace.clone(), self.namespaces.get_mut(namespace).expect("inserted above"));
        let mut touch = |service| touched.push((name.clone(), service));
        match object {
            Object::Service(service) => within.apply_service(service, &mut touch),
            Object::EndpointSlice(slice) => within.apply_slice(slice, &mut touch),
            Object::Pod(pod) => within.apply_pod(pod, &mut touch),
        }
    }

    fn delete(&mut self, id: &Id, touched: &mut Vec<Touched>) {
        let Some(within) = self.namespaces.get_mut(&id.namespace) else { return };
        let mut touch = |service| touched.push((id.namespace.clone(), service));
        match id.kind {
            Kind::Service => within.delete_service(&id.name, &mut touch),
            Kind::EndpointSlice => within.delete_slice(&id.name, &mut touch),
            Kind::Pod => within.delete_pod(&id.name, &mut touch),
        }
        if within.is_empty() {
            self.namespaces.remove(&id.namespace);
        }
    }

    fn refresh(&mut self, namespace: &str, service: &str, changes: &mut Vec<Change>) {
        let Some(within) = self.namespaces.get_mut(namespace) else { return };
        within.refresh(&self.services, service, changes);
        if within.is_empty() {
            self.namespaces.remove(namespace);
        }
    }
}

/// Namespace and name of a Service whose records may have changed.
type Touched = (Box<str>, Box<str>);

#[cfg(test)]
mod tests {
    use super::super::{AddressType, Endpoint, EndpointSlice, Families, Labels, Pod, Service};
    use super::*;

    #[test]
    fn service_answers_with_the_ready_endpoints_of_all_its_slices() {
        let mut index = index();
        let _ = index.update([
            service("web"),
            slice("web-a", "web", &[ready("10.0.0.1"), ready("10.0.0.2")]),
            slice("web-b", "web", &[ready("10.0.0.2"), ready("10.0.0.3")]),
            slice("web-v6", "web", &[ready("fd00::1")]),
        ]);
        assert_eq!(answer(&index, "web"), ["10.0.0.1", "10.0.0.2", "10.0.0.3", "fd00::1"]);
    }

    #[test]
    fn unready_endpoint_is_left_out() {
        let mut index = index();
        let unready = Endpoint { ready: false, ..ready("10.0.0.2") };
        let _ = index.update([service("web"), slice("web-a", "web", &[ready("10.0.0.1"), unready])]);
        assert_eq!(answer(&index, "web"), ["10.0.0.1"]);
        assert_eq!(
            names(&index),
            ["10-0-0-1.web.default.svc.cluster.local", "web.default.svc.cluster.local"]
        );
    }

    #[test]
    fn service_without_a_ready_endpoint_does_not_exist() {
        let mut index = index();
        let unready = Endpoint { ready: false, ..ready("10.0.0.1") };
        let _ = index.update([service("web"), slice("web-a", "web", &[unready])]);
        assert_eq!(index.answers().map(|(_, answer)| answer).collect::<Vec<_>>(), [&Answer::NxDomain]);
    }

    #[test]
    fn endpoints_of_one_hostname_share_its_name() {
        let mut index = index();
        let _ = index.update([
            service("db"),
            slice("db-a", "db", &[named("db-0", "10.0.0.1"), named("db-1", "10.0.0.2")]),
            slice("db-b", "db", &[named("db-0", "fd00::1"), ready("10.0.0.9")]),
        ]);
        assert_eq!(answer(&index, "db-0.db"), ["10.0.0.1", "fd00::1"]);
        assert_eq!(answer(&index, "db-1.db"), ["10.0.0.2"]);
        assert_eq!(answer(&index, "10-0-0-9.db"), ["10.0.0.9"]);
        assert_eq!(index.answers().count(), 4);
    }

    #[test]
    fn service_with_a_cluster_ip_has_no_names() {
        let mut index = index();
        let _ = index.update([
            with("web", |service| service.headless = false),
            slice("a", "web", &[ready("10.0.0.1")]),
        ]);
        assert_eq!(index.answers().count(), 0);
    }

    #[test]
    fn service_with_a_slice_of_domain_names_is_passed_on_whole() {
        let mut index = index();
        let _ = index.update([service("web"), slice("a", "web", &[ready("10.0.0.1")])]);
        let fqdn = EndpointSlice { address_type: AddressType::Fqdn, ..bare_slice("b", "web", &[]) };
        let changes = index.update([Event::Apply(Object::EndpointSlice(fqdn))]);
        assert_eq!(changes.len(), 2);
        assert_eq!(index.answers().count(), 0);
    }

    #[test]
    fn slices_alone_have_no_names_until_their_service_comes() {
        let mut index = index();
        assert_eq!(index.update([slice("a", "web", &[ready("10.0.0.1")])]), []);
        assert_eq!(index.update([service("web")]).len(), 2);
    }

    #[test]
    fn slice_that_changes_hands_leaves_its_old_service() {
        let mut index = index();
        let _ = index.update([service("web"), service("db"), slice("a", "web", &[ready("10.0.0.1")])]);
        let _ = index.update([slice("a", "db", &[ready("10.0.0.1")])]);
        assert_eq!(answer(&index, "db"), ["10.0.0.1"]);
        assert_eq!(answer(&index, "web"), [""; 0]);
        let orphan = EndpointSlice { service: None, ..bare_slice("a", "", &[ready("10.0.0.1")]) };
        let _ = index.update([Event::Apply(Object::EndpointSlice(orphan))]);
        assert_eq!(answer(&index, "db"), [""; 0]);
    }

    #[test]
    fn pods_are_endpoints_only_while_there_is_no_slice() {
        let mut index = index();
        let _ = index.update([service("web"), pod("web-0", "web", "10.0.0.1")]);
        assert_eq!(answer(&index, "web"), ["10.0.0.1"]);
        let _ = index.update([slice("a", "web", &[])]);
        assert_eq!(answer(&index, "web"), [""; 0]);
        let _ = index.update([delete(Kind::EndpointSlice, "a")]);
        assert_eq!(answer(&index, "web"), ["10.0.0.1"]);
    }

    #[test]
    fn pod_counts_for_every_service_that_selects_it() {
        let mut index = index();
        let of_web = |service: &mut Service| service.selector = Labels::from_iter([("app", "web")]);
        let _ = index.update([service("web"), with("front", of_web), pod("web-0", "web", "10.0.0.1")]);
        assert_eq!(answer(&index, "web"), ["10.0.0.1"]);
        assert_eq!(answer(&index, "front"), ["10.0.0.1"]);
    }

    #[test]
    fn pod_of_another_namespace_is_not_selected() {
        let mut index = index();
        let Event::Apply(Object::Pod(mut pod)) = pod("web-0", "web", "10.0.0.1") else { unreachable!() };
        pod.namespace = "other".into();
        let _ = index.update([service("web"), Event::Apply(Object::Pod(pod))]);
        assert_eq!(answer(&index, "web"), [""; 0]);
    }

    #[test]
    fn pod_that_is_relabelled_leaves_its_old_service() {
        let mut index = index();
        let _ = index.update([service("web"), service("db"), pod("p", "web", "10.0.0.1")]);
        let _ = index.update([pod("p", "db", "10.0.0.1")]);
        assert_eq!(answer(&index, "web"), [""; 0]);
        assert_eq!(answer(&index, "db"), ["10.0.0.1"]);
    }

    #[test]
    fn service_without_selector_has_no_endpoints_of_pods() {
        let mut index = index();
        let _ = index.update([
            with("web", |service| service.selector = Labels::default()),
            pod("p", "web", "10.0.0.1"),
        ]);
        assert_eq!(index.answers().count(), 0, "others make its slices: until they come, nothing is known");
    }

    #[test]
    fn service_of_which_neither_slice_nor_pod_is_known_is_passed_on() {
        let mut index = index();
        assert_eq!(index.update([service("web"), pod("p", "other", "10.0.0.1")]), []);
        let _ = index.update([pod("web-0", "web", "10.0.0.1")]);
        assert_eq!(answer(&index, "web"), ["10.0.0.1"]);
        let changes = index.update([delete(Kind::Pod, "web-0")]);
        assert_eq!(changes, ["web", "10-0-0-1.web"].map(|name| Change::Remove(full(name))));
    }

    #[test]
    fn service_whose_pods_are_all_unready_does_not_exist() {
        let mut index = index();
        let Event::Apply(Object::Pod(mut pod)) = pod("web-0", "web", "10.0.0.1") else { unreachable!() };
        pod.ready = false;
        let changes = index.update([service("web"), Event::Apply(Object::Pod(pod))]);
        assert_eq!(changes, [Change::Upsert(full("web"), Answer::NxDomain)]);
    }

    #[test]
    fn service_whose_slice_is_empty_does_not_exist() {
        let mut index = index();
        let changes = index.update([service("web"), slice("a", "web", &[])]);
        assert_eq!(changes, [Change::Upsert(full("web"), Answer::NxDomain)]);
    }

    #[test]
    fn batch_is_coalesced_to_what_really_changed() {
        let mut index = index();
        let _ = index.update([service("web"), pod("web-0", "web", "10.0.0.1")]);
        let back_and_forth = [
            delete(Kind::Service, "web"),
            pod("web-0", "web", "10.0.0.2"),
            service("web"),
            pod("web-0", "web", "10.0.0.1"),
        ];
        assert_eq!(index.update(back_and_forth), []);
    }

    #[test]
    fn service_that_goes_takes_all_its_names() {
        let mut index = index();
        let _ = index.update([service("web"), slice("a", "web", &[ready("10.0.0.1")])]);
        let changes = index.update([delete(Kind::Service, "web")]);
        let names = ["web", "10-0-0-1.web"].map(|name| Change::Remove(full(name)));
        assert_eq!(changes, names);
        assert_eq!(index.update([delete(Kind::Service, "web"), delete(Kind::Pod, "never-seen")]), []);
    }

    #[test]
    fn nothing_is_kept_of_what_is_gone() {
        let mut index = index();
        let _ = index.update([
            service("web"),
            slice("a", "web", &[ready("10.0.0.1")]),
            pod("p", "web", "10.0.0.1"),
        ]);
        let _ = index.update([
            delete(Kind::Pod, "p"),
            delete(Kind::EndpointSlice, "a"),
            delete(Kind::Service, "web"),
        ]);
        assert!(index.namespaces.is_empty());
    }

    #[test]
    fn name_that_cannot_be_one_is_left_out_and_the_others_stay() {
        let mut index = index();
        let long = "a".repeat(64);
        let endpoints =
            [named("a.b", "10.0.0.1"), named("", "10.0.0.2"), named(&long, "10.0.0.3"), ready("10.0.0.4")];
        let _ = index.update([
            service("web"),
            slice("a", "web", &endpoints),
            service("bad name"),
            service(&long),
        ]);
        assert_eq!(answer(&index, "web"), ["10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.4"]);
        assert_eq!(
            names(&index),
            ["10-0-0-4.web.default.svc.cluster.local", "web.default.svc.cluster.local"]
        );
    }

    #[test]
    fn zone_that_leaves_no_room_has_no_names() {
        let zone = [63, 63, 63, 59].map(|length| "a".repeat(length)).join(".");
        let mut index = Index::new(zone.parse().expect("a name"));
        assert_eq!(index.update([service("web"), slice("a", "web", &[ready("10.0.0.1")])]), []);
    }

    fn index() -> Index {
        Index::new("cluster.local".parse().expect("a name"))
    }

    fn full(name: &str) -> Name {
        format!("{name}.default.svc.cluster.local").parse().expect("a name")
    }

    fn names(index: &Index) -> Vec<String> {
        let mut names: Vec<String> = index.answers().map(|(name, _)| name.to_string()).collect();
        names.sort();
        names
    }

    /// The addresses of a name in the namespace `default`; none where it is not known or does not exist.
    fn answer(index: &Index, name: &str) -> Vec<String> {
        let name = full(name);
        match index.answers().find(|(known, _)| **known == name) {
            Some((_, Answer::Addresses { v4, v6 })) => {
                v4.iter().map(ToString::to_string).chain(v6.iter().map(ToString::to_string)).collect()
            }
            _ => Vec::new(),
        }
    }

    fn service(name: &str) -> Event {
        with(name, |_| ())
    }

    fn with(name: &str, change: impl FnOnce(&mut Service)) -> Event {
        let mut service = Service {
            namespace: "default".into(),
            name: name.into(),
            headless: true,
            selector: Labels::from_iter([("app", name)]),
            publish_not_ready_addresses: false,
            families: Families::BOTH,
            ports: Box::new([]),
        };
        change(&mut service);
        Event::Apply(Object::Service(service))
    }

    fn slice(name: &str, service: &str, endpoints: &[Endpoint]) -> Event {
        Event::Apply(Object::EndpointSlice(bare_slice(name, service, endpoints)))
    }

    fn bare_slice(name: &str, service: &str, endpoints: &[Endpoint]) -> EndpointSlice {
        EndpointSlice {
            namespace: "default".into(),
            name: name.into(),
            service: Some(service.into()),
            address_type: AddressType::Ip,
            endpoints: endpoints.into(),
            ports: Box::new([]),
        }
    }

    fn ready(address: &str) -> Endpoint {
        Endpoint { address: address.parse().expect("an address"), hostname: None, ready: true }
    }

    fn named(hostname: &str, address: &str) -> Endpoint {
        Endpoint { hostname: Some(hostname.into()), ..ready(address) }
    }

    fn pod(name: &str, app: &str, address: &str) -> Event {
        Event::Apply(Object::Pod(Pod {
            namespace: "default".into(),
            name: name.into(),
            labels: Labels::from_iter([("app", app), ("pod", name)]),
            addresses: Box::new([address.parse().expect("an address")]),
            ready: true,
            terminating: false,
            ended: false,
            hostname: None,
            subdomain: None,
            ports: Box::new([]),
        }))
    }

    fn delete(kind: Kind, name: &str) -> Event {
        Event::Delete(Id { kind, namespace: "default".into(), name: name.into() })
    }
}
