use mesh_core::{
    dataplane::{PathMatch, RouteMatch},
    name::Pattern,
};
use regex_syntax::hir::literal::{ExtractKind, Extractor};

use super::trie::{Stands, Trie};

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
    /// By how a path begins, expressions that can only begin so included.
    beginnings: Trie,
    /// The same in lower case, for comparisons without regard to case.
    folded: Trie,
    /// Expressions by how a path must end, last byte first, where nothing tells how it begins.
    endings: Trie,
    /// Other expressions, CONNECT.
    others: Vec<u32>,
}

/// Up to so many rules it is quicker to try each.
const FEW: usize = 8;

impl PathIndex {
    pub(super) fn compile<'a>(rules: impl ExactSizeIterator<Item = &'a RouteMatch>) -> Self {
        if rules.len() <= FEW {
            return Self::Few(rules.len());
        }
        let mut many = Many::default();
        for (position, rule) in (0..).zip(rules) {
            many.add(rule, position);
        }
        Self::Many(Box::new(many))
    }

    /// The first rule that matches, of those whose path may.
    pub(super) fn first(&self, path: &str, matches: impl Fn(usize) -> bool) -> Option<usize> {
        match self {
            Self::Few(count) => (0..*count).find(|&position| matches(position)),
            Self::Many(many) => many.first(path.as_bytes(), matches),
        }
    }
}

impl Many {
    fn add(&mut self, rule: &RouteMatch, position: u32) {
        let (text, stands) = match &rule.path {
            PathMatch::Exact(path) => (path, Stands::Whole),
            PathMatch::Prefix(path) | PathMatch::PathSeparatedPrefix(path) => {
                (path, Stands::Beginning)
            }
            PathMatch::Regex(pattern) => return self.add_expression(pattern, position),
            PathMatch::Connect => return self.others.push(position),
        };
        match rule.ignore_case {
            true => {
                let lower = text.to_ascii_lowercase();
                self.folded.insert(lower.as_bytes(), stands, position);
            }
            false => self.beginnings.insert(text.as_bytes(), stands, position),
        }
    }

    fn add_expression(&mut self, pattern: &str, position: u32) {
        let beginnings = literals(pattern, ExtractKind::Prefix);
        let endings = || literals(pattern, ExtractKind::Suffix);
        if let Some(texts) = beginnings {
            for text in texts {
                self.beginnings.insert(&text, Stands::Beginning, position);
            }
        } else if let Some(texts) = endings() {
            for mut text in texts {
                text.reverse();
                self.endings.insert(&text, Stands::Beginning, position);
            }
        } else {
            self.others.push(position);
        }
    }

    fn first(&self, path: &[u8], matches: impl Fn(usize) -> bool) -> Option<usize> {
        let mut best: Option<u32> = None;
        let mut show = |rules: &[u32]| {
            let before = rules.iter().copied();
            let mut before = before.take_while(|&rule| best.is_none_or(|best| rule < best));
            best = before.find(|&rule| matches(rule as usize)).or(best);
        };
        let (len, last) = (path.len(), path.len().wrapping_sub(1));
        self.beginnings.walk(len, |place| path[place], &mut show);
        if !self.folded.is_empty() {
            let lower = |place: usize| path[place].to_ascii_lowercase();
            self.folded.walk(len, lower, &mut show);
        }
        if !self.endings.is_empty() {
            self.endings
                .walk(len, |place| path[last - place], &mut show);
        }
        show(&self.others);
        best.map(|rule| rule as usize)
    }
}

/// Texts of which one stands at that end of everything an expression matches. None if nothing, or
/// nothing that leaves anything out, is known.
fn literals(pattern: &str, kind: ExtractKind) -> Option<Vec<Vec<u8>>> {
    let parsed = regex_syntax::parse(&Pattern::in_ascii(pattern)).ok()?;
    let found = Extractor::new().kind(kind).extract(&parsed);
    let texts = found.literals()?;
    let tells = texts.iter().all(|text| !text.is_empty());
    tells.then(|| texts.iter().map(|text| text.as_bytes().to_vec()).collect())
}
