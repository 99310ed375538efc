//! Which requests a rule is for.

use crate::{
    dataplane::{
        ClaimMatch, HeaderMatch, PathMatch, QueryMatch, RouteClaim, RouteMatch, ValueMatch,
    },
    mesh::{ClaimCondition, HttpMatch, TextCondition},
    name::Pattern,
};

/// A condition in the words of a route.
pub(super) fn route_match(condition: &HttpMatch) -> RouteMatch {
    let path = condition.path.as_ref().map(|path| match &path.pattern {
        Pattern::Exact(text) => PathMatch::Exact(text.clone()),
        Pattern::Prefix(text) if path.by_segment => PathMatch::PathSeparatedPrefix(text.clone()),
        Pattern::Prefix(text) => PathMatch::Prefix(text.clone()),
        Pattern::Regex(text) => PathMatch::Regex(text.clone()),
        Pattern::Suffix(text) => PathMatch::Regex(format!(".*{}", regex::escape(text))),
        Pattern::Contains(text) => PathMatch::Regex(format!(".*{}.*", regex::escape(text))),
    });
    let with = condition.headers.iter().map(|header| HeaderMatch {
        name: header.name.clone(),
        value: value_match(&header.value),
        invert: false,
        missing_is_empty: false,
    });
    let without = condition.without_headers.iter().map(|header| HeaderMatch {
        name: header.name.clone(),
        value: value_match(&header.value),
        invert: true,
        // Present is asked of the header itself; a text must also miss where there is no header.
        missing_is_empty: matches!(header.value, TextCondition::Is(_)),
    });
    let pseudo = [
        (":method", &condition.method),
        (":authority", &condition.authority),
        (":scheme", &condition.scheme),
    ];
    let pseudo = pseudo.into_iter().filter_map(|(name, pattern)| {
        Some(HeaderMatch {
            name: name.into(),
            value: text(pattern.clone()?),
            invert: false,
            missing_is_empty: false,
        })
    });
    let mut headers: Vec<_> = with.chain(without).collect();
    headers.sort_by(|a, b| a.name.cmp(&b.name));
    headers.extend(pseudo);
    RouteMatch {
        path: path.unwrap_or_default(),
        ignore_case: condition.path.as_ref().is_some_and(|path| path.ignore_case),
        headers,
        query: condition
            .query
            .iter()
            .map(|query| QueryMatch {
                name: query.name.clone(),
                value: value_match(&query.value),
            })
            .collect(),
        claims: condition.claims.iter().map(claim).collect(),
        fraction: None,
        grpc: false,
    }
}

fn claim(condition: &ClaimCondition) -> RouteClaim {
    let pattern = match &condition.value {
        TextCondition::Is(pattern) => pattern.clone(),
        // Any text at all.
        TextCondition::Present => Pattern::Prefix(String::new()),
    };
    RouteClaim {
        claim: ClaimMatch {
            path: condition.path.clone(),
            values: vec![pattern],
        },
        invert: condition.negated,
    }
}

fn value_match(value: &TextCondition) -> ValueMatch {
    match value {
        TextCondition::Present => ValueMatch::Present,
        TextCondition::Is(pattern) => text(pattern.clone()),
    }
}

fn text(pattern: Pattern) -> ValueMatch {
    ValueMatch::Text {
        pattern,
        ignore_case: false,
    }
}
