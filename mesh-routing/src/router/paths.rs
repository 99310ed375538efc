use std::collections::HashMap;

use mesh_core::dataplane::{PathMatch, RouteMatch};

/// Which rules of a host can match a path, so that a host with many rules need not try them all.
/// It only ever leaves out rules whose path condition fails; the rules themselves decide.
#[derive(Debug)]
pub(super) enum PathIndex {
    /// Few rules: try all of this many.
    Few(usize),
    /// Many.
    Many(Box<Many>),
}

/// Positions are kept in the rules' order.
#[derive(Debug, Default)]
pub(super) struct Many {
    exact: HashMap<Box<str>, Vec<u32>>,
    prefixes: Prefixes,
    /// Expressions, comparisons without regard to case, CONNECT.
    others: Vec<u32>,
}

/// Prefixes in order of text, each knowing the longest other one that begins it: so all prefixes of
/// a path lie on the chain of parents of the last one not after the path.
#[derive(Debug, Default)]
struct Prefixes(Vec<PrefixNode>);

#[derive(Debug)]
struct PrefixNode {
    text: Box<str>,
    parent: Option<u32>,
    rules: Vec<u32>,
}

/// Up to so many rules it is quicker to try each.
const FEW: usize = 8;

impl PathIndex {
    pub(super) fn compile<'a>(rules: impl ExactSizeIterator<Item = &'a RouteMatch>) -> Self {
        if rules.len() <= FEW {
            return Self::Few(rules.len());
        }
        let mut many = Many::default();
        let mut prefixes: Vec<(&str, u32)> = Vec::new();
        for (position, rule) in (0..).zip(rules) {
            match &rule.path {
                _ if rule.ignore_case => many.others.push(position),
                PathMatch::Exact(path) => {
                    many.exact
                        .entry(path.as_str().into())
                        .or_default()
                        .push(position);
                }
                PathMatch::Prefix(path) | PathMatch::PathSeparatedPrefix(path) => {
                    prefixes.push((path, position));
                }
                PathMatch::Regex(_) | PathMatch::Connect => many.others.push(position),
            }
        }
        many.prefixes = Prefixes::build(prefixes);
        Self::Many(Box::new(many))
    }

    /// The first rule that matches, of those whose path may.
    pub(super) fn first(&self, path: &str, matches: impl Fn(usize) -> bool) -> Option<usize> {
        match self {
            Self::Few(count) => (0..*count).find(|&position| matches(position)),
            Self::Many(many) => many.first(path, matches),
        }
    }
}

impl Many {
    fn first(&self, path: &str, matches: impl Fn(usize) -> bool) -> Option<usize> {
        let exact = self.exact.get(path).map_or(&[][..], Vec::as_slice);
        std::iter::once(exact)
            .chain(self.prefixes.of(path))
            .chain([&*self.others])
            .fold(None, |best: Option<u32>, rules| {
                rules
                    .iter()
                    .copied()
                    .take_while(|&rule| best.is_none_or(|best| rule < best))
                    .find(|&rule| matches(rule as usize))
                    .or(best)
            })
            .map(|rule| rule as usize)
    }
}

impl Prefixes {
    fn build(mut prefixes: Vec<(&str, u32)>) -> Self {
        prefixes.sort();
        let mut nodes: Vec<PrefixNode> = Vec::new();
        for (text, rule) in prefixes {
            match nodes.last_mut() {
                Some(last) if *last.text == *text => last.rules.push(rule),
                _ => {
                    let last = nodes.len().checked_sub(1).map(|index| index as u32);
                    let parent = ancestors(&nodes, last)
                        .find(|(_, node)| text.starts_with(&*node.text))
                        .map(|(index, _)| index);
                    nodes.push(PrefixNode {
                        text: text.into(),
                        parent,
                        rules: vec![rule],
                    });
                }
            }
        }
        Self(nodes)
    }

    /// The rules of every prefix of a path, the longest first.
    fn of<'a>(&'a self, path: &'a str) -> impl Iterator<Item = &'a [u32]> {
        let after = self.0.partition_point(|node| *node.text <= *path);
        let last = after.checked_sub(1).map(|index| index as u32);
        ancestors(&self.0, last)
            .filter(move |(_, node)| path.starts_with(&*node.text))
            .map(|(_, node)| &*node.rules)
    }
}

/// A node and its parents.
fn ancestors(nodes: &[PrefixNode], from: Option<u32>) -> impl Iterator<Item = (u32, &PrefixNode)> {
    std::iter::successors(from, |&index| nodes[index as usize].parent)
        .map(|index| (index, &nodes[index as usize]))
}
