use std::{fmt, sync::Arc};

use super::Code;
use crate::name::ResourceRef;

/// A line of a file.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Source {
    /// The file as its reader named it; empty for what was never in a file.
    pub file: Arc<str>,
    /// The line, counted from 1; 0 when there is none.
    pub line: u32,
}

/// How bad a problem is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Severity {
    /// What is named does not take effect: a resource that does not parse is left out, and its
    /// last good version stays in force.
    Error,
    /// It takes effect, but perhaps not as meant.
    Warning,
    /// Worth knowing, nothing to do.
    Info,
}

/// What is wrong with a configuration, where, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Problem {
    /// Where it stands.
    pub source: Source,
    /// How bad it is.
    pub severity: Severity,
    /// Of which kind it is, where that kind has a name.
    pub code: Option<Code>,
    /// The resource, where it could be told.
    pub resource: Option<ResourceRef>,
    /// The field, as in `spec.http[0].route[1].weight`; empty for the resource as a whole.
    pub field: String,
    /// What is wrong.
    pub reason: String,
    /// What to do about it, where that is known.
    pub advice: Option<String>,
}

impl Source {
    /// A line of a file.
    pub fn new(file: &str, line: u32) -> Self {
        Self {
            file: file.into(),
            line,
        }
    }
}

impl Problem {
    /// A problem of a whole file or document, or of a resource that cannot be named.
    pub fn new(severity: Severity, source: Source, reason: impl Into<String>) -> Self {
        Self {
            source,
            severity,
            code: None,
            resource: None,
            field: String::new(),
            reason: reason.into(),
            advice: None,
        }
    }

    /// The same, of this kind.
    #[must_use]
    pub fn coded(mut self, code: Code) -> Self {
        self.code = Some(code);
        self
    }

    /// The same, of this resource.
    #[must_use]
    pub fn of(mut self, resource: ResourceRef) -> Self {
        self.resource = Some(resource);
        self
    }

    /// The same, at this field.
    #[must_use]
    pub fn at(mut self, field: impl Into<String>) -> Self {
        self.field = field.into();
        self
    }

    /// The same, with a hint.
    #[must_use]
    pub fn advise(mut self, advice: impl Into<String>) -> Self {
        self.advice = Some(advice.into());
        self
    }

    /// Whether something was left out because of it.
    pub fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }
}

/// `reviews.yaml:14`.
impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&*self.file, self.line) {
            ("", _) => f.write_str("(no file)"),
            (file, 0) => f.write_str(file),
            (file, line) => write!(f, "{file}:{line}"),
        }
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Info => "info",
        })
    }
}

/// One line: `reviews.yaml:14: error: VirtualService default/reviews: spec.hosts: reason; advice`,
/// with `error [IST0106 SchemaValidationError]` where the kind of the problem has a name.
impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.source, self.severity)?;
        if let Some(code) = self.code {
            write!(f, " [{code}]")?;
        }
        f.write_str(": ")?;
        if let Some(resource) = &self.resource {
            write!(f, "{resource}: ")?;
        }
        if !self.field.is_empty() {
            write!(f, "{}: ", self.field)?;
        }
        f.write_str(&self.reason)?;
        match &self.advice {
            Some(advice) => write!(f, "; {advice}"),
            None => Ok(()),
        }
    }
}
