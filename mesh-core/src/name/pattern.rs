use std::fmt;

use serde::{Deserialize, Serialize};

/// A condition on a text. Compiled into executable form by the one who runs it.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pattern {
    /// The whole text.
    Exact(String),
    /// Its beginning.
    Prefix(String),
    /// Its end.
    Suffix(String),
    /// Any part of it.
    Contains(String),
    /// A regular expression in RE2 syntax that matches the whole text.
    Regex(String),
}

/// Why a regular expression is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PatternError {
    /// It does not parse, or its automaton would be too large.
    #[error("the regular expression {pattern:?} is refused: {reason}")]
    Regex {
        /// The expression as written.
        pattern: String,
        /// What the regular-expression engine says.
        reason: String,
    },
}

impl Pattern {
    /// The largest automaton a regular expression may compile to, in bytes.
    pub const MAX_REGEX_BYTES: usize = 1 << 20;

    /// Checks that this can be compiled.
    pub fn check(&self) -> Result<(), PatternError> {
        match self {
            Self::Regex(pattern) => Self::compile_regex(pattern, false).map(drop),
            _ => Ok(()),
        }
    }

    /// Compiles a regular expression that must match the whole text, in linear time and bounded
    /// memory.
    pub fn compile_regex(pattern: &str, ignore_case: bool) -> Result<regex::Regex, PatternError> {
        // It must stand on its own first: `a)|(b` is no expression, but would become one in the
        // parentheses that tie it to both ends, and break out of them.
        let expression = ascii_classes(pattern);
        build(&expression, ignore_case)
            .and_then(|_| build(&format!("^(?:{expression})$"), ignore_case))
            .map_err(|error| PatternError::regex(pattern, &error))
    }

    /// The same expression with classes as RE2 means them: `\d`, `\s`, `\w` and `\b` speak of
    /// ASCII.
    pub fn in_ascii(expression: &str) -> String {
        ascii_classes(expression)
    }

    /// The same for one that may match any part of the text.
    pub fn compile_search(pattern: &str) -> Result<regex::Regex, PatternError> {
        build(&ascii_classes(pattern), false).map_err(|error| PatternError::regex(pattern, &error))
    }
}

impl PatternError {
    fn regex(pattern: &str, error: &regex::Error) -> Self {
        let text = error.to_string();
        let last = text.lines().last().unwrap_or_default();
        Self::Regex {
            pattern: pattern.into(),
            reason: last.trim().trim_start_matches("error: ").into(),
        }
    }
}

fn build(expression: &str, ignore_case: bool) -> Result<regex::Regex, regex::Error> {
    regex::RegexBuilder::new(expression)
        .case_insensitive(ignore_case)
        .size_limit(Pattern::MAX_REGEX_BYTES)
        .build()
}

fn ascii_classes(pattern: &str) -> String {
    let mut expression = String::with_capacity(pattern.len());
    let mut chars = pattern.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            expression.push(c);
            continue;
        }
        match chars.next() {
            // In brackets these are nested, which adds them up.
            Some('d') => expression.push_str("[0-9]"),
            Some('D') => expression.push_str("[^0-9]"),
            Some('s') => expression.push_str(r"[\t\n\f\r ]"),
            Some('S') => expression.push_str(r"[^\t\n\f\r ]"),
            Some('w') => expression.push_str("[0-9A-Za-z_]"),
            Some('W') => expression.push_str("[^0-9A-Za-z_]"),
            Some('b') => expression.push_str(r"(?-u:\b)"),
            Some('B') => expression.push_str(r"(?-u:\B)"),
            other => {
                expression.push(c);
                expression.extend(other);
            }
        }
    }
    expression
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(text) => write!(f, "= {text:?}"),
            Self::Prefix(text) => write!(f, "starts with {text:?}"),
            Self::Suffix(text) => write!(f, "ends with {text:?}"),
            Self::Contains(text) => write!(f, "contains {text:?}"),
            Self::Regex(text) => write!(f, "matches {text:?}"),
        }
    }
}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions_match_whole_texts() {
        for (pattern, text, want) in [
            ("a|b", "a", true),
            ("a|b", "ab", false),
            (".*", "", true),
            ("a$", "a", true),
            ("a", "a\n", false),
            ("(?i)A", "a", true),
            ("\\d+", "07", true),
            ("\\d", "\u{664}", false),
            ("[\\d.]+", "1.2", true),
            ("[^\\w]", "-", true),
            ("[^\\w]", "a", false),
            ("a\\b.*", "a b", true),
            ("a\\b.*", "ab", false),
            ("\\\\d", "\\d", true),
        ] {
            let regex = Pattern::compile_regex(pattern, false).unwrap();
            assert_eq!(regex.is_match(text), want, "{pattern:?} {text:?}");
        }
    }

    #[test]
    fn expressions_stand_on_their_own() {
        for bad in ["(", "a)|(b", ")(", "a{1000}{1000}", "\\1", "(?=a)"] {
            assert!(Pattern::compile_regex(bad, false).is_err(), "{bad:?}");
        }
    }
}
