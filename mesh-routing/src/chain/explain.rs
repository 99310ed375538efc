//! Why a connection is served by one chain and not by another.

use std::collections::BTreeMap;

use super::{Candidate, ChainRef, ChainSelector, rank::Rank};
use crate::ConnectionFacts;

/// How a listener's chains were told apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChainAccount {
    /// The chain that serves, if any does.
    pub chosen: Option<ChainRef>,
    /// The others, by position.
    pub rejected: Vec<(usize, ChainRejection)>,
}

/// Why a chain does not serve a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChainRejection {
    /// The first step at which it fell behind.
    pub step: ChainStep,
    /// Whether its condition failed there; otherwise another chain's is more specific.
    pub failed: bool,
}

/// What chains are compared by, in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[expect(missing_docs, reason = "named as the fields of a chain's conditions")]
pub enum ChainStep {
    DestinationPort,
    DestinationNetwork,
    ServerName,
    Transport,
    ApplicationProtocol,
    SourceType,
    SourceNetwork,
    SourcePort,
}

impl ChainStep {
    const AFTER_PORT: [Self; 7] = [
        Self::DestinationNetwork,
        Self::ServerName,
        Self::Transport,
        Self::ApplicationProtocol,
        Self::SourceType,
        Self::SourceNetwork,
        Self::SourcePort,
    ];
}

impl ChainSelector {
    /// Tells why [`ChainSelector::select`] answers as it does.
    pub fn explain(&self, connection: &ConnectionFacts<'_>) -> ChainAccount {
        let chosen = self.select(connection);
        let port = connection.destination.port();
        let in_play = self.by_port.get(&port).unwrap_or(&self.any_port);
        let best = best_ranks(in_play, connection);
        let top = best.values().max().copied();
        let others = self.by_port.values().flatten().chain(&*self.any_port);
        let mut rejected: BTreeMap<usize, ChainRejection> = others
            .filter(|candidate| !best.contains_key(&candidate.chain))
            .map(|candidate| {
                let rejection = ChainRejection {
                    step: ChainStep::DestinationPort,
                    failed: candidate.conditions.destination_port.is_some(),
                };
                (candidate.chain, rejection)
            })
            .collect();
        let behind = best.iter().filter_map(|(chain, rank)| {
            let is_chosen = chosen == Some(ChainRef::Chain(*chain));
            (!is_chosen).then(|| Some((*chain, rejection(*rank, top?))))?
        });
        rejected.extend(behind);
        ChainAccount {
            chosen,
            rejected: rejected.into_iter().collect(),
        }
    }
}

/// Of every chain, how well its best combination of conditions fits.
fn best_ranks(candidates: &[Candidate], connection: &ConnectionFacts<'_>) -> BTreeMap<usize, Rank> {
    let mut best: BTreeMap<usize, Rank> = BTreeMap::new();
    for candidate in candidates {
        let rank = candidate.rank(connection);
        let known = best.entry(candidate.chain).or_insert(rank);
        *known = rank.max(*known);
    }
    best
}

/// Where a chain fell behind the best; the best itself can only have failed.
fn rejection(rank: Rank, top: Rank) -> ChainRejection {
    let steps = rank.steps().into_iter().zip(top.steps());
    let behind = steps.zip(ChainStep::AFTER_PORT);
    let mut behind = behind.filter(|((mine, best), _)| mine < best || *mine == 0);
    let ((mine, _), step) = behind
        .next()
        .unwrap_or(((0, 0), ChainStep::DestinationPort));
    ChainRejection {
        step,
        failed: mine == 0,
    }
}
