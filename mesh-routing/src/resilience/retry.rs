use std::time::Duration;

use mesh_core::dataplane::{self, Backoff};

use super::{Outcome, ResetKind, backoff};
use crate::{CompileError, Defect, compile_error::compile_all};

/// When to try again.
#[derive(Debug, Clone)]
pub struct RetryPolicy {
    conditions: Box<[Condition]>,
    statuses: Box<[u16]>,
    num_retries: u32,
    backoff: Backoff,
    /// How long one attempt may take; none has no limit of its own.
    pub per_try_timeout: Option<Duration>,
    /// Do not choose an instance that failed already.
    pub avoid_previous_hosts: bool,
    /// How often another instance is drawn to avoid one.
    pub host_selection_attempts: u32,
    leave_priorities_after: Option<u32>,
}

/// Whether to try again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RetryVerdict {
    /// What came is what the caller gets.
    Stop,
    /// Once more, after a wait.
    After(Duration),
}

/// Envoy's names, as in `x-envoy-retry-on` and `x-envoy-retry-grpc-on`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Condition {
    ServerError,
    GatewayError,
    Reset,
    ResetBeforeRequest,
    ConnectFailure,
    Retriable4xx,
    RefusedStream,
    RetriableStatusCodes,
    Grpc(u32),
}

impl RetryPolicy {
    /// Prepares a policy. Refuses conditions it does not know, by name. A number among them is a
    /// status to try again, as Istio writes it.
    pub fn compile(policy: &dataplane::RetryPolicy) -> Result<Self, CompileError> {
        let names = policy
            .retry_on
            .iter()
            .filter(|name| name.parse::<u16>().is_err());
        let names: Vec<&String> = names.collect();
        let conditions = compile_all("retry_on", &names, |name| {
            Condition::named(name).ok_or_else(|| Defect::RetryCondition((*name).clone()).into())
        })?;
        let numbers = policy.retry_on.iter().filter_map(|name| name.parse().ok());
        let listed = conditions.contains(&Condition::RetriableStatusCodes);
        let statuses = policy.retriable_status_codes.iter().copied();
        Ok(Self {
            conditions,
            statuses: statuses.filter(|_| listed).chain(numbers).collect(),
            num_retries: policy.num_retries,
            backoff: policy.backoff,
            per_try_timeout: policy.per_try_timeout,
            avoid_previous_hosts: policy.avoid_previous_hosts,
            host_selection_attempts: policy.host_selection_attempts,
            leave_priorities_after: policy.leave_priorities_after,
        })
    }

    /// Whether to try again after an attempt, the first being number one.
    pub fn judge(&self, outcome: &Outcome, attempt: u32, seed: u64) -> RetryVerdict {
        if attempt > self.num_retries || !self.wants(outcome) {
            return RetryVerdict::Stop;
        }
        RetryVerdict::After(backoff(&self.backoff, attempt, seed))
    }

    /// Of so many attempts that failed, of how many the priorities are left for others: those of all
    /// up to the last time that they were looked at.
    pub fn priorities_left(&self, failed: usize) -> usize {
        match self.leave_priorities_after {
            None | Some(0) => 0,
            Some(frequency) => failed - failed % frequency as usize,
        }
    }

    /// How often at most, beside the first attempt. Zero means that nothing need be kept for a
    /// second one.
    pub fn num_retries(&self) -> u32 {
        self.num_retries
    }

    /// Whether an outcome is one to try again as long as tries are left.
    pub fn wants(&self, outcome: &Outcome) -> bool {
        let statuses =
            matches!(outcome, Outcome::Response { status, .. } if self.statuses.contains(status));
        statuses
            || self
                .conditions
                .iter()
                .any(|condition| condition.wants(outcome))
    }
}

impl Condition {
    fn named(name: &str) -> Option<Self> {
        Some(match name {
            "5xx" => Self::ServerError,
            "gateway-error" => Self::GatewayError,
            "reset" => Self::Reset,
            "reset-before-request" => Self::ResetBeforeRequest,
            "connect-failure" => Self::ConnectFailure,
            "retriable-4xx" => Self::Retriable4xx,
            "refused-stream" => Self::RefusedStream,
            "retriable-status-codes" => Self::RetriableStatusCodes,
            "cancelled" => Self::Grpc(1),
            "deadline-exceeded" => Self::Grpc(4),
            "resource-exhausted" => Self::Grpc(8),
            "internal" => Self::Grpc(13),
            "unavailable" => Self::Grpc(14),
            _ => return None,
        })
    }

    /// Timeouts of single attempts count as a 504 would; the whole request's never does. A circuit
    /// breaker's answer and the want of instances would be the same at once again.
    fn wants(self, outcome: &Outcome) -> bool {
        use Outcome::*;
        let no_answer = matches!(
            outcome,
            ConnectFailure
                | Reset(ResetKind::BeforeRequest | ResetKind::BeforeResponse)
                | RefusedStream
                | PerTryTimeout
        );
        match self {
            Self::ServerError => no_answer || outcome.is_server_error(),
            Self::GatewayError => no_answer || outcome.is_gateway_error(),
            Self::Reset => no_answer,
            Self::ResetBeforeRequest => {
                matches!(
                    outcome,
                    ConnectFailure | RefusedStream | Reset(ResetKind::BeforeRequest)
                )
            }
            Self::ConnectFailure => *outcome == ConnectFailure,
            Self::Retriable4xx => matches!(outcome, Response { status: 409, .. }),
            Self::RefusedStream => *outcome == RefusedStream,
            Self::RetriableStatusCodes => false,
            Self::Grpc(code) => {
                matches!(outcome, Response { grpc_status, .. } if *grpc_status == Some(code))
            }
        }
    }
}
