//! Which filter chain serves a connection.

mod explain;
mod rank;

use std::collections::HashMap;

pub use explain::{ChainAccount, ChainRejection, ChainStep};
use mesh_core::dataplane::{FilterChain, Listener};
use rank::Candidate;

use crate::{CompileError, ConnectionFacts, Defect, compile_error::compile_all};

/// A listener's chains, ready to choose among.
///
/// Conditions are compared in Envoy's order: destination port, destination network, server name,
/// transport, application protocol, source type, source network, source port. At each step only the
/// most specific of the conditions that hold stays in play, and there is no turning back: if the
/// chains that are left then fail a later step, the default chain serves.
///
/// A step's outcome is a number, so that the choice is the largest rank.
#[derive(Debug)]
pub struct ChainSelector {
    by_port: HashMap<u16, Box<[Candidate]>>,
    any_port: Box<[Candidate]>,
    has_default: bool,
}

/// A chain of a listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ChainRef {
    /// One of its chains, by position.
    Chain(usize),
    /// The default chain.
    Default,
}

impl ChainRef {
    /// The chain itself; none if the listener is another than the one it was chosen from.
    pub fn of(self, listener: &Listener) -> Option<&FilterChain> {
        match self {
            Self::Chain(index) => listener.filter_chains.get(index),
            Self::Default => listener.default_filter_chain.as_ref(),
        }
    }
}

impl ChainSelector {
    /// Prepares the choice. Refuses server names that cannot be asked for, and two chains that no
    /// connection could tell apart.
    pub fn compile(listener: &Listener) -> Result<Self, CompileError> {
        let mut by_port: HashMap<u16, Vec<Candidate>> = HashMap::new();
        let mut any_port = Vec::new();
        let mut seen: HashMap<_, usize> = HashMap::new();
        let indices: Vec<usize> = (0..listener.filter_chains.len()).collect();
        let all = compile_all("filter_chains", &indices, |&index| {
            let chain = &listener.filter_chains[index];
            Candidate::expand(index, &chain.matches).map_err(|error| error.within("matches"))
        })?;
        for candidate in all.into_iter().flatten() {
            match seen.insert(candidate.conditions.clone(), candidate.chain) {
                Some(chain) if chain == candidate.chain => continue,
                Some(_) => return Err(duplicate(listener, candidate.chain)),
                None => {}
            }
            match candidate.conditions.destination_port {
                Some(port) => by_port.entry(port).or_default().push(candidate),
                None => any_port.push(candidate),
            }
        }
        Ok(Self {
            by_port: by_port
                .into_iter()
                .map(|(port, candidates)| (port, candidates.into()))
                .collect(),
            any_port: any_port.into(),
            has_default: listener.default_filter_chain.is_some(),
        })
    }

    /// The chain that serves a connection, if any does.
    pub fn select(&self, connection: &ConnectionFacts<'_>) -> Option<ChainRef> {
        self.by_port
            .get(&connection.destination.port())
            .unwrap_or(&self.any_port)
            .iter()
            .map(|candidate| (candidate.rank(connection), candidate.chain))
            .max_by_key(|&(rank, _)| rank)
            .filter(|(rank, _)| rank.is_match())
            .map(|(_, index)| ChainRef::Chain(index))
            .or_else(|| self.has_default.then_some(ChainRef::Default))
    }
}

fn duplicate(listener: &Listener, index: usize) -> CompileError {
    let name = listener.filter_chains[index].name.to_string();
    CompileError::from(Defect::DuplicateChain(name))
        .within("matches")
        .within(format_args!("filter_chains[{index}]"))
}
