//! Sending a request on: choose, connect, send, judge, and perhaps once more.

use std::{future::Future, net::SocketAddr, rc::Rc, time::Duration};

use http::{Response, StatusCode, Version};
use hyper::body::Incoming;
use mesh_core::dataplane::{Direction, EndpointAddress, RouteAction};
use mesh_routing::{
    Dice, Matched,
    resilience::{Admission, Deadlines, Outcome, ResetKind, RetryPolicy, RetryVerdict},
    router::Forward,
};
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::{
    body::{ProxyBody, RequestBody},
    exchange::{Answer, Exchange},
    failure::{Failure, ResponseFlags},
    finish::Sent,
    grpc, mirror,
    outgoing::{Outgoing, finish_response},
    server::HttpConnection,
    upgrade::Upgrade,
};
use crate::{
    telemetry::{RequestRecord, Side, UpstreamRecord},
    upstream::{Choice, Connecting, HostKey, Lease, Picked, Upstream},
};

/// What stays the same for every attempt of a request.
struct Attempts<'a> {
    connection: &'a Rc<HttpConnection>,
    outgoing: Outgoing<'a>,
    upstream: Rc<Upstream>,
    body: RequestBody,
    retry: Option<&'a RetryPolicy>,
    hash: Option<u64>,
    named: Option<EndpointAddress>,
    deadline: Option<Instant>,
    per_try: Option<Duration>,
    /// How long nothing may move.
    idle: Option<Duration>,
    seed: u64,
}

/// An attempt that got as far as an instance.
struct Reached {
    picked: Picked,
    lease: Lease,
    response: Response<Incoming>,
}

/// Sends a request to the cluster its route wants.
pub(super) async fn forward(
    exchange: &mut Exchange<'_>,
    matched: &Matched<'_>,
    forward: &Forward,
    body: Incoming,
) -> Result<Answer, Failure> {
    let RouteAction::Forward(planned) = &matched.planned.action else {
        return Err(Failure::NoRoute);
    };
    let Exchange {
        connection,
        chain,
        http,
        head,
        seed,
        record,
        upgrade,
        ..
    } = exchange;
    let (connection, seed) = (*connection, *seed);
    let view = connection.view_of(head);
    let missing = Failure::NoCluster {
        status: planned.missing_cluster_status.unwrap_or(503),
    };
    let destination = forward
        .destination(&view, seed)
        .ok_or_else(|| missing.clone())?;
    let Some(upstream) = chain.view.upstream(destination.cluster) else {
        record.upstream = Some(UpstreamRecord::unknown(destination.cluster));
        return Err(missing);
    };
    record.upstream = Some(UpstreamRecord::of(upstream));
    let hash = forward
        .hash
        .hash(&view, connection.record.remote.ip(), seed);
    let deadlines = Deadlines::of(planned, &head.headers, record.side == Side::Source);
    let attempts = Attempts {
        outgoing: Outgoing {
            connection,
            matched,
            forward,
            destination,
            head,
            keeps_upgrade: upgrade.is_some(),
            expected: deadlines.per_try.or(deadlines.request),
        },
        connection,
        upstream: Rc::clone(upstream),
        body: RequestBody::new(body, forward.retry.is_some() || !forward.mirrors.is_empty()),
        retry: forward.retry.as_ref(),
        hash: hash.hash,
        named: named_by_caller(connection, record),
        deadline: deadlines.request.map(|limit| Instant::now() + limit),
        per_try: deadlines.per_try,
        idle: deadlines
            .idle
            .or(http.shared.planned.stream_idle_timeout)
            .filter(|idle| !idle.is_zero()),
        seed,
    };
    for cluster in forward.mirrors.choose(seed) {
        mirror::send_copy(&attempts.outgoing, chain, cluster, &attempts.body);
    }
    let reached = attempts.run(record).await?;
    let mut answer = attempts.answer(reached, record, upgrade.take());
    if let Some(cookie) = hash.set_cookie {
        answer
            .response
            .headers_mut()
            .append(http::header::SET_COOKIE, cookie);
    }
    Ok(answer)
}

impl Attempts<'_> {
    /// Tries until an answer may be passed on or nothing is left to try.
    async fn run(&self, record: &mut RequestRecord) -> Result<Reached, Failure> {
        let mut failed_hosts = Vec::new();
        let mut _trying_again: Option<Admission> = None;
        loop {
            record.attempts += 1;
            let tried = self.attempt(&failed_hosts, record).await;
            let outcome = outcome_of(&tried);
            let Some((wait, admission)) = self.retry_after(outcome, record) else {
                return tried.map_err(|failed| failed.failure);
            };
            _trying_again = Some(admission);
            let host = match tried {
                Ok(reached) => Some(reached.picked.host.key.clone()),
                Err(failed) => failed.host,
            };
            failed_hosts.extend(host);
            if self.within_deadline(sleep(wait)).await.is_none() {
                return Err(Failure::Timeout);
            }
        }
    }

    /// How long to wait for another attempt; none if this one decides.
    fn retry_after(
        &self,
        outcome: Outcome,
        record: &mut RequestRecord,
    ) -> Option<(Duration, Admission)> {
        let policy = self.retry?;
        match policy.judge(&outcome, record.attempts, self.seed) {
            RetryVerdict::After(wait) if self.body.can_replay() => {
                let admission = self.upstream.admit_retry();
                if admission.is_none() {
                    record.flags.insert(ResponseFlags::UPSTREAM_OVERFLOW);
                }
                Some((wait, admission?))
            }
            RetryVerdict::After(_) => None,
            RetryVerdict::Stop => {
                let used_up = record.attempts > 1 && record.attempts > policy.num_retries();
                if used_up && policy.wants(&outcome) {
                    record.flags.insert(ResponseFlags::RETRY_LIMIT);
                }
                None
            }
        }
    }

    async fn attempt(
        &self,
        failed_hosts: &[HostKey],
        record: &mut RequestRecord,
    ) -> Result<Reached, Failed> {
        let avoid = match self.retry {
            Some(policy) if policy.avoid_previous_hosts => failed_hosts,
            _ => &[],
        };
        let choice = Choice {
            hash: self.hash,
            avoid,
            leave: self.retry.map_or(&[], |policy| {
                &failed_hosts[..policy.priorities_left(failed_hosts.len())]
            }),
            named: self.named.clone(),
        };
        let mut dice = Dice::new(self.seed ^ u64::from(record.attempts));
        let picked = self.upstream.pick(&choice, &mut dice)?;
        record.reached(&picked.host);
        let (host, instance) = (Some(picked.host.key.clone()), picked.index);
        let sending = self.while_moving(self.send(picked, record));
        let limit = self.per_try.map(|limit| Instant::now() + limit);
        let tried = match limit {
            None => self
                .within_deadline(sending)
                .await
                .unwrap_or(Err(Failure::Timeout)),
            Some(limit) => match self.within_deadline(timeout_at(limit, sending)).await {
                None => Err(Failure::Timeout),
                Some(Err(_)) => Err(Failure::PerTryTimeout),
                Some(Ok(tried)) => tried,
            },
        };
        let tried = tried.map_err(|failure| Failed { failure, host });
        if !self.body.is_broken() {
            self.upstream.judge(instance, &outcome_of(&tried));
        }
        tried
    }

    /// Sends the request on a connection of the instance. A kept connection that turns out to be
    /// closed before anything was written says nothing of the instance, so the next one is taken.
    async fn send(&self, picked: Picked, record: &mut RequestRecord) -> Result<Reached, Failure> {
        let worker = &self.connection.worker;
        let connecting = Connecting {
            dialer: &worker.settings.dialer,
            cluster: &self.upstream.cluster.planned,
            breaker: &self.upstream.breaker,
            requested_host: Some(self.outgoing.host()),
            principal: &|peer| worker.principal_of(peer),
        };
        loop {
            let mut lease = Lease::of(&picked.host, &connecting, record.protocol).await?;
            record.connected(lease.facts());
            let request = self
                .outgoing
                .request(record.attempts, lease.is_http2(), &self.body);
            let sent_at = std::time::Instant::now();
            match lease.send(request).await {
                Ok(response) if self.switches_unasked(&response) => {
                    return Err(Failure::UpstreamReset {
                        reason: "switched to a protocol nobody asked for".to_owned(),
                    });
                }
                Ok(response) => {
                    record.upstream_service_time = Some(sent_at.elapsed());
                    return Ok(Reached {
                        picked,
                        lease,
                        response,
                    });
                }
                Err(error) if error.unsent && lease.is_reused() && self.body.can_replay() => {}
                Err(_) if self.body.is_broken() => {
                    return Err(Failure::BadRequest {
                        detail: "http1.codec_error",
                    });
                }
                Err(error) => {
                    return Err(Failure::UpstreamReset {
                        reason: error.reason,
                    });
                }
            }
        }
    }

    /// What follows such an answer is not HTTP, and the caller does not expect it.
    fn switches_unasked(&self, response: &Response<Incoming>) -> bool {
        response.status() == StatusCode::SWITCHING_PROTOCOLS && !self.outgoing.keeps_upgrade
    }

    /// Goes on with an attempt for as long as something of the request moves.
    async fn while_moving<T>(
        &self,
        sending: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, Failure> {
        let Some(idle) = self.idle else {
            return sending.await;
        };
        tokio::pin!(sending);
        loop {
            let before = self.body.received();
            match timeout(idle, &mut sending).await {
                Ok(sent) => return sent,
                Err(_) if self.body.received() > before => {}
                Err(_) => return Err(Failure::IdleTimeout),
            }
        }
    }

    async fn within_deadline<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        match self.deadline {
            None => Some(work.await),
            Some(deadline) => timeout_at(deadline, work).await.ok(),
        }
    }

    /// Makes the instance's answer ours.
    fn answer(
        &self,
        reached: Reached,
        record: &mut RequestRecord,
        upgrade: Option<Upgrade>,
    ) -> Answer {
        let Reached {
            picked,
            lease,
            mut response,
        } = reached;
        record.details = "via_upstream".into();
        let switched =
            upgrade.is_some_and(|upgrade| upgrade.complete(&mut response, &self.connection.worker));
        let mut response = response.map(|body| ProxyBody::upstream(body, self.deadline, self.idle));
        finish_response(&self.outgoing, &mut response, record, switched);
        let lease = (!switched).then_some(lease);
        let (body, upstream) = (self.body.clone(), Rc::clone(&self.upstream));
        Answer {
            response,
            sent: Some(Sent {
                body,
                lease,
                picked,
                upstream,
            }),
        }
    }
}

/// An attempt without an answer.
struct Failed {
    failure: Failure,
    host: Option<HostKey>,
}

impl From<Failure> for Failed {
    fn from(failure: Failure) -> Self {
        Self {
            failure,
            host: None,
        }
    }
}

fn outcome_of(tried: &Result<Reached, Failed>) -> Outcome {
    match tried {
        Ok(reached) => Outcome::Response {
            status: reached.response.status().as_u16(),
            grpc_status: grpc::status(reached.response.headers()).map(u32::from),
        },
        Err(failed) => match &failed.failure {
            Failure::ConnectFailure { .. } => Outcome::ConnectFailure,
            Failure::UpstreamReset { .. } => Outcome::Reset(ResetKind::BeforeResponse),
            Failure::PerTryTimeout => Outcome::PerTryTimeout,
            Failure::Overflow => Outcome::Overflow,
            Failure::NoHealthyUpstream => Outcome::NoEndpoint,
            _ => Outcome::Timeout,
        },
    }
}

/// The instance the caller meant, for clusters that follow it: through an explicit proxy the host
/// of the request itself, otherwise what the connection was meant for. Only our own application may
/// name whom to call; and a connection that was meant for this very proxy names nobody.
fn named_by_caller(connection: &HttpConnection, record: &RequestRecord) -> Option<EndpointAddress> {
    let outbound = connection.record.direction == Direction::Outbound;
    let absolute_form = record.protocol < Version::HTTP_2;
    match record.uri.authority().filter(|_| outbound && absolute_form) {
        Some(authority) => {
            let port = authority.port_u16().unwrap_or(80);
            let host = authority.host().trim_matches(['[', ']']);
            Some(match host.parse() {
                Ok(ip) => EndpointAddress::Socket(SocketAddr::new(ip, port)),
                Err(_) => EndpointAddress::Dns(host.to_owned(), port),
            })
        }
        None if outbound && connection.meant_for == connection.record.accepted_on => None,
        None => Some(EndpointAddress::Socket(connection.meant_for)),
    }
}
