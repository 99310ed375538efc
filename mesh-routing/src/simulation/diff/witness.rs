//! A text that meets a condition.

use mesh_core::name::Pattern;
use regex_syntax::hir::{Class, Hir, HirKind};

/// The longest text that is made.
const MAX_LEN: usize = 512;

/// A text that the pattern matches. None if none was found, which for an expression may be although
/// there is one.
pub(super) fn witness(pattern: &Pattern) -> Option<String> {
    match pattern {
        Pattern::Exact(text) => Some(text.clone()),
        Pattern::Prefix(text) => Some(format!("{text}-")),
        Pattern::Suffix(text) if text.starts_with('/') => Some(format!("/-{text}")),
        Pattern::Suffix(text) => Some(format!("/-/{text}")),
        Pattern::Contains(text) => Some(format!("-{text}-")),
        Pattern::Regex(text) => {
            let hir = regex_syntax::parse(text).ok()?;
            let mut found = String::new();
            write(&hir, &mut found)?;
            let regex = Pattern::compile_regex(text, false).ok()?;
            // An expression for any path is met by a path.
            let candidates = [format!("/{found}"), found];
            candidates.into_iter().find(|text| regex.is_match(text))
        }
    }
}

fn write(hir: &Hir, out: &mut String) -> Option<()> {
    if out.len() > MAX_LEN {
        return None;
    }
    match hir.kind() {
        HirKind::Empty | HirKind::Look(_) => {}
        HirKind::Literal(literal) => out.push_str(std::str::from_utf8(&literal.0).ok()?),
        HirKind::Class(class) => out.push(member(class)?),
        HirKind::Capture(capture) => write(&capture.sub, out)?,
        HirKind::Concat(parts) => parts.iter().try_for_each(|part| write(part, out))?,
        HirKind::Alternation(parts) => write(parts.first()?, out)?,
        HirKind::Repetition(repeated) => {
            // Something rather than nothing, as far as that is allowed.
            let most = repeated.max.unwrap_or(u32::MAX);
            for _ in 0..repeated.min.max(1).min(most) {
                write(&repeated.sub, out)?;
            }
        }
    }
    Some(())
}

/// A character of a class: a letter or digit where there is one.
fn member(class: &Class) -> Option<char> {
    let has = |c: char| match class {
        Class::Unicode(class) => class
            .ranges()
            .iter()
            .any(|r| (r.start()..=r.end()).contains(&c)),
        Class::Bytes(class) => u8::try_from(c).is_ok_and(|b| {
            class
                .ranges()
                .iter()
                .any(|r| (r.start()..=r.end()).contains(&b))
        }),
    };
    ('a'..='z')
        .chain('0'..='9')
        .chain('!'..='~')
        .find(|c| has(*c))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions_are_met() {
        for pattern in [
            "/a/.*",
            "[0-9]{3}-x?",
            "(a|b)+c",
            "/(v1|v2)/[^/]+",
            "^/x$",
            ".*",
        ] {
            let text = witness(&Pattern::Regex(pattern.into())).unwrap();
            let regex = Pattern::compile_regex(pattern, false).unwrap();
            assert!(regex.is_match(&text), "{pattern}: {text}");
        }
        assert_eq!(witness(&Pattern::Regex("(".into())), None);
    }
}
