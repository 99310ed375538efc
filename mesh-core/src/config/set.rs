use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use super::{Code, Parsed, Problem, Resource, Severity};
use crate::name::ResourceRef;

/// Everything that is written, at one version. Immutable: changes make the next version, which
/// shares with this one what did not change.
///
/// What is in force depends on the files alone, not on the order of edits: where two files hold a
/// resource of the same name, the file whose name sorts last wins, as if they had been applied in
/// that order.
#[derive(Debug, Clone, Default)]
pub struct ConfigSet {
    version: u64,
    /// Sorted by name within each file.
    files: Files,
    in_force: BTreeMap<ResourceRef, Arc<Resource>>,
}

type Files = BTreeMap<Arc<str>, Arc<Vec<Arc<Resource>>>>;

/// A step from one version to the next.
#[derive(Debug, Clone, PartialEq)]
pub enum Change {
    /// Add a resource, or replace the one of the same name in the same file.
    Put(Arc<Resource>),
    /// Forget a resource, in whatever file it is.
    Remove(ResourceRef),
}

impl ConfigSet {
    /// How many changes led here.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// The resource of this name.
    pub fn resource(&self, reference: &ResourceRef) -> Option<&Arc<Resource>> {
        self.in_force.get(reference)
    }

    /// Every resource in force, by group, kind, namespace and name.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Resource>> {
        self.in_force.values()
    }

    /// The files that hold something.
    pub fn files(&self) -> impl Iterator<Item = &str> {
        self.files.keys().map(|file| &**file)
    }

    /// The next version. Changes that change nothing leave it at this one.
    #[must_use]
    pub fn apply(&self, changes: impl IntoIterator<Item = Change>) -> Self {
        let mut files = self.files.clone();
        let mut touched = BTreeSet::new();
        for change in changes {
            match change {
                Change::Put(resource) => {
                    touched.insert(resource.reference.clone());
                    let file = files.entry(resource.source.file.clone()).or_default();
                    let file = Arc::make_mut(file);
                    match file.binary_search_by(|r| r.reference.cmp(&resource.reference)) {
                        Ok(same) if *file[same] == *resource => {}
                        Ok(same) => file[same] = resource,
                        Err(place) => file.insert(place, resource),
                    }
                }
                Change::Remove(reference) => {
                    for resources in files.values_mut() {
                        if find(resources, &reference).is_some() {
                            let resources = Arc::make_mut(resources);
                            resources.retain(|resource| resource.reference != reference);
                        }
                    }
                    touched.insert(reference);
                }
            }
        }
        self.next(files, touched)
    }

    /// The next version, in which `file` holds what was just parsed of it.
    ///
    /// A resource whose new text is broken keeps its last good version. Where a broken piece of
    /// the file does not even tell which resource it is, every resource that is no longer found
    /// in the file keeps its last good version: it may be the broken one. Returns what the user
    /// is to know about that, beside the problems of the parse.
    #[must_use]
    pub fn replace_file(&self, file: &str, parsed: &Parsed) -> (Self, Vec<Problem>) {
        let old = self.files.get(file).map_or(&[][..], |old| old.as_slice());
        let mut problems = Vec::new();
        let mut new: Vec<Arc<Resource>> = Vec::with_capacity(parsed.resources.len());
        for resource in &parsed.resources {
            let same = find(old, &resource.reference).filter(|old| ***old == **resource);
            new.push(same.unwrap_or(resource).clone());
        }
        new.sort_by(|a, b| a.reference.cmp(&b.reference));
        let found = new.len();
        for last_good in old {
            let is_gone = find(&new[..found], &last_good.reference).is_none();
            if is_gone && parsed.may_hold_broken(&last_good.reference) {
                let reason = "its last good version stays in force";
                let source = last_good.source.clone();
                let problem = Problem::new(Severity::Info, source, reason);
                if !last_good.is_broken {
                    problems.push(problem.of(last_good.reference.clone()));
                }
                new.push(last_good.clone());
            }
        }
        new.sort_by(|a, b| a.reference.cmp(&b.reference));
        for stand_in in &parsed.stand_ins {
            match new.binary_search_by(|known| known.reference.cmp(&stand_in.reference)) {
                // An older stand-in is no last good version.
                Ok(place) if new[place].is_broken => {
                    if *new[place] != **stand_in {
                        new[place] = stand_in.clone();
                    }
                }
                Ok(_) => {}
                Err(place) => new.insert(place, stand_in.clone()),
            }
        }
        let mut files = self.files.clone();
        let touched = different(old, &new);
        files.insert(file.into(), Arc::new(new));
        (self.next(files, touched), problems)
    }

    /// The next version, without what this file held.
    #[must_use]
    pub fn remove_file(&self, file: &str) -> Self {
        let mut files = self.files.clone();
        let old = files.remove(file).unwrap_or_default();
        self.next(files, different(&old, &[]))
    }

    /// Resources that another file holds too, and therefore do not count.
    pub fn shadowed(&self) -> Vec<Problem> {
        let written = self.files.values().flat_map(|resources| resources.iter());
        written
            .filter_map(|resource| {
                let winner = self.in_force.get(&resource.reference)?;
                (!Arc::ptr_eq(winner, resource)).then(|| {
                    let reason = format!("{} holds it too, and wins", winner.source);
                    resource
                        .problem(Severity::Warning, "", reason)
                        .coded(Code::WrittenTwice)
                        .advise("files count in the order of their names, the last one wins")
                })
            })
            .collect()
    }

    /// The version with these files, which differ from ours in resources of these names at most.
    fn next(&self, mut files: Files, touched: BTreeSet<ResourceRef>) -> Self {
        files.retain(|_, resources| !resources.is_empty());
        let mut in_force = self.in_force.clone();
        for reference in touched {
            // The last file that holds it wins.
            let mut held = files.values().rev();
            match held.find_map(|resources| find(resources, &reference)) {
                Some(winner) => in_force.insert(reference, winner.clone()),
                None => in_force.remove(&reference),
            };
        }
        let same_file = |new: &Arc<Vec<Arc<Resource>>>, old: &Arc<Vec<Arc<Resource>>>| {
            Arc::ptr_eq(new, old)
                || new.len() == old.len()
                    && new
                        .iter()
                        .zip(&**old)
                        .all(|(new, old)| Arc::ptr_eq(new, old))
        };
        let same = files.len() == self.files.len()
            && (files.iter().zip(&self.files))
                .all(|((file, new), (old_file, old))| file == old_file && same_file(new, old));
        Self {
            version: self.version + u64::from(!same),
            files,
            in_force,
        }
    }
}

/// The names of resources that two versions of a file do not share.
fn different(old: &[Arc<Resource>], new: &[Arc<Resource>]) -> BTreeSet<ResourceRef> {
    let is_in = |list: &[Arc<Resource>], resource: &Arc<Resource>| {
        find(list, &resource.reference).is_some_and(|known| Arc::ptr_eq(known, resource))
    };
    let gone = old.iter().filter(|resource| !is_in(new, resource));
    let come = new.iter().filter(|resource| !is_in(old, resource));
    gone.chain(come)
        .map(|resource| resource.reference.clone())
        .collect()
}

/// The resource of this name in a file's sorted list.
fn find<'a>(sorted: &'a [Arc<Resource>], reference: &ResourceRef) -> Option<&'a Arc<Resource>> {
    let place = sorted.binary_search_by(|resource| resource.reference.cmp(reference));
    place.ok().map(|place| &sorted[place])
}
