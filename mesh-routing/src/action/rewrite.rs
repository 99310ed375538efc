use http::HeaderValue;
use mesh_core::{
    dataplane::{Forward, PathRewrite, RegexRewrite},
    name::Pattern,
};
use regex::{Captures, Regex};

use crate::{CompileError, Defect};

/// The path and host to send upstream.
#[derive(Debug, Default)]
pub struct Rewrite {
    path: Option<NewPath>,
    host: Option<HeaderValue>,
    append_forwarded_host: bool,
}

/// A path and how much of it a route's condition spoke of.
#[derive(Debug, Clone, Copy)]
pub struct MatchedPath<'a> {
    /// The path without its query.
    pub path: &'a str,
    /// What follows the `?`.
    pub query: Option<&'a str>,
    /// How many bytes of the path the condition spoke of.
    pub matched_len: usize,
    /// Whether the condition compared whole segments.
    pub by_segment: bool,
}

/// A new path.
#[derive(Debug)]
pub(super) enum NewPath {
    Prefix(Box<str>),
    Full(Box<str>),
    Regex(Regex, Box<[Part]>),
}

#[derive(Debug)]
pub(super) enum Part {
    Text(Box<str>),
    Group(usize),
}

impl Rewrite {
    /// Prepares what a forwarding rule changes. Refuses bad expressions and hosts.
    pub fn compile(forward: &Forward) -> Result<Self, CompileError> {
        let host = forward.host.as_ref().map(|host| {
            HeaderValue::from_str(host)
                .map_err(|_| CompileError::from(Defect::HeaderValue(host.clone())).within("host"))
        });
        Ok(Self {
            path: NewPath::compile(forward.path.as_ref())?,
            host: host.transpose()?,
            append_forwarded_host: forward.append_forwarded_host,
        })
    }

    /// The path and query to send, if the path changes. The query stays.
    pub fn path_and_query(&self, matched: &MatchedPath<'_>) -> Option<String> {
        let mut path = self.path.as_ref()?.apply(matched);
        // A path that a rewrite gave a query of its own keeps that one.
        if let Some(query) = matched.query
            && !path.contains('?')
        {
            path.push('?');
            path.push_str(query);
        }
        Some(path)
    }

    /// The host to send, if it changes.
    pub fn host(&self) -> Option<&HeaderValue> {
        self.host.as_ref()
    }

    /// Whether to append the host that was replaced as `x-forwarded-host`.
    pub fn append_forwarded_host(&self) -> bool {
        self.append_forwarded_host
    }
}

impl NewPath {
    pub(super) fn compile(rewrite: Option<&PathRewrite>) -> Result<Option<Self>, CompileError> {
        Ok(Some(match rewrite {
            None => return Ok(None),
            Some(PathRewrite::Prefix(text)) => Self::Prefix(text.as_str().into()),
            Some(PathRewrite::Full(text)) => Self::Full(text.as_str().into()),
            Some(PathRewrite::Regex(rewrite)) => {
                compile_regex(rewrite).map_err(|error| error.within("path"))?
            }
        }))
    }

    /// The new path without the old query. It always begins with a slash.
    pub(super) fn apply(&self, matched: &MatchedPath<'_>) -> String {
        let mut path = match self {
            Self::Full(path) => String::from(&**path),
            Self::Prefix(prefix) => {
                let rest = &matched.path[matched.matched_len..];
                // Segments are replaced whole: `/a/b` with `/a` by `/` is `/b`, not `//b`.
                let slashes = matched.by_segment && prefix.ends_with('/');
                let rest = rest.strip_prefix('/').filter(|_| slashes).unwrap_or(rest);
                format!("{prefix}{rest}")
            }
            Self::Regex(regex, parts) => regex
                .replace_all(matched.path, |captures: &Captures<'_>| {
                    fill(parts, captures)
                })
                .into_owned(),
        };
        if !path.starts_with('/') {
            path.insert(0, '/');
        }
        path
    }
}

fn compile_regex(rewrite: &RegexRewrite) -> Result<NewPath, CompileError> {
    let regex = Pattern::compile_search(&rewrite.pattern)?;
    let parts = parse_substitution(&rewrite.substitution);
    let unknown =
        |part: &Part| matches!(part, Part::Group(group) if *group >= regex.captures_len());
    if parts.iter().any(unknown) {
        return Err(Defect::Substitution(rewrite.substitution.clone()).into());
    }
    Ok(NewPath::Regex(regex, parts))
}

/// `\1` is the first group, `\0` everything, `\\` a backslash (RE2's rewrite syntax).
fn parse_substitution(text: &str) -> Box<[Part]> {
    let mut parts = Vec::new();
    let mut literal = String::new();
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match (c, chars.peek().and_then(|next| next.to_digit(10))) {
            ('\\', Some(group)) => {
                chars.next();
                parts.push(Part::Text(std::mem::take(&mut literal).into()));
                parts.push(Part::Group(group as usize));
            }
            ('\\', None) => literal.push(chars.next().unwrap_or('\\')),
            _ => literal.push(c),
        }
    }
    parts.push(Part::Text(literal.into()));
    parts.into()
}

fn fill(parts: &[Part], captures: &Captures<'_>) -> String {
    parts
        .iter()
        .map(|part| match part {
            Part::Text(text) => text,
            Part::Group(group) => captures.get(*group).map_or("", |group| group.as_str()),
        })
        .collect()
}
