use std::time::Duration;

use mesh_core::dataplane::{Fault, FaultAbort};

use crate::dice::Purpose;

/// Delays and aborts injected on purpose.
#[derive(Debug, Clone, Copy)]
pub struct FaultPolicy(Fault);

/// What is injected into a request.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Injection {
    /// Wait first.
    pub delay: Option<Duration>,
    /// Then answer instead of forwarding.
    pub abort: Option<Abort>,
}

/// The answer to give instead of forwarding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Abort {
    /// An HTTP status.
    Http(u16),
    /// A gRPC status, in a 200 response without a body.
    Grpc(u32),
}

impl FaultPolicy {
    /// Takes a planned fault.
    pub fn new(fault: Fault) -> Self {
        Self(fault)
    }

    /// What is injected into a request. Delay and abort are drawn independently.
    pub fn decide(&self, seed: u64) -> Injection {
        let delay = self
            .0
            .delay
            .filter(|delay| delay.share.includes(Purpose::Delay.draw(seed)));
        let abort = self
            .0
            .abort
            .filter(|abort| abort.share.includes(Purpose::Abort.draw(seed)));
        Injection {
            delay: delay.map(|delay| delay.duration),
            abort: abort.and_then(answer),
        }
    }
}

fn answer(abort: FaultAbort) -> Option<Abort> {
    let grpc = abort.grpc_status.map(Abort::Grpc);
    abort.http_status.map(Abort::Http).or(grpc)
}
