use http::HeaderName;
use mesh_core::dataplane::{ClusterChoice, Name, WeightedCluster};

use super::HeaderEdits;
use crate::{
    CompileError, Defect, RequestHead,
    compile_error::compile_all,
    dice::{Purpose, scale},
};

/// The choice of a cluster.
#[derive(Debug)]
pub struct Split(Kind);

#[derive(Debug)]
enum Kind {
    Single(Name),
    /// Never empty; bounds grow to the sum of weights.
    Weighted {
        shares: Box<[Share]>,
        total: u64,
    },
    Header(HeaderName),
}

#[derive(Debug)]
struct Share {
    bound: u64,
    index: usize,
    cluster: Name,
    headers: HeaderEdits,
}

/// The cluster a request goes to.
#[derive(Debug, Clone, Copy)]
pub struct Destination<'a> {
    /// Its name.
    pub cluster: &'a str,
    /// Its position among the planned clusters of the route; zero where there is no choice.
    pub index: usize,
    /// Edits for requests and responses that go there.
    pub headers: Option<&'a HeaderEdits>,
}

impl Split {
    /// Prepares the choice among clusters. Refuses a split in which nothing has a weight.
    pub fn compile(choice: &ClusterChoice) -> Result<Self, CompileError> {
        Ok(Self(match choice {
            ClusterChoice::Single(name) => Kind::Single(name.clone()),
            ClusterChoice::Weighted(clusters) => compile_weighted(clusters)?,
            ClusterChoice::Header(name) => Kind::Header(
                HeaderName::from_bytes(name.as_bytes())
                    .map_err(|_| Defect::HeaderName(name.clone()))?,
            ),
        }))
    }

    /// Prepares the choice of a connection that carries no requests we know of.
    pub fn for_connections(clusters: &[WeightedCluster]) -> Result<Self, CompileError> {
        compile_weighted(clusters).map(Self)
    }

    /// The cluster for a request, or for a connection, which has no head: each of a split in exact
    /// proportion to its weight over all seeds. None if a header should name it and does not.
    pub fn choose<'a>(
        &'a self,
        head: Option<&RequestHead<'a>>,
        seed: u64,
    ) -> Option<Destination<'a>> {
        match &self.0 {
            Kind::Single(name) => Some(Destination {
                cluster: name,
                index: 0,
                headers: None,
            }),
            Kind::Weighted { shares, total } => {
                let point = scale(Purpose::Split.draw(seed), *total);
                let share = &shares[shares.partition_point(|share| share.bound <= point)];
                Some(Destination {
                    cluster: &share.cluster,
                    index: share.index,
                    headers: Some(&share.headers),
                })
            }
            Kind::Header(name) => Some(Destination {
                cluster: head?.headers.get(name)?.to_str().ok()?,
                index: 0,
                headers: None,
            }),
        }
    }

    /// Every cluster that may be chosen, as far as is known beforehand.
    pub fn clusters(&self) -> impl Iterator<Item = &Name> {
        let (single, weighted) = match &self.0 {
            Kind::Single(name) => (Some(name), None),
            Kind::Weighted { shares, .. } => (None, Some(shares.iter())),
            Kind::Header(_) => (None, None),
        };
        single
            .into_iter()
            .chain(weighted.into_iter().flatten().map(|share| &share.cluster))
    }
}

/// A lone destination gets everything, whatever its weight; otherwise a weight of zero gets nothing.
fn compile_weighted(clusters: &[WeightedCluster]) -> Result<Kind, CompileError> {
    let headers = compile_all("clusters", clusters, |cluster| {
        HeaderEdits::compile(&cluster.headers).map_err(|error| error.within("headers"))
    })?;
    let alone = clusters.len() == 1;
    let mut total = 0;
    let shares: Box<[Share]> = clusters
        .iter()
        .zip(headers)
        .enumerate()
        .filter(|(_, (cluster, _))| alone || cluster.weight > 0)
        .map(|(index, (cluster, headers))| {
            total += u64::from(cluster.weight.max(1));
            Share {
                bound: total,
                index,
                cluster: cluster.name.clone(),
                headers,
            }
        })
        .collect();
    if shares.is_empty() {
        return Err(Defect::NoCluster.into());
    }
    Ok(Kind::Weighted { shares, total })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(weights: &[u32], want: &[f64]) {
        let clusters = weights
            .iter()
            .enumerate()
            .map(|(index, &weight)| WeightedCluster {
                name: index.to_string().into(),
                weight,
                headers: Default::default(),
            })
            .collect::<Vec<_>>();
        let split = Split::for_connections(&clusters).unwrap();
        let n = 20_000;
        let mut seen = vec![0_u32; weights.len()];
        for seed in 0..n {
            let destination = split.choose(None, seed).unwrap();
            assert_eq!(destination.cluster, destination.index.to_string());
            seen[destination.index] += 1;
        }
        for (seen, want) in seen.iter().zip(want) {
            let n = n as f64;
            let deviation = 5.0 * (n * want * (1.0 - want)).sqrt();
            assert!(
                (f64::from(*seen) - n * want).abs() <= deviation,
                "{weights:?} {seen}"
            );
        }
    }

    #[test]
    fn shares() {
        check(&[80, 20], &[0.8, 0.2]);
        check(&[50, 0, 50], &[0.5, 0.0, 0.5]);
        check(&[1, 2, 1], &[0.25, 0.5, 0.25]);
        check(&[0], &[1.0]);
        check(&[u32::MAX, u32::MAX], &[0.5, 0.5]);
    }

    #[test]
    fn nothing_to_choose_from() {
        let choice = ClusterChoice::default();
        assert_eq!(
            Split::compile(&choice).unwrap_err().defect,
            Defect::NoCluster
        );
    }
}
