use std::collections::HashMap;

use mesh_core::dataplane::RouteTable;

use crate::{CompileError, Defect, joined::in_lower_case, request::split_port};

/// Finds a virtual host by the host a caller asked for. Host names are compared without regard to
/// case.
#[derive(Debug, Default)]
pub(super) struct HostIndex {
    exact: HashMap<Box<str>, usize>,
    suffixes: Affixes,
    prefixes: Affixes,
    any: Option<usize>,
    ignore_port: bool,
}

/// Texts at one end of a host, looked up by length, the longest first.
#[derive(Debug, Default)]
struct Affixes {
    by_text: HashMap<Box<[u8]>, usize>,
    lengths: Vec<usize>,
}

/// A host of a virtual host.
pub(super) enum Domain<'a> {
    Exact(&'a str),
    /// `*.example.com` as `.example.com`.
    Suffix(&'a str),
    /// `example.*` as `example.`.
    Prefix(&'a str),
    Any,
}

impl<'a> Domain<'a> {
    pub(super) fn parse(text: &'a str) -> Result<Self, Defect> {
        let domain = match (text.strip_prefix('*'), text.strip_suffix('*')) {
            (Some(""), _) => return Ok(Self::Any),
            (Some(suffix), _) => Self::Suffix(suffix),
            (None, Some(prefix)) => Self::Prefix(prefix),
            (None, None) => Self::Exact(text),
        };
        let (Self::Exact(rest) | Self::Suffix(rest) | Self::Prefix(rest)) = domain else {
            return Ok(domain);
        };
        if rest.is_empty() || rest.contains('*') {
            return Err(Defect::Domain(text.into()));
        }
        Ok(domain)
    }
}

impl HostIndex {
    pub(super) fn compile(table: &RouteTable) -> Result<Self, CompileError> {
        let mut index = Self {
            ignore_port: table.ignore_port_in_host_matching,
            ..Self::default()
        };
        for (host, virtual_host) in table.virtual_hosts.iter().enumerate() {
            for (position, text) in virtual_host.domains.iter().enumerate() {
                index.add(host, text).map_err(|defect| {
                    CompileError::from(defect)
                        .within(format_args!("domains[{position}]"))
                        .within(format_args!("virtual_hosts[{host}]"))
                })?;
            }
        }
        index.suffixes.finish();
        index.prefixes.finish();
        Ok(index)
    }

    fn add(&mut self, host: usize, text: &str) -> Result<(), Defect> {
        let lower = text.to_ascii_lowercase();
        let before = match Domain::parse(&lower).map_err(|_| Defect::Domain(text.into()))? {
            Domain::Exact(name) => self.exact.insert(name.into(), host),
            Domain::Suffix(suffix) => self.suffixes.insert(suffix, host),
            Domain::Prefix(prefix) => self.prefixes.insert(prefix, host),
            Domain::Any => self.any.replace(host),
        };
        match before {
            Some(_) => Err(Defect::DuplicateDomain(text.into())),
            None => Ok(()),
        }
    }

    pub(super) fn find(&self, authority: &str) -> Option<usize> {
        let host = if self.ignore_port {
            split_port(authority).0
        } else {
            authority
        };
        in_lower_case(host, |host| self.find_lower(host))
    }

    fn find_lower(&self, host: &str) -> Option<usize> {
        let bytes = host.as_bytes();
        self.exact
            .get(host)
            .copied()
            .or_else(|| {
                self.suffixes
                    .longest(bytes.len(), |len| &bytes[bytes.len() - len..])
            })
            .or_else(|| self.prefixes.longest(bytes.len(), |len| &bytes[..len]))
            .or(self.any)
    }
}

impl Affixes {
    fn insert(&mut self, text: &str, host: usize) -> Option<usize> {
        self.lengths.push(text.len());
        self.by_text.insert(text.as_bytes().into(), host)
    }

    fn finish(&mut self) {
        self.lengths.sort_unstable_by(|a, b| b.cmp(a));
        self.lengths.dedup();
    }

    /// A `*` stands for at least one character.
    fn longest<'a>(&self, len: usize, affix: impl Fn(usize) -> &'a [u8]) -> Option<usize> {
        self.lengths
            .iter()
            .filter(|&&length| length < len)
            .find_map(|&length| self.by_text.get(affix(length)).copied())
    }
}
