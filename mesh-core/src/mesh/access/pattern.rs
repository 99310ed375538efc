//! The small languages in which policies write texts.

use crate::name::Pattern;

/// `*` is any text that is not empty, `abc*` a beginning, `*abc` an end.
pub(super) fn pattern(text: &str) -> Pattern {
    match (text.strip_prefix('*'), text.strip_suffix('*')) {
        (Some(""), _) => Pattern::Regex(".+".into()),
        (Some(suffix), _) => Pattern::Suffix(suffix.into()),
        (None, Some(prefix)) => Pattern::Prefix(prefix.into()),
        (None, None) => Pattern::Exact(text.into()),
    }
}

/// `/a/{*}/b/{**}`: `{*}` is one segment, `{**}` any number of them.
pub(super) fn path_template(text: &str) -> Option<Pattern> {
    if !text.contains("{*}") && !text.contains("{**}") {
        return None;
    }
    let mut regex = String::new();
    for (i, segment) in text.split('/').enumerate() {
        if i > 0 {
            regex.push('/');
        }
        match segment {
            "{*}" => regex.push_str("[^/]+"),
            "{**}" => regex.push_str(".*"),
            segment => regex.push_str(&regex::escape(segment)),
        }
    }
    Some(Pattern::Regex(regex))
}
