//! Labels of pods, and selectors over them.

use std::collections::BTreeMap;

/// A set of labels, or of the labels that a selector asks for: each as `key=value`, sorted.
///
/// One string a pair keeps a million pods lean and lets one lookup find a pair. A key cannot hold a `=`, so two
/// pairs never share a string.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Labels(Box<[Box<str>]>);

impl Labels {
    /// Whether every pair of `selector` is among these labels. The empty selector is refused elsewhere: to
    /// Kubernetes it selects nothing.
    pub fn satisfy(&self, selector: &Labels) -> bool {
        selector.iter().all(|pair| self.0.binary_search_by(|own| (**own).cmp(pair)).is_ok())
    }

    /// The pairs as `key=value`, sorted.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|pair| &**pair)
    }

    /// Whether there is no pair.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<K: AsRef<str>, V: AsRef<str>> FromIterator<(K, V)> for Labels {
    /// Of a key that comes twice the last value counts.
    fn from_iter<I: IntoIterator<Item = (K, V)>>(pairs: I) -> Self {
        let by_key: BTreeMap<Box<str>, V> =
            pairs.into_iter().map(|(key, value)| (key.as_ref().into(), value)).collect();
        let mut pairs: Box<[Box<str>]> =
            by_key.iter().map(|(key, value)| format!("{key}={}", value.as_ref()).into()).collect();
        // `a-b=1` stands before `a=1` though the key `a` stands before `a-b`.
        pairs.sort_unstable();
        Self(pairs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_pairs_of_a_selector_must_be_there() {
        let pod = labels(&[("app", "web"), ("tier", "front"), ("app-name", "web")]);
        assert!(pod.satisfy(&labels(&[("app", "web")])));
        assert!(pod.satisfy(&labels(&[("tier", "front"), ("app", "web"), ("app-name", "web")])));
        assert!(!pod.satisfy(&labels(&[("app", "web"), ("tier", "back")])));
        assert!(!pod.satisfy(&labels(&[("zone", "a")])));
    }

    #[test]
    fn last_value_of_a_key_counts() {
        assert_eq!(labels(&[("app", "web"), ("app", "db")]), labels(&[("app", "db")]));
    }

    fn labels(pairs: &[(&str, &str)]) -> Labels {
        pairs.iter().copied().collect()
    }
}
