//! What the examples that ship in `deploy/examples` answer, name by name.

use std::collections::BTreeMap;
use std::path::Path;

use super::load;
use crate::zone::{Answer, Event, Index};

#[test]
fn examples_answer_exactly_these_names() {
    let database = [
        "10.244.0.10",
        "10.244.0.11",
        "10.244.0.12",
        "fd00:10:244::10",
        "fd00:10:244::11",
        "fd00:10:244::12",
    ];
    let web = [
        "10.244.0.20",
        "10.244.0.21",
        "10.244.0.22",
        "fd00:10:244::20",
        "fd00:10:244::21",
        "fd00:10:244::22",
    ];
    let myapp = ["10.244.0.30", "10.244.0.31", "fd00:10:244::30", "fd00:10:244::31"];
    let expected: [(&str, &[&str]); 25] = [
        ("db-service", &database),
        ("10-244-0-10.db-service", &["10.244.0.10"]),
        ("10-244-0-11.db-service", &["10.244.0.11"]),
        ("10-244-0-12.db-service", &["10.244.0.12"]),
        ("fd00-10-244--10.db-service", &["fd00:10:244::10"]),
        ("fd00-10-244--11.db-service", &["fd00:10:244::11"]),
        ("fd00-10-244--12.db-service", &["fd00:10:244::12"]),
        ("my-database", &database),
        ("mysql-0.my-database", &["10.244.0.10", "fd00:10:244::10"]),
        ("mysql-1.my-database", &["10.244.0.11", "fd00:10:244::11"]),
        ("mysql-2.my-database", &["10.244.0.12", "fd00:10:244::12"]),
        ("my-headless-service", &myapp),
        ("10-244-0-30.my-headless-service", &["10.244.0.30"]),
        ("10-244-0-31.my-headless-service", &["10.244.0.31"]),
        ("fd00-10-244--30.my-headless-service", &["fd00:10:244::30"]),
        ("fd00-10-244--31.my-headless-service", &["fd00:10:244::31"]),
        ("myapp-headless", &myapp),
        ("10-244-0-30.myapp-headless", &["10.244.0.30"]),
        ("10-244-0-31.myapp-headless", &["10.244.0.31"]),
        ("fd00-10-244--30.myapp-headless", &["fd00:10:244::30"]),
        ("fd00-10-244--31.myapp-headless", &["fd00:10:244::31"]),
        ("web-headless", &web),
        ("web-0.web-headless", &["10.244.0.20", "fd00:10:244::20"]),
        ("web-1.web-headless", &["10.244.0.21", "fd00:10:244::21"]),
        ("web-2.web-headless", &["10.244.0.22", "fd00:10:244::22"]),
    ];
    let expected: BTreeMap<String, Vec<String>> = expected
        .iter()
        .map(|(name, addresses)| (format!("{name}.default.svc.cluster.local"), owned(addresses)))
        .collect();
    assert_eq!(answers(), expected);
}

fn answers() -> BTreeMap<String, Vec<String>> {
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/examples");
    let (objects, problems) = load(&examples).expect("the examples");
    assert_eq!(problems, []);
    let mut index = Index::new("cluster.local".parse().expect("a name"));
    let _ = index.update(objects.into_iter().map(Event::Apply));
    index.answers().map(|(name, answer)| (name.to_string(), addresses(answer))).collect()
}

fn addresses(answer: &Answer) -> Vec<String> {
    match answer {
        Answer::NxDomain => Vec::new(),
        Answer::Addresses { v4, v6 } => {
            v4.iter().map(ToString::to_string).chain(v6.iter().map(ToString::to_string)).collect()
        }
    }
}

fn owned(addresses: &[&str]) -> Vec<String> {
    addresses.iter().map(|&address| address.into()).collect()
}
