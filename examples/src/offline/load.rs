//! From files to a mesh that can be asked, as if they had been applied to a cluster.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use mesh_core::{
    config::{ConfigSet, Problem},
    mesh::{Mesh, MeshDefaults, assumed_virtual_addresses, read, with_assumed_pods},
};

use super::{ReadError, files};

/// A mesh made of files alone.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The mesh.
    pub mesh: Arc<Mesh>,
    /// What is wrong with the files, in order.
    pub problems: Vec<Problem>,
    /// How many there were, tests apart.
    pub files: usize,
}

/// Reads configuration and assumes what a cluster would add to it.
///
/// Of a directory those files count that are directly in it, as for `mesh up`; where there are none,
/// all that are below it.
pub fn load(paths: &[PathBuf]) -> Result<Loaded, ReadError> {
    let mut written = files::read(paths)?;
    let bases: Vec<&Path> = paths.iter().map(PathBuf::as_path).collect();
    let has_direct = |base: &Path| {
        let mut files = written.iter();
        files.any(|file| Path::new(&file.name).parent() == Some(base))
    };
    let shallow: Vec<&Path> = bases
        .iter()
        .copied()
        .filter(|base| has_direct(base))
        .collect();
    written.retain(|file| {
        let path = Path::new(&file.name);
        let above = shallow.iter().any(|base| path.starts_with(base));
        let direct = path.parent().is_some_and(|parent| bases.contains(&parent));
        !file.is_test && (!above || direct || bases.contains(&path))
    });
    let defaults = MeshDefaults {
        virtual_addresses: Some(assumed_virtual_addresses()),
        ..MeshDefaults::default()
    };
    let mut set = ConfigSet::default();
    let mut problems = Vec::new();
    for file in &written {
        let parsed = read(&file.name, &file.text, &defaults);
        let (next, kept) = set.replace_file(&file.name, &parsed);
        set = next;
        problems.extend(parsed.problems);
        problems.extend(kept);
    }
    problems.extend(set.shadowed());
    let set = with_assumed_pods(&set, &defaults);
    let (mesh, found) = Mesh::resolve(&set, &defaults);
    problems.extend(found);
    problems.sort();
    problems.dedup();
    Ok(Loaded {
        mesh,
        problems,
        files: written.len(),
    })
}
