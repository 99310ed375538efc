use std::{net::SocketAddr, path::PathBuf, time::SystemTime};

use mesh_core::{
    config::{ConfigSet, Resource, Spec, istio::VirtualService},
    identity::SpiffeId,
};

use super::{Paint, short_serial, span, table};
use crate::local_mesh::{PodFacts, UnknownImage};

/// What is told once everything runs.
#[derive(Debug, Clone)]
pub struct Account<'a> {
    /// What runs.
    pub pods: &'a [PodFacts],
    /// Deployments without a running instance.
    pub unknown: &'a [UnknownImage],
    /// Where the gateway listens.
    pub gateways: &'a [SocketAddr],
    /// Where the control plane serves.
    pub control_plane: SocketAddr,
    /// What is written.
    pub config: &'a ConfigSet,
    /// Whether the mesh ends by itself: then there is no time to open, edit or stop anything.
    pub is_brief: bool,
    /// Where the proxies' logs are, unless they go to the terminal.
    pub logs: Option<PathBuf>,
    /// Now.
    pub now: SystemTime,
}

/// The account, as text.
pub fn account(paint: Paint, facts: &Account<'_>) -> String {
    let mut text = format!("\n{}\n\n", paint.strong(&headline(facts)));
    text += &workloads(paint, facts);
    let heading = format!("Identities issued, all of {}", trust_domain(facts));
    text += &format!("\n{}\n\n", paint.strong(&heading));
    text += &identities(paint, facts);
    for UnknownImage { deployment, image } in facts.unknown {
        let reason = format!("{deployment} has no running instance: no program for {image}");
        text += &format!("\n  {}\n", paint.odd(&reason));
        text += "  give it a command line under `images:` in a local.yaml beside the manifests\n";
    }
    text += "\n";
    let mut row = |label: &str, value: &str| {
        text += &format!("  {}{value}\n", paint.faint(&format!("{label:<10}")));
    };
    if !facts.is_brief {
        for url in urls(facts) {
            row("Open", &paint.place(&url));
        }
        if facts.gateways.is_empty() {
            row("Open", "nothing: no Gateway lets anybody in");
        }
        if let Some(file) = file_to_edit(facts.config) {
            let file = paint.place(file);
            let value = format!("{file} and save: traffic shifts without a restart");
            row("Edit", &value);
        }
    }
    if let Some(logs) = &facts.logs {
        row(
            "Logs",
            &format!(
                "{} (one line per request, a file per proxy)",
                logs.display()
            ),
        );
    }
    if !facts.is_brief {
        row("Stop", "Ctrl-C");
    }
    text
}

fn headline(facts: &Account<'_>) -> String {
    let workloads = facts.pods.len();
    let plural = if workloads == 1 { "" } else { "s" };
    format!(
        "A mesh of {workloads} proxied workload{plural}, one process, control plane at {}",
        facts.control_plane
    )
}

fn workloads(paint: Paint, facts: &Account<'_>) -> String {
    let row = |pod: &PodFacts| {
        [
            pod.workload.clone(),
            pod.address.to_string(),
            format!("http://{}", pod.admin),
            pod.key.name.clone(),
        ]
    };
    let rows: Vec<_> = facts.pods.iter().map(row).collect();
    table(paint, ["WORKLOAD", "ADDRESS", "ADMIN PAGES", "POD"], &rows)
}

/// One row per certificate: pods of one service account each have their own.
fn identities(paint: Paint, facts: &Account<'_>) -> String {
    let row = |pod: &PodFacts| {
        let left = pod.expires.duration_since(facts.now).unwrap_or_default();
        [
            within_trust_domain(&pod.identity).to_owned(),
            pod.workload.clone(),
            short_serial(&pod.serial),
            span(left),
        ]
    };
    let mut rows: Vec<_> = facts.pods.iter().map(row).collect();
    rows.sort();
    table(paint, ["IDENTITY", "HELD BY", "SERIAL", "VALID FOR"], &rows)
}

fn trust_domain(facts: &Account<'_>) -> String {
    let first = facts.pods.first();
    let domain = first.map(|pod| format!("spiffe://{}/", pod.identity.trust_domain()));
    domain.unwrap_or_default()
}

fn within_trust_domain(identity: &SpiffeId) -> &str {
    let prefix = format!("spiffe://{}/", identity.trust_domain());
    let whole = identity.as_str();
    whole.strip_prefix(&prefix).unwrap_or(whole)
}

/// Where to click: each address of the gateway, with the page its rules name.
fn urls(facts: &Account<'_>) -> Vec<String> {
    let path = page(facts.config).unwrap_or("/");
    let urls = facts
        .gateways
        .iter()
        .map(|address| format!("http://{address}{path}"));
    urls.collect()
}

/// The first page that a rule behind a gateway names, other than the front page.
fn page(config: &ConfigSet) -> Option<&str> {
    let behind_gateways = virtual_services(config).filter(|(_, rules)| !is_internal(rules));
    let matches = behind_gateways.flat_map(|(_, rules)| rules.http.iter().flat_map(|r| &r.matches));
    let mut pages = matches.filter_map(|matches| matches.uri.as_ref()?.exact.as_deref());
    pages.find(|path| *path != "/")
}

/// The file with the rule that is most fun to change: one that splits traffic, else one inside
/// the mesh, else any.
fn file_to_edit(config: &ConfigSet) -> Option<&str> {
    let fun = |rules: &VirtualService| {
        let splits = rules.http.iter().any(|rule| rule.route.len() > 1);
        (splits, is_internal(rules))
    };
    let best = virtual_services(config).max_by_key(|(_, rules)| fun(rules));
    best.map(|(resource, _)| &*resource.source.file)
}

fn is_internal(rules: &VirtualService) -> bool {
    rules.gateways.iter().all(|gateway| gateway == "mesh")
}

fn virtual_services(config: &ConfigSet) -> impl Iterator<Item = (&Resource, &VirtualService)> {
    config.iter().filter_map(|resource| match &resource.spec {
        Spec::VirtualService(rules) => Some((&**resource, rules)),
        _ => None,
    })
}

#[cfg(test)]
mod tests;
