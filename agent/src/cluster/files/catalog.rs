//! Which file holds which object, and what an edit of one file changes.
//!
//! Pure. An object that several files hold is that of the first in path order; a file that is refused keeps what
//! it held when it was last good.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::path::Path;
use std::sync::Arc;

use super::super::manifest::{Placed, Problem};
use crate::zone::{Event, Id, Object};

/// All files with their objects.
#[derive(Debug, Default)]
pub(super) struct Catalog {
    files: BTreeMap<Arc<Path>, Vec<Placed>>,
    /// Where each object stands: the first place counts.
    places: HashMap<Id, BTreeSet<Place>>,
    refused: BTreeSet<Arc<Path>>,
    /// What counted before the edits that [`Catalog::settle`] has yet to tell of.
    before: BTreeMap<Id, Option<Object>>,
}

/// A file, and which of its objects.
type Place = (Arc<Path>, usize);

impl Catalog {
    /// Takes what a file now says. Gives whether the file had been refused and is good again.
    pub(super) fn put(&mut self, file: &Path, objects: Vec<Placed>) -> bool {
        let file: Arc<Path> = file.into();
        let old = self.files.get(&file).map(Vec::as_slice).unwrap_or_default();
        let touched: HashSet<Id> = old.iter().chain(&objects).map(|placed| placed.object.id()).collect();
        for id in touched {
            let counting = self.counting(&id).cloned();
            if let Some(places) = self.places.get_mut(&id) {
                places.retain(|(other, _)| *other != file);
            }
            self.before.entry(id).or_insert(counting);
        }
        for (at, placed) in objects.iter().enumerate() {
            self.places.entry(placed.object.id()).or_default().insert((file.clone(), at));
        }
        let mended = self.refused.remove(&file);
        self.files.insert(file, objects);
        mended
    }

    /// Takes note that what a file now says cannot be used: what it said before still counts.
    pub(super) fn refuse(&mut self, file: &Path) {
        self.refused.insert(file.into());
    }

    /// Forgets a file.
    pub(super) fn remove(&mut self, file: &Path) {
        let _ = self.put(file, Vec::new());
        self.files.remove(file);
    }

    /// What is different after all edits since it was last asked, and the duplicates among what they touched. An
    /// object that moved from file to file did not change.
    pub(super) fn settle(&mut self) -> (Vec<Event>, Vec<Problem>) {
        let (mut events, mut problems) = (Vec::new(), Vec::new());
        for (id, before) in std::mem::take(&mut self.before) {
            problems.extend(self.duplicates(&id));
            match self.counting(&id) {
                Some(now) if before.as_ref() != Some(now) => events.push(Event::Apply(now.clone())),
                Some(_) => {}
                None => {
                    self.places.remove(&id);
                    events.extend(before.map(|_| Event::Delete(id)));
                }
            }
        }
        (events, problems)
    }

    /// Whether a file holds objects, or held some when it was last good.
    pub(super) fn holds(&self, file: &Path) -> bool {
        self.files.get(file).is_some_and(|objects| !objects.is_empty())
    }

    /// Every file that is known, refused ones included.
    pub(super) fn files(&self) -> BTreeSet<Arc<Path>> {
        self.files.keys().chain(&self.refused).cloned().collect()
    }

    fn counting(&self, id: &Id) -> Option<&Object> {
        self.places.get(id)?.first().and_then(|place| self.placed(place)).map(|placed| &placed.object)
    }

    fn placed(&self, (file, at): &Place) -> Option<&Placed> {
        self.files.get(file)?.get(*at)
    }

    /// A problem for each place of an object but the first.
    fn duplicates(&self, id: &Id) -> impl Iterator<Item = Problem> {
        let mut places =
            self.places.get(id).into_iter().flatten().filter_map(|place| Some((place, self.placed(place)?)));
        let first = places.next();
        places.filter_map(move |((file, _), placed)| {
            let ((winner, _), first) = first?;
            Some(Problem {
                file: file.to_path_buf(),
                document: placed.document,
                line: placed.line,
                reason: format!(
                    "{id} is already in {}, document {}, line {}: that one counts, remove one of them",
                    winner.display(),
                    first.document,
                    first.line
                ),
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::manifest::parse;
    use super::*;

    #[test]
    fn only_objects_that_changed_are_events() {
        let mut catalog = Catalog::default();
        put(&mut catalog, "a", &services(&["web", "db"]));
        assert_eq!(events(&mut catalog), ["+db", "+web"]);
        put(&mut catalog, "a", &services(&["db", "new"]));
        assert_eq!(events(&mut catalog), ["+new", "-web"]);
        put(&mut catalog, "a", &services(&["new", "db"]));
        assert_eq!(events(&mut catalog), [""; 0], "order is no change");
        catalog.remove("a".as_ref());
        assert_eq!(events(&mut catalog), ["-db", "-new"]);
    }

    #[test]
    fn object_that_moves_from_file_to_file_did_not_change() {
        let mut catalog = Catalog::default();
        for (from, to) in [("a", "b"), ("b", "a")] {
            put(&mut catalog, from, &services(&["web"]));
            let _ = catalog.settle();
            catalog.remove(from.as_ref());
            put(&mut catalog, to, &services(&["web"]));
            assert_eq!(catalog.settle(), (vec![], vec![]));
        }
    }

    #[test]
    fn refused_file_keeps_its_last_good_objects() {
        let mut catalog = Catalog::default();
        assert!(!put(&mut catalog, "a", &services(&["web"])));
        let _ = catalog.settle();
        catalog.refuse("a".as_ref());
        assert!(catalog.holds("a".as_ref()));
        assert_eq!(events(&mut catalog), [""; 0]);
        assert!(put(&mut catalog, "a", &services(&["web", "db"])), "it is good again");
        assert_eq!(events(&mut catalog), ["+db"]);
    }

    #[test]
    fn duplicate_in_a_later_file_waits_until_the_first_goes() {
        let mut catalog = Catalog::default();
        put(&mut catalog, "a", &services(&["web"]));
        let _ = catalog.settle();
        put(&mut catalog, "b", &headless("web"));
        let (events, problems) = catalog.settle();
        assert_eq!(
            problems.iter().map(ToString::to_string).collect::<Vec<_>>(),
            [
                "b: document 1, line 1: Service default/web is already in a, document 1, line 1: that one counts, remove \
              one of them"
            ]
        );
        assert_eq!(events, []);
        catalog.remove("a".as_ref());
        assert!(matches!(&*catalog.settle().0, [Event::Apply(Object::Service(service))] if service.headless));
    }

    #[test]
    fn earlier_file_takes_an_object_over() {
        let mut catalog = Catalog::default();
        put(&mut catalog, "b", &headless("web"));
        let _ = catalog.settle();
        put(&mut catalog, "a", &services(&["web"]));
        let (events, problems) = catalog.settle();
        assert!(matches!(&*events, [Event::Apply(Object::Service(service))] if !service.headless));
        assert_eq!(problems[0].file, Path::new("b"), "the later one is told");
    }

    #[test]
    fn duplicate_in_one_file_is_told_and_the_first_counts() {
        let mut catalog = Catalog::default();
        put(&mut catalog, "a", &format!("{}---\n{}", services(&["web", "db"]), headless("web")));
        let (events, problems) = catalog.settle();
        assert_eq!(problems.len(), 1);
        assert_eq!((problems[0].document, problems[0].line), (3, 9));
        assert_eq!(events.len(), 2);
        assert!(
            events
                .iter()
                .all(|event| matches!(event, Event::Apply(Object::Service(service)) if !service.headless))
        );
    }

    #[test]
    fn removed_file_leaves_nothing() {
        let mut catalog = Catalog::default();
        put(&mut catalog, "a", &services(&["web"]));
        catalog.refuse("b".as_ref());
        assert_eq!(catalog.files().len(), 2);
        catalog.remove("a".as_ref());
        catalog.remove("b".as_ref());
        let _ = catalog.settle();
        assert!(catalog.files().is_empty() && catalog.places.is_empty());
    }

    fn put(catalog: &mut Catalog, file: &str, text: &str) -> bool {
        catalog.put(file.as_ref(), parse(file.as_ref(), text).expect("a good file").objects)
    }

    fn services(names: &[&str]) -> String {
        let documents =
            names.iter().map(|name| format!("apiVersion: v1\nkind: Service\nmetadata: {{name: {name}}}\n"));
        documents.collect::<Vec<_>>().join("---\n")
    }

    fn headless(name: &str) -> String {
        format!("{}spec: {{clusterIP: None}}\n", services(&[name]))
    }

    /// `+name` for an object applied, `-name` for one deleted, sorted.
    fn events(catalog: &mut Catalog) -> Vec<String> {
        let spell = |event: Event| match event {
            Event::Apply(object) => format!("+{}", object.id().name),
            Event::Delete(id) => format!("-{}", id.name),
        };
        let mut events: Vec<String> = catalog.settle().0.into_iter().map(spell).collect();
        events.sort();
        events
    }
}
