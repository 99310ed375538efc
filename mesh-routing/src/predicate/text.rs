use mesh_core::name::Pattern;
use regex::Regex;

use crate::CompileError;

/// A [`Pattern`] ready to run.
#[derive(Debug)]
pub(crate) struct TextTest {
    kind: Kind,
    ignore_case: bool,
}

#[derive(Debug)]
enum Kind {
    Exact(Box<str>),
    Prefix(Box<str>),
    Suffix(Box<str>),
    Contains(Box<str>),
    Regex(Regex),
}

impl TextTest {
    pub(crate) fn compile(pattern: &Pattern, ignore_case: bool) -> Result<Self, CompileError> {
        let kind = match pattern {
            Pattern::Exact(text) => Kind::Exact(text.as_str().into()),
            Pattern::Prefix(text) => Kind::Prefix(text.as_str().into()),
            Pattern::Suffix(text) => Kind::Suffix(text.as_str().into()),
            Pattern::Contains(text) => Kind::Contains(text.as_str().into()),
            Pattern::Regex(text) => Kind::Regex(Pattern::compile_regex(text, ignore_case)?),
        };
        Ok(Self { kind, ignore_case })
    }

    pub(crate) fn matches(&self, text: &str) -> bool {
        let same = self.same();
        let bytes = text.as_bytes();
        match &self.kind {
            Kind::Exact(want) => same(bytes, want.as_bytes()),
            Kind::Prefix(want) => bytes
                .get(..want.len())
                .is_some_and(|head| same(head, want.as_bytes())),
            Kind::Suffix(want) => bytes
                .len()
                .checked_sub(want.len())
                .is_some_and(|start| same(&bytes[start..], want.as_bytes())),
            Kind::Contains(want) => {
                want.is_empty()
                    || bytes
                        .windows(want.len())
                        .any(|part| same(part, want.as_bytes()))
            }
            Kind::Regex(regex) => regex.is_match(text),
        }
    }

    /// Whether it asks for this very text.
    pub(crate) fn is(&self, text: &str) -> bool {
        matches!(self.kind, Kind::Exact(_)) && self.matches(text)
    }

    fn same(&self) -> fn(&[u8], &[u8]) -> bool {
        if self.ignore_case {
            |a, b| a.eq_ignore_ascii_case(b)
        } else {
            |a, b| a == b
        }
    }
}
