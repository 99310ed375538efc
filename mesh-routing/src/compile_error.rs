use std::fmt;

use mesh_core::{dataplane::Origin, name::PatternError};

/// A planned resource that cannot be run: where, why, and which written resource asked for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CompileError {
    /// The path of the field within the planned resource, such as `virtual_hosts[2].routes[0].path`.
    pub field: String,
    /// What is wrong with it.
    pub defect: Defect,
    /// The written resource.
    pub origin: Option<Box<Origin>>,
}

/// What is wrong with a field.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Defect {
    /// A regular expression does not parse or is too large.
    #[error(transparent)]
    Pattern(#[from] PatternError),
    /// A replacement names a group the expression does not have.
    #[error("the replacement {0:?} refers to a group that the expression does not have")]
    Substitution(String),
    /// Not a header's name, or one that may not be changed.
    #[error("{0:?} is not the name of a header that may stand here")]
    HeaderName(String),
    /// Not a header's value.
    #[error("{0:?} cannot be a header's value")]
    HeaderValue(String),
    /// An operator between `%` signs that is not known.
    #[error("the operator {0:?} is not supported")]
    Operator(String),
    /// Not a host, nor a wildcard at one end.
    #[error("{0:?} is not a host: it must be exact, \"*.suffix\", \"prefix.*\" or \"*\"")]
    Domain(String),
    /// A host that stands in the table already.
    #[error("the host {0:?} stands in the table twice")]
    DuplicateDomain(String),
    /// A split without a destination.
    #[error("there is no cluster with a weight")]
    NoCluster,
    /// Not an HTTP status that may stand here.
    #[error("{0} is not a status that may stand here")]
    Status(u16),
    /// A retry condition that is not known.
    #[error("the retry condition {0:?} is not supported")]
    RetryCondition(String),
    /// A name that must be unique is not.
    #[error("two filter chains match the same connections: {0}")]
    DuplicateChain(String),
    /// An SNI that no caller can send.
    #[error("{0:?} is not a server name: it must be exact or \"*.suffix\"")]
    ServerName(String),
    /// A table larger than is allowed.
    #[error("{size} is not a size the table may have; {rule}")]
    TableSize {
        /// As planned.
        size: u64,
        /// What it must be.
        rule: &'static str,
    },
    /// A percentage above 100.
    #[error("{0} is not a percentage")]
    Percentage(u32),
}

impl From<Defect> for CompileError {
    fn from(defect: Defect) -> Self {
        Self {
            field: String::new(),
            defect,
            origin: None,
        }
    }
}

impl From<PatternError> for CompileError {
    fn from(error: PatternError) -> Self {
        Defect::from(error).into()
    }
}

impl CompileError {
    /// The same error seen from the field's parent.
    pub(crate) fn within(mut self, parent: impl fmt::Display) -> Self {
        let dot = if self.field.is_empty() || self.field.starts_with('[') {
            ""
        } else {
            "."
        };
        self.field = format!("{parent}{dot}{}", self.field);
        self
    }

    /// The same error, blaming a written resource unless one is blamed already.
    pub(crate) fn because_of(mut self, origin: Option<&Origin>) -> Self {
        self.origin = self.origin.or_else(|| origin.cloned().map(Box::new));
        self
    }
}

impl fmt::Display for CompileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.field.is_empty() {
            write!(f, "{}: ", self.field)?;
        }
        fmt::Display::fmt(&self.defect, f)?;
        match &self.origin {
            Some(origin) => write!(f, " (from {origin})"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for CompileError {}

/// Compiles every item of a list, naming the index of one that fails.
pub(crate) fn compile_all<T, U>(
    field: &str,
    items: &[T],
    compile: impl Fn(&T) -> Result<U, CompileError>,
) -> Result<Box<[U]>, CompileError> {
    items
        .iter()
        .enumerate()
        .map(|(index, item)| {
            compile(item).map_err(|error| error.within(format_args!("{field}[{index}]")))
        })
        .collect()
}
