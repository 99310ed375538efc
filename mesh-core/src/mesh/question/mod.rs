//! Questions to a mesh: who calls whom, and what is expected to become of that.

mod call;
mod expectation;
mod lower;

pub use call::{Call, CallError, CallScheme, Caller};
pub use expectation::{
    Expectation, ExpectedFault, ExpectedMirror, ExpectedOutcome, ExpectedRetries,
};
pub(super) use lower::mesh_test;
pub use lower::unix_seconds;

use std::collections::BTreeMap;

use crate::{config::Source, name::ResourceRef};

/// Calls and what is expected to become of them.
#[derive(Debug, Clone, PartialEq)]
pub struct MeshTest {
    /// The resource it is written in.
    pub reference: ResourceRef,
    /// Where that is.
    pub source: Source,
    /// The feature it shows, for tables.
    pub feature: String,
    /// Parts of the problems that its configuration is expected to have.
    pub problems: Vec<String>,
    /// The calls.
    pub cases: Vec<TestCase>,
}

/// One call and its expectation.
#[derive(Debug, Clone, PartialEq)]
pub struct TestCase {
    /// What it shows.
    pub name: String,
    /// The documented behaviour it was written from.
    pub documented: String,
    /// Where it is written.
    pub source: Source,
    /// The call.
    pub question: Question,
    /// What is expected.
    pub expected: Expectation,
}

/// A call by somebody, with everything that decides about it.
#[derive(Debug, Clone, PartialEq)]
pub struct Question {
    /// Who calls.
    pub caller: Caller,
    /// What is called.
    pub call: Call,
    /// Headers, names in lower case; one that is given twice comes twice.
    pub headers: Vec<(String, String)>,
    /// The claims of a token that was verified already.
    pub claims: Option<BTreeMap<String, serde_json::Value>>,
    /// A compact JWT, verified at `time`; it travels as `authorization: Bearer`.
    pub token: Option<String>,
    /// When the call is made, in seconds since 1970; needed where tokens are verified.
    pub time: Option<u64>,
    /// The dice: the same seed gives the same choices.
    pub seed: u64,
    /// What providers of CUSTOM policies say when they are asked.
    pub providers_allow: bool,
}

impl Question {
    /// A call without headers, claims or token, with the dice at zero; providers deny it.
    pub fn new(caller: Caller, call: Call) -> Self {
        Self {
            caller,
            call,
            headers: Vec::new(),
            claims: None,
            token: None,
            time: None,
            seed: 0,
            providers_allow: false,
        }
    }
}
