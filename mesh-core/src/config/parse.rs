use std::{collections::HashSet, sync::Arc};

use serde::{Deserialize, de::DeserializeOwned};

use super::{
    Metadata, Problem, Resource, Severity, Source, Spec,
    decode::{DecodeError, Unread, camel_case, decode},
    istio,
    kind::{NETWORKING, SECURITY},
    near::{distance, nearest},
    tree::{FieldLines, Node, Value},
    yaml::{self, MAX_TEXT_BYTES},
};
use crate::name::{Labels, ResourceRef};

/// The most resources of one text.
pub const MAX_RESOURCES: usize = 50_000;
/// The most problems reported of one text.
pub const MAX_PROBLEMS: usize = 1_000;

/// What a text holds.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Parsed {
    /// What is well formed.
    pub resources: Vec<Arc<Resource>>,
    /// What is not, or is not supported.
    pub problems: Vec<Problem>,
}

/// Parses YAML or JSON: any number of documents, each a resource or a list of resources.
///
/// `file` is how problems and origins name the text. Never fails as a whole: what is broken is
/// left out and reported, the rest is returned.
pub fn parse(file: &str, text: &str) -> Parsed {
    let mut reader = Reader {
        file: file.into(),
        seen: HashSet::new(),
        parsed: Parsed::default(),
    };
    if text.len() > MAX_TEXT_BYTES {
        let reason = format!("the text is longer than {MAX_TEXT_BYTES} bytes");
        reader.report(Severity::Error, 1, reason);
        return reader.parsed;
    }
    for document in yaml::documents(text) {
        if reader.parsed.resources.len() >= MAX_RESOURCES {
            let reason = format!("more than {MAX_RESOURCES} resources: the others are left out");
            reader.report(Severity::Error, 1, reason);
            break;
        }
        match document {
            Ok(node) => reader.document(&node),
            Err(error) => {
                let source = reader.source(error.line);
                let mut problem = Problem::new(Severity::Error, source, error.reason);
                problem.resource = error.tree.as_ref().and_then(reference_of);
                problem.advice = error.advice.map(str::to_owned);
                reader.push(problem);
            }
        }
    }
    reader.parsed
}

impl Parsed {
    /// Whether something of the text that is broken may be this resource.
    pub fn may_hold_broken(&self, reference: &ResourceRef) -> bool {
        self.problems
            .iter()
            .filter(|problem| problem.is_error())
            .any(|problem| problem.resource.as_ref().is_none_or(|r| r == reference))
    }
}

struct Reader {
    file: Arc<str>,
    seen: HashSet<ResourceRef>,
    parsed: Parsed,
}

/// What is known about the fields of a kind that its type does not have.
struct Fields {
    /// Honoured by Istio, not yet by us.
    not_yet: &'static [&'static str],
    /// The same, but without them the resource would mean something dangerous.
    refused: &'static [&'static str],
    /// Many fields are none of our business: only a likely slip of the fingers is reported.
    others_allowed: bool,
}

const ISTIO: Fields = Fields {
    not_yet: &[],
    refused: &[],
    others_allowed: false,
};
const KUBERNETES: Fields = Fields {
    not_yet: &[],
    refused: &[],
    others_allowed: true,
};

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Head {
    name: String,
    namespace: String,
    labels: Labels,
    annotations: std::collections::BTreeMap<String, String>,
    creation_timestamp: Option<String>,
}

impl Reader {
    fn document(&mut self, node: &Node) {
        let text = |key| node.child(key).and_then(Node::text);
        if !matches!(node.value, Value::Mapping(_)) {
            let reason = format!("expected a resource, found {}", node.kind());
            return self.report(Severity::Error, node.line, reason);
        }
        let Some(kind) = text("kind") else {
            return self.report(Severity::Error, node.line, "kind is missing");
        };
        let Some(version) = text("apiVersion") else {
            return self.report(Severity::Error, node.line, "apiVersion is missing");
        };
        if kind.ends_with("List") && node.child("items").is_some() {
            if let Some(Value::Sequence(items)) = node.child("items").map(|items| &items.value) {
                items.iter().for_each(|item| self.item(item));
            }
            return;
        }
        let (group, version) = version.split_once('/').unwrap_or(("", version));
        self.resource(node, group, version, kind);
    }

    /// A resource of a list; lists do not nest.
    fn item(&mut self, node: &Node) {
        if node.child("items").is_some() {
            return self.report(Severity::Error, node.line, "a list inside a list");
        }
        if self.parsed.resources.len() < MAX_RESOURCES {
            self.document(node);
        }
    }

    fn resource(&mut self, node: &Node, group: &str, version: &str, kind: &str) {
        let Some(reference) = reference_of(node) else {
            return self.report(Severity::Error, node.line, "metadata.name is missing");
        };
        let versions: &[&str] = match group {
            NETWORKING => &["v1", "v1beta1", "v1alpha3"],
            SECURITY => &["v1", "v1beta1"],
            _ => &["v1"],
        };
        let Some(read) = reader_of(group, kind) else {
            return self.unknown_kind(node, reference, group, kind);
        };
        if !versions.contains(&version) {
            let problem = Problem::new(
                Severity::Error,
                self.source(line_of(node, "apiVersion")),
                format!("version {version:?} of {group} is not known"),
            );
            let advice = format!("possible are {}", versions.join(", "));
            return self.push(problem.of(reference).at("apiVersion").advise(advice));
        }
        let before = self.parsed.problems.len();
        let metadata = self.metadata(node, &reference);
        let spec = read(self, node, &reference);
        let broken = self.parsed.problems[before..].iter().any(Problem::is_error);
        let (Some(metadata), Some(spec), false) = (metadata, spec, broken) else {
            return;
        };
        if !self.seen.insert(reference.clone()) {
            let source = self.source(node.line);
            let problem = Problem::new(Severity::Error, source, "is written twice in this file");
            return self.push(problem.of(reference));
        }
        self.parsed.resources.push(Arc::new(Resource {
            reference,
            metadata,
            source: self.source(node.line),
            spec,
            lines: FieldLines::of(node),
        }));
    }

    fn metadata(&mut self, node: &Node, reference: &ResourceRef) -> Option<Metadata> {
        let head = node.child("metadata")?;
        let head: Head = self.typed(head, "metadata", reference, &KUBERNETES)?;
        Some(Metadata {
            labels: head.labels,
            annotations: head.annotations,
            created: head.creation_timestamp,
        })
    }

    /// Istio's resources: everything is under `spec`, and every field counts.
    fn istio<T: DeserializeOwned + Default>(
        &mut self,
        node: &Node,
        reference: &ResourceRef,
        fields: &Fields,
    ) -> Option<T> {
        const TOP: [&str; 5] = ["apiVersion", "kind", "metadata", "spec", "status"];
        for (key, _) in node.entries() {
            let name = key.text().unwrap_or_default();
            if !TOP.contains(&name) {
                let unread = Unread {
                    field: name.into(),
                    line: key.line,
                    similar: nearest(name, TOP),
                };
                self.unread(unread, reference, fields);
            }
        }
        match node.child("spec") {
            Some(spec) => self.typed(spec, "spec", reference, fields),
            None => Some(T::default()),
        }
    }

    /// Kubernetes' resources: read as a whole, the head apart.
    fn kubernetes<T: DeserializeOwned>(
        &mut self,
        node: &Node,
        reference: &ResourceRef,
    ) -> Option<T> {
        self.typed(node, "", reference, &KUBERNETES)
    }

    fn typed<T: DeserializeOwned>(
        &mut self,
        node: &Node,
        prefix: &str,
        reference: &ResourceRef,
        fields: &Fields,
    ) -> Option<T> {
        let (value, unread) = decode(node, prefix);
        for unread in unread {
            self.unread(unread, reference, fields);
        }
        match value {
            Ok(value) => Some(value),
            Err(error) => {
                self.broken(error, reference);
                None
            }
        }
    }

    fn broken(&mut self, error: DecodeError, reference: &ResourceRef) {
        let source = self.source(error.line);
        let mut problem = Problem::new(Severity::Error, source, error.reason)
            .of(reference.clone())
            .at(error.field.unwrap_or_default());
        problem.advice = error.advice;
        self.push(problem);
    }

    fn unread(&mut self, unread: Unread, reference: &ResourceRef, fields: &Fields) {
        let general = without_indexes(&unread.field);
        let listed = |list: &[&str]| list.iter().any(|field| general.ends_with(field));
        let (severity, reason) = if listed(fields.refused) {
            (
                Severity::Error,
                "not supported yet, and dangerous to leave out",
            )
        } else if listed(fields.not_yet) {
            (Severity::Warning, "not supported yet")
        } else if !fields.others_allowed {
            (Severity::Error, "unknown field")
        } else if is_slip(&unread) {
            (Severity::Warning, "unknown field")
        } else {
            return;
        };
        let mut problem = Problem::new(severity, self.source(unread.line), reason)
            .of(reference.clone())
            .at(unread.field);
        if let (Some(similar), "unknown field") = (unread.similar, reason) {
            problem = problem.advise(format!("did you mean {similar}?"));
        }
        self.push(problem);
    }

    fn unknown_kind(&mut self, node: &Node, reference: ResourceRef, group: &str, kind: &str) {
        let similar = nearest(kind, KINDS.iter().map(|(_, kind)| *kind));
        let other_group = KINDS.iter().find(|(_, known)| *known == kind);
        let ours = group.is_empty() || KINDS.iter().any(|(known, _)| *known == group);
        let source = self.source(node.line);
        let problem = match (similar, other_group) {
            (Some(similar), None) if ours => {
                Problem::new(Severity::Error, source, format!("unknown kind {kind:?}"))
                    .at("kind")
                    .advise(format!("did you mean {similar}?"))
            }
            _ => Problem::new(
                Severity::Warning,
                source,
                format!("{kind} of {} is not supported yet", group_name(group)),
            ),
        };
        self.push(problem.of(reference));
    }

    fn report(&mut self, severity: Severity, line: u32, reason: impl Into<String>) {
        self.push(Problem::new(severity, self.source(line), reason));
    }

    fn push(&mut self, problem: Problem) {
        if self.parsed.problems.len() < MAX_PROBLEMS {
            self.parsed.problems.push(problem);
        }
    }

    fn source(&self, line: u32) -> Source {
        Source {
            file: self.file.clone(),
            line,
        }
    }
}

/// Why an embedded text is not of the wanted type.
pub(crate) struct TextError {
    /// Counted from 1 within the text.
    pub(crate) line: u32,
    pub(crate) field: String,
    pub(crate) reason: String,
}

/// Reads a YAML text that stands inside a value, such as a ConfigMap's.
pub(crate) fn decode_text<T: DeserializeOwned + Default>(text: &str) -> Result<T, TextError> {
    let node = match yaml::documents(text).next() {
        None => return Ok(T::default()),
        Some(Ok(node)) => node,
        Some(Err(error)) => {
            return Err(TextError {
                line: error.line,
                field: String::new(),
                reason: error.reason,
            });
        }
    };
    decode(&node, "").0.map_err(|error| TextError {
        line: error.line,
        field: error.field.unwrap_or_default(),
        reason: error.reason,
    })
}

/// The kinds that are read, for advice.
const KINDS: &[(&str, &str)] = &[
    (NETWORKING, "VirtualService"),
    (NETWORKING, "DestinationRule"),
    (NETWORKING, "Gateway"),
    (NETWORKING, "ServiceEntry"),
    (NETWORKING, "WorkloadEntry"),
    (NETWORKING, "Sidecar"),
    (SECURITY, "PeerAuthentication"),
    (SECURITY, "AuthorizationPolicy"),
    (SECURITY, "RequestAuthentication"),
    ("", "Service"),
    ("", "Pod"),
    ("", "Secret"),
    ("", "ConfigMap"),
    ("", "Namespace"),
    ("", "ServiceAccount"),
    ("apps", "Deployment"),
    ("discovery.k8s.io", "EndpointSlice"),
];

type Read = fn(&mut Reader, &Node, &ResourceRef) -> Option<Spec>;

/// How a kind is read. None if it is not.
fn reader_of(group: &str, kind: &str) -> Option<Read> {
    let read: Read = match (group, kind) {
        (NETWORKING, "VirtualService") => |reader, node, reference| {
            let not_yet = istio::VirtualService::NOT_YET;
            let spec = reader.istio(node, reference, &Fields { not_yet, ..ISTIO })?;
            Some(Spec::VirtualService(spec))
        },
        (NETWORKING, "DestinationRule") => |reader, node, reference| {
            let not_yet = istio::DestinationRule::NOT_YET;
            let spec = reader.istio(node, reference, &Fields { not_yet, ..ISTIO })?;
            Some(Spec::DestinationRule(spec))
        },
        (NETWORKING, "Gateway") => |reader, node, reference| {
            let not_yet = istio::Gateway::NOT_YET;
            let spec = reader.istio(node, reference, &Fields { not_yet, ..ISTIO })?;
            Some(Spec::Gateway(spec))
        },
        (NETWORKING, "ServiceEntry") => |reader, node, reference| {
            Some(Spec::ServiceEntry(reader.istio(node, reference, &ISTIO)?))
        },
        (NETWORKING, "WorkloadEntry") => |reader, node, reference| {
            Some(Spec::WorkloadEntry(reader.istio(node, reference, &ISTIO)?))
        },
        (NETWORKING, "Sidecar") => |reader, node, reference| {
            let not_yet = istio::Sidecar::NOT_YET;
            let spec = reader.istio(node, reference, &Fields { not_yet, ..ISTIO })?;
            Some(Spec::Sidecar(spec))
        },
        (SECURITY, "PeerAuthentication") => |reader, node, reference| {
            Some(Spec::PeerAuthentication(
                reader.istio(node, reference, &ISTIO)?,
            ))
        },
        (SECURITY, "AuthorizationPolicy") => |reader, node, reference| {
            // Without its target a policy would be for every workload of the namespace.
            let refused = &["spec.targetRef", "spec.targetRefs"];
            let spec = reader.istio(node, reference, &Fields { refused, ..ISTIO })?;
            Some(Spec::AuthorizationPolicy(spec))
        },
        ("", "Service") => {
            |reader, node, reference| Some(Spec::Service(reader.kubernetes(node, reference)?))
        }
        ("", "Pod") => {
            |reader, node, reference| Some(Spec::Pod(reader.kubernetes(node, reference)?))
        }
        ("", "Secret") => {
            |reader, node, reference| Some(Spec::Secret(reader.kubernetes(node, reference)?))
        }
        ("", "ConfigMap") => {
            |reader, node, reference| Some(Spec::ConfigMap(reader.kubernetes(node, reference)?))
        }
        ("apps", "Deployment") => {
            |reader, node, reference| Some(Spec::Deployment(reader.kubernetes(node, reference)?))
        }
        ("discovery.k8s.io", "EndpointSlice") => {
            |reader, node, reference| Some(Spec::EndpointSlice(reader.kubernetes(node, reference)?))
        }
        ("", "Namespace") => |_, _, _| Some(Spec::Namespace),
        ("", "ServiceAccount") => |_, _, _| Some(Spec::ServiceAccount),
        _ => return None,
    };
    Some(read)
}

/// What the document says it is. None if it does not say.
fn reference_of(node: &Node) -> Option<ResourceRef> {
    let text = |node: Option<&Node>| node.and_then(Node::text).map(str::to_owned);
    let metadata = node.child("metadata")?;
    let kind = text(node.child("kind"))?;
    let version = text(node.child("apiVersion"))?;
    let name = text(metadata.child("name")).filter(|name| !name.is_empty())?;
    let namespace = match &*kind {
        "Namespace" => String::new(),
        _ => text(metadata.child("namespace"))
            .filter(|namespace| !namespace.is_empty())
            .unwrap_or_else(|| "default".into()),
    };
    let group = version.split_once('/').map_or("", |(group, _)| group);
    Some(ResourceRef::new(group, &kind, &namespace, &name))
}

fn line_of(node: &Node, key: &str) -> u32 {
    node.child(key).map_or(node.line, |node| node.line)
}

fn group_name(group: &str) -> &str {
    match group {
        "" => "the core group",
        group => group,
    }
}

/// `spec.http[3].match[0]` to `spec.http[].match[]`.
fn without_indexes(field: &str) -> String {
    let mut general = String::with_capacity(field.len());
    let mut index = false;
    for c in field.chars() {
        index = (index && c != ']') || c == '[';
        if !index || c == '[' {
            general.push(c);
        }
    }
    general
}

/// Whether the field is one letter away from one that is read.
fn is_slip(unread: &Unread) -> bool {
    let name = unread.field.rsplit('.').next().unwrap_or_default();
    let near = |similar| distance(&camel_case(name), similar) == Some(1);
    name.len() >= 4 && unread.similar.is_some_and(near)
}
