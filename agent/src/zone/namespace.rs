//! The objects of one namespace by Service, and which Services an object matters to.

use std::collections::{HashMap, HashSet};

use super::endpoints::{ready_of_pod, ready_of_slices};
use super::records::{Record, diff, render};
use super::{AddressType, Change, EndpointSlice, Labels, Name, Pod, Service};

/// Names of objects that share a label.
type Names = HashSet<Box<str>>;

/// The objects of one namespace.
#[derive(Debug, Default)]
pub(super) struct Namespace {
    /// By the name of the Service.
    pub(super) entries: HashMap<Box<str>, Box<Entry>>,
    /// Whose slice each one is.
    slices: HashMap<Box<str>, Box<str>>,
    pods: HashMap<Box<str>, Pod>,
    /// Pods by each of their labels.
    labelled: HashMap<Box<str>, Names>,
    /// Services whose endpoints are worked out from Pods, by the first pair of their selector: whoever satisfies
    /// it has that label.
    selecting: HashMap<Box<str>, Names>,
}

/// A Service, or the slices of one that is not there yet.
#[derive(Debug, Default)]
pub(super) struct Entry {
    service: Option<Service>,
    /// Sorted by name.
    slices: Vec<EndpointSlice>,
    /// Sorted by name.
    pub(super) records: Box<[Record]>,
    /// Waits for its records to be made anew.
    touched: bool,
    /// The pair under which it stands in `selecting`.
    listed: Option<Box<str>>,
}

impl Namespace {
    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty() && self.pods.is_empty() && self.slices.is_empty()
    }

    pub(super) fn apply_service(&mut self, service: Service, touch: &mut impl FnMut(Box<str>)) {
        let entry = self.entries.entry(service.name.clone()).or_default();
        if entry.service.as_ref() == Some(&service) {
            return;
        }
        let name = service.name.clone();
        entry.service = Some(service);
        self.touch(&name, touch);
    }

    pub(super) fn delete_service(&mut self, name: &str, touch: &mut impl FnMut(Box<str>)) {
        let Some(entry) = self.entries.get_mut(name) else { return };
        if entry.service.take().is_some() {
            entry.touch(name, touch);
        }
    }

    pub(super) fn apply_slice(&mut self, slice: EndpointSlice, touch: &mut impl FnMut(Box<str>)) {
        if self.slices.get(&slice.name) != slice.service.as_ref() {
            self.delete_slice(&slice.name, touch);
        }
        let Some(service) = slice.service.clone() else { return };
        let entry = self.entries.entry(service.clone()).or_default();
        match entry.slices.binary_search_by(|other| other.name.cmp(&slice.name)) {
            Ok(at) if entry.slices[at] == slice => return,
            Ok(at) => entry.slices[at] = slice,
            Err(at) => {
                self.slices.insert(slice.name.clone(), service.clone());
                if entry.slices.is_empty() {
                    // Nearly all Services have one slice; room for four each would be most of their memory.
                    entry.slices.reserve_exact(1);
                }
                entry.slices.insert(at, slice);
            }
        }
        self.touch(&service, touch);
    }

    pub(super) fn delete_slice(&mut self, name: &str, touch: &mut impl FnMut(Box<str>)) {
        let Some(service) = self.slices.remove(name) else { return };
        let Some(entry) = self.entries.get_mut(&service) else { return };
        if let Ok(at) = entry.slices.binary_search_by(|slice| (*slice.name).cmp(name)) {
            entry.slices.remove(at);
        }
        self.touch(&service, touch);
    }

    pub(super) fn apply_pod(&mut self, pod: Pod, touch: &mut impl FnMut(Box<str>)) {
        if self.pods.get(&pod.name) == Some(&pod) {
            return;
        }
        self.delete_pod(&pod.name, touch);
        for pair in pod.labels.iter() {
            list(&mut self.labelled, pair, &pod.name);
        }
        self.touch_selecting(&pod.labels, touch);
        self.pods.insert(pod.name.clone(), pod);
    }

    pub(super) fn delete_pod(&mut self, name: &str, touch: &mut impl FnMut(Box<str>)) {
        let Some(pod) = self.pods.remove(name) else { return };
        for pair in pod.labels.iter() {
            unlist(&mut self.labelled, pair, name);
        }
        self.touch_selecting(&pod.labels, touch);
    }

    /// Touches the Services whose endpoints are worked out from Pods and that select one with these labels.
    fn touch_selecting(&mut self, labels: &Labels, touch: &mut impl FnMut(Box<str>)) {
        for pair in labels.iter() {
            for name in self.selecting.get(pair).into_iter().flatten() {
                let Some(entry) = self.entries.get_mut(name) else { continue };
                // One that has changed since it was listed is touched already.
                if entry.service.as_ref().is_some_and(|service| labels.satisfy(&service.selector)) {
                    entry.touch(name, touch);
                }
            }
        }
    }

    fn touch(&mut self, service: &str, touch: &mut impl FnMut(Box<str>)) {
        if let Some(entry) = self.entries.get_mut(service) {
            entry.touch(service, touch);
        }
    }

    /// Makes the records of a Service anew, as its objects stand now, and adds what changed.
    pub(super) fn refresh(&mut self, services: &Name, name: &str, changes: &mut Vec<Change>) {
        let Some(entry) = self.entries.get(name) else { return };
        let records = self.records(services, entry);
        let entry = self.entries.get_mut(name).expect("looked up above");
        entry.touched = false;
        let old = std::mem::replace(&mut entry.records, records);
        diff(old, &entry.records, changes);

        let pair = entry.awaited_pair();
        if entry.listed.as_deref() != pair {
            let pair = pair.map(Box::from);
            if let Some(pair) = &pair {
                list(&mut self.selecting, pair, name);
            }
            if let Some(pair) = std::mem::replace(&mut entry.listed, pair) {
                unlist(&mut self.selecting, &pair, name);
            }
        }
        if entry.service.is_none() && entry.slices.is_empty() {
            self.entries.remove(name);
        }
    }

    fn records(&self, services: &Name, entry: &Entry) -> Box<[Record]> {
        let Some(service) = entry.service.as_ref().filter(|service| service.headless) else {
            return Box::new([]);
        };
        if entry.slices.iter().any(|slice| slice.address_type == AddressType::Fqdn) {
            return Box::new([]);
        }
        if entry.slices.is_empty() {
            let mut pods = self.selected(&service.selector).peekable();
            // Of endpoints nothing at all is known, which is not the same as that there are none.
            if pods.peek().is_none() {
                return Box::new([]);
            }
            return render(services, service, pods.flat_map(|pod| ready_of_pod(service, pod)));
        }
        render(services, service, ready_of_slices(&entry.slices))
    }

    /// The Pods that satisfy a selector, found by the rarest of its pairs. An empty one selects none.
    fn selected(&self, selector: &Labels) -> impl Iterator<Item = &Pod> {
        let rarest = selector
            .iter()
            .map(|pair| self.labelled.get(pair))
            .min_by_key(|names| names.map_or(0, HashSet::len))
            .flatten();
        rarest
            .into_iter()
            .flatten()
            .filter_map(|name| self.pods.get(name))
            .filter(move |pod| pod.labels.satisfy(selector))
    }
}

impl Entry {
    fn touch(&mut self, name: &str, touch: &mut impl FnMut(Box<str>)) {
        if !std::mem::replace(&mut self.touched, true) {
            touch(name.into());
        }
    }

    /// The pair of labels under which a Pod finds this Service; none where no Pod matters to it.
    fn awaited_pair(&self) -> Option<&str> {
        let service = self.service.as_ref().filter(|service| service.headless && self.slices.is_empty())?;
        service.selector.iter().next()
    }
}

fn list(names: &mut HashMap<Box<str>, Names>, pair: &str, name: &str) {
    match names.get_mut(pair) {
        Some(names) => names.insert(name.into()),
        None => names.entry(pair.into()).or_default().insert(name.into()),
    };
}

fn unlist(names: &mut HashMap<Box<str>, Names>, pair: &str, name: &str) {
    if let Some(of_pair) = names.get_mut(pair) {
        of_pair.remove(name);
        if of_pair.is_empty() {
            names.remove(pair);
        }
    }
}
