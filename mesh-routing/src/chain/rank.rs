use mesh_core::dataplane::{ChainMatch, IpNetwork, SourceType, TransportProtocol};

use crate::{CompileError, ConnectionFacts, Defect, compile_error::compile_all};

/// How well a candidate fits a connection, step by step, the first being the most important.
/// A step holds zero where the condition fails, one where there is none, and more the more specific
/// it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Rank([u16; 7]);

/// One way to match a chain: of every list of alternatives, one.
#[derive(Debug)]
pub(super) struct Candidate {
    pub(super) chain: usize,
    pub(super) conditions: Conditions,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub(super) struct Conditions {
    pub(super) destination_port: Option<u16>,
    destination_network: Option<IpNetwork>,
    server_name: Option<ServerName>,
    transport: Option<TransportProtocol>,
    application_protocol: Option<Box<str>>,
    source_type: SourceType,
    source_network: Option<IpNetwork>,
    source_port: Option<u16>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum ServerName {
    Exact(Box<str>),
    /// With the dot in front.
    Suffix(Box<str>),
}

impl Rank {
    pub(super) fn is_match(self) -> bool {
        !self.0.contains(&0)
    }

    /// The outcome of each step after the destination port's.
    pub(super) fn steps(self) -> [u16; 7] {
        self.0
    }
}

impl Candidate {
    /// The most combinations of one chain.
    const MAX_COMBINATIONS: usize = 1 << 16;

    /// Every combination of a chain's alternatives.
    pub(super) fn expand(chain: usize, matches: &ChainMatch) -> Result<Vec<Self>, CompileError> {
        let lengths = [
            matches.destination_networks.len(),
            matches.server_names.len(),
            matches.application_protocols.len(),
            matches.source_networks.len(),
            matches.source_ports.len(),
        ];
        let size = lengths
            .iter()
            .map(|len| (*len).max(1))
            .fold(1, usize::saturating_mul);
        if size > Self::MAX_COMBINATIONS {
            return Err(Defect::TableSize {
                size: size as u64,
                rule: "a chain has at most 65536 combinations of conditions",
            }
            .into());
        }
        let names = compile_all("server_names", &matches.server_names, |name| {
            ServerName::compile(name)
        })?;
        let seed = Conditions {
            destination_port: matches.destination_port,
            transport: matches.transport,
            source_type: matches.source_type,
            ..Conditions::default()
        };
        let networks: Vec<_> = matches
            .destination_networks
            .iter()
            .copied()
            .map(Some)
            .collect();
        let names: Vec<_> = names.into_vec();
        let protocols: Vec<_> = matches
            .application_protocols
            .iter()
            .map(|name| Some(name.as_str().into()))
            .collect();
        let sources: Vec<_> = matches.source_networks.iter().copied().map(Some).collect();
        let ports: Vec<_> = matches.source_ports.iter().copied().map(Some).collect();
        let all = vec![seed];
        let all = product(all, &networks, |c, value| c.destination_network = value);
        let all = product(all, &names, |c, value| c.server_name = value);
        let all = product(all, &protocols, |c, value| c.application_protocol = value);
        let all = product(all, &sources, |c, value| c.source_network = value);
        let all = product(all, &ports, |c, value| c.source_port = value);
        Ok(all
            .into_iter()
            .map(|conditions| Self { chain, conditions })
            .collect())
    }

    /// How well this fits. The destination port was compared already.
    pub(super) fn rank(&self, connection: &ConnectionFacts<'_>) -> Rank {
        let conditions = &self.conditions;
        let (source, destination) = (connection.source.ip(), connection.destination.ip());
        let network = |network: Option<IpNetwork>, address| match network {
            None => 1,
            Some(network) if network.contains(address) => 2 + u16::from(network.prefix_len),
            Some(_) => 0,
        };
        Rank([
            network(conditions.destination_network, destination),
            server_name_rank(conditions.server_name.as_ref(), connection.server_name),
            specific(conditions.transport, |want| want == connection.transport),
            protocol_rank(
                conditions.application_protocol.as_deref(),
                connection.application_protocols,
            ),
            {
                let same_host = source.to_canonical().is_loopback()
                    || source.to_canonical() == destination.to_canonical();
                match conditions.source_type {
                    SourceType::Any => 1,
                    SourceType::SameHost => 2 * u16::from(same_host),
                    SourceType::External => 2 * u16::from(!same_host),
                }
            },
            network(conditions.source_network, source),
            specific(conditions.source_port, |want| {
                want == connection.source.port()
            }),
        ])
    }
}

impl ServerName {
    /// None for `*`, which asks for nothing.
    fn compile(text: &str) -> Result<Option<Self>, CompileError> {
        let lower = text.to_ascii_lowercase();
        match lower.strip_prefix('*') {
            Some("") => Ok(None),
            Some(suffix) if suffix.starts_with('.') && !suffix.contains('*') => {
                Ok(Some(Self::Suffix(suffix.into())))
            }
            None if !lower.is_empty() && !lower.contains('*') => {
                Ok(Some(Self::Exact(lower.into())))
            }
            _ => Err(Defect::ServerName(text.into()).into()),
        }
    }
}

fn product<T: Clone>(
    all: Vec<Conditions>,
    values: &[Option<T>],
    set: impl Fn(&mut Conditions, Option<T>),
) -> Vec<Conditions> {
    if values.is_empty() {
        return all;
    }
    all.iter()
        .flat_map(|conditions| {
            values.iter().map(|value| {
                let mut conditions = conditions.clone();
                set(&mut conditions, value.clone());
                conditions
            })
        })
        .collect()
}

fn specific<T>(condition: Option<T>, holds: impl Fn(T) -> bool) -> u16 {
    condition.map_or(1, |want| 2 * u16::from(holds(want)))
}

/// An exact name beats any suffix, a longer suffix a shorter one. Names are compared without regard
/// to case (RFC 6066, section 3).
fn server_name_rank(condition: Option<&ServerName>, asked: Option<&str>) -> u16 {
    let (want, exact) = match condition {
        None => return 1,
        Some(ServerName::Exact(name)) => (name.as_bytes(), true),
        Some(ServerName::Suffix(suffix)) => (suffix.as_bytes(), false),
    };
    let asked = asked.unwrap_or_default().as_bytes();
    match asked.len().checked_sub(want.len()) {
        Some(0) if exact && asked.eq_ignore_ascii_case(want) => u16::MAX,
        Some(start) if !exact && start > 0 && asked[start..].eq_ignore_ascii_case(want) => {
            2 + u16::try_from(want.len()).unwrap_or(u16::MAX - 3)
        }
        _ => 0,
    }
}

/// The caller's order of preference decides.
fn protocol_rank(condition: Option<&str>, offered: &[&str]) -> u16 {
    let Some(want) = condition else { return 1 };
    match offered.iter().position(|name| *name == want) {
        Some(position) => u16::MAX - u16::try_from(position).unwrap_or(u16::MAX - 2),
        None => 0,
    }
}
