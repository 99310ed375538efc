mod envoy_filter;
mod fields;
mod kinds;
mod stand_in;

use std::{collections::HashSet, sync::Arc};

use serde::Deserialize;

use self::{
    fields::KUBERNETES,
    kinds::{KINDS, reader_of},
};
use super::{
    Metadata, Problem, Resource, Severity, Source, Spec,
    gateway_api::GatewayApi,
    kind::{MESH, NETWORKING, SECURITY, TELEMETRY},
    near::nearest,
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
    /// What is left of policies that are broken and must not be forgotten for it: without them
    /// callers could do what was to be denied. They count where there is no last good version.
    pub stand_ins: Vec<Arc<Resource>>,
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
                let said = problem.resource.clone();
                reader.push(problem);
                if let (Some(tree), Some(reference)) = (&error.tree, said) {
                    reader.stand_in(tree, reference, None, None);
                }
            }
        }
    }
    reader.parsed
}

impl Parsed {
    /// Whether something of the text that is broken may be this resource: what is broken bears
    /// its name, or does not tell its own.
    pub fn may_hold_broken(&self, reference: &ResourceRef) -> bool {
        let errors = self.problems.iter().filter(|problem| problem.is_error());
        errors.into_iter().any(|problem| match &problem.resource {
            None => true,
            // The broken part is what the resource says it is.
            Some(said) if matches!(&*problem.field, "kind" | "apiVersion") => {
                (&said.namespace, &said.name) == (&reference.namespace, &reference.name)
            }
            Some(said) => said == reference,
        })
    }
}

struct Reader {
    file: Arc<str>,
    seen: HashSet<ResourceRef>,
    parsed: Parsed,
}

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
            GatewayApi::GROUP => GatewayApi::VERSIONS,
            MESH => &["v1alpha1"],
            TELEMETRY => &["v1", "v1alpha1"],
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
            self.push(
                problem
                    .of(reference.clone())
                    .at("apiVersion")
                    .advise(advice),
            );
            return self.stand_in(node, reference, None, None);
        }
        let before = self.parsed.problems.len();
        let metadata = self.metadata(node, &reference);
        let spec = read(self, node, &reference);
        let broken = self.parsed.problems[before..].iter().any(Problem::is_error);
        let (Some(metadata), Some(spec), false) = (&metadata, &spec, broken) else {
            return self.stand_in(node, reference, metadata, spec);
        };
        let (metadata, spec) = (metadata.clone(), spec.clone());
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
            is_broken: false,
            lines: FieldLines::of(node),
        }));
    }

    /// Keeps what can be read of a broken policy.
    fn stand_in(
        &mut self,
        node: &Node,
        reference: ResourceRef,
        metadata: Option<Metadata>,
        spec: Option<Spec>,
    ) {
        let Some(spec) = stand_in::spec(node, &reference, spec) else {
            return;
        };
        self.parsed.stand_ins.push(Arc::new(Resource {
            reference,
            metadata: metadata.unwrap_or_default(),
            source: self.source(node.line),
            spec,
            is_broken: true,
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

    /// A kind that is not read: a slip of the fingers, or not supported yet.
    fn unknown_kind(&mut self, node: &Node, reference: ResourceRef, group: &str, kind: &str) {
        if (group, kind) == (NETWORKING, "EnvoyFilter") {
            self.envoy_filter(node, &reference);
        }
        let known = KINDS.iter().find(|(_, known)| *known == kind);
        let ours = group.is_empty() || KINDS.iter().any(|(known, _)| *known == group);
        let slip = match known {
            Some((right, _))
                if group != *right && (group.is_empty() || nearest(group, [*right]).is_some()) =>
            {
                let advice = format!("{kind} is of {}", group_name(right));
                Some((
                    "apiVersion",
                    format!("no {kind} in {}", group_name(group)),
                    advice,
                ))
            }
            Some(_) => None,
            None => nearest(kind, KINDS.iter().map(|(_, kind)| *kind))
                .filter(|_| {
                    ours && !(group == GatewayApi::GROUP && GatewayApi::NOT_YET.contains(&kind))
                })
                .map(|similar| {
                    let advice = format!("did you mean {similar}?");
                    ("kind", format!("unknown kind {kind:?}"), advice)
                }),
        };
        let problem = match slip {
            Some((field, reason, advice)) => {
                let source = self.source(line_of(node, field));
                Problem::new(Severity::Error, source, reason)
                    .at(field)
                    .advise(advice)
            }
            None => {
                let reason = format!("{kind} of {} is not supported yet", group_name(group));
                Problem::new(Severity::Warning, self.source(node.line), reason)
            }
        };
        self.push(problem.of(reference));
    }

    fn report(&mut self, severity: Severity, line: u32, reason: impl Into<String>) {
        self.push(Problem::new(severity, self.source(line), reason));
    }

    /// What comes after the last one that is listed must not look as if all were well: then any
    /// resource of the text may be broken.
    fn push(&mut self, problem: Problem) {
        let problems = &mut self.parsed.problems;
        match MAX_PROBLEMS - problems.len() {
            0 => {}
            1 => problems.push(Problem::new(
                Severity::Error,
                problem.source,
                "too many problems: the others are not listed",
            )),
            _ => problems.push(problem),
        }
    }

    fn source(&self, line: u32) -> Source {
        Source {
            file: self.file.clone(),
            line,
        }
    }
}

/// What the document says it is. None if it does not say.
fn reference_of(node: &Node) -> Option<ResourceRef> {
    let text = |node: Option<&Node>| node.and_then(Node::text).map(str::to_owned);
    let metadata = node.child("metadata")?;
    let kind = text(node.child("kind"))?;
    let version = text(node.child("apiVersion"))?;
    let name = text(metadata.child("name")).filter(|name| !name.is_empty())?;
    let namespace = match &*kind {
        "Namespace" | "GatewayClass" => String::new(),
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
