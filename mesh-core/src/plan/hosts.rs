//! The names by which callers reach a service.

use std::collections::BTreeSet;

use super::view::View;
use crate::{
    mesh::{Resolution, Service},
    name::Host,
};

/// Every name of a service, without ports, most complete first: the full name, the same with its
/// closing dot, the short forms that a resolver of the caller's namespace completes, the virtual
/// addresses; then the same of services that are other names for it.
pub(super) fn names(view: &View<'_>, service: &Service) -> Vec<String> {
    let mut names = host_names(view, &service.host);
    if service.resolution == Resolution::Headless {
        // The instances of a headless service have names of their own below it.
        let own = names.clone();
        names.extend(own.iter().map(|name| format!("*.{name}")));
    }
    names.extend(service.addresses.iter().map(|address| match address {
        std::net::IpAddr::V4(address) => address.to_string(),
        std::net::IpAddr::V6(address) => format!("[{address}]"),
    }));
    for alias in view.aliases(service) {
        names.extend(host_names(view, &alias.host));
    }
    names
}

/// The forms of one host.
pub(super) fn host_names(view: &View<'_>, host: &Host) -> Vec<String> {
    let full = host.as_str();
    let mut names = vec![full.to_owned()];
    if host.is_wildcard() {
        return names;
    }
    if full.contains('.') {
        names.push(format!("{full}."));
    }
    let suffix = format!(".svc.{}", view.node.domain);
    let Some(short) = full.strip_suffix(&suffix) else {
        return names;
    };
    match short.split_once('.') {
        Some((name, namespace)) if *namespace == view.node.namespace => {
            names.extend([name.to_owned(), format!("{short}.svc"), short.to_owned()]);
        }
        _ => names.extend([short.to_owned(), format!("{short}.svc")]),
    }
    names
}

/// Keeps what stands in no table twice: of two hosts with one name, the first has it.
#[derive(Default)]
pub(super) struct Taken(BTreeSet<String>);

impl Taken {
    /// Those of the names that are still free, which they are not any longer.
    pub(super) fn claim(&mut self, names: Vec<String>) -> Vec<String> {
        let mut free = names;
        free.retain(|name| self.0.insert(name.to_ascii_lowercase()));
        free
    }
}
