//! A text that meets a condition.

use mesh_core::{dataplane::ValueMatch, name::Pattern};
use regex_syntax::{
    ParserBuilder,
    hir::{Class, Hir, HirKind},
};

/// What is asked for where anything will do.
const ANYTHING: &str = "walk";
/// The most a sampled expression is repeated.
const MAX_REPETITIONS: u32 = 64;

/// A text that meets a pattern; none if none is found.
pub(super) fn of_pattern(pattern: &Pattern) -> Option<String> {
    match pattern {
        Pattern::Exact(text)
        | Pattern::Prefix(text)
        | Pattern::Suffix(text)
        | Pattern::Contains(text) => Some(text.clone()),
        Pattern::Regex(expression) => of_regex(expression),
    }
}

/// A value that meets a condition; none if none is found.
pub(super) fn of_value(value: &ValueMatch) -> Option<String> {
    match value {
        ValueMatch::Present => Some(ANYTHING.into()),
        ValueMatch::Text { pattern, .. } => of_pattern(pattern),
        ValueMatch::Range { start, .. } => Some(start.to_string()),
    }
}

/// Whether a text meets a pattern.
pub(super) fn meets(pattern: &Pattern, text: &str) -> bool {
    match pattern {
        Pattern::Exact(wanted) => text == wanted,
        Pattern::Prefix(prefix) => text.starts_with(prefix),
        Pattern::Suffix(suffix) => text.ends_with(suffix),
        Pattern::Contains(part) => text.contains(part),
        Pattern::Regex(expression) => {
            Pattern::compile_regex(expression, false).is_ok_and(|regex| regex.is_match(text))
        }
    }
}

/// A text that an expression matches, as short as it goes, each repetition made at least once.
pub(super) fn of_regex(expression: &str) -> Option<String> {
    let parsed = ParserBuilder::new()
        .unicode(false)
        .utf8(false)
        .build()
        .parse(expression)
        .ok()?;
    let mut bytes = Vec::new();
    write(&parsed, &mut bytes)?;
    let text = String::from_utf8(bytes).ok()?;
    meets(&Pattern::Regex(expression.into()), &text).then_some(text)
}

fn write(expression: &Hir, text: &mut Vec<u8>) -> Option<()> {
    match expression.kind() {
        HirKind::Empty | HirKind::Look(_) => {}
        HirKind::Literal(literal) => text.extend_from_slice(&literal.0),
        HirKind::Class(class) => text.push(character(class)?),
        HirKind::Repetition(repetition) => {
            let times = repetition
                .min
                .max(1)
                .min(repetition.max.unwrap_or(u32::MAX));
            for _ in 0..Some(times).filter(|times| *times <= MAX_REPETITIONS)? {
                write(&repetition.sub, text)?;
            }
        }
        HirKind::Capture(capture) => write(&capture.sub, text)?,
        HirKind::Concat(parts) => parts.iter().try_for_each(|part| write(part, text))?,
        HirKind::Alternation(parts) => write(parts.first()?, text)?,
    }
    Some(())
}

/// A letter or digit if the class has one, else what it has that can be seen.
fn character(class: &Class) -> Option<u8> {
    let holds = |byte: u8| match class {
        Class::Bytes(bytes) => bytes
            .ranges()
            .iter()
            .any(|range| (range.start()..=range.end()).contains(&byte)),
        Class::Unicode(chars) => chars
            .ranges()
            .iter()
            .any(|range| (range.start()..=range.end()).contains(&char::from(byte))),
    };
    let letters = (b'a'..=b'z').chain(b'0'..=b'9').chain(b'!'..=b'~');
    letters.into_iter().find(|&byte| holds(byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_meet_their_expressions() {
        for expression in [
            "/reviews/.*",
            "/products/[0-9]+/ratings",
            "^(.*?;)?(user=jason)(;.*)?$",
            "(?i)Jason",
            "/a{2,3}/(b|c)*",
            "[^/]+@example\\.com",
            "",
        ] {
            let text = of_regex(expression);
            assert!(text.is_some(), "{expression}");
        }
        for nothing in ["[^\\x00-\\x7f]", "(", "a{1000}"] {
            assert_eq!(of_regex(nothing), None, "{nothing}");
        }
    }
}
