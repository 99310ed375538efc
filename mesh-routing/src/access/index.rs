//! Which policies may match: found by who calls, by path or by method, without asking each.
//!
//! A policy is kept under texts of which a request must have one for it to match: under the kind
//! of text that tells it best from the other policies. What has none is always asked.

use std::{
    collections::HashMap,
    hash::{BuildHasherDefault, Hasher},
};

use mesh_core::{
    dataplane::{AccessPolicy, AccessRules, Permission, Principal, ValueMatch},
    name::Pattern,
};

use super::{AccessRequest, readings};
use crate::hash::xxh64;

#[derive(Debug, Default)]
pub(super) struct Index {
    peers: Exact,
    peer_prefixes: Prefixes,
    /// By what follows `/ns/` in an identity.
    namespaces: Exact,
    paths: Exact,
    path_prefixes: Prefixes,
    methods: Exact,
    /// What must be asked in any case.
    others: Box<[u32]>,
}

/// A text that a request must have for a policy to match.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Key {
    Peer(String),
    PeerPrefix(String),
    Namespace(String),
    Path(String),
    PathPrefix(String),
    Method(String),
}

/// For each kind, texts of which one is needed; none if the kind does not matter.
type Needs = [Option<Vec<Key>>; 3];

const PEER: usize = 0;
const PATH: usize = 1;
const METHOD: usize = 2;

type Exact = HashMap<Box<str>, Box<[u32]>, BuildHasherDefault<TextHasher>>;

/// Prefixes in order. Whoever finds the last that does not come after a text finds all prefixes of
/// the text by going on to shorter ones.
#[derive(Debug, Default)]
struct Prefixes(Box<[Prefix]>);

#[derive(Debug)]
struct Prefix {
    text: Box<str>,
    /// The longest other one that this begins with.
    shorter: Option<u32>,
    policies: Box<[u32]>,
}

/// Texts that are looked up are compared to the few of the configuration, so nobody can make them
/// collide by choosing them.
#[derive(Default)]
struct TextHasher(u64);

impl Hasher for TextHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        self.0 = xxh64(bytes, self.0);
    }

    fn write_u8(&mut self, _: u8) {}
}

impl Index {
    /// Policies are known by their place among the rules.
    pub(super) fn of(rules: &AccessRules) -> Self {
        let all: Vec<Needs> = rules.policies.values().map(needs).collect();
        let mut uses: HashMap<&Key, usize> = HashMap::new();
        for key in all.iter().flatten().flatten().flatten() {
            *uses.entry(key).or_default() += 1;
        }
        let mut kept: HashMap<Key, Vec<u32>> = HashMap::new();
        let mut others = Vec::new();
        for (place, needs) in (0..).zip(&all) {
            // The kind whose fullest list is shortest.
            let longest = |keys: &&Vec<Key>| keys.iter().map(|key| uses[key]).max().unwrap_or(0);
            let best = needs.iter().flatten().min_by_key(longest);
            let Some(best) = best else {
                others.push(place);
                continue;
            };
            for key in best {
                let list = kept.entry(key.clone()).or_default();
                if list.last() != Some(&place) {
                    list.push(place);
                }
            }
        }
        Self::build(kept, others)
    }

    fn build(kept: HashMap<Key, Vec<u32>>, others: Vec<u32>) -> Self {
        let mut index = Self {
            others: others.into(),
            ..Self::default()
        };
        let (mut peer_prefixes, mut path_prefixes) = (Vec::new(), Vec::new());
        for (key, list) in kept {
            let exact = match key {
                Key::PeerPrefix(text) => {
                    peer_prefixes.push((text, list));
                    continue;
                }
                Key::PathPrefix(text) => {
                    path_prefixes.push((text, list));
                    continue;
                }
                Key::Peer(text) => (&mut index.peers, text),
                Key::Namespace(text) => (&mut index.namespaces, text),
                Key::Path(text) => (&mut index.paths, text),
                Key::Method(text) => (&mut index.methods, text),
            };
            exact.0.insert(exact.1.into(), list.into());
        }
        index.peer_prefixes = Prefixes::of(peer_prefixes);
        index.path_prefixes = Prefixes::of(path_prefixes);
        index
    }

    /// Visits lists of policies, each in order, that hold at least all that match.
    pub(super) fn visit(
        &self,
        request: &AccessRequest<'_>,
        readings: &[String],
        mut visit: impl FnMut(&[u32]),
    ) {
        visit(&self.others);
        if let Some(peer) = request.connection.peer {
            let peer = peer.as_str();
            look_up(&self.peers, peer, &mut visit);
            self.peer_prefixes.visit(peer, &mut visit);
            if !self.namespaces.is_empty() {
                // Marks may share a slash, as in `/ns/ns/`.
                let mut rest = peer;
                while let Some(at) = rest.find("/ns/") {
                    let after = &rest[at + "/ns/".len()..];
                    let end = after.find('/').unwrap_or(after.len());
                    look_up(&self.namespaces, &after[..end], &mut visit);
                    rest = &rest[at + 1..];
                }
            }
        }
        let Some(head) = request.head else { return };
        look_up(&self.methods, head.method.as_str(), &mut visit);
        if self.paths.is_empty() && self.path_prefixes.0.is_empty() {
            return;
        }
        let others = readings.iter().map(String::as_str);
        for path in std::iter::once(head.path).chain(others) {
            look_up(&self.paths, path, &mut visit);
            self.path_prefixes.visit(path, &mut visit);
        }
    }
}

fn look_up(exact: &Exact, text: &str, visit: &mut impl FnMut(&[u32])) {
    if !exact.is_empty()
        && let Some(list) = exact.get(text)
    {
        visit(list);
    }
}

impl Prefixes {
    fn of(mut texts: Vec<(String, Vec<u32>)>) -> Self {
        texts.sort();
        let mut prefixes: Vec<Prefix> = Vec::with_capacity(texts.len());
        for (text, list) in texts {
            let mut shorter = prefixes.len().checked_sub(1);
            while let Some(at) = shorter {
                if text.starts_with(&*prefixes[at].text) {
                    break;
                }
                shorter = prefixes[at].shorter.map(|at| at as usize);
            }
            prefixes.push(Prefix {
                text: text.into(),
                shorter: shorter.and_then(|at| u32::try_from(at).ok()),
                policies: list.into(),
            });
        }
        Self(prefixes.into())
    }

    fn visit(&self, text: &str, visit: &mut impl FnMut(&[u32])) {
        let after = self.0.partition_point(|prefix| *prefix.text <= *text);
        let mut next = after.checked_sub(1);
        while let Some(at) = next {
            let prefix = &self.0[at];
            if text.starts_with(&*prefix.text) {
                visit(&prefix.policies);
            }
            next = prefix.shorter.map(|at| at as usize);
        }
    }
}

fn needs(policy: &AccessPolicy) -> Needs {
    both([
        one_of(policy.principals.iter().map(of_principal)),
        one_of(policy.permissions.iter().map(of_permission)),
    ])
}

fn of_principal(principal: &Principal) -> Needs {
    match principal {
        Principal::All(parts) => both(parts.iter().map(of_principal)),
        Principal::OneOf(parts) => one_of(parts.iter().map(of_principal)),
        Principal::Authenticated(Some(pattern)) => match pattern {
            Pattern::Exact(id) => only(PEER, vec![Key::Peer(id.clone())]),
            Pattern::Prefix(id) => only(PEER, vec![Key::PeerPrefix(id.clone())]),
            Pattern::Regex(regex) => match namespace(regex) {
                Some(namespace) => only(PEER, vec![Key::Namespace(namespace)]),
                None => Needs::default(),
            },
            Pattern::Suffix(_) | Pattern::Contains(_) => Needs::default(),
        },
        _ => Needs::default(),
    }
}

fn of_permission(permission: &Permission) -> Needs {
    match permission {
        Permission::All(parts) => both(parts.iter().map(of_permission)),
        Permission::OneOf(parts) => one_of(parts.iter().map(of_permission)),
        Permission::Path(Pattern::Exact(path)) => only(PATH, spellings(path, Key::Path)),
        Permission::Path(Pattern::Prefix(path)) => only(PATH, spellings(path, Key::PathPrefix)),
        Permission::Header(header) if header.name == ":method" && !header.invert => {
            match &header.value {
                ValueMatch::Text {
                    pattern: Pattern::Exact(method),
                    ignore_case: false,
                } => only(METHOD, vec![Key::Method(method.clone())]),
                _ => Needs::default(),
            }
        }
        _ => Needs::default(),
    }
}

/// A path as it is written in a rule, and as it is compared with other readings.
fn spellings(path: &str, key: fn(String) -> Key) -> Vec<Key> {
    let others = readings::of(path).into_iter();
    std::iter::once(path.to_owned())
        .chain(others)
        .map(key)
        .collect()
}

fn only(kind: usize, keys: Vec<Key>) -> Needs {
    let mut needs = Needs::default();
    needs[kind] = Some(keys);
    needs
}

/// What all of several conditions need: of each kind the shorter list.
fn both(parts: impl IntoIterator<Item = Needs>) -> Needs {
    parts.into_iter().fold(Needs::default(), |known, more| {
        let mut pairs = known.into_iter().zip(more);
        std::array::from_fn(|_| match pairs.next()? {
            (Some(a), Some(b)) => Some(if b.len() < a.len() { b } else { a }),
            (a, b) => a.or(b),
        })
    })
}

/// What one of several conditions needs: a kind that each of them needs. None of none ever holds.
fn one_of(parts: impl IntoIterator<Item = Needs>) -> Needs {
    let nothing: Needs = std::array::from_fn(|_| Some(Vec::new()));
    parts.into_iter().fold(nothing, |known, more| {
        let mut pairs = known.into_iter().zip(more);
        std::array::from_fn(|_| {
            let (known, more) = pairs.next()?;
            let mut keys = known?;
            keys.extend(more?);
            Some(keys)
        })
    })
}

/// The namespace of Istio's expressions for namespaces and service accounts, if it is a plain text.
fn namespace(regex: &str) -> Option<String> {
    let of_namespace = regex
        .strip_prefix(".*/ns/")
        .and_then(|rest| rest.strip_suffix("/.*"));
    let of_account = || {
        let rest = regex.strip_prefix("spiffe://.+/ns/")?;
        let (namespace, account) = rest.split_once("/(.+/|)sa/")?;
        account.ends_with("(/.+)?").then_some(namespace)
    };
    let escaped = of_namespace.or_else(of_account)?;
    let mut text = String::with_capacity(escaped.len());
    let mut chars = escaped.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => text.push(chars.next().filter(char::is_ascii_punctuation)?),
            c if r".+*?()|[]{}^$/".contains(c) => return None,
            c => text.push(c),
        }
    }
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes() {
        let texts = ["/", "/a", "/a/b", "/ab", "/b", "", "/a/b/c"];
        let lists = (0..).zip(texts).map(|(i, text)| (text.to_owned(), vec![i]));
        let prefixes = Prefixes::of(lists.collect());
        for text in [
            "/a/b/x", "/", "", "/a/bb", "/abc", "/c", "x", "/a/b/c/d", "/a!",
        ] {
            let mut found = Vec::new();
            prefixes.visit(text, &mut |list: &[u32]| found.extend_from_slice(list));
            found.sort_unstable();
            let want = (0..)
                .zip(texts)
                .filter(|(_, prefix)| text.starts_with(prefix));
            assert_eq!(found, want.map(|(i, _)| i).collect::<Vec<_>>(), "{text}");
        }
    }

    #[test]
    fn namespaces_of_expressions() {
        for (regex, want) in [
            (".*/ns/a/.*", Some("a")),
            (r".*/ns/a\.b/.*", Some("a.b")),
            (".*/ns/a[^/]*/.*", None),
            (".*/ns/a.b/.*", None),
            (r".*/ns/\d/.*", None),
            (".*/ns/a/b/.*", None),
            (".*", None),
            ("spiffe://.+/ns/a/(.+/|)sa/b(/.+)?", Some("a")),
            ("spiffe://.+/ns/a/sa/b", None),
        ] {
            assert_eq!(namespace(regex).as_deref(), want, "{regex}");
        }
    }
}
