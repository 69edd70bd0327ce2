//! The text of a manifest file into objects of the zone.
//!
//! Pure: what is wrong comes back as [`Problem`]s, all of a file's at once. A file counts whole or not at all, so
//! that half an edit never takes away what its other half still means. Only an object of an unknown kind is told and
//! passed over: it may well be another program's, and the rest of its file counts.

mod kind;

use std::fmt;
use std::path::{Path, PathBuf};

use k8s_openapi::api::core::v1 as core;
use k8s_openapi::api::discovery::v1 as discovery;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use self::kind::{Header, Kind};
use super::convert;
use crate::zone::Object;

/// Something in a manifest that cannot be used, and where it stands.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// The file.
    pub file: PathBuf,
    /// Which document of the file, counted from 1; 0 where it is about the file as a whole.
    pub document: usize,
    /// The line of the file, counted from 1; the document's first where nothing nearer is known; 0 as above.
    pub line: usize,
    /// What is wrong and what belongs there.
    pub reason: String,
}

impl Problem {
    /// A problem of the file as a whole.
    pub(super) fn of_file(file: &Path, reason: String) -> Self {
        Self { file: file.into(), document: 0, line: 0, reason }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.file.display())?;
        if self.document > 0 {
            write!(f, "document {}, line {}: ", self.document, self.line)?;
        }
        f.write_str(&self.reason)
    }
}

/// An object, and where in its file it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Placed {
    pub(super) object: Object,
    /// Counted from 1.
    pub(super) document: usize,
    /// First line of the document, counted from 1.
    pub(super) line: usize,
}

/// What a good file holds.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Manifest {
    /// The objects that matter here, in order.
    pub(super) objects: Vec<Placed>,
    /// The objects of kinds that neither matter here nor are known not to.
    pub(super) unknown: Vec<Problem>,
}

/// What a file holds, or everything that is wrong with it. JSON where the file is called so, YAML otherwise.
pub(super) fn parse(file: &Path, text: &str) -> Result<Manifest, Vec<Problem>> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let json = file.extension().is_some_and(|extension| extension == "json");
    let documents = if json { Document::of_json(text) } else { Document::of_yaml(text) };
    let (mut manifest, mut problems) = (Manifest::default(), Vec::new());
    for document in documents {
        let (number, line) = (document.number, document.line);
        let problem = |line, reason| Problem { file: file.into(), document: number, line, reason };
        match document.content() {
            Ok(Content { objects, unknown }) => {
                let placed = |object| Placed { object, document: number, line };
                manifest.objects.extend(objects.into_iter().map(placed));
                manifest.unknown.extend(unknown.into_iter().map(|reason| problem(line, reason)));
            }
            Err(fault) => problems.push(problem(fault.line.unwrap_or(line), fault.reason)),
        }
    }
    if problems.is_empty() {
        return Ok(manifest);
    }
    problems.extend(manifest.unknown);
    problems.sort();
    Err(problems)
}

/// What is wrong with a document, and the line of the file where that is known.
struct Fault {
    line: Option<usize>,
    reason: String,
}

impl From<String> for Fault {
    fn from(reason: String) -> Self {
        Self { line: None, reason }
    }
}

/// What a document holds.
#[derive(Default)]
struct Content {
    objects: Vec<Object>,
    /// For each object of an unknown kind, what to say of it.
    unknown: Vec<String>,
}

#[derive(Clone, Copy)]
enum Format {
    Yaml,
    Json,
}

/// One document of a file.
struct Document<'a> {
    format: Format,
    /// Counted from 1.
    number: usize,
    /// Lines of the file before `text`.
    before: usize,
    /// The first line that says something.
    line: usize,
    text: &'a str,
}

#[derive(Deserialize)]
struct List {
    #[serde(default)]
    items: Vec<serde_json::Value>,
}

impl<'a> Document<'a> {
    fn of_json(text: &'a str) -> Vec<Self> {
        let blank = text.lines().take_while(|line| line.trim().is_empty()).count();
        let document = Self { format: Format::Json, number: 1, before: 0, line: blank + 1, text };
        if text.trim().is_empty() { Vec::new() } else { vec![document] }
    }

    /// Splits at `---` at the start of a line, which by YAML's own rules can be nothing else than a boundary.
    fn of_yaml(text: &'a str) -> Vec<Self> {
        let mut documents = Vec::new();
        let (mut start, mut before, mut said, mut bounded) = (0, 0, None, false);
        let mut offset = 0;
        for (at, line) in text.split_inclusive('\n').enumerate() {
            if is_boundary(line) {
                // Before its first boundary a document has directives and comments at most, or it has none.
                if said.is_some() || bounded {
                    documents.push((start, offset, before, said.take()));
                    (start, before) = (offset, at);
                }
                bounded = true;
            }
            said = said.or_else(|| says_something(line).then_some(at + 1));
            offset += line.len();
        }
        documents.push((start, offset, before, said));
        let documents = documents
            .into_iter()
            .filter_map(|(start, end, before, said)| Some((before, said?, &text[start..end])));
        documents
            .enumerate()
            .map(|(at, (before, line, text))| Self {
                format: Format::Yaml,
                number: at + 1,
                before,
                line,
                text,
            })
            .collect()
    }

    fn content(&self) -> Result<Content, Fault> {
        let header: Header = self.read()?;
        let mut content = Content::default();
        match Kind::of(&header)? {
            Kind::Service => content.objects.push(service(self.read()?)?),
            Kind::Pod => content.objects.push(pod(self.read()?)?),
            Kind::EndpointSlice => content.objects.push(endpoint_slice(self.read()?)?),
            Kind::List(of) => {
                let list: List = self.read()?;
                for (at, item) in list.items.iter().enumerate() {
                    content.take(item, of, at).map_err(|reason| format!("items[{at}]: {reason}"))?;
                }
            }
            Kind::Useless => header.skip(),
            Kind::Unknown => content.unknown.push(header.unknown()),
        }
        Ok(content)
    }

    fn read<T: DeserializeOwned>(&self) -> Result<T, Fault> {
        match self.format {
            Format::Yaml => serde_yaml_ng::from_str(self.text).map_err(|error| {
                let line = error.location().map(|location| self.before + location.line());
                Fault { line, reason: without_place(&error.to_string()) }
            }),
            Format::Json => {
                let mut json = serde_json::Deserializer::from_str(self.text);
                let value =
                    serde_path_to_error::deserialize(&mut json).map_err(|error| json_fault(&error))?;
                json.end().map_err(|error| Fault {
                    line: Some(error.line()),
                    reason: without_place(&error.to_string()),
                })?;
                Ok(value)
            }
        }
    }
}

fn is_boundary(line: &str) -> bool {
    line.strip_prefix("---").is_some_and(|rest| rest.is_empty() || rest.starts_with([' ', '\t', '\r', '\n']))
}

/// Whether a line is more than blank, comment, directive, or boundary. A boundary may start its document itself.
fn says_something(line: &str) -> bool {
    let content = if is_boundary(line) { &line[3..] } else { line };
    let content = content.trim();
    !(content.is_empty() || content.starts_with('#') || line.starts_with('%') || content == "...")
}

fn json_fault(error: &serde_path_to_error::Error<serde_json::Error>) -> Fault {
    let reason = without_place(&error.inner().to_string());
    let path = error.path().to_string();
    let reason = if path == "." { reason } else { format!("{path}: {reason}") };
    Fault { line: Some(error.inner().line()).filter(|line| *line > 0), reason }
}

/// The parsers count lines from the start of a document; a [`Problem`] says them from the start of the file.
fn without_place(message: &str) -> String {
    let place = |rest: &str| rest.starts_with(|c: char| c.is_ascii_digit());
    match message.rsplit_once(" at line ") {
        Some((message, rest)) if place(rest) => message.into(),
        _ => message.into(),
    }
}

impl Content {
    /// Takes the item of a list that stands at `at`.
    fn take(&mut self, item: &serde_json::Value, of: Option<(&str, &str)>, at: usize) -> Result<(), String> {
        let mut header: Header = from_value(item)?;
        if let Some((api_version, kind)) = of
            && header.api_version.is_empty()
            && header.kind.is_empty()
        {
            (header.api_version, header.kind) = (api_version.into(), kind.into());
        }
        match Kind::of(&header)? {
            Kind::Service => self.objects.push(service(from_value(item)?)?),
            Kind::Pod => self.objects.push(pod(from_value(item)?)?),
            Kind::EndpointSlice => self.objects.push(endpoint_slice(from_value(item)?)?),
            Kind::List(_) => return Err("a list inside a list; put its items into the outer one".into()),
            Kind::Useless => header.skip(),
            Kind::Unknown => self.unknown.push(format!("items[{at}]: {}", header.unknown())),
        }
        Ok(())
    }
}

fn from_value<T: DeserializeOwned>(value: &serde_json::Value) -> Result<T, String> {
    serde_path_to_error::deserialize(value).map_err(|error| match error.path().to_string() {
        path if path == "." => error.inner().to_string(),
        path => format!("{path}: {}", error.inner()),
    })
}

fn service(service: core::Service) -> Result<Object, String> {
    convert::service(service).map(Object::Service)
}

fn pod(pod: core::Pod) -> Result<Object, String> {
    convert::pod(pod).map(Object::Pod)
}

fn endpoint_slice(slice: discovery::EndpointSlice) -> Result<Object, String> {
    convert::endpoint_slice(slice).map(Object::EndpointSlice)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_of_a_file_are_split_and_counted() {
        let placed = yaml(
            "# a comment\n---\n# two\nkind: Service\napiVersion: v1\nmetadata: {name: a}\n\n---\n---\n\
                           apiVersion: v1\nkind: Service\nmetadata: {name: b}\n...\n--- # three\n\
                           {apiVersion: v1, kind: Service, metadata: {name: c}}\n",
        );
        assert_eq!(places(&placed), [("a", 1, 4), ("b", 2, 10), ("c", 3, 15)]);
    }

    #[test]
    fn boundary_inside_a_block_scalar_is_no_boundary_when_it_is_indented() {
        let placed =
            yaml("apiVersion: v1\nkind: ConfigMap\ndata:\n  x: |\n    ---\n    kind: Service\n---x: 1\n");
        assert_eq!(places(&placed), []);
    }

    #[test]
    fn windows_line_ends_and_byte_order_mark_are_borne() {
        let placed = yaml(
            "\u{feff}apiVersion: v1\r\nkind: Service\r\nmetadata:\r\n  name: a\r\n---\r\napiVersion: v1\r\n\
                           kind: Service\r\nmetadata:\r\n  name: b\r\n",
        );
        assert_eq!(places(&placed), [("a", 1, 1), ("b", 2, 6)]);
    }

    #[test]
    fn file_without_documents_holds_nothing() {
        for text in ["", "\n\n", "# only a comment\n", "---\n---\n", "%YAML 1.2\n---\n"] {
            assert_eq!(yaml(text), [], "{text:?}");
        }
        assert_eq!(parse("a.json".as_ref(), "\n"), Ok(Manifest::default()));
    }

    #[test]
    fn kinds_of_kubernetes_that_make_no_endpoints_are_skipped() {
        for (api_version, kind) in [
            ("apps/v1", "StatefulSet"),
            ("apps/v1", "DeploymentList"),
            ("v1", "ConfigMap"),
            ("v1", "Namespace"),
            ("v1", "Endpoints"),
            ("networking.k8s.io/v1", "NetworkPolicy"),
            ("kustomize.config.k8s.io/v1beta1", "Kustomization"),
        ] {
            let text = format!("apiVersion: {api_version}\nkind: {kind}\nspec: [1, 2]\n");
            assert_eq!(parse("a.yaml".as_ref(), &text), Ok(Manifest::default()), "{kind}");
        }
    }

    #[test]
    fn unknown_kind_is_told_and_the_rest_of_its_file_counts() {
        let good = "apiVersion: v1\nkind: Service\nmetadata: {name: a}\n";
        for (api_version, kind) in [
            ("v1", "Sevice"),
            ("v1", "service"),
            ("v1", "StatefulSet"),
            ("v1", "EndpointSlice"),
            ("v2", "Service"),
            ("apps/v1", "Pod"),
            ("discovery.k8s.io/v1beta1", "EndpointSlice"),
            ("discovery.k8s.io/v1", "EndpointSlices"),
            ("serving.knative.dev/v1", "Service"),
            ("example.com/v1", "Database"),
        ] {
            let text = format!("{good}---\napiVersion: {api_version}\nkind: {kind}\nspec: [1, 2]\n");
            let manifest = parse("a.yaml".as_ref(), &text).expect("a manifest");
            assert_eq!(places(&manifest.objects), [("a", 1, 1)]);
            let told: Vec<String> = manifest.unknown.iter().map(ToString::to_string).collect();
            assert_eq!(
                told,
                [format!(
                    "a.yaml: document 2, line 5: unknown kind `{kind}` of `{api_version}`: Service and Pod of `v1` and \
                     EndpointSlice of `discovery.k8s.io/v1` are taken, and lists of them; mend the kind or the \
                     apiVersion if it is meant to be one of these"
                )]
            );
        }
    }

    #[test]
    fn unknown_kind_in_a_list_is_told_with_its_place() {
        let text = "apiVersion: v1\nkind: List\nitems:\n- {apiVersion: v1, kind: Sevice}\n\
                    - {apiVersion: v1, kind: Service, metadata: {name: a}}\n";
        let manifest = parse("a.yaml".as_ref(), text).expect("a manifest");
        assert_eq!(places(&manifest.objects), [("a", 1, 1)]);
        assert!(manifest.unknown[0].reason.starts_with("items[0]: unknown kind `Sevice` of `v1`: "));
    }

    #[test]
    fn file_that_is_refused_tells_its_unknown_kinds_as_well() {
        let told = problems("a.yaml", "{apiVersion: v1, kind: Sevice}\n---\nkind: Pod\n");
        assert_eq!(told.len(), 2);
        assert!(told[0].starts_with("a.yaml: document 1, line 1: unknown kind `Sevice`"), "{told:?}");
    }

    #[test]
    fn items_of_lists_are_taken_with_or_without_their_kind() {
        let list = yaml(
            "apiVersion: v1\nkind: List\nitems:\n- {apiVersion: v1, kind: Service, metadata: {name: a}}\n\
                         - {apiVersion: v1, kind: ConfigMap}\n- {apiVersion: v1, kind: Pod, metadata: {name: b}}\n",
        );
        assert_eq!(places(&list), [("a", 1, 1), ("b", 1, 1)]);
        let typed = yaml("apiVersion: v1\nkind: ServiceList\nitems:\n- metadata: {name: a}\n");
        assert_eq!(places(&typed), [("a", 1, 1)]);
        let typed = yaml("apiVersion: v1\nkind: PodList\nitems:\n- metadata: {name: a}\n");
        assert_eq!(places(&typed), [("a", 1, 1)]);
        let typed = yaml(
            "apiVersion: discovery.k8s.io/v1\nkind: EndpointSliceList\nitems:\n\
                          - {metadata: {name: a}, addressType: IPv4, endpoints: []}\n",
        );
        assert_eq!(places(&typed), [("a", 1, 1)]);
    }

    #[test]
    fn json_is_read_as_json() {
        let placed = parse(
            "a.json".as_ref(),
            "{\n\t\"apiVersion\": \"v1\",\n\t\"kind\": \"Service\",\n\t\"metadata\": {\"name\": \"a\"}\n}\n",
        );
        assert_eq!(places(&placed.expect("a manifest").objects), [("a", 1, 1)]);
    }

    #[test]
    fn reasons_say_where_and_why() {
        let good = "apiVersion: v1\nkind: Service\nmetadata: {name: a}\n";
        for (text, problem) in [
            ("a: b: c\n", "document 1, line 1: mapping values are not allowed in this context"),
            (
                "kind: Service\n",
                "document 1, line 1: apiVersion is missing; a manifest starts with apiVersion and kind",
            ),
            (
                "apiVersion: v1\n",
                "document 1, line 1: kind is missing; a manifest starts with apiVersion and kind",
            ),
            (
                "apiVersion: v1\nkind: Service\nmetadata:\n  name: a\nspec:\n  ports:\n  - port: http\n",
                "document 1, line 7: spec.ports[0].port: invalid type: string \"http\", expected i32",
            ),
            (
                "apiVersion: v1\nkind: Service\nmetadata: {name: My_Service}\n",
                "document 1, line 1: metadata.name: \"My_Service\" is no DNS label; use lower-case letters, digits \
                 and `-`, a letter or digit at both ends, at most 63 characters",
            ),
            (
                "apiVersion: v1\nkind: List\nitems:\n- {apiVersion: v1, kind: Service, metadata: {name: [a]}}\n",
                "document 1, line 1: items[0]: metadata.name: invalid type: sequence, expected a string",
            ),
            (
                "apiVersion: v1\nkind: List\nitems:\n- {apiVersion: v1, kind: List}\n",
                "document 1, line 1: items[0]: a list inside a list; put its items into the outer one",
            ),
            ("- a\n", "document 1, line 1: invalid type: sequence, expected struct Header"),
        ] {
            assert_eq!(problems("a.yaml", text), [format!("a.yaml: {problem}")], "{text}");
            let second = format!("{good}---\n{text}");
            let lines = good.lines().count() + 1;
            let line: usize = problem[17..].split(':').next().and_then(|n| n.parse().ok()).expect("a line");
            let moved = problem.replacen(&format!("1, line {line}"), &format!("2, line {}", line + lines), 1);
            assert_eq!(problems("a.yaml", &second), [format!("a.yaml: {moved}")], "{text}");
        }
    }

    #[test]
    fn json_reasons_say_where_and_why() {
        let text =
            "{\"apiVersion\": \"v1\", \"kind\": \"Service\",\n\"spec\": {\"ports\": [{\"port\": \"http\"}]}}";
        assert_eq!(
            problems("a.json", text),
            ["a.json: document 1, line 2: spec.ports[0].port: invalid type: string \"http\", expected i32"]
        );
        assert_eq!(problems("a.json", "{}\n{}"), ["a.json: document 1, line 2: trailing characters"]);
    }

    #[test]
    fn all_that_is_wrong_with_a_file_is_told_at_once() {
        assert_eq!(
            problems("a.yaml", "kind: Pod\n---\napiVersion: v1\n---\n{apiVersion: v1, kind: ConfigMap}\n")
                .len(),
            2
        );
    }

    #[test]
    fn deep_nesting_and_endless_aliases_are_refused() {
        let deep = format!("apiVersion: v1\nkind: Service\nspec: {}{}\n", "[".repeat(1000), "]".repeat(1000));
        assert_eq!(problems("a.yaml", &deep).len(), 1);
        assert_eq!(problems("a.json", &"[".repeat(100_000)).len(), 1);
        let mut bomb = String::from("apiVersion: v1\nkind: List\na: &a [x, x, x, x, x, x, x, x]\n");
        for (this, last) in ('b'..='j').zip('a'..) {
            bomb += &format!(
                "{this}: &{this} [*{last}, *{last}, *{last}, *{last}, *{last}, *{last}, *{last}, *{last}]\n"
            );
        }
        assert_eq!(problems("a.yaml", &format!("{bomb}items: *j\n")).len(), 1);
    }

    fn yaml(text: &str) -> Vec<Placed> {
        parse("a.yaml".as_ref(), text).unwrap_or_else(|problems| panic!("{problems:?}")).objects
    }

    fn problems(file: &str, text: &str) -> Vec<String> {
        let problems = parse(file.as_ref(), text).expect_err("something is wrong");
        problems.iter().map(ToString::to_string).collect()
    }

    fn places(placed: &[Placed]) -> Vec<(&str, usize, usize)> {
        placed.iter().map(|placed| (name(&placed.object), placed.document, placed.line)).collect()
    }

    fn name(object: &Object) -> &str {
        match object {
            Object::Service(service) => &service.name,
            Object::Pod(pod) => &pod.name,
            Object::EndpointSlice(slice) => &slice.name,
        }
    }
}
