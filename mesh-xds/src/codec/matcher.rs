//! Conditions on text and on headers.

use std::mem::take;

use mesh_core::{
    dataplane::{HeaderMatch, ValueMatch},
    name::Pattern,
};

use super::reader::{Reader, Unread};
use crate::proto::{matcher, route, types};

pub(super) fn pattern(value: &Pattern, ignore_case: bool) -> matcher::StringMatcher {
    use matcher::string_matcher::MatchPattern;
    let match_pattern = match value.clone() {
        Pattern::Exact(text) => MatchPattern::Exact(text),
        Pattern::Prefix(text) => MatchPattern::Prefix(text),
        Pattern::Suffix(text) => MatchPattern::Suffix(text),
        Pattern::Contains(text) => MatchPattern::Contains(text),
        Pattern::Regex(regex) => MatchPattern::SafeRegex(self::regex(regex)),
    };
    matcher::StringMatcher {
        ignore_case,
        match_pattern: Some(match_pattern),
    }
}

pub(super) fn regex(regex: String) -> matcher::RegexMatcher {
    matcher::RegexMatcher {
        regex,
        ..Default::default()
    }
}

/// A condition that distinguishes upper and lower case.
pub(super) fn read_pattern(r: &mut Reader, wire: matcher::StringMatcher) -> Pattern {
    let (pattern, ignore_case) = read_pattern_and_case(r, wire);
    if ignore_case {
        r.refuse("ignore_case", "is not supported here");
    }
    pattern
}

pub(super) fn read_pattern_and_case(
    r: &mut Reader,
    wire: matcher::StringMatcher,
) -> (Pattern, bool) {
    use matcher::string_matcher::MatchPattern;
    let pattern = match wire.match_pattern {
        Some(MatchPattern::Exact(text)) => Pattern::Exact(text),
        Some(MatchPattern::Prefix(text)) => Pattern::Prefix(text),
        Some(MatchPattern::Suffix(text)) => Pattern::Suffix(text),
        Some(MatchPattern::Contains(text)) => Pattern::Contains(text),
        Some(MatchPattern::SafeRegex(wire)) => Pattern::Regex(wire.regex),
        Some(MatchPattern::Custom(_)) => {
            r.refuse("custom", "is not supported");
            Pattern::Exact(String::new())
        }
        None => {
            r.refuse("match_pattern", "is missing");
            Pattern::Exact(String::new())
        }
    };
    (pattern, wire.ignore_case)
}

pub(super) fn header_match(value: &HeaderMatch) -> route::HeaderMatcher {
    use route::header_matcher::HeaderMatchSpecifier;
    let specifier = match &value.value {
        ValueMatch::Present => HeaderMatchSpecifier::PresentMatch(true),
        ValueMatch::Text {
            pattern,
            ignore_case,
        } => HeaderMatchSpecifier::StringMatch(self::pattern(pattern, *ignore_case)),
        &ValueMatch::Range { start, end } => {
            HeaderMatchSpecifier::RangeMatch(types::Int64Range { start, end })
        }
    };
    route::HeaderMatcher {
        name: value.name.clone(),
        invert_match: value.invert,
        treat_missing_header_as_empty: value.missing_is_empty,
        header_match_specifier: Some(specifier),
    }
}

#[expect(deprecated, reason = "older control planes still send the old forms")]
pub(super) fn read_header_match(r: &mut Reader, mut wire: route::HeaderMatcher) -> HeaderMatch {
    use route::header_matcher::HeaderMatchSpecifier;
    let text = |pattern| ValueMatch::Text {
        pattern,
        ignore_case: false,
    };
    let mut invert = wire.invert_match;
    let value = match wire.header_match_specifier.take() {
        None => ValueMatch::Present,
        Some(HeaderMatchSpecifier::PresentMatch(present)) => {
            invert ^= !present;
            ValueMatch::Present
        }
        Some(HeaderMatchSpecifier::StringMatch(wire)) => {
            let (pattern, ignore_case) =
                r.within("string_match", |r| read_pattern_and_case(r, wire));
            ValueMatch::Text {
                pattern,
                ignore_case,
            }
        }
        Some(HeaderMatchSpecifier::RangeMatch(types::Int64Range { start, end })) => {
            ValueMatch::Range { start, end }
        }
        Some(HeaderMatchSpecifier::ExactMatch(value)) => text(Pattern::Exact(value)),
        Some(HeaderMatchSpecifier::PrefixMatch(value)) => text(Pattern::Prefix(value)),
        Some(HeaderMatchSpecifier::SuffixMatch(value)) => text(Pattern::Suffix(value)),
        Some(HeaderMatchSpecifier::ContainsMatch(value)) => text(Pattern::Contains(value)),
        Some(HeaderMatchSpecifier::SafeRegexMatch(wire)) => text(Pattern::Regex(wire.regex)),
    };
    let read = HeaderMatch {
        name: take(&mut wire.name).to_ascii_lowercase(),
        value,
        invert,
        missing_is_empty: take(&mut wire.treat_missing_header_as_empty),
    };
    wire.invert_match = false;
    r.finish(wire, Unread::REFUSED);
    read
}
