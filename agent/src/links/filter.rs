//! Which interface names are wanted at all: glob patterns in, yes or no out.

use globset::{Glob, GlobSet, GlobSetBuilder};

/// A choice of interface names by shell-like patterns (`*`, `?`, `[0-9]`, `{a,b}`). The default allows every name.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// `None`: every name.
    include: Option<GlobSet>,
    exclude: GlobSet,
}

/// A pattern that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{pattern}` is not a pattern of interface names ({reason}): write it like `veth*` or `cali[0-9a-f]*`"
)]
pub struct PatternError {
    /// The pattern as it was given.
    pub pattern: String,
    /// What is wrong with it.
    pub reason: String,
}

impl Filter {
    /// Allows the names that match a pattern of `include` (every name, where there is none) and none of `exclude`.
    pub fn new<S: AsRef<str>>(include: &[S], exclude: &[S]) -> Result<Self, PatternError> {
        let include = if include.is_empty() { None } else { Some(set(include)?) };
        Ok(Self { include, exclude: set(exclude)? })
    }

    /// Whether an interface of this name may be hooked.
    pub fn allows(&self, name: &str) -> bool {
        self.include.as_ref().is_none_or(|include| include.is_match(name)) && !self.exclude.is_match(name)
    }
}

fn set<S: AsRef<str>>(patterns: &[S]) -> Result<GlobSet, PatternError> {
    let mut builder = GlobSetBuilder::new();
    for pattern in patterns {
        builder.add(glob(pattern.as_ref())?);
    }
    builder.build().map_err(|error| PatternError {
        pattern: patterns.iter().map(AsRef::as_ref).collect::<Vec<_>>().join(","),
        reason: error.kind().to_string(),
    })
}

fn glob(pattern: &str) -> Result<Glob, PatternError> {
    if pattern.is_empty() {
        return Err(PatternError { pattern: String::new(), reason: "it is empty".to_owned() });
    }
    Glob::new(pattern)
        .map_err(|error| PatternError { pattern: pattern.to_owned(), reason: error.kind().to_string() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_patterns_every_name_is_allowed() {
        assert!(Filter::default().allows("veth1a2b3c"));
        assert!(filter(&[], &[]).allows("eth0"));
    }

    #[test]
    fn a_name_must_match_one_of_the_included_patterns() {
        let filter = filter(&["cali*", "lxc[0-9]?"], &[]);
        for (name, allowed) in [
            ("cali12ab", true),
            ("lxc42", true),
            ("lxcab", false),
            ("lxc4", false),
            ("xcali1", false),
            ("Cali1", false),
        ] {
            assert_eq!(filter.allows(name), allowed, "{name}");
        }
    }

    #[test]
    fn exclusion_wins_over_inclusion() {
        let filter = filter(&["veth*"], &["veth-host*"]);
        assert!(filter.allows("veth0"));
        assert!(!filter.allows("veth-host0"));
    }

    #[test]
    fn a_name_with_a_slash_or_a_dot_needs_no_special_pattern() {
        assert!(filter(&["veth*"], &[]).allows("veth/0.100"));
    }

    #[test]
    fn a_bad_pattern_is_named_with_what_is_wrong() {
        let error = Filter::new(&["veth*", "cali["], &[]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "`cali[` is not a pattern of interface names (unclosed character class; missing ']'): \
             write it like `veth*` or `cali[0-9a-f]*`"
        );
        assert_eq!(Filter::new(&[], &["{a"]).unwrap_err().pattern, "{a");
        assert!(Filter::new(&[""], &[]).unwrap_err().to_string().contains("it is empty"));
    }

    fn filter(include: &[&str], exclude: &[&str]) -> Filter {
        Filter::new(include, exclude).expect("the patterns of this test are well-formed")
    }
}
