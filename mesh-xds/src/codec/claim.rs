//! `ClaimMatch` ⇄ `envoy.type.matcher.v3.MetadataMatcher` on what `jwt_authn` writes of a token.

use mesh_core::dataplane::ClaimMatch;
use mesh_core::name::Pattern;

use super::{
    matcher::{pattern, read_pattern},
    reader::{Reader, Unread},
};
use crate::proto::matcher;

use matcher::{
    ListMatcher, MetadataMatcher, OrMatcher, ValueMatcher, list_matcher, metadata_matcher,
    value_matcher::MatchPattern,
};

const FILTER: &str = "envoy.filters.http.jwt_authn";
const PAYLOAD: &str = "payload";

pub(super) fn claim(value: &ClaimMatch) -> MetadataMatcher {
    let path = std::iter::once(PAYLOAD).chain(value.path.iter().map(String::as_str));
    let segment = |key: &str| metadata_matcher::PathSegment {
        segment: Some(metadata_matcher::path_segment::Segment::Key(key.into())),
    };
    // Issuer and subject are texts; any other claim may be a list of texts as well.
    let is_text = matches!(&*value.path, [name] if name == "iss" || name == "sub");
    let texts = texts(&value.values);
    MetadataMatcher {
        filter: FILTER.into(),
        path: path.map(segment).collect(),
        value: Some(match is_text {
            true => texts,
            false => either(vec![within_list(texts.clone()), texts]),
        }),
        invert: false,
    }
}

fn texts(values: &[Pattern]) -> ValueMatcher {
    let text = |value: &Pattern| ValueMatcher {
        match_pattern: Some(MatchPattern::StringMatch(pattern(value, false))),
    };
    match values {
        [only] => text(only),
        several => either(several.iter().map(text).collect()),
    }
}

fn either(value_matchers: Vec<ValueMatcher>) -> ValueMatcher {
    ValueMatcher {
        match_pattern: Some(MatchPattern::OrMatch(OrMatcher { value_matchers })),
    }
}

fn within_list(value: ValueMatcher) -> ValueMatcher {
    let one = list_matcher::MatchPattern::OneOf(Box::new(value));
    ValueMatcher {
        match_pattern: Some(MatchPattern::ListMatch(Box::new(ListMatcher {
            match_pattern: Some(one),
        }))),
    }
}

pub(super) fn read_claim(r: &mut Reader, mut wire: MetadataMatcher) -> ClaimMatch {
    let filter = std::mem::take(&mut wire.filter);
    let segments = std::mem::take(&mut wire.path).into_iter();
    let keys = segments.filter_map(|segment| match segment.segment? {
        metadata_matcher::path_segment::Segment::Key(key) => Some(key),
    });
    let mut path: Vec<String> = keys.collect();
    if filter != FILTER || path.first().is_none_or(|first| first != PAYLOAD) || path.len() < 2 {
        r.refuse(
            "filter",
            format!("is not supported unless it is of a token ({filter})"),
        );
        path = vec![PAYLOAD.into(), String::new()];
    }
    path.remove(0);
    let mut values = Vec::new();
    if let Some(wire) = wire.value.take() {
        r.within("value", |r| read_values(r, wire, &mut values));
    }
    // The form for lists says everything twice.
    let half = values.len() / 2;
    if values.len().is_multiple_of(2) && values[..half] == values[half..] {
        values.truncate(half);
    }
    r.finish(wire, Unread::REFUSED);
    ClaimMatch { path, values }
}

fn read_values(r: &mut Reader, wire: ValueMatcher, values: &mut Vec<Pattern>) {
    match wire.match_pattern {
        Some(MatchPattern::StringMatch(wire)) => {
            values.push(r.within("string_match", |r| read_pattern(r, wire)));
        }
        Some(MatchPattern::OrMatch(wire)) => {
            for each in wire.value_matchers {
                r.within("or_match", |r| read_values(r, each, values));
            }
        }
        Some(MatchPattern::ListMatch(wire)) => match wire.match_pattern {
            Some(list_matcher::MatchPattern::OneOf(wire)) => {
                r.within("list_match", |r| read_values(r, *wire, values));
            }
            None => r.refuse("list_match", "asks for nothing"),
        },
        other => r.refuse("", format!("is not supported ({other:?})")),
    }
}
