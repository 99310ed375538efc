//! Requests that stand for all that are judged alike.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use super::{
    predicates::{Pair, Predicates},
    targets::Target,
};

/// A request.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Sample {
    /// The class it stands for, for a person; empty for bytes.
    pub(super) label: String,
    pub(super) method: String,
    pub(super) path_and_query: String,
    pub(super) headers: Vec<Pair>,
    pub(super) claims: Option<BTreeMap<String, Value>>,
}

/// Every combination of what is asked for, at most so many, and whether there are more.
pub(super) fn samples(
    predicates: &Predicates,
    target: &Target,
    most: usize,
) -> (Vec<Sample>, bool) {
    if !target.is_http() {
        return (vec![Sample::default()], false);
    }
    let mut found = Vec::new();
    for claims in claims(predicates) {
        for query in with_none(&predicates.queries) {
            for headers in with_none(&predicates.headers) {
                for method in methods(predicates) {
                    for (path, class) in paths(predicates) {
                        if found.len() >= most {
                            return (found, true);
                        }
                        found.push(sample(&class, &path, &method, &headers, &query, &claims));
                    }
                }
            }
        }
    }
    (found, false)
}

type Claims = Option<BTreeMap<String, Value>>;

fn sample(
    class: &str,
    path: &str,
    method: &str,
    headers: &[Pair],
    query: &[Pair],
    claims: &Claims,
) -> Sample {
    let query: Vec<_> = query
        .iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    let query = match query.join("&") {
        query if query.is_empty() => query,
        query => format!("?{query}"),
    };
    let mut label = format!("{method} {class}{query}");
    for (name, value) in headers {
        label += &format!(" {name}: {value}");
    }
    if let Some(claims) = claims {
        label += &format!(" claims {}", serde_json::json!(claims));
    }
    Sample {
        label,
        method: method.to_owned(),
        path_and_query: format!("{path}{query}"),
        headers: headers.to_vec(),
        claims: claims.clone(),
    }
}

/// Paths with their classes: those that rules speak of, the root, and one that nobody speaks of.
fn paths(predicates: &Predicates) -> BTreeMap<String, String> {
    let mut paths = BTreeMap::from([("/-other-".to_owned(), "(any other path)".to_owned())]);
    for (path, class) in &predicates.paths {
        // Where several classes have a sample in common, the narrowest names it.
        let known = paths.entry(path.clone()).or_insert_with(|| class.clone());
        if class.len() > known.len() || class == path {
            known.clone_from(class);
        }
    }
    paths
        .entry("/".to_owned())
        .or_insert_with(|| "/".to_owned());
    paths
}

/// GET, the methods that rules speak of, and one that none does.
fn methods(predicates: &Predicates) -> BTreeSet<String> {
    let mut methods = predicates.methods.clone();
    let is_asked = !methods.is_empty();
    methods.insert("GET".to_owned());
    let others = ["POST", "PUT", "DELETE", "PATCH", "HEAD"];
    let other = others.iter().find(|other| !methods.contains(**other));
    if let (Some(other), true) = (other, is_asked) {
        methods.insert((*other).to_owned());
    }
    methods
}

fn with_none(sets: &BTreeSet<Vec<Pair>>) -> BTreeSet<Vec<Pair>> {
    let mut sets = sets.clone();
    sets.insert(Vec::new());
    sets
}

/// No claims, and each that rules speak of.
fn claims(predicates: &Predicates) -> Vec<Claims> {
    let each = predicates.claims.iter().map(|(path, value)| {
        let leaf = Value::from(value.as_str());
        let (first, below) = path.split_first()?;
        let nested = below.iter().rev().fold(leaf, |value, key| {
            Value::Object(Map::from_iter([(key.clone(), value)]))
        });
        Some(BTreeMap::from([(first.clone(), nested)]))
    });
    [None]
        .into_iter()
        .chain(each.filter(Option::is_some))
        .collect()
}
