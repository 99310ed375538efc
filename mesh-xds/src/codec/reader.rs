use std::fmt::{self, Debug, Display};

/// What decoding found wrong with a resource, or left aside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The field, such as `filter_chains[0].filters[1].typed_config.rules`.
    pub path: String,
    /// What is the matter, with the value where it may be shown.
    pub reason: String,
    /// What follows from it.
    pub gravity: Gravity,
}

/// What follows from a problem.
///
/// The rule: a field that is not understood is **refused** when leaving it out would make traffic
/// less safe, match other connections or requests, send them elsewhere or answer them otherwise.
/// Everything else, such as buffer sizes, statistics and tuning, is **ignored** and reported.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Gravity {
    /// The resource is used without it.
    Ignored,
    /// The resource is not used.
    Refused,
}

impl Problem {
    /// Whether it makes a resource unusable.
    pub fn is_refusal(&self) -> bool {
        self.gravity == Gravity::Refused
    }
}

impl Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path, self.reason)
    }
}

/// Fields of a message that nobody took out of it: what follows from them being set.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Unread {
    /// All are refused, save these.
    RefusedExcept(&'static [&'static str]),
    /// All are ignored, save these.
    IgnoredExcept(&'static [&'static str]),
}

impl Unread {
    /// Every field matters.
    pub(crate) const REFUSED: Self = Self::RefusedExcept(&[]);
    /// No field matters.
    pub(crate) const IGNORED: Self = Self::IgnoredExcept(&[]);

    fn gravity(self, field: &str) -> Gravity {
        let (listed, refused) = match self {
            Self::RefusedExcept(fields) => (fields.contains(&field), true),
            Self::IgnoredExcept(fields) => (fields.contains(&field), false),
        };
        if refused != listed {
            Gravity::Refused
        } else {
            Gravity::Ignored
        }
    }
}

/// Walks a wire message, knowing where it is and collecting what it finds.
///
/// Decoding *takes* the fields it understands out of a message and hands the rest to [`finish`]:
/// what is still set then was not understood. No field can be forgotten, not even one that a later
/// version of the API adds.
///
/// [`finish`]: Self::finish
#[derive(Debug, Default)]
pub(crate) struct Reader {
    path: Vec<String>,
    problems: Vec<Problem>,
}

impl Reader {
    const SHOWN_VALUE_LEN: usize = 80;

    /// Reads a part of the message under its field's name.
    pub(crate) fn within<T>(
        &mut self,
        field: impl Into<String>,
        read: impl FnOnce(&mut Self) -> T,
    ) -> T {
        self.path.push(field.into());
        let value = read(self);
        self.path.pop();
        value
    }

    /// Reads every item of a repeated field.
    pub(crate) fn each<W, T>(
        &mut self,
        field: &str,
        items: impl IntoIterator<Item = W>,
        mut read: impl FnMut(&mut Self, W) -> T,
    ) -> Vec<T> {
        items
            .into_iter()
            .enumerate()
            .map(|(index, item)| self.within(format!("{field}[{index}]"), |r| read(r, item)))
            .collect()
    }

    pub(crate) fn refuse(&mut self, field: &str, reason: impl Into<String>) {
        self.report(field, reason.into(), Gravity::Refused);
    }

    pub(crate) fn ignore(&mut self, field: &str, reason: impl Into<String>) {
        self.report(field, reason.into(), Gravity::Ignored);
    }

    /// Reports what is still set in a message.
    pub(crate) fn finish<M: Default + PartialEq + Debug>(&mut self, rest: M, unread: Unread) {
        self.report_rest(rest, unread, true);
    }

    /// As [`Self::finish`], for messages whose values must not be shown.
    pub(crate) fn finish_secret<M: Default + PartialEq + Debug>(
        &mut self,
        rest: M,
        unread: Unread,
    ) {
        self.report_rest(rest, unread, false);
    }

    pub(crate) fn into_problems(self) -> Vec<Problem> {
        self.problems
    }

    fn report_rest<M: Default + PartialEq + Debug>(&mut self, rest: M, unread: Unread, show: bool) {
        let nothing = M::default();
        if rest == nothing {
            return;
        }
        let (rest, nothing) = (format!("{rest:#?}"), format!("{nothing:#?}"));
        for ((field, value), (_, unset)) in fields(&rest).zip(fields(&nothing)) {
            if value == unset {
                continue;
            }
            let reason = if show {
                format!("is not supported (value {})", shortened(value))
            } else {
                "is not supported".to_owned()
            };
            self.report(field, reason, unread.gravity(field));
        }
    }

    fn report(&mut self, field: &str, reason: String, gravity: Gravity) {
        let mut path = self.path.join(".");
        if !field.is_empty() {
            if !path.is_empty() {
                path.push('.');
            }
            path.push_str(field.strip_prefix("r#").unwrap_or(field));
        }
        self.problems.push(Problem {
            path,
            reason,
            gravity,
        });
    }
}

/// The fields of a message with their values, from its pretty `Debug` text: fields start on lines
/// that are indented by four spaces.
fn fields(text: &str) -> impl Iterator<Item = (&str, &str)> {
    let mut rest = text.split_once("{\n").map_or("", |(_, body)| body);
    std::iter::from_fn(move || {
        let line = rest.strip_prefix("    ")?;
        let (field, _) = line.split_once(':')?;
        let end = next_field(line);
        let value = line[field.len() + 1..end]
            .trim()
            .trim_end_matches([',', '}']);
        rest = &line[end..];
        Some((field, value.trim()))
    })
}

fn next_field(text: &str) -> usize {
    let mut from = 0;
    while let Some(index) = text[from..].find("\n    ") {
        let at = from + index + 1;
        if text[at + 4..].starts_with(|c: char| c.is_ascii_alphabetic()) {
            return at;
        }
        from = at;
    }
    text.len()
}

fn shortened(value: &str) -> String {
    let mut line = value.split_whitespace().collect::<Vec<_>>().join(" ");
    if let Some((cut, _)) = line.char_indices().nth(Reader::SHOWN_VALUE_LEN) {
        line.truncate(cut);
        line.push('…');
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::{core, listener, wkt};

    #[test]
    fn what_is_left_in_a_message_is_reported() {
        let rest = listener::Listener {
            stat_prefix: "x: {\n    y: 1".into(),
            transparent: Some(wkt::BoolValue { value: true }),
            metadata: Some(core::Metadata::default()),
            ..Default::default()
        };
        let mut reader = Reader::default();
        reader.within("listeners[0]", |r| {
            r.finish(rest, Unread::IgnoredExcept(&["transparent"]));
        });
        let found: Vec<_> = reader
            .into_problems()
            .into_iter()
            .map(|p| (p.path, p.gravity))
            .collect();
        let want = [
            ("listeners[0].stat_prefix", Gravity::Ignored),
            ("listeners[0].metadata", Gravity::Ignored),
            ("listeners[0].transparent", Gravity::Refused),
        ];
        assert_eq!(
            found,
            want.map(|(path, gravity)| (path.to_owned(), gravity))
        );
    }

    #[test]
    fn long_values_are_shortened() {
        let long = "é".repeat(200);
        assert_eq!(
            shortened(&long).chars().count(),
            Reader::SHOWN_VALUE_LEN + 1
        );
    }
}
