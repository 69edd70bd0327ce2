//! DNS names as the kernel looks them up: wire format, lower case, root byte included.

use std::fmt;
use std::str::FromStr;

/// Most bytes of a name in wire format, root byte included (RFC 1035, section 2.3.4).
const MAX_NAME: usize = 255;
/// Most bytes of a label (RFC 1035, section 2.3.4).
const MAX_LABEL: usize = 63;

/// A DNS name in wire format: each label behind its length, lower-cased, closed by the root's zero byte; at most
/// 255 bytes.
///
/// Labels are made of letters, digits, `-` and `_`: what Kubernetes objects and port names can spell. So the
/// dotted form needs no escapes.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Name(Box<[u8]>);

/// Why something is no [`Name`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Two dots in a row, or an empty string as a label.
    #[error("a label is empty")]
    EmptyLabel,
    /// A label of more than 63 bytes.
    #[error("label `{0}` is {len} bytes long, at most {MAX_LABEL} fit", len = .0.len())]
    LabelTooLong(Box<str>),
    /// A character that is not a letter, digit, `-` or `_`.
    #[error("label `{label}` holds {character:?}; letters, digits, `-` and `_` can stand in a label")]
    Character {
        /// The label at fault.
        label: Box<str>,
        /// The first character of it that cannot stand there.
        character: char,
    },
    /// More than 255 bytes in wire format.
    #[error("the name is {0} bytes long on the wire, at most {MAX_NAME} fit")]
    TooLong(usize),
}

impl Name {
    /// The name of these labels, leftmost first. No labels at all are the root.
    pub fn from_labels<L: AsRef<str>>(labels: impl IntoIterator<Item = L>) -> Result<Self, NameError> {
        let mut wire = Vec::with_capacity(MAX_NAME);
        for label in labels {
            push_label(&mut wire, label.as_ref())?;
        }
        wire.push(0);
        Self::from_wire(wire)
    }

    /// The name one label below this one: `web-0` below `web.default.svc.cluster.local`.
    pub fn child(&self, label: &str) -> Result<Self, NameError> {
        let mut wire = Vec::with_capacity(1 + label.len() + self.0.len());
        push_label(&mut wire, label)?;
        wire.extend_from_slice(&self.0);
        Self::from_wire(wire)
    }

    /// The bytes on the wire.
    pub fn as_wire(&self) -> &[u8] {
        &self.0
    }

    fn from_wire(wire: Vec<u8>) -> Result<Self, NameError> {
        match wire.len() {
            length if length > MAX_NAME => Err(NameError::TooLong(length)),
            _ => Ok(Self(wire.into())),
        }
    }
}

fn push_label(wire: &mut Vec<u8>, label: &str) -> Result<(), NameError> {
    if label.is_empty() {
        return Err(NameError::EmptyLabel);
    }
    let length = u8::try_from(label.len())
        .ok()
        .filter(|length| usize::from(*length) <= MAX_LABEL)
        .ok_or_else(|| NameError::LabelTooLong(label.into()))?;
    let foreign = |c: &char| !(c.is_ascii_alphanumeric() || matches!(c, '-' | '_'));
    if let Some(character) = label.chars().find(foreign) {
        return Err(NameError::Character { label: label.into(), character });
    }
    wire.push(length);
    wire.extend(label.bytes().map(|byte| byte.to_ascii_lowercase()));
    Ok(())
}

impl FromStr for Name {
    type Err = NameError;

    /// Reads the dotted form, with or without the root's dot at the end.
    fn from_str(dotted: &str) -> Result<Self, NameError> {
        match dotted.strip_suffix('.').unwrap_or(dotted) {
            "" if dotted == "." => Self::from_labels::<&str>([]),
            dotted => Self::from_labels(dotted.split('.')),
        }
    }
}

/// The dotted form without the root's dot; the root itself is `.`.
impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = &*self.0;
        let mut separator = "";
        while let Some((&length @ 1.., tail)) = rest.split_first() {
            let (label, tail) = tail.split_at(usize::from(length));
            f.write_str(separator)?;
            label.iter().try_for_each(|byte| write!(f, "{}", char::from(*byte)))?;
            (separator, rest) = (".", tail);
        }
        if separator.is_empty() { f.write_str(".") } else { Ok(()) }
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Name({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wire_form_is_lower_case_with_lengths_and_root() {
        assert_eq!(name("Web-0.NS").as_wire(), b"\x05web-0\x02ns\0");
    }

    #[test]
    fn dotted_form_comes_back_without_the_roots_dot() {
        assert_eq!(name("_http._tcp.web.Default.").to_string(), "_http._tcp.web.default");
    }

    #[test]
    fn root_is_a_dot() {
        assert_eq!(name(".").as_wire(), b"\0");
        assert_eq!(name(".").to_string(), ".");
    }

    #[test]
    fn child_is_what_all_its_labels_spell() {
        assert_eq!(name("svc.cluster.local").child("Web"), "web.svc.cluster.local".parse());
    }

    #[test]
    fn longest_label_has_63_bytes() {
        assert!(Name::from_labels(["a".repeat(63)]).is_ok());
        assert_eq!(Name::from_labels(["a".repeat(64)]), Err(NameError::LabelTooLong("a".repeat(64).into())));
        assert!(matches!(Name::from_labels(["a".repeat(300)]), Err(NameError::LabelTooLong(_))));
    }

    #[test]
    fn longest_name_has_255_bytes_on_the_wire() {
        let three = [63, 63, 63].map(|length| "a".repeat(length)).join(".");
        let longest = name(&format!("{three}.{}", "a".repeat(61)));
        assert_eq!(longest.as_wire().len(), 255);
        assert_eq!(format!("{three}.{}", "a".repeat(62)).parse::<Name>(), Err(NameError::TooLong(256)));
        assert_eq!(longest.child("b"), Err(NameError::TooLong(257)));
    }

    #[test]
    fn empty_label_is_refused() {
        for dotted in ["", "..", ".a", "a..b", "a.."] {
            assert_eq!(dotted.parse::<Name>(), Err(NameError::EmptyLabel), "{dotted:?}");
        }
    }

    #[test]
    fn dot_inside_a_label_is_no_boundary() {
        assert_eq!(
            Name::from_labels(["a.b", "svc"]),
            Err(NameError::Character { label: "a.b".into(), character: '.' })
        );
        assert!(matches!("grün.local".parse::<Name>(), Err(NameError::Character { character: 'ü', .. })));
    }

    fn name(dotted: &str) -> Name {
        dotted.parse().expect("a name")
    }
}
