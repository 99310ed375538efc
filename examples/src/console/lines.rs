use std::{
    collections::BTreeMap,
    time::{Duration, SystemTime},
};

use mesh_core::{
    config::{Problem, Severity},
    name::ResourceRef,
};

use super::{Paint, short_serial, span};
use crate::local_mesh::{MeshEvent, UnknownImage};

/// An event as one line (or one per problem), `since` the mesh was started. Empty when there is
/// nothing to say.
pub fn line(paint: Paint, since: Duration, now: SystemTime, event: &MeshEvent) -> String {
    let time = paint.faint(&format!("{:>8.1} s", since.as_secs_f64()));
    let told = |word: String, text: String| format!("{time}  {word}  {text}\n");
    match event {
        MeshEvent::PodUp(pod) => {
            let text = format!("{} at {} as {}", pod.key.name, pod.address, pod.identity);
            told(paint.good("up      "), text)
        }
        MeshEvent::PodDown { pod, reason } => {
            let reason = reason.as_deref().map(|reason| format!(": {reason}"));
            let word = match reason {
                Some(_) => paint.bad("down    "),
                None => paint.faint("down    "),
            };
            told(word, format!("{pod}{}", reason.unwrap_or_default()))
        }
        MeshEvent::PodFailed { pod, reason } => {
            told(paint.bad("failed  "), format!("{pod}: {reason}"))
        }
        MeshEvent::UnknownImage(UnknownImage { deployment, image }) => {
            let text = format!("{deployment} has no running instance: no program for {image}");
            told(paint.odd("unknown "), text)
        }
        MeshEvent::Trouble(reason) => told(paint.bad("error   "), reason.clone()),
        MeshEvent::Applied {
            changed,
            removed,
            proxies,
            refusals,
            took,
        } => {
            let after = |resources: &[ResourceRef], word: &str, now: &str, late: &str| {
                let applied = outcome(resources, *proxies, refusals);
                let lines = applied
                    .into_iter()
                    .map(|(refusing, resources)| match refusing {
                        0 => told(
                            paint.good(word),
                            format!(
                                "{}: {now} {proxies} proxies after {} ms",
                                names(&resources),
                                took.as_millis()
                            ),
                        ),
                        refusing => told(
                            paint.bad("refused "),
                            format!(
                                "{}: {late} {refusing} of {proxies} proxies, which say why",
                                names(&resources)
                            ),
                        ),
                    });
                lines.collect::<String>()
            };
            after(
                changed,
                "applied ",
                "in force on",
                "not in force as written on",
            ) + &after(removed, "removed ", "gone from", "not gone from")
        }
        MeshEvent::Sound => told(
            paint.good("sound   "),
            "nothing is wrong with what is written".to_owned(),
        ),
        MeshEvent::Problems(problems) => {
            let lines = problems
                .iter()
                .map(|problem| told(severity(paint, problem), place(problem)));
            lines.collect()
        }
        MeshEvent::Refused { pod, detail } => told(
            paint.bad("refused "),
            format!("{pod} keeps its last good version: {detail}"),
        ),
        MeshEvent::Renewed { pod } => {
            let left = pod.expires.duration_since(now).unwrap_or_default();
            let serial = short_serial(&pod.serial);
            let text = format!(
                "{} of {}: serial {serial}, for {}",
                pod.identity,
                pod.key.name,
                span(left)
            );
            told(paint.good("renewed "), text)
        }
        MeshEvent::NotRenewed {
            pod,
            reason,
            retry_in,
        } => {
            let text = format!(
                "{pod}: no fresh certificate: {reason}; again in {}",
                span(*retry_in)
            );
            told(paint.odd("waiting "), text)
        }
        MeshEvent::Gateway(addresses) if addresses.is_empty() => told(
            paint.odd("gateway "),
            "no Gateway lets anybody in".to_owned(),
        ),
        MeshEvent::Gateway(addresses) => {
            let urls = addresses
                .iter()
                .map(|address| paint.place(&format!("http://{address}/")));
            let urls: Vec<_> = urls.collect();
            told(paint.good("gateway "), urls.join(" "))
        }
    }
}

/// Changed resources, in groups by how many proxies refuse what comes of them; those that all
/// proxies run on first. A refusal that names none of them may be about any.
fn outcome(
    resources: &[ResourceRef],
    proxies: usize,
    refusals: &BTreeMap<String, String>,
) -> BTreeMap<usize, Vec<ResourceRef>> {
    let mut groups: BTreeMap<usize, Vec<ResourceRef>> = BTreeMap::new();
    for resource in resources {
        let name = resource.to_string();
        let concerned = refusals.values().filter(|detail| {
            let about = |resource: &ResourceRef| detail.contains(&resource.to_string());
            detail.contains(&name) || !resources.iter().any(about)
        });
        let refusing = concerned.count().min(proxies);
        groups.entry(refusing).or_default().push(resource.clone());
    }
    groups
}

/// A few names; of many, how many more there are.
fn names(resources: &[ResourceRef]) -> String {
    const SHOWN: usize = 3;
    let shown = resources.iter().take(SHOWN).map(ToString::to_string);
    let mut text = shown.collect::<Vec<_>>().join(", ");
    if let Some(more) = resources.len().checked_sub(SHOWN).filter(|more| *more > 0) {
        text += &format!(" and {more} more");
    }
    text
}

fn severity(paint: Paint, problem: &Problem) -> String {
    match problem.severity {
        Severity::Error => paint.bad("error   "),
        Severity::Warning => paint.odd("warning "),
        Severity::Info => paint.faint("note    "),
    }
}

/// File, line, resource, field, reason and advice, as the problem prints itself but without the
/// severity, which stands before it.
fn place(problem: &Problem) -> String {
    let severity = match problem.code {
        Some(_) => format!(" {} ", problem.severity),
        None => format!(" {}:", problem.severity),
    };
    problem.to_string().replacen(&severity, "", 1)
}

#[cfg(test)]
mod tests {
    use mesh_core::config::Source;

    use super::*;

    fn check(event: &MeshEvent, expected: &str) {
        let now = SystemTime::UNIX_EPOCH;
        let text = line(Paint::Plain, Duration::from_millis(12_340), now, event);
        assert_eq!(text, expected);
    }

    #[test]
    fn events_are_lines() {
        let reviews = ResourceRef::new(
            "networking.istio.io",
            "VirtualService",
            "default",
            "reviews",
        );
        let applied = |changed: &[ResourceRef], removed: &[ResourceRef]| MeshEvent::Applied {
            changed: changed.to_vec(),
            removed: removed.to_vec(),
            proxies: 7,
            refusals: BTreeMap::new(),
            took: Duration::from_millis(41),
        };
        let only = std::slice::from_ref(&reviews);
        let is_in_force = "    12.3 s  applied   VirtualService default/reviews: in force on 7 proxies after 41 ms\n";
        let is_gone = "    12.3 s  removed   VirtualService default/reviews: gone from 7 proxies after 41 ms\n";
        check(&applied(only, &[]), is_in_force);
        check(&applied(&[], only), is_gone);
        check(&applied(only, only), &format!("{is_in_force}{is_gone}"));
        let refused = |detail: &str| MeshEvent::Applied {
            changed: vec![reviews.clone()],
            removed: Vec::new(),
            proxies: 7,
            refusals: [("page-1".to_owned(), detail.to_owned())].into(),
            took: Duration::from_millis(41),
        };
        let is_refused = "    12.3 s  refused   VirtualService default/reviews: not in force as \
             written on 1 of 7 proxies, which say why\n";
        check(
            &refused("bad (from VirtualService default/reviews)"),
            is_refused,
        );
        check(&refused("bad"), is_refused);
        let problem = Problem::new(
            Severity::Error,
            Source::new("reviews.yaml", 14),
            "not a number",
        )
        .of(reviews)
        .at("spec.http[0].route[0].weight");
        check(
            &MeshEvent::Problems(vec![problem]),
            "    12.3 s  error     reviews.yaml:14: VirtualService default/reviews: \
             spec.http[0].route[0].weight: not a number\n",
        );
        let down = MeshEvent::PodDown {
            pod: "a-1".into(),
            reason: Some("exit status: 1".into()),
        };
        check(&down, "    12.3 s  down      a-1: exit status: 1\n");
    }

    #[test]
    fn many_names_are_cut_short() {
        let resources: Vec<_> = ["a", "b", "c", "d", "e"]
            .map(|name| ResourceRef::new("", "Service", "x", name))
            .into();
        assert_eq!(
            names(&resources),
            "Service x/a, Service x/b, Service x/c and 2 more"
        );
    }
}
