//! Every path that code names, with `use` trees spelled out.

use crate::source::is_word;

/// `mesh_core::config::Resource`, and the line that names it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Named {
    pub(crate) path: String,
    pub(crate) line: usize,
}

impl Named {
    /// Whether this is `prefix` itself or something below it.
    pub(crate) fn is_in(&self, prefix: &str) -> bool {
        self.path
            .strip_prefix(prefix)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
    }

    /// Whether `path` is part of this, from anywhere to anywhere.
    pub(crate) fn mentions(&self, path: &str) -> bool {
        format!("::{}::", self.path).contains(&format!("::{path}::"))
    }
}

/// The paths in `code`; `module` is the path of the file's module below its crate, against which
/// `self` and `super` are read.
pub(crate) fn paths(code: &str, module: &[&str]) -> Vec<Named> {
    let tokens = tokens(code);
    let mut named = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        at = if tokens[at].is_word() {
            tree(&tokens, at, &mut Vec::new(), &mut named)
        } else {
            at + 1
        };
    }
    for one in &mut named {
        one.path = absolute(&one.path, module);
    }
    named
}

struct Token<'a> {
    text: &'a str,
    line: usize,
}

impl Token<'_> {
    fn is_word(&self) -> bool {
        self.text.starts_with(is_word)
    }
}

fn tokens(code: &str) -> Vec<Token<'_>> {
    let mut found = Vec::new();
    for (number, mut rest) in code.lines().enumerate() {
        rest = rest.trim_start();
        while let Some(first) = rest.chars().next() {
            let length = if is_word(first) {
                rest.find(|c| !is_word(c)).unwrap_or(rest.len())
            } else if rest.starts_with("::") {
                2
            } else {
                first.len_utf8()
            };
            let (text, after) = rest.split_at(length);
            let line = number + 1;
            found.push(Token { text, line });
            rest = after.trim_start();
        }
    }
    found
}

/// Reads `a::b::{c, d::e}` from the word at `at`; returns where it ends.
fn tree(
    tokens: &[Token<'_>],
    mut at: usize,
    prefix: &mut Vec<String>,
    out: &mut Vec<Named>,
) -> usize {
    let text = |at: usize| tokens.get(at).map_or("", |token| token.text);
    let line = tokens[at].line;
    let depth = prefix.len();
    loop {
        prefix.push(text(at).to_owned());
        at += 1;
        let next_is_word = tokens.get(at + 1).is_some_and(Token::is_word);
        match (text(at), text(at + 1)) {
            ("::", "{") => {
                at = group(tokens, at + 2, prefix, out);
                break;
            }
            ("::", _) if next_is_word => at += 1,
            _ => {
                out.push(Named {
                    path: prefix.join("::"),
                    line,
                });
                break;
            }
        }
    }
    prefix.truncate(depth);
    at
}

/// Reads the members of `{…}`; returns the index after the closing brace.
fn group(
    tokens: &[Token<'_>],
    mut at: usize,
    prefix: &mut Vec<String>,
    out: &mut Vec<Named>,
) -> usize {
    while let Some(token) = tokens.get(at) {
        at = match token.text {
            "}" => return at + 1,
            _ if token.is_word() => after_rename(tokens, tree(tokens, at, prefix, out)),
            _ => at + 1,
        };
    }
    at
}

/// Skips `as Name`.
fn after_rename(tokens: &[Token<'_>], at: usize) -> usize {
    match tokens.get(at) {
        Some(token) if token.text == "as" => at + 2,
        _ => at,
    }
}

fn absolute(path: &str, module: &[&str]) -> String {
    let mut base: Option<Vec<&str>> = None;
    let mut rest: Vec<&str> = path.split("::").collect();
    while let Some(&first) = rest.first() {
        match (first, &mut base) {
            ("crate", None) => base = Some(Vec::new()),
            ("self", None) if rest.len() > 1 => base = Some(module.to_vec()),
            ("super", None) => {
                base = Some(module[..module.len().saturating_sub(1)].to_vec());
            }
            ("super", Some(base)) => {
                base.pop();
            }
            _ => break,
        }
        rest.remove(0);
    }
    match base {
        Some(base) => [&["crate"], &base[..], &rest[..]].concat().join("::"),
        None => path.to_owned(),
    }
}

#[test]
fn use_trees_are_spelled_out() {
    let check = |code: &str, want: &[(&str, usize)]| {
        let found = paths(code, &["plan", "routes"]);
        let found: Vec<_> = found.iter().map(|one| (&*one.path, one.line)).collect();
        assert_eq!(found, want, "{code}");
    };
    check("a::b(c)", &[("a::b", 1), ("c", 1)]);
    check(
        "x!(\n crate::{mesh::{self, Mesh}, name::Host as H,\n config::*})",
        &[
            ("x", 1),
            ("crate::mesh::self", 2),
            ("crate::mesh::Mesh", 2),
            ("crate::name::Host", 2),
            ("crate::config", 3),
        ],
    );
    check("super::memo::Memo", &[("crate::plan::memo::Memo", 1)]);
    check("super::super::mesh", &[("crate::mesh", 1)]);
    check("self::memo", &[("crate::plan::routes::memo", 1)]);
    check("self.route", &[("self", 1), ("route", 1)]);
}

#[test]
fn a_prefix_ends_at_a_segment() {
    let named = |path: &str| Named {
        path: path.into(),
        line: 1,
    };
    assert!(named("crate::mesh").is_in("crate::mesh"));
    assert!(named("crate::mesh::Mesh").is_in("crate::mesh"));
    assert!(!named("crate::meshes").is_in("crate::mesh"));
}
