//! What one proxy makes of a connection or request, and why: every decision as a value.
//!
//! A [`PaperProxy`] is a plan in force without sockets: the same compiled rules that forward, asked
//! one after the other in the order in which a proxy asks them. [`PaperProxy::explain`] keeps each
//! answer: which listener and chain, which rules did not match and for what, what each filter said,
//! and where the request goes. What the engine does not honour is named, never passed over.
//!
//! An explanation speaks of a moment at which nothing else is under way: no instance is busy,
//! ejected or has its limits used up.

mod admission;
mod arrival;
mod ask;
mod compiled;
mod decision;
mod filters;
mod forward;
mod instance;
mod receive;
mod respond;
mod route;
mod tcp;
mod tree;
mod words;

pub use arrival::{Arrival, Hello, Payload, Request};
pub use compiled::PaperProxy;
pub use decision::{Decision, Outcome};
pub(crate) use forward::share as share_of;
pub use tree::{
    Candidate, ChainChoice, ChosenRule, CopyStep, EndpointStep, Explanation, FaultStep, FilterStep,
    HttpStep, ListenerStep, PolicyStep, RejectedChain, RejectedRule, RetryStep, RouteStep,
    SentRequest, SentStep, Share, TlsStep,
};
