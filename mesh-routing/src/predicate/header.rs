use std::borrow::Cow;

use http::{HeaderName, header};
use mesh_core::dataplane::{HeaderMatch, ValueMatch};

use super::TextTest;
use crate::{
    CompileError, Defect, RequestHead,
    joined::joined,
    request::{header_text, look_at_header},
};

/// A [`HeaderMatch`] ready to run.
#[derive(Debug)]
pub(crate) struct HeaderPredicate {
    subject: Subject,
    value: ValueTest,
    invert: bool,
    missing_is_empty: bool,
}

/// How a header that comes several times is judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Judge {
    /// Its values joined by commas: routing's way, and Envoy's.
    Joined,
    /// True if the joined text or any single value is: so that what is denied cannot hide.
    Any,
    /// True only if every single value is: so that nothing is smuggled beside what is allowed.
    Every,
}

#[derive(Debug)]
enum Subject {
    Method,
    Authority,
    Scheme,
    Path,
    Header(HeaderName),
}

/// A [`ValueMatch`] ready to run.
#[derive(Debug)]
pub(crate) enum ValueTest {
    Present,
    Text(TextTest),
    Range(i64, i64),
}

impl ValueTest {
    pub(crate) fn compile(value: &ValueMatch) -> Result<Self, CompileError> {
        Ok(match value {
            ValueMatch::Present => Self::Present,
            ValueMatch::Text {
                pattern,
                ignore_case,
            } => Self::Text(TextTest::compile(pattern, *ignore_case)?),
            ValueMatch::Range { start, end } => Self::Range(*start, *end),
        })
    }

    pub(crate) fn matches(&self, text: &str) -> bool {
        match self {
            Self::Present => true,
            Self::Text(test) => test.matches(text),
            Self::Range(start, end) => text
                .parse::<i64>()
                .is_ok_and(|number| (*start..*end).contains(&number)),
        }
    }

    /// Whether it asks for this very text.
    fn is(&self, text: &str) -> bool {
        match self {
            Self::Text(test) => test.is(text),
            Self::Present | Self::Range(..) => false,
        }
    }
}

impl Judge {
    /// How to judge under a negation.
    pub(crate) fn opposite(self) -> Self {
        match self {
            Self::Joined => Self::Joined,
            Self::Any => Self::Every,
            Self::Every => Self::Any,
        }
    }
}

impl HeaderPredicate {
    pub(crate) fn compile(header: &HeaderMatch) -> Result<Self, CompileError> {
        Ok(Self {
            subject: Subject::compile(&header.name).map_err(|error| error.within("name"))?,
            value: ValueTest::compile(&header.value).map_err(|error| error.within("value"))?,
            invert: header.invert,
            missing_is_empty: header.missing_is_empty,
        })
    }

    /// Whether a request meets the condition. A header that is missing meets no condition, inverted
    /// or not, except on its presence, unless a missing one is taken for an empty one.
    pub(crate) fn matches(&self, head: &RequestHead<'_>, judge: Judge) -> bool {
        self.subject.look_at(head, |text| {
            if matches!(self.value, ValueTest::Present) {
                return text.is_some() != self.invert;
            }
            let Some(text) = text.or_else(|| self.missing_is_empty.then_some("")) else {
                return false;
            };
            let judge = if self.invert { judge.opposite() } else { judge };
            self.meets(head, text, judge) != self.invert
        })
    }

    fn meets(&self, head: &RequestHead<'_>, joined: &str, judge: Judge) -> bool {
        let Subject::Header(name) = &self.subject else {
            return self.value.matches(joined);
        };
        match judge {
            Judge::Joined => self.value.matches(joined),
            Judge::Any => {
                self.value.matches(joined)
                    || lines(head, name).any(|line| {
                        self.value.matches(&line)
                            || members(name, &line).any(|member| self.value.matches(member))
                    })
            }
            Judge::Every => lines(head, name).all(|line| {
                let mut members = members(name, &line).peekable();
                // What is written with a comma is meant as one.
                self.value.is(&line)
                    || match members.peek() {
                        None => self.value.matches(&line),
                        Some(_) => members.all(|member| self.value.matches(member)),
                    }
            }),
        }
    }
}

/// A header's lines. A missing one that is taken for an empty one has an empty line.
fn lines<'a>(
    head: &RequestHead<'a>,
    name: &HeaderName,
) -> impl Iterator<Item = Cow<'a, str>> + use<'a> {
    let values = head.headers.get_all(name).iter();
    let is_missing = !head.headers.contains_key(name);
    values
        .map(|value| String::from_utf8_lossy(value.as_bytes()))
        .chain(is_missing.then_some(Cow::Borrowed("")))
}

/// The members of a list (RFC 9110, section 5.6.1), if the line is one.
fn members<'a>(name: &HeaderName, line: &'a str) -> impl Iterator<Item = &'a str> {
    let is_list = line.contains(',') && !SINGLE.contains(name);
    let members = is_list.then(|| line.split(','));
    members
        .into_iter()
        .flatten()
        .map(str::trim)
        .filter(|member| !member.is_empty())
}

/// Headers that are no lists though a comma may stand in them.
static SINGLE: [HeaderName; 9] = [
    header::AUTHORIZATION,
    header::COOKIE,
    header::DATE,
    header::IF_MODIFIED_SINCE,
    header::IF_RANGE,
    header::IF_UNMODIFIED_SINCE,
    header::REFERER,
    header::SET_COOKIE,
    header::USER_AGENT,
];

/// What a request has where a condition looks, in words.
pub(crate) fn header_found(header: &HeaderMatch, head: Option<&RequestHead<'_>>) -> String {
    let Some(head) = head else {
        return "no request".into();
    };
    let subject = Subject::compile(&header.name).ok();
    let text = subject.and_then(|subject| subject.text(head).map(Cow::into_owned));
    text.map_or_else(|| "no such header".into(), |text| format!("{text:?}"))
}

impl Subject {
    fn compile(name: &str) -> Result<Self, CompileError> {
        Ok(match name {
            ":method" => Self::Method,
            ":authority" | "host" => Self::Authority,
            ":scheme" => Self::Scheme,
            ":path" => Self::Path,
            _ => Self::Header(
                HeaderName::from_bytes(name.as_bytes())
                    .map_err(|_| Defect::HeaderName(name.into()))?,
            ),
        })
    }

    /// Looks at what a request has there, without the heap unless it is very long or malformed.
    fn look_at<R>(&self, head: &RequestHead<'_>, look: impl FnOnce(Option<&str>) -> R) -> R {
        match self {
            Self::Method => look(Some(head.method.as_str())),
            Self::Authority => look(Some(head.authority)),
            Self::Scheme => look(Some(head.scheme)),
            Self::Path => match head.query {
                Some(query) => {
                    let pieces = || [head.path, "?", query].into_iter();
                    joined(pieces, |text| look(Some(text)))
                }
                None => look(Some(head.path)),
            },
            Self::Header(name) => look_at_header(head.headers, name, look),
        }
    }

    fn text<'a>(&self, head: &RequestHead<'a>) -> Option<Cow<'a, str>> {
        match self {
            Self::Method => Some(Cow::Borrowed(head.method.as_str())),
            Self::Authority => Some(Cow::Borrowed(head.authority)),
            Self::Scheme => Some(Cow::Borrowed(head.scheme)),
            Self::Path => Some(match head.query {
                Some(query) => Cow::Owned(format!("{}?{query}", head.path)),
                None => Cow::Borrowed(head.path),
            }),
            Self::Header(name) => header_text(head.headers, name),
        }
    }
}
